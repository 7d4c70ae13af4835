# SPDX-License-Identifier: BSD-3-Clause
"""Kinds of unknown atoms: what the model does not know, sorted by its surroundings, as the run goes on."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from insitu.analyses.base import Analysis, Column, Observable, Panel, System, setting
from insitu.analyses.clusters.identities import hashed
from insitu.analyses.unknown.fingerprints import DEGREES, PARTS, WIDTH, fingerprints, moved, nearest
from insitu.crystal.finding.region import RADIUS, Box, around, densest
from insitu.errors import SettingError
from insitu.frame.frame import Frame
from insitu.frame.neighbors.search import Neighbors
from insitu.frame.ranks.reduce import Ranks
from insitu.frame.species import elements_of_masses

if TYPE_CHECKING:
    import xarray

#: Atoms over all ranks among which kinds are looked for.
_SAMPLE = 768
#: Part of the middle of a ball whose atoms are all of the kind: a later ball with more replaces it.
_PURE, _BETTER = 0.9, 0.02
#: Width of that middle's rim, of atoms without all their surroundings, in (volume an atom)^(1/3).
_RIM = 4.5


@dataclass(frozen=True)
class UnknownSettings:
    """What a deck says of the kinds."""

    kinds: int = setting("most kinds that are told apart", default=4, low=1, high=16)
    least: float = setting(
        "part of the analysed atoms that a new kind has to have", default=0.01, low=1e-6, high=1.0
    )
    save: str | None = setting(
        "beginning of the names of files with a ball of each kind's atoms, NAME.unknown-1.xyz: a class "
        "of the next run", default=None,
    )  # fmt: skip


class UnknownKinds(Analysis[UnknownSettings]):
    r"""Kinds of surroundings among the unknown atoms, numbered as they are found.

    Each unknown atom has a fingerprint: q̄_4 … q̄_12 of its 14 nearest neighbours (Lechner and Dellago,
    J. Chem. Phys. 129, 114707 (2008), doi:10.1063/1.2977970) and how their distances are spread, averaged
    once more over those of them that are unknown too, so that the sites of one crystal are alike. In a
    random sample of the unknown atoms, the same on any number of ranks, the densest groups of
    fingerprints become kinds; from then on every unknown atom is counted to the nearest kind that is
    near enough, `other` are near none. A kind's fingerprint follows its atoms, for example when they are
    heated. With `save` a ball of atoms is written where a kind is densest, once its middle is of that
    kind for the most part, and again when a purer one is found: `classes NAME=FILE` of the next run
    makes a class of it, `insitu crystal FILE` finds its lattice.
    """

    name = "unknown"
    Settings = UnknownSettings
    reads = ("phase",)
    later = ("kind",)
    exchanged, rounds = 1, 1

    def __init__(self, settings: UnknownSettings, system: System, name: str = "") -> None:
        super().__init__(settings, system, name)
        if not system.classes:
            raise SettingError(
                "analyze unknown sorts the atoms that a model does not know, and no phases are told; leave "
                "it out, or give a model"
            )
        k = settings.kinds
        names = tuple(f"unknown-{i + 1}" for i in range(k))
        kinds = (self.axis("unknown_kind"), names, "")
        quantities = (
            *(f"q{d}" for d in DEGREES), *(f"r{p}" for p in PARTS),
        )  # fmt: skip
        self.columns = {"kind": Column("", "kind of the unknown atom, 0: none")}
        self.observables = (
            Observable(self.path("atoms"), (k,), "i8", "", "atoms of the kind", axes=(kinds,)),
            Observable(
                self.path("fraction"), (k,), "f8", "", "part of the analysed atoms", axes=(kinds,)
            ),
            Observable(self.path("other"), (), "i8", "", "unknown atoms of no kind"),
            Observable(
                self.path("center"), (k, WIDTH), "f8", "",
                "mean fingerprint of the kind; NaN: not found yet",
                axes=(kinds, (self.axis("fingerprint"), quantities, "")),
            ),
            Observable(
                self.path("purity"), (k,), "f8", "",
                "part of the kind in the middle of the ball that is saved; 0: none is", axes=(kinds,),
            ),
        )  # fmt: skip
        self.state = (self.path("center"), self.path("purity"))
        self._centers = np.full((k, WIDTH), np.nan)
        self._purity = np.zeros(k)
        self._kept: tuple[Frame, Neighbors, NDArray[np.bool_]] | None = None
        species = system.species or elements_of_masses(system.masses) or ()
        self._species = np.array(["X", *(s or "X" for s in species)])

    def restore(self, values: Mapping[str, NDArray[Any]]) -> None:
        """Go on with the kinds of a frame."""
        k = self.settings.kinds
        self._centers = np.array(values.get(self.path("center"), np.full((k, WIDTH), np.nan)))
        self._purity = np.array(values.get(self.path("purity"), np.zeros(k)))

    def __call__(self, frame: Frame, neighbors: Neighbors) -> dict[str, Any]:
        """Keep the frame, and tell the other ranks which atoms are unknown."""
        phase = np.asarray(frame.results["phase"])
        flag = np.zeros((frame.n_local, 1), dtype=np.int32)
        flag[neighbors.atoms, 0] = phase[neighbors.atoms] == -1
        self._kept = frame, neighbors, self.with_ghosts(flag, neighbors)[:, 0] > 0
        return {}

    def together(self, ranks: Ranks) -> dict[str, Any]:
        """Find kinds, and count the atoms of each."""
        assert self._kept is not None
        (frame, neighbors, unknown), self._kept = self._kept, None
        k = self.settings.kinds
        column = np.full(frame.n_local, np.nan)
        column[neighbors.atoms] = 0.0
        those = unknown[neighbors.atoms]
        total, analysed = ranks.sum(np.array([float(those.sum()), float(len(those))]))
        counts = np.zeros(k)
        if total:
            atoms = neighbors.atoms[those]
            prints = fingerprints(
                neighbors, neighbors.places[those], atoms, unknown,
                lambda v: self.with_ghosts(v, neighbors),
            )  # fmt: skip
            self._look(frame.ids[atoms], prints, total, analysed, ranks)
            kind = nearest(prints, self._centers)
            counts = ranks.sum(np.bincount(kind + 1, minlength=k + 1)[1:].astype(np.float64))
            column[atoms] = kind + 1
            if self.settings.save is not None:
                self._save(frame, atoms, kind, counts, ranks)
        found = {
            "atoms": np.rint(counts).astype(np.int64), "fraction": counts / max(analysed, 1.0),
            "other": round(total - counts.sum()), "center": self._centers.copy(),
            "purity": self._purity.copy(),
        }  # fmt: skip
        return {"found": found, "kind": column}

    def _look(
        self, ids: NDArray[np.int64], prints: NDArray[np.float64], total: float, analysed: float,
        ranks: Ranks,
    ) -> None:  # fmt: skip
        """Move the centres of the kinds and find new ones, on rank 0 for all; collective."""
        key = hashed(ids)
        few = (key < 2.0**64 * min(1.0, 2.0 * _SAMPLE / total)) & np.isfinite(prints[:, 0])
        order = np.flatnonzero(few)[np.argsort(key[few], kind="stable")[:_SAMPLE]]
        rows = ranks.gather(np.column_stack([ids[order].astype(np.float64), prints[order]]))
        if rows:
            table = np.concatenate(rows)
            mine = table[:, 0].astype(np.int64)
            table = table[np.lexsort((mine, hashed(mine)))][:_SAMPLE, 1:]
            weight = total / max(len(table), 1)
            self._centers = moved(self._centers, table, self.settings.least * analysed / weight)
        self._centers = _from_first(self._centers, ranks)

    def _save(
        self, frame: Frame, atoms: NDArray[np.int32], kind: NDArray[np.int64],
        counts: NDArray[np.float64], ranks: Ranks,
    ) -> None:  # fmt: skip
        """Write the ball of a kind where it is purer than the one before; collective."""
        box = Box(np.asarray(frame.cell), np.asarray(frame.origin), np.asarray(frame.pbc))
        r = np.asarray(frame.positions)[: frame.n_local]
        flags = np.full(frame.n_local, -1)
        flags[atoms] = kind
        for k in np.flatnonzero((counts > 0) & (self._purity < 1.0 - _BETTER)):
            place = densest(r[flags == k], box, ranks)
            if place is None:
                continue
            center, length, _ = place
            inside, vectors = around(r, box, center, RADIUS * length)
            types = np.asarray(frame.types)[inside].astype(np.float64)
            rows = ranks.gather(np.column_stack([types, flags[inside] == k, vectors]))
            if rows:
                ball = np.concatenate(rows)
                middle = np.linalg.norm(ball[:, 2:], axis=1) < (RADIUS - _RIM) * length
                pure = float(ball[middle, 1].mean()) if middle.any() else 0.0
                if pure >= _PURE and pure > self._purity[k] + _BETTER * (self._purity[k] > 0):
                    self._write(int(k), ball)
                    self._purity[k] = pure
        self._purity = _from_first(self._purity, ranks)

    def _write(self, k: int, ball: NDArray[np.float64]) -> None:
        """Write a ball as extended XYZ, the old file whole until the new one is."""
        path = Path(f"{self.settings.save}.unknown-{k + 1}.xyz")
        types = np.minimum(ball[:, 0].astype(np.int64), len(self._species) - 1)
        head = 'Properties=species:S:1:pos:R:3:of_the_kind:I:1 pbc="F F F"'
        lines = [str(len(ball)), head]
        lines += [
            f"{self._species[t]} {x:.6f} {y:.6f} {z:.6f} {int(own)}"
            for t, (own, x, y, z) in zip(types, ball[:, 1:].tolist(), strict=True)
        ]
        new = path.with_name(path.name + ".new")
        new.write_text("\n".join(lines) + "\n")
        os.replace(new, path)

    def finish(self, sums: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the ranks found together."""
        return {self.path(q): v for q, v in sums["found"].items()}

    @classmethod
    def panel(cls, name: str) -> Panel:
        """Return the fractions of the kinds over the abscissa."""

        def draw(axes: Any, view: Any) -> None:
            fraction = view.data[f"{name}_fraction"]
            for k, kind in enumerate(fraction[fraction.dims[1]].values):
                if (fraction.values[:, k] > 0).any():
                    view.path(axes, fraction.values[:, k], linewidth=1.1, label=str(kind))
            axes.set_ylabel("Fraction of\nunknown kinds")
            if axes.lines:
                axes.legend(frameon=False, fontsize=8)

        return Panel(draw, 1.0, lambda data: f"{name}_fraction" in data, default=False)

    @classmethod
    def show(cls, name: str, history: xarray.Dataset) -> str:
        """Return the kinds of the last frame."""
        last = history.isel(step=-1)
        atoms = last[f"{name}_atoms"]
        parts = [
            f"{kind} {int(n):,} atoms"
            for kind, n in zip(atoms[atoms.dims[0]].values, atoms.values, strict=True)
            if n
        ]
        return ", ".join([*parts, f"of no kind {int(last[f'{name}_other']):,}"])


def _from_first(values: NDArray[np.float64], ranks: Ranks) -> NDArray[np.float64]:
    """Return what rank 0 has, on every rank; collective."""
    (text,) = ranks.from_first([values.tobytes()])
    return np.frombuffer(text).reshape(values.shape).copy()
