# SPDX-License-Identifier: BSD-3-Clause
"""Refinement of many lattices at once, settings of monoclinic groups, faint lines."""

import gemmi
import numpy as np
import pytest

from insitu.diffraction.lattices import lattice_fit, monoclinic
from insitu.diffraction.lattices.indexing import KINDS, Lattice, index, predicted, to_angle, to_q
from insitu.diffraction.patterns.grid import ANGLES, Array
from insitu.diffraction.patterns.lines import find_lines
from insitu.diffraction.symmetry.extinctions import evidence, tables
from insitu.diffraction.symmetry.groups import EXTINCTION_GROUPS

#: Constants of a lattice of each kind [1/Å²].
LATTICES = {
    "orthorhombic": (0.0311, 0.0177, 0.0123),
    "tetragonal": (0.0211, 0.0211, 0.0123),
    "hexagonal": (0.0311, 0.0311, 0.0123),
    "cubic": (0.0311, 0.0311, 0.0311),
    "monoclinic": (0.0211, 0.0177, 0.0311, 0.0091),
}


def slopes(angles: Array) -> Array:
    """Change of 1/d² with the angle, by differences [1/Å² a degree]."""
    return (to_q(angles + 1e-4) - to_q(angles - 1e-4)) / 2e-4


def pattern(places: Array, heights: Array | None = None) -> Array:
    """Narrow lines at angles."""
    out = np.zeros(len(ANGLES))
    for x, h in zip(places, np.ones(len(places)) if heights is None else heights, strict=True):
        out += h * np.exp(-4 * np.log(2) * ((ANGLES - x) / 0.1) ** 2)
    return out


@pytest.mark.parametrize("kind", KINDS)
def test_constants_and_the_zero_come_back(kind: str) -> None:
    """From a start that is 0.4 % off, of lines whose angles are 0.05 degrees too large."""
    true = np.array(LATTICES[kind])
    _, q = predicted(kind, true, 0.5)
    places = np.unique(to_angle(q).round(3))[:20]
    angles = places + 0.05
    start = np.stack([true * 1.004, true * 0.996])
    slope = slopes(angles)
    found, zeros = lattice_fit.refined(
        kind, start, to_q(angles), 0.12 * slope, slope, np.ones(len(angles)), 7, steps=4
    )
    # The zero is held near 0 a little, the constants make up for it.
    np.testing.assert_allclose(found, np.stack([true, true]), rtol=1e-3)
    np.testing.assert_allclose(zeros, 0.05, atol=0.01)


@pytest.mark.parametrize("kind", KINDS)
def test_the_true_lattice_has_the_larger_score(kind: str) -> None:
    true = np.array(LATTICES[kind])
    _, q = predicted(kind, true, 0.16)
    q = np.unique(q.round(6))[:20]
    others = (
        true * np.concatenate([np.linspace(0.9, 0.98, 40), np.linspace(1.02, 1.1, 40)])[:, None]
    )
    tolerance = 0.04 * slopes(to_angle(q))
    score = lattice_fit.scores(kind, np.vstack([true, others]), q, tolerance, np.ones(len(q)), 9)
    assert score.argmax() == 0
    # By the definition: all lines are explained, each as improbably as its density says.
    volume = lattice_fit.volume(kind, true[None])[0]
    chance = lattice_fit.DENSITY[kind] * np.sqrt(q) / volume * 2 * tolerance
    assert score[0] == pytest.approx(-np.log(np.clip(chance, 1e-3, 0.9)).sum(), rel=1e-4)


