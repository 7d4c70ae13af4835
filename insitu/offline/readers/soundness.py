# SPDX-License-Identifier: BSD-3-Clause
"""What readers ask of the numbers in a file, so that none is taken for another without a word."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from insitu.errors import SettingError
from insitu.frame.neighbors.images import FAR
from insitu.offline.readers.configuration import Configuration

#: Types of atoms, each of which has columns of its own in histories and analyses.
MOST_TYPES = 1000


def shown(text: str | bytes, most: int = 60) -> str:
    """Return what a file has as it can stand in a message: on one line, not longer than `most`."""
    words = text.decode(errors="replace") if isinstance(text, bytes) else text
    return "".join(c if c.isprintable() else "?" for c in words[: most + 1])[:most]


def listed(values: NDArray[Any], most: int = 8) -> str:
    """Return which values there are, not more than so many of them."""
    kinds = np.unique(values)
    return ", ".join(map(str, kinds[:most].tolist())) + (" …" if len(kinds) > most else "")


def whole(values: NDArray[Any], name: str, where: str, dtype: DTypeLike) -> NDArray[Any]:
    """Return a column of whole numbers as integers.

    Parameters
    ----------
    values
        ``(n,)`` as they were read.
    name, where
        Of the column, and which frame of which file it is of, for messages.
    dtype
        Of integers that hold them.

    Raises
    ------
    SettingError
        One is no whole number, or too large.
    """
    if values.dtype.kind in "iu" and np.can_cast(values.dtype, dtype, "safe"):
        return values.astype(dtype)
    if values.dtype.kind not in "iuf":
        raise SettingError(
            f"{where}: the column {name} has no numbers ({values.dtype}); it has whole ones, or is left out"
        )
    limits = np.iinfo(np.dtype(dtype))
    # Whole numbers above 2^53 are not told apart as doubles.
    low, high = max(limits.min, -(2**53)), min(limits.max, 2**53)
    good = (values >= low) & (values <= high) & (np.floor(values) == values)
    if not good.all():
        at = int(np.argmin(good))
        raise SettingError(
            f"{where}: '{values[at]:g}' in row {at + 1} of its atoms is not a whole number that the column "
            f"{name} can have; correct it, or leave the column out"
        )
    return values.astype(dtype)


def check(c: Configuration, where: str) -> str:
    """Return what to say of a configuration that can be analysed nevertheless, else ``""``.

    Parameters
    ----------
    c
        The configuration.
    where
        Which frame of which file it is, for messages.

    Raises
    ------
    SettingError
        A position, the cell or the time is not finite, or the step too large.
    """
    if c.time is not None and not np.isfinite(c.time):
        raise SettingError(
            f"{where}: its time is {c.time}; correct it, or leave it out of the file"
        )
    if c.step is not None and not -(2**63) <= c.step < 2**63:
        raise SettingError(f"{where}: its step has more than 64 bits; correct it")
    for what, values in (("cell", c.cell), ("corner of the cell", c.origin)):
        if not (np.abs(values) < FAR).all():
            raise SettingError(
                f"{where}: the {what} is {np.asarray(values).tolist()}; correct it, or leave the frame out "
                "(--index)"
            )
    if not np.abs(c.positions).max(initial=0.0) < FAR:
        at = int(np.argmin((np.abs(c.positions) < FAR).all(axis=1)))
        who = f"row {at + 1}" if c.ids is None else f"the atom of id {c.ids[at]}"
        raise SettingError(
            f"{where}: the position of {who} is {c.positions[at].tolist()}: the simulation had failed by "
            "then, or the file was changed; leave the frame out (--index)"
        )
    again = repeated(c)
    if again is None:
        return ""
    return f"{where}: several atoms have the id {again}; phases do not depend on ids, all else may"


def repeated(c: Configuration) -> int | None:
    """Return an id that several atoms have; None: there is none."""
    if c.ids is None or not len(c.ids):
        return None
    low = int(c.ids.min())
    if int(c.ids.max()) - low < 4 * len(c.ids):
        counts = np.bincount(c.ids - low)
        most = int(np.argmax(counts))
        return low + most if counts[most] > 1 else None
    kinds, counts = np.unique(c.ids, return_counts=True)
    return int(kinds[np.argmax(counts)]) if len(kinds) < len(c.ids) else None
