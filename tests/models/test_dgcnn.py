# SPDX-License-Identifier: BSD-3-Clause
"""Dynamic graph networks: widths, equivalent forms, environments, the loss, and that they learn."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from insitu.errors import SettingError
from insitu.models.engines.spatial import SpatialSettings
from insitu.models.networks.local_dgcnn import EdgeConv, LocalDGCNN
from insitu.testing import lattice
from insitu.training.data.environments import (
    Environments,
    Samples,
    clouds,
    environments,
    nearest_images,
    surroundings,
    whole,
)
from insitu.training.dynamics.phase_dynamics import Snapshot
from insitu.training.fit import dgcnn
from insitu.training.fit.dgcnn import Schedule, combined_loss, random_rotations, spread
from insitu.training.fit.normalisation import Normalised
from insitu.training.fit.variants import DISPLACEMENTS, SHIPPED, VARIANTS, variant


def count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def thermal(kind: str, a: float, noise: float, seed: int, cells: int = 5) -> Snapshot:
    r, cell = lattice(kind, a, (cells, cells, cells))
    shaken = r + np.random.default_rng(seed).normal(scale=noise, size=r.shape)
    return Snapshot(kind, f"{kind}-{seed}", 300.0, 0.0, shaken, cell, np.ones(len(r), dtype=int))


@pytest.fixture(scope="module")
def two() -> Environments:
    samples = [thermal(k, a, 0.06, s) for s in (0, 1) for k, a in (("fcc", 4.0), ("bcc", 3.2))]
    return environments(samples, ["fcc", "bcc"], 80, 33, 0)


def test_the_local_network_has_the_published_widths() -> None:
    """Erhard's: 64, 64, 128, 256; 512 → 16; 32 → 512 → 256 → C: about 255,000 with 23 classes."""
    edges = 64 * 2 * (3 + 64) + 128 * 2 * 64 + 256 * 2 * 128
    head = 512 * 16 + 32 * 512 + 512 * 256 + 256
    normalised = 2 * (64 + 64 + 128 + 256 + 16 + 512 + 256)
    for classes in (2, 14, 23):
        assert count(LocalDGCNN(classes)) == edges + head + normalised + 257 * classes
    assert count(LocalDGCNN(23)) == 254_903
    # 32 points of 8 neighbours: 23.6 million multiply-adds as published.
    assert 32 * (8 * edges + 512 * 16) + head - 512 * 16 == pytest.approx(23.6e6, rel=0.005)


@pytest.mark.parametrize("training", [True, False])
def test_a_product_for_each_point_is_the_product_for_each_edge(training: bool) -> None:
    torch.manual_seed(0)
    layer = EdgeConv(5, 7)
    with torch.no_grad():
        layer.norm.weight.normal_()  # some are negative: their maximum is a minimum
        layer.norm.running_mean.normal_()
    layer.train(training)
    x, near = torch.randn(3, 11, 5), torch.randint(0, 11, (3, 11, 4))
    other = torch.stack([x[b][near[b]] for b in range(3)])
    edges = torch.cat([x.unsqueeze(2).expand_as(other), other - x.unsqueeze(2)], 3)
    product = edges @ layer.weight.t()
    kept = {k: v.clone() for k, v in layer.state_dict().items()}
    expected = layer.activation(layer.norm(product.flatten(0, 2))).view(3, 11, 4, 7).amax(2)
    layer.load_state_dict(kept)
    assert layer(x, near).detach().numpy() == pytest.approx(expected.detach().numpy(), abs=1e-5)


def test_the_local_network_sees_a_set_of_points_that_are_there() -> None:
    torch.manual_seed(1)
    network = LocalDGCNN(4).eval()
    vectors = torch.randn(6, 20, 3)
    vectors[:, 0] *= 0.2
    with torch.inference_mode():
        p = network(vectors)
        order = torch.cat([torch.zeros(1, dtype=torch.int64), 1 + torch.randperm(19)])
        assert network(vectors[:, order]).numpy() == pytest.approx(p.numpy(), abs=1e-5)
        assert network(3.0 * vectors).numpy() == pytest.approx(p.numpy(), abs=1e-5)
        more = torch.cat([vectors, torch.zeros(6, 5, 3)], 1)
        assert network(more).numpy() == pytest.approx(p.numpy(), abs=1e-5)
        assert torch.jit.script(network)(more).numpy() == pytest.approx(p.numpy(), abs=1e-6)
    assert float((p[0] - p[1]).abs().max()) > 1e-3


