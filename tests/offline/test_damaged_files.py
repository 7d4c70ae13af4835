# SPDX-License-Identifier: BSD-3-Clause
"""Files of all readers that were cut or changed: right data, or one sentence that names the file.

What is cut never gives other frames than the whole file has, and is never passed over in silence. What was
changed may be a whole file of other numbers; but it gives an error of ours or frames that can be analysed.
"""

import bz2
import gzip
import lzma
import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import ase.build
import ase.io
import MDAnalysis
import numpy as np
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from offline.dumps import binary, frame, header, hot, rows
from offline.test_h5md import lammps

from insitu.errors import InsituError, SettingError
from insitu.offline.files import classify_files
from insitu.offline.options import Options
from insitu.offline.readers.configuration import Configuration
from insitu.offline.readers.trajectories import read_many

R, CELL = hot(2)
N, EDGE = len(R), CELL[0, 0]
FRAMES = [(R + 0.01 * k) % EDGE for k in range(3)]
#: XTC and TRR start a process for each file; CIF is slow in ASE.
SLOW = ("xtc", "trr", "cif")


def _text(columns: str = "id type x y z") -> bytes:
    return "".join(frame(r, CELL, 10 * k, columns=columns) for k, r in enumerate(FRAMES)).encode()


def _named() -> bytes:
    first = [range(1, N + 1), [1] * N, ["Cu"] * N]
    return "".join(
        header(k, N, CELL, "id type element xs ys zs") + rows(*first, *(r / EDGE).T.tolist())
        for k, r in enumerate(FRAMES)
    ).encode()


def _by_ase(path: Path, **how: object) -> None:
    atoms = [ase.Atoms(f"Cu{N}", r, cell=CELL, pbc=True) for r in FRAMES]
    several = path.suffix in (".xyz", ".extxyz", ".traj")
    ase.io.write(path, atoms if several else atoms[0], **how)


def _by_mdanalysis(path: Path) -> None:
    u = MDAnalysis.Universe.empty(N, trajectory=True)
    for name, values in (
        ("names", ["Cu"] * N),
        ("elements", ["Cu"] * N),
        ("resnames", ["X"]),
        ("resids", [1]),
    ):
        u.add_TopologyAttr(name, values)
    u.dimensions = [EDGE] * 3 + [90.0] * 3
    some = {"multiframe": True} if path.suffix == ".pdb" else {}
    with MDAnalysis.Writer(str(path), N, **some) as writer:
        for k, r in enumerate(FRAMES if path.suffix != ".gro" else FRAMES[:1]):
            u.atoms.positions = r
            u.trajectory.ts.frame = k
            u.trajectory.ts.data["step"] = 10 * k
            writer.write(u.atoms)


def _xyz_of_types() -> bytes:
    return "".join(
        f"{N}\n Atoms. Timestep: {10 * k}\n"
        + "".join(f"1 {x:.6f} {y:.6f} {z:.6f}\n" for x, y, z in r)
        for k, r in enumerate(FRAMES)
    ).encode()


MADE: dict[str, bytes | Callable[[Path], None]] = {
    "a.dump": _text(), "named.dump": _named(), "a.dump.gz": gzip.compress(_text()),
    "a.dump.bz2": bz2.compress(_text()), "a.dump.xz": lzma.compress(_text()),
    "a.dump.zst": zstandard.ZstdCompressor(write_checksum=True).compress(_text()),
    "a.bin": b"".join(binary(r, CELL, 10 * k, units="metal") for k, r in enumerate(FRAMES)),
    "types.xyz": _xyz_of_types(), "a.h5": lambda path: lammps(path, (R, CELL)),
    "a.data": lambda path: _by_ase(path, format="lammps-data", atom_style="atomic"),
    "a.vasp": lambda path: _by_ase(path, direct=True),
    **dict.fromkeys(("a.xyz", "a.extxyz", "a.traj", "a.cif"), _by_ase),
    **dict.fromkeys(("a.dcd", "a.trr", "a.xtc", "a.pdb", "a.gro"), _by_mdanalysis),
}  # fmt: skip
FAST = [name for name in MADE if not name.endswith(SLOW)]


