# SPDX-License-Identifier: BSD-3-Clause
"""The CUDA path against the CPU's kernels: on a CPU that plays the threads, and on a GPU."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from emulated_device import EmulatedDevice, OnDevice
from numpy.typing import NDArray

import insitu
from insitu.analyses.classification import classify_with
from insitu.analyses.phases import Phases
from insitu.descriptors.neighbors_map import NeighborsMap
from insitu.descriptors.neighbors_map_gpu import DeviceDescriber
from insitu.errors import InsituError
from insitu.frame.density import spacing
from insitu.frame.frame import Frame
from insitu.frame.neighbors import Neighbors
from insitu.gpu.device import CudaDevice, Device, has_driver
from insitu.gpu.frames import frame_on_device
from insitu.gpu.search import DeviceSearch
from insitu.models import store
from insitu.models.card import Card
from insitu.models.export import save
from insitu.models.networks.neighbors_map import NeighborsMapCNN
from insitu.testing import lattice

Sample = tuple[NDArray[np.float64], NDArray[np.float64]]


#: Where there is a GPU it is tested as well; INSITU_TEST_GPU makes a missing one a failure.
_GPU = has_driver() or bool(os.environ.get("INSITU_TEST_GPU"))
_ON_GPU = [pytest.param("cuda", marks=pytest.mark.gpu)] if _GPU else []


@pytest.fixture(params=["forward", "reverse", *_ON_GPU])
def device(request: pytest.FixtureRequest, folder: Path) -> Device:
    if request.param != "cuda":
        return EmulatedDevice(folder, reverse=request.param == "reverse")
    return CudaDevice()


def samples() -> dict[str, Sample]:
    rng = np.random.default_rng(5)
    crystal, cell = lattice("fcc", 4.05, (3, 3, 4))
    hot = crystal + rng.normal(scale=0.15, size=crystal.shape)
    tilted = cell.copy()
    tilted[1, 0], tilted[2, 0], tilted[2, 1] = 3.1, -2.2, 1.4
    diamond, box = lattice("cubic_diamond", 5.43, (2, 2, 3))
    iron, cube = lattice("bcc", 2.87, (3, 3, 3))
    simple, layers = lattice("sc", 3.36, (4, 4, 3))
    layers[2, 2] *= 3
    return {
        "perfect fcc": (crystal, cell),
        "perfect diamond": (diamond, box),
        "bcc with vacancies": (np.delete(iron, [5, 6, 31, 40], axis=0), cube),
        "slab of sc": (simple, layers),
        "hot": (hot, cell),
        "triclinic": (hot @ np.linalg.inv(cell) @ tilted, tilted),
        "half removed": (hot[rng.random(len(hot)) > 0.5], cell),
        "gas": (60.0 * rng.random((50, 3)), 60.0 * np.eye(3)),
        "one atom far away": (np.vstack([hot, hot[0] + 4e4]), None),
        "alone": (np.zeros((1, 3)), None),
    }


SAMPLES = samples()
MAPS = {
    "paper": NeighborsMap(),
    "short": NeighborsMap(cutoff=3.4),
    "small": NeighborsMap(cutoff=5.0, size=12, gamma=1.0, beta=2.0),
    "odd": NeighborsMap(cutoff=5.2, size=7, gamma=3.3, beta=0.08),
    "scale-free": NeighborsMap(scale_free=True, size=18, ball=18),
    "scale-free, wide": NeighborsMap(cutoff=7.0, scale_free=True, size=32, ball=40),
}


def frame_of(sample: Sample, reach: float) -> Frame:
    return Frame.from_arrays(*sample, sample[1] is not None, reach=reach * 1.0001)


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


@pytest.mark.parametrize("limit", [1, 3, 16])
def test_memory_that_does_not_suffice_halves_the_batch(folder: Path, limit: int) -> None:
    d = NeighborsMap()
    device = EmulatedDevice(folder, largest=max(limit * d.size**2, 900))
    model = store.load("crystals-cnn")
    r, cell = lattice("fcc", 4.05, (2, 2, 2))
    want = classify_with(model, r, cell, False)
    model.move(EmulatedDevice(folder))
    assert model.on_device is not None
    model.on_device.device = device
    model.on_device._describer.device = device  # the larger device was for the start
    got = classify_with(model, r, cell, False)
    np.testing.assert_allclose(got.probabilities, want.probabilities, atol=1e-4)
    assert model.on_device._batch <= limit


def test_out_of_memory_in_torch_halves_the_batch_too(folder: Path) -> None:
    """What a TorchScript module raises is RuntimeError, whatever it was."""

    class Short(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            if images.shape[0] > 5:
                raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return torch.softmax(images.flatten(1)[:, :5], dim=1)

    model = store.load("crystals-cnn")
    model.move(EmulatedDevice(folder))
    assert model.on_device is not None
    model.on_device._module = torch.jit.script(Short())
    r, cell = lattice("fcc", 4.05, (2, 2, 2))
    assert len(classify_with(model, r, cell, False).labels) == len(r)
    assert model.on_device._batch <= 5


def test_an_image_that_does_not_fit_is_an_error(folder: Path) -> None:
    model = store.load("crystals-cnn")
    model.move(EmulatedDevice(folder))
    assert model.on_device is not None
    model.on_device.device = model.on_device._describer.device = EmulatedDevice(folder, largest=999)
    with pytest.raises(InsituError, match="does not suffice for one image"):
        classify_with(model, *lattice("fcc", 4.05, (1, 1, 2)), False)


def test_a_sample_that_does_not_fit_is_an_error(folder: Path) -> None:
    r, cell = SAMPLES["hot"]
    for largest in (200, 3000):  # not even the search, or not the network
        model = store.load("metals")
        model.move(EmulatedDevice(folder, largest=largest if largest == 3000 else 40_000))
        assert model.on_device is not None
        analyzer = Phases(model)
        bare = Frame.from_arrays(r, cell, True, reach=0.0)
        analyzer.classifier.measure(spacing(bare))
        frame = Frame.from_arrays(r, cell, True, reach=analyzer.classifier.search * 1.0001)
        model.on_device.device = EmulatedDevice(folder, largest=largest)
        with pytest.raises(
            InsituError, match=r"memory of emulation does not suffice for [\d,]+ atoms"
        ):
            analyzer(frame, analyzer.neighbors(frame))


def test_dense_samples_get_more_room(device: Device) -> None:
    rng = np.random.default_rng(3)
    d = NeighborsMap(cutoff=6.0)
    r = 9.0 * rng.random((500, 3))  # up to 400 neighbours
    frame = Frame.from_arrays(r, None, False, reach=0.0)
    search = DeviceSearch(frame, d.cutoff, device)
    images, found = DeviceDescriber(d, device).images(search, search.places)
    assert device.read(found).max() > 300
    atoms, got = device.read(search.atoms), device.read(images)
    for at, want, _ in d.batches(Neighbors(frame, d.cutoff)):
        where = [int(np.flatnonzero(atoms == a)[0]) for a in at]
        np.testing.assert_allclose(got[where], want, rtol=1e-5)


def test_a_ball_larger_than_shared_memory_is_an_error(folder: Path) -> None:
    device = EmulatedDevice(folder, shared_limit=16 * 1024)
    frame = Frame.from_arrays(np.random.default_rng(0).random((600, 3)), None, False, reach=0.0)
    search = DeviceSearch(frame, 6.0, device)
    with pytest.raises(InsituError, match="more neighbours than emulation has shared memory"):
        DeviceDescriber(NeighborsMap(), device).images(search, search.places)


def test_a_small_block_of_shared_memory_makes_smaller_tiles(folder: Path) -> None:
    model = store.load("metals")
    want = classify_with(model, *SAMPLES["hot"], True).probabilities
    model.move(EmulatedDevice(folder, shared_limit=20 * 1024))
    np.testing.assert_allclose(
        classify_with(model, *SAMPLES["hot"], True).probabilities, want, atol=2e-5
    )


def test_a_position_that_is_not_finite_is_an_error(device: Device) -> None:
    r, cell = SAMPLES["hot"]
    frame = Frame.from_arrays(r, cell, True, reach=5.0)
    spoiled = frame.positions.copy()
    spoiled[7, 1] = np.nan
    broken = Frame(spoiled, frame.types, frame.ids, frame.n_local, frame.cell)
    with pytest.raises(InsituError, match=r"position of atom 8 is .*nan.* unstable"):
        DeviceSearch(broken, 5.0, device)


def test_a_position_in_device_memory_that_is_not_finite_is_an_error(device: Device) -> None:
    r, cell = SAMPLES["hot"]
    spoiled = r.copy()
    spoiled[3, 2] = np.inf
    model = store.load("metals")
    model.move(device)
    with pytest.raises(InsituError, match=r"position of atom 4 is .*only finite positions"):
        classify_with(model, device.array(spoiled, np.float64), cell, True)


def test_an_empty_rank_has_no_labels(device: Device) -> None:
    model = store.load("metals")
    model.move(device)
    analyzer = Phases(model)
    analyzer.classifier.measure(40.0 / 16 / 4.0 ** (1 / 3))
    frame = Frame.from_arrays(np.zeros((0, 3)), 40.0 * np.eye(3), True, reach=5.0)
    sums = analyzer(frame, analyzer.neighbors(frame))
    assert not sums["count"].any()
    assert len(analyzer.labels) == 0


_SPOILED = """
import sys, numpy as np
from pathlib import Path
from emulated_device import EmulatedDevice
from test_device import SAMPLES, classify_with, store
model = store.load("metals")
want = classify_with(model, *SAMPLES["hot"], True).probabilities
model.move(EmulatedDevice(Path(sys.argv[1]), bool(int(sys.argv[3])), kernels=Path(sys.argv[2])))
got = classify_with(model, *SAMPLES["hot"], True).probabilities
sys.exit(int(not np.abs(got - want).max() <= 1e-3))
"""


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("", ""),
        ("warp_ball.hpp", "        b.place[rank] = b.found[i];\n    }\n    __syncwarp();"),
        ("tile_network.hpp", "    __syncthreads();\n"),
    ],
)
def test_the_emulation_shows_a_barrier_that_is_missing(
    folder: Path, tmp_path: Path, file: str, line: str
) -> None:
    kernels = tmp_path / "kernels"
    shutil.copytree(Path(__file__).parents[2] / "kernels", kernels)
    if file:
        source = kernels / "cuda" / file
        text = source.read_text()
        assert line in text
        less = line.replace("__syncwarp();", "").replace("__syncthreads();", "")
        source.write_text(text.replace(line, less))
    ends = []
    for reverse in "01":
        command = [sys.executable, "-P", "-c", _SPOILED, str(folder), str(kernels), reverse]
        path = {"PYTHONPATH": f"{Path(__file__).parent}:{Path(__file__).parents[1]}"}
        run = subprocess.run(command, env=os.environ | path, capture_output=True, cwd=tmp_path)
        ends.append(run.returncode)
    assert any(ends) == bool(file), "in neither order of the threads was there a difference"


def test_the_emulated_arrays_are_as_strict_as_cupy(folder: Path) -> None:
    there = EmulatedDevice(folder).array(np.arange(3.0), np.float64)
    assert isinstance(there + 1.0, OnDevice)
    with pytest.raises(TypeError, match="array of the host"):
        _ = there + np.arange(3.0)
    with pytest.raises(TypeError, match="array of the host"):
        _ = there[np.array([0, 1])]
    with pytest.raises(TypeError, match="hidden copy"):
        _ = float(there.sum())


@pytest.mark.gpu
@pytest.mark.skipif(not _GPU, reason="no NVIDIA driver; INSITU_TEST_GPU=1 makes that a failure")
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
