# SPDX-License-Identifier: BSD-3-Clause
"""`insitu classify` on what MDAnalysis reads: files of LAMMPS and of MDAnalysis, cut ones, wrong ones."""

import gzip
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from conftest import require
from offline.dumps import hot
from test_architecture import PACKAGE

import insitu
from insitu.errors import SettingError
from insitu.offline.crystals import CrystalOptions, crystals_of_files
from insitu.offline.files import classify_files
from insitu.offline.options import Options
from insitu.offline.readers.configuration import Configuration
from insitu.offline.readers.topology import completed, topology
from insitu.offline.readers.trajectories import read_file, read_many

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import MDAnalysis

DECK = """
units metal
atom_style atomic
lattice fcc 4.06
boundary p p {z}
region b {region}
create_box 2 b
create_atoms 1 box
set type 1 type/fraction 2 0.3 77
mass * 26.98
pair_style lj/cut 7.0
pair_coeff * * 0.39 2.56
velocity all create 600 1
fix m all nve
timestep 0.002
reset_timestep 500
dump d all dcd 10 a.dcd
dump x all xtc 10 a.xtc
dump y all xyz 10 a.xyz
dump c all custom 10 a.dump id type xu yu zu
dump_modify c sort id format float %.9g time yes units yes
dump r all custom 10 r.dump id type xu yu zu
dump_modify r sort id format float %.2f time yes units yes
dump_modify d unwrap yes
dump_modify x unwrap yes
run 30
write_data a.data nocoeff
"""
CELL = "prism 0 4 0 5 0 6 1.0 0.5 -0.7"


def classify(*paths: Path, **options: object) -> tuple[list[str], list[str]]:
    told: list[str] = []
    chosen = Options(workers=1, **options)  # type: ignore[arg-type]
    return list(classify_files([str(p) for p in paths], chosen, tell=told.append)), told


def frames(path: Path, **more: str | None) -> list[Configuration]:
    read = read_many([str(path)], ":", print)
    return [c for _, _, c in completed(read, more.get("topology"), (), print)]


@pytest.fixture(scope="module")
def lammps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the same four frames of a sheared crystal as DCD, XTC, XYZ and dump."""
    folder = tmp_path_factory.mktemp("lammps")
    run = require("wheel").run(folder, DECK.format(region=CELL, z="p"))
    assert run.code == 0, run.text
    return folder


@pytest.mark.parametrize(("name", "error"), [("a.dcd", 2e-6), ("a.xtc", 5.1e-3)])
@pytest.mark.parametrize("topology", ["a.data", "a.dump"])
def test_what_lammps_writes_is_its_dump(
    lammps: Path, name: str, error: float, topology: str
) -> None:
    """Positions to the format's precision; cell, step, time, ids and types as they are."""
    before = sorted(lammps.iterdir())
    pairs = zip(
        frames(lammps / name, topology=str(lammps / topology)),
        frames(lammps / "a.dump"),
        strict=True,
    )
    for found, dumped in pairs:
        assert np.abs(found.positions - dumped.positions).max() < error
        assert np.allclose(found.cell, dumped.cell, atol=1e-5)
        assert (found.step, found.time) == (dumped.step, pytest.approx(dumped.time))
        for what in ("ids", "types"):
            assert getattr(found, what).tolist() == getattr(dumped, what).tolist()
        assert found.pbc.all()
    assert sorted(lammps.iterdir()) == before  # no lists of offsets


def test_a_history_of_them_is_that_of_the_dump(lammps: Path, tmp_path: Path) -> None:
    histories = {}
    for name in ("a.dcd", "a.dump", "a.xtc", "r.dump"):  # XTC has 0.01 Å
        out = tmp_path / f"{name}.h5"
        lines, told = classify(
            lammps / name, topology=str(lammps / "a.dump"), types=True, out=str(out), units="metal"
        )
        assert len(lines) == 4
        assert not told
        histories[name] = insitu.open(str(out))
    for name, dump in (("a.dcd", "a.dump"), ("a.xtc", "r.dump")):
        assert (histories[name]["step"] == [500, 510, 520, 530]).all()
        for what in ("count", "count_by_type"):
            apart = abs(histories[name][what] - histories[dump][what])
            assert int(apart.max()) <= 1  # of 480: single precision
        assert np.allclose(histories[name]["time"], histories[dump]["time"])


def test_xyz_of_lammps_has_types(lammps: Path) -> None:
    for found, dumped in zip(frames(lammps / "a.xyz"), frames(lammps / "a.dump"), strict=True):
        assert found.types is not None
        assert found.types.tolist() == dumped.types.tolist()
        assert found.names is None
        assert not found.pbc.any()


