# SPDX-License-Identifier: BSD-3-Clause
"""Graphs and environments of the general model's configurations and their harder copies."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from insitu.models.engines.spatial import SpatialSettings
from insitu.models.networks.whole_sample import WholeSampleGraph
from insitu.training.data.environments import Environments, Whole, periodic, surroundings
from insitu.training.data.graphs import Variant, variants
from insitu.training.dynamics import simulate as dynamics
from insitu.training.dynamics.trajectories import MOLTEN, jobs

#: Material, kind of trajectory and whether atoms are missing.
Key = tuple[str, str, bool]


def copies(
    recipe: dict[str, Any], role: str, data: Path, each: int, seed: int
) -> list[tuple[Key, Variant]]:
    """Return `each` snapshots (0: all) of every trajectory and their harder copies.

    Those of the training are the copies that the general model is trained on; the others have a
    quarter and a half of the atoms removed.
    """
    rng, found = np.random.default_rng(seed), []
    numbers = {c: k for k, c in enumerate(recipe["classes"])}
    kind = "training" if role == "training" else "fixed"
    for job in jobs(recipe, role):
        every = dynamics.load(job, data)
        some = rng.permutation(len(every))[:each] if each else range(len(every))
        for i in some:
            s = every[i]
            labels = np.array([numbers.get(c, -1) for c in s.labels.tolist()])
            if (labels >= 0).any():
                for v in variants(s, labels, recipe["training"], rng, kind):
                    found.append(((s.material, s.kind, v.removed > 0), v))
    return found


def whole(v: Variant, graph: SpatialSettings) -> Whole:
    """Return a configuration as a graph, its rows in half the memory."""
    w = periodic(v.positions, v.cell, v.labels, graph)
    w.rows = w.rows.int()
    return w


def environments(
    found: list[tuple[Key, Variant]], classes: int, each: int, k: int, seed: int
) -> Environments:
    """Return `each` environments of k atoms of every class, spread over configurations."""
    rng = np.random.default_rng(seed)
    vectors, labels, spacing = [], [], []
    for c in range(classes):
        there = [v for _, v in found if (v.labels == c).any()]
        share = np.bincount(rng.integers(len(there), size=each), minlength=len(there))
        for v, n in zip(there, share.tolist(), strict=True):
            if n:
                some = rng.choice(np.flatnonzero(v.labels == c), n)
                vectors.append(surroundings(v.positions, v.cell, some, k))
                labels += [c] * n
                spacing += [float(np.cbrt(abs(np.linalg.det(v.cell)) / len(v.labels)))] * n
    return Environments(
        np.concatenate(vectors), np.array(labels), np.zeros(len(labels), dtype=np.int64),
        np.array(spacing), np.zeros((len(labels), k), dtype=np.int64),
    )  # fmt: skip


@torch.inference_mode()
def balanced(
    network: WholeSampleGraph, found: list[tuple[Key, Variant]], graph: SpatialSettings
) -> dict[str, float]:
    """Return the accuracy, every material, kind of trajectory and class counting the same.

    Of all, and of crystals and of liquids, with and without missing atoms.
    """
    network.eval()
    right: dict[tuple[Key, int], list[float]] = defaultdict(list)
    for key, v in found:
        w = periodic(v.positions, v.cell, v.labels, graph)
        guess = network.logits(*w.arguments()).argmax(1)
        for c in torch.unique(w.labels[w.labels >= 0]).tolist():
            right[key, c].append(float((guess[w.labels == c] == c).float().mean()))
    groups: dict[str, list[float]] = defaultdict(list)
    for ((_, kind, gone), _), values in right.items():
        name = "liquid" if kind in MOLTEN else "stack" if kind.startswith("stack") else "crystal"
        for group in ("all", name + (", atoms removed" if gone else "")):
            groups[group].append(float(np.mean(values)))
    return {k: round(float(np.mean(v)), 4) for k, v in sorted(groups.items())}
