# SPDX-License-Identifier: BSD-3-Clause
"""Atoms in several files: what is shown is what all parts have, whatever state a kill leaves them in."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import pytest

from insitu.errors import HistoryError, SettingError
from insitu.history.atoms.layout import ATOM, GROUP, About
from insitu.history.atoms.particles import AtomsFile
from insitu.history.atoms.parts import PartsFile, absent, part_of
from insitu.offline.readers.trajectories import read_many

ABOUT = About("a.h5", [True] * 3, "Angstrom", "ps", ["fcc", "unknown"], [1, 0], ["Al"], "x", 2)
CELL, ORIGIN = 10.0 * np.eye(3), np.zeros(3)


def write(
    shown: PartsFile, parts: Sequence[AtomsFile], step: int, sizes: Sequence[int], low: int = 1
) -> None:
    """Write a frame into the parts, and show it."""
    for part, n in zip(parts, sizes, strict=True):
        atoms = np.zeros(n, dtype=ATOM)
        atoms["id"], atoms["type"] = np.arange(low, low + n), 1
        atoms["position"] = step
        low += n
        frame = part.frame(step, 0.1 * step, CELL, ORIGIN, n)
        frame.put(atoms)
        frame.end()
    shown.append(step, 0.1 * step, CELL, ORIGIN, sizes)


def begun(path: Path, continues: bool = False) -> tuple[PartsFile, list[AtomsFile]]:
    shown = PartsFile(path, ABOUT, continues)
    return shown, [AtomsFile(part_of(path, k), ABOUT, continues) for k in (1, 2)]


def ids(path: Path) -> list[list[int]]:
    with h5py.File(path) as file:
        if "id" not in file[GROUP]:
            return []
        assert absent(file[f"{GROUP}/id/value"]) == []
        return [[i for i in row if i >= 0] for row in file[f"{GROUP}/id/value"][()].tolist()]


@pytest.mark.parametrize("name", ["a.atoms.h5md", "10%b of %d.atoms.h5md"])
def test_parts_that_are_a_frame_ahead(tmp_path: Path, name: str) -> None:
    """A kill between the parts' frame and that of the file that shows them; also a larger frame."""
    path = tmp_path / name
    shown, parts = begun(path)
    write(shown, parts, 10, (3, 4))
    assert ids(path) == [list(range(1, 8))]
    kept = shutil.copy(path, tmp_path / "kept")
    write(shown, parts, 20, (6, 4))
    assert ids(path) == [list(range(1, 8)), list(range(1, 11))]
    shutil.copy(kept, path)
    assert ids(path) == [list(range(1, 8))]
    (tmp_path / f".{path.name}.99.tmp").write_text("of a writer that was killed")
    again, parts = begun(path, continues=True)
    assert (again.last_step, again.frames) == (10, 1)
    assert not list(tmp_path.glob(".*.tmp"))
    for part in parts:
        part.keep_before(11)
    write(again, parts, 20, (2, 2))
    assert ids(path) == [list(range(1, 8)), list(range(1, 5))]


def test_frames_that_come_again_with_fewer_atoms(tmp_path: Path) -> None:
    """No frame is kept: the parts are new ones, and have fewer places."""
    path = tmp_path / "a.atoms.h5md"
    shown, parts = begun(path)
    write(shown, parts, 10, (5, 6))
    shown.keep_before(5)
    assert ids(path) == []
    parts = [AtomsFile(part_of(path, k), ABOUT, False) for k in (1, 2)]
    write(shown, parts, 10, (2, 0))
    assert ids(path) == [[1, 2]]
    with h5py.File(path) as file:
        assert file[f"{GROUP}/id/value"].shape[1] == 2


def test_a_part_that_is_not_beside_it_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.atoms.h5md"
    write(*begun(path), 10, (3, 3))
    part_of(path, 2).unlink()
    with h5py.File(path) as file:
        assert absent(file[f"{GROUP}/id/value"]) == ["a.atoms.2.h5md"]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
def test_a_part_that_was_cut_is_named_as_damaged(tmp_path: Path, share: float) -> None:
    """By who writes on, and by who reads; the disk is not to blame."""
    path = tmp_path / "a.atoms.h5md"
    write(*begun(path), 10, (3, 3))
    part = part_of(path, 2)
    raw = part.read_bytes()
    part.write_bytes(raw[: int(share * len(raw))])
    with pytest.raises(HistoryError, match=r"a\.atoms\.2\.h5md.* damaged .*copy it back") as error:
        AtomsFile(part, ABOUT, True)
    assert "quota" not in str(error.value)
    with pytest.raises(SettingError, match=r"a\.atoms\.2\.h5md' \(.* which is damaged"):
        list(read_many([str(path)], ":", print))
