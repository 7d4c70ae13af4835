# SPDX-License-Identifier: BSD-3-Clause
"""Energy barriers of atoms by sampling saddle points around them: labels, which training and tests need.

Each attempt is one line of a file in the folder of results, written when the attempt ends, so that a
sampling that was killed goes on where it was. What an attempt does depends on the seed, the atom and its
number only: results are the same on any number of ranks.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.errors import SettingError
from insitu.training.saddles.potential_energy import PotentialEnergy
from insitu.training.saddles.search import Attempt, Search, attempt, relax

Floats = NDArray[np.float64]

#: Files in the folder of results.
ATTEMPTS, MINIMUM, BARRIERS = "attempts.jsonl", "minimum.npz", "barriers.npz"


@dataclass(frozen=True)
class Sampling:
    """What is sampled.

    Parameters
    ----------
    deck
        LAMMPS input with the sample and its potential (:class:`PotentialEnergy`).
    barriers
        Barriers wanted of each atom.
    attempts
        Attempts after which an atom is left with those that it has.
    seed
        Of the directions.
    search
        How saddle points are searched for.
    """

    deck: Path
    barriers: int = 10
    attempts: int = 30
    seed: int = 1
    search: Search = field(default_factory=Search)

    def head(self) -> dict[str, Any]:
        """Return what has to be the same for a sampling to go on; barriers and attempts may be others."""
        return {
            "deck": hashlib.sha256(self.deck.read_bytes()).hexdigest(),
            "seed": self.seed,
            "search": asdict(self.search),
        }


class Sampler:
    """Sampling of some atoms into a folder; to iterate over it carries it out.

    Yields the number of each atom that is done, so that a progress bar fits around it.

    Parameters
    ----------
    sampling
        What is sampled.
    out
        Folder of the results, which is made, or goes on where it was.
    atoms
        Ids of atoms, from 1; None: all.
    executor
        Other processes that carry out attempts; None: this one does.

    Raises
    ------
    SettingError
        The folder has another sampling, or an id does not exist.
    DeckError
        LAMMPS stops, or its Python module is missing.
    """

    def __init__(
        self, sampling: Sampling, out: Path, atoms: Sequence[int] | None = None,
        executor: Executor | None = None,
    ) -> None:  # fmt: skip
        if not sampling.deck.is_file():
            raise SettingError(f"the deck {sampling.deck} does not exist; give a LAMMPS input file")
        self.sampling, self.out, self._executor = sampling, out, executor
        _sample.cache_clear()  # files that the deck reads may have changed in this process' time
        out.mkdir(parents=True, exist_ok=True)
        self.done = _read(out / ATTEMPTS, sampling)
        if not (out / MINIMUM).exists():
            _minimise(sampling, out / MINIMUM)
        n = len(_load(out / MINIMUM)["positions"])
        if bad := [a for a in atoms or () if not 1 <= a <= n]:
            raise SettingError(f"atom {bad[0]} does not exist; the sample has the ids 1 to {n}")
        self.atoms = list(atoms) if atoms is not None else list(range(1, n + 1))

    def __len__(self) -> int:
        return len(self.atoms)

    def __iter__(self) -> Iterator[int]:
        with (self.out / ATTEMPTS).open("a") as file:
            if self._executor is None:
                for atom in self.atoms:
                    while self._wants(atom):
                        self._keep(file, atom, _attempt(*self._task(atom)))
                    yield atom
            else:
                yield from self._shared(file, self._executor)
        self.save()

    def _shared(self, file: Any, executor: Executor) -> Iterator[int]:
        """Carry out one attempt of each atom at a time: the number of ranks decides nothing."""
        yield from (a for a in self.atoms if not self._wants(a))
        running: dict[Future[Attempt], int] = {
            executor.submit(_attempt, *self._task(a)): a for a in self.atoms if self._wants(a)
        }
        try:
            while running:
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    atom = running.pop(future)
                    self._keep(file, atom, future.result())
                    if self._wants(atom):
                        running[executor.submit(_attempt, *self._task(atom))] = atom
                    else:
                        yield atom
        finally:
            for future in running:
                future.cancel()

    def _wants(self, atom: int) -> bool:
        had = self.done.get(atom, [])
        found = sum(a["outcome"] == "saddle" for a in had)
        return len(had) < self.sampling.attempts and found < self.sampling.barriers

    def _task(self, atom: int) -> tuple[Sampling, Path, int, int]:
        return self.sampling, self.out / MINIMUM, atom, len(self.done.get(atom, []))

    def _keep(self, file: Any, atom: int, result: Attempt) -> None:
        entry: dict[str, Any] = {"atom": atom, "outcome": result.outcome, "calls": result.calls}
        if math.isfinite(result.barrier):
            entry |= {"barrier": round(result.barrier, 6), "moved": round(result.moved, 3)}
        self.done.setdefault(atom, []).append(entry)
        file.write(json.dumps(entry) + "\n")
        file.flush()

    def means(self) -> tuple[Floats, NDArray[np.int64]]:
        """Return each atom's mean barrier ``(n,)`` [eV], NaN without any, and how many there are."""
        n = len(_load(self.out / MINIMUM)["positions"])
        total, many = np.zeros(n), np.zeros(n, dtype=np.int64)
        for atom, entries in self.done.items():
            found = [e["barrier"] for e in entries if e["outcome"] == "saddle"]
            total[atom - 1], many[atom - 1] = sum(found), len(found)
        with np.errstate(invalid="ignore"):
            return np.where(many > 0, total / many, np.nan), many

    def save(self) -> Path:
        """Write positions, cell, types and mean barriers into ``barriers.npz`` of the folder."""
        barrier, many = self.means()
        sample = _load(self.out / MINIMUM)
        np.savez(self.out / BARRIERS, **sample, barrier=barrier, samples=many)
        return self.out / BARRIERS

    def summary(self) -> str:
        """Return what was found, in a line or two."""
        entries = [e for some in self.done.values() for e in some]
        kinds = {k: sum(e["outcome"] == k for e in entries) for k in _OUTCOMES}
        told = ", ".join(f"{v} {k}" for k, v in kinds.items() if v)
        barrier, many = self.means()
        if not many.any():
            return f"{len(entries)} attempts ({told}), no barrier"
        calls = sum(e["calls"] for e in entries)
        return (
            f"{len(entries)} attempts ({told}), {calls} evaluations of the forces\n"
            f"{many.sum()} barriers of {(many > 0).sum()} atoms, mean of the atoms "
            f"{np.nanmean(barrier):.3f} eV"
        )


