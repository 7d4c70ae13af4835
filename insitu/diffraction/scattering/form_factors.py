# SPDX-License-Identifier: BSD-3-Clause
"""How much one atom scatters: X-ray and electron form factors, neutron scattering lengths.

The tables are those of gemmi; none is kept here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from insitu.errors import InsituError, SettingError, one_of
from insitu.frame.species import ELEMENTS, SYMBOLS, elements_of_masses

#: Kinds of radiation, and the unit of what an atom scatters.
RADIATION = {"xray": "electrons", "neutron": "fm", "electron": "Angstrom"}


def tables() -> Any:
    """Return the package gemmi, which has the tables.

    Raises
    ------
    InsituError
        It is not installed.
    """
    try:
        import gemmi
    except ImportError as error:
        raise InsituError(
            "diffraction needs the form factors of gemmi, which is not installed; install it: pip install "
            '"insitu[diffraction]"'
        ) from error
    return gemmi


def scattering_factors(
    elements: Sequence[str], q: ArrayLike, radiation: str = "xray"
) -> NDArray[np.float64]:
    """Return what one neutral atom of each element scatters, at rest and alone.

    Parameters
    ----------
    elements
        Symbols.
    q
        ``(k,)`` lengths of the scattering vector, Q = 4π sin θ / λ [1/Å].
    radiation
        ``"xray"``: form factors in electrons, four Gaussians and a constant; ``"neutron"``: bound
        coherent scattering lengths of the natural mixture of isotopes [fm], without absorption;
        ``"electron"``: form factors of the first Born approximation [Å], five Gaussians.

    Returns
    -------
    factors
        ``(elements, k)``.

    Raises
    ------
    SettingError
        No such radiation, or the table has no such element.
    InsituError
        gemmi is not installed.

    References
    ----------
    International Tables for Crystallography C (1992), tables 6.1.1.4, 4.3.2.2; V. F. Sears, Neutron
    News 3, 26 (1992), doi:10.1080/10448639208218770.
    """
    one_of("radiation", radiation, tuple(RADIATION))
    gemmi = tables()
    s2 = (np.asarray(q, dtype=np.float64) / (4.0 * np.pi)) ** 2  # (sin θ / λ)²
    found = np.empty((len(elements), len(s2)))
    for row, symbol in zip(found, elements, strict=True):
        element = gemmi.Element(symbol)
        name = {"xray": "it92", "neutron": "neutron92", "electron": "c4322"}[radiation]
        table = getattr(element, name) if element.atomic_number and symbol in SYMBOLS else None
        if table is None or (radiation == "neutron" and not any(table.get_coefs())):
            raise SettingError(
                f"radiation={radiation}: the table has no element '{symbol}'; name elements by their "
                "symbols (setting species), or choose another radiation"
            )
        if radiation == "neutron":
            row[:] = table.get_coefs()[0]
            continue
        a, b = np.array(table.a), np.array(table.b)
        row[:] = np.exp(-np.multiply.outer(s2, b)) @ a
        if radiation == "xray":
            row += table.c
    return found


def elements_of(species: ArrayLike | str, n: int) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Return the elements that occur, and which of them each atom is.

    Parameters
    ----------
    species
        ``(n,)`` symbols, atomic numbers or masses [g/mol], or one for all.
    n
        Number of atoms.

    Raises
    ------
    SettingError
        There are not as many, or one is no element.
    """
    if species is None:
        raise SettingError("species is not given; give the symbol or atomic number of each atom")
    given = np.asarray(species)
    if given.dtype.kind == "S":
        given = given.astype(str)
    given = np.broadcast_to(given, (n,)) if given.ndim == 0 else given
    if given.shape != (n,):
        raise SettingError(
            f"species has shape {given.shape} and there are {n} atoms; give one each"
        )
    words, index = np.unique(given, return_inverse=True)
    if words.dtype.kind == "f" and (words == np.rint(words)).all():
        words = words.astype(np.int64)
    if words.dtype.kind == "f":  # masses
        names = elements_of_masses(words)
        if "" in names:
            raise SettingError(
                f"species has the mass {words[names.index('')]:g} g/mol, which is not clearly that of one "
                "element; give symbols such as Cu"
            )
        words = np.array(names, dtype=str)
    if words.dtype.kind in "iu":
        if len(words) and not 1 <= words.min() <= words.max() < len(SYMBOLS):
            raise SettingError(
                f"species has {words.tolist()}; give atomic numbers 1 … {len(SYMBOLS) - 1}, or symbols"
            )
        words = np.array([SYMBOLS[z] for z in words], dtype=str)
    if odd := [str(w) for w in words if str(w) not in ELEMENTS]:
        raise SettingError(f"species has '{odd[0]}', which is no element; give symbols such as Cu")
    return tuple(map(str, words)), index.reshape(-1).astype(np.int64)


def elements_of_types(
    species: Sequence[str], masses: Sequence[float] | None, n_types: int
) -> tuple[str, ...]:
    """Return the element of each atom type, as the setting `species` or the mass says.

    Raises
    ------
    SettingError
        Neither says it.
    """
    if species:
        if len(species) != n_types:
            raise SettingError(
                f"species={','.join(species)} names {len(species)} elements and the deck has {n_types} "
                "atom types; give one for each type, in their order"
            )
        elements_of(np.array(species), n_types)
        return tuple(species)
    if masses is None:
        raise SettingError(
            "the elements of the atom types are not known: the deck has no masses in g/mol; name them in "
            "the order of the types, for example species Cu,Zr"
        )
    found = elements_of_masses(masses)
    for kind, (mass, element) in enumerate(zip(masses, found, strict=True), 1):
        if not element:
            raise SettingError(
                f"atom type {kind} has the mass {mass:g} g/mol, which is not clearly that of one element; "
                "name the elements in the order of the types, for example species Cu,Zr"
            )
    return found
