# SPDX-License-Identifier: BSD-3-Clause
"""Write the history of a run: H5MD 1.1, one frame at a time, on rank 0; new chunks every 64 frames."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from insitu.analyses.base import Observable
from insitu.errors import HistoryError
from insitu.history.elements import FORMAT, disabled, missing, opened
from insitu.history.integrity import half_written, seal
from insitu.history.layout import check_same, lay_out, store
from insitu.history.writing.continuation import cut, frames_before, replaced, values_before
from insitu.history.writing.direct import Places
from insitu.history.writing.file_access import Disk, check_writable, explained
from insitu.history.writing.rows import Rows
from insitu.history.writing.storage import Storage, leftovers

__all__ = ["Observable", "Series", "check_writable"]

log = logging.getLogger(__name__)

_CHUNK_FRAMES = 64
_CHUNK_BYTES = 1 << 20


class Series:
    """A history that is open for writing; `create` makes one.

    Attributes
    ----------
    last_step, last_time
        Step and time of the last frame in the file, None while there is none.
    """

    def __init__(
        self, storage: Storage, observables: Sequence[Observable], if_exists: str = "refuse"
    ) -> None:
        self.last_step: int | None = None
        self.last_time: float | None = None
        #: What had to be repaired when the file was opened, after a writer was killed.
        self.repairs: list[str] = []
        self._storage, self._if_exists = storage, if_exists
        self._observables, self._rows = tuple(observables), Rows(observables)
        widest = max(np.dtype(o.dtype).itemsize * int(np.prod(o.shape)) for o in observables)
        self._chunk = int(np.clip(_CHUNK_BYTES // max(1, widest), 1, _CHUNK_FRAMES))
        self._frames = 0
        self._missing: list[dict[str, Any]] = []
        #: Whether frames are written without HDF5 where that is possible.
        self.direct = True
        self._placed: Disk | None = None
        self._places: Places | None = None

    @property
    def path(self) -> Path:
        """The file, with symbolic links resolved."""
        return self._storage.path

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        observables: Sequence[Observable],
        *,
        time_unit: str,
        provenance: Mapping[str, Any],
        classes: Sequence[str],
        codes: Sequence[int],
        if_exists: str = "refuse",
        first_step: int | None = None,
        limit: float | None = None,
    ) -> Series:
        """Create a history, or continue an existing one.

        Parameters
        ----------
        path
            The file.
        observables
            What every frame will hold.
        time_unit
            Unit of the simulation time, e.g. ``ps``; empty in reduced units.
        provenance
            How the history was made: text and numbers as they are, anything nested as JSON.
        classes
            Names of the phases in the order of the columns; the last is ``unknown``.
        codes
            The integer of each phase in LAMMPS and in files.
        if_exists
            ``refuse`` an existing file, ``append`` to it, ``overwrite`` it (the old file goes only
            when the new one is complete), or write to the next free name (``new``).
        first_step
            With ``append``, the first step that the run can write: frames from there on are
            dropped, so that a restarted run replaces them.
        limit
            How long the file system is waited for at a time [s]; None: for as long as it takes.

        Raises
        ------
        HistoryError
            The file cannot be written, or what it holds does not fit.
        SettingError
            `if_exists` is not one of the three words.
        """
        if len(classes) != len(codes) or not classes or classes[-1] != "unknown":
            raise HistoryError(
                f"classes={list(classes)} and codes={list(codes)} must be equally many, with "
                "'unknown' last; correct the analyzer that gives them."
            )
        check_writable(path, if_exists)
        series = cls(Storage(path, if_exists, limit), observables, if_exists)
        about = {"time_unit": time_unit, "classes": list(classes), "codes": list(map(int, codes))}
        with explained(f"file='{series.path}' could not be opened for writing"):
            if if_exists == "append" and series.path.exists():
                series._continue(about, provenance, first_step)
            else:
                with series._storage.replaced(copy=False) as file:
                    lay_out(file, list(observables), series._chunk, about)
                    store(file.create_group("parameters/insitu"), {"insitu_format": FORMAT})
                    store(file["parameters/insitu"], provenance)
                    seal(file, 0, series._chunk)
        return series

    def append(self, step: int, time: float, values: Mapping[str, Any]) -> None:
        """Write one frame and flush it.

        Parameters
        ----------
        step, time
            Simulation step, greater than that of the last frame, and time.
        values
            The frame of every observable, by its path.

        Raises
        ------
        HistoryError
            The frame does not fit, or could not be written; every earlier frame is untouched.
        """
        rows = self._next(step, time, values)
        intact = f"the {self._frames} frames before it are intact"
        with explained(f"file='{self.path}': step {step} could not be written, {intact}"):
            # Within the chunks that are there, or with new ones.
            within = self._frames % self._chunk and not self._missing
            places = self._placed_by(rows) if within else None
            if places is not None:
                self._storage.put_directly(places.put, self._frames, rows)
            else:
                change = self._storage.in_place() if within else self._storage.replaced()
                with change as file:
                    if self._missing:
                        noted = [*missing(file), *self._missing]
                        store(file["parameters/insitu"], {"missing": noted})
                        seal(file, self._frames, self._chunk)
                    self._put(file, rows)
        self._missing.clear()
        self._frames += 1
        self.last_step, self.last_time = int(step), float(time)

    @property
    def is_lost(self) -> bool:
        """Whether the file system did not answer in time: nothing more is written."""
        return self._storage.patience.gone

    def note_missing(self, step: int, reason: str) -> None:
        """Remember that a frame could not be written; the next one that can be takes the note along."""
        if self._missing:
            self._missing[-1] |= {"last": step, "frames": self._missing[-1]["frames"] + 1}
        else:
            self._missing.append({"first": step, "last": step, "frames": 1, "reason": reason})

    def begin(self, step: int, first_step: int) -> Series | None:
        """Prepare for a run whose clock was set back (or was not: then nothing happens).

        Parameters
        ----------
        step
            The step that comes next, or at which the run begins.
        first_step
            First step that the run can write: frames from there on belong to the past.

        Returns
        -------
        Series or None
            None where the run needs a file of its own (``if_exists new``); else this one.

        Raises
        ------
        HistoryError
            The steps are in the file already, and `if_exists` does not say what to do with them.
        """
        if self.last_step is None or step > self.last_step:
            return self
        if self._if_exists == "new":
            self.close()
            return None
        if self._if_exists == "refuse":
            raise HistoryError(
                f"step {step} is not after step {self.last_step}, the last in '{self.path}': the "
                "clock was set back (reset_timestep, read_restart, rerun); choose if_exists append "
                "(the frames from there on are replaced) or if_exists new (a file of its own), or "
                "define the analysis again after the reset, with another file."
            )
        with explained(f"file='{self.path}' could not be continued at step {step}"):
            self._drop(first_step)
        return self

    def values_before(self, first_step: int, paths: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Return observables of the last frame before a step by path, and its `step`, if there is one.

        Raises
        ------
        HistoryError
            It cannot be read.
        """
        # Through the descriptor that is held: closing another one would give up the lock.
        with (
            explained(f"file='{self.path}' could not be read"),
            h5py.File(self._storage.held(), "r") as file,
        ):
            return values_before(file, first_step, paths)

    def note_disabled(self, step: int, reason: str) -> None:
        """Record that from a step on the run was not analysed, and why.

        Raises
        ------
        HistoryError
            It cannot be written.
        """
        with (
            explained(f"file='{self.path}' could not be written"),
            self._storage.replaced() as file,
        ):
            noted = [*disabled(file), {"step": step, "reason": reason}]
            store(file["parameters/insitu"], {"disabled": noted})
            seal(file, self._frames, self._chunk)

    def link(self, file: Path, group: str) -> None:
        """Let the history have a group of a file in the same folder, once.

        Raises
        ------
        HistoryError
            It cannot be written.
        """
        with explained(f"file='{self.path}' could not be written"):
            with h5py.File(self._storage.held(), "r") as known:
                there = known.get(group, getlink=True)
            if isinstance(there, h5py.ExternalLink) and there.filename == file.name:
                return
            with self._storage.replaced() as changed:
                if there is not None:
                    del changed[group]
                changed[group] = h5py.ExternalLink(file.name, group)

    def close(self) -> None:
        """Close the file; calling it again does nothing."""
        self._storage.close()

    def _next(self, step: int, time: float, values: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
        """Return what to write, by the path of the dataset."""
        if not self._storage.is_open:
            raise HistoryError(f"file='{self.path}' is closed; open it with if_exists='append'.")
        if self.last_step is not None and step <= self.last_step:
            raise HistoryError(
                f"step {step} is not after step {self.last_step}, the last in '{self.path}'; write "
                "frames in the order of their steps, after begin() if the clock was set back."
            )
        return self._rows.of(step, time, values)

    def _placed_by(self, rows: Mapping[str, NDArray[Any]]) -> Places | None:
        """Return where in the file the next frame is to be; None: only HDF5 knows."""
        if not self.direct:
            return None
        if self._placed is not self._storage.disk:  # another file since the last change in a copy
            self._placed = disk = self._storage.held()
            with h5py.File(disk, "r") as file:
                self._places = Places.of(file, disk.fileno(), list(rows), self._frames)
        return self._places

    def _put(self, file: h5py.File, rows: Mapping[str, NDArray[Any]]) -> None:
        # HDF5's own calls: the convenient ones of h5py take three times as long, every frame.
        at = self._frames
        for name, row in rows.items():
            dataset = h5py.h5d.open(file.id, name.encode())
            dataset.set_extent((at + 1, *row.shape))
            space = dataset.get_space()
            space.select_hyperslab((at, *(0,) * row.ndim), (1, *row.shape))
            dataset.write(h5py.h5s.create_simple((1, *row.shape)), space, row[np.newaxis])

    def _continue(
        self, about: Mapping[str, Any], provenance: Mapping[str, Any], first_step: int | None
    ) -> None:
        with opened(self.path) as file:
            check_same(self.path, file, list(self._observables), about, provenance)
            frames_before(file, first_step)
        self._storage.take()
        self._drop(first_step, provenance)

    def _drop(self, first_step: int | None, provenance: Mapping[str, Any] | None = None) -> None:
        """Remove the frames from a step on, and half-written ones; record who continues here."""
        self._storage.held()
        for rest in leftovers(self.path):  # the lock is ours: nobody is at work on them
            rest.unlink(missing_ok=True)
            self.repairs.append(f"{rest.name} was left beside it and is removed")
        with self._storage.replaced() as file:
            frames, begun = half_written(file)
            if begun:
                self.repairs.append(f"frame {frames + 1} was half written and is dropped")
            kept = frames_before(file, first_step)
            if provenance is not None and kept < frames:
                log.warning("insitu: file='%s': %s", self.path, replaced(file, kept, frames))
            self._chunk = file[f"observables/{self._observables[0].path}/step"].chunks[0]
            last = cut(file, kept, first_step, provenance)
        self._frames = kept
        self.last_step, self.last_time = last or (None, None)
        if self.repairs:
            log.warning(
                "insitu: file='%s' was repaired after its writer was killed, its %d frames are "
                "intact: %s", self.path, frames, "; ".join(self.repairs),
            )  # fmt: skip
