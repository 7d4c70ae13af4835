# SPDX-License-Identifier: BSD-3-Clause
"""The table of extinction groups against gemmi's own test of systematic absences."""

from itertools import permutations, product

import gemmi
import numpy as np
import pytest

from insitu.diffraction.symmetry.extinctions import allowed
from insitu.diffraction.symmetry.groups import (
    EXTINCTION_GROUPS,
    MERGED_GROUPS,
    SYSTEMS,
    ExtinctionGroup,
    class_of,
    system_of,
)  # fmt: skip

BOX = np.array(list(product(range(-6, 7), repeat=3)))


def by_gemmi(number: int, hkl: np.ndarray) -> np.ndarray:
    ops = gemmi.find_spacegroup_by_number(number).operations()
    return np.array([not ops.is_systematically_absent([int(i) for i in h]) for h in hkl])


def relabelled(system: str) -> list[np.ndarray]:
    """Names of the axes that a class does not depend on."""
    if system == "orthorhombic":
        return [np.eye(3, dtype=int)[list(p)] for p in permutations(range(3))]
    if system == "monoclinic":
        planes = [m for m in product((-1, 0, 1), repeat=4) if abs(m[0] * m[3] - m[1] * m[2]) == 1]
        return [np.array([[a, 0, b], [0, 1, 0], [c, 0, d]]) for a, b, c, d in planes]
    return [np.eye(3, dtype=int)]


def test_numbers_of_classes() -> None:
    """101 as in Park et al. (2017); 97 where trigonal and hexagonal ones are joined."""
    assert len(EXTINCTION_GROUPS) == 101
    assert len(MERGED_GROUPS) == 97
    counted = [sum(g.system == s for g in EXTINCTION_GROUPS) for s in SYSTEMS]
    assert counted == [1, 6, 33, 31, 6, 7, 17]
    assert sum(len(g.space_groups) == 1 for g in EXTINCTION_GROUPS) == 38


@pytest.mark.parametrize("groups", [EXTINCTION_GROUPS, MERGED_GROUPS], ids=["101", "97"])
def test_every_space_group_is_in_one_class(groups: tuple[ExtinctionGroup, ...]) -> None:
    assert sorted(n for g in groups for n in g.space_groups) == list(range(1, 231))
    assert len({g.name for g in groups}) == len(groups)


@pytest.mark.parametrize("group", EXTINCTION_GROUPS, ids=lambda g: g.name)
def test_members_forbid_the_same_as_gemmi(group: ExtinctionGroup) -> None:
    wanted = allowed(group.conditions, BOX)
    assert np.array_equal(wanted, by_gemmi(group.space_groups[0], BOX))
    for number in group.space_groups[1:]:
        assert system_of(number) == group.system
        small = BOX[(np.abs(BOX) <= 4).all(1)]
        wanted = allowed(group.conditions, small)
        assert any(
            np.array_equal(wanted, by_gemmi(number, small @ m)) for m in relabelled(group.system)
        )


def test_no_two_classes_of_a_system_forbid_the_same() -> None:
    for first in EXTINCTION_GROUPS:
        for second in EXTINCTION_GROUPS:
            if first.name < second.name and first.system == second.system:
                one = allowed(first.conditions, BOX)
                others = [allowed(second.conditions, BOX @ m) for m in relabelled(first.system)]
                assert not any(np.array_equal(one, other) for other in others), (
                    first.name,
                    second.name,
                )


def test_class_of_a_space_group() -> None:
    assert EXTINCTION_GROUPS[class_of(62)].space_groups == (33, 62)
    assert 186 in MERGED_GROUPS[class_of(159, merged=True)].space_groups
    with pytest.raises(ValueError, match="space group 231: there are groups 1 to 230"):
        class_of(231)
