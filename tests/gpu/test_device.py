# SPDX-License-Identifier: BSD-3-Clause
"""The CUDA path against the CPU's kernels: on a CPU that plays the threads, and on a GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from device_samples import GPU, SAMPLES, frame_of
from emulated_device import EmulatedDevice

import insitu
from insitu.analyses.phases.analysis import Phases
from insitu.analyses.phases.classification import classify_with
from insitu.descriptors.neighbors_map import NeighborsMap
from insitu.descriptors.neighbors_map_gpu import DeviceDescriber
from insitu.frame.frame import Frame
from insitu.frame.neighbors.density import spacing
from insitu.frame.neighbors.search import Neighbors
from insitu.gpu.device import Device
from insitu.gpu.frames import frame_on_device
from insitu.gpu.search import DeviceSearch
from insitu.models import store
from insitu.models.card import Card
from insitu.models.export import save
from insitu.models.networks.neighbors_map import NeighborsMapCNN
from insitu.testing import lattice

MAPS = {
    "paper": NeighborsMap(),
    "short": NeighborsMap(cutoff=3.4),
    "small": NeighborsMap(cutoff=5.0, size=12, gamma=1.0, beta=2.0),
    "odd": NeighborsMap(cutoff=5.2, size=7, gamma=3.3, beta=0.08),
    "scale-free": NeighborsMap(scale_free=True, size=18, ball=18),
    "scale-free, wide": NeighborsMap(cutoff=7.0, scale_free=True, size=32, ball=40),
}


@pytest.mark.parametrize("settings", MAPS)
@pytest.mark.parametrize("name", SAMPLES)
def test_maps_are_those_of_the_cpu(device: Device, name: str, settings: str) -> None:
    d = MAPS[settings]
    frame = frame_of(SAMPLES[name], d.cutoff)
    search = DeviceSearch(frame, d.cutoff, device)
    images, found = DeviceDescriber(d, device).images(search, search.places)
    atoms = device.read(search.atoms)
    assert sorted(atoms) == list(range(frame.n_local))
    want, sizes = np.empty((len(atoms), 1, d.size, d.size), np.float32), np.empty(len(atoms), int)
    for at, batch, many in d.batches(Neighbors(frame, d.cutoff)):
        want[at], sizes[at] = batch, many
    assert (device.read(found) == sizes[atoms]).all()
    np.testing.assert_allclose(device.read(images), want[atoms], rtol=1e-5, atol=0)


def test_colours_follow_the_order_of_the_definition(device: Device) -> None:
    """Perfect lattices of two elements: who is a neighbour's nearest is decided by ties throughout."""
    d, rng = NeighborsMap(cutoff=5.0, size=24), np.random.default_rng(1)
    for name in ("perfect fcc", "hot"):
        frame = frame_of(SAMPLES[name], d.cutoff)
        weights = rng.choice([-1.0, 1.0, 0.5], frame.n_local)[frame.ids - 1].astype(np.float32)[
            None
        ]
        search = DeviceSearch(frame, d.cutoff, device)
        describer = DeviceDescriber(d, device)
        colors = describer.colors(search, weights)
        images, _ = describer.images(search, search.places, colors)
        atoms, got = device.read(search.atoms), device.read(images)
        for at, want, _ in d.batches(Neighbors(frame, d.cutoff), weights=weights):
            where = [int(np.flatnonzero(atoms == a)[0]) for a in at]
            if name == "perfect fcc":
                np.testing.assert_allclose(got[where], want, rtol=1e-5)
            else:  # rounded distances hang on the last bit of a float32 here and there
                off = np.abs(got[where] - want) > 1e-5 * np.abs(want)
                assert not off[:, 0].any()
                assert off.mean() < 1e-3


@pytest.mark.parametrize("name", [n for n in SAMPLES if SAMPLES[n][1] is not None])
def test_probabilities_of_the_general_model_are_those_of_the_cpu(device: Device, name: str) -> None:
    model = store.load("metals")
    want = classify_with(model, *SAMPLES[name], True)
    model.move(device)
    got = classify_with(model, *SAMPLES[name], True)
    np.testing.assert_allclose(got.probabilities, want.probabilities, atol=2e-5)
    assert (got.labels == want.labels).all()


