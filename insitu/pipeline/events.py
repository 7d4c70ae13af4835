# SPDX-License-Identifier: BSD-3-Clause
"""The frames around an event: the last ones in memory, each rank's atoms on it, and the file they go to.

A file is a LAMMPS dump, which OVITO, ASE, MDAnalysis (of decks in Å) and LAMMPS' own ``rerun`` read. Rank 0
writes it, one rank's atoms after another's: it never holds more than those of two.
"""

from __future__ import annotations

import logging
import os
import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from insitu.analyses.phases.analysis import Phases
from insitu.analyses.trigger import Decision, Trigger
from insitu.errors import DeckError, SettingError, guarded
from insitu.frame.frame import Frame
from insitu.frame.ranks.reduce import Ranks
from insitu.frame.units import ANGSTROM
from insitu.pipeline.settings import Settings

if TYPE_CHECKING:
    from insitu.lammps.view import LammpsView

log = logging.getLogger(__name__)

#: Atoms that are made text at once.
_ROWS = 20_000
#: Unit styles of Å, and that without a unit: the others are named in a dump.
_ANGSTROM = ("metal", "real", "lj")
_LINE = "%d %d %.8g %.8g %.8g %d\n"


@dataclass(frozen=True)
class Kept:
    """A frame of this rank's atoms in memory: 20 bytes an atom, 24 with large ids.

    Parameters
    ----------
    head
        What a dump says before the atoms; their number is left open.
    atoms
        ``(n_local,)`` table: id, type, position in the deck's unit of length, code of the phase.
    units
        Unit style of the deck.
    """

    head: str
    atoms: NDArray[Any]
    units: str

    @classmethod
    def of(cls, frame: Frame, codes: NDArray[np.int32]) -> Kept:
        """Return a frame as it is now, with the integers of the phases."""
        n, length = frame.n_local, ANGSTROM[frame.units]
        large = bool(n) and int(frame.ids[:n].max()) > np.iinfo(np.int32).max
        atoms = np.empty(n, dtype=_kind(large))
        atoms["id"], atoms["type"] = frame.ids[:n], frame.types[:n]
        atoms["r"] = frame.positions[:n] / length
        atoms["phase"] = codes
        return cls(_head(frame, length), atoms, frame.units)


def _kind(large: bool) -> np.dtype[Any]:
    """Return what an atom is in memory: packed."""
    identity = "i8" if large else "i4"
    return np.dtype([("id", identity), ("r", "f4", 3), ("phase", "i2"), ("type", "u2")])


def _head(frame: Frame, length: float) -> str:
    cell, low = frame.cell / length, frame.origin / length
    high = low + np.diag(cell)
    sides = " ".join("pp" if p else "ff" for p in frame.pbc)
    xy, xz, yz = cell[1, 0], cell[2, 0], cell[2, 1]
    if not (xy or xz or yz):
        rows = [f"{a:.16g} {b:.16g}" for a, b in zip(low, high, strict=True)]
        box = f"ITEM: BOX BOUNDS {sides}"
    else:  # the box around the tilted one, as LAMMPS has it
        low += np.array([min(0, xy, xz, xy + xz), min(0, yz), 0.0])
        high += np.array([max(0, xy, xz, xy + xz), max(0, yz), 0.0])
        tilts = zip(low, high, (xy, xz, yz), strict=True)
        rows = [f"{a:.16g} {b:.16g} {t:.16g}" for a, b, t in tilts]
        box = f"ITEM: BOX BOUNDS xy xz yz {sides}"
    return "\n".join(
        ["ITEM: TIMESTEP", str(frame.step), "ITEM: NUMBER OF ATOMS", "{atoms}", box, *rows,
         "ITEM: ATOMS id type x y z phase", ""]
    )  # fmt: skip


