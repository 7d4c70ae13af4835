# SPDX-License-Identifier: BSD-3-Clause
"""``xarray.open_dataset("phases.h5", engine="insitu")``; xarray finds this by its entry point."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import xarray
from xarray.backends import BackendEntrypoint

from insitu.errors import InsituError
from insitu.history.elements import opened
from insitu.history.reader import open as open_history


class HistoryBackend(BackendEntrypoint):
    """Phase histories for xarray: what `insitu.open` returns."""

    description = "Open phase histories of insitu (H5MD)"
    open_dataset_parameters = ("filename_or_obj", "drop_variables")

    def open_dataset(
        self, filename_or_obj: Any, *, drop_variables: str | Iterable[str] | None = None
    ) -> xarray.Dataset:
        """Open a history.

        Parameters
        ----------
        filename_or_obj
            Path of the file.
        drop_variables
            Variables to leave out.

        Raises
        ------
        HistoryError
            It is not a history; the message says what it is.
        """
        dropped = [drop_variables] if isinstance(drop_variables, str) else drop_variables or []
        return open_history(filename_or_obj).drop_vars(dropped, errors="ignore")

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Say whether a file is a history; files of other programs are left to their engines."""
        if not isinstance(filename_or_obj, str | os.PathLike):
            return False
        try:
            with opened(filename_or_obj):
                return True
        except InsituError:
            return False
