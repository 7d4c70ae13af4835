# SPDX-License-Identifier: BSD-3-Clause
"""Frames that go into a dump and come back; what a dump that is damaged says. Ranks: tests/mpi."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from ase.io import read as ase_read
from hypothesis import given
from hypothesis import strategies as st

from insitu.frame.frame import Frame
from insitu.frame.ranks.reduce import Ranks
from insitu.pipeline import kept_frames
from insitu.pipeline.kept_frames import EXACT, Kept


def kept(step: int, atoms: int, seed: int, first_id: int = 1) -> Kept:
    rng = np.random.default_rng(seed)
    cell = np.array([[9.0, 0, 0], [-1.5, 8.0, 0], [0.5, 2.0, 7.0]])
    positions = rng.random((atoms, 3)) @ cell + 100.0
    frame = Frame.from_arrays(positions, cell, [True, False, True], reach=0.0)
    object.__setattr__(frame, "ids", np.arange(first_id, first_id + atoms))
    object.__setattr__(frame, "step", step)
    return Kept.of(frame, rng.integers(-1, 8, atoms).astype(np.int32))


@given(atoms=st.integers(0, 30), seed=st.integers(0, 99), large=st.booleans())
def test_frames_come_back_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, atoms: int, seed: int, large: bool
) -> None:
    path = tmp_path_factory.mktemp("dump") / "a.before.dump"
    frames = [kept(step, atoms, seed + step, 2**40 if large else 1) for step in (10, 20, 30)]
    assert kept_frames.write(Ranks(), path, "w", frames, EXACT) is None
    found, trouble = kept_frames.read(Ranks(), path, "metal", 25)
    assert trouble is None
    assert [f.step for f in found] == [10, 20]
    for one, other in zip(found, frames, strict=False):
        assert one.head == other.head
        assert one.atoms.dtype == other.atoms.dtype
        assert one.atoms.tobytes() == other.atoms.tobytes()
    if atoms:  # and an independent reader sees them
        theirs = ase_read(path, index=1, format="lammps-dump-text")
        order = np.argsort(frames[1].atoms["id"])
        assert np.abs(theirs.positions - frames[1].atoms["r"][order]).max() < 1e-5


def test_a_dump_that_is_damaged_gives_no_frame(tmp_path: Path) -> None:
    path = tmp_path / "a.before.dump"
    kept_frames.write(Ranks(), path, "w", [kept(10, 5, 1), kept(20, 5, 2)], EXACT)
    whole = path.read_text()
    for text in (
        whole[:-30], whole[: whole.rindex("ITEM: ATOMS") - 3], whole.replace("20\n", "x\n", 1), "other",
        whole.replace("ITEM: NUMBER OF ATOMS\n5", "ITEM: NUMBER OF ATOMS\n4"),
    ):  # fmt: skip
        path.write_text(text)
        found, trouble = kept_frames.read(Ranks(), path, "metal", 100)
        assert found == []
        assert trouble
    found, trouble = kept_frames.read(Ranks(), tmp_path / "none.dump", "metal", 100)
    assert found == []
    assert "FileNotFoundError" in str(trouble)


def test_reading_takes_the_room_of_the_atoms(tmp_path: Path) -> None:
    """Words of a text are many times as large as numbers: they are not all in memory at once."""
    path, frame = tmp_path / "a.before.dump", kept(10, 200_000, 1)
    kept_frames.write(Ranks(), path, "w", [frame], EXACT)
    tracemalloc.start()
    (found,), trouble = kept_frames.read(Ranks(), path, "metal", 100)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert trouble is None
    assert found.atoms.tobytes() == frame.atoms.tobytes()
    assert most < 6 * frame.atoms.nbytes
