# SPDX-License-Identifier: BSD-3-Clause
"""The comparison of networks and sets of crystals for powder patterns."""

import numpy as np
import pytest
import torch
from torch import nn

from insitu.diffraction.symmetry.groups import EXTINCTION_GROUPS, class_of
from insitu.models.networks.pattern_resnet import PatternResNet
from insitu.training.structures.tensor_tables import Record
from insitu.training.symmetry import comparison
from insitu.training.symmetry.comparison import POINTS, Patterns
from insitu.training.symmetry.library import Library, make_classes
from insitu.training.symmetry.listed import library_of
from insitu.training.symmetry.networks import ParkCNN, PatternTransformer, ResNet10


@pytest.fixture(scope="module")
def crystals() -> Library:
    return make_classes(np.arange(2, 100, 8), 5)[0]


@pytest.mark.parametrize("kind", [ParkCNN, ResNet10, PatternTransformer])
@pytest.mark.parametrize("classes", [101, 230])
def test_shapes(kind: type[nn.Module], classes: int) -> None:
    assert kind(POINTS, classes)(torch.rand(3, 1, POINTS)).shape == (3, classes)


def test_resnet_normalises_groups_so_a_batch_does_not_matter() -> None:
    network, x = ResNet10(POINTS, 101).train(), torch.rand(4, 1, POINTS)
    assert torch.allclose(network(x)[:1], network(x[:1]), atol=1e-5)


def test_patterns_are_those_of_the_crystals(crystals: Library) -> None:
    order = np.array([7, 3, 3, 0])
    taken = comparison.take(crystals, order)
    assert np.diff(taken.first).tolist() == np.diff(crystals.first)[order].tolist()
    assert taken.numbers.tolist() == crystals.numbers[order].tolist()
    whole = comparison.patterns_of(crystals, 0)
    assert whole.values.shape == (len(crystals), POINTS)
    assert whole.values.max(1) == pytest.approx(1.0, abs=1e-3)
    assert whole.classes.tolist() == crystals.classes.tolist()
    again = comparison.patterns_of(crystals, 0)
    assert (whole.values == again.values).all()
    # Each is the most like itself, and no two crystals are alike.
    assert comparison.likeness(whole, again) == pytest.approx(1.0, abs=1e-3)
    rest = np.arange(1, len(crystals))
    assert comparison.likeness(whole.part(np.zeros(1, int)), whole.part(rest))[0] < 0.95


def test_copies_are_nearly_alike_and_other_crystals_are_not(crystals: Library) -> None:
    entries = comparison.with_copies(len(crystals), 30, np.random.default_rng(0))
    assert len(entries) == 30
    assert set(entries.tolist()) == set(range(len(crystals)))
    made = comparison.patterns_of(crystals, 1, entries)
    assert made.numbers.tolist() == crystals.numbers[entries].tolist()
    # Smeared over a degree, since the lines of a copy are a few steps away.
    kernel = np.ones(12)
    smooth = np.array([np.convolve(v.astype(float) ** 2, kernel, "same") for v in made.values])
    smooth /= np.linalg.norm(smooth, axis=1, keepdims=True)
    alike, off = smooth @ smooth.T, ~np.eye(30, dtype=bool)
    copied = np.bincount(entries)[entries] > 1
    nearest = np.where(off, alike, -1).argmax(1)
    assert (entries[nearest] == entries)[copied].mean() > 0.9
    assert np.where(off, alike, -1).max(1)[~copied].max(initial=0) < 0.9
    assert (np.abs(made.values[:, None] - made.values).max(-1)[off] > 0).all()


def test_space_groups_are_added_up_to_extinction_groups() -> None:
    class Given(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.log(x[:, 0])

    values = np.random.default_rng(0).random((4, 230)).astype(np.float16)
    found = comparison.log_probabilities(Given(), Patterns(values, np.ones(4), np.arange(4)))
    p = values.astype(float) / values.astype(float).sum(1, keepdims=True)
    for k, group in enumerate(EXTINCTION_GROUPS):
        wanted = p[:, [n - 1 for n in group.space_groups]].sum(1)
        assert np.exp(found[:, k]) == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("space_groups", [False, True])
def test_a_network_learns_a_few_patterns(crystals: Library, space_groups: bool) -> None:
    patterns = comparison.patterns_of(crystals, 0)
    torch.manual_seed(0)
    network = ResNet10(POINTS, 230 if space_groups else 101)
    comparison.fit(network, patterns, 30, 0, space_groups)
    assert comparison.measure(network, patterns)["top-1"] == 1.0


def test_the_same_seed_gives_the_same_network(crystals: Library) -> None:
    patterns, found = comparison.patterns_of(crystals, 0), []
    for _ in range(2):
        torch.manual_seed(0)
        network = ResNet10(POINTS, 101)
        comparison.fit(network, patterns, 2, 0)
        found.append(comparison.log_probabilities(network, patterns))
    assert (found[0] == found[1]).all()


def test_the_shipped_network_takes_its_own_input() -> None:
    patterns = Patterns(np.zeros((2, 2, 2560), np.float16), np.array([1, 225]), np.arange(2))
    assert comparison.log_probabilities(PatternResNet(101), patterns).shape == (2, 101)


def test_shares_of_space_groups_are_kept() -> None:
    shares = np.zeros(230)
    shares[[13, 61, 224]] = 1, 2, 1
    classes = np.array([class_of(n) for n in (14, 62, 225)])
    library, _ = make_classes(np.repeat(classes, 3), 1, shares)
    # The group that spglib finds may have more symmetry within the class.
    assert set(library.classes[library.numbers == 62]) == {class_of(62)}
    assert (library.numbers[:3] == 14).all()


def rock_salt(name: str, kinds: tuple[int, int], a: float) -> Record:
    """Primitive cell, three distances long."""
    cell = 0.5 * a * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0.0]])
    sites, numbers = np.array([[0, 0, 0], [0.5, 0.5, 0.5]]), np.array(kinds)
    return Record(name, f"{kinds[0]}-{kinds[1]}", cell, sites, numbers, np.zeros(1))


def test_a_list_is_split_by_composition_and_has_no_duplicates() -> None:
    kinds = [
        (11, 17),
        (12, 8),
        (20, 8),
        (3, 9),
        (19, 35),
        (22, 7),
        (25, 16),
        (56, 8),
        (37, 53),
        (47, 17),
    ]
    records = [rock_salt(f"{k}", k, 4.2 + 0.02 * sum(k)) for k in kinds]
    records += [rock_salt("again", (11, 17), 5.7)]
    parts = {part: library_of(records, part) for part in ("train", "test")}
    counts = [len(library) for library, _ in parts.values()]
    assert sum(counts) == len(kinds)
    assert all(counts)
    assert sum(duplicates for _, duplicates in parts.values()) == 1
    for library, _ in parts.values():
        assert set(library.numbers.tolist()) == {225}
        # The conventional cell, and its lines: h, k, l all even or all odd.
        assert library.cells[:, 3:] == pytest.approx(90.0)
        assert library.cells[:, 0].min() > 4.2
        parity = library.indices % 2
        assert (parity == parity[:, :1]).all()