def test_monoclinic_groups_in_all_choices_of_axes() -> None:
    """A glide plane is along a, c, or between them; a lattice is centred in A, C, or within."""
    classes, counts = tables("monoclinic")
    names = [EXTINCTION_GROUPS[k].name for k in classes]
    assert {n: names.count(n) for n in names} == {
        "monoclinic P 1 - 1": 1, "monoclinic P 1 21 1": 1, "monoclinic C 1 - 1": 3,
        "monoclinic P 1 c 1": 3, "monoclinic C 1 c 1": 3, "monoclinic P 1 21/c 1": 3,
    }  # fmt: skip
    h, k, l = np.indices(counts.shape[1:])  # noqa: E741
    of_plane = [h % 2 == 0, l % 2 == 0, (h + l) % 2 == 0]
    seen = [count > 0 for name, count in zip(names, counts, strict=True) if "P 1 c 1" in name]
    wanted = [(k > 0) | along for along in of_plane]
    for own in wanted:
        own[0, 0, 0] = True
    for own in seen:
        own[0, 0, 0] = True
    assert sorted(own.tobytes() for own in seen) == sorted(own.tobytes() for own in wanted)
    centred = [count > 0 for name, count in zip(names, counts, strict=True) if "C 1 - 1" in name]
    wanted = [(k + along) % 2 == 0 for along in (h, l, h + l)]
    assert sorted(own.tobytes() for own in centred) == sorted(own.tobytes() for own in wanted)


@pytest.mark.parametrize(("name", "glide"), [("P 1 c 1", 0), ("P 1 - 1", None), ("C 1 c 1", 1)])
def test_absences_of_a_monoclinic_lattice_are_weighed(name: str, glide: int | None) -> None:
    """Of lines that a group allows, in any choice of axes, the cell and the group come first."""
    true = np.array(LATTICES["monoclinic"])
    hkl, q = predicted("monoclinic", true, 0.45)
    h, k, l = hkl.T  # noqa: E741
    allowed = np.ones(len(q), dtype=bool)
    if glide is not None:
        allowed &= (k > 0) | (hkl[:, 2 * glide] % 2 == 0)
    if name.startswith("C"):  # here: I
        allowed &= (h + k + l) % 2 == 0
    lines = find_lines(
        pattern(to_angle(q[allowed]), 0.3 + 0.7 * np.abs(np.sin(np.arange(allowed.sum()))))
    )
    lattice = index(lines, "monoclinic", 1)[0]
    np.testing.assert_allclose(
        monoclinic.reduced(lattice.abc[None]), monoclinic.reduced(true[None]), rtol=5e-3, atol=3e-4
    )
    assert isinstance(lattice, Lattice)
    classes, observed, missing = evidence(lines, lattice)
    best = EXTINCTION_GROUPS[classes[np.argmax(observed + missing)]].name
    assert best == f"monoclinic {name}"


def test_faint_lines_are_above_the_noise() -> None:
    places, heights = np.array([20.0, 35.0, 52.0]), np.array([1.0, 0.5, 0.0015])
    clean = pattern(places, heights)
    assert len(find_lines(clean).angles) == 2
    np.testing.assert_allclose(find_lines(clean, faint=True).angles, places, atol=0.01)
    noise = np.random.default_rng(0).normal(scale=0.003, size=len(clean))
    for faint in (False, True):
        found = find_lines(clean + noise, faint).angles
        assert np.abs(found[:, None] - places).min(axis=0)[:2].max() < 0.02
        assert np.abs(found - places[2]).min() > 0.1


@pytest.mark.parametrize(
    ("group", "cell"),
    [(70, (14.98, 10.34, 23.36)), (43, (6.68, 15.44, 10.43)), (18, (3.39, 8.31, 10.98))],
)
def test_centred_cells_and_long_axes_are_found(group: int, cell: tuple[float, ...]) -> None:
    """Of centred cells the lowest lines have larger indices; with a long axis they are of one net."""
    operations = gemmi.find_spacegroup_by_number(group).operations()
    hkl, q = predicted("orthorhombic", 1 / np.square(cell), 0.6)
    seen = np.array([not operations.is_systematically_absent(h.tolist()) for h in hkl])
    places = to_angle(q[seen])
    heights = np.random.default_rng(group).uniform(0.2, 1.0, len(places))
    found = index(find_lines(pattern(places, heights)), "orthorhombic", 5)
    known = np.sort([lattice.abc for lattice in found], axis=1)
    assert np.isclose(known, np.sort(1 / np.square(cell)), rtol=0.01).all(axis=1).any()
