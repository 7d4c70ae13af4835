# SPDX-License-Identifier: BSD-3-Clause
"""The model of energy barriers: engines alike, what must not change a barrier, errors."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

import insitu
from insitu.errors import InsituError, ModelError, SettingError
from insitu.frame.frame import Frame
from insitu.frame.neighbors.search import Neighbors
from insitu.models import store
from insitu.models.barriers import load
from insitu.offline.barriers import whole
from insitu.testing import lattice

#: These samples have the density of a glass and not its structure.
pytestmark = pytest.mark.filterwarnings("ignore:insitu.barriers. the mean barrier")
ARTIFACT = Path(insitu.__file__).parent / "models" / "artifacts" / "cuzr-barriers"


def glass(repeat: int = 6, a: float = 3.987, seed: int = 1) -> tuple[np.ndarray, ...]:
    """Return a sample of the density and composition of the training, not of its structure."""
    rng = np.random.default_rng(seed)
    r, cell = lattice("fcc", a, (repeat, repeat, repeat))
    r = r + rng.uniform(-0.15, 0.15, size=r.shape)
    n = len(r)
    species = np.where(rng.permutation(n) < round(0.64 * n), "Cu", "Zr")
    return r, cell, species


def predicted(r: np.ndarray, cell: np.ndarray | None, pbc: bool, species: np.ndarray) -> np.ndarray:
    """Return barriers without the checks of density and composition."""
    model = load("cuzr-barriers")
    frame = Frame.from_arrays(r, cell, pbc, reach=model.card.settings.cutoff * 1.0001)
    atoms, pairs = whole(model.card.settings, Neighbors(frame, model.card.settings.cutoff))
    found = np.empty(len(r))
    found[atoms] = model.network.whole(pairs, model.kinds(species, len(r))[atoms])
    return found


def by_definition(r: np.ndarray, box: np.ndarray, species: np.ndarray) -> np.ndarray:
    """Return the barriers with dense matrices, from the definition in the network's docstring."""
    model = load("cuzr-barriers")
    s, weight = model.card.settings, model.network.weight
    v = r[None] - r[:, None]
    v -= np.rint(v / box) * box
    d = np.linalg.norm(v, axis=2)
    near = (d < s.cutoff) & (d > 0)
    kind = (species == "Zr").astype(int)

    def fall(x: np.ndarray, begin: float, end: float) -> np.ndarray:
        return np.where(
            x < begin,
            1,
            np.where(x > end, 0, (1 + np.cos(np.pi * (x - begin) / (end - begin))) / 2),
        )

    x = []
    for k, c in itertools.product((0, 1), s.centres):
        density = np.exp(-((d - c) ** 2) / (2 * s.width**2)) * fall(d, s.taper, s.cutoff)
        x.append((density * near * (kind == k)).sum(1))
    a = s.angular
    smooth = fall(d, a.taper, a.cutoff) * (d < a.cutoff) * (d > 0)
    radial = [
        np.exp(-((d - c) ** 2) / (2 * a.width**2)) * smooth * (kind == k)
        for k, c in itertools.product((0, 1), a.centres)
    ]
    both = np.stack(radial, axis=2)  # (atom, neighbour, species and centre)
    spectra = np.zeros((len(r), a.count(2)))
    first, second = np.triu_indices(both.shape[2])
    for i in range(len(r)):
        near_i = np.flatnonzero(smooth[i])
        u, functions = v[i, near_i] / d[i, near_i, None], both[i, near_i]
        cosines = np.clip(u @ u.T, -1, 1)
        for degree in range(a.degree + 1):
            angles = np.polynomial.legendre.legval(cosines, np.eye(a.degree + 1)[degree])
            p = (functions.T @ angles @ functions)[first, second]
            spectra[i, degree * len(first) : (degree + 1) * len(first)] = p
    x = np.concatenate([np.stack(x, axis=1), spectra, np.ones((len(r), 1))], axis=1)
    e = np.einsum("ntf,nf->nt", weight[kind], x)
    mean = np.exp(-d / s.decay) * fall(d, s.taper, s.cutoff) * near + np.eye(len(r))
    mean /= mean.sum(axis=1, keepdims=True)
    y = e[:, 0] + mean @ (e[:, 1] + mean @ (e[:, 2] + mean @ (mean @ e[:, 3])))
    for k in (0, 1):
        w = fall(d, s.inner, s.outer) * near * (kind == k)
        y += (w @ e[:, 4]) / np.maximum(w.sum(axis=1), 1e-9)
    return y


def test_barriers_are_what_is_defined() -> None:
    r, cell, species = glass(4)
    assert cell[0, 0] > 2 * 7.0  # one image of each atom is within the cutoff at most
    box = np.diag(cell)
    assert np.allclose(
        insitu.barriers(r, box, True, species), by_definition(r, box, species), atol=1e-9
    )


def test_torchscript_is_the_same_network() -> None:
    import torch

    r, cell, species = glass(4)
    model = load("cuzr-barriers")
    frame = Frame.from_arrays(r, cell, True, reach=7.001)
    atoms, pairs = whole(model.card.settings, Neighbors(frame, model.card.settings.cutoff))
    kinds = model.kinds(species, len(r))[atoms]
    centre = np.repeat(np.arange(len(atoms)), np.diff(pairs.offsets))
    module = torch.jit.load(str(ARTIFACT / "model.pt"))
    given = (torch.from_numpy(a) for a in (centre, pairs.other, pairs.vectors, kinds))
    with torch.inference_mode():
        theirs = module(*given).numpy()
    assert np.allclose(model.network.whole(pairs, kinds), theirs, rtol=0, atol=1e-9)