def test_surroundings_are_the_nearest_images() -> None:
    s = thermal("bcc", 3.2, 0.2, 3, cells=3)
    found = surroundings(s.positions, s.cell, np.array([0, 7]), 80)  # more than the 54 atoms
    n = np.arange(-4, 5)
    steps = np.stack(np.meshgrid(n, n, n), axis=-1).reshape(-1, 3) @ s.cell
    for row, i in zip(found, (0, 7), strict=True):
        every = np.linalg.norm((s.positions - s.positions[i])[None] + steps[:, None], axis=2)
        assert np.linalg.norm(row, axis=1) == pytest.approx(np.sort(every.ravel())[:80], abs=1e-5)
        assert not row[0].any()


@pytest.mark.parametrize("units", [{}, {"unit": "angstrom", "reach": 3.3, "local": 0}])
def test_an_environment_has_the_graph_of_the_whole_sample_within(units: dict[str, Any]) -> None:
    """The centre's edges by torch and those of the search that analyses use are the same."""
    s, settings = thermal("fcc", 4.0, 0.15, 4), SpatialSettings(neighbors=14, **units)
    sample = whole(s, ["fcc"], settings)
    centres = np.arange(0, len(s.positions), 9)
    v, atoms = nearest_images(s.positions, s.cell, centres, 60)
    zero = np.zeros(len(centres), dtype=np.int64)
    spacing = np.full(len(zero), 4.0 / 4 ** (1 / 3))
    found = clouds(Environments(v, zero, zero, spacing, s.types[atoms] - 1), settings)
    # Rows of the whole sample are in cell order: match by the first neighbour's displacement.
    first = sample.vectors[:, 0].numpy()
    for i in range(len(centres)):
        row = int(np.abs(first - found.vectors[i, 0, 0].numpy()).max(axis=1).argmin())
        assert found.vectors[i, 0].numpy() == pytest.approx(sample.vectors[row].numpy(), abs=2e-5)
        assert ((found.rows[i, 0] < 0) == (sample.rows[row] < 0)).all()
        assert float(found.cut[i, 0]) == pytest.approx(float(sample.cut[row]), rel=1e-5)
        assert float(found.unit[i, 0]) == pytest.approx(float(sample.unit[row]), rel=1e-5)
    (vectors, cut, unit, rows, species), labels = found.batch(torch.tensor([2, 5]))
    assert vectors.shape == (120, 14, 3)
    later = rows[60:]
    assert rows[:60].max() < 60 <= later[later >= 0].min()
    assert len(cut) == len(unit) == len(species) == len(labels) == 120


def test_rotations_are_rotations_of_every_direction() -> None:
    turns = random_rotations(2000, torch.Generator().manual_seed(0))
    eye = (turns @ turns.transpose(1, 2)).numpy()
    assert eye == pytest.approx(np.tile(np.eye(3), (2000, 1, 1)), abs=1e-5)
    assert torch.linalg.det(turns).numpy() == pytest.approx(np.ones(2000), abs=1e-5)
    assert turns.mean(0).abs().max() < 0.05


def test_the_loss_is_the_documents_with_the_spread_over_rotations() -> None:
    torch.manual_seed(2)
    logits, labels = torch.randn(3, 5, 4), torch.tensor([0, 1, 2, 3, 0])
    p = torch.softmax(logits, 2).numpy()
    entropy = -np.log(p[:, np.arange(5), labels.numpy()]).mean()
    turned = np.sqrt(p.var(axis=0) + 1e-8).mean()
    assert float(spread(torch.from_numpy(p))) == pytest.approx(turned, rel=1e-5)
    for phi, alpha in ((1.0, 5.0), (0.3, 2.0)):
        expected = phi * entropy + (1 - phi) * alpha * turned
        assert float(combined_loss(logits, labels, phi, alpha)) == pytest.approx(expected, rel=1e-5)
    same = logits[:1].expand(3, -1, -1)
    assert float(spread(torch.softmax(same, 2))) == pytest.approx(1e-4)  # of the root's ε


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"phi": 0.0}, "give 0 < phi <= 1"),
        ({"alpha": -1.0}, "give 0 or more"),
        ({"phi": 0.5, "rotations": 1}, "give rotations of 2 or more, or phi=1"),
        ({"strain": 0.5}, "give 0 … 0.2, a part of lengths"),
    ],
)
def test_a_loss_that_cannot_be_is_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        Schedule(**settings)