class Wholes(dict[str, tuple[bytes, list[Configuration]]]):
    """Bytes of each whole file, and its frames."""

    def __repr__(self) -> str:  # hypothesis prints it
        return "wholes"


@contextmanager
def in_time(seconds: int = 60) -> Iterator[None]:
    """A hang is an error; the time is far above what any of these files takes."""

    def late(*_: object) -> None:
        raise TimeoutError("it hangs")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def read(path: Path) -> tuple[list[Configuration], list[str]]:
    """Frames, and what was said; an error is one sentence that names the file."""
    told: list[str] = []
    found: list[Configuration] = []
    with in_time(), warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # of libraries, after an error
        try:
            for _, _, c in read_many([str(path)], ":", told.append):
                found.append(c)
        except InsituError as error:
            told.append(str(error))
    for text in told:
        assert path.name in text
        assert text.isprintable()
        assert len(text) < 700
    return found, told


@pytest.fixture(scope="module")
def wholes(
    tmp_path_factory: pytest.TempPathFactory,
) -> Wholes:
    folder, found = tmp_path_factory.mktemp("whole"), Wholes()
    for name, made in MADE.items():
        path = folder / name
        if isinstance(made, bytes):
            path.write_bytes(made)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                made(path)
        frames, told = read(path)
        assert not told
        assert len(frames) in (1, 3)
        expected = FRAMES[0] if name != "a.h5" else R
        assert np.abs(frames[0].positions - expected).max() < 1e-2
        found[name] = path.read_bytes(), frames
    return found


def same(a: Configuration, b: Configuration) -> bool:
    """Whether two frames say the same of positions, cell and identity."""
    if a.positions.shape != b.positions.shape or np.abs(a.positions - b.positions).max() > 1e-12:
        return False  # the last of 17 digits can be missing
    for name in ("cell", "pbc", "ids", "types", "names"):
        x, y = getattr(a, name), getattr(b, name)
        if (x is None) != (y is None) or (x is not None and not np.array_equal(x, y)):
            return False
    return a.step == b.step


def cut(name: str, at: int, whole: tuple[bytes, list[Configuration]], folder: Path) -> None:
    raw, frames = whole
    path = folder / name
    path.write_bytes(raw[:at])
    found, told = read(path)
    assert len(found) <= len(frames)
    if name == "a.cif":  # has no count: a row fewer is a whole file
        return
    for mine, theirs in zip(found, frames, strict=False):
        assert same(mine, theirs) or told
    if len(found) < len(frames):
        # Cut between two frames it is a whole file.
        frame_of_dcd = 3 * (4 * N + 8) + 56
        rest = raw[at:].lstrip(b"\n")
        between = rest[:8] == raw[:8] or rest.startswith((b"MODEL", b"END"))
        assert told or between or (name == "a.dcd" and (len(raw) - at) % frame_of_dcd == 0)


def change(name: str, raw: bytes, edits: list[tuple[float, int, int]], folder: Path) -> None:
    data = bytearray(raw)
    for where, kind, value in edits:
        at = min(int(where * len(data)), len(data) - 1)
        if kind == 0:
            data[at] ^= 1 << value % 8
        elif kind == 1:
            data[at] = value
        elif kind == 2:
            del data[at : at + 1 + value % 9]
        else:
            data[at:at] = b"0123456789 -.\n\xff\x00eE:ITM"[value % 22 :][:1]
        data = data or bytearray(b"x")
    (folder / name).write_bytes(data)
    found, _ = read(folder / name)
    for c in found:
        assert np.isfinite(c.positions).all()
        assert np.isfinite(c.cell).all()
        assert c.types is None or len(c.types) == len(c)


