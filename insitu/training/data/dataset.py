# SPDX-License-Identifier: BSD-3-Clause
"""From labelled snapshots to Neighbors Maps, with copies from which atoms are removed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.descriptors.neighbors_map import NeighborsMap
from insitu.frame.frame import Frame
from insitu.frame.neighbors.search import Neighbors
from insitu.progress import bar
from insitu.training.dynamics.generate import Snapshot


@dataclass
class Maps:
    """Images ``(n, 1, size, size)``, class indices ``(n,)`` and what each map came from."""

    images: NDArray[np.float32]
    labels: NDArray[np.int64]
    removed: NDArray[np.float64]
    reduced_temperature: NDArray[np.float64]
    system: NDArray[np.str_]
    found: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.labels)


def build(
    recipe: dict[str, Any], snapshots: list[Snapshot], rng: np.random.Generator, scale: float = 1.0
) -> Maps:
    """Describe a balanced sample of the snapshots' atoms.

    Parameters
    ----------
    recipe
        The recipe; its ``[data]`` gives the number of maps a class for the training set.
    snapshots
        Labelled configurations of the trajectories of one split.
    rng
        Chooses the atoms that are removed and those that are described.
    scale
        Factor on the number of maps (smaller validation and test sets).

    Returns
    -------
    Maps
        Maps in random order.
    """
    data, classes = recipe["data"], recipe["classes"]
    settings = NeighborsMap(**recipe["descriptor"])
    fractions = data["removed"]
    melting = {s["name"]: s["melting"] for s in recipe["system"]}
    members = {c: sum(s.label == c for s in snapshots) for c in classes}
    parts: list[tuple[Any, ...]] = []
    for snap in bar(snapshots, "Neighbors Maps"):
        wanted = data["disordered_maps" if snap.label == "disordered" else "crystal_maps"] * scale
        each = max(1, round(wanted / members[snap.label] / len(fractions)))
        for f in fractions:
            keep = rng.random(len(snap.positions)) >= f
            if f == 0.0:
                keep[:] = True
            r = snap.positions[keep]
            chosen = np.zeros(len(r), dtype=bool)
            chosen[rng.permutation(len(r))[:each]] = True
            frame = Frame.from_arrays(
                r, snap.cell, True, reach=settings.cutoff * 1.0001, selected=chosen
            )
            for atoms, images, found in settings.batches(Neighbors(frame, settings.cutoff)):
                n = len(atoms)
                parts.append((
                    images.copy(),
                    np.full(n, classes.index(snap.label)),
                    np.full(n, f),
                    np.full(n, snap.temperature / melting[snap.system]),
                    np.full(n, snap.system),
                    found.copy(),
                ))  # fmt: skip
    columns = [np.concatenate(c) for c in zip(*parts, strict=True)]
    order = rng.permutation(len(columns[1]))
    return Maps(*[c[order] for c in columns])
