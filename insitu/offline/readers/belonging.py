# SPDX-License-Identifier: BSD-3-Clause
"""Whose atoms make up the surroundings (setting `neighbors`), in arrays and in files."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from insitu.errors import SettingError, did_you_mean
from insitu.frame.species import ELEMENTS, SYMBOLS
from insitu.offline.readers.configuration import Configuration
from insitu.offline.readers.soundness import listed

#: A mask ``(n,)``, or elements: symbols or atomic numbers.
Neighbors = NDArray[np.bool_] | str | Sequence[str | int] | Sequence[bool] | int


def of_configuration(
    c: Configuration, file: str, words: Sequence[str], setting: str = "--neighbors"
) -> NDArray[np.bool_] | None:
    """Return which atoms ``(n,)`` of a file's configuration belong to the surroundings; None: all.

    Parameters
    ----------
    c, file
        The configuration, and where it is from.
    words
        Atom types by number, elements or labels of types; none: all atoms.
    setting
        What the user calls them, for messages.

    Raises
    ------
    SettingError
        There are no atoms of one of them.
    """
    if not words:
        return None
    kept = np.zeros(len(c), dtype=bool)
    for word in words:
        if word.isdecimal() and c.types is not None:
            mine = c.types == int(word)
        elif c.names is not None:
            mine = c.names == word
        else:
            mine = np.zeros(len(c), dtype=bool)
        if len(c) and not mine.any():
            there = [listed(v) for v in (c.types, c.names) if v is not None]
            raise SettingError(
                f"{setting} {','.join(words)}: '{file}' has no atoms of '{word}'; it has: "
                f"{', '.join(there) or 'neither types nor elements'}"
            )
        kept |= mine
    return kept


def of_arrays(neighbors: Neighbors, n: int, species: ArrayLike | None) -> NDArray[np.bool_]:
    """Return which of `n` atoms belong to the surroundings.

    Parameters
    ----------
    neighbors
        A mask ``(n,)`` of truth values, or elements: a symbol, several separated by commas or in a
        list, or atomic numbers.
    n
        Number of atoms.
    species
        ``(n,)`` atomic numbers, where `neighbors` are elements.

    Raises
    ------
    SettingError
        It is neither, or there are no atoms of an element.
    """
    mask = np.asarray(neighbors)
    if mask.dtype == bool:
        if mask.shape != (n,):
            raise SettingError(
                f"neighbors has shape {mask.shape}; give a mask of shape ({n},), one an atom, or elements"
            )
        return mask
    if not mask.size:
        raise SettingError("neighbors is empty: no atom has surroundings; give elements or a mask")
    given: list[str | int] = []
    for word in mask.ravel().tolist():
        given += [w.strip() for w in word.split(",")] if isinstance(word, str) else [word]
    if species is None:
        raise SettingError(
            f"neighbors={','.join(map(str, given))} are elements: give species, the atomic number of each "
            f"atom, or a mask of shape ({n},)"
        )
    numbers = np.asarray(species)
    kept = np.zeros(n, dtype=bool)
    for word in given:
        if isinstance(word, str) and word not in SYMBOLS:
            raise SettingError(
                f"neighbors: '{word}' is no element; give symbols, atomic numbers, or a mask."
                f"{did_you_mean(word, ELEMENTS)}"
            )
        mine = numbers == (SYMBOLS.index(word) if isinstance(word, str) else word)
        if mine.shape != (n,) or not mine.any():
            there = ", ".join(
                SYMBOLS[z] if 0 < z < len(SYMBOLS) else str(z) for z in np.unique(numbers).tolist()
            )
            raise SettingError(
                f"neighbors: no atom of species is '{word}'; there are: {there or 'none'}"
            )
        kept |= mine
    return kept
