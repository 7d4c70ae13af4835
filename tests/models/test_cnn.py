# SPDX-License-Identifier: BSD-3-Clause
"""The paper's network in the native kernels: TorchScript's probabilities on every instruction set."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import insitu
from insitu import _kernels
from insitu.descriptors.neighbors_map import NeighborsMap
from insitu.errors import ModelError, SettingError
from insitu.models import store
from insitu.models.engines import cnn
from insitu.models.engines.cnn import NativeCNN
from insitu.models.export import save
from insitu.models.networks.neighbors_map import NeighborsMapCNN
from insitu.models.weights import read_weights
from insitu.pipeline.given_settings import make
from insitu.testing import lattice

ISAS: list[str] = _kernels.isa_available()
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def maps() -> NDArray[np.float32]:
    """Maps of warm crystals, of a gas-like sample, and an empty one."""
    rng = np.random.default_rng(3)
    parts: list[Any] = [np.zeros((1, 1, 32, 32), np.float32)]
    for name, a, noise in (
        ("fcc", 4.08, 0.13),
        ("bcc", 2.87, 0.1),
        ("hcp", 3.2, 0.1),
        ("sc", 3, 1),
    ):
        r, cell = lattice(name, a, (4, 4, 4))
        parts.append(insitu.neighbors_map(r + rng.normal(0, noise, r.shape), cell, True))
    return np.concatenate(parts)


def network(classes: int, channels: int = 1, scale: float = 10.0) -> NeighborsMapCNN:
    """A network with random weights and a batch norm that does something."""
    torch.manual_seed(classes)
    net = NeighborsMapCNN(classes, channels, scale).eval()
    norm = net.head[4]
    with torch.no_grad():
        for values in (norm.weight, norm.bias, norm.running_mean):
            values.copy_(torch.randn(24))
        norm.running_var.copy_(torch.rand(24) + 0.1)
    return net


def native(net: NeighborsMapCNN, isa: str = "") -> NativeCNN:
    file = io.BytesIO()
    cnn.pack({k: v.numpy() for k, v in net.state_dict().items()}, net.scale, file)
    return NativeCNN(read_weights(file.getvalue(), Path("trial")), isa)


@pytest.mark.parametrize("isa", ISAS)
def test_the_shipped_network_has_torchscripts_probabilities(
    isa: str, maps: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INSITU_ISA", isa)
    model, reference = store.load("crystals-cnn"), store.load("crystals-cnn", engine="torchscript")
    assert isinstance(model, store.Model)
    assert isinstance(reference, store.Model)
    assert model.native
    assert not reference.native
    assert isinstance(model.network, NativeCNN)
    assert model.network.isa == isa
    found = model.probabilities(maps)
    expected = np.concatenate(
        [reference.probabilities(maps[k : k + 64]) for k in range(0, len(maps), 64)]
    )
    assert np.abs(found - expected).max() < TOLERANCE
    assert (found.argmax(1) == expected.argmax(1)).all()
    np.testing.assert_allclose(found.sum(1), 1.0, atol=1e-6)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(("classes", "channels"), [(2, 1), (16, 1), (17, 3)])
def test_any_number_of_classes_and_channels(isa: str, classes: int, channels: int) -> None:
    net = network(classes, channels, scale=7.5)
    images = np.random.default_rng(0).random((23, channels, 32, 32), dtype=np.float32) * 0.3
    with torch.inference_mode():
        expected = net(torch.from_numpy(images)).numpy()
    found = native(net, isa).probabilities(images)
    assert found.shape == (23, classes)
    assert np.abs(found - expected).max() < TOLERANCE


def test_neither_batch_nor_threads_change_a_bit(maps: NDArray[np.float32]) -> None:
    net = native(network(5))
    whole = net.probabilities(maps)
    for size in (1, 3, 64):
        parts = [net.probabilities(maps[k : k + size]) for k in range(0, len(maps), size)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)
    for threads in (2, 5):
        np.testing.assert_array_equal(net.probabilities(maps, threads), whole)
        np.testing.assert_array_equal(net.probabilities(maps[:1], threads), whole[:1])


def test_it_runs_without_torch() -> None:
    code = (
        "import insitu, sys; from insitu.testing import lattice; r, c = lattice('fcc', 4.05, (3,) * 3);"
        "f = insitu.classify(r, c, True, model='crystals-cnn'); assert f.fractions['fcc'] == 1.0; "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-P", "-c", code], check=True)


def test_engines_are_checked(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"engine='torch'.*auto, native, torchscript.*Did you"):
        store.load("metals", engine="torch")
    with pytest.raises(SettingError, match=r"engine='nativ'.*Did you mean 'native'"):
        make(engine="nativ")
    scripted = torch.jit.script(network(3))
    card = store.Card("old", ["a", "b", "c"], NeighborsMap())
    path = tmp_path / "model.pt"
    torch.jit.save(scripted, str(path), _extra_files={"insitu.json": card.to_json()})
    assert not store.load(str(path)).native
    with pytest.raises(ModelError, match=r"engine='native' cannot run.*engine=torchscript"):
        store.load(str(path), engine="native")


@pytest.mark.parametrize("model", ["metals", "crystals-cnn"])
def test_classify_takes_the_engine(model: str) -> None:
    r, cell = lattice("bcc", 2.86, (6, 6, 6))
    r += np.random.default_rng(1).normal(0, 0.08, r.shape)
    ours = insitu.classify(r, cell, True, model=model)
    torchs = insitu.classify(r, cell, True, model=model, engine="torchscript")
    assert np.abs(ours.probabilities - torchs.probabilities).max() < TOLERANCE
    assert (ours.labels == torchs.labels).all()


def test_damaged_weights(tmp_path: Path) -> None:
    net, card = network(3), store.Card("trial", ["a", "b", "c"], NeighborsMap())
    save(net, card, tmp_path / "model.pt")
    assert store.load(str(tmp_path / "model.pt")).native
    few, wrong = io.BytesIO(), io.BytesIO()
    np.savez(few, scale=np.ones(1))
    state = {k: v.numpy() for k, v in net.state_dict().items()}
    cnn.pack(state | {"features.0.weight": np.zeros((16, 2, 5, 5))}, 10.0, wrong)
    for name, file in (("few", few), ("wrong", wrong)):
        torch.jit.save(
            torch.jit.script(net), str(tmp_path / f"{name}.pt"),
            _extra_files={"insitu.json": card.to_json(), "insitu.npz": file.getvalue()},
        )  # fmt: skip
        with pytest.raises(ModelError, match=rf"{name}\.pt.*(missing|does not take)"):
            store.load(str(tmp_path / f"{name}.pt"))
