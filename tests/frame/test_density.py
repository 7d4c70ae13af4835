# SPDX-License-Identifier: BSD-3-Clause
"""Where a sample lies, which cell it is given and how empty that is changes neither density nor labels."""

import itertools

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import insitu
from insitu.frame.frame import Frame
from insitu.frame.neighbors.density import spacing
from insitu.testing import lattice

Array = NDArray[np.float64]
TRUE = 4.05 / 4 ** (1 / 3)


def hot(cells: tuple[int, int, int] = (6, 6, 6), noise: float = 0.12) -> tuple[Array, Array]:
    r, cell = lattice("fcc", 4.05, cells)
    return r + np.random.default_rng(1).normal(0, noise, r.shape), cell


def density(r: Array, cell: object, pbc: object) -> float:
    return spacing(Frame.from_arrays(r, cell, pbc, reach=0.0))


#: Labels and spacing of one sample by which directions are periodic, as it was made.
_PLAIN: dict[tuple[bool, ...], tuple[NDArray[np.int64], float]] = {}


def plain(pbc: tuple[bool, ...]) -> tuple[NDArray[np.int64], float]:
    if pbc not in _PLAIN:
        r, cell = hot()
        _PLAIN[pbc] = insitu.classify(r, cell, pbc, device="cpu").labels, density(r, cell, pbc)
    return _PLAIN[pbc]


@given(
    pbc=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    offset=st.tuples(*[st.floats(-300, 300)] * 3),
    vectors=st.sampled_from(["fitting", "zero", "short", "wide", "askew", "turned"]),
    vacuum=st.sampled_from([None, 2.0, 7.0, 60.0]),
)
@settings(max_examples=60, deadline=None)
def test_labels_do_not_depend_on_place_cell_or_empty_space(
    pbc: tuple[bool, ...], offset: tuple[float, ...], vectors: str, vacuum: float | None
) -> None:
    """A free direction may also be a periodic one with vacuum; its own vector has no meaning."""
    r, cell = hot()
    flags = np.array(pbc)
    labels, length = plain(pbc)
    box = cell.copy()
    askew = np.array([[0.0, 9.3, -4.1], [5.2, 0.0, 7.7], [-8.8, 6.1, 0.0]])
    for axis in np.flatnonzero(~flags):
        if vacuum is not None:
            box[axis] *= vacuum
            continue
        if vectors in ("zero", "short", "wide"):
            box[axis] *= {"zero": 0.0, "short": 0.03, "wide": 31.0}[vectors]
        elif vectors == "askew":
            box[axis] += askew[axis]
    if vacuum is not None:
        flags = np.ones(3, dtype=bool)
    moved = r + np.array(offset)
    if vectors == "turned":
        # Another order of the axes, as in a file that has x where another has z.
        moved, box, flags = moved[:, [2, 0, 1]], box[:, [2, 0, 1]], flags
    found = insitu.classify(moved, box, flags, device="cpu")
    assert density(moved, box, flags) == pytest.approx(length, rel=1e-6)
    np.testing.assert_array_equal(found.labels, labels)


@pytest.mark.parametrize("pbc", list(itertools.product([False, True], repeat=3)))
def test_atoms_with_all_neighbours_are_fcc(pbc: tuple[bool, bool, bool]) -> None:
    """Judged by the images that plain NumPy writes out, far from the origin and outside of the cell."""
    r, cell = hot()
    far = r + np.array([-517.0, 333.0, -1e4])
    found = insitu.classify(far, cell, pbc, device="cpu")
    inside = [
        i for i in range(0, len(r), 7)
        if len(reference.images_around(i, r, cell, pbc, 2.1 * TRUE)[0]) >= 42
    ]  # fmt: skip
    assert len(inside) > 15
    fcc = found.classes.index("fcc")
    assert (found.labels[inside] == fcc).all()


@pytest.mark.parametrize("layers", [2, 3, 4, 7, 12])
def test_the_density_is_that_of_the_slab(layers: int) -> None:
    """(Volume an atom)^(1/3) of the crystal that it was cut from, whatever is around it."""
    r, cell = lattice("fcc", 4.05, (9, 9, 6))
    slab = r[r[:, 2] < 2.025 * layers - 0.1]
    free = density(slab, cell, (True, True, False))
    assert free == pytest.approx(TRUE, rel=0.06)
    box = cell * np.array([[1.0], [1.0], [8.0]])
    for shift in (0.0, 3.3, 100.0, -77.7):
        assert density(slab + shift, box, True) == pytest.approx(free, rel=1e-9)


def test_bulk_has_the_density_of_its_cell() -> None:
    for seed in range(3):
        r, cell = reference.triclinic(200, 0.06, seed)
        assert density(r + 11.0 * seed, cell, True) == pytest.approx(
            (abs(np.linalg.det(cell)) / len(r)) ** (1 / 3), rel=1e-12
        )


def test_vapour_and_a_lost_atom_do_not_count() -> None:
    r, cell = hot((8, 8, 8))
    free = density(r, None, False)
    assert free == pytest.approx(TRUE, rel=0.06)
    for far in (1e2, 1e4, 1e9):
        assert density(np.vstack([r, [[far, 0, -far]]]), None, False) == pytest.approx(
            free, rel=0.02
        )
    gas = np.random.default_rng(0).uniform(0, 10 * cell[0, 0], (100, 3))
    assert density(np.vstack([r, gas]), 10 * cell, True) == pytest.approx(free, rel=0.05)


@pytest.mark.parametrize("box", [None, "periodic"])
def test_a_particle_in_a_large_box(box: str | None) -> None:
    """A ball of crystal: the box is empty, and so are its own corners."""
    r, cell = lattice("fcc", 4.05, (16, 16, 16))
    ball = r[np.linalg.norm(r - r.mean(axis=0), axis=1) < 30.0]
    for shift in ((0.0, 0.0, 0.0), (-500.0, 20.0, 7.0)):
        where = ball + np.array(shift)
        length = density(where, None if box is None else 20 * cell, box is not None)
        assert length == pytest.approx(TRUE, rel=0.12)


def test_nothing_one_atom_and_atoms_at_one_place() -> None:
    assert density(np.zeros((0, 3)), None, False) > 0
    assert density(np.zeros((1, 3)), None, False) > 0
    assert density(np.zeros((5, 3)), None, False) > 0
    assert density(np.zeros((1, 3)), [20.0, 20.0, 20.0], True) == pytest.approx(20.0)


def test_a_frame_carries_its_origin() -> None:
    """ASE's celldisp, and the ends of a sample without a cell."""
    import ase

    atoms = ase.Atoms("Al2", [[-7.0, 1, 2], [3.0, 1, 2]], cell=[20, 20, 20], pbc=[0, 1, 1],
                      celldisp=[-10.0, 0, -5])  # fmt: skip
    frame = Frame.from_atoms(atoms, reach=0.0)
    np.testing.assert_array_equal(frame.origin, [-10, 0, -5])
    np.testing.assert_array_equal(frame.positions, atoms.positions)
    bare = Frame.from_arrays(atoms.positions, None, False, reach=0.0)
    np.testing.assert_array_equal(bare.origin, [-7, 1, 2])
    assert bare.cell[0, 0] == 10.0