class Events:
    """What the triggers of a run have done; every rank has one, its methods are collective.

    Parameters
    ----------
    settings
        Of the run.
    triggers
        In their order.
    phases
        Whose labels are written.
    ranks
        The ranks of the simulation.
    """

    def __init__(
        self, settings: Settings, triggers: Sequence[Trigger], phases: Phases, ranks: Ranks
    ) -> None:
        self.triggers = tuple(triggers)
        self._settings, self._phases, self._ranks = settings, phases, ranks
        self._most = max((t.settings.before for t in triggers), default=0)
        self._ring: deque[Kept] = deque(maxlen=self._most)
        self._stem = ""
        self._said = False

    def begin(self, view: LammpsView) -> None:
        """Check what the deck has to have, and what the frames before an event take in memory; local.

        Raises
        ------
        DeckError
            A variable is missing.
        """
        for t in self.triggers:
            if t.settings.variable and not view.has("variable", t.settings.variable):
                raise DeckError(
                    f"analyze {t.name}: variable={t.settings.variable} is not defined in the deck; add to "
                    f"it, before the run:\n    variable {t.settings.variable} string 0"
                )

    def check_memory(self, view: LammpsView) -> None:
        """Say what the frames before an event take; collective.

        Raises
        ------
        SettingError
            On all ranks: more than `memory`.
        """
        if not self._most:
            return
        atoms = int(self._ranks.largest(np.array([view.setting("nlocal")], dtype=float))[0])
        size = atoms * self._most * _kind(view.n_atoms > np.iinfo(np.int32).max).itemsize / 1e6
        limit, who = min((t.settings.memory, t.name) for t in self.triggers if t.settings.before)
        if size > limit:
            raise SettingError(
                f"analyze {who}: the {self._most} frames before an event take {size:.3g} MB on a rank with "
                f"{atoms:,} atoms, and memory={limit:g} MB; give a smaller `before`, more ranks, or a "
                "larger `memory`"
            )
        if self._ranks.rank == 0 and not self._said:
            log.warning(
                "insitu: the %d frames before an event are kept in memory, %.3g MB on the rank with most "
                "atoms", self._most, size,
            )  # fmt: skip
        self._said = True

    def go_on(self, first_step: int, continues: bool) -> None:
        """Leave of the files what is from before a step; on rank 0.

        Parameters
        ----------
        first_step
            The first that will be written.
        continues
            A history that is there goes on. If not, the files are none of its own.

        Raises
        ------
        SettingError
            There are files of an earlier run, and `if_exists` is not ``overwrite``; or a file cannot be
            removed or cut.
        """
        self._ring.clear()
        if self._ranks.rank:
            return
        from insitu.history.writing.file_access import free_name

        wanted = Path(os.path.realpath(self._settings.file))
        new = self._settings.if_exists == "new"
        self._stem = str((free_name(wanted) if new else wanted).with_suffix(""))
        for t in self.triggers:
            for number, path in self._files(t):
                if self._settings.if_exists != "overwrite" and not continues:
                    raise SettingError(
                        f"analyze {t.name}: '{path}' exists, of an earlier run; remove it or rename it, "
                        "or choose if_exists overwrite"
                    )
                try:
                    if number > t.events:
                        path.unlink()
                    elif number == t.events:
                        _cut(path, first_step)
                except (OSError, ValueError) as error:
                    raise SettingError(
                        f"analyze {t.name}: '{path}' is in the way of the frames of an event and cannot be "
                        f"replaced ({error}); remove it or rename it"
                    ) from None

    def _files(self, t: Trigger) -> list[tuple[int, Path]]:
        folder = Path(self._stem).parent
        name = re.compile(re.escape(f"{Path(self._stem).name}.{t.name}.") + r"(\d+)\.dump")
        found = [(name.fullmatch(p.name), p) for p in folder.glob("*.dump")]
        return [(int(m[1]), p) for m, p in found if m]

    def __call__(self, view: LammpsView, frame: Frame, decisions: Sequence[Decision]) -> None:
        """Write what is to be written of a frame, and keep it; all ranks raise or none.

        Raises
        ------
        InsituError
            A file cannot be written; a variable cannot be set.
        """
        this: Kept | None = None

        def prepare() -> None:
            nonlocal this
            for t in self.triggers:
                if t.settings.variable:
                    view.set_variable(t.settings.variable, str(int(t.active)))
            if self._most or any(d.written or self._writes(t, d) for t, d in self._both(decisions)):
                codes = frame.of_rank(self._phases.atom_codes(frame), -1)
                # All of the rank's atoms, also those that are nobody's neighbours.
                whole = frame if frame.kept is None else view.frame(with_ghosts=False)
                this = Kept.of(whole, codes)

        self._ranks.agree(guarded(prepare))
        for t, decision in self._both(decisions):
            if self._writes(t, decision):
                before = t.settings.before
                frames = [*self._ring][len(self._ring) - min(before, len(self._ring)) :]
                self._write(t, [*frames, this], "w")
            elif decision.written:
                self._write(t, [this], "a")
            if decision.fired and self._ranks.rank == 0:
                log.warning(
                    "insitu: trigger %s: event %d at step %d, %s = %.6g",
                    t.name, t.events, frame.step, t.settings.on, t.value,
                )  # fmt: skip
        if this is not None and self._most:
            self._ring.append(this)

    def _both(self, decisions: Sequence[Decision]) -> list[tuple[Trigger, Decision]]:
        return list(zip(self.triggers, decisions, strict=True))

    @staticmethod
    def _writes(t: Trigger, decision: Decision) -> bool:
        return decision.fired and bool(t.settings.before or t.settings.after)

    def _write(self, t: Trigger, frames: Sequence[Kept | None], mode: str) -> None:
        """Write frames into the file of a trigger's present event; collective."""
        path = Path(f"{self._stem}.{t.name}.{t.events}.dump")
        trouble: str | None = None
        for kept in frames:
            assert kept is not None
            sizes = self._ranks.everyones(np.array([[float(len(kept.atoms))]]))[:, 0].astype(int)
            trouble = self._write_one(path, mode, kept, sizes, trouble)
            mode = "a"
        self._ranks.agree(trouble and f"'{path}' could not be written: {trouble}")

    def _write_one(
        self, path: Path, mode: str, kept: Kept, sizes: NDArray[np.int_], trouble: str | None
    ) -> str | None:
        """Write a frame, unless something went wrong before; return what has; collective."""
        rows = kept.atoms.astype(_kind(True))
        file: Any = None

        def begin() -> None:
            nonlocal file
            file = open(path, mode)  # noqa: SIM115 (closed below, whatever happens)
            if mode == "w" and kept.units not in _ANGSTROM:
                file.write(f"ITEM: UNITS\n{kept.units}\n")  # else a reader takes them for Å
            file.write(kept.head.replace("{atoms}", str(int(sizes.sum()))))
            _put(file, rows)

        if self._ranks.rank == 0:
            trouble = trouble or guarded(begin)
        for r in range(1, self._ranks.size):  # one after another: rank 0 holds one rank's at a time
            mine = {0: rows.view(np.uint8)} if self._ranks.rank == r else {}
            most = {r: int(sizes[r]) * rows.itemsize} if self._ranks.rank == 0 else {}
            for part in self._ranks.trade(mine, most, np.uint8).values():
                trouble = trouble or guarded(partial(_put, file, part.view(rows.dtype)))
        if file is not None:
            closed = guarded(file.close)
            trouble = trouble or closed
        return trouble


def _put(file: Any, atoms: NDArray[Any]) -> None:
    """Write atoms as lines of a dump."""
    for k in range(0, len(atoms), _ROWS):
        some = atoms[k : k + _ROWS]
        columns = [some["id"], some["type"], *some["r"].T, some["phase"]]
        flat = [v for row in zip(*(c.tolist() for c in columns), strict=True) for v in row]
        file.write(_LINE * len(some) % tuple(flat))


def _cut(path: Path, first_step: int) -> None:
    """Leave of a dump the frames before a step, those that are whole."""
    keep, begun, next_is_step = 0, 0, False
    with open(path, "rb+") as file:
        while line := file.readline():
            if next_is_step and int(line) >= first_step:
                keep = begun
                break
            next_is_step = line.startswith(b"ITEM: TIMESTEP")
            if next_is_step:
                begun = file.tell() - len(line)
            keep = file.tell()
        file.truncate(keep)
