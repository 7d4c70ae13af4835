# SPDX-License-Identifier: BSD-3-Clause
"""What is written of a frame: one row of each dataset, checked against what the observables declare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from insitu.analyses.base import Observable
from insitu.errors import HistoryError, did_you_mean
from insitu.history.integrity import CHECKSUMS, frame_checksum


class Rows:
    """Makes the rows of frames.

    Parameters
    ----------
    observables
        Of the history; the first one's group has the steps and times of all.
    """

    def __init__(self, observables: Sequence[Observable]) -> None:
        self._paths = {o.path: o for o in observables}
        #: Of each frame, in the order of the paths.
        self._datasets = sorted((f"observables/{o.path}/value", o) for o in observables)
        self._first = f"observables/{observables[0].path}"

    def of(self, step: int, time: float, values: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
        """Return what to write of a frame, by the path of the dataset.

        Raises
        ------
        HistoryError
            An observable is missing, unknown, or of another type or shape than it declares.
        """
        if values.keys() != self._paths.keys():
            self._misfit(step, values)
        rows = {name: _row(step, o, values[o.path]) for name, o in self._datasets}
        rows[f"{self._first}/time"] = np.asarray(time, dtype="f8")
        rows[f"{self._first}/step"] = np.asarray(step, dtype="i8")
        rows[f"{CHECKSUMS}/frames"] = np.asarray(frame_checksum(rows.values()), dtype="u4")
        return rows

    def _misfit(self, step: int, values: Mapping[str, Any]) -> NoReturn:
        if missing := sorted(self._paths.keys() - values.keys()):
            raise HistoryError(f"step {step} lacks {', '.join(missing)}; give every observable.")
        path = next(p for p in values if p not in self._paths)
        near = did_you_mean(path, self._paths)
        raise HistoryError(f"step {step} has '{path}', which no observable declares.{near}")


def _row(step: int, asked: Observable, value: Any) -> NDArray[Any]:
    """Return the frame of an observable as it is written."""
    row = np.asarray(value)
    given, wanted = row.dtype, np.dtype(asked.dtype)
    fits = given == wanted or (given.kind in "iufb" and np.can_cast(given, wanted, "same_kind"))
    if row.shape != asked.shape or not fits:
        raise HistoryError(
            f"{asked.path} at step {step} is {given} of shape {row.shape}, and the history "
            f"takes {asked.dtype} of shape {asked.shape}; correct the analyzer."
        )
    return row.astype(wanted, order="C", copy=False)
