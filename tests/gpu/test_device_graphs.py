# SPDX-License-Identifier: BSD-3-Clause
"""Networks on graphs on a device: against the CPU's kernels, and over several ranks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from emulated_device import EmulatedDevice
from numpy.typing import NDArray
from spatial_networks import SETTINGS, artefact_of, sample

from insitu.analyses.phases.analysis import Phases
from insitu.analyses.phases.classification import classify_with
from insitu.analyses.phases.loading import compare_with_cpu
from insitu.errors import InsituError, SettingError
from insitu.frame.frame import Frame
from insitu.frame.neighbors.density import spacing
from insitu.models import store
from insitu.testing.ranks import ThreadRanks, deal, together

ELEMENTS = {8: "O", 14: "Si"}


@pytest.fixture(scope="module")
def artefacts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    made = {k: str(artefact_of(tmp_path_factory.mktemp("m"), s)) for k, s in SETTINGS.items()}
    return made | {"metals": "metals"}


def some(noise: float) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """A part of the sample: emulated threads are slow."""
    r, cell, species = sample(noise=noise)
    keep = (r @ np.linalg.inv(cell))[:, 0] < 0.5
    return r[keep], cell, species[keep]


@pytest.mark.parametrize("name", list(SETTINGS))
@pytest.mark.parametrize("noise", [0.0, 0.3])
@pytest.mark.parametrize("reverse", [False, True])
def test_whole_sample_networks_are_those_of_the_cpu(
    artefacts: dict[str, str], folder: Path, name: str, noise: float, reverse: bool
) -> None:
    r, cell, species = some(noise)
    model = store.load(artefacts[name])
    want = classify_with(model, r, cell, True, species)
    model.move(EmulatedDevice(folder, reverse))
    compare_with_cpu(model)
    got = classify_with(model, r, cell, True, species)
    assert want.probabilities.std(axis=0).max() > 0.01
    np.testing.assert_allclose(got.probabilities, want.probabilities, atol=2e-5)


def test_whole_sample_networks_take_positions_on_the_device(
    artefacts: dict[str, str], folder: Path
) -> None:
    r, cell, species = some(0.3)
    device = EmulatedDevice(folder)
    for name in ("species", "angstrom", "spectra"):
        model = store.load(artefacts[name])
        want = classify_with(model, r, cell, True, species)
        model.move(device)
        got = classify_with(model, device.array(r, np.float64), cell, True, species)
        np.testing.assert_allclose(got.probabilities, want.probabilities, atol=2e-5)


@pytest.mark.parametrize("name", ["metals", "species", "local", "one layer", "spectra"])
@pytest.mark.parametrize("grid", [(2, 1, 1), (1, 2, 2)])
def test_ranks_with_devices_give_what_one_rank_does(
    artefacts: dict[str, str], folder: Path, name: str, grid: tuple[int, int, int]
) -> None:
    r, cell, species = sample()
    path = artefacts[name]
    want = classify_with(store.load(path), r, cell, True, species)
    probe = store.load(path)
    length = spacing(Frame.from_arrays(r, cell, True, reach=0.0))
    frames = deal(r, cell, grid, probe.radius(length) * 1.001, species)

    def work(ranks: ThreadRanks) -> Any:
        model = store.load(path)
        model.move(EmulatedDevice(folder))
        analyzer = Phases(model)
        if model.card.elements:
            analyzer.model.name_types(ELEMENTS)
        frame = frames[ranks.rank]
        analyzer.classifier.measure(length)
        for _ in range(2):  # the second frame keeps the first one's owners
            analyzer.classifier.exchange(frame, ranks)
            analyzer(frame, analyzer.neighbors(frame))
        return frame.ids[: frame.n_local], analyzer.labels, analyzer.confidence

    seen = 0
    for result in together(int(np.prod(grid)), work):
        assert not isinstance(result, Exception), result
        ids, labels, confidence = result
        assert np.abs(confidence - want.confidence[ids - 1]).max() < 2e-5
        decided = np.abs(np.diff(np.sort(want.probabilities[ids - 1])[:, -2:], axis=1)[:, 0]) > 1e-4
        assert (labels == want.labels[ids - 1])[decided].all()
        seen += len(ids)
    assert seen == len(r)


def test_a_rank_whose_device_fails_keeps_no_other_waiting(
    artefacts: dict[str, str], folder: Path
) -> None:
    r, cell, _ = sample()
    length = spacing(Frame.from_arrays(r, cell, True, reach=0.0))
    frames = deal(r, cell, (2, 1, 1), 8.0)

    def work(ranks: ThreadRanks) -> str:
        model = store.load("metals")
        model.move(EmulatedDevice(folder, largest=1 << 40 if ranks.rank else 4000))
        analyzer = Phases(model)
        frame = frames[ranks.rank]
        analyzer.classifier.measure(length)
        analyzer.classifier.exchange(frame, ranks)
        try:
            analyzer(frame, analyzer.neighbors(frame))
        except InsituError as error:
            return str(error)
        finally:
            assert analyzer.classifier.halo is not None
            analyzer.classifier.halo.finish()
        return "done"

    first, second = together(2, work)
    assert "memory of emulation does not suffice" in first
    assert second == "done"


def test_a_ghost_of_nobody_is_an_error(artefacts: dict[str, str], folder: Path) -> None:
    r, cell, species = some(0.2)
    for name in ("metals", "local"):
        model = store.load(artefacts[name])
        model.move(EmulatedDevice(folder))
        analyzer = Phases(model)
        bare = Frame.from_arrays(r, cell, True, reach=0.0)
        analyzer.classifier.measure(spacing(bare))
        frame = Frame.from_arrays(
            r, cell, True, reach=analyzer.classifier.search * 1.001, types=species
        )
        ids = frame.ids.copy()
        ids[frame.n_local :] += 10**6
        foreign = Frame(frame.positions, frame.types, ids, frame.n_local, frame.cell)
        with pytest.raises(InsituError, match="a neighbour belongs to no rank"):
            analyzer(foreign, analyzer.neighbors(foreign))


@pytest.mark.parametrize("name", ["metals", "local", "spectra"])
def test_what_shared_memory_holds_decides_how_many_atoms_a_block_takes(
    artefacts: dict[str, str], folder: Path, name: str
) -> None:
    r, cell, species = some(0.3)
    model = store.load(artefacts[name])
    want = classify_with(model, r, cell, True, species).probabilities
    model.move(EmulatedDevice(folder, shared_limit=11_000))
    got = classify_with(model, r, cell, True, species).probabilities
    np.testing.assert_allclose(got, want, atol=2e-5)
    with pytest.raises(
        SettingError,
        match=r"model '\w+' needs \d+ bytes .* emulation has 700; use device=cpu, or train a narrower",
    ):
        model.move(EmulatedDevice(folder, shared_limit=700))


def test_networks_without_kernels_stay_on_the_cpu(artefacts: dict[str, str], folder: Path) -> None:
    with pytest.raises(SettingError, match="runs on the CPU only; give device=cpu"):
        store.load(artefacts["local"], engine="torchscript").move(EmulatedDevice(folder))
