# SPDX-License-Identifier: BSD-3-Clause
"""The analysis class for MDAnalysis and samples of other packages: the same labels as for their arrays."""

import sys
from pathlib import Path
from typing import Any

import ase.build
import MDAnalysis
import numpy as np
import pytest

import insitu
from insitu.errors import SettingError

HOME = Path(__file__).resolve().parents[2] / "integrations" / "mdanalysis"
sys.path.insert(0, str(HOME))

from insitu_mdanalysis import StructureAnalysis  # noqa: E402


def copper(n: int = 5) -> ase.Atoms:
    return ase.build.bulk("Cu", cubic=True) * (n, n, n)


@pytest.fixture
def universe() -> "MDAnalysis.Universe":
    """An fcc crystal that is displaced more from frame to frame, the last ones a mess."""
    atoms, noise = copper(), np.random.default_rng(3)
    frames = [atoms.positions + noise.normal(0, s, (len(atoms), 3)) for s in (0.0, 0.1, 0.35, 0.4)]
    u = MDAnalysis.Universe.empty(len(atoms), trajectory=True)
    u.add_TopologyAttr("elements", atoms.get_chemical_symbols())
    from MDAnalysis.coordinates.memory import MemoryReader

    box = np.tile(atoms.cell.cellpar(), (len(frames), 1))
    u.load_new(np.array(frames, dtype="f4"), format=MemoryReader, dimensions=box)
    return u


def expected(u: "MDAnalysis.Universe") -> list[Any]:
    cell = copper().cell.array
    return [
        insitu.classify(ts.positions.astype(float), cell, True, device="cpu")
        for ts in u.trajectory
    ]  # fmt: skip


@pytest.mark.parametrize("backend", ["serial", "multiprocessing", "dask"])
def test_every_backend_gives_what_classify_gives(
    universe: "MDAnalysis.Universe", backend: str
) -> None:
    if backend == "dask":
        pytest.importorskip("dask", reason="dask is not installed")
    workers = {} if backend == "serial" else {"n_workers": 2}
    results = StructureAnalysis(universe.atoms).run(backend=backend, **workers).results
    found = expected(universe)
    assert results.classes == [*found[0].classes, "unknown"]
    for k, one in enumerate(found):
        assert (results.labels[k] == one.labels).mean() > 0.998  # the box is in single precision
        assert np.allclose(results.fractions[k], list(one.fractions.values()), atol=2e-3)
        assert np.abs(results.confidence[k] - one.confidence).max() < 0.02
    assert results.fractions[0, 0] == 1.0
    assert results.fractions[-1, 0] < 0.9
    assert np.allclose(results.fractions.sum(axis=1), 1.0)


def test_the_backends_are_those_that_it_names() -> None:
    assert StructureAnalysis.parallelizable
    assert set(StructureAnalysis.get_supported_backends()) == {"serial", "multiprocessing", "dask"}


def test_a_group_has_all_atoms_as_its_neighbours(universe: "MDAnalysis.Universe") -> None:
    some = universe.atoms[universe.atoms.positions[:, 2] < 5.0][::-1]
    results = StructureAnalysis(some).run(stop=2).results
    whole = expected(universe)
    assert results.labels.shape == (2, len(some))
    assert (results.labels[1] == whole[1].labels[some.ix]).all()
    assert results.fractions[0, 0] == 1.0


def test_whose_atoms_make_up_the_surroundings(universe: "MDAnalysis.Universe") -> None:
    """Every other atom taken away: what is left is no fcc, and is the same as without the others."""
    kept = universe.atoms[::2]
    results = StructureAnalysis(universe.atoms, neighbors=kept).run(stop=1).results
    alone = insitu.classify(kept.positions.astype(float), copper().cell.array, True, device="cpu")
    assert (results.labels[0, 1::2] == -2).all()
    assert (results.labels[0, ::2] == alone.labels).all()
    assert np.allclose(results.fractions[0], list(alone.fractions.values()))


def test_a_slab_is_periodic_where_it_is_told(universe: "MDAnalysis.Universe") -> None:
    """MDAnalysis does not know it: a box that ends right above the atoms would close the slab."""
    slab = universe.atoms
    for pbc in (True, (True, True, False)):
        results = StructureAnalysis(slab, pbc=pbc).run(stop=1).results
        one = insitu.classify(slab.positions.astype(float), copper().cell.array, pbc, device="cpu")
        assert (results.labels[0] == one.labels).all()
        assert np.abs(results.confidence[0] - one.confidence).max() < 1e-3


def test_an_empty_group_and_no_frames(universe: "MDAnalysis.Universe") -> None:
    with pytest.raises(insitu.InsituError, match="atomgroup is empty"):
        StructureAnalysis(universe.atoms[:0])
    assert StructureAnalysis(universe.atoms).run(frames=[]).results.labels.shape == (0, 500)


def test_samples_of_ase_and_mdanalysis(universe: "MDAnalysis.Universe") -> None:
    atoms = copper()
    atoms.rattle(0.15, seed=4)
    atoms.set_celldisp((1.0, 2.0, 3.0))
    plain = insitu.classify(atoms.positions, atoms.cell.array, True, device="cpu")
    for found in (
        insitu.classify(atoms, device="cpu"),
        insitu.classify(atoms, pbc=True, device="cpu"),
    ):
        assert (found.labels == plain.labels).all()
        assert np.abs(found.probabilities - plain.probabilities).max() < 1e-5
    assert insitu.classify(universe, device="cpu").fractions["fcc"] == 1.0
    # Its species are used: a model on absolute distances that tells them apart, neighbors by element.
    atoms.numbers[::2] = 1
    found = insitu.classify(atoms, neighbors="Cu", device="cpu")
    assert (found.labels[::2] == -2).all()
    universe.atoms[::2].elements = "H"
    found = insitu.classify(universe.atoms, neighbors="Cu", device="cpu")
    assert (found.labels[::2] == -2).all()


def test_a_slab_and_a_molecule_of_ase() -> None:
    slab = ase.build.fcc111("Al", (6, 6, 6))  # no third vector
    assert insitu.classify(slab, device="cpu").analysed.all()
    assert insitu.classify(ase.Atoms("Cu3", np.eye(3)), device="cpu").fractions["unknown"] == 1.0


def test_positions_alone_are_not_enough() -> None:
    with pytest.raises(SettingError, match="pbc is not given"):
        insitu.classify(copper().positions)
    with pytest.raises(SettingError, match="has no cell"):
        insitu.classify(ase.Atoms("Cu3", np.eye(3)), pbc=True)