def test_strained_graphs_are_graphs_of_strained_samples() -> None:
    """Environments and whole samples whose lengths are multiplied, by their definition and directly."""
    settings = SpatialSettings(neighbors=14, unit="angstrom", reach=9.0, local=0)
    s, factor = thermal("bcc", 3.2, 0.1, 5), 1.07
    larger = replace(s, positions=factor * s.positions, cell=factor * s.cell)
    scales, still = torch.tensor([factor]), torch.eye(3).unsqueeze(0)
    one, other = (Samples([whole(x, ["bcc"], settings)]) for x in (s, larger))
    pairs = [(one.batch(torch.tensor([0]), still, scales), other.batch(torch.tensor([0]), still))]
    one_, other_ = (clouds(environments([x], ["bcc"], 1, 40, 3), settings) for x in (s, larger))
    pairs.append((one_.batch(torch.tensor([0]), None, scales), other_.batch(torch.tensor([0]))))
    for (found, _), (expected, _) in pairs:
        # Samples have their atoms in the order of the search's cells.
        for mine, theirs in (
            (found[0].norm(dim=2), expected[0].norm(dim=2)),
            (found[1], expected[1]),
        ):
            a, b = (np.sort(x.numpy().ravel()) for x in (mine, theirs))
            assert a == pytest.approx(b, abs=1e-4)


def test_species_of_points_are_those_of_their_atoms() -> None:
    """In environments and in whole samples: here a point's type follows from where it is."""
    s = thermal("bcc", 3.2, 0.05, 6)
    near = np.rint(np.linalg.inv(s.cell / 5).T @ s.positions.T * 2).astype(int) % 2
    s = replace(s, types=1 + near[0])  # corners and centres of the cubic cell
    settings = SpatialSettings(neighbors=8, species=(14, 8))
    found = clouds(environments([s], ["bcc"], 6, 30, 0), settings)
    assert set(found.species.unique().tolist()) == {0, 1}
    sample_ = whole(s, ["bcc"], settings)
    # All 8 neighbours are of the other kind; of an environment those of the centre are all there.
    others = sample_.species[sample_.rows]
    assert (others == 1 - sample_.species.unsqueeze(1)).all()
    for rows, species in zip(found.rows[:, 0].long(), found.species, strict=True):
        assert (species[rows] == 1 - species[0]).all()
    blind = clouds(environments([s], ["bcc"], 6, 30, 0), replace(settings, species=()))
    assert not blind.species.any()


def test_scores() -> None:
    p = np.eye(3, dtype=np.float32)[[0, 0, 1, 1, 2, 0]]
    table = dgcnn.confusion(p, np.array([0, 0, 0, 1, 1, 1]))
    assert table.tolist() == [[2, 1, 0], [1, 1, 1], [0, 0, 0]]
    assert dgcnn.accuracy(table) == 0.5
    # F1 of the first 2·2/(3 + 3), of the second 2·1/(3 + 2); the third does not occur.
    assert dgcnn.macro_f1(table) == pytest.approx((2 / 3 + 2 / 5) / 2)


def test_both_networks_learn_and_are_measured_on_other_trajectories(two: Environments) -> None:
    other = environments(
        [thermal("fcc", 4.1, 0.07, 8), thermal("bcc", 3.3, 0.07, 9)], ["fcc", "bcc"], 40, 33, 1
    )
    schedule = Schedule(epochs=4, batch=8, rate=3e-3)
    torch.manual_seed(0)
    local = LocalDGCNN(2)
    dgcnn.fit(local, two.nearest(17), schedule, 0)
    p, y = dgcnn.predict(local, other.nearest(17))
    assert dgcnn.accuracy(dgcnn.confusion(p[0], y)) > 0.8
    settings = SpatialSettings(neighbors=12, layers=2)
    network = Normalised(2, settings, width=32, hidden=32)
    dgcnn.fit(network, clouds(two.nearest(32), settings), schedule, 0)
    p, y = dgcnn.predict(network, clouds(other.nearest(32), settings), rotations=3)
    assert p.shape == (3, 80 * 32, 2)
    assert dgcnn.accuracy(dgcnn.confusion(p[0], y)) > 0.8


