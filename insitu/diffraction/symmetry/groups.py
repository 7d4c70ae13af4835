# SPDX-License-Identifier: BSD-3-Clause
# ruff: noqa: E501 - one class a line
"""The extinction groups: sets of space groups whose powder patterns lack the same reflections.

Two space groups are in one class when their crystal systems agree and the reflections that their operations
forbid do, whatever the names of the axes. `benchmarks/extinction_groups.py` derives the classes from
the symmetry
operations and compares them with this table.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

#: The seven crystal systems and the first space group of each.
SYSTEMS = {
    "triclinic": 1, "monoclinic": 3, "orthorhombic": 16, "tetragonal": 75, "trigonal": 143,
    "hexagonal": 168, "cubic": 195,
}  # fmt: skip


@dataclass(frozen=True)
class ExtinctionGroup:
    """A class of space groups with the same systematic absences.

    Attributes
    ----------
    name : str
        Crystal system and extinction symbol (International Tables A, section 1.6.4), in one setting.
    system : str
        Crystal system; of a class of trigonal and hexagonal groups the lower one, trigonal.
    space_groups : tuple of int
        Space groups that it allows, 1-based.
    conditions : str
        Operations of the first space group that forbid what the class forbids: a reflection hkl is
        absent if
        one of them, {R|t}, has hR = h and h·t is no integer.
    """

    name: str
    system: str
    space_groups: tuple[int, ...]
    conditions: str


def system_of(number: int) -> str:
    """Crystal system of a space group.

    Parameters
    ----------
    number : int
        1-230.

    Returns
    -------
    str
    """
    return [name for name, first in SYSTEMS.items() if first <= number][-1]


_TABLE = (
    ("P - - -", (1, 2), ""),
    ("P 1 - 1", (3, 6, 10), ""),
    ("P 1 21 1", (4, 11), "-x,y+1/2,-z"),
    ("C 1 - 1", (5, 8, 12), "x+1/2,y+1/2,z"),
    ("P 1 c 1", (7, 13), "x,-y,z+1/2"),
    ("C 1 c 1", (9, 15), "x+1/2,y+1/2,z; x,-y,z+1/2"),
    ("P 1 21/c 1", (14,), "x,-y+1/2,z+1/2; -x,y+1/2,-z+1/2"),
    ("P - - -", (16, 25, 47), ""),
    ("P - - 21", (17,), "-x,-y,z+1/2"),
    ("P 21 21 -", (18,), "-x+1/2,y+1/2,-z; x+1/2,-y+1/2,-z"),
    ("P 21 21 21", (19,), "-x+1/2,-y,z+1/2; -x,y+1/2,-z+1/2; x+1/2,-y+1/2,-z"),
    ("C - - 21", (20,), "x+1/2,y+1/2,z; -x,-y,z+1/2"),
    ("C - - -", (21, 35, 38, 65), "x+1/2,y+1/2,z"),
    ("F - - -", (22, 42, 69), "x+1/2,y+1/2,z; x+1/2,y,z+1/2"),
    ("I - - -", (23, 24, 44, 71), "x+1/2,y+1/2,z+1/2"),
    ("P - c -", (26, 28, 51), "x,-y,z+1/2"),
    ("P c c -", (27, 49), "-x,y,z+1/2; x,-y,z+1/2"),
    ("P c a -", (29, 57), "x+1/2,-y,z; -x+1/2,y,z+1/2"),
    ("P n c -", (30, 53), "-x,y+1/2,z+1/2; x,-y+1/2,z+1/2"),
    ("P n - -", (31, 59), "x+1/2,-y,z+1/2"),
    ("P b a -", (32, 55), "-x+1/2,y+1/2,z; x+1/2,-y+1/2,z"),
    ("P n a -", (33, 62), "-x+1/2,y+1/2,z+1/2; x+1/2,-y+1/2,z"),
    ("P n n -", (34, 58), "-x+1/2,y+1/2,z+1/2; x+1/2,-y+1/2,z+1/2"),
    ("C - c -", (36, 40, 63), "x+1/2,y+1/2,z; x,-y,z+1/2"),
    ("C c c -", (37, 66), "x+1/2,y+1/2,z; -x,y,z+1/2; x,-y,z+1/2"),
    ("C - - e", (39, 67), "x,y+1/2,z+1/2; -x,y+1/2,z"),
    ("C - c e", (41, 64), "x,y+1/2,z+1/2; x+1/2,-y+1/2,z; -x+1/2,y+1/2,z"),
    ("F d d -", (43,), "x+1/2,y+1/2,z; x+1/2,y,z+1/2; -x+1/4,y+1/4,z+1/4; x+1/4,-y+1/4,z+1/4"),
    ("I b a -", (45, 72), "x+1/2,y+1/2,z+1/2; -x,y,z+1/2; x,-y,z+1/2"),
    ("I - - a", (46, 74), "x+1/2,y+1/2,z+1/2; x+1/2,-y,z"),
    ("P n n n", (48,), "-x+1/2,y+1/2,z+1/2; x+1/2,-y+1/2,z+1/2; x+1/2,y+1/2,-z+1/2"),
    ("P b a n", (50,), "x+1/2,y+1/2,-z; -x+1/2,y+1/2,z; x+1/2,-y+1/2,z"),
    ("P n n a", (52,), "-x,y+1/2,z+1/2; x+1/2,y,-z; x+1/2,-y+1/2,z+1/2"),
    ("P c c a", (54,), "x+1/2,y,-z; x,-y,z+1/2; -x+1/2,y,z+1/2"),
    ("P c c n", (56,), "x+1/2,y+1/2,-z; -x+1/2,y,z+1/2; x,-y+1/2,z+1/2"),
    ("P b c n", (60,), "x+1/2,y+1/2,-z+1/2; x,-y,z+1/2; -x+1/2,y+1/2,z"),
    ("P b c a", (61,), "-x+1/2,y+1/2,z; x+1/2,y,-z+1/2; x,-y+1/2,z+1/2"),
    ("C c c e", (68,), "x+1/2,y+1/2,z; -x+1/2,y,z+1/2; x+1/2,-y,z+1/2; x+1/2,y,-z+1/2"),
    ("F d d d", (70,), "x+1/2,y+1/2,z; x+1/2,y,z+1/2; -x+1/4,y+1/4,z+1/4; x+1/4,-y+1/4,z+1/4; x+1/4,y+1/4,-z+1/4"),
    ("I b c a", (73,), "x+1/2,y+1/2,z+1/2; -x,y,z+1/2; x+1/2,-y,z; x,y+1/2,-z"),
    ("P - - -", (75, 81, 83, 89, 99, 111, 115, 123), ""),
    ("P 41 - -", (76, 78, 91, 95), "-y,x,z+1/4"),
    ("P 42 - -", (77, 84, 93), "-y,x,z+1/2"),
    ("I - - -", (79, 82, 87, 97, 107, 119, 121, 139), "x+1/2,y+1/2,z+1/2"),
    ("I 41 - -", (80, 98), "x+1/2,y+1/2,z+1/2; -y+1/2,x,z+3/4"),
    ("P n - -", (85, 129), "x+1/2,y+1/2,-z"),
    ("P 42/n - -", (86,), "x+1/2,y+1/2,-z+1/2; -y+1/2,x+1/2,z+1/2"),
    ("I 41/a - -", (88,), "x+1/2,y+1/2,z+1/2; x+1/2,y,-z+3/4; -y+1/2,x,z+3/4"),
    ("P - 21 -", (90, 113), "-x+1/2,y+1/2,-z; x+1/2,-y+1/2,-z"),
    ("P 41 21 -", (92, 96), "-y+1/2,x+1/2,z+1/4; -x+1/2,y+1/2,-z+1/4; x+1/2,-y+1/2,-z+3/4"),
    ("P 42 21 -", (94,), "-y+1/2,x+1/2,z+1/2; -x+1/2,y+1/2,-z+1/2; x+1/2,-y+1/2,-z+1/2"),
    ("P - b -", (100, 117, 127), "-x+1/2,y+1/2,z; x+1/2,-y+1/2,z"),
    ("P - c -", (101, 116, 132), "-x,y,z+1/2; x,-y,z+1/2"),
    ("P - n -", (102, 118, 136), "-x+1/2,y+1/2,z+1/2; x+1/2,-y+1/2,z+1/2"),
    ("P - c c", (103, 124), "y,x,z+1/2; -x,y,z+1/2; x,-y,z+1/2; -y,-x,z+1/2"),
    ("P - n c", (104, 128), "-x+1/2,y+1/2,z+1/2; x+1/2,-y+1/2,z+1/2; y+1/2,x+1/2,z+1/2; -y+1/2,-x+1/2,z+1/2"),
    ("P - - c", (105, 112, 131), "y,x,z+1/2; -y,-x,z+1/2"),
    ("P - b c", (106, 135), "-x+1/2,y+1/2,z; x+1/2,-y+1/2,z; y+1/2,x+1/2,z+1/2; -y+1/2,-x+1/2,z+1/2"),
    ("I - c -", (108, 120, 140), "x+1/2,y+1/2,z+1/2; -x,y,z+1/2; x,-y,z+1/2"),
    ("I - - d", (109, 122), "x+1/2,y+1/2,z+1/2; y+1/2,x,z+3/4; -y+1/2,-x,z+3/4"),
    ("I - c d", (110,), "x+1/2,y+1/2,z+1/2; y+1/2,x,z+1/4; -y+1/2,-x,z+1/4; -x,y,z+1/2; x,-y,z+1/2"),
    ("P - 21 c", (114,), "y+1/2,x+1/2,z+1/2; -y+1/2,-x+1/2,z+1/2; -x+1/2,y+1/2,-z+1/2; x+1/2,-y+1/2,-z+1/2"),
    ("P n b -", (125,), "x+1/2,y+1/2,-z; -x+1/2,y+1/2,z; x+1/2,-y+1/2,z"),
    ("P n n c", (126,), "-x+1/2,y+1/2,z+1/2; x+1/2,-y+1/2,z+1/2; y+1/2,x+1/2,z+1/2; x+1/2,y+1/2,-z+1/2; -y+1/2,-x+1/2,z+1/2"),
    ("P n c c", (130,), "x+1/2,y+1/2,-z; -x,y,z+1/2; x,-y,z+1/2; y+1/2,x+1/2,z+1/2; -y+1/2,-x+1/2,z+1/2"),
    ("P n b c", (133,), "x+1/2,y+1/2,-z+1/2; y,x,z+1/2; -y,-x,z+1/2; -x+1/2,y+1/2,z; x+1/2,-y+1/2,z"),
    ("P n n -", (134,), "-x+1/2,y+1/2,z+1/2; x+1/2,-y+1/2,z+1/2; x+1/2,y+1/2,-z+1/2"),
    ("P n - c", (137,), "x+1/2,y+1/2,-z+1/2; y+1/2,x+1/2,z+1/2; -y+1/2,-x+1/2,z+1/2"),
    ("P n c -", (138,), "x+1/2,y+1/2,-z+1/2; -x,y,z+1/2; x,-y,z+1/2"),
    ("I a - d", (141,), "x+1/2,y+1/2,z+1/2; y+1/2,x,z+3/4; -y+1/2,-x,z+3/4; x+1/2,y,-z+3/4"),
    ("I a c d", (142,), "x+1/2,y+1/2,z+1/2; y+1/2,x,z+1/4; -y+1/2,-x,z+1/4; -x,y,z+1/2; x,-y,z+1/2; x+1/2,y,-z+3/4"),
    ("P - - -", (143, 147, 149, 150, 156, 157, 162, 164), ""),
    ("P 31 - -", (144, 145, 151, 152, 153, 154), "-y,x-y,z+1/3"),
    ("R - - -", (146, 148, 155, 160, 166), "x+1/3,y+2/3,z+2/3"),
    ("P - c -", (158, 165), "-y,-x,z+1/2; x,x-y,z+1/2; -x+y,y,z+1/2"),
    ("P - - c", (159, 163), "y,x,z+1/2; x-y,-y,z+1/2; -x,-x+y,z+1/2"),
    ("R - - c", (161, 167), "x+1/3,y+2/3,z+2/3; -y,-x,z+1/2; x,x-y,z+1/2; -x+y,y,z+1/2"),
    ("P - - -", (168, 174, 175, 177, 183, 187, 189, 191), ""),
    ("P 61 - -", (169, 170, 178, 179), "x-y,x,z+1/6"),
    ("P 62 - -", (171, 172, 180, 181), "x-y,x,z+1/3"),
    ("P 63 - -", (173, 176, 182), "x-y,x,z+1/2"),
    ("P - c c", (184, 192), "y,x,z+1/2; -y,-x,z+1/2; x,x-y,z+1/2; -x+y,y,z+1/2; x-y,-y,z+1/2; -x,-x+y,z+1/2"),
    ("P - c -", (185, 188, 193), "-y,-x,z+1/2; x,x-y,z+1/2; -x+y,y,z+1/2"),
    ("P - - c", (186, 190, 194), "y,x,z+1/2; x-y,-y,z+1/2; -x,-x+y,z+1/2"),
    ("P - - -", (195, 200, 207, 215, 221), ""),
    ("F - - -", (196, 202, 209, 216, 225), "x+1/2,y+1/2,z; x+1/2,y,z+1/2"),
    ("I - - -", (197, 199, 204, 211, 217, 229), "x+1/2,y+1/2,z+1/2"),
    ("P 21 - -", (198, 208), "-x+1/2,-y,z+1/2; -x,y+1/2,-z+1/2; x+1/2,-y+1/2,-z"),
    ("P n - -", (201, 224), "-x+1/2,y+1/2,z+1/2; x+1/2,-y+1/2,z+1/2; x+1/2,y+1/2,-z+1/2"),
    ("F d - -", (203, 227), "x+1/2,y+1/2,z; x+1/2,y,z+1/2; -x+1/4,y+1/4,z+1/4; x+1/4,-y+1/4,z+1/4; x+1/4,y+1/4,-z+1/4"),
    ("P a - -", (205,), "-x+1/2,y+1/2,z; x+1/2,y,-z+1/2; x,-y+1/2,z+1/2"),
    ("I a - -", (206,), "x+1/2,y+1/2,z+1/2; -x,y,z+1/2; x+1/2,-y,z; x,y+1/2,-z"),
    ("F 41 - -", (210,), "x+1/2,y+1/2,z; x+1/2,y,z+1/2; -y+1/4,x+1/4,z+1/4; -z+1/4,y+1/4,x+1/4; x+1/4,-z+1/4,y+1/4"),
    ("P 41 - -", (212, 213), "-y+3/4,x+1/4,z+3/4; -z+3/4,y+1/4,x+3/4; x+1/4,z+3/4,-y+3/4"),
    ("I 41 - -", (214,), "x+1/2,y+1/2,z+1/2; -y+1/4,x+3/4,z+1/4; -z+1/4,y+3/4,x+1/4; x+1/4,-z+1/4,y+3/4"),
    ("P - - n", (218, 223), "x+1/2,z+1/2,y+1/2; y+1/2,x+1/2,z+1/2; z+1/2,y+1/2,x+1/2; -y+1/2,-x+1/2,z+1/2; -z+1/2,y+1/2,-x+1/2; x+1/2,-z+1/2,-y+1/2"),
    ("F - - c", (219, 226), "x+1/2,y+1/2,z; x+1/2,y,z+1/2; x+1/2,z,y; x+1/2,-z,-y; y+1/2,x,z; z+1/2,y,x; -y+1/2,-x,z; -z+1/2,y,-x"),
    ("I - - d", (220,), "x+1/2,y+1/2,z+1/2; x+1/4,z+1/4,y+1/4; y+1/4,x+1/4,z+1/4; z+1/4,y+1/4,x+1/4; -y+1/4,-x+3/4,z+3/4; -z+1/4,y+1/4,-x+3/4; x+1/4,-z+3/4,-y+1/4"),
    ("P n - n", (222,), "-x+1/2,y+1/2,z+1/2; x+1/2,z+1/2,y+1/2; x+1/2,-y+1/2,z+1/2; x+1/2,y+1/2,-z+1/2; x+1/2,-z+1/2,-y+1/2; y+1/2,x+1/2,z+1/2; z+1/2,y+1/2,x+1/2; -y+1/2,-x+1/2,z+1/2; -z+1/2,y+1/2,-x+1/2"),
    ("F d - c", (228,), "x+1/2,y+1/2,z; x+1/2,y,z+1/2; x+1/2,z,y; x+1/2,-z,-y; y+1/2,x,z; z+1/2,y,x; -y+1/2,-x,z; -z+1/2,y,-x; -x+1/4,y+1/4,z+3/4; x+1/4,-y+1/4,z+3/4; x+1/4,y+1/4,-z+3/4"),
    ("I a - d", (230,), "x+1/2,y+1/2,z+1/2; x+1/4,z+1/4,y+1/4; y+1/4,x+1/4,z+1/4; z+1/4,y+1/4,x+1/4; -y+1/4,-x+3/4,z+3/4; -z+1/4,y+1/4,-x+3/4; x+1/4,-z+3/4,-y+1/4; -x,y,z+1/2; x+1/2,-y,z; x,y+1/2,-z"),
)  # fmt: skip

#: The 101 classes within crystal systems (the number of Park et al. 2017).
EXTINCTION_GROUPS = tuple(
    ExtinctionGroup(f"{system_of(groups[0])} {symbol}", system_of(groups[0]), groups, conditions)
    for symbol, groups, conditions in _TABLE
)


#: Trigonal classes and the hexagonal ones with the same absences.
_PARTNERS = {
    "P - - -": "P - - -",
    "P 31 - -": "P 62 - -",
    "P - c -": "P - c -",
    "P - - c": "P - - c",
}


def _joined() -> tuple[ExtinctionGroup, ...]:
    """Trigonal and hexagonal classes with the same absences are one."""
    by_name = {group.name: group for group in EXTINCTION_GROUPS}
    pairs = {f"trigonal {a}": f"hexagonal {b}" for a, b in _PARTNERS.items()}
    classes = []
    for group in EXTINCTION_GROUPS:
        if group.name in pairs:
            both = group.space_groups + by_name[pairs[group.name]].space_groups
            group = replace(group, space_groups=both)
        if group.name not in pairs.values():
            classes.append(group)
    return tuple(classes)


#: The 97 classes that positions and absences alone can tell apart: trigonal and hexagonal together.
MERGED_GROUPS = _joined()


@lru_cache(maxsize=2)
def _classes(merged: bool) -> dict[int, int]:
    groups = MERGED_GROUPS if merged else EXTINCTION_GROUPS
    return {number: k for k, group in enumerate(groups) for number in group.space_groups}


def class_of(number: int, *, merged: bool = False) -> int:
    """Position of a space group's extinction group in the table.

    Parameters
    ----------
    number : int
        Space group, 1-230.
    merged : bool
        In `MERGED_GROUPS` (97), else in `EXTINCTION_GROUPS` (101).

    Returns
    -------
    int
        0-based.

    Raises
    ------
    ValueError
        If there is no such space group.

    References
    ----------
    .. [1] W. B. Park et al., IUCrJ 4, 486 (2017), doi:10.1107/S205225251700714X
    """
    found = _classes(merged).get(number)
    if found is None:
        raise ValueError(f"space group {number}: there are groups 1 to 230; give one of them")
    return found
