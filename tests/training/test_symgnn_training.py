# SPDX-License-Identifier: BSD-3-Clause
"""Training of SymGNN: the cheap pass is the network's, it learns, goes on after an end, is explained."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch

from insitu.errors import SettingError
from insitu.models.networks.symgnn import MODES, SymGNN
from insitu.testing import lattice
from insitu.training.fit import symgnn
from insitu.training.fit.barriers import Glass
from insitu.training.fit.explanation import by_distance, importance
from insitu.training.fit.symgnn import KINDS, Training
from insitu.training.fit.symgnn_graph import Graph
from insitu.training.fit.symgnn_step import passed


def glass(number: int, cells: int = 4) -> Glass:
    """Return a sample whose barriers are the number of neighbours within 2.9 Å, and nothing else."""
    rng = np.random.default_rng(number)
    r, cell = lattice("fcc", 3.99, (cells, cells, cells))
    r = r + rng.uniform(-0.25, 0.25, r.shape)
    species = (rng.random(len(r)) < 0.36).astype(np.int64)
    v = r[None] - r[:, None]
    d = np.linalg.norm(v - np.rint(v / cell[0, 0]) * cell[0, 0], axis=2)
    return Glass(number, r, np.diag(cell), species, 0.1 * (d < 2.9).sum(1))


@pytest.fixture(scope="module")
def graphs() -> dict[int, Graph]:
    return {k: Graph.of(glass(k)) for k in range(4)}


@pytest.fixture(autouse=True)
def one_thread() -> object:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("mode", MODES)
def test_the_cheap_pass_is_the_network(mode: str, graphs: dict[int, Graph]) -> None:
    torch.manual_seed(1)
    net = SymGNN(mode=mode, scale=100.0, samples=1, dropout=0.0)
    given = [(g.source, g.target, g.vectors, g.species) for g in graphs.values()]
    with torch.no_grad():
        for one in given:
            net(*one)
    net.eval()
    with torch.inference_mode():
        torch.manual_seed(3)
        expected = net(*given[0])
        torch.manual_seed(3)
        found = passed(net, graphs[0])
    assert expected.std() > 0.01
    assert (found - expected).abs().max() < 2e-3 * expected.std()


def test_gradients_and_statistics_are_the_networks(graphs: dict[int, Graph]) -> None:
    g = graphs[0]
    torch.manual_seed(1)
    net = SymGNN(mode="distance", dropout=0.0)
    other = copy.deepcopy(net)
    weight = torch.randn(len(g.species))
    (net(g.source, g.target, g.vectors, g.species) @ weight).backward()
    (passed(other, g, every=1) @ weight).backward()
    largest = max(float(p.grad.abs().max()) for p in net.parameters() if p.grad is not None)
    assert largest > 0.1
    for p, q in zip(net.parameters(), other.parameters(), strict=True):
        if p.grad is not None:
            grad = torch.zeros_like(p) if q.grad is None else q.grad
            assert (p.grad - grad).abs().max() < 1e-3 * largest
    for (name, p), q in zip(net.named_buffers(), other.buffers(), strict=True):
        if "running" in name and "layers.3.edges_out" not in name:  # which nothing uses
            assert torch.allclose(p, q, rtol=1e-3, atol=1e-4), name


@pytest.mark.parametrize("kind", KINDS)
def test_training_lowers_the_loss(kind: str, graphs: dict[int, Graph], tmp_path: Path) -> None:
    steps = 6 if kind in MODES else 12
    settings = Training(steps=steps, every=steps // 3, samples=2, dropout=0.0, seed=2)
    file = tmp_path / "run.pt"
    net = symgnn.train(kind, graphs, ((0, 1), (2,)), 3, settings, file)
    history = torch.load(file, weights_only=True)["history"]
    assert [h[0] for h in history] == [steps // 3, 2 * steps // 3, steps]
    assert history[-1][1] < history[0][1]
    if kind in ("mlp", "gcn"):  # species alone tell nothing
        assert history[-1][1] > 0.7
    assert symgnn.predicted(net, graphs[3], 4).shape == (256,)


def test_what_was_ended_goes_on(graphs: dict[int, Graph], tmp_path: Path) -> None:
    settings = Training(steps=6, every=2, seed=3)
    whole = symgnn.train("distance", graphs, ((0,), (1,)), 3, settings, tmp_path / "whole.pt")

    class EndedError(Exception):
        pass

    class Ending(dict[int, Graph]):
        calls = 0

        def __getitem__(self, key: int) -> Graph:
            self.calls += 1
            if self.calls > 9:
                raise EndedError
            return super().__getitem__(key)

    with pytest.raises(EndedError):
        symgnn.train("distance", Ending(graphs), ((0,), (1,)), 3, settings, tmp_path / "part.pt")
    assert 0 < torch.load(tmp_path / "part.pt", weights_only=True)["step"] < 6
    again = symgnn.train("distance", graphs, ((0,), (1,)), 3, settings, tmp_path / "part.pt")
    for p, q in zip(whole.parameters(), again.parameters(), strict=True):
        assert torch.equal(p, q)


@pytest.mark.full
def test_the_mask_finds_the_neighbours_that_matter(
    graphs: dict[int, Graph], tmp_path: Path
) -> None:
    settings = Training(steps=100, every=50, dropout=0.0, seed=4)
    net = symgnn.train("distance", graphs, ((0,), (1,), (2,)), 3, settings, tmp_path / "run.pt")
    r = np.corrcoef(symgnn.predicted(net, graphs[3]), graphs[3].barriers)[0, 1]
    assert r > 0.8
    assert isinstance(net, SymGNN)
    kept, alike = importance(net, graphs[3])
    assert alike > 0.8
    assert kept.shape == (len(graphs[3].source),)
    assert (kept >= 0).all()
    assert (kept <= 1).all()
    found = by_distance(kept, graphs[3], ("Cu", "Zr"), np.array([0.0, 2.9, 3.9, 5.0]))
    assert sum(many.sum() for _, many in found.values()) == len(kept)
    for pair, (mean, _) in found.items():
        assert mean[0] > mean[2], pair


def test_a_slab_has_whole_neighbourhoods(graphs: dict[int, Graph]) -> None:
    g = graphs[1]
    part, inner = g.slab(1, 0.9, 4.0)
    y = g.places[:, 1] * 15.96
    inside = ((y >= 0.9 * 15.96) | (y < 4.0 - 0.1 * 15.96)).numpy()
    assert np.array_equal(part.barriers[inner], g.barriers[torch.from_numpy(inside)])
    counts = torch.diff(part.offsets)[inner]
    assert np.array_equal(counts, torch.diff(g.offsets)[torch.from_numpy(inside)])
    assert (torch.diff(part.offsets)[~inner] < torch.diff(g.offsets).min()).any()
    assert torch.equal(part.source[part.back], part.target)
    assert torch.equal(part.vectors[part.back], -part.vectors)


def test_what_it_refuses() -> None:
    with pytest.raises(SettingError, match="too small"):
        Graph.of(glass(0, cells=2))
    with pytest.raises(SettingError, match="egnn"):
        symgnn.network_of("transformer", 0.0, 1.0)
