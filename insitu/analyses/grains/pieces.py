# SPDX-License-Identifier: BSD-3-Clause
"""From the orientations of one rank's atoms to the regions of like orientation of all ranks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.analyses.grains.regions import LEAST, QUANTUM, merged
from insitu.analyses.grains.rims import Rims
from insitu.analyses.lattice.misorientation import angles, nearest
from insitu.frame.clusters.connected import Clusters, Links, Pieces
from insitu.frame.frame import Frame
from insitu.frame.ranks.reduce import Ranks

#: Within a block neighbours whose orientations differ by less are in one piece, at least [°].
_LINKED = 4.0
#: Returns values of the owned atoms and their ghosts from those of the owned ones; collective.
Exchange = Callable[[NDArray[Any]], NDArray[Any]]


def regions_of(
    frame: Frame, links: Links, block: NDArray[Any], q: NDArray[np.float32],
    core: NDArray[np.bool_], inner: NDArray[Any], exchange: Exchange,
    ranks: Ranks, angle: float, hexagonal: bool,
) -> NDArray[np.int32]:  # fmt: skip
    """Return the region ``(n_local + n_ghost,)`` of each atom in the interior, −1: none; collective.

    Parameters
    ----------
    frame, links
        This rank's frame, and whose images its ghosts are.
    block, q, core
        ``(n_local + n_ghost,)`` block of the box, orientation (4 words), whether it is in the interior.
    inner
        ``(2, e)`` pairs of neighbours that are.
    exchange, ranks
        Tells ghosts what their owners have; the ranks of the simulation.
    angle, hexagonal
        Regions whose means differ by less are one [degrees]; whether the lattice is, else it is cubic.
    """
    n = frame.n_local
    once = inner[:, (inner[1] >= n) | (inner[0] < inner[1])]
    apart = angles(q[once[0]], q[once[1]], hexagonal)
    wide = np.radians(max(_LINKED, angle))
    linked = once[:, (apart < wide) & (block[once[0]] == block[once[1]])]
    graph = Pieces.of_pairs(links, core, *linked)
    found = Clusters(links, [graph], exchange, ranks)
    number, pieces = found.number[0], len(found.graph)
    counted = core[:n] & (number >= 0)
    turned = near_each_other(found, frame, q[:n], core[:n], hexagonal)
    turned = np.rint(turned / QUANTUM)
    each = np.column_stack([np.ones(n), turned])[counted].T
    sums = [np.bincount(number[counted], weights=v, minlength=pieces) for v in each]
    totals = found.spread(found.total(np.column_stack(sums)))
    mean = totals[:, 1:] / np.maximum(np.linalg.norm(totals[:, 1:], axis=1, keepdims=True), 1e-300)
    chord = np.linalg.norm(turned[counted] * QUANTUM - mean[number[counted]], axis=1)
    away = np.rint((2.0 * chord) ** 2 / QUANTUM)
    square = np.bincount(number[counted], weights=away, minlength=pieces)[:, None]
    squares = found.total(square.astype(np.float64))[:, 0] * QUANTUM / np.maximum(totals[:, 0], 1.0)
    table = np.column_stack([found.label, totals[:, 0], totals[:, 1:] * QUANTUM, squares])
    table = table[found.roots]
    table = ranks.everyones(np.ascontiguousarray(table[table[:, 1] >= LEAST]))
    own = np.where(counted, found.label[np.maximum(number, 0)] if pieces else 0, -1)
    labels = exchange(own[:, None])[:, 0]
    touch = labels[once]
    known, at = np.unique(touch[:, touch[0] != touch[1]], return_inverse=True)
    at = np.sort(at.reshape(2, -1), axis=0)
    code = np.unique(at[0] * len(known) + at[1])
    touch = np.column_stack([known[code // max(len(known), 1)], known[code % max(len(known), 1)]])
    touch = ranks.everyones(np.ascontiguousarray(touch, dtype=np.float64)).astype(np.int64)
    regions = merged(table, touch, np.radians(angle), hexagonal)
    rims = Rims(
        regions.of(labels), q, inner[0], inner[1], regions.means, hexagonal,
        exchange, ranks,
    )  # fmt: skip
    rims.settle(n)
    return rims.region


def adopted(
    frame: Frame, pairs: NDArray[Any], kind: NDArray[np.int32], q: NDArray[np.float32],
    region: NDArray[np.int32], hexagonal: bool,
) -> NDArray[Any]:  # fmt: skip
    """Return for atoms not in the interior a neighbour in a region, as pairs ``(2, k)``."""
    first, second = pairs[:, (kind[pairs[0]] == 1) & (region[pairs[1]] >= 0)]
    apart = angles(q[first], q[second], hexagonal)
    # Without an orientation of its own it goes to the neighbour of the lowest id.
    apart = np.where(np.isfinite(apart), np.round(apart, 4), np.float32(10.0))
    order = np.lexsort((frame.ids[second], apart, first))
    atoms = first[order]
    new = np.ones(len(atoms), dtype=bool)
    new[1:] = atoms[1:] != atoms[:-1]
    return np.stack([first[order][new], second[order][new]])


def near_each_other(
    found: Clusters,
    frame: Frame,
    q: NDArray[np.float32],
    core: NDArray[np.bool_],
    hexagonal: bool,
) -> NDArray[np.float64]:
    """Return the orientations ``(n_local, 4)`` as quaternions near each other in a grain; collective.

    They are near that of the atom with the smallest id in it. Other atoms have 0.
    """
    number, pieces = found.number[0], len(found.graph)
    counted = np.flatnonzero(core & (number >= 0))
    ids = frame.ids[counted].astype(np.float64)
    lowest = np.full((pieces, 1), np.inf)
    np.minimum.at(lowest[:, 0], number[counted], ids)
    lowest = found.spread(found.lowest(lowest))
    start = np.zeros((pieces, 4))
    those = counted[ids == lowest[number[counted], 0]]
    start[number[those]] = q[those]
    reference = found.spread(found.total(start))
    turned = np.zeros((frame.n_local, 4))
    turned[counted] = nearest(q[counted].astype(np.float64), reference[number[counted]], hexagonal)
    return turned
