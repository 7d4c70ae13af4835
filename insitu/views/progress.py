# SPDX-License-Identifier: BSD-3-Clause
"""How far a run is: its history as it is now, its speed, and whether it is still being written.

The file is only read, without a lock. Whether a run still writes it, the lock of the writer tells.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from insitu.errors import HistoryError
from insitu.history.datasets import notes, subset
from insitu.history.reader import EmptyHistoryError
from insitu.history.reader import open as open_history
from insitu.history.writing.file_access import is_written
from insitu.views.lammps_log import target_of

if TYPE_CHECKING:
    import xarray

_RECENT = 20  # frames over which the rate is taken


@dataclass(frozen=True)
class Look:
    """What there was to see at one moment.

    Parameters
    ----------
    path
        The history.
    data
        Its frames so far; None while there are none.
    problem
        Why there are none.
    age
        Time since the file changed [s].
    written
        A process holds the lock of a writer.
    target
        Last step of the run, where it is known.
    """

    path: Path
    data: xarray.Dataset | None
    problem: str
    age: float
    written: bool
    target: int | None

    @property
    def state(self) -> str:
        """One of waiting, running, finished, ended, disabled."""
        if self.data is None:
            return "waiting"
        if self.target is not None and int(self.data["step"][-1]) >= self.target:
            return "finished"
        if any(n["step"] >= int(self.data["step"][-1]) for n in notes(self.data)):
            return "disabled"
        pace = seconds_per_frame(self.data)
        silent = self.age > max(10.0, 3.0 * pace)
        return "ended" if silent and not self.written else "running"


def look(
    path: Path, target: int | None = None, group: str | None = None, kind: int | None = None
) -> Look:
    """Read a history as it is now.

    Parameters
    ----------
    path
        The history; it need not exist yet.
    target
        Last step of the run; otherwise from the history, or LAMMPS' log.
    group, kind
        Show the fractions of a group or atom type.

    Raises
    ------
    HistoryError
        The file is there and is not a history, or has no such group.
    """
    if not path.exists():
        return Look(path, None, "the file does not exist yet", 0.0, False, target)
    for attempt in range(5):
        try:
            data = open_history(path)
            break
        except EmptyHistoryError:
            text = "the run has not reached its first analysed step"
            return Look(path, None, text, 0.0, is_written(path), target)
        except (HistoryError, OSError):
            # Caught between two of the writer's changes? They take milliseconds.
            if not path.exists():
                return Look(path, None, "the file was removed", 0.0, False, target)
            if attempt == 4:
                raise
            time.sleep(0.1)
    age = max(0.0, time.time() - path.stat().st_mtime)
    if target is None:
        # What the run said when it began; it may have been followed by another in the same deck. A
        # log of another run, or of an earlier one of several, says less than the history.
        for found in (data.attrs.get("last_step"), target_of(data.attrs)):
            if isinstance(found, int) and found >= int(data["step"][-1]):
                target = found
                break
    return Look(path, subset(data, group, kind), "", age, is_written(path), target)


def seconds_per_frame(data: xarray.Dataset) -> float:
    """Return the wall time from frame to frame, the mean of the last ones [s]; 0 if unknown."""
    stages = [name for name in data.data_vars if str(name).startswith("timing_")]
    if not stages or data.sizes["step"] < 2:
        return 0.0
    return float(np.nansum([data[name].values[1:][-_RECENT:].mean() for name in stages]))


def steps_per_second(data: xarray.Dataset) -> float:
    """Return how fast the simulation goes, its analysis included; 0 if unknown."""
    pace = seconds_per_frame(data)
    return float(np.diff(data["step"].values)[-_RECENT:].mean()) / pace if pace > 0 else 0.0
