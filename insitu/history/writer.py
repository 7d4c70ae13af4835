# SPDX-License-Identifier: BSD-3-Clause
"""Write the history of a run: H5MD 1.1, one frame at a time, on rank 0.

The file survives a kill at any moment, and a full disk. HDF5 changes a file in many small writes;
those of most frames only fill space that is already allocated, and in whichever order they reach
the file, it stays readable with every earlier frame. The changes for which that does not hold (new
chunks every 64 frames, dropped frames) are made in a copy, which then replaces the file at once.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from insitu.analyses.base import Observable
from insitu.errors import HistoryError, did_you_mean
from insitu.history.check import half_written, leftovers
from insitu.history.elements import FORMAT, disabled, elements, opened
from insitu.history.file_access import Disk, check_writable, explained, free_name, lock
from insitu.history.layout import check_same, lay_out, store

__all__ = ["Observable", "Series", "check_writable"]

log = logging.getLogger(__name__)

# The 1.8 format is read by everything, and is not marked as "in use" while a writer has it open.
_LIBVER = ("earliest", "v108")
_CHUNK_FRAMES = 64
_CHUNK_BYTES = 1 << 20


class Series:
    """A history that is open for writing; `create` makes one.

    Attributes
    ----------
    path
        The file, with symbolic links resolved.
    last_step, last_time
        Step and time of the last frame in the file, None while there is none.
    """

    def __init__(
        self, path: Path, observables: Sequence[Observable], if_exists: str = "refuse"
    ) -> None:
        self.path = path
        self.last_step: int | None = None
        self.last_time: float | None = None
        #: What had to be mended when the file was opened, after a writer was killed.
        self.repairs: list[str] = []
        self._if_exists, self._wanted = if_exists, path
        self._observables = {o.path: o for o in observables}
        widest = max(np.dtype(o.dtype).itemsize * int(np.prod(o.shape)) for o in observables)
        self._chunk = int(np.clip(_CHUNK_BYTES // max(1, widest), 1, _CHUNK_FRAMES))
        self._frames = 0
        # HDF5's view of the file is opened for each frame. One that is open when the process ends
        # would be closed by HDF5 itself, behind Python's back: behind Disk's.
        self._disk: Disk | None = None

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
        target = free_name(path) if if_exists == "new" else path
        series = cls(Path(os.path.realpath(target)), observables, if_exists)
        series._wanted = Path(os.path.realpath(path))
        about = {"time_unit": time_unit, "classes": list(classes), "codes": list(map(int, codes))}
        with explained(f"file='{series.path}' could not be opened for writing"):
            if if_exists == "append" and series.path.exists():
                series._continue(about, provenance, first_step)
            else:
                with series._replacing(copy=False) as file:
                    lay_out(file, list(observables), series._chunk, about)
                    store(file.create_group("parameters/insitu"), {"insitu_format": FORMAT})
                    store(file["parameters/insitu"], provenance)
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
        rows = self._rows(step, time, values)
        intact = f"the {self._frames} frames before it are intact"
        with explained(f"file='{self.path}': step {step} could not be written, {intact}"):
            disk = self._in_place()
            if self._frames % self._chunk:
                disk.error = None
                with h5py.File(disk, "r+", libver=_LIBVER) as file:
                    self._put(file, rows)
                disk.check()
            else:  # this frame needs new chunks
                with self._replacing(copy=True) as file:
                    self._put(file, rows)
        self._frames += 1
        self.last_step, self.last_time = int(step), float(time)

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
                "define the analysis anew behind the reset, with another file."
            )
        with explained(f"file='{self.path}' could not be continued at step {step}"):
            self._in_place()
            self._drop(first_step)
        return self

    def note_disabled(self, step: int, reason: str) -> None:
        """Record that from a step on the run was not analysed, and why.

        Raises
        ------
        HistoryError
            It cannot be written.
        """
        with explained(f"file='{self.path}' could not be written"), self._replacing(copy=True) as f:
            noted = disabled(f)
            store(f["parameters/insitu"], {"disabled": [*noted, {"step": step, "reason": reason}]})

    def close(self) -> None:
        """Close the file; calling it again does nothing."""
        if self._disk is not None:
            self._disk.close()
            self._disk = None

    def _rows(self, step: int, time: float, values: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
        """Return what to write by dataset name, `step` last: it is what makes a frame count."""
        if self._disk is None:
            raise HistoryError(f"file='{self.path}' is closed; open it with if_exists='append'.")
        if self.last_step is not None and step <= self.last_step:
            raise HistoryError(
                f"step {step} is not after step {self.last_step}, the last in '{self.path}'; write "
                "frames in the order of their steps, behind begin() if the clock was set back."
            )
        if missing := sorted(self._observables.keys() - values.keys()):
            raise HistoryError(f"step {step} lacks {', '.join(missing)}; give every observable.")
        rows = {}
        for path, value in values.items():
            if path not in self._observables:
                near = did_you_mean(path, self._observables)
                raise HistoryError(f"step {step} has '{path}', which no observable declares.{near}")
            asked, row = self._observables[path], np.asarray(value)
            fits = row.dtype.kind in "iufb" and np.can_cast(row.dtype, asked.dtype, "same_kind")
            if row.shape != asked.shape or not fits:
                raise HistoryError(
                    f"{path} at step {step} is {row.dtype} of shape {row.shape}, and the history "
                    f"takes {asked.dtype} of shape {asked.shape}; correct the analyzer."
                )
            rows[f"{path}/value"] = row.astype(asked.dtype, order="C")
        first = next(iter(self._observables))
        rows[f"{first}/time"] = np.asarray(time, dtype="f8")
        rows[f"{first}/step"] = np.asarray(step, dtype="i8")
        return rows

    def _put(self, file: h5py.File, rows: Mapping[str, NDArray[Any]]) -> None:
        # HDF5's own calls: the convenient ones of h5py take three times as long, every frame.
        at = self._frames
        for name, row in rows.items():
            dataset = h5py.h5d.open(file.id, f"observables/{name}".encode())
            dataset.set_extent((at + 1, *row.shape))
            space = dataset.get_space()
            space.select_hyperslab((at, *(0,) * row.ndim), (1, *row.shape))
            dataset.write(h5py.h5s.create_simple((1, *row.shape)), space, row[np.newaxis])

    @contextmanager
    def _replacing(self, *, copy: bool) -> Iterator[h5py.File]:
        """Change a copy of the file (or a new file), which takes its place when that succeeded."""
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}.tmp")
        new = None
        try:
            if copy:
                old = self._in_place()
                old.seek(0)  # closing another descriptor of it would give up the lock
                with open(temporary, "wb") as out:
                    os.fchmod(out.fileno(), os.fstat(old.fileno()).st_mode & 0o777)
                    shutil.copyfileobj(old, out, 1 << 20)
            new = Disk(temporary, "r+" if copy else "w+")
            with h5py.File(new, "r+" if copy else "w", libver=_LIBVER) as file:
                yield file
            new.check()
            lock(new.fileno(), self.path)
            os.fsync(new.fileno())
            if copy:
                self._in_place()
            if copy or self._if_exists in ("append", "overwrite"):
                os.replace(temporary, self.path)
            else:
                self._place(temporary)
        except BaseException:
            if new is not None:
                new.close()
            temporary.unlink(missing_ok=True)
            raise
        self.close()  # it is no longer the history
        self._disk = new

    def _place(self, temporary: Path) -> None:
        """Give a new file its name, unless another run took that name in the meantime."""
        while True:
            try:
                os.link(temporary, self.path)
                break
            except FileExistsError:
                if self._if_exists == "refuse":
                    check_writable(self.path, "refuse")
                self.path = free_name(self._wanted)
            except OSError:  # a file system without links
                os.replace(temporary, self.path)
                return
        temporary.unlink()

    def _in_place(self) -> Disk:
        assert self._disk is not None
        mine = os.fstat(self._disk.fileno())
        if not (self.path.exists() and os.path.samestat(mine, os.stat(self.path))):
            raise HistoryError(
                f"file='{self.path}' was removed or replaced while the run was writing it, or "
                "another analysis in this deck writes it too; give each its own file, and restart."
            )
        return self._disk

    def _continue(
        self, about: Mapping[str, Any], provenance: Mapping[str, Any], first_step: int | None
    ) -> None:
        with opened(self.path) as file:
            check_same(self.path, file, list(self._observables.values()), about, provenance)
        self._disk = Disk(self.path, "r+")
        lock(self._disk.fileno(), self.path)
        self._drop(first_step, provenance)

    def _drop(self, first_step: int | None, provenance: Mapping[str, Any] | None = None) -> None:
        """Remove the frames from a step on, and half-written ones; record who continues here."""
        for rest in leftovers(self.path):  # the lock is ours: nobody is at work on them
            rest.unlink(missing_ok=True)
            self.repairs.append(f"{rest.name} was left beside it and is removed")
        with self._replacing(copy=True) as file:
            frames, begun = half_written(file)
            if begun:
                self.repairs.append(f"frame {frames + 1} was half written and is dropped")
            groups = elements(file).values()
            first = next(iter(groups))
            self._chunk = first["step"].chunks[0]
            steps = first["step"][:frames]
            if first_step is not None:
                steps = steps[steps < first_step]
            kept = len(steps)
            last = (int(steps[-1]), float(first["time"][kept - 1])) if kept else (None, None)
            for group in groups:
                for name in ("value", "step", "time"):
                    group[name].resize(kept, axis=0)
            parameters = file["parameters/insitu"]
            if noted := disabled(file):
                noted = [n for n in noted if first_step is None or n["step"] < first_step]
                store(parameters, {"disabled": noted})
            if provenance is not None:
                number = 1 + sum(isinstance(item, h5py.Group) for item in parameters.values())
                store(parameters.create_group(f"continued_{number}"), provenance)
                if "last_step" in provenance:
                    store(parameters, {"last_step": provenance["last_step"]})
        self._frames = kept
        self.last_step, self.last_time = last
        if self.repairs:
            log.warning(
                "insitu: file='%s' was repaired after its writer was killed, its %d frames are "
                "intact: %s", self.path, frames, "; ".join(self.repairs),
            )  # fmt: skip
