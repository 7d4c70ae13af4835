# SPDX-License-Identifier: BSD-3-Clause
"""Equal distances: no image and no label may hang on how the atoms are numbered."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import insitu
from insitu import _kernels
from insitu.descriptors.neighbors_map import NeighborsMap
from insitu.frame.frame import Frame
from insitu.frame.neighbors.search import Neighbors
from insitu.testing import LATTICES, lattice

Array = NDArray[np.float64]
Sample = tuple[Array, Array, tuple[bool, bool, bool]]

#: Lattice constant [Å] and repeats.
CRYSTALS: dict[str, tuple[float, tuple[int, int, int]]] = {
    "sc": (3.36, (6, 6, 5)),
    "bcc": (2.87, (5, 5, 4)),
    "fcc": (4.05, (4, 4, 3)),
    "hcp": (3.2, (5, 3, 3)),
    "cubic_diamond": (5.43, (3, 3, 2)),
    "hexagonal_diamond": (3.84, (4, 2, 2)),
}
SHAPES = ["bulk", "slab", "wire", "particle", "vacancies", "strained slab", "adatoms"]
#: Those that hold no atoms at edges and corners, whose surroundings are not a crystal's.
WHOLE = ["bulk", "slab", "vacancies"]
#: The general model's descriptor, the paper's, and others whose balls end inside other shells.
MAPS = {
    "general": NeighborsMap(scale_free=True, size=18, ball=18, cutoff=9.0),
    "paper": NeighborsMap(),
    "scale-free": NeighborsMap(scale_free=True, size=12, ball=14, cutoff=9.0),
}


def sample(name: str, shape: str) -> Sample:
    """A perfect crystal; slabs end in z, wires in x and y."""
    a, repeat = CRYSTALS[name]
    r, cell = lattice(name, a, repeat)
    middle = len(r) // 2
    if shape == "vacancies":
        r = np.delete(r, [middle, middle + 1, middle + 7], axis=0)
    if shape == "adatoms":  # an incomplete last layer
        top = r[:, 2] > r[:, 2].max() - 1e-6
        r = r[~top | (np.cumsum(top) % 5 == 1)]
    if shape == "strained slab":
        strain = np.array([[1.03, 0.0, 0.0], [0.02, 0.98, 0.0], [0.0, 0.01, 1.0]])
        r, cell = r @ strain, cell @ strain
    open_axes = {"slab": "z", "strained slab": "z", "adatoms": "z", "wire": "xy", "particle": "xyz"}
    pbc = tuple(axis not in open_axes.get(shape, "") for axis in "xyz")
    return r, cell, pbc  # type: ignore[return-value]


def numberings(r: Array) -> dict[str, NDArray[np.intp]]:
    """Orders of the atoms: as LAMMPS creates them on 1, 2 and 3 ranks, backwards, and random."""
    found = {
        "backwards": np.arange(len(r))[::-1],
        "random": np.random.default_rng(7).permutation(len(r)),
    }
    for ranks in (1, 2, 3):
        width = np.ptp(r[:, 0]) / ranks + 1e-3
        brick = np.floor((r[:, 0] - r[:, 0].min()) / width)
        found[f"{ranks} ranks"] = np.lexsort((r[:, 0], r[:, 1], r[:, 2], brick))
    return found


def images(
    r: Array, cell: Array, pbc: Any, kind: NeighborsMap, weights: Array | None = None, isa: str = ""
) -> NDArray[np.float32]:
    frame = Frame.from_arrays(r, cell, pbc, reach=kind.cutoff * 1.001)
    color = None if weights is None else weights[frame.ids - 1].astype(np.float32)
    search = Neighbors(frame, kind.cutoff)
    out = np.empty((len(r), 1 if weights is None else 2, kind.size, kind.size), dtype=np.float32)
    for atoms, batch, _ in kind.batches(search, weights=color, isa=isa):
        out[atoms] = batch
    return out


@pytest.mark.parametrize("kind", MAPS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", LATTICES)
def test_images_of_perfect_crystals_do_not_hang_on_the_numbers(
    name: str, shape: str, kind: str
) -> None:
    r, cell, pbc = sample(name, shape)
    want = images(r, cell, pbc, MAPS[kind])
    for how, order in numberings(r).items():
        got = images(r[order], cell, pbc, MAPS[kind])
        np.testing.assert_allclose(got, want[order], rtol=1e-5, atol=1e-9, err_msg=how)


@pytest.mark.parametrize("shape", ["bulk", "slab", "vacancies"])
def test_coloured_images_of_an_ordered_alloy_do_not_hang_on_the_numbers(shape: str) -> None:
    r, cell, pbc = sample("bcc", shape)
    weights = np.where(np.rint(2 * r[:, 0] / 2.87) % 2, 1.0, -0.5)  # B2
    for kind in (NeighborsMap(), NeighborsMap(scale_free=True, size=24, ball=24, cutoff=9.0)):
        want = images(r, cell, pbc, kind, weights)
        for how, order in numberings(r).items():
            got = images(r[order], cell, pbc, kind, weights[order])
            np.testing.assert_allclose(got, want[order], rtol=1e-5, atol=1e-9, err_msg=how)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", LATTICES)
def test_labels_of_perfect_crystals_do_not_hang_on_the_numbers(name: str, shape: str) -> None:
    r, cell, pbc = sample(name, shape)
    want = insitu.classify(r, cell, pbc, device="cpu")
    if shape in WHOLE:
        assert want.fractions[name] == 1.0
    for how, order in numberings(r).items():
        got = insitu.classify(r[order], cell, pbc, device="cpu")
        np.testing.assert_array_equal(got.labels, want.labels[order], err_msg=how)
        np.testing.assert_allclose(got.confidence, want.confidence[order], atol=1e-5, err_msg=how)


@pytest.mark.parametrize("kind", MAPS)
@pytest.mark.parametrize("shape", ["slab", "vacancies"])
@pytest.mark.parametrize("name", LATTICES)
def test_all_instruction_sets_have_the_rows_of_the_definition(
    name: str, shape: str, kind: str
) -> None:
    r, cell, pbc = sample(name, shape)
    d = MAPS[kind]
    some = np.arange(0, len(r), 5)
    want = reference.neighbors_map(
        r, cell, pbc, cutoff=d.cutoff, size=d.size, scale_free=d.scale_free, ball=d.ball,
        local=d.local, indices=some,
    )  # fmt: skip
    assert want.tied.all()
    for isa in _kernels.isa_available():
        got = images(r, cell, pbc, d, isa=isa)[some]
        np.testing.assert_allclose(got, want.images, rtol=1e-5, atol=1e-9, err_msg=isa)


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(
    name=st.sampled_from(list(LATTICES)),
    a=st.floats(2.5, 5.5),
    strain=st.tuples(*[st.sampled_from([-0.03, 0.0, 0.0, 0.02])] * 6),
    normal=st.tuples(*[st.integers(-2, 2)] * 3),
    height=st.floats(-2.0, 6.0),
    removed=st.sampled_from([0.0, 0.02, 0.1, 0.4]),
    pbc=st.tuples(*[st.booleans()] * 3),
    ball=st.sampled_from([8, 12, 14, 18, 18, 24, 32]),
    seed=st.integers(0, 2**32 - 1),
)
def test_renumbering_any_piece_of_a_crystal(
    name: str, a: float, strain: tuple[float, ...], normal: tuple[int, ...], height: float,
    removed: float, pbc: tuple[bool, bool, bool], ball: int, seed: int,
) -> None:  # fmt: skip
    """Strained, with vacancies, cut along a plane, in pieces down to single atoms."""
    rng = np.random.default_rng(seed)
    r, cell = lattice(name, a, tuple(max(2, k - 1) for k in CRYSTALS[name][1]))  # type: ignore[arg-type]
    keep = (r - cell.diagonal() / 2) @ np.array(normal) < height
    keep &= rng.random(len(r)) >= removed
    deformed = np.eye(3)
    deformed[np.triu_indices(3)] += strain
    r, cell = r[keep] @ deformed, cell @ deformed
    if not len(r):
        return
    kind = NeighborsMap(scale_free=True, size=min(ball, 18), ball=ball, cutoff=2.2 * a)
    order = rng.permutation(len(r))
    want, got = (images(x, cell, pbc, kind) for x in (r, r[order]))
    np.testing.assert_allclose(got, want[order], rtol=2e-5, atol=1e-9)


def test_a_shell_that_is_cut_gives_the_graph_no_neighbours() -> None:
    """12 nearest: bcc has 8 and 6, of which none is better than another; fcc has 12."""
    for name, many in (("bcc", 8), ("fcc", 12), ("cubic_diamond", 4)):
        r, cell = lattice(name, 4.0, (3, 3, 3))
        search = Neighbors(Frame.from_arrays(r, cell, True, reach=6.001), 6.0)
        near = search.nearest(search.places, (6.0, 18, 14), 12, 6.0)
        assert ((near >= 0).sum(axis=1) == many).all()


@pytest.mark.parametrize("scale_free", [False, True], ids=["absolute", "scale-free"])
def test_very_many_atoms_at_one_distance(scale_free: bool) -> None:
    """A sphere of atoms around one, and atoms on one spot: the search does not grow with their square."""
    rng = np.random.default_rng(3)
    v = rng.normal(size=(4000, 3))
    r = np.vstack([np.zeros(3), 5.0 * v / np.linalg.norm(v, axis=1)[:, None]])
    kind = NeighborsMap(scale_free=scale_free, cutoff=6.0)
    found = insitu.neighbors_map(r, None, False, indices=[0], scale_free=scale_free)
    assert np.isfinite(found).all()
    assert np.isfinite(images(np.zeros((300, 3)), None, False, kind)).all()  # type: ignore[arg-type]
