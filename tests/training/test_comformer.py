# SPDX-License-Identifier: BSD-3-Clause
"""The networks on lattice frames: invariance, what they tell apart and distances do not, mirror images.

All of it holds for any weights, so it is tested with random ones.
"""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from insitu.crystal.spacegroup import find
from insitu.training.data.element_properties import table
from insitu.training.data.lattice_frames import framed_graph, frames
from insitu.training.fit.comformer import ComFormer, FramedGraphs, predict

FCC = 0.5 * (1 - np.eye(3))
HCP = np.array([[1, 0, 0], [-0.5, np.sqrt(0.75), 0], [0, 0, np.sqrt(8 / 3)]])
QUARTZ = 4.913 * np.array([[1, 0, 0], [-0.5, np.sqrt(0.75), 0], [0, 0, 1.1001]])


def quartz() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Return alpha quartz, of the enantiomorphic space group 152."""
    u, x, y, z = 0.4697, 0.4135, 0.2669, 0.1191
    si = [[u, 0, 1 / 3], [0, u, 2 / 3], [-u, -u, 0]]
    o = [[x, y, z + 1 / 3 - 1 / 3], [-y, x - y, z + 1 / 3], [y - x, -x, z + 2 / 3],
         [y, x, -z], [x - y, -y, -z + 2 / 3], [-x, y - x, -z + 1 / 3]]  # fmt: skip
    return QUARTZ, np.array(si + o) % 1.0, np.array([14] * 3 + [8] * 6)


#: Cell [Å], sites, atomic numbers.
CRYSTALS = {
    "NaCl": (5.64 * FCC, np.array([[0, 0, 0], [0.5, 0.5, 0.5]]), np.array([11, 17])),
    "ZnS": (5.41 * FCC, np.array([[0, 0, 0], [0.25, 0.25, 0.25]]), np.array([30, 16])),
    "none": (
        np.array([[3.3, 0.2, 0.1], [0.3, 4.1, -0.2], [0.1, 0.5, 5.0]]),
        np.array([[0, 0, 0], [0.41, 0.55, 0.3], [0.7, 0.2, 0.65]]), np.array([22, 8, 8]),
    ),
    "quartz": quartz(),
}  # fmt: skip


def network(*, frame: bool = True, equivariant: bool = False) -> ComFormer:
    """Return a network with random weights."""
    torch.manual_seed(3)
    net = ComFormer(
        table(), [0.0, 1.0], [1.0, 2.0], width=16, hidden=24, frame=frame, equivariant=equivariant
    )
    for name, value in net.named_parameters():
        if name.endswith(("norm.weight", "gate.weight", "norm.bias", "gate.bias")):
            torch.nn.init.normal_(value, std=1.0)  # as they are by training, not 1 and 0
    return net.eval()


NET = network()
#: iComFormer and eComFormer.
BOTH = {"angles": NET, "moments": network(equivariant=True)}


def values(cell, sites, numbers, net: ComFormer = NET, **more) -> NDArray[np.float64]:
    """Return the mean over the frames."""
    data = FramedGraphs.joined([framed_graph(cell, sites, numbers, **more)], np.zeros((1, 2)))
    return predict(net, data, ties=True)[0]


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("name", CRYSTALS)
def test_invariance(name: str, kind: str) -> None:
    """Turned, mirrored, shifted, in another order, as a supercell, as a skewed cell: the same."""
    cell, sites, z = CRYSTALS[name]
    net = BOTH[kind]
    expected = values(cell, sites, z, net)
    rng = np.random.default_rng(1)
    turn = Rotation.random(rng=rng).as_matrix()
    order = rng.permutation(len(z))
    m = np.array([[1, 1, 0], [0, 1, 0], [-1, 0, 2]])
    twice = np.concatenate([sites, sites + np.array([0, 0, 1])]) @ np.linalg.inv(m)
    group = find(cell, sites, z, 0.01)
    assert group is not None
    for same in (
        (cell @ turn.T, sites, z), (-cell, sites, z), (cell, sites[order] + 0.37, z[order]),
        (m @ cell, twice, np.tile(z, 2)), (group.cell, group.sites, group.numbers),
        (np.array([[1, 0, 0], [3, 1, 0], [-2, 1, 1]]) @ cell,
         sites @ np.linalg.inv(np.array([[1, 0, 0], [3, 1, 0], [-2, 1, 1]])), z),
    ):  # fmt: skip
        assert np.abs(values(*same, net) - expected).max() < 1e-6


def test_frames_of_lattices() -> None:
    """Order of the lattice's holohedry over that of the crystal's point group."""
    for name, count in {"NaCl": 1, "ZnS": 2, "none": 2, "quartz": 4}.items():
        found = framed_graph(*CRYSTALS[name]).frames
        assert len(found) == count, name
        metric = found @ found.transpose(0, 2, 1)
        assert np.abs(metric - metric[0]).max() < 1e-6
    identity = np.eye(3)[None]
    assert len(frames(3.6 * FCC, identity)) == 48
    assert len(frames(3.6 * FCC, identity, hands=1)) == 24
    assert len(frames(np.diag([3.0, 4.0, 5.0]), identity)) == 8


@pytest.mark.parametrize(("name", "least"), [("none", 1e-4), ("quartz", 2e-6)])
def test_mirror_images(name: str, least: float) -> None:
    """Right-handed frames alone tell left from right; over both hands they are the same."""
    cell, sites, z = CRYSTALS[name]
    mirror = (-cell, sites, z)
    turn = Rotation.random(rng=np.random.default_rng(4)).as_matrix()
    groups = [find(*c, 0.01) for c in (CRYSTALS[name], mirror)]
    numbers = [g.number for g in groups if g is not None]
    assert numbers == ([1, 1] if name == "none" else [152, 154]) or numbers == [154, 152]
    one = values(cell, sites, z, hands=1)
    assert np.abs(one - values(*mirror, hands=1)).max() > least
    assert np.abs(one - values(cell @ turn.T, sites, z, hands=1)).max() < 5e-7
    assert np.abs(values(cell, sites, z) - values(*mirror)).max() < 5e-7


def test_a_crystal_with_a_mirror_plane_has_no_hand() -> None:
    cell, sites, z = CRYSTALS["ZnS"]
    left, right = values(cell, sites, z, hands=1), values(-cell, sites, z, hands=1)
    assert np.abs(left - right).max() < 5e-7


@pytest.mark.parametrize("name", ["none", "quartz"])
def test_moments_know_no_hand(name: str) -> None:
    """Vectors of the frame count with their opposites: eComFormer is blind to hands in any one frame."""
    cell, sites, z = CRYSTALS[name]
    net = BOTH["moments"]
    left, right = (values(c, sites, z, net, hands=1) for c in (cell, -cell))
    assert np.abs(left - right).max() < 1e-6


@pytest.mark.parametrize("kind", BOTH)
def test_what_distances_cannot_tell_apart(kind: str) -> None:
    """Fcc and ideal hcp: up to the reach each atom has twelve neighbours at the same distance."""
    length = 2.9
    fcc = (np.sqrt(2) * length * FCC, np.zeros((1, 3)), np.array([29]))
    hcp = (length * HCP, np.array([[1 / 3, 2 / 3, 0.25], [2 / 3, 1 / 3, 0.75]]), np.array([29] * 2))
    lengths = [np.sort(framed_graph(*c).graph.length) for c in (fcc, hcp)]
    assert lengths[0] == pytest.approx(lengths[1][::2], abs=1e-9)
    assert lengths[0] == pytest.approx(lengths[1][1::2], abs=1e-9)
    assert len(lengths[0]) == 12
    distances = network(frame=False)
    assert np.abs(values(*fcc, distances) - values(*hcp, distances)).max() < 1e-9
    net = BOTH[kind]
    assert np.abs(values(*fcc, net) - values(*hcp, net)).max() > 1e-3


def test_moments_tell_orders_apart_without_a_frame() -> None:
    """Two orders of AB on fcc, L1_0 and that of I4_1/amd: each atom has 4 like and 8 unlike neighbours."""
    base = np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
    sites = np.concatenate([base, base + np.array([0, 0, 1])]) / [1, 1, 2]
    cell = 4.1 * np.diag([1.0, 1.0, 2.0])
    orders = []
    for copper in ([0, 1, 4, 5], [0, 2, 5, 7]):
        numbers = np.full(8, 79)
        numbers[copper] = 29
        g = framed_graph(cell, sites, numbers).graph
        like = np.bincount(g.first, g.numbers[g.first] == g.numbers[g.second])
        assert np.ptp(g.length) < 1e-9
        assert (like == 4).all()
        assert (np.bincount(g.first) == 12).all()
        orders.append((cell, sites, numbers))
    groups = [find(*o, 0.01) for o in orders]
    assert [g and g.number for g in groups] == [123, 141]
    by_distance, by_moments = (network(frame=False, equivariant=e) for e in (False, True))
    first, second = (values(*o, by_distance) for o in orders)
    assert np.abs(first - second).max() < 5e-7
    first, second = (values(*o, by_moments) for o in orders)
    assert np.abs(first - second).max() > 2e-5


def test_stackings_that_moments_cannot_tell_apart() -> None:
    """Two of close-packed layers, of one cell and the same nearest neighbours; angles tell."""
    at = {"A": (0, 0), "B": (1 / 3, 2 / 3), "C": (2 / 3, 1 / 3)}
    cell = 2.9 * HCP * np.array([[1], [1], [3]])
    pair = [
        (cell, np.array([[*at[layer], k / 6] for k, layer in enumerate(layers)]), np.full(6, 29))
        for layers in ("ABCACB", "ABABAC")
    ]
    graphs = [framed_graph(*c) for c in pair]
    for g in graphs:
        assert len(g.graph.numbers) == 6
        assert (np.bincount(g.graph.first) == 12).all()
        assert np.ptp(g.graph.length) < 1e-9
    first, second = (np.sort(np.linalg.norm(g.frames[0], axis=1)) for g in graphs)
    assert first == pytest.approx(second)
    angles = network()
    with torch.no_grad():
        for layer in angles.edge.angle:
            layer.weight *= 10  # random ones make little of a difference
    for net, least, most in ((angles, 1e-5, np.inf), (BOTH["moments"], 0.0, 1e-6)):
        a, b = (values(*c, net) for c in pair)
        assert least <= np.abs(a - b).max() < most
