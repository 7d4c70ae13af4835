# SPDX-License-Identifier: BSD-3-Clause
"""The shipped tensor networks: symmetry, equivariance, the choice of the cell; the same as in training."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from insitu.crystal.prediction import graph as module
from insitu.crystal.prediction import tensors as prediction
from insitu.crystal.prediction import weights
from insitu.crystal.prediction.graph import graph
from insitu.crystal.prediction.tensors import card, dielectric_tensor, elastic_tensor, run
from insitu.crystal.spacegroup import find
from insitu.crystal.tensors.basis import elastic, harmonics, traceless
from insitu.crystal.tensors.moduli import moduli, stable
from insitu.crystal.tensors.projection import rotate, symmetry_breaking
from insitu.crystal.tensors.voigt import from_voigt, to_voigt
from insitu.errors import ModelError, SettingError
from insitu.frame.lattices.perfect import LATTICES

FCC = 0.5 * (1 - np.eye(3))
#: Cell [Å], sites, atomic numbers: cubic, hexagonal, and one without symmetry.
CRYSTALS = {
    "NaCl": (5.64 * FCC, [[0, 0, 0], [0.5, 0.5, 0.5]], [11, 17]),
    "ZnO": (
        np.array([[3.25, 0, 0], [-1.625, 3.25 * np.sqrt(0.75), 0], [0, 0, 5.2]]),
        [[1 / 3, 2 / 3, 0], [2 / 3, 1 / 3, 0.5], [1 / 3, 2 / 3, 0.382], [2 / 3, 1 / 3, 0.882]],
        [30, 30, 8, 8],
    ),
    "none": (
        np.array([[3.3, 0.2, 0.1], [0.3, 4.1, -0.2], [0.1, 0.5, 5.0]]),
        [[0, 0, 0], [0.41, 0.55, 0.3], [0.7, 0.2, 0.65]], [22, 8, 8],
    ),
}  # fmt: skip
FUNCTIONS = {"elastic": elastic_tensor, "dielectric": dielectric_tensor}
KINDS = list(FUNCTIONS)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CRYSTALS)
def test_equivariance_and_choice_of_the_cell(
    kind: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the projection: what holds is the network's own."""
    monkeypatch.setattr(prediction.spacegroup, "available", lambda: False)
    cell, sites, z = (np.asarray(v) for v in CRYSTALS[name])
    function = FUNCTIONS[kind]
    found = function(cell, sites, z).tensor
    size = np.abs(found).max()
    for turn in (Rotation.random(rng=np.random.default_rng(1)).as_matrix(), -np.eye(3)):
        turned = function(cell @ turn.T, sites, z).tensor
        assert np.abs(turned - rotate(found, turn)).max() < 1e-8 * size
    order = np.random.default_rng(2).permutation(len(z))
    moved = function(cell, sites[order] + np.array([0.3, -0.2, 0.77]), z[order]).tensor
    assert np.abs(moved - found).max() < 1e-8 * size
    m = np.array([[1, 1, 0], [0, 1, 0], [-1, 0, 2]])  # a skewed cell of twice the volume
    twice = np.concatenate([sites, sites + np.array([0, 0, 1])]) @ np.linalg.inv(m)
    again = function(m @ cell, twice, np.tile(z, 2)).tensor
    assert np.abs(again - found).max() < 1e-8 * size