#: Norm of the forces [eV/Å] above which positions are no minimum of what the deck gives now.
_STILL = 0.1
_OUTCOMES = ("saddle", "basin", "lost", "unconnected", "returned")


def _minimise(sampling: Sampling, path: Path) -> None:
    """Write the minimum next to the deck's positions, once: all attempts start from the same."""
    surface = PotentialEnergy(sampling.deck)
    try:
        _, forces, x = relax(surface, surface.positions, 0.1 * sampling.search.relaxed, 20_000)
        norm = float(np.linalg.norm(forces))
        if norm > sampling.search.relaxed:
            raise SettingError(
                f"the sample of {sampling.deck} does not relax (forces {norm:.3g} eV/Å after 20,000 "
                "steps); minimise it in the deck"
            )
        part = path.with_suffix(".part.npz")
        np.savez(
            part, positions=x, cell=surface.cell, periodic=np.array(surface.periodic),
            types=surface.types, masses=surface.masses(),
        )  # fmt: skip
        part.replace(path)
    finally:
        surface.close()


@functools.lru_cache(maxsize=1)
def _sample(deck: Path, minimum: Path) -> tuple[PotentialEnergy, dict[str, Any], float]:
    """Return this process' LAMMPS, the sample, and the energy of the minimum."""
    surface, sample = PotentialEnergy(deck), _load(minimum)
    x = sample["positions"]
    same = (
        x.shape == surface.positions.shape
        and np.array_equal(sample["types"], surface.types)
        and np.allclose(sample["cell"], surface.cell)
    )
    energy, forces = surface(x) if same else (0.0, np.full_like(x, np.inf))
    if not np.linalg.norm(forces) < _STILL:
        raise SettingError(
            f"{minimum} is no minimum of the sample of {deck}: a file that the deck reads (positions, "
            "potential) has changed since; take another folder"
        )
    return surface, sample, energy


def _load(path: Path) -> dict[str, Any]:
    """Return the arrays of the minimum."""
    try:
        with np.load(path) as z:
            return dict(z)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise SettingError(
            f"{path} cannot be read ({error}); remove it and {ATTEMPTS} beside it, or take another folder"
        ) from None


def _attempt(sampling: Sampling, minimum: Path, atom: int, number: int) -> Attempt:
    surface, sample, energy = _sample(sampling.deck, minimum)
    x = sample["positions"]
    near = within(x, x[atom - 1], sample["cell"], sample["periodic"], sampling.search.radius)
    rng = np.random.default_rng([sampling.seed, atom, number])
    return replace(attempt(surface, x, energy, near, rng, sampling.search), saddle=None)


def within(
    positions: Floats, point: Floats, cell: Floats, periodic: NDArray[np.bool_], radius: float
) -> NDArray[np.bool_]:
    """Return which atoms ``(n,)`` are within a radius [Å] of a point; half of the cell is more."""
    s = (positions - point) @ np.linalg.inv(cell)
    s -= np.where(periodic, np.rint(s), 0.0)
    return np.asarray(np.linalg.norm(s @ cell, axis=1) < radius)


def _entry(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        found = None
    if not isinstance(found, dict) or (
        number > 1 and not {"atom", "outcome", "calls"} <= set(found)
    ):
        raise SettingError(
            f"'{path}', line {number} is no attempt (damaged?); remove this line, or take another folder"
        )
    return found


def _read(path: Path, sampling: Sampling) -> dict[int, list[dict[str, Any]]]:
    """Return the attempts of a file by atom; what a kill has cut is removed, a new file gets its head."""
    head = sampling.head()
    lines = path.read_bytes().split(b"\n") if path.exists() else [b""]
    if lines.pop():  # what follows the last end of line is no whole attempt
        path.write_bytes(b"".join(line + b"\n" for line in lines))
    if not lines:
        path.write_text(json.dumps(head) + "\n")
        return {}
    entries = [_entry(path, k, line) for k, line in enumerate(lines, 1)]
    before = entries[0]
    if different := sorted(k for k in head if before.get(k) != head[k]):
        raise SettingError(
            f"{path.parent} has a sampling with another {different[0]}; take another folder, or "
            "what it was begun with"
        )
    done: dict[int, list[dict[str, Any]]] = {}
    for entry in entries[1:]:
        done.setdefault(entry["atom"], []).append(entry)
    return done