@pytest.mark.parametrize("name", ["perfect diamond", "bcc with vacancies", "slab of sc"])
def test_labels_of_perfect_crystals_do_not_hang_on_the_numbers(device: Device, name: str) -> None:
    model = store.load("metals")
    model.move(device)
    r, cell = SAMPLES[name]
    want = classify_with(model, r, cell, True)
    for order in (np.arange(len(r))[::-1], np.random.default_rng(3).permutation(len(r))):
        got = classify_with(model, r[order], cell, True)
        assert (got.labels == want.labels[order]).all()
        np.testing.assert_allclose(got.probabilities, want.probabilities[order], atol=1e-5)


def test_the_paper_network_runs_on_the_device_without_a_copy(device: Device) -> None:
    model = store.load("crystals-cnn")
    want = classify_with(model, *SAMPLES["hot"], True)
    model.move(device)
    assert not model.native
    got = classify_with(model, *SAMPLES["hot"], True)
    np.testing.assert_allclose(got.probabilities, want.probabilities, atol=1e-4)
    assert (got.labels == want.labels).all()


def test_a_model_coloured_by_species_runs_on_the_device(device: Device, tmp_path: Path) -> None:
    elements = {e: {"mass": 1.0, "weights": [w]} for e, w in (("Cu", 0.5), ("Zr", 1.5))}
    card = Card("colours", ["a", "b"], NeighborsMap(), 2, elements=elements)
    torch.manual_seed(1)
    network = NeighborsMapCNN(2, 2)
    with torch.no_grad():
        network.head[-1].weight *= 30.0
    save(network, card, tmp_path / "model.pt")
    model = store.load(str(tmp_path / "model.pt"))
    r, cell = SAMPLES["hot"]
    numbers = np.random.default_rng(1).choice([29, 40], len(r))
    want = classify_with(model, r, cell, True, numbers)
    other = classify_with(model, r, cell, True, 69 - numbers)
    assert np.abs(other.probabilities - want.probabilities).max() > 1e-3
    model.move(device)
    got = classify_with(model, r, cell, True, numbers)
    np.testing.assert_allclose(got.probabilities, want.probabilities, atol=1e-4)
    there = classify_with(model, device.array(r, np.float64), cell, True, numbers)
    np.testing.assert_allclose(there.probabilities, want.probabilities, atol=1e-4)


def test_positions_in_device_memory_are_used_there(device: Device) -> None:
    r, cell = SAMPLES["triclinic"]
    r = r + 3.0 * cell[0] - 2.0 * cell[2]
    there = device.array(r, np.float64)
    made = frame_on_device(device, there, cell, (True, False, True), reach=5.0)
    want = Frame.from_arrays(r, cell, (True, False, True), reach=5.0)
    # The images of both, in whichever order they were made.
    ids, points = device.read(made.ids), device.read(made.positions)
    assert (ids[: len(r)] == want.ids[: len(r)]).all()
    one, other = (
        np.lexsort((*np.round(p, 6).T, i)) for i, p in ((ids, points), (want.ids, want.positions))
    )
    assert (ids[one] == want.ids[other]).all()
    np.testing.assert_allclose(points[one], want.positions[other], atol=1e-12)
    assert spacing(made, device=device) == spacing(want)
    model = store.load("metals")
    host = classify_with(model, r, cell, True)
    model.move(device)
    np.testing.assert_allclose(
        classify_with(model, there, cell, True).probabilities, host.probabilities, atol=2e-5
    )