def test_the_surfaces_of_a_slab(tmp_path: Path) -> None:
    """DCD and XTC have a box and no boundaries: somebody has to say them."""
    run = require("wheel").run(tmp_path, DECK.format(region="block 0 4 0 4 0 4", z="s"))
    assert run.code == 0, run.text
    dumped, _ = classify(tmp_path / "a.dump", index="-1")
    (taken,), told = classify(tmp_path / "a.dcd", index="-1")
    assert "does not say in which directions it is periodic" in told[0]
    for more in ({"boundary": ("p", "p", "s")}, {"topology": str(tmp_path / "a.dump")}):
        (line,), told = classify(tmp_path / "a.dcd", index="-1", units="metal", **more)
        assert not told
        assert line.split("atoms")[1] == dumped[0].split("atoms")[1]
    assert taken.split("atoms")[1] != dumped[0].split("atoms")[1]


@pytest.fixture
def universe() -> "MDAnalysis.Universe":
    """Copper with oxygen, three frames; a water bead is called W."""
    r, cell = hot(4)
    n = len(r)
    made = MDAnalysis.Universe.empty(n, trajectory=True)
    made.load_new(np.stack([r, r + 0.01, r + 0.02]), order="fac", dt=0.5)
    names = np.resize(["CU", "W"], n)
    made.add_TopologyAttr("names", names)
    made.add_TopologyAttr("elements", np.resize(["Cu", "O"], n))
    made.add_TopologyAttr("resnames", ["MIX"])
    made.dimensions = [*np.diag(cell), 90, 90, 90]
    for now in made.trajectory:
        now.dimensions = [*np.diag(cell), 90, 90, 90]
    return made


def write(universe: "MDAnalysis.Universe", path: Path) -> Path:
    one = path.suffix == ".gro"  # has room for one frame, the last
    n, more = len(universe.atoms), {} if path.suffix in (".gro", ".pdb") else {"dt": 0.5}
    with (
        warnings.catch_warnings(),
        MDAnalysis.Writer(str(path), n, multiframe=not one, **more) as writer,
    ):
        warnings.simplefilter("ignore")
        for now in universe.trajectory:
            now.dimensions = [14.52, 14.52, 14.52, 90, 90, 90]
            writer.write(universe.atoms)
    return path


@pytest.mark.parametrize("ending", ["dcd", "xtc", "trr", "pdb", "gro", "ncdf"])
def test_files_of_mdanalysis(tmp_path: Path, universe: "MDAnalysis.Universe", ending: str) -> None:
    path = write(universe, tmp_path / f"a.{ending}")
    found = frames(path)
    assert len(found) == (1 if ending == "gro" else 3)
    error = {"xtc": 6e-3, "pdb": 6e-4, "gro": 6e-3}.get(ending, 1e-5)
    for k, c in enumerate(found):
        first = 2 if ending == "gro" else 0
        universe.trajectory[first + k]
        assert np.abs(c.positions - universe.atoms.positions).max() < error
        assert np.allclose(c.cell, 14.52 * np.eye(3), atol=error)
        assert c.units == "metal"
        if ending in ("dcd", "xtc", "trr", "ncdf"):
            assert c.time == pytest.approx(0.5 * k, rel=1e-5)
        elif ending == "pdb":
            assert c.time is None  # MDAnalysis would say 1 ps a frame
    lines, _ = classify(path)
    assert "256 atoms  fcc 100.00 %" in lines[-1]


def test_names_are_no_elements(tmp_path: Path, universe: "MDAnalysis.Universe") -> None:
    """A bead W is not tungsten; elements are those that the file has as such."""
    gro = frames(write(universe, tmp_path / "a.gro"))[0]
    assert gro.names is None
    assert gro.types is not None
    assert gro.types.tolist() == np.resize([1, 2], 256).tolist()  # CU, W
    pdb = frames(write(universe, tmp_path / "a.pdb"))[0]
    assert pdb.numbers is not None
    assert pdb.numbers.tolist() == np.resize([29, 8], 256).tolist()
    xtc = write(universe, tmp_path / "a.xtc")
    (c, *_) = frames(xtc, topology=str(tmp_path / "a.pdb"))
    assert c.numbers is not None
    assert c.numbers.tolist() == pdb.numbers.tolist()
    (line, *_), _ = classify(xtc, topology=str(tmp_path / "a.gro"), neighbors=("1", "2"))
    assert "fcc 100.00 %" in line
    lines = crystals_of_files(
        [str(xtc)],
        CrystalOptions(topology=str(tmp_path / "a.pdb"), boundary=("p", "p", "p")),
        print,
    )
    assert "1 crystal" in next(lines)


