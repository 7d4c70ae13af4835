# SPDX-License-Identifier: BSD-3-Clause
"""Crystal–liquid interfaces: labels on both sides, and where a model puts the interface."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from insitu.analyses.phases.classification import classify_with
from insitu.models.engines.graph import GraphModel

Labels = NDArray[np.int64]
#: Half width of what is left out around an interface, in spacings.
MASK = 1.5


def interfaces(
    model: GraphModel, folder: Path, materials: list[dict], methods: dict
) -> list[list[str]]:
    """Return rows: labels right on both sides of crystal–liquid interfaces, and their position.

    The sides are told by a-CNA of the quenched snapshots, averaged over the cross-section.
    """
    rows = []
    for m in materials:
        path = folder / f"{m['name']}-coexistence.npz"
        if not path.exists() or "a-CNA" not in methods:
            continue
        truth = model.card.classes.index(next(iter(m["structures"])))
        with np.load(path) as z:
            if not bool(z["both"]):
                continue
            snapshots = list(zip(z["positions"], z["cell"], z["quenched"], z["quenched_cell"],
                                 strict=True))  # fmt: skip
        found = [f for s in snapshots if (f := interface(model, *s, truth, methods["a-CNA"]))]
        if not found:
            rows.append([m["name"], f"0 of {len(snapshots)}", *["–"] * 5])
            continue
        right, crystal, liquid, shift = np.array(found).T
        rows.append([
            m["name"], f"{len(found)} of {len(snapshots)}", f"{right.mean():.2f}",
            f"{right.min():.2f}", f"{crystal.mean():.2f}", f"{liquid.mean():.2f}",
            f"{shift.mean():.1f}",
        ])  # fmt: skip
    return rows


def interface(
    model: GraphModel, r: NDArray, cell: NDArray, quenched: NDArray, quenched_cell: NDArray,
    truth: int, cna: Callable[[NDArray, NDArray], Labels],
) -> tuple[float, float, float, float] | None:  # fmt: skip
    """Return right labels [%] of all, of the crystal's and of the liquid's side, and the shift [Å].

    The shift is the mean distance of the two interfaces by the model's labels from those by a-CNA;
    not a number if the model's labels do not have two. None: the truth does not have two.
    """
    liquid = model.card.classes.index("disordered")
    length = float(np.cbrt(np.linalg.det(cell) / len(r)))
    share, edges = profile(r, cell, cna(quenched, quenched_cell) == truth, length)
    walls = crossings(share, edges)
    if len(walls) != 2:
        return None
    height = cell[2, 2]
    z = r[:, 2] % height
    side = share[np.minimum((z / height * len(share)).astype(int), len(share) - 1)] > 0.5

    def apart(at: NDArray) -> NDArray:
        return np.abs((at[:, None] - walls + height / 2) % height - height / 2).min(axis=1)

    used = apart(z) > MASK * length
    found = classify_with(
        model, r, cell, True
    ).labels  # −1: unknown, which is right on neither side
    right = 100.0 * np.where(side, found == truth, found == liquid)
    mine = crossings(profile(r, cell, found == truth, length)[0], edges)
    return (
        float(right[used].mean()), float(right[used & side].mean()),
        float(right[used & ~side].mean()),
        float(apart(mine).mean()) if len(mine) == 2 else float("nan"),
    )  # fmt: skip


def profile(r: NDArray, cell: NDArray, crystal: NDArray, length: float) -> tuple[NDArray, NDArray]:
    """Return the crystalline share in slices along z (three-slice mean) and the slices' edges [Å]."""
    slices = max(8, round(cell[2, 2] / length))
    at = np.minimum((r[:, 2] % cell[2, 2] / cell[2, 2] * slices).astype(int), slices - 1)
    n = np.bincount(at, minlength=slices)
    share = np.bincount(at, weights=crystal, minlength=slices) / np.maximum(n, 1)
    mean = (np.roll(share, 1) + share + np.roll(share, -1)) / 3
    return mean, np.linspace(0, cell[2, 2], slices + 1)


def crossings(share: NDArray, edges: NDArray) -> NDArray:
    """Return where a periodic profile crosses one half."""
    return edges[:-1][(share > 0.5) != (np.roll(share, 1) > 0.5)]
