# SPDX-License-Identifier: BSD-3-Clause
"""SymGNN: what it is invariant under in each mode, and that TorchScript is the same network."""

import numpy as np
import pytest
import torch

from insitu.errors import SettingError
from insitu.frame.frame import Frame
from insitu.frame.neighbors.search import Neighbors
from insitu.models.networks.symgnn import MODES, SymGNN, Symmetrisation, octahedral, orthogonal
from insitu.testing import lattice

Graph = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


def sample(repeat: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    r, cell = lattice("fcc", 3.99, (repeat, repeat, repeat))
    return r + rng.uniform(-0.2, 0.2, r.shape), cell, rng.integers(0, 2, len(r))


def graph(r: np.ndarray, cell: np.ndarray, species: np.ndarray) -> Graph:
    frame = Frame.from_arrays(r, cell, True, reach=5.001)
    search = Neighbors(frame, 5.0)
    offsets, others = search.lists(5.0)
    target = np.repeat(search.atoms, np.diff(offsets)).astype(np.int64)
    vectors = frame.positions[others] - frame.positions[target]
    return (
        torch.from_numpy(frame.ids[others] - 1), torch.from_numpy(target), torch.from_numpy(vectors),
        torch.from_numpy(species),
    )  # fmt: skip


def network(mode: str) -> SymGNN:
    """Return a network with statistics in its normalisations, and values that spread by more than 0.01."""
    torch.manual_seed(1)
    net = SymGNN(mode=mode, centre=0.0, scale=100.0).double()
    with torch.no_grad():
        for _ in range(3):
            net(*graph(*sample(2)))
    return net.eval()


def run(net: torch.nn.Module, g: Graph) -> torch.Tensor:
    torch.manual_seed(5)
    with torch.inference_mode():
        return net(*g)


def test_size_is_the_published_one() -> None:
    assert 95_000 < sum(p.numel() for p in SymGNN().parameters()) < 115_000


def test_octahedral_is_exactly_invariant_and_no_more() -> None:
    net, g = network("octahedral"), graph(*sample(2))
    first = run(net, g)
    assert first.std() > 0.01
    for q in octahedral():
        turned = run(net, (g[0], g[1], g[2] @ q.double().t(), g[3]))
        assert (turned - first).abs().max() < 1e-5
    torch.manual_seed(2)
    other = run(net, (g[0], g[1], g[2] @ orthogonal(1)[0].double().t(), g[3]))
    assert (other - first).abs().max() > 1e-5  # of the group's symmetries only


def test_distance_is_invariant_under_any_rotation() -> None:
    net, g = network("distance"), graph(*sample())
    turned = run(net, (g[0], g[1], g[2] @ orthogonal(1)[0].double().t(), g[3]))
    assert (turned - run(net, g)).abs().max() < 1e-5


def test_variance_of_haar_falls_as_one_over_k() -> None:
    torch.manual_seed(0)
    module = Symmetrisation("haar")
    x = torch.randn(32, 3)
    module(x)
    module.eval()
    spread = []
    for k in (4, 16):
        module.samples = k
        with torch.inference_mode():
            drawn = torch.stack([module(x) for _ in range(300)])
        spread.append(float(drawn.var(dim=0).mean()))
    assert spread[0] / spread[1] == pytest.approx(4.0, rel=0.2)


def test_haar_matrices_are_uniform() -> None:
    torch.manual_seed(0)
    q = orthogonal(20_000)
    assert torch.allclose(q @ q.transpose(1, 2), torch.eye(3).expand_as(q), atol=1e-5)
    assert abs(float(torch.linalg.det(q).mean())) < 0.03  # as many of each handedness
    assert abs(float(q.mean())) < 0.01
    assert torch.allclose((q**2).mean(0), torch.full((3, 3), 1 / 3), atol=0.01)


@pytest.mark.parametrize("mode", MODES)
def test_numbering_place_and_periods_do_not_matter(mode: str) -> None:
    r, cell, species = sample()
    net = network(mode)
    first = run(net, graph(r, cell, species))
    rng = np.random.default_rng(4)
    order = rng.permutation(len(r))
    mixed = run(net, graph(r[order], cell, species[order]))
    assert (mixed - first[torch.from_numpy(order)]).abs().max() < 1e-4
    moved = r + rng.normal(size=3) + rng.integers(-2, 3, r.shape) @ cell
    assert (run(net, graph(moved, cell, species)) - first).abs().max() < 1e-4


@pytest.mark.parametrize("mode", MODES)
def test_torchscript_is_the_same(mode: str) -> None:
    net, g = network(mode), graph(*sample())
    assert (run(torch.jit.script(net), g) - run(net, g)).abs().max() < 1e-5


def test_modes_are_named() -> None:
    with pytest.raises(SettingError, match="haar, octahedral, distance"):
        SymGNN(mode="cubic")
