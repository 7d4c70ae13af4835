# SPDX-License-Identifier: BSD-3-Clause
"""Clusters over ranks against scipy's components of all pairs: any cell, borders, decomposition."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import breadth_first_order, connected_components
from test_partners import cut, frames

from insitu.frame.clusters.connected import Clusters, Links, Pieces
from insitu.frame.clusters.union import Union
from insitu.frame.frame import Frame
from insitu.frame.ghosts.halo import Halo
from insitu.frame.neighbors.search import Neighbors
from insitu.frame.ranks.reduce import Ranks
from insitu.testing.ranks import ThreadRanks, together


def reference(
    r: NDArray[np.float64], cell: NDArray[np.float64], pbc: Any, member: NDArray[np.bool_],
    cutoff: float,
) -> dict[int, dict[str, Any]]:  # fmt: skip
    """Return clusters by their smallest id: from all pairs, made whole by a walk over each."""
    n = len(r)
    span = [range(-3, 4) if p else range(1) for p in pbc]
    pairs = []
    for image in itertools.product(*span):
        apart = r[None] + np.array(image) @ cell - r[:, None]
        near = (apart**2).sum(axis=2) <= cutoff**2
        near &= member[:, None] & member[None]
        if not any(image):
            np.fill_diagonal(near, False)
        i, j = np.nonzero(near)
        pairs.append(np.column_stack([i, j, np.tile(image, (len(i), 1))]))
    table = np.concatenate(pairs)
    graph = coo_matrix((np.ones(len(table)), table[:, :2].T), shape=(n, n)).tocsr()
    _, label = connected_components(graph, directed=False)
    shift = {(i, j): np.array(s) for i, j, *s in table.tolist()}
    found = {}
    for c in np.unique(label[member]):
        atoms = np.flatnonzero((label == c) & member)
        order, before = breadth_first_order(graph, atoms[0], directed=False)
        moved = {int(order[0]): np.zeros(3, dtype=int)}
        for a in order[1:]:
            moved[int(a)] = moved[int(before[a])] + shift[int(before[a]), int(a)]
        inside = table[np.isin(table[:, 0], atoms)]
        ends = np.array([moved[i] + s - moved[j] for i, j, *s in inside.tolist()]).reshape(-1, 3)
        whole = r[atoms] + np.array([moved[int(a)] for a in atoms]) @ cell
        found[int(atoms.min()) + 1] = {
            "size": len(atoms), "wraps": (ends != 0).any(axis=0).tolist(),
            "radius": np.sqrt(((whole - whole.mean(axis=0)) ** 2).sum(axis=1).mean()),
            "center": whole.mean(axis=0),
        }  # fmt: skip
    return found


def on_rank(
    frame: Frame, ranks: Ranks, members: list[NDArray[np.bool_]], cutoff: float, pairs: bool = False
) -> list[dict[int, dict[str, Any]]]:
    """Return the clusters whose totals are on this rank, of each graph."""
    search = Neighbors(frame, cutoff)
    halo = Halo(frame, ranks, 3, 1, None, cutoff)
    halo.unlimited = True
    told = halo.of_all_atoms(Links.words(frame), search)
    links = Links.of(frame, halo, told)
    graphs = []
    for member in members:
        here = member[frame.ids - 1]
        if pairs:
            offsets, second = search.lists(cutoff)
            first = np.repeat(search.atoms, np.diff(offsets))
            graphs.append(Pieces.of_pairs(links, here, first, second))
        else:
            graphs.append(Pieces.within(links, here, cutoff))
    found = Clusters(links, graphs, lambda v: halo.of_all_atoms(v, search), ranks)
    sums = np.zeros((len(found.graph), 5))
    for g, number in enumerate(found.number):
        atoms = np.flatnonzero(number >= 0)
        away = found.apart(frame, g, atoms)
        rows = np.column_stack([np.ones(len(atoms)), away, (away**2).sum(axis=1)])
        np.add.at(sums, number[atoms], rows)
    total = found.total(sums)
    each: list[dict[int, dict[str, Any]]] = [{} for _ in members]
    for k in found.roots:
        mean = total[k, 1:4] / total[k, 0]
        each[found.graph[k]][int(found.label[k])] = {
            "size": int(total[k, 0]), "wraps": found.wraps[k].tolist(),
            "radius": np.sqrt(max(total[k, 4] / total[k, 0] - (mean**2).sum(), 0.0)),
            "center": found.origin[k] + mean,
        }  # fmt: skip
    back = found.spread(total)
    for g, number in enumerate(found.number):  # every atom knows its cluster
        for i in np.flatnonzero(number >= 0)[::7]:
            assert members[g][frame.ids[i] - 1]
            assert back[number[i], 0] >= 1
    return each


def compare(
    parts: list[Any], g: int, wanted: dict[int, dict[str, Any]], cell: NDArray[np.float64]
) -> None:
    for part in parts:
        if isinstance(part, Exception):
            raise part
    found: dict[int, dict[str, Any]] = {}
    for part in parts:
        assert not found.keys() & part[g].keys()
        found |= part[g]
    assert found.keys() == wanted.keys()
    for label, one in wanted.items():
        assert found[label]["size"] == one["size"]
        assert found[label]["wraps"] == one["wraps"]
        if not any(one["wraps"]):
            assert found[label]["radius"] == pytest.approx(one["radius"], abs=1e-6)
            periods = (found[label]["center"] - one["center"]) @ np.linalg.inv(cell)
            assert np.abs(periods - np.rint(periods)).max() < 1e-6


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**20), st.integers(1, 7), st.tuples(*[st.booleans()] * 3),
    st.sampled_from([0.0, 1.0]), st.sampled_from(["slabs", "clusters", "anywhere"]),
    st.sampled_from([2.0, 3.0, 4.5]), st.booleans(),
)  # fmt: skip
@example(811486, 6, (True, True, False), 1.0, "clusters", 3.0, True)  # a rank without atoms
def test_as_scipy_has_them(
    seed: int, size: int, pbc: tuple[bool, bool, bool], tilt: float, how: str, cutoff: float,
    pairs: bool,
) -> None:  # fmt: skip
    r, cell, rank = cut(seed, size, pbc, tilt, 60, how)
    rng = np.random.default_rng(seed)
    members = [rng.random(len(r)) < 0.7, rng.random(len(r)) < 0.95]
    dealt = frames(r, cell, pbc, rank, size, cutoff)

    def work(ranks: ThreadRanks) -> Any:
        return on_rank(dealt[ranks.rank], ranks, members, cutoff, pairs)

    parts = together(size, work)
    for g, member in enumerate(members):
        compare(parts, g, reference(r, cell, pbc, member, cutoff), cell)


def test_a_helix_through_a_periodic_box_and_many_ranks() -> None:
    """One thread, once around along x in every turn; each rank has hundreds of its pieces."""
    turns, steps = 9, 40
    x = np.arange(turns * steps) % steps + 0.5
    y = 2.0 * np.arange(turns * steps) / steps + 0.2
    r = np.column_stack([x, y, np.full(len(x), 1.0)])
    cell, pbc = np.diag([float(steps), 30.0, 10.0]), (True, True, False)
    member = np.ones(len(r), dtype=bool)
    wanted = reference(r, cell, pbc, member, 1.2)
    assert [w["size"] for w in wanted.values()] == [len(r)]
    assert not any(next(iter(wanted.values()))["wraps"])
    size = 8
    dealt = frames(r, cell, pbc, (x * size / steps).astype(int), size, 1.2)
    parts = together(size, lambda ranks: on_rank(dealt[ranks.rank], ranks, [member], 1.2))
    compare(parts, 0, wanted, cell)
    whole = frames(r, cell, pbc, np.zeros(len(r), dtype=int), 1, 1.2)
    compare([on_rank(whole[0], Ranks(), [member], 1.2)], 0, wanted, cell)


def test_passes_grow_with_the_logarithm_of_a_chain() -> None:
    """Every rank has one piece, which touches the next one's; in an order that tells them nothing."""
    passes = {}
    for size in (4, 32):
        order = np.random.default_rng(size).permutation(size)
        place = np.argsort(order)

        def work(ranks: ThreadRanks, order: Any = order, place: Any = place, n: int = size) -> Any:
            at = place[ranks.rank]
            other = np.array([int(order[at + 1]) << 32] if at + 1 < n else [], dtype=np.int64)
            e = len(other)
            made = Union(1, np.zeros(e, int), other, np.ones((e, 3), int), ranks)
            return made.root[0], made.periods[0, 0] - at, made.passes

        found = together(size, work)
        for f in found:
            if isinstance(f, Exception):
                raise f
        assert {f[0] for f in found} == {0}
        assert {f[1] for f in found} == {-place[0]}  # one period for each step along the chain
        passes[size] = found[0][2]
    assert passes[32] <= 8
