# SPDX-License-Identifier: BSD-3-Clause
"""Clusters of atoms of some phases: nuclei, droplets, precipitates; their sizes, and the largest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from insitu.analyses.base import Analysis, Column, Observable, Panel, System, setting
from insitu.analyses.clusters import identities
from insitu.analyses.clusters.identities import MEMBERS, Identities
from insitu.errors import SettingError, did_you_mean
from insitu.frame.clusters.connected import WORDS, Links, Pieces
from insitu.frame.clusters.connected import Clusters as AllClusters
from insitu.frame.frame import Frame
from insitu.frame.ghosts.halo import Halo
from insitu.frame.neighbors.search import Neighbors
from insitu.frame.ranks.reduce import Ranks

if TYPE_CHECKING:
    import xarray

#: The two ways to take unknown atoms.
UNKNOWN = ("without", "with")
#: Sizes that are counted one by one; after them every bin is twice as wide, up to any size.
_EXACT = 20
SIZES = np.concatenate([np.arange(1, _EXACT + 1), (_EXACT + 1) * 2.0 ** np.arange(36)])


@dataclass(frozen=True)
class ClustersSettings:
    """What a deck says of clusters."""

    phase: tuple[str, ...] = setting("whose atoms make up the clusters: one class, or several")
    cutoff: float = setting(
        "atoms hang together that are not farther apart; between the first and the second shell",
        unit="Å", low=0.1, high=30.0,
    )  # fmt: skip
    largest: int = setting("how many are described one by one", default=5, low=1, high=100)


class Clusters(Analysis[ClustersSettings]):
    """Clusters of the atoms of one phase, or of several: their number, sizes, and the largest ones.

    Two atoms of these phases that are not farther apart than `cutoff` are in one cluster, across periodic
    borders and over all ranks. Everything is given twice: `without` atoms that are unknown, and `with`
    them, as if they belonged to the phases; clusters of unknown atoms alone do not count. (Atoms at the
    surface of a nucleus are often unknown, so its size lies between the two.)

    Of each of the largest: its atoms by phase, the mean of their positions, the radius of gyration (no
    masses), and along which vectors of the box it meets its own image: such a cluster has no end, so its
    centre and radius are NaN. Clusters of equal size are in the order of their smallest atom ids.
    A cluster keeps its number `identity` from frame to frame, also after a restart: it has that of the
    earlier cluster with which it shares most atoms, judged by up to 32 atoms of each (chosen by their
    ids). When two merge, that of the larger part stays, when one breaks, the larger part keeps it. A
    cluster that was not among the largest in the frame before gets a new one.
    """

    name = "clusters"
    Settings = ClustersSettings
    reads = ("phase",)
    exchanged, rounds = WORDS + 1, 1
    later = ("id", "id_with", "size", "identity")

    def __init__(self, settings: ClustersSettings, system: System, name: str = "") -> None:
        super().__init__(settings, system, name)
        self.cutoff = settings.cutoff
        classes, k = system.classes, settings.largest
        for phase in settings.phase:
            if phase not in classes:
                raise SettingError(
                    f"phase={','.join(settings.phase)}: the model has no class '{phase}'; it has "
                    f"{', '.join(classes)}.{did_you_mean(phase, classes)}"
                )
        #: Whether an atom of a class is in the set, by column; without and with unknown atoms.
        self._sets = np.array([[c in settings.phase for c in classes]] * 2)
        self._sets[1, -1] = True
        self._identities = [Identities(k), Identities(k)]
        self._kept: tuple[Frame, Neighbors, Links, list[Pieces], NDArray[np.int64]] | None = None
        what = "its cluster, without unknown atoms"
        self.columns = {
            "id": Column("", f"smallest atom id of {what}; 0: in none"),
            "id_with": Column("", "smallest atom id of its cluster with unknown atoms; 0: in none"),
            "size": Column("", f"atoms of {what}; 0: in none"),
            "identity": Column("", f"identity of {what}, if it is one of the largest; else 0"),
        }
        both = ("unknown", UNKNOWN, "")
        ranked = (self.axis("largest"), tuple(range(1, k + 1)), "")
        unit = system.length_unit

        def of(quantity: str, dtype: str, unit: str, about: str, *more: Any) -> Observable:
            axes = (both, ranked, *more)
            shape = tuple(len(values) for _, values, _ in axes)
            return Observable(self.path(quantity), shape, dtype, unit, about, axes=axes)

        self.observables = (
            Observable(self.path("number"), (2,), "i8", "", "clusters", axes=(both,)),
            Observable(
                self.path("sizes"), (2, len(SIZES)), "i8", "",
                "clusters by their number of atoms, from the bin's own up to the next bin's",
                axes=(both, ("size", tuple(SIZES.tolist()), "")),
            ),
            Observable(
                self.path("identities"), (2,), "i8", "", "identities given so far", axes=(both,)
            ),
            of("size", "i8", "", "atoms of each of the largest clusters; 0: there is none"),
            of("count", "i8", "", "its atoms by phase", ("phase", tuple(classes), "")),
            of("center", "f8", unit, "mean position", ("direction", ("x", "y", "z"), "")),
            of("radius", "f8", unit, "radius of gyration"),
            of(
                "spanning", "i8", "", "1: it meets its own image along this vector of the box",
                ("vector", ("a", "b", "c"), ""),
            ),
            *identities.observables(of, self.axis("member")),
        )  # fmt: skip
        self.state = tuple(self.path(q) for q in identities.STATE)

    def __call__(self, frame: Frame, neighbors: Neighbors) -> dict[str, Any]:
        """Join the atoms of this rank; nothing is summed yet."""
        n = frame.n_local
        column = frame.results["phase"].astype(np.int64)
        column[column < 0] = len(self.system.classes) - 1
        if frame.selected is not None:
            column[~frame.selected] = -1
        own = np.column_stack([Links.words(frame), column.astype(np.int32)])
        told = self.with_ghosts(own, neighbors)
        halo = self.halo if self.halo is not None else Halo.alone(frame)
        links = Links.of(frame, halo, told[:, :WORDS])
        known = told[:, WORDS] >= 0
        graphs = [
            Pieces.within(links, known & chosen[told[:, WORDS]], self.cutoff)
            for chosen in self._sets
        ]
        self._kept = (frame, neighbors, links, graphs, column[:n])
        return {}

    def together(self, ranks: Ranks) -> dict[str, Any]:
        """Join the clusters of all ranks, and describe them."""
        assert self._kept is not None
        (frame, neighbors, links, graphs, column), self._kept = self._kept, None
        found = AllClusters(links, graphs, lambda v: self.with_ghosts(v, neighbors), ranks)
        totals = found.total(self._sums(found, frame, column))
        p = len(self.system.classes)
        roots = found.roots
        graph, size = found.graph[roots], totals[roots, :p].sum(axis=1)
        counted = (totals[roots, :p] * self._sets[0]).sum(axis=1) > 0
        roots, graph, size = roots[counted], graph[counted], size[counted]
        result = self._largest(found, frame, totals, roots, ranks)
        at = np.searchsorted(SIZES, size, side="right") - 1
        flat = np.bincount(graph * len(SIZES) + at, minlength=2 * len(SIZES)).astype(np.float64)
        overlaps = [
            i.shared(frame, found.number[g], found.label, result["id"][g])
            for g, i in enumerate(self._identities)
        ]
        parts = [flat, *(o.ravel() for o in overlaps)]
        summed = np.split(ranks.sum(np.concatenate(parts)), np.cumsum([len(q) for q in parts])[:-1])
        result["sizes"] = np.rint(summed[0]).astype(np.int64).reshape(2, -1)
        result["number"] = result["sizes"].sum(axis=1)
        result["identity"] = np.zeros_like(result["id"])
        result["members"] = np.zeros((*result["id"].shape, MEMBERS), dtype=np.int64)
        for g, i in enumerate(self._identities):
            i.go_on(summed[1 + g].reshape(overlaps[g].shape), result["size"][g])
            i.choose(frame, found.number[g], found.label, result["id"][g], ranks)
            result["identity"][g], result["members"][g] = i.numbers, i.members
        result["identities"] = np.array([i.given for i in self._identities])
        return {"largest": result, **self._columns(found, frame, totals, result)}

    def _sums(
        self, found: AllClusters, frame: Frame, column: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Return for each piece: atoms by phase, the sum of their places, and of the squares."""
        n, p = len(found.graph), len(self.system.classes)
        sums = np.zeros((n, p + 4))
        for g, number in enumerate(found.number):
            atoms = np.flatnonzero(number >= 0)
            piece = number[atoms]
            flat = np.bincount(piece * p + column[atoms], minlength=n * p)
            sums[:, :p] += flat.reshape(n, p)
            away = found.apart(frame, g, atoms)
            for axis in range(3):
                sums[:, p + axis] += np.bincount(piece, weights=away[:, axis], minlength=n)
            sums[:, p + 3] += np.bincount(piece, weights=(away**2).sum(axis=1), minlength=n)
        return sums

    def _largest(
        self, found: AllClusters, frame: Frame, totals: NDArray[np.float64], roots: NDArray[np.intp],
        ranks: Ranks,
    ) -> dict[str, Any]:  # fmt: skip
        """Return the description of the largest clusters, the same on all ranks; collective."""
        p, k = len(self.system.classes), self.settings.largest
        size = totals[roots, :p].sum(axis=1)
        order = np.lexsort((found.label[roots], -size, found.graph[roots]))
        kept = np.concatenate([order[found.graph[roots[order]] == g][:k] for g in range(2)])
        those = roots[kept]
        mine = np.column_stack(
            [found.graph[those], size[kept], found.label[those], found.wraps[those],
             found.origin[those], totals[those]]
        )  # fmt: skip
        rows = ranks.everyones(mine)
        rows = rows[np.lexsort((rows[:, 2], -rows[:, 1], rows[:, 0]))]
        result: dict[str, Any] = {
            "size": np.zeros((2, k), np.int64), "id": np.zeros((2, k), np.int64),
            "spanning": np.zeros((2, k, 3), np.int64), "count": np.zeros((2, k, p), np.int64),
            "center": np.full((2, k, 3), np.nan), "radius": np.full((2, k), np.nan),
        }  # fmt: skip
        for g in range(2):
            some = rows[rows[:, 0] == g][:k]
            m = len(some)
            result["size"][g, :m], result["id"][g, :m] = some[:, 1], some[:, 2]
            result["spanning"][g, :m] = some[:, 3:6]
            result["count"][g, :m] = some[:, 9 : 9 + p]
            mean = some[:, 9 + p : 12 + p] / some[:, 1:2]
            s = (some[:, 6:9] + mean - frame.origin) @ np.linalg.inv(frame.cell)
            s -= np.where(frame.pbc, np.floor(s), 0.0)
            square = some[:, 12 + p] / some[:, 1] - (mean**2).sum(axis=1)
            endless = some[:, 3:6].any(axis=1)
            result["center"][g, :m] = frame.origin + s @ frame.cell
            result["radius"][g, :m] = np.sqrt(np.maximum(square, 0.0))
            result["center"][g, :m][endless] = result["radius"][g, :m][endless] = np.nan
        return result

    def _columns(
        self, found: AllClusters, frame: Frame, totals: NDArray[np.float64], result: dict[str, Any]
    ) -> dict[str, NDArray[np.float64]]:
        p = len(self.system.classes)
        size = totals[:, :p].sum(axis=1)
        size[(totals[:, :p] * self._sets[0]).sum(axis=1) == 0] = 0  # of unknown atoms alone
        size = found.spread(size[:, None])[:, 0]
        label = np.where(size > 0, found.label, 0)
        numbers = np.zeros(len(label))
        for number, one in zip(result["identity"][0], result["id"][0], strict=True):
            numbers[(label == one) & (found.graph == 0)] = number if one else 0
        columns = {}
        for name, g, values in (
            ("id", 0, label), ("id_with", 1, label), ("size", 0, size), ("identity", 0, numbers),
        ):  # fmt: skip
            column = np.zeros(frame.n_local)
            some = found.number[g] >= 0
            column[some] = values[found.number[g][some]]
            if frame.selected is not None:
                column[~frame.selected] = np.nan
            columns[name] = column
        return columns

    def finish(self, sums: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the ranks found together."""
        return {self.path(q): v for q, v in sums["largest"].items()}

    def restore(self, values: Mapping[str, NDArray[Any]]) -> None:
        """Know the clusters of a frame of the history again."""
        for g, i in enumerate(self._identities):
            i.restore(*(values[path][g] for path in self.state) if values else ())

    @classmethod
    def panel(cls, name: str) -> Panel:
        """Return the sizes of the largest clusters over the abscissa."""

        def draw(axes: Any, view: Any) -> None:
            size = view.data[f"{name}_size"]
            for k in reversed(range(size.shape[2])):
                for g, style in ((1, (0, (1, 1))), (0, "-")):
                    y = np.where(size.values[:, g, k] > 0, size.values[:, g, k], np.nan)
                    words = f"{k + 1} largest" if k else "largest"
                    view.path(
                        axes, y, color="#262626" if k == 0 else "#9a9a9a", linestyle=style,
                        linewidth=1.4 if k == 0 else 0.8,
                        label=f"{words}, {UNKNOWN[g]} unknown atoms" if k == 0 else "",
                    )  # fmt: skip
            axes.set_yscale("log")
            axes.set_ylabel("Atoms of the\nlargest clusters")
            axes.legend(frameon=False, fontsize=8)

        return Panel(draw, 1.0, lambda data: f"{name}_size" in data)

    @classmethod
    def show(cls, name: str, history: xarray.Dataset) -> str:
        """Return number and largest cluster of the last frame."""
        last = history.isel(step=-1)
        size = last[f"{name}_size"].values[:, 0]
        number = last[f"{name}_number"].values
        if not size[0]:
            return f"none (with unknown atoms {number[1]}, the largest of {size[1]:,})"
        count = last[f"{name}_count"].isel({"unknown": 0}).values[0]
        parts = [f"{c:,} {p}" for c, p in zip(count, last["phase"].values, strict=True) if c]
        around = [v for v, s in zip("abc", last[f"{name}_spanning"].values[0, 0], strict=True) if s]
        radius = last[f"{name}_radius"].values[0, 0]
        unit = {"Angstrom": " Å"}.get(str(last[f"{name}_radius"].attrs.get("units", "")), "")
        shape = (
            f"spanning {', '.join(around)}" if around else f"radius of gyration {radius:.3g}{unit}"
        )
        some = f"{number[0]:,} cluster" + ("s" if number[0] > 1 else "")
        return (
            f"{some}, the largest of {size[0]:,} atoms ({', '.join(parts)}), {shape}, "
            f"identity {last[f'{name}_identity'].values[0, 0]}; with unknown atoms {number[1]:,}, the "
            f"largest of {size[1]:,}"
        )
