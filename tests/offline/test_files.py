# SPDX-License-Identifier: BSD-3-Clause
"""`insitu classify` on files: the cases that readers fail on, histories, many files, several processes."""

import json
import warnings
from pathlib import Path

import ase.build
import ase.io
import numpy as np
import pytest
from conftest import Host, require
from offline.dumps import frame, header, hot, rows

import insitu
from insitu.cli import command as cli
from insitu.errors import HistoryError, SettingError
from insitu.offline import files as offline_files
from insitu.offline.files import classify_files
from insitu.offline.options import Options
from insitu.testing import lattice

FCC = "864 atoms  fcc 100.00 %"


def classify(*paths: Path, **options: object) -> tuple[list[str], list[str]]:
    told: list[str] = []
    lines = list(classify_files([str(p) for p in paths], Options(**options), tell=told.append))  # type: ignore[arg-type]
    return lines, told


@pytest.fixture
def sample() -> tuple[np.ndarray, np.ndarray]:
    return hot(6)


def test_nanoparticle_around_the_origin(tmp_path: Path) -> None:
    """A free particle: all but its edge is fcc."""
    r, _ = lattice("fcc", 3.61, (11, 11, 11))
    r = r - r.mean(axis=0)
    ball = r[np.linalg.norm(r, axis=1) < 18.1]
    ball += np.random.default_rng(1).normal(0, 0.06, ball.shape)
    low, size = ball.min(axis=0), np.diag(np.ptp(ball, axis=0))
    path = tmp_path / "a.dump"
    path.write_text(frame(ball, size, 500, origin=low, flags="ss ss ss"))
    (line,), told = classify(path)
    assert line.startswith("frame 0  step 500  ")
    assert float(line.split("fcc ")[1].split()[0]) > 99.5
    assert not told


def test_xyz_without_a_lattice(tmp_path: Path, sample: tuple[np.ndarray, np.ndarray]) -> None:
    r, _ = sample
    ase.io.write(tmp_path / "a.xyz", ase.Atoms(f"Cu{len(r)}", r), format="xyz")
    (line,), _ = classify(tmp_path / "a.xyz")
    free = insitu.classify(r, None, False, device="cpu").fractions["fcc"]
    assert f"fcc {100 * free:.2f} %" in line
    assert free > 0.9