def test_a_topology_of_parts(lammps: Path, tmp_path: Path) -> None:
    """A dump of some atoms and columns finds its atoms by id."""
    whole = (lammps / "a.dump").read_text().splitlines()
    rows = [line.split() for line in whole[13 : 13 + 480]]
    head = [*whole[4:7], "100", *whole[8:12], "ITEM: ATOMS id xu yu zu"]
    some = rows[479:379:-1]
    path = tmp_path / "some.dump"
    path.write_text("\n".join([*head, *(" ".join([r[0], *r[2:]]) for r in some)]) + "\n")
    (c,) = frames(path, topology=str(lammps / "a.data"))
    assert c.types is not None
    assert c.types.tolist() == [int(r[1]) for r in some]


@pytest.mark.parametrize("ending", ["dcd", "xtc", "trr"])
def test_files_that_are_cut(tmp_path: Path, universe: "MDAnalysis.Universe", ending: str) -> None:
    """What was complete is kept, the rest is named; a file without a frame is an error."""
    path = write(universe, tmp_path / f"a.{ending}")
    whole = path.read_bytes()
    for at in (len(whole) - 3, len(whole) // 2):
        path.write_bytes(whole[:at])
        lines, told = classify(path, boundary=("p", "p", "p"))
        assert 1 <= len(lines) <= 2
        assert len(told) == 1
        assert f"frame {len(lines)} is " in told[0]
        assert "left out" in told[0]
    for at in (40, len(whole) // 5):
        path.write_bytes(whole[:at])
        with pytest.raises(
            SettingError, match=r"cannot be read by MDAnalysis as|no complete frame"
        ):
            classify(path)
    path.write_bytes(whole)
    (line,), told = classify(path, index="-1", boundary=("p", "p", "p"))
    assert line.startswith("frame 2")
    assert not told


@pytest.mark.parametrize(("at", "bit"), [(3812, 6), (2356, 7)])
def test_damage_for_which_the_library_aborts(tmp_path: Path, at: int, bit: int) -> None:
    """A flipped bit in the packed numbers: MDAnalysis' library would end the process."""
    import MDAnalysis

    rng, path = np.random.default_rng(0), tmp_path / "a.xtc"
    universe = MDAnalysis.Universe.empty(500, trajectory=True)
    r = rng.uniform(0, 20, (500, 3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with MDAnalysis.Writer(str(path), 500) as writer:
            for _ in range(4):
                universe.atoms.positions = r + rng.normal(0, 0.1, r.shape)
                universe.dimensions = [20, 20, 20, 90, 90, 90]
                writer.write(universe.atoms)
    raw = bytearray(path.read_bytes())
    raw[at] ^= 1 << bit
    path.write_bytes(raw)
    told: list[str] = []
    found = [c for c in read_file(str(path), lambda k: True, told.append) if c is not None]
    assert 1 <= len(found) <= 2
    assert "is cut or damaged (its packed numbers are damaged) and left out" in told[0]
    np.testing.assert_allclose(found[0].positions, r, atol=0.6)


def test_what_is_wrong(
    lammps: Path, tmp_path: Path, universe: "MDAnalysis.Universe", monkeypatch: pytest.MonkeyPatch
) -> None:
    xtc = write(universe, tmp_path / "a.xtc")
    (tmp_path / "b.xtc").write_text("no trajectory\n" * 5)
    with pytest.raises(SettingError, match=r"b\.xtc' cannot be read by MDAnalysis"):
        classify(tmp_path / "b.xtc")
    (tmp_path / "c.xtc.gz").write_bytes(gzip.compress(xtc.read_bytes()))
    with pytest.raises(
        SettingError, match=r"XTC, which is not read from gz; unpack it \(gzip -d\)"
    ):
        classify(tmp_path / "c.xtc.gz")
    with pytest.raises(SettingError, match=r"has 480 atoms and .*a\.xtc' has 256"):
        classify(xtc, topology=str(lammps / "a.data"))
    (tmp_path / "b.psf").write_text("nothing\n")
    with pytest.raises(SettingError, match=r"--topology .*b\.psf cannot be read by MDAnalysis"):
        topology(str(tmp_path / "b.psf"))
    with pytest.raises(SettingError, match="is not a file"):
        classify(xtc, topology=str(tmp_path / "none.data"))
    with pytest.raises(SettingError, match="--boundary p,q: give p"):
        Options(boundary=("p", "q"))
    (tmp_path / "d.dump").write_text((lammps / "a.dump").read_text().replace("\n480 ", "\n4800 "))
    with pytest.raises(SettingError, match="has no atom of id 4800"):
        classify(tmp_path / "d.dump", topology=str(lammps / "a.data"))
    monkeypatch.setitem(sys.modules, "MDAnalysis", None)
    with pytest.raises(SettingError, match=r"needs MDAnalysis: pip install 'insitu\[mdanalysis\]'"):
        next(read_file(str(xtc), lambda k: True, print))


def test_no_other_module_asks_mdanalysis_to_guess() -> None:
    text = (PACKAGE / "offline" / "readers" / "mdanalysis_files.py").read_text()
    assert text.count("Universe(") == text.count("to_guess=()")
