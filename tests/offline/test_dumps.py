# SPDX-License-Identifier: BSD-3-Clause
"""The reader of LAMMPS' dumps: every kind that LAMMPS writes, and wherever a file was cut."""

import bz2
import contextlib
import gzip
import lzma
import re
from pathlib import Path

import numpy as np
import pytest
from conftest import require
from hypothesis import given, settings
from hypothesis import strategies as st
from offline.dumps import binary, frame, header, hot, rows

from insitu.errors import SettingError
from insitu.offline.readers.configuration import Configuration
from insitu.offline.readers.trajectories import parse_index, read_many


def read(path: Path, index: str = ":") -> tuple[list[Configuration], list[str]]:
    told: list[str] = []
    return [c for _, _, c in read_many([str(path)], index, told.append)], told


def small(n: int = 5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    return np.random.default_rng(seed).uniform(0, 9, (n, 3)), np.diag([9.0, 10.0, 11.0])


def test_a_dump(tmp_path: Path) -> None:
    r, cell = small()
    path = tmp_path / "a.dump"
    units = "ITEM: UNITS\nreal\nITEM: TIME\n2.5\n"
    path.write_text(frame(r, cell, 7, before=units) + frame(r + 1, cell, 9, before="ITEM: TIME\n3.5\n",
                                                            flags="pp fs mm"))  # fmt: skip
    (one, two), told = read(path)
    assert not told
    assert (one.step, one.time, one.units) == (7, 2.5, "real")
    assert (two.step, two.time, two.units) == (9, 3.5, "real")
    np.testing.assert_allclose(one.positions, r, rtol=1e-9)
    np.testing.assert_array_equal(one.cell, cell)
    assert one.pbc.tolist() == [True] * 3
    assert two.pbc.tolist() == [True, False, False]
    assert one.ids is not None
    assert one.ids.tolist() == [1, 2, 3, 4, 5]
    assert one.names is None


TILTED = np.array([[9.0, 0, 0], [2.0, 10.0, 0], [-3.0, 1.5, 11.0]])
ORIGIN = np.array([-4.0, 100.0, 0.5])


@pytest.mark.parametrize("columns", ["x y z", "xs ys zs", "xu yu zu", "xsu ysu zsu"])
@pytest.mark.parametrize("cell", [np.diag([9.0, 10.0, 11.0]), TILTED])
def test_positions_of_all_kinds(tmp_path: Path, columns: str, cell: np.ndarray) -> None:
    r = np.random.default_rng(0).uniform(0, 1, (6, 3)) @ cell + ORIGIN
    written = (r - ORIGIN) @ np.linalg.inv(cell) if "s" in columns else r
    path = tmp_path / "a.dump"
    path.write_text(frame(written, cell, columns=f"id type {columns}", origin=ORIGIN))
    ((c,), _) = read(path)
    np.testing.assert_allclose(c.positions, r, atol=1e-7)
    np.testing.assert_allclose(c.cell, cell, atol=1e-12)
    np.testing.assert_allclose(c.origin, ORIGIN, atol=1e-12)


def test_what_lammps_writes(tmp_path: Path) -> None:
    """All forms of one frame, from LAMMPS itself: they agree with the one of most digits."""
    host = require("wheel")
    deck = (
        "units real\nlattice fcc 3.6\nregion b prism 0 3 0 3 0 3 1 0.5 0.25\ncreate_box 2 b\n"
        "create_atoms 1 box\nlabelmap atom 1 Cu 2 Zr\nset group all type/fraction 2 0.3 7\n"
        "mass * 63.5\npair_style lj/cut 5\npair_coeff * * 0.1 2.3\nvelocity all create 300 1\n"
        "displace_atoms all random 0.1 0.1 0.1 3\nfix 1 all nve\n"
        "dump a all custom 10 text.dump id type typelabel element x y z ix iy iz\n"
        "dump_modify a element Cu Zr units yes time yes\n"
        "dump b all custom 10 binary.bin id type x y z\ndump_modify b units yes time yes\n"
        "dump c all atom 10 atom.bin\ndump d all custom 10 packed.dump.gz id xs ys zs\n"
        "dump e all custom 10 unwrapped.dump id type xsu ysu zsu\n"
        "dump f all custom 10 many.*.dump id type xu yu zu\n"
        "dump_modify a format float %20.15g\nrun 20\n"
    )
    run = host.run(tmp_path, deck, 2)
    assert run.code == 0, run.text[-2000:]
    found = {
        p.name: read(p) for p in sorted(tmp_path.glob("*.dump*")) + sorted(tmp_path.glob("*.bin"))
    }
    assert not any(told for _, told in found.values())
    want = found["text.dump"][0]
    assert [c.step for c in want] == [0, 10, 20]
    assert want[2].time == 20.0
    assert want[2].units == "real"
    assert want[0].names is not None
    assert set(want[0].names.tolist()) == {"Cu", "Zr"}
    for name, (frames, _) in found.items():
        for c in frames:
            (w,) = [w for w in want if w.step == c.step]
            assert c.ids is not None
            assert w.ids is not None
            mine, its = np.argsort(c.ids), np.argsort(w.ids)
            s = (c.positions[mine] - w.positions[its]) @ np.linalg.inv(w.cell)
            np.testing.assert_allclose(s, np.rint(s), atol=1e-4, err_msg=name)
            np.testing.assert_allclose(c.cell, w.cell, rtol=1e-12)
            if c.types is not None:
                np.testing.assert_array_equal(c.types[mine], w.types[its])
    binary_frames = found["binary.bin"][0]
    assert [(c.time, c.units) for c in binary_frames] == [(c.time, "real") for c in want]


def test_general_triclinic_of_lammps(tmp_path: Path) -> None:
    deck = (
        "units metal\nlattice custom 3.6 a1 0.7 0.7 0.1 a2 0 0.7 0.7 a3 0.7 0 0.7 basis 0 0 0 "
        "triclinic/general\ncreate_box 1 NULL 0 3 0 3 0 3\ncreate_atoms 1 box\nmass 1 63\n"
        "pair_style zero 5\npair_coeff * *\nfix 1 all nve\n"
        "dump a all custom 1 a.dump id x y z xs ys zs\ndump_modify a triclinic/general yes\n"
        "dump b all custom 1 b.bin id x y z\ndump_modify b triclinic/general yes\n"
        "dump c all custom 1 c.dump id x y z\nrun 0\n"
    )
    assert require("wheel").run(tmp_path, deck, 1).code == 0
    (general,), _ = read(tmp_path / "a.dump")
    (as_binary,), _ = read(tmp_path / "b.bin")
    (turned,), _ = read(tmp_path / "c.dump")
    np.testing.assert_allclose(general.cell, as_binary.cell, atol=1e-12)
    np.testing.assert_allclose(general.positions, as_binary.positions, atol=1e-4)
    assert np.linalg.det(general.cell) == pytest.approx(np.linalg.det(turned.cell))
    metric = [c.cell @ c.cell.T for c in (general, turned)]
    np.testing.assert_allclose(metric[0], metric[1], atol=1e-8)


def test_types_and_elements_by_name(tmp_path: Path) -> None:
    r, cell = small(4)
    path = tmp_path / "a.dump"
    kinds = ["Si", "O", "O", "Si"]
    text = header(0, 4, cell, "id type element x y z")
    path.write_text(text + rows(range(4), kinds, kinds, *r.T.tolist()))
    ((c,), _) = read(path)
    assert c.numbers is not None
    assert c.numbers.tolist() == [14, 8, 8, 14]
    assert c.types is not None
    assert c.types.tolist() == [2, 1, 1, 2]
    path.write_text(header(0, 4, cell, "id element x y z")
                    + rows(range(4), ["Cu1"] * 4, *r.T.tolist()))  # fmt: skip
    ((c,), _) = read(path)
    assert c.numbers is None  # no element is invented
    assert c.names is not None
    assert c.names.tolist() == ["Cu1"] * 4


def packed(text: bytes, form: str) -> bytes:
    if form == "zst":
        return bytes(pytest.importorskip("zstandard").ZstdCompressor().compress(text))
    if form == "bz2":
        return bz2.compress(text, 1)  # in blocks of 100 kB: a block that was cut is lost as a whole
    return {"gz": gzip.compress, "xz": lzma.compress}[form](text)


@pytest.mark.parametrize("form", ["gz", "xz", "bz2", "zst"])
def test_compressed_files(tmp_path: Path, form: str) -> None:
    text = b"".join(frame(*hot(6, s), s).encode() for s in range(0, 100, 5))  # 0.8 MB
    data = packed(text, form)
    path = tmp_path / "a.dump.packed"
    path.write_bytes(data)
    found, told = read(path)
    assert [c.step for c in found] == list(range(0, 100, 5))
    assert not told
    path.write_bytes(data + data)  # as `cat` makes them
    assert len(read(path)[0]) == 40
    path.write_bytes(data[: len(data) * 8 // 10])
    found, told = read(path)
    assert 0 < len(found) < 17
    assert [c.step for c in found] == list(range(0, 5 * len(found), 5))
    assert f"frame {len(found)} (step {5 * len(found)}) is incomplete" in told[0]
    assert "was cut" in told[-1]
    path.write_bytes(data[:20])
    with pytest.raises(SettingError, match="cut before anything can be unpacked"):
        read(path)
    wrong = bytearray(data)
    wrong[len(data) // 2 : len(data) // 2 + 50] = bytes(50)
    path.write_bytes(wrong)
    with pytest.raises(SettingError, match=rf"cannot be unpacked \({form}, near byte|line \d+: "):
        read(path)


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_a_file_cut_anywhere(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """The whole frames before the cut, and a word about the one that is not."""
    folder = tmp_path_factory.mktemp("cut")
    r, cell = small(7)
    kind = data.draw(st.sampled_from(["text", "binary"]))
    make = frame if kind == "text" else binary
    parts = [make(r + k, cell, 10 * k) for k in range(3)]
    whole = [p.encode() if isinstance(p, str) else p for p in parts]
    ends = np.cumsum([len(p) for p in whole])
    at = data.draw(st.integers(int(ends[0]), int(ends[-1])))
    path = folder / "a.dump"
    path.write_bytes(b"".join(whole)[:at])
    found, told = read(path)
    complete = int((ends <= at).sum())
    assert [c.step for c in found] == [10 * k for k in range(complete)]
    for k, c in enumerate(found):
        np.testing.assert_allclose(c.positions, r + k, rtol=1e-9)
    assert len(told) == (at not in ends)
    if told:
        assert re.search(rf"frame {complete}\b.*incomplete.*left out", told[0])


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_dump_that_was_cut_and_appended_to(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """A run was killed and its restart appends: only the frame that was cut is lost."""
    folder = tmp_path_factory.mktemp("appended")
    r, cell = small(7)
    whole = [frame(r + k, cell, 10 * k) for k in range(4)]
    # Behind the step, which another frame's beginning could not be told from.
    at = data.draw(st.integers(whole[1].index("NUMBER"), len(whole[1]) - 1))
    path = folder / "a.dump"
    path.write_text(whole[0] + whole[1][:at] + whole[2] + whole[3])
    if at < whole[1].index("ITEM: ATOMS") + len("ITEM: ATOMS id type x y z \n"):
        # Cut in a line of the header, which then is one of neither.
        with contextlib.suppress(SettingError):
            read(path)
        return
    found, told = read(path)
    assert [c.step for c in found] == [0, 20, 30]
    assert len(told) == 1
    assert "frame 1 (step 10) is incomplete" in told[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("3 1 ", "3 x "), r"line 12: 'x' cannot be the column type of '3 x"),
        (("\n3 1 ", "\n3 1 7.5 "), r"line 12: '3 1 7.5 .*has 6 columns and the frame 5"),
        (("ITEM: ATOMS", "ITEM: ENTRIES"), "not of a dump of atoms"),
        (("ITEM: ATOMS id type x y z", "ITEM: ATOMS id type vx vy vz"), "no positions; dump x y z"),
        (("BOUNDS", "BOUND"), "is not of a dump of atoms"),
        (
            ("ITEM: NUMBER OF ATOMS\n5", "ITEM: NUMBER OF ATOMS\nfive"),
            "line 4: 'five' is no number",
        ),
        (
            ("ITEM: NUMBER OF ATOMS\n5", "ITEM: NUMBER OF ATOMS\n4"),
            "stands where a frame should begin",
        ),
    ],
)
def test_errors_name_the_line(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    r, cell = small()
    path = tmp_path / "a.dump"
    text = frame(r, cell)
    assert change[0] in text
    path.write_text(text.replace(*change))
    with pytest.raises(SettingError, match=message):
        read(path)


def test_a_header_that_promises_any_number(tmp_path: Path) -> None:
    """It is not believed before the rows are there."""
    r, cell = small()
    path = tmp_path / "a.dump"
    path.write_text(frame(r, cell).replace("ATOMS\n5\n", "ATOMS\n99999999999999\n"))
    with pytest.raises(SettingError, match="no complete frame"):
        read(path)
    told: list[str] = []
    with pytest.raises(SettingError):
        list(read_many([str(path)], ":", told.append))
    assert "5 of 99999999999999 rows" in told[0]


def test_binary_of_the_other_byte_order_and_damage(tmp_path: Path) -> None:
    r, cell = small(6)
    path = tmp_path / "a.bin"
    path.write_bytes(binary(r, cell, 3, order=">", units="real", time=1.5))
    (c,), _ = read(path)
    np.testing.assert_array_equal(c.positions, r)
    assert (c.step, c.time, c.units) == (3, 1.5, "real")
    path.write_bytes(binary(r, cell, 3) + b"not a frame at all, but long enough to be one")
    with pytest.raises(SettingError, match=r"near byte \d+: a frame does not begin"):
        read(path)
    path.write_bytes(binary(r, cell, 3).replace(b"\2\0\0\0\3", b"\1\0\0\0\3"))
    with pytest.raises(SettingError, match="does not name its columns"):
        read(path)


@pytest.mark.parametrize(
    ("index", "steps"),
    [(":", range(6)), ("0", [0]), ("-1", [5]), ("2:4", [2, 3]), ("::2", [0, 2, 4]), ("1::3", [1, 4]),
     ("-2:", [4, 5]), ("-4:-1:2", [2, 4]), (":99", range(6))],
)  # fmt: skip
def test_frames_are_chosen_through_all_files(tmp_path: Path, index: str, steps: object) -> None:
    r, cell = small()
    for k in range(2):
        (tmp_path / f"{k}.dump").write_text(
            "".join(frame(r, cell, s) for s in range(3 * k, 3 * k + 3))
        )
    files = [str(tmp_path / f"{k}.dump") for k in range(2)]
    found = [c.step for _, _, c in read_many(files, index, lambda text: None)]
    assert found == list(steps)  # type: ignore[call-overload]


@pytest.mark.parametrize("index", ["x", "1:2:3:4", "", "1.5", "::0", "::-1", "a:b"])
def test_an_index_that_is_none(index: str) -> None:
    with pytest.raises(SettingError, match="is no frame and no slice; write 0"):
        parse_index(index)
