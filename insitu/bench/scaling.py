# SPDX-License-Identifier: BSD-3-Clause
"""Cost and memory against the number of atoms: a straight line, and flat."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from insitu.analyses.phases.analysis import Phases
from insitu.bench.machine import line, machine
from insitu.bench.samples import ELEMENTS
from insitu.errors import InsituError, SettingError
from insitu.frame.frame import Frame
from insitu.frame.lattices.perfect import lattice
from insitu.frame.neighbors.density import spacing
from insitu.frame.neighbors.search import Neighbors
from insitu.models.store import load

SIZES = (1_000, 10_000, 100_000, 1_000_000)
LARGE = 10_000_000
#: A repetition goes on until this is spent, or five analyses are done [s].
_ENOUGH = 2.0


def scaling(
    model: str = "metals", sizes: Sequence[int] = SIZES, *, engine: str = "auto", threads: int = 1
) -> dict[str, Any]:
    """Analyse samples of several sizes, each in a process of its own; return times and memory.

    Parameters
    ----------
    model, engine, threads
        As in :func:`insitu.models.store.load`.
    sizes
        Numbers of atoms.

    Raises
    ------
    SettingError
        A size or number of threads is not usable.
    InsituError
        A process failed.
    """
    for size in sizes:
        if size < 108:
            raise SettingError(f"{size} atoms are too few; give 108 or more")
    if threads < 1:
        raise SettingError(f"--threads {threads} is not usable; give 1 or more")
    load(model, engine=engine)  # its errors are said here, once
    rows = []
    for size in sizes:
        command = [sys.executable, "-P", "-m", __name__, str(size), model, engine, str(threads)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            tail = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise InsituError(
                f"the analysis of {size:,} atoms failed ({tail}); with too little memory give fewer"
            )
        rows.append(json.loads(done.stdout))
    atoms = np.array([r["atoms"] for r in rows])
    exponent = 1.0
    if len(rows) > 1:
        exponent = float(np.polyfit(np.log(atoms), np.log([r["seconds"] for r in rows]), 1)[0])
    return {
        "machine": machine(), "model": model, "engine": engine, "threads": threads, "sizes": rows,
        "exponent": exponent,
    }  # fmt: skip


def table(results: dict[str, Any]) -> str:
    """Return the results of :func:`scaling` as Markdown."""
    lines = [
        line(results["machine"]), "",
        f"`{results['model']}`, {results['threads']} thread(s); fcc Al with random displacements",
        "",
        "| atoms | µs per atom | least … most | memory at its peak, bytes an atom | of the frame itself |",
        "|---|---|---|---|---|",
    ]  # fmt: skip
    for row in results["sizes"]:
        cost = [1e6 * s / row["atoms"] for s in row["all"]]
        grown = f"{row['grown'] / row['atoms']:,.0f}" if row["grown"] is not None else ""
        lines.append(
            f"| {row['atoms']:,} | {np.median(cost):.2f} | {min(cost):.2f} … {max(cost):.2f} | {grown} "
            f"| {row['frame'] / row['atoms']:,.0f} |"
        )
    lines += ["", f"Time grows as (atoms)^{results['exponent']:.2f}."]
    return "\n".join(lines)


def _status(field: str) -> int:
    """Return a size from /proc/self/status [bytes]."""
    for text in Path("/proc/self/status").read_text().splitlines():
        if text.startswith(field):
            return 1024 * int(text.split()[1])
    raise KeyError(field)


def _one(atoms: int, model: str, engine: str, threads: int) -> dict[str, Any]:
    """Analyse one sample in this process."""
    al = ELEMENTS["Al"]
    k = max(3, round((atoms / 4) ** (1 / 3)))
    r, cell = lattice(al.structure, al.a, (k, k, k))
    r += np.random.default_rng(0).normal(scale=al.noise, size=r.shape)
    loaded = load(model, engine=engine)
    loaded.threads = threads
    analyzer = Phases(loaded)
    if analyzer.classifier.scale_free:
        bare = Frame.from_arrays(r, cell, True, reach=0.0)
        analyzer.classifier.measure(spacing(bare))
        del bare
    frame = Frame.from_arrays(r, cell, True, reach=analyzer.classifier.search * (1 + 1e-4))
    arrays = (frame.positions, frame.types, frame.ids)
    n = len(r)
    # What a small sample needs once (the model, buffers) is not of the atoms.
    warm, box = lattice(al.structure, al.a, (4, 4, 4))
    small = Frame.from_arrays(warm, box, True, reach=analyzer.classifier.search * (1 + 1e-4))
    analyzer(small, Neighbors(small, analyzer.classifier.search))
    proc = Path("/proc/self/clear_refs")
    before = None
    if proc.exists():
        proc.write_text("5")  # the peak begins again
        before = _status("VmRSS")
    seconds: list[float] = []
    while len(seconds) < 5 and (sum(seconds) < _ENOUGH or len(seconds) < 2):
        started = time.perf_counter()
        if analyzer.classifier.scale_free:
            analyzer.classifier.measure(spacing(frame))
        analyzer(frame, Neighbors(frame, analyzer.classifier.search))
        seconds.append(time.perf_counter() - started)
    return {
        "atoms": n,
        "seconds": float(np.median(seconds)),
        "all": seconds,
        "grown": None if before is None else _status("VmHWM") - before,
        "frame": sum(a.nbytes for a in arrays),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_one(int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]))))