@pytest.mark.parametrize("form", ["xyz", "extxyz"])
def test_xyz_files_that_are_cut(tmp_path: Path, form: str) -> None:
    """As ASE writes them, ended anywhere: in a number, too."""
    path = tmp_path / f"a.{form}"
    atoms = ase.build.bulk("Al", cubic=True) * (3, 3, 3)
    ase.io.write(path, [atoms] * 3, format=form)
    text = path.read_text()
    for at in (len(text) - 3, len(text) - 700, len(text) * 2 // 3 + 2, len(text) * 2 // 3 + 9):
        path.write_text(text[:at])
        lines, told = classify(path)
        assert [line.split("  ")[0] for line in lines] == ["frame 0", "frame 1"]
        assert len(told) == 1
        assert "frame 2 is incomplete" in told[0]
    path.write_text(text)
    assert len(classify(path)[0]) == 3
    ase.io.write(path, atoms, format=form)
    path.write_text(path.read_text().rstrip())
    lines, told = classify(path)
    assert len(lines) == 1
    assert not told


def test_frames_that_are_cut(tmp_path: Path, sample: tuple[np.ndarray, np.ndarray]) -> None:
    whole = [frame(*sample, s) for s in (0, 10, 20)]
    path = tmp_path / "a.dump"
    for rest in (whole[2][:9000], whole[2][:9003].rstrip(), whole[2][:20]):
        path.write_text(whole[0] + whole[1] + rest)
        lines, told = classify(path)
        assert lines == [f"frame {k}  step {10 * k}  {FCC}" for k in (0, 1)]
        assert len(told) == 1
        assert "frame 2" in told[0]
        assert "incomplete" in told[0]


@pytest.mark.parametrize("columns", ["id x y z", "x y z", "id xs ys zs", "id type element x y z"])
def test_other_columns_and_headers(
    tmp_path: Path, sample: tuple[np.ndarray, np.ndarray], columns: str
) -> None:
    """No type, no id, no flags of the boundaries, labels that are no elements."""
    r, cell = sample
    r = r / cell[0, 0] if "xs" in columns else r
    path = tmp_path / "a.dump"
    first = {"id": range(len(r)), "type": [1] * len(r), "element": ["Cu1"] * len(r)}
    known = [first[c] for c in columns.split() if c in first]
    path.write_text(header(0, len(r), cell, columns, flags="") + rows(*known, *r.T.tolist()))
    lines, told = classify(path)
    assert lines == [f"frame 0  step 0  {FCC}"]
    assert not told


def test_frames_of_any_number_of_atoms(
    tmp_path: Path, sample: tuple[np.ndarray, np.ndarray]
) -> None:
    r, cell = sample
    path = tmp_path / "a.dump"
    path.write_text(frame(r, cell, 0) + frame(r[:0], cell, 5) + frame(r, cell, 7))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lines, _ = classify(path, out=str(tmp_path / "h.h5"))
    assert lines == [
        f"frame 0  step 0  {FCC}",
        "frame 1  step 5  0 atoms",
        f"frame 2  step 7  {FCC}",
    ]
    history = insitu.open(str(tmp_path / "h.h5"))
    assert history["count"].sum("phase").values.tolist() == [864, 0, 864]
    assert np.isnan(history["fraction"].values[1]).all()


def quartz(folder: Path, element: str = "") -> Path:
    """Types 1 and 2 are Si and O."""
    r, cell = hot(6)
    path = folder / "silica.dump"
    kinds = np.resize([1, 2, 2], len(r)).tolist()
    columns = f"id type {element} x y z"
    names = [[["Si", "O"][k - 1] for k in kinds]] if element else []
    path.write_text(
        header(0, len(r), cell, columns) + rows(range(len(r)), kinds, *names, *r.T.tolist())
    )
    return path


def test_models_that_tell_species_apart(tmp_path: Path) -> None:
    path = quartz(tmp_path)
    with pytest.raises(SettingError, match=r"types 1, 2 only: say .*--species Si,O"):
        classify(path, model="sio2")
    lines, _ = classify(path, model="sio2", species=("Si", "O"))
    assert classify(quartz(tmp_path, "element"), model="sio2")[0] == lines
    with pytest.raises(SettingError, match=r"names 1 elements and .* has the types 1, 2"):
        classify(path, model="sio2", species=("Si",))
    with pytest.raises(SettingError, match="'Sx' is no element"):
        Options(species=("Sx", "O"))


def test_whose_atoms_make_up_the_surroundings(tmp_path: Path) -> None:
    """Ice: oxygen is on a diamond lattice, hydrogen is between."""
    atoms = ase.build.bulk("Si", a=6.36, cubic=True) * (4, 4, 4)
    r, cell = atoms.positions, atoms.cell.array
    h = np.random.default_rng(0).uniform(0, cell[0, 0], (2 * len(r), 3))
    n, m = len(r), 3 * len(r)
    kinds = [1] * n + [2] * (2 * n)
    everything = np.vstack([r, h])
    path = tmp_path / "ice.dump"
    path.write_text(
        header(0, m, cell, "id type x y z") + rows(range(m), kinds, *everything.T.tolist())
    )
    lines, _ = classify(
        path, neighbors=("1",), labels=str(tmp_path / "l.xyz"), out=str(tmp_path / "h.h5")
    )
    assert lines == [f"frame 0  step 0  {n} of {m} atoms  cubic_diamond 100.00 %"]
    phase = ase.io.read(tmp_path / "l.xyz").arrays["phase"]
    assert (phase[:n] == 6).all()
    assert (phase[n:] == -1).all()
    history = insitu.open(str(tmp_path / "h.h5"))
    assert int(history["count"].sum()) == n
    assert "cubic_diamond 100" not in classify(path)[0][0]
    with pytest.raises(SettingError, match=r"no atoms of '7'; it has: 1, 2"):
        classify(path, neighbors=("7",))
    assert classify(path, neighbors=("O",), species=("O", "H"))[0] == lines


def test_a_group_by_a_condition(tmp_path: Path) -> None:
    """Atoms outside of it are neighbours, and are counted nowhere."""
    r, cell = hot(6)
    n = len(r)
    kinds = np.resize([1, 2], n)
    energy = np.arange(n) - 300.5
    path = tmp_path / "a.dump"
    path.write_text(
        header(0, n, cell, "id type element c_v[2] x y z")
        + rows(range(n), kinds, np.where(kinds == 1, "Al", "Cu"), energy, *r.T)
    )
    everything = insitu.classify(r, cell, True, device="cpu")
    for text, mine in (
        ("type == 2 and z > 10", (kinds == 2) & (r[:, 2] > 10)),
        ("element == 'Al' or not 5 < x <= 12", (kinds == 1) | ~((r[:, 0] > 5) & (r[:, 0] <= 12))),
        ("abs(c_v[2]) < 100 and id % 3 != 0", (abs(energy) < 100) & (np.arange(n) % 3 != 0)),
        ("(y - 2) ** 2 > 9", (r[:, 1] - 2) ** 2 > 9),
    ):
        for name in ("l.xyz", "h.h5"):
            (tmp_path / name).unlink(missing_ok=True)
        (line,), _ = classify(
            path, group=text, labels=str(tmp_path / "l.xyz"), out=str(tmp_path / "h.h5"), types=True
        )
        assert f"  {mine.sum()} of {n} atoms  " in line
        codes = ase.io.read(tmp_path / "l.xyz").arrays["phase"]
        assert (codes[~mine] == -1).all()
        assert ((codes[mine] == 1) == (everything.labels[mine] == 0)).all()
        history = insitu.open(str(tmp_path / "h.h5"))
        assert int(history["count"].sum()) == mine.sum()
        by_type = [(mine & (kinds == t)).sum() for t in (1, 2)]
        assert history["count_by_type"].sum("phase").values.tolist() == [by_type]
        assert history.attrs["group"] == text
    both, _ = classify(path, group="z > 10", neighbors=("1",))
    assert f"  {((kinds == 1) & (r[:, 2] > 10)).sum()} of {n} atoms  " in both[0]
    for text, message in (
        ("", "is no expression"),
        ("typo == 1", r"^--group typo == 1: '\S* has no column 'typo'; it has .* Did you mean 'type'"),
        ("type", "is a number, not a condition"), ("type ==", "is no expression"),
        ("open('a')", r"'open\('a'\)' cannot be part of it"), ("x.y > 1", "cannot be part of it"),
        ("type == [1]", "cannot be part of it"), ("x // 2 == 1", "cannot be computed"),
    ):  # fmt: skip
        with pytest.raises(SettingError, match=message):
            classify(path, group=text)


def test_errors_speak_of_options(tmp_path: Path) -> None:
    r, cell = hot(6)
    path, out = tmp_path / "a.dump", tmp_path / "h.h5"
    path.write_text(frame(r, cell, 0))
    _, told = classify(path, out=str(out), species=("Al",))
    assert told == ["--species Al is not used: model 'metals' does not tell species apart"]
    with pytest.raises(HistoryError) as existing:
        classify(path, out=str(out))
    with pytest.raises(HistoryError) as another:
        classify(path, out=str(out), if_exists="append", threshold=0.9)
    for error in (existing, another):
        assert "--if-exists overwrite" in str(error.value)
        assert "if_exists" not in str(error.value)
        assert "file=" not in str(error.value)


def test_a_lammps_data_file(tmp_path: Path, sample: tuple[np.ndarray, np.ndarray]) -> None:
    r, cell = sample
    side = f"0 {cell[0, 0]} "
    for style, before in ((" # atomic", "1"), ("", "1"), (" # full", "1 1 0.5")):
        path = tmp_path / "a.data"
        path.write_text(
            f"copper\n\n{len(r)} atoms\n1 atom types\n\n{side}xlo xhi\n{side}ylo yhi\n{side}zlo zhi\n\n"
            f"Masses\n\n1 63.5\n\nAtoms{style}\n\n"
            + "".join(f"{i + 1} {before} {x} {y} {z}\n" for i, (x, y, z) in enumerate(r.tolist()))
        )
        assert classify(path)[0] == [f"frame 0  {FCC}"]


def test_ids_types_and_steps_survive(tmp_path: Path) -> None:
    path = quartz(tmp_path)
    classify(path, labels=str(tmp_path / "l.xyz"))
    back = ase.io.read(tmp_path / "l.xyz")
    assert back.info["step"] == 0
    assert back.arrays["id"].tolist() == list(range(864))
    assert back.arrays["type"].tolist() == np.resize([1, 2, 2], 864).tolist()
    assert set(back.get_chemical_symbols()) == {"X"}  # no element is invented
    classify(quartz(tmp_path, "element"), labels=str(tmp_path / "m.xyz"))
    assert ase.io.read(tmp_path / "m.xyz").get_chemical_symbols()[:3] == ["Si", "O", "O"]


def test_a_history_as_a_run_writes_it(
    tmp_path: Path, sample: tuple[np.ndarray, np.ndarray], capsys: pytest.CaptureFixture[str]
) -> None:
    """Files in the order of their steps, whatever the shell gives; show, plot, report, compare work."""
    r, cell = sample
    for s in (0, 200, 1000):
        text = f"ITEM: UNITS\nmetal\nITEM: TIME\n{0.001 * s}\n"
        (tmp_path / f"dump.{s}").write_text(frame(r, cell, s, before=text))
    out = tmp_path / "phases.h5"
    assert cli.main(["classify", str(tmp_path / "dump.*"), "--out", str(out), "--types"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[1] for line in printed] == ["step 0", "step 200", "step 1000"]
    assert printed[1].endswith(f"frame 0  step 200  time 0.2 ps  {FCC}")
    history = insitu.open(str(out))
    assert history["step"].values.tolist() == [0, 200, 1000]
    assert history["time"].values.tolist() == [0.0, 0.2, 1.0]
    assert (history["fraction"].sel(phase="fcc") == 1.0).all()
    for words in (["show", str(out), "--check"], ["show", str(out), "--type", "1"], ["plot", str(out)],
                  ["report", str(out), "--out", str(tmp_path / "r.html")], ["compare", str(out), str(out)],
                  ["export", str(out), "--out", str(tmp_path / "p.csv")]):  # fmt: skip
        assert cli.main(words) == 0, words
        capsys.readouterr()
    assert cli.main(["classify", str(tmp_path / "dump.0"), "--out", str(out)]) == 2
    assert "exists" in capsys.readouterr().err


def test_types_of_a_file_with_elements_are_its_elements(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the alphabet's order, or in the one that the user gives; g(r) of their pairs follows it."""
    atoms = ase.build.bulk("NaCl", "rocksalt", a=5.64, cubic=True) * (4, 4, 4)
    atoms.symbols[0] = "Cl"
    atoms.wrap()
    path = tmp_path / "salt.xyz"
    ase.io.write(path, atoms, format="extxyz")
    counts, firsts = {}, {}
    for given in ("", "Na,Cl"):
        out = str(tmp_path / f"salt{given}.h5")
        words = [
            "classify",
            str(path),
            "--out",
            out,
            "--types",
            "--analyze",
            "rdf cutoff 4 bins 40",
        ]
        assert cli.main(words + (["--species", given] if given else [])) == 0
        said = capsys.readouterr().err
        assert ("1 is Na, 2 is Cl" if given else "1 is Cl, 2 is Na") in said
        history = insitu.open(out)
        assert json.loads(history.attrs["types"]) == (["Na", "Cl"] if given else ["Cl", "Na"])
        counts[given] = history["count_by_type"].values[0].sum(-1).tolist()
        # Those on the other's place have neighbours of their own kind: one Cl.
        firsts[given] = history["rdf"].sel(pair=["1-1", "2-2"]).values[0].max(-1).tolist()
    assert counts == {"": [257, 255], "Na,Cl": [255, 257]}
    assert firsts[""] == firsts["Na,Cl"][::-1]
    ase.io.write(
        path, [atoms, ase.build.bulk("NiO", "rocksalt", a=4.2, cubic=True) * 4], format="extxyz"
    )
    with pytest.raises(SettingError, match=r"has the element Ni, .* --species Cl,Na,Ni"):
        classify(path, out=str(tmp_path / "b.h5"), types=True)
    with pytest.raises(SettingError, match=r"has the element Na, .* --species Cl,Na"):
        classify(path, out=str(tmp_path / "c.h5"), types=True, species=("Cl",))


@pytest.mark.parametrize("words", [["--types"], ["--analyze", "rdf cutoff 4 bins 40"]])
def test_a_history_goes_on_with_the_elements_that_it_counts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    """The second of two elements is sodium in the one file and potassium in the other."""
    for name, a in (("NaCl", 5.64), ("KCl", 6.3)):
        atoms = ase.build.bulk(name, "rocksalt", a=a, cubic=True) * 3
        ase.io.write(tmp_path / f"{name}.xyz", atoms, format="extxyz")
    begin = [*words, "--out", str(tmp_path / "a.h5"), "--if-exists", "append"]
    assert cli.main(["classify", str(tmp_path / "NaCl.xyz"), *begin]) == 0
    assert cli.main(["classify", str(tmp_path / "KCl.xyz"), *begin]) == 2
    said = capsys.readouterr().err
    assert 'has types ["Cl", "Na"], and this run has ["Cl", "K"]' in said
    assert cli.main(["classify", str(tmp_path / "NaCl.xyz"), *begin]) == 0
    # Nor are two histories of other elements one run.
    begin[begin.index(str(tmp_path / "a.h5"))] = str(tmp_path / "b.h5")
    assert cli.main(["classify", str(tmp_path / "KCl.xyz"), *begin]) == 0
    with pytest.raises(HistoryError, match=r'types.*"Na"'):
        insitu.open([tmp_path / "a.h5", tmp_path / "b.h5"])


def test_times_of_files_that_have_none(
    tmp_path: Path, sample: tuple[np.ndarray, np.ndarray]
) -> None:
    r, cell = sample
    path, out = tmp_path / "a.dump", str(tmp_path / "a.h5")
    r, cell = 0.11 * r, 0.11 * cell  # nm; copper as wide as aluminium
    path.write_text(frame(r, cell, 0) + frame(r, cell, 50))
    lines, _ = classify(path, units="nano", timestep=0.002, model="crystals-cnn", out=out)
    assert lines[1].startswith("frame 1  step 50  time 0.1 ns  864 atoms  fcc")
    assert insitu.open(str(tmp_path / "a.h5"))["time"].attrs["units"] == "ns"
    classify(path, out=str(tmp_path / "b.h5"))
    assert insitu.open(str(tmp_path / "b.h5"))["time"].values.tolist() == [0.0, 50.0]


def test_a_step_twice_is_once_in_the_history(
    tmp_path: Path, sample: tuple[np.ndarray, np.ndarray]
) -> None:
    path = tmp_path / "a.dump"
    path.write_text("".join(frame(*sample, s) for s in (0, 5, 5, 9)))
    lines, told = classify(path, out=str(tmp_path / "a.h5"))
    assert len(lines) == 4
    assert insitu.open(str(tmp_path / "a.h5"))["step"].values.tolist() == [0, 5, 9]
    assert any("step 5 is not in the history" in t for t in told)


def test_several_processes_give_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.dump"
    path.write_text("".join(frame(*hot(6, s), s) for s in range(7)))
    alone, _ = classify(path, workers=1, out=str(tmp_path / "a.h5"))
    monkeypatch.setattr(offline_files, "_ALONE", 0.0)
    many, _ = classify(path, workers=2, out=str(tmp_path / "b.h5"))
    assert many == alone
    one, two = (insitu.open(str(tmp_path / f"{k}.h5")) for k in "ab")
    assert (one["count"] == two["count"]).all()
    np.testing.assert_array_equal(one["confidence"].values, two["confidence"].values)
    path.write_text(path.read_text() + "not a row\n")
    seen: list[str] = []
    lines = classify_files([str(path)], Options(workers=2), tell=seen.append)
    with pytest.raises(SettingError, match="stands where a frame should begin"):
        seen += lines
    assert len(seen) == 7  # what came before is there


def test_advice_is_given_once(tmp_path: Path) -> None:
    """As in a run: a density that the model never saw, cells that are their own neighbours."""
    r, cell = hot(5)
    path = tmp_path / "a.dump"
    path.write_text(frame(1.4 * r, 1.4 * cell, 0) + frame(1.4 * r, 1.4 * cell, 1))
    _, told = classify(path, model="crystals-cnn")
    assert len(told) == 1
    assert "labels cannot be relied on at this density" in told[0]
    path.write_text(header(0, 1, np.eye(3) * 9.0, "id x y z") + rows([1], [0.0], [0.0], [0.0]))
    lines, told = classify(path)
    assert lines == ["frame 0  step 0  1 atoms  unknown 100.00 %"]
    assert "the periodic cell is so small" in told[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty; give a file"),
        (b"\n \n", "is empty; give a file"),
        (b"hello\nworld\n", "is of no format that insitu or ASE tells|cannot be read by ASE"),
        (b"\x1f\x8b\x08\x00", "cut before anything can be unpacked"),
        (b"ITEM: TIMESTEP\n0\n", "has no complete frame"),
        (b"ITEM: TIMESTEP\n0\nITEM: NUMBER OF ENTRIES\n5\n", "not of a dump of atoms"),
    ],
)
def test_errors_are_one_sentence(
    tmp_path: Path, content: bytes, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.unknown"
    path.write_bytes(content)
    assert cli.main(["classify", str(path)]) == 2
    error = capsys.readouterr().err
    assert "damaged" not in error
    assert "Traceback" not in error
    with pytest.raises(SettingError, match=message):
        classify(path)


def test_zstd_without_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sample: tuple[np.ndarray, np.ndarray]
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "zstandard", None)
    path = tmp_path / "a.dump.zst"
    path.write_bytes(b"\x28\xb5\x2f\xfd" + bytes(50))
    with pytest.raises(SettingError, match=r"pip install zstandard, or unpack it \(zstd -d\)"):
        classify(path)


def test_patterns_and_missing_files(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="matches no file"):
        classify(tmp_path / "none.*")
    with pytest.raises(SettingError, match="not a file; give a configuration"):
        classify(tmp_path / "none")
    for wrong in ({"workers": 0}, {"timestep": 0.0}, {"units": "inch"}, {"if_exists": "maybe"}):
        with pytest.raises(SettingError):
            Options(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("boundary", ["s s s", "p p f", "p s m", "p p p"])
def test_labels_are_those_of_the_run(potentials: Path, tmp_path: Path, boundary: str) -> None:
    """A hot sample below and above zero, in situ on two ranks and from its dump, atom by atom."""
    host: Host = require("wheel")
    deck = (
        f"units metal\nboundary {boundary}\nlattice fcc 4.05\n"
        "region b block -4 4 -3 5 -40 2\nregion part block -4 4 -3 5 -9 -3\n"
        "create_box 1 b\ncreate_atoms 1 region part\n"
        + ("region ball sphere 0 1 -6 3.9\ngroup ball region ball\ngroup rest subtract all ball\n"
           "delete_atoms group rest\n" if boundary == "s s s" else "")
        + f"pair_style eam/fs\npair_coeff * * {potentials / 'Al_mm.eam.fs'} Al\ncomm_modify cutoff 9.1\n"
        "velocity all create 900 4711\nfix move all nve\nfix columns all property/atom i_phase\n"
        + host.monitor(40, file="phases.h5", labels="i_phase")
        + "dump d all custom 40 run.dump id type x y z i_phase\ndump_modify d format float %20.16g\n"
        "run 40\n"
    )  # fmt: skip
    run = host.run(tmp_path, deck, 2)
    assert run.code == 0, run.text[-3000:]
    classify(tmp_path / "run.dump", index="1", labels=str(tmp_path / "l.xyz"))
    found = ase.io.read(tmp_path / "l.xyz")
    text = (tmp_path / "run.dump").read_text().split("ITEM: ATOMS")[2].splitlines()[1:]
    inside = {int(w[0]): int(w[5]) for w in (line.split() for line in text)}
    mine = dict(zip(found.arrays["id"].tolist(), found.arrays["phase"].tolist(), strict=True))
    assert mine == inside
    assert (np.array(list(mine.values())) == 1).mean() > 0.9
