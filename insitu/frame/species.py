# SPDX-License-Identifier: BSD-3-Clause
"""Which element an atom type is, for models that tell species apart."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from insitu.errors import SettingError, did_you_mean

_SYMBOLS = """
X H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr
Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb
Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf
Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og
"""
#: Symbols by atomic number; the first is ASE's for none.
SYMBOLS = _SYMBOLS.split()
#: Those of elements.
ELEMENTS = tuple(SYMBOLS[1:])
_WEIGHTS = """
0 1.008 4.0026 6.94 9.0122 10.81 12.011 14.007 15.999 18.998 20.180 22.990 24.305 26.982 28.085
30.974 32.06 35.45 39.95 39.098 40.078 44.956 47.867 50.942 51.996 54.938 55.845 58.933 58.693
63.546 65.38 69.723 72.630 74.922 78.971 79.904 83.798 85.468 87.62 88.906 91.224 92.906 95.95 0
101.07 102.91 106.42 107.87 112.41 114.82 118.71 121.76 127.60 126.90 131.29 132.91 137.33 138.91
140.12 140.91 144.24 0 150.36 151.96 157.25 158.93 162.50 164.93 167.26 168.93 173.05 174.97
178.49 180.95 183.84 186.21 190.23 192.22 195.08 196.97 200.59 204.38 207.2 208.98 0 0 0 0 0 0
232.04 231.04 238.03
"""
#: Standard atomic weights by atomic number [g/mol] (IUPAC, abridged), 0 where there is none.
MASSES = tuple(map(float, _WEIGHTS.split()))
#: A deck's mass may differ this much [relative] from the element's: decks round.
_CLOSE = 0.01


def from_masses(
    masses: NDArray[np.float64] | None, known: Mapping[str, float], left_out: Container[int] = ()
) -> tuple[str, ...]:
    """Return the element of each atom type, told by its mass.

    Parameters
    ----------
    masses
        ``(n_types,)`` [g/mol], or None: the deck has none of the kind.
    known
        Mass of each element that the model knows [g/mol].
    left_out
        Atom types whose atoms the model never sees: ``""``.

    Raises
    ------
    SettingError
        They are not known.
    """
    if masses is None:
        raise SettingError(
            "the elements of the atom types are not known: the deck has no masses in g/mol for its "
            f"types; name them in the order of the types, for example species {','.join(known)}"
        )
    found = []
    for kind, mass in enumerate(masses.tolist(), 1):
        if kind in left_out:
            found.append("")
            continue
        near = [e for e, m in known.items() if abs(mass - m) < _CLOSE * m]
        if len(near) != 1:
            raise SettingError(
                f"atom type {kind} has the mass {mass:g} g/mol, which is not that of one of the "
                f"model's elements ({', '.join(f'{e} {m:g}' for e, m in known.items())}); name the "
                f"elements in the order of the types, for example species {','.join(known)}, or use "
                "a model for this material"
            )
        found.append(near[0])
    return tuple(found)


def elements_of_masses(masses: Sequence[float] | NDArray[np.float64] | None) -> tuple[str, ...]:
    """Return the element of each atom type by its mass, ``""`` where that is not clear.

    It is clear where the nearest element is within 1 % of the mass, and three times as near as the next:
    decks round, and cobalt and nickel differ by 0.4 %.

    Parameters
    ----------
    masses
        ``(n_types,)`` [g/mol]; None: the deck has none of the kind, and nothing is known.
    """
    known, found = np.array(MASSES), []
    for mass in () if masses is None else np.asarray(masses, dtype=float).tolist():
        far = np.where(known > 0, np.abs(known - mass), np.inf) / max(mass, 1e-9)
        near, second = np.argsort(far)[:2]
        clear = far[near] < _CLOSE and far[second] > 3 * far[near]
        found.append(SYMBOLS[near] if clear else "")
    return tuple(found)


def check_option(species: Sequence[str]) -> None:
    """Refuse what the option ``--species`` names and is no symbol; X is an atom of no element.

    Raises
    ------
    SettingError
        One of the words is none.
    """
    if odd := [s for s in species if s not in SYMBOLS]:
        raise SettingError(
            f"--species {','.join(species)}: '{odd[0]}' is no element; give one for each type, "
            f"in the order of the types.{did_you_mean(odd[0], ELEMENTS)}"
        )


def check_species(
    species: Sequence[str], n_types: int, known: Mapping[str, Any], left_out: Container[int] = ()
) -> None:
    """Raise SettingError unless each type that is not left out has an element that the model knows."""
    if len(species) != n_types:
        raise SettingError(
            f"species={','.join(species)} names {len(species)} elements and the deck has {n_types} "
            "atom types; give one for each type, in their order"
        )
    if wrong := [s for k, s in enumerate(species, 1) if s not in known and k not in left_out]:
        if wrong[0] not in ELEMENTS:
            raise SettingError(
                f"species={','.join(species)}: '{wrong[0]}' is no element; give one for each type, in "
                f"their order.{did_you_mean(wrong[0], ELEMENTS)}"
            )
        raise SettingError(
            f"species={','.join(species)}: the model does not know {wrong[0]}; it knows "
            f"{', '.join(known)}.{did_you_mean(wrong[0], known)}"
        )


def from_numbers(numbers: ArrayLike | None, known: Mapping[str, Any]) -> dict[int, str]:
    """Return the element of each atomic number that occurs.

    Parameters
    ----------
    numbers
        ``(n,)`` atomic numbers.
    known
        Elements that the model knows.

    Raises
    ------
    SettingError
        There are none, or of an element that the model does not know.
    """
    if numbers is None:
        raise SettingError(
            f"this model tells species apart ({', '.join(known)}): give species, the atomic "
            "number of each atom"
        )
    found = {}
    for z in np.unique(np.asarray(numbers)).tolist():
        symbol = SYMBOLS[z] if 0 < z < len(SYMBOLS) else "X"
        if symbol not in known:
            raise SettingError(
                f"species has atomic number {z} ({symbol}), and the model knows "
                f"{', '.join(known)} only; give atomic numbers, or use a model for this material"
            )
        found[z] = symbol
    return found