@pytest.mark.parametrize("name", CRYSTALS)
def test_bonds_in_blocks(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All pairs of atoms and images, by a plain loop; a block of one atom or of all is the same."""
    cell, sites, z = (np.asarray(v) for v in CRYSTALS[name])
    whole = graph(cell, sites, z)
    monkeypatch.setattr(module, "_BLOCK", 1)
    g = graph(cell, sites, z)
    assert np.array_equal(g.length, whole.length)
    assert np.array_equal(g.direction, whole.direction)
    unit = np.cbrt(np.linalg.det(cell) / len(z))
    expected = []
    for i, j in np.ndindex(len(z), len(z)):
        for n in np.ndindex(13, 13, 13):
            d = (sites[j] - sites[i] + np.array(n) - 6) @ cell
            if 1e-6 < np.linalg.norm(d) < g.reach * unit:
                expected.append([i, j, *d])
    found = np.column_stack([g.first, g.second, g.direction * (g.length * g.unit)[:, None]])
    assert len(found) == len(expected)
    assert np.abs(_sorted(found) - _sorted(np.array(expected))).max() < 1e-6


def _sorted(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows[np.lexsort(np.round(rows, 4).T)])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["NaCl", "ZnO"])
def test_symmetry_holds_without_the_projection(kind: str, name: str) -> None:
    cell, sites, z = CRYSTALS[name]
    g = graph(cell, sites, z)
    group = find(cell, sites, z, 1e-4)
    assert group is not None
    for net in weights.loaded(kind)[0]:
        flat = run(net, g, kind)
        t = from_voigt(flat.reshape(6, 6)) if kind == "elastic" else flat.reshape(3, 3)
        assert symmetry_breaking(t, group.rotations, kind) < 1e-9


def test_bases() -> None:
    """Orthonormal, traceless, symmetric; the parts of a stiffness are all 21 of its dimensions."""
    for rank, size in ((2, 5), (4, 9)):
        b = traceless(rank)
        assert b.shape == (size, 3**rank)
        assert np.allclose(b @ b.T, np.eye(size))
        t = b.reshape(size, *(3,) * rank)
        assert np.abs(np.trace(t, axis1=1, axis2=2)).max() < 1e-12
        assert np.allclose(t, t.swapaxes(1, rank))
    whole = np.concatenate(list(elastic().values()))
    assert np.linalg.matrix_rank(whole) == 21
    n = np.random.default_rng(0).normal(size=(4, 3))
    n /= np.linalg.norm(n, axis=1)[:, None]
    # |Y|² is the same in all directions: (l!)²2^l/(2l)! with l! / (2l-1)!!.
    for rank, norm in ((2, 2 / 3), (4, 8 / 35)):
        assert np.allclose((harmonics(n, rank) ** 2).sum(axis=1), norm)


def test_elastic_constants_of_well_known_crystals() -> None:
    """Measured bulk moduli [GPa] from 4 to 440; the network has DFT's errors and its own: within 35 %."""
    known = {
        ("fcc", 4.05, (13,)): 76, ("fcc", 3.61, (29,)): 137, ("fcc", 3.92, (78,)): 278,
        ("bcc", 3.16, (74,)): 310, ("cubic_diamond", 5.43, (14,)): 98,
        ("cubic_diamond", 5.65, (31, 33)): 75,
    }  # fmt: skip
    for (kind, a, z), bulk in known.items():
        sites = np.array(LATTICES[kind][1])
        numbers = np.repeat(z, len(sites) // len(z))
        c = to_voigt(elastic_tensor(a * np.eye(3), sites, numbers).tensor)
        assert stable(c)
        assert moduli(c).bulk == pytest.approx(bulk, rel=0.35), z
        assert np.allclose(c[0, 0], c[1, 1])


@pytest.mark.parametrize("kind", KINDS)
def test_numpy_is_torch(kind: str) -> None:
    """The network of training, with the shipped weights, gives what NumPy gives."""
    import torch

    from insitu.training.fit.tensors import TensorNetwork, graphs
    from insitu.training.structures.tensor_tables import Record

    net = weights.loaded(kind)[0][0]
    elements = np.column_stack([net["radius"], net["properties"]])
    made = TensorNetwork(kind, elements, **card(kind)["shape"])
    made.load_state_dict({k: torch.tensor(v, dtype=torch.float32) for k, v in net.items()})
    made.eval()
    blank = np.zeros((3,) * (4 if kind == "elastic" else 2))
    records = [
        Record(n, n, np.array(c), np.array(s), np.array(z), blank)
        for n, (c, s, z) in CRYSTALS.items()
    ]
    data = graphs(records, kind)
    with torch.no_grad():
        found = made(data.batch(np.arange(len(records)))).numpy()
    for record, row in zip(records, found, strict=True):
        own = run(net, graph(record.cell, record.sites, record.numbers), kind)
        assert np.abs(own - row).max() < 2e-5 * np.abs(own).max()


@pytest.mark.parametrize("kind", KINDS)
def test_card_says_what_it_reaches(kind: str) -> None:
    notes = card(kind)
    assert notes["test"]["fnorm"] < 0.6 * notes["mean_tensor"]["fnorm"]
    assert (weights.FOLDER / f"{kind}.npz").stat().st_size < 1_000_000


def test_messages(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(SettingError, match="give \\(3, 3\\)"):
        elastic_tensor(np.eye(3), [[0, 0, 0]], [1, 2])
    with pytest.raises(SettingError, match="atomic numbers of H"):
        elastic_tensor(4 * np.eye(3), [[0, 0, 0]], [0])
    with pytest.raises(SettingError, match="apart; give an ordered structure"):
        elastic_tensor(4 * np.eye(3), [[0, 0, 0], [0.01, 0, 0]], [1, 1])
    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    weights.loaded.cache_clear()
    try:
        with pytest.raises(ModelError, match="install insitu anew"):
            elastic_tensor(4 * np.eye(3), [[0, 0, 0]], [13])
    finally:
        weights.loaded.cache_clear()
