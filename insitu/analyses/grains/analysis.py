# SPDX-License-Identifier: BSD-3-Clause
"""Grains: regions of atoms on a lattice whose mean orientations differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from insitu.analyses.base import Analysis, Column, Observable, Panel, System, setting
from insitu.analyses.clusters import identities
from insitu.analyses.clusters.analysis import SIZES
from insitu.analyses.clusters.identities import Identities
from insitu.analyses.grains.pieces import adopted, near_each_other, regions_of
from insitu.analyses.grains.regions import blocks_of
from insitu.analyses.lattice.fit import LATTICES
from insitu.analyses.lattice.misorientation import reduced
from insitu.errors import SettingError, did_you_mean
from insitu.frame.clusters.connected import WORDS, Clusters, Links, Pieces
from insitu.frame.frame import Frame
from insitu.frame.ghosts.halo import Halo
from insitu.frame.neighbors.search import Neighbors
from insitu.frame.ranks.reduce import Ranks

if TYPE_CHECKING:
    import xarray

#: Lattices with 12 rotations; the others have 24.
_HEXAGONAL = ("hcp", "hexagonal_diamond")
_QUATERNION = ("qw", "qx", "qy", "qz")
#: `place` of the interior, as `analyze lattice` has it.
_INTERIOR = 1
#: Words of an atom after those of the links: orientation, block, and whether it takes part.
_SHARED = 6


@dataclass(frozen=True)
class GrainsSettings:
    """What a deck says of grains."""

    phase: str = setting("whose atoms make up the grains: one class that is a lattice")
    cutoff: float = setting(
        "neighbours are not farther apart; between the first and the second shell, of bcc the second and "
        "the third", unit="Å", low=0.1, high=30.0,
    )  # fmt: skip
    angle: float = setting(
        "regions whose mean orientations differ by less are one grain", default=4.0, unit="°", low=0.1,
        high=30.0,
    )  # fmt: skip
    smallest: int = setting("clusters of fewer atoms are no grains", default=50, low=1)
    largest: int = setting("how many are described one by one", default=5, low=1, high=100)
    lattice: str = setting("name of the `analyze lattice` before it", default="lattice")


class Grains(Analysis[GrainsSettings]):
    """Grains of a crystalline phase: number, sizes, the largest with their mean orientation, boundaries.

    It needs an `analyze lattice` before it, whose orientations it reads. Atoms of the phase in the
    interior are put together with their neighbours (up to `cutoff`) within small blocks of the box; pieces
    that touch are merged while their mean orientations differ by less than `angle` (of all that the
    lattice's rotations make equal the smallest), those that differ least first, across periodic borders
    and over all ranks. Atoms at the rims then go to the grain that fits their surroundings best, and an
    atom at a surface or in a defect to the neighbour in a grain whose orientation is nearest to its own; it
    joins no two grains. Clusters of fewer than `smallest` atoms are no grains. An atom is at a `boundary`
    if it is in no grain, or one of its neighbours of the phase is in another or in none.

    Of each of the largest: its atoms, the mean of their orientations as the quaternion of the smallest
    angle, and `spread`, the root mean square of their angles to it, both of the interior. Grains of equal
    size are in the order of their smallest atom ids. A grain keeps its number `identity` from frame to
    frame, also after a restart, as clusters do.
    """

    name = "grains"
    Settings = GrainsSettings
    #: Where the atom is, its orientation and whether it takes part.
    exchanged, rounds = WORDS + _SHARED, 1
    later = ("id", "size", "boundary", "identity")

    def __init__(self, settings: GrainsSettings, system: System, name: str = "") -> None:
        super().__init__(settings, system, name)
        s, k = settings, settings.largest
        lattices = [c for c in system.classes if c in LATTICES]
        if s.phase not in lattices:
            raise SettingError(
                f"phase={s.phase} is no lattice of the model; it has {', '.join(lattices) or 'none'}."
                f"{did_you_mean(s.phase, lattices)}"
            )
        self.cutoff = s.cutoff
        self._hexagonal = s.phase in _HEXAGONAL
        self._phase = system.classes.index(s.phase)
        self._read = tuple(f"{s.lattice}/{c}" for c in (*_QUATERNION, "place"))
        self.reads = ("phase", *self._read)
        self._identities = Identities(k)
        self._kept: tuple[Any, ...] | None = None
        self.columns = {
            "id": Column("", "smallest atom id of its grain; 0: in none"),
            "size": Column("", "atoms of its grain; 0: in none"),
            "boundary": Column("", "1: at a boundary of grains"),
            "identity": Column("", "identity of its grain, if it is one of the largest; else 0"),
        }
        ranked = (self.axis("largest_grain"), tuple(range(1, k + 1)), "")

        def of(quantity: str, dtype: str, unit: str, about: str, *more: Any) -> Observable:
            axes = (ranked, *more)
            shape = tuple(len(values) for _, values, _ in axes)
            return Observable(self.path(quantity), shape, dtype, unit, about, axes=axes)

        self.observables = (
            Observable(self.path("number"), (), "i8", "", f"grains of {s.phase}"),
            Observable(
                self.path("sizes"), (len(SIZES),), "i8", "",
                "grains by their number of atoms, from the bin's own up to the next bin's",
                axes=(("size", tuple(SIZES.tolist()), ""),),
            ),
            Observable(self.path("atoms"), (), "i8", "", f"atoms of {s.phase} in grains"),
            Observable(
                self.path("boundary"), (), "i8", "", f"atoms of {s.phase} at boundaries, or in no grain"
            ),
            Observable(self.path("mean_size"), (), "f8", "", "mean size of the grain that an atom is in"),
            Observable(self.path("identities"), (), "i8", "", "identities given so far"),
            of("size", "i8", "", "atoms of each of the largest grains; 0: there is none"),
            of(
                "orientation", "f8", "", "mean orientation",
                (self.axis("component"), ("w", "x", "y", "z"), ""),
            ),
            of("spread", "f8", "degree", "root mean square of the angles to the mean orientation"),
            *identities.observables(of, self.axis("member")),
        )  # fmt: skip
        self.state = tuple(self.path(q) for q in identities.STATE)

    def __call__(self, frame: Frame, neighbors: Neighbors) -> dict[str, Any]:
        """Join the atoms of this rank; nothing is summed yet."""
        n = frame.n_local
        those = frame.results["phase"] == self._phase
        if frame.selected is not None:
            those &= frame.selected
        *q, place = (frame.results[c] for c in self._read)
        own = np.empty((n, WORDS + _SHARED), dtype=np.int32)
        own[:, :WORDS] = Links.words(frame)
        quaternions = np.column_stack(q).astype(np.float32).reshape(n, 4)
        own[:, WORDS:-2] = quaternions.view(np.int32)
        own[:, -2] = blocks_of(frame, self.cutoff)
        fitted = np.isfinite(quaternions).all(axis=1)
        own[:, -1] = np.where(those, np.where(fitted & (place == _INTERIOR), 2, 1), -1)
        told = self.with_ghosts(own, neighbors)
        halo = self.halo if self.halo is not None else Halo.alone(frame)
        links = Links.of(frame, halo, told[:, :WORDS])
        kind, block = told[:, -1], told[:, -2]
        everyone = np.ascontiguousarray(told[:, WORDS:-2]).view(np.float32)
        offsets, second = neighbors.lists(self.cutoff)
        first = np.repeat(neighbors.atoms, np.diff(offsets))
        both = (kind[first] >= 1) & (kind[second] >= 1)
        pairs = np.stack([first[both], second[both]])
        self._kept = (frame, neighbors, links, kind, block, everyone, pairs)
        return {}

    def together(self, ranks: Ranks) -> dict[str, Any]:
        """Join the grains of all ranks, and describe them."""
        assert self._kept is not None
        (frame, neighbors, links, kind, block, everyone, pairs), self._kept = self._kept, None
        n, (first, second) = frame.n_local, pairs
        inner = pairs[:, (kind[first] == 2) & (kind[second] == 2)]
        region = regions_of(
            frame, links, block, everyone, kind == 2, inner, lambda v: self.with_ghosts(v, neighbors),
            ranks, self.settings.angle, self._hexagonal,
        )  # fmt: skip
        same = inner[:, (region[inner[0]] == region[inner[1]]) & (region[inner[0]] >= 0)]
        joined = np.concatenate(
            [same, adopted(frame, pairs, kind, everyone, region, self._hexagonal)], axis=1
        )
        graph = Pieces.of_pairs(links, kind >= 1, *joined)
        q, core = everyone[:n], kind[:n] == 2
        found = Clusters(links, [graph], lambda v: self.with_ghosts(v, neighbors), ranks)
        number = found.number[0]
        piece = np.maximum(number, 0)
        inside = number >= 0
        turned = near_each_other(found, frame, q, core, self._hexagonal)
        counted = core & inside
        pieces = len(found.graph)
        atoms = np.bincount(number[inside], minlength=pieces).astype(np.float64)
        sums: list[NDArray[Any]] = [atoms, np.bincount(number[counted], minlength=pieces)]
        sums += [
            np.bincount(number[counted], weights=turned[counted, c], minlength=pieces)
            for c in range(4)
        ]
        totals = found.spread(found.total(np.column_stack(sums)))
        size, with_q, mean = totals[:, 0], totals[:, 1], totals[:, 2:]
        mean = mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-300)
        # Of unit quaternions near each other; exact for small angles, which an arc cosine is not.
        chord = np.linalg.norm(turned[counted] - mean[number[counted]], axis=1)
        away = 4.0 * np.arcsin(np.minimum(0.5 * chord, 1.0))
        square = np.bincount(number[counted], weights=away**2, minlength=pieces)
        squares = found.total(square[:, None].astype(np.float64))[:, 0]
        grain = size >= self.settings.smallest
        label = np.where(grain, found.label, 0)
        own = np.where(inside, label[piece] if len(label) else 0, -1)
        boundary = self._boundary(own, first, second, neighbors)
        roots = found.roots[grain[found.roots]]
        table = np.column_stack([size, found.label, with_q, squares, mean])[roots]
        result = self._largest(table, ranks)
        bin_of = np.searchsorted(SIZES, size[roots], side="right") - 1
        bins = np.bincount(bin_of, minlength=len(SIZES)).astype(np.float64)
        shared = self._identities.shared(frame, number, found.label, result["id"])
        few = np.array(
            [boundary.sum(), size[roots].sum(), (size[roots] ** 2).sum()], dtype=np.float64
        )
        total = ranks.sum(np.concatenate([few, bins, shared.ravel()]))
        result["boundary"], result["atoms"] = np.rint(total[:2]).astype(np.int64)
        result["mean_size"] = total[2] / total[1] if total[1] else float("nan")
        result["sizes"] = np.rint(total[3 : 3 + len(SIZES)]).astype(np.int64)
        result["number"] = result["sizes"].sum()
        i = self._identities
        i.go_on(total[3 + len(SIZES) :].reshape(shared.shape), result["size"])
        i.choose(frame, number, found.label, result["id"], ranks)
        result |= {"identity": i.numbers, "members": i.members, "identities": i.given}
        columns = self._columns(frame, own, size[piece] if len(size) else own, boundary, result)
        return {"found": result, **columns}

    def _boundary(
        self, own: NDArray[np.int64], first: NDArray[Any], second: NDArray[Any], neighbors: Neighbors
    ) -> NDArray[np.bool_]:  # fmt: skip
        """Return which owned atoms ``(n_local,)`` are at a boundary; collective."""
        everyones = self.with_ghosts(np.ascontiguousarray(own[:, None]), neighbors)[:, 0]
        found: NDArray[np.bool_] = own == 0
        other = everyones[second]
        found[first[(other >= 0) & (other != own[first])]] = True
        return found & (own >= 0)

    def _largest(self, table: NDArray[np.float64], ranks: Ranks) -> dict[str, Any]:
        """Return the description of the largest grains, the same on all ranks; collective."""
        k = self.settings.largest
        order = np.lexsort((table[:, 1], -table[:, 0]))[:k]
        rows = ranks.everyones(np.ascontiguousarray(table[order]))
        rows = rows[np.lexsort((rows[:, 1], -rows[:, 0]))][:k]
        m = len(rows)
        result: dict[str, Any] = {
            "size": np.zeros(k, np.int64), "id": np.zeros(k, np.int64),
            "orientation": np.full((k, 4), np.nan), "spread": np.full(k, np.nan),
        }  # fmt: skip
        result["size"][:m], result["id"][:m] = rows[:, 0], rows[:, 1]
        some = np.flatnonzero(rows[:, 2] > 0)
        result["orientation"][some] = reduced(rows[some, 4:], self._hexagonal)
        result["spread"][some] = np.degrees(np.sqrt(rows[some, 3] / rows[some, 2]))
        return result

    def _columns(
        self, frame: Frame, own: NDArray[np.int64], size: NDArray[Any], boundary: NDArray[np.bool_],
        result: dict[str, Any],
    ) -> dict[str, NDArray[np.float64]]:  # fmt: skip
        inside = own > 0
        identity = np.zeros(frame.n_local)
        for number, one in zip(result["identity"], result["id"], strict=True):
            if one:
                identity[own == one] = number
        columns = {
            "id": np.where(inside, own, 0).astype(np.float64),
            "size": np.where(inside, size, 0.0), "boundary": boundary.astype(np.float64),
            "identity": identity,
        }  # fmt: skip
        if frame.selected is not None:
            for values in columns.values():
                values[~frame.selected] = np.nan
        return columns

    def finish(self, sums: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the ranks found together."""
        return {self.path(q): v for q, v in sums["found"].items()}

    def restore(self, values: Mapping[str, NDArray[Any]]) -> None:
        """Know the grains of a frame of the history again."""
        self._identities.restore(*(values[path] for path in self.state) if values else ())

    @classmethod
    def panel(cls, name: str) -> Panel:
        """Return number and mean size of the grains over the abscissa."""

        def draw(axes: Any, view: Any) -> None:
            view.path(
                axes,
                view.data[f"{name}_number"].values,
                color="#262626",
                linewidth=1.3,
                label="grains",
            )
            axes.set_ylabel("Grains")
            other = axes.twinx()
            size = view.data[f"{name}_mean_size"].values
            view.path(other, size, color="#2f7fb3", linewidth=1.1, label="atoms, mean")
            other.set_ylabel("Atoms of an atom's grain", color="#2f7fb3")
            other.grid(visible=False)

        return Panel(draw, 1.0, lambda data: f"{name}_mean_size" in data)

    @classmethod
    def show(cls, name: str, history: xarray.Dataset) -> str:
        """Return number, largest grain and boundary atoms of the last frame."""
        last = history.isel(step=-1)
        number, size = int(last[f"{name}_number"]), last[f"{name}_size"].values
        if not number:
            return "none"
        q = ", ".join(f"{v:.3f}" for v in last[f"{name}_orientation"].values[0])
        some = f"{number:,} grain" + ("s" if number > 1 else "")
        return (
            f"{some}, the largest of {size[0]:,} atoms, orientation ({q}), spread "
            f"{float(last[f'{name}_spread'][0]):.2g}°; {int(last[f'{name}_boundary']):,} atoms at "
            "boundaries"
        )