def test_a_network_that_was_trained_on_whole_samples_is_measured_on_others() -> None:
    """Environments have a surface that periodic samples lack: what is trained on one is not the other's."""
    classes, settings = ["fcc", "bcc"], SpatialSettings(neighbors=12, layers=2)
    train = [
        whole(thermal(k, a * (1 + 0.01 * s), 0.06, s), classes, settings)
        for s in range(4) for k, a in (("fcc", 4.0), ("bcc", 3.2))
    ]  # fmt: skip
    torch.manual_seed(0)
    network = Normalised(2, settings, width=32, hidden=32)
    dgcnn.fit(network, Samples(train), Schedule(epochs=30, batch=2, rate=3e-3), 0)
    samples = [whole(thermal(k, a, 0.07, 10), classes, settings)
               for k, a in (("fcc", 4.1), ("bcc", 3.3))]  # fmt: skip
    p, y = dgcnn.predict_whole(network, samples)
    assert len(y) == 500 + 250
    assert dgcnn.accuracy(dgcnn.confusion(p, y)) > 0.95


def test_the_rotation_term_narrows_the_spread_over_rotations(two: Environments) -> None:
    settings = SpatialSettings(neighbors=12, layers=2)
    data, found = clouds(two.nearest(24), settings), {}
    for phi in (1.0, 0.1):
        torch.manual_seed(0)
        network = Normalised(2, settings, width=16, hidden=16)
        dgcnn.fit(network, data, Schedule(epochs=2, batch=8, rotations=2, phi=phi, alpha=2.0), 0)
        p, _ = dgcnn.predict(network, data, rotations=6)
        found[phi] = p.std(axis=0).mean()
    assert found[0.1] < 0.7 * found[1.0]


@pytest.mark.parametrize("name", list(VARIANTS))
def test_variants_of_the_weighting_are_what_they_say(name: str, two: Environments) -> None:
    torch.manual_seed(0)
    shipped = SpatialSettings(
        neighbors=24, layers=2, species=(14, 8), by_species=True, degree=3, moments=2
    )
    network, settings = variant(name, 2, shipped)
    assert (settings == shipped) == (name == SHIPPED)
    assert bool(settings.degree) == ("power spectra" in name)
    arguments, _ = clouds(two.nearest(32), settings).batch(torch.arange(4))
    _, s = network.edges(*arguments)
    assert s.shape[1] == settings.neighbors
    assert set(s.unique().tolist()) <= {0.0, 1.0} if "unweighted" in name else float(s.max()) < 1.0
    turn = random_rotations(1, torch.Generator().manual_seed(1))[0]
    with torch.no_grad():
        network.eval()
        p = torch.softmax(network.logits(*arguments), 1)
        turned = torch.softmax(network.logits(arguments[0] @ turn, *arguments[1:]), 1)
    assert (float((p - turned).abs().max()) < 1e-5) == (
        "without directions" in name or "power spectra" in name
    )
    base = Normalised(2, settings)
    if "directional" in name:
        assert network.edge[0].in_features == 3 + 4 * settings.radial
        return
    base.load_state_dict(network.state_dict(), strict=False)
    with torch.no_grad():
        plain = torch.softmax(base.eval().logits(*arguments), 1)
    same = type(network) is Normalised
    assert (float((p - plain).abs().max()) < 1e-6) == same
    assert same == (
        name in (SHIPPED, DISPLACEMENTS)
        or any(part in name for part in ("neighbours", "units", "no radial", "power spectra"))
    )


def test_the_folded_network_has_the_normalised_networks_outputs(two: Environments) -> None:
    torch.manual_seed(3)
    settings = SpatialSettings(neighbors=12, layers=3)
    network = Normalised(3, settings, width=24, hidden=20)
    with torch.no_grad():
        for shift in network.shift:
            shift.normal_()
        network.head_norm.weight.normal_()  # may be negative after the head: no maximum there
        network.head_norm.bias.normal_()
    arguments, _ = clouds(two.nearest(32), settings).batch(torch.arange(40))
    for _ in range(20):  # running statistics
        network.train().logits(*arguments)
    with torch.no_grad():
        expected = network.eval().logits(*arguments)
        plain = network.folded()
        assert plain.logits(*arguments).numpy() == pytest.approx(expected.numpy(), abs=1e-4)
        scripted = torch.jit.script(plain)(*arguments)
    assert scripted.numpy() == pytest.approx(torch.softmax(expected, 1).numpy(), abs=1e-5)
