# SPDX-License-Identifier: BSD-3-Clause
"""A wider network with more outputs starts as what a narrower one is."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from insitu.descriptors.neighbors_map import NeighborsMap
from insitu.errors import SettingError
from insitu.models.card import Card
from insitu.models.engines.graph import GraphSettings
from insitu.models.export import save
from insitu.models.networks.neighbors_map import NeighborsMapGraph
from insitu.training.fit import start
from insitu.training.fit.general import merged

CLASSES = ["fcc", "bcc", "disordered"]
MAPS = NeighborsMap(scale_free=True, size=6, ball=6, local=6)


def _network(features: int, message: int, foreign: int, seed: int) -> NeighborsMapGraph:
    torch.manual_seed(seed)
    made = NeighborsMapGraph(
        3, 6, 2, hidden=12, features=features, message=message, foreign=foreign
    )
    made.mean[:], made.scale[:] = 0.3, 2.0
    return made


@pytest.fixture
def narrow(tmp_path: Path) -> tuple[NeighborsMapGraph, Path]:
    network = _network(8, 6, 1, 1)
    save(network, Card("t", CLASSES, MAPS, graph=GraphSettings(), foreign=True), tmp_path / "a.pt")
    return network, tmp_path / "a.pt"


def test_probabilities_are_the_same_where_nothing_new_is_read(
    narrow: tuple[NeighborsMapGraph, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    before, path = narrow
    monkeypatch.setattr(start, "_NEW", 0.0)
    wide = _network(16, 10, 4, 2)
    with torch.no_grad():
        wide.last.weight.zero_()
    wide.load_state_dict(start.started(path, wide))
    images, neighbors = torch.rand(40, 1, 6, 6), torch.randint(-1, 40, (40, 5))
    with torch.no_grad():
        torch.testing.assert_close(wide(images, neighbors), before(images, neighbors))
        scores = merged(wide.logits(images, neighbors), 4)
        torch.testing.assert_close(scores.softmax(1)[:, :3], wide(images, neighbors))
    same = merged(before.logits(images, neighbors), 4)
    assert same.shape == (40, 4)


def test_a_wider_artefact_is_refused(narrow: tuple[NeighborsMapGraph, Path]) -> None:
    _, path = narrow
    with pytest.raises(SettingError, match="a wider one; give an artefact"):
        start.started(path, _network(4, 6, 1, 3))