EDITS = st.lists(
    st.tuples(
        st.floats(0, 1, exclude_max=True) | st.floats(0, 0.08), st.integers(0, 3), st.integers(0, 255)
    ),
    min_size=1, max_size=4,
)  # fmt: skip
FEW = settings(
    max_examples=110, deadline=None, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
MANY = settings(FEW, max_examples=3000)


@FEW
@given(name=st.sampled_from(FAST), where=st.floats(0, 1, exclude_max=True))
def test_cut_anywhere(wholes: Wholes, tmp_path: Path, name: str, where: float) -> None:
    cut(name, int(where * len(wholes[name][0])), wholes[name], tmp_path)


@FEW
@given(name=st.sampled_from(FAST), edits=EDITS)
def test_changed_anywhere(
    wholes: Wholes, tmp_path: Path, name: str, edits: list[tuple[float, int, int]]
) -> None:
    change(name, wholes[name][0], edits, tmp_path)


@pytest.mark.full
@MANY
@given(name=st.sampled_from(FAST), edits=EDITS)
def test_changed_anywhere_many(
    wholes: Wholes, tmp_path: Path, name: str, edits: list[tuple[float, int, int]]
) -> None:
    change(name, wholes[name][0], edits, tmp_path)


@pytest.mark.full
@settings(FEW, max_examples=60)
@given(name=st.sampled_from([n for n in MADE if n not in FAST]), edits=EDITS)
def test_changed_anywhere_in_files_that_are_slow_to_read(
    wholes: Wholes, tmp_path: Path, name: str, edits: list[tuple[float, int, int]]
) -> None:
    change(name, wholes[name][0], edits, tmp_path)


@pytest.mark.full
@pytest.mark.parametrize("name", list(MADE))
def test_cut_all_along(wholes: Wholes, tmp_path: Path, name: str) -> None:
    """At some hundred places, and at each byte of the last row."""
    n = len(wholes[name][0])
    places = (20, 8) if name not in FAST else (400, 60)
    at = {
        *np.linspace(0, n - 1, places[0], dtype=int),
        *np.linspace(n - 60, n - 1, places[1], dtype=int),
    }
    for k in sorted(at):
        cut(name, int(k), wholes[name], tmp_path)


def lines(path: Path, text: str | bytes, **options: object) -> tuple[list[str], list[str]]:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    told: list[str] = []
    with in_time():
        return list(
            classify_files(
                [str(path)], Options(workers=1, device="cpu", **options), tell=told.append
            )  # type: ignore[arg-type]
        ), told


def dump(columns: str = "id type x y z", **values: object) -> str:
    first = {"id": range(1, N + 1), "type": [1] * N} | values
    known = [first[c] for c in columns.split() if c in first]
    return header(0, N, CELL, columns) + rows(*known, *R.T.tolist())


@pytest.mark.parametrize(
    ("text", "message", "options"),
    [
        (frame(np.where(np.arange(N)[:, None] == 5, np.nan, R), CELL),
         r"frame 0 \(step 0\): the position of the atom of id 6 is \[nan.*--index", {}),
        (dump(type=[1.5] * N), "row 1 .* column type", {}),
        (dump(type=[10**12] * N), "column type", {}),
        (dump(id=["nan"] * N), "column id", {}),
        (dump(type=[2 * 10**9] * N), "1 … 1000", {"types": True}),
        (dump(type=[0] * N), "has the types 0", {"types": True}),
        (dump(id=[1] * N), "several atoms have the id 1", {"analyze": "rdf cutoff 5"}),
        (header(0, N, CELL, "id type x y z x") + rows(range(N), [1] * N, *R.T.tolist(), [0] * N),
         "the column x twice", {}),
        (header(0, N, CELL, "id vx vy vz") + rows(range(N), *R.T.tolist()), "no positions", {}),
        (frame(R, CELL).replace(f"{0:.16e} {EDGE:.16e}", "0 -5", 1), "end is below", {}),
        (frame(R, CELL).replace(f"{0:.16e} {EDGE:.16e}", "0 1e-9", 1), "frame 0: the cell is so thin", {}),
        (frame(R, CELL).replace(f"{0:.16e} {EDGE:.16e}", "0 inf", 1), "the cell is", {}),
        (frame(R, CELL).replace("TIMESTEP\n0", f"TIMESTEP\n{10**25}"), "64 bits", {}),
        ("ITEM: TIME\nnan\n" + frame(R, CELL), "its time is nan", {}),
        (dump("id type element x y z", element=[b"\xc9".decode("latin1")] * N), "", {}),
    ],
)  # fmt: skip
def test_numbers_that_are_none(
    tmp_path: Path, text: str, message: str, options: dict[str, object]
) -> None:
    from insitu.analyses.requests import requests

    more = dict(options)
    if "analyze" in more:
        more["analyze"] = requests(str(more["analyze"]))
    if more:
        more["out"] = str(tmp_path / "h.h5")
    if not message:  # a name that is no element is no error
        assert len(lines(tmp_path / "a.dump", text)[0]) == 1
        return
    with pytest.raises(InsituError, match=message) as error:
        lines(tmp_path / "a.dump", text, **more)
    if "analyze" not in options:
        assert "a.dump" in str(error.value)


def test_an_id_that_comes_twice_is_said_once(tmp_path: Path) -> None:
    found, told = lines(tmp_path / "a.dump", dump(id=[1] * N) * 2)
    assert len(found) == 2
    assert len([t for t in told if "several atoms have the id 1" in t]) == 1


def test_a_data_file_that_was_cut_says_how_much_is_there(tmp_path: Path, wholes: Wholes) -> None:
    text = wholes["a.data"][0].decode()
    path = tmp_path / "a.data"
    short = "\n".join(text.rstrip().split("\n")[:-5]) + "\n"
    with pytest.raises(SettingError, match=f"has {N - 5} of {N} complete rows"):
        lines(path, short)
    with pytest.raises(SettingError, match=f"has {N - 1} of {N} complete rows"):
        lines(path, text.rstrip()[:-3])
    with pytest.raises(SettingError, match=r"line \d+: .* 4 columns, those before it 5"):
        lines(path, text.rstrip().rsplit("\n", 3)[0] + "\n9 1 1.0 2.0\n" + "9 1 1 1 1\n" * 2)
    assert len(lines(path, text.rstrip())[0]) == 1


def test_types_of_dump_xyz_with_atoms_that_come_and_go(tmp_path: Path) -> None:
    """MDAnalysis takes all frames to be of the first one's size."""
    path = tmp_path / "a.xyz"
    path.write_bytes(
        b"".join(
            f"{n}\n Atoms. Timestep: {n}\n".encode() + b"2 1.0 2.0 3.5\n" * n for n in (3, 5, 2)
        )
    )
    found, told = read(path)
    assert [(len(c), c.step) for c in found] == [(3, 3), (5, 5), (2, 2)]
    assert found[1].types.tolist() == [2] * 5
    assert found[1].positions[4].tolist() == [1.0, 2.0, 3.5]
    assert not told


@pytest.mark.parametrize("name", ["rounded.xyz", "repr.xyz", "two.xyz", "columns.xyz", "end.pdb"])
def test_whole_files_without_a_last_newline_or_with_other_columns_are_read(
    tmp_path: Path, name: str
) -> None:
    """Python writes numbers without zeros at their end: fewer decimals prove nothing."""
    path = tmp_path / name
    if name.endswith(".pdb"):
        atoms = ase.build.bulk("Fe", cubic=True) * (4, 4, 4)
        atoms.write(path)
        path.write_text(
            path.read_text().rstrip().removesuffix("ENDMDL").rstrip().replace("MODEL     1\n", "")
            + "\nEND"
        )
    else:
        atoms = ase.build.bulk("Fe", cubic=True) * ((1, 1, 1) if name == "two.xyz" else (4, 4, 4))
        r = atoms.positions[::-1].copy()
        if name in ("rounded.xyz", "repr.xyz"):
            r += np.random.default_rng(1).normal(0.0, 0.05, r.shape)
            r = np.round(r, 4) if name == "rounded.xyz" else r
            r[-1, 2] = 0.5
        numbers = name == "columns.xyz"
        kinds = "Z:I:1:pos:R:3:m:R:1" if numbers else "species:S:1:pos:R:3"
        lattice = " ".join(map(str, atoms.cell.array.ravel().tolist()))
        rows = [
            f"{26 if numbers else 'Fe'} {x} {y} {z}{' 1.0' if numbers else ''}"
            for x, y, z in r.tolist()
        ]
        path.write_text("\n".join([str(len(r)), f'Lattice="{lattice}" Properties={kinds}', *rows]))
    (found,), told = read(path)
    assert len(found) == len(atoms)
    assert not [t for t in told if "incomplete" in t or "was cut" in t]
