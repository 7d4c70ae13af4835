# SPDX-License-Identifier: BSD-3-Clause
"""Types of atoms in files that name elements in place of types."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from insitu.errors import SettingError
from insitu.offline.readers.configuration import Configuration


def named_types(c: Configuration, species: Sequence[str]) -> tuple[str, ...]:
    """Return what the types 1, 2, … are, where a file has elements and no types; else nothing.

    They are `species` if those are given, else the elements of the frame, in the alphabet's order.
    """
    if c.types is not None or c.names is None:
        return ()
    return tuple(species) or tuple(np.unique(c.names).tolist())


def types_of(c: Configuration, names: Sequence[str], file: str) -> NDArray[np.int32] | None:
    """Return the type of each atom ``(n,)``: the file's own, or the place of its element in `names`.

    Raises
    ------
    SettingError
        The frame has an element that is not among them.
    """
    if not names or c.names is None:
        return c.types
    places = {name: i for i, name in enumerate(names, 1)}
    elements, which = np.unique(c.names, return_inverse=True)
    if other := [e for e in elements.tolist() if e not in places]:
        raise SettingError(
            f"'{file}' has the element {other[0]}, and types are {','.join(names)}; name all that come in "
            f"the files, for example --species {','.join([*names, other[0]])}"
        )
    return np.array([places[e] for e in elements.tolist()], dtype=np.int32)[which]