def test_numbering_place_and_periods_do_not_matter() -> None:
    r, cell, species = glass(5)
    cell = cell @ np.array([[1.0, 0.0, 0.0], [0.1, 1.0, 0.0], [0.0, 0.05, 1.0]])  # triclinic
    r = r @ np.array([[1.0, 0.0, 0.0], [0.1, 1.0, 0.0], [0.0, 0.05, 1.0]])
    rng = np.random.default_rng(0)
    first = insitu.barriers(r, cell, True, species)
    assert first.std() > 0.01
    order = rng.permutation(len(r))
    assert np.allclose(
        insitu.barriers(r[order], cell, True, species[order]), first[order], atol=1e-9
    )
    moved = r + rng.normal(size=3) + rng.integers(-2, 3, size=r.shape) @ cell
    assert np.allclose(insitu.barriers(moved, cell, True, species), first, atol=1e-8)


def test_the_48_operations_of_a_cube_do_not_matter() -> None:
    r, cell, species = glass(4)
    first = insitu.barriers(r, cell, True, species)
    for axes in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            turned = r[:, axes] * np.array(signs)
            assert np.allclose(insitu.barriers(turned, cell, True, species), first, atol=1e-8)


def test_orientation_of_a_cluster_does_not_matter() -> None:
    r, _, species = glass(4)
    rng = np.random.default_rng(3)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    first = predicted(r, None, False, species)
    assert np.allclose(predicted(r @ turn, None, False, species), first, atol=1e-9)


def test_forms_of_species() -> None:
    r, cell, symbols = glass(4)
    first = insitu.barriers(r, cell, True, symbols)
    for cu, zr in ((29, 40), (63.546, 91.224), (63.55, 91.22), (29.0, 40.0)):
        assert np.array_equal(
            insitu.barriers(r, cell, True, np.where(symbols == "Cu", cu, zr)), first
        )
    assert np.array_equal(insitu.barriers(r, cell, True, symbols.tolist()), first)


def test_what_the_model_knows_nothing_of() -> None:
    r, cell, species = glass(4)
    n = len(r)
    refused = [
        (np.where(species == "Cu", "Ni", "Zr"), "knows Cu, Zr only"),
        (np.where(species == "Cu", 1, 2), "types - 1"),
        (species[:-1], "one an atom"),
        (None, "give species"),
        (np.full(n, "Cu"), "composition"),
    ]
    for given, says in refused:
        with pytest.raises(SettingError, match=says):
            insitu.barriers(r, cell, True, given)
    for factor in (0.9, 1.1):
        with pytest.raises(SettingError, match="density is another"):
            insitu.barriers(r * factor, cell * factor, True, species)
    with pytest.raises(SettingError, match="density is another"):
        insitu.barriers(r / 10, cell / 10, True, species)  # nm
    twice = r.copy()
    twice[1] = twice[0]
    with pytest.raises(SettingError, match="two atoms are 0 Å apart"):
        insitu.barriers(twice, cell, True, species)
    with pytest.raises(SettingError, match=r"\(n, 3\)"):
        insitu.barriers(r[:, :2], cell, True, species)
    bad = r.copy()
    bad[7, 1] = np.nan
    with pytest.raises(InsituError, match="atom 8"):
        insitu.barriers(bad, cell, True, species)
    with pytest.raises(ModelError, match="cuzr-barriers"):
        insitu.barriers(r, cell, True, species, model="metals")
    with pytest.raises(ModelError, match="analyze barriers"):
        store.load("cuzr-barriers")
    assert "cuzr-barriers" not in store.names()


def test_advice() -> None:
    r, cell, species = glass(5)
    other = species.copy()
    other[np.flatnonzero(species == "Cu")[: len(r) // 20]] = "Zr"
    with pytest.warns(UserWarning, match="trained on 64.0%"):
        insitu.barriers(r, cell, True, other)
    r, cell, species = glass(9)
    with pytest.warns(UserWarning, match="surfaces"):
        insitu.barriers(r, cell + np.diag([0.0, 0.0, 20.0]), True, species)


@pytest.mark.filterwarnings("default")
def test_a_structure_that_is_no_quenched_glass() -> None:
    r, cell, species = glass(5)
    assert insitu.barriers(r, cell, True, species).mean() < 1.0  # a hot crystal
    with pytest.warns(UserWarning, match="hot, not minimised"):
        insitu.barriers(r, cell, True, species)


def test_no_atoms() -> None:
    assert insitu.barriers(
        np.zeros((0, 3)), np.eye(3) * 20, True, np.zeros(0, dtype=int)
    ).shape == (0,)


def test_the_card_says_what_is_inside(tmp_path: Path) -> None:
    card = json.loads((ARTIFACT / "card.json").read_text())
    inside = load("cuzr-barriers").card
    assert json.loads(inside.to_json()) == card
    assert 6 not in card["more"]["trained_on"]  # the published validation
    assert (ARTIFACT / "model.pt").stat().st_size < 1_000_000
    damaged = tmp_path / "model.pt"
    damaged.write_bytes((ARTIFACT / "model.pt").read_bytes()[:2000])
    with pytest.raises(ModelError, match="damaged"):
        load(str(damaged))
