# SPDX-License-Identifier: BSD-3-Clause
"""Derive the extinction groups from the symmetry operations; print or check the table of the package.

    python benchmarks/extinction_groups.py          # prints the rows of diffraction/symmetry/groups.py
    python benchmarks/extinction_groups.py --check    # exit code 1 where the table differs

A reflection hkl is absent if an operation {R|t} has hR = h and h·t is no integer (hkl from -12 to 12).
Two space
groups are in one class if crystal system and absences agree, whatever the names of the axes: six
permutations
for orthorhombic groups, changes of the a and c axes for monoclinic ones.
"""

import sys
from itertools import permutations, product

import gemmi
import numpy as np

from insitu.diffraction.symmetry.groups import EXTINCTION_GROUPS, MERGED_GROUPS, system_of

REACH = 12
BOX = np.array(list(product(range(-REACH, REACH + 1), repeat=3)))


def absent(rotation: np.ndarray, translation: np.ndarray, hkl: np.ndarray) -> np.ndarray:
    """Which reflections one operation forbids."""
    same = (hkl @ rotation == hkl).all(1)
    phase = hkl @ translation
    return same & (np.abs(phase - np.rint(phase)) > 1e-4)


def operations(number: int) -> list[tuple[np.ndarray, np.ndarray, str]]:
    """Operations of a group that forbid anything: R, t and their name, centrings first."""
    ops = list(gemmi.find_spacegroup_by_number(number).operations())
    rows = [(np.array(op.rot) // 24, np.array(op.tran) / 24, op.triplet()) for op in ops]
    return sorted(rows, key=lambda row: (-np.trace(row[0]), len(row[2]), row[2]))


def forbidden(number: int, hkl: np.ndarray) -> np.ndarray:
    """Which reflections a group forbids."""
    out = np.zeros(len(hkl), dtype=bool)
    for rotation, translation, _ in operations(number):
        out |= absent(rotation, translation, hkl)
    return out


def relabellings(system: str) -> list[np.ndarray]:
    """Changes of axes under which a class stays what it is."""
    if system == "orthorhombic":
        return [np.eye(3, dtype=int)[list(p)] for p in permutations(range(3))]
    if system == "monoclinic":
        found = []
        for a, b, c, d in product((-1, 0, 1), repeat=4):
            if abs(a * d - b * c) == 1:
                found.append(np.array([[a, 0, b], [0, 1, 0], [c, 0, d]]))
        return found
    return [np.eye(3, dtype=int)]


def key(number: int, merged: bool) -> tuple[str, bytes]:
    """Crystal system and the least of the absence maps under change of axes."""
    system = system_of(number)
    maps = [np.packbits(forbidden(number, BOX @ m)).tobytes() for m in relabellings(system)]
    return "trigonal" if merged and system == "hexagonal" else system, min(maps)


def classes(merged: bool) -> list[tuple[int, ...]]:
    """Space groups of each class, by their lowest number."""
    found: dict[tuple[str, bytes], list[int]] = {}
    for number in range(1, 231):
        found.setdefault(key(number, merged), []).append(number)
    return sorted(tuple(v) for v in found.values())


def conditions(number: int) -> str:
    """Few operations of a group that forbid all that it forbids."""
    missing = forbidden(number, BOX)
    chosen = []
    while missing.any():
        rows = operations(number)
        gains = [int((absent(r, t, BOX) & missing).sum()) for r, t, _ in rows]
        r, t, name = rows[int(np.argmax(gains))]
        missing &= ~absent(r, t, BOX)
        chosen.append(name)
    return "; ".join(chosen)


def main() -> int:
    """Print the rows, or check them."""
    if "--check" not in sys.argv:
        for groups in classes(merged=False):
            print(groups, repr(conditions(groups[0])))
        return 0
    wrong = classes(False) != sorted(g.space_groups for g in EXTINCTION_GROUPS)
    wrong |= classes(True) != sorted(tuple(sorted(g.space_groups)) for g in MERGED_GROUPS)
    wrong |= any(g.conditions != conditions(g.space_groups[0]) for g in EXTINCTION_GROUPS)
    print(
        "the table differs from the operations" if wrong else "101 and 97 classes as in the table"
    )
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