def test_surroundings_without_some_atoms(device: Device) -> None:
    """From arrays in host or device memory, and a run's frame with ghosts."""
    r, cell = SAMPLES["hot"]
    kept = np.random.default_rng(7).random(len(r)) > 0.3
    model = store.load("metals")
    want = classify_with(model, r[kept], cell, True)
    model.move(device)
    for positions in (r, device.array(r, np.float64)):
        got = classify_with(model, positions, cell, True, kept=kept)
        np.testing.assert_allclose(got.probabilities[kept], want.probabilities, atol=2e-5)
        assert (got.labels[kept] == want.labels).all()
        assert (got.labels[~kept] == -2).all()
    analyzer = Phases(model)
    analyzer.classifier.measure(spacing(Frame.from_arrays(r[kept], cell, True, reach=0.0)))
    everything = Frame.from_arrays(r, cell, True, reach=analyzer.classifier.search * 1.0001)
    frame = everything.only(kept[everything.ids - 1])
    sums = analyzer(frame, analyzer.neighbors(frame))
    assert int(sums["count"].sum()) == kept.sum()
    codes = frame.of_rank(analyzer.atom_codes(frame), -1)
    assert (codes[kept] == np.array(analyzer.codes)[want.labels]).all()
    assert (codes[~kept] == -1).all()


def test_sums_and_labels_of_a_group_its_types_and_groups(device: Device) -> None:
    r, cell = SAMPLES["half removed"]
    rng = np.random.default_rng(2)
    results = []
    for there in (None, device):
        model = store.load("metals")
        if there is not None:
            model.move(there)
        analyzer = Phases(model, 0.9, groups=("left",), n_types=2)
        bare = Frame.from_arrays(r, cell, True, reach=0.0)
        analyzer.classifier.measure(spacing(bare))
        rng = np.random.default_rng(2)
        frame = Frame.from_arrays(
            r, cell, True, reach=analyzer.classifier.search * 1.0001, types=rng.integers(1, 3, len(r)),
            selected=rng.random(len(r)) > 0.3, members={"left": r[:, 0] < 5.0},
        )  # fmt: skip
        sums = analyzer(frame, analyzer.neighbors(frame))
        results.append((sums, analyzer.labels, analyzer.confidence, analyzer.atom_codes(frame)))
    (want, *arrays), (got, *there_arrays) = results
    for name in want:
        np.testing.assert_allclose(got[name], want[name], rtol=1e-6, err_msg=name)
    for a, b in zip(arrays, there_arrays, strict=True):
        np.testing.assert_allclose(b, a, atol=2e-5)
    assert 0 < want["count"].sum() < len(r)
    assert want["count"][-1] > 0


def test_labels_stay_on_the_device_until_they_are_asked_for(folder: Path) -> None:
    device = EmulatedDevice(folder)
    model = store.load("metals")
    model.move(device)
    analyzer = Phases(model)
    r, cell = SAMPLES["hot"]
    bare = Frame.from_arrays(r, cell, True, reach=0.0)
    analyzer.classifier.measure(spacing(bare))
    frame = Frame.from_arrays(r, cell, True, reach=analyzer.classifier.search * 1.0001)
    device.copied.clear()
    analyzer(frame, analyzer.neighbors(frame))
    assert max(device.copied) <= 8 * (2 * len(analyzer.classes) + 1), "more than sums came back"
    assert device.launched.count("graph_convolve") == 3
    before = len(device.copied)
    assert (analyzer.labels == 0).all()
    assert len(device.copied) > before


@pytest.mark.gpu
@pytest.mark.skipif(not GPU, reason="no NVIDIA driver; INSITU_TEST_GPU=1 makes that a failure")
def test_classify_on_a_gpu_is_that_of_the_cpu() -> None:
    r, cell = lattice("fcc", 4.05, (12, 12, 12))
    r = r + np.random.default_rng(0).normal(scale=0.3, size=r.shape)
    for model in ("metals", "crystals-cnn"):
        want = insitu.classify(r, cell, True, model=model, device="cpu")
        got: Any = insitu.classify(r, cell, True, model=model, device="cuda")
        differ = got.labels != want.labels
        two = np.sort(want.probabilities[differ], axis=1)[:, -2:]
        assert differ.mean() <= 1e-4
        assert (two[:, 1] - two[:, 0] < 1e-3).all()
