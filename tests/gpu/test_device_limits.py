# SPDX-License-Identifier: BSD-3-Clause
"""What does not fit a device, or is nowhere: memory, shared memory, positions, a rank without atoms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from device_samples import SAMPLES
from emulated_device import EmulatedDevice

from insitu.analyses.phases.analysis import Phases
from insitu.analyses.phases.classification import classify_with
from insitu.descriptors.neighbors_map import NeighborsMap
from insitu.descriptors.neighbors_map_gpu import DeviceDescriber
from insitu.errors import InsituError
from insitu.frame.frame import Frame
from insitu.frame.neighbors.density import spacing
from insitu.frame.neighbors.search import Neighbors
from insitu.gpu.device import Device
from insitu.gpu.search import DeviceSearch
from insitu.models import store
from insitu.testing import lattice


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
