# SPDX-License-Identifier: BSD-3-Clause
"""The table of ``insitu bench``: this package beside its peers, on the same atoms in the same run."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from insitu.bench.lammps_peers import lammps_methods
from insitu.bench.machine import line, machine
from insitu.bench.method import FAMILIES, Method, Result
from insitu.bench.own import numpy_methods, own_methods, torch_methods
from insitu.bench.peers import ovito_methods
from insitu.bench.samples import Sample, element, sample
from insitu.errors import SettingError, did_you_mean

log = logging.getLogger(__name__)

#: What all ratios are to, if it is among the methods.
_BASE = "metals"
#: A run that takes longer is not repeated to warm up [s].
_DEAR = 2.0


def compare(
    elements: Sequence[str] = ("Al", "Fe"),
    atoms: int = 108_000,
    *,
    only: Sequence[str] = FAMILIES,
    threads: Sequence[int] = (1,),
    repeats: int = 5,
    quick: bool = False,
) -> dict[str, Any]:
    """Run the methods on the samples and return all times, as the JSON file has them.

    The methods take turns, so that a disturbance of the machine meets them all. A turn is a run that
    does not count and one that does: pages and caches are the method's own, not those of the one
    before (on virtual machines the first touch of memory after a pause is dear). Methods of more than
    two seconds a run skip the first. One thread each, but for the lines of this package that name
    more; the affinity of the process is left alone.

    Parameters
    ----------
    elements
        Keys of :data:`insitu.bench.samples.ELEMENTS`.
    atoms
        About so many; each sample has whole cells.
    only
        Families of methods: insitu, ovito, lammps, numpy, torch. What is not installed is left out.
    threads
        Numbers of threads of this package's models.
    repeats
        Rounds.
    quick
        Without the networks on images, which take most of the time.

    Raises
    ------
    SettingError
        A setting is not usable.
    """
    for word in only:
        if word not in FAMILIES:
            raise SettingError(
                f"--only {word} is not known; allowed: {', '.join(FAMILIES)}."
                f"{did_you_mean(word, FAMILIES)}"
            )
    for name, values in (("--threads", threads), ("--repeats", (repeats,))):
        for value in values:
            if value < 1:
                raise SettingError(f"{name} {value} is not usable; give 1 or more")
    chosen = [element(e) for e in elements]
    about = machine()
    systems = [_system(sample(e, atoms), only, threads, repeats, quick) for e in chosen]
    return {"machine": about, "repeats": repeats, "systems": systems}


def methods(
    of: Sample, only: Sequence[str], threads: Sequence[int], quick: bool = False
) -> Iterator[Method]:
    """Yield the methods of some families that can run here."""
    makers = {
        "insitu": lambda: own_methods(of, threads, quick),
        "ovito": lambda: ovito_methods(of),
        "lammps": lambda: lammps_methods(of),
        "numpy": lambda: numpy_methods(of),
        "torch": lambda: torch_methods(of),
    }
    for family in FAMILIES:
        if family in only:
            found = 0
            for method in makers[family]():
                found += 1
                yield method
            if not found:
                log.warning("insitu bench: nothing of '%s' can run here; it is left out", family)


def _system(
    of: Sample, only: Sequence[str], threads: Sequence[int], repeats: int, quick: bool
) -> dict[str, Any]:
    log.info("%s (%s)", of.title, of.origin)
    some: list[Method] = []
    try:
        some.extend(methods(of, only, threads, quick))
        results: list[list[Result]] = [[] for _ in some]
        for round_ in range(repeats + 1):
            for method, found in zip(some, results, strict=True):
                if round_ and found[-1].seconds < _DEAR:
                    method.run()
                found.append(method.run())
                log.info(
                    "%s %d/%d: %.2f µs", method.name, round_, repeats,
                    1e6 * found[-1].seconds / method.atoms,
                )  # fmt: skip
    finally:
        for method in some:
            method.close()
    rows = [_row(m, found[1:]) for m, found in zip(some, results, strict=True)]
    base = next((r for r in rows if r["method"] == _BASE), rows[0] if rows else None)
    for row in rows:
        assert base is not None
        ratios = np.array(row["us_per_atom"]) / np.array(base["us_per_atom"])
        row["ratio"] = float(np.median(ratios))
    return {
        "title": of.title,
        "structure": of.element.structure,
        "origin": of.origin,
        "atoms": len(of.positions),
        "base": base["method"] if base else "",
        "methods": rows,
    }


def _row(method: Method, found: list[Result]) -> dict[str, Any]:
    cost = [1e6 * r.seconds / method.atoms for r in found]
    return {
        "method": method.name,
        "family": method.family,
        "atoms": method.atoms,
        "us_per_atom": cost,
        "median": float(np.median(cost)),
        "fraction": found[-1].fraction,
        "note": method.note,
    }


def table(results: dict[str, Any]) -> str:
    """Return the results of :func:`compare` as Markdown, ratios first."""
    lines = [line(results["machine"])]
    for system in results["systems"]:
        lines += ["", f"{system['title']} ({system['origin']}); {results['repeats']} rounds", ""]
        lines.append(
            f"| | × {system['base']} | µs per atom | least … most | {system['structure']} (%) | atoms |"
        )
        lines.append("|---|---|---|---|---|---|")
        notes = []
        for row in system["methods"]:
            name = row["method"]
            if row["note"]:
                notes.append(f"{name}: {row['note']}")
                name += " " + "¹²³⁴⁵⁶⁷⁸⁹"[len(notes) - 1]
            least, most = min(row["us_per_atom"]), max(row["us_per_atom"])
            share = "" if row["fraction"] is None else f"{100 * row['fraction']:.1f}"
            lines.append(
                f"| {name} | {_short(row['ratio'])} | {_short(row['median'])} | "
                f"{_short(least)} … {_short(most)} | {share} | {row['atoms']:,} |"
            )
        if notes:
            marked = [f"{'¹²³⁴⁵⁶⁷⁸⁹'[k]} {note}" for k, note in enumerate(notes)]
            lines += ["", "; ".join(marked) + "."]
    return "\n".join(lines)


def _short(value: float) -> str:
    """Return a cost with about three digits."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
