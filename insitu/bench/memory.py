# SPDX-License-Identifier: BSD-3-Clause
"""``insitu bench --memory``: a rank's extra memory while it analyses a frame, for each atom.

Two frames of a crystal are analysed, each in a process of its own; the difference between them gives
the bytes for each atom of a rank (owned and ghost), what is left is the constant part.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from insitu.analyses.phases.analysis import Phases
from insitu.errors import InsituError, SettingError
from insitu.frame.frame import Frame
from insitu.frame.ghosts.check import check, unstable
from insitu.frame.lattices.perfect import lattice
from insitu.frame.neighbors.density import spacing
from insitu.frame.neighbors.search import Neighbors
from insitu.frame.ranks.reduce import Ranks
from insitu.models.store import load

#: Fewest atoms of the larger frame: below it the page size of the allocator is what is measured.
_FEWEST = 20_000


@dataclass(frozen=True)
class Stage:
    """Memory of one stage of a frame's analysis [bytes].

    Parameters
    ----------
    name
        The stage.
    peak
        Most that there was during the stage, beyond the frame's own arrays.
    held
        What is left of it after the stage, that of the stages before included.
    """

    name: str
    peak: int
    held: int


@dataclass(frozen=True)
class Measured:
    """Memory of the analysis of one frame.

    Parameters
    ----------
    owned, points
        Owned atoms; owned and ghost atoms.
    resident
        Growth of the process' resident memory at its peak [bytes].
    stages
        Of NumPy's arrays and the cell list.
    """

    owned: int
    points: int
    resident: int
    stages: tuple[Stage, ...]


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return 1024 * int(line.split()[1])
    raise InsituError(f"this system does not tell {name} (/proc/self/status)")


def _resident_growth(work: Callable[[], object]) -> int:
    """Return by how much resident memory grows at its peak while something is done."""
    # What was freed before is given back, or it would serve the work without being counted.
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins again
    before = _status("VmRSS:")
    work()
    return _status("VmHWM:") - before


def frame_of(atoms: int, analyzer: Phases) -> Frame:
    """Return fcc aluminium of about so many atoms, with the ghosts that the analysis needs."""
    cells = max(4, round((atoms / 4) ** (1 / 3)))
    positions, cell = lattice("fcc", 4.05, (cells, cells, cells))
    positions += np.random.default_rng(1).normal(0.0, 0.08, positions.shape)
    if analyzer.classifier.scale_free:
        bare = Frame.from_arrays(positions, cell, True, reach=0.0)
        analyzer.classifier.measure(spacing(bare))
    return Frame.from_arrays(positions, cell, True, reach=analyzer.classifier.cutoff + 2.0)


def analyse(
    frame: Frame, analyzer: Phases, seen: Callable[[str, Any], None] = lambda *_: None
) -> None:
    """Do what a rank does with a frame (`insitu.pipeline.pipeline`), and say when a stage is over."""
    ranks = Ranks()
    problem = unstable(frame)
    seen("positions", None)
    if analyzer.classifier.scale_free:
        analyzer.classifier.measure(spacing(frame, ranks))
        seen("density", None)
    if problem or check(frame, analyzer.classifier.cutoff, ranks) != (0, 0.0):
        raise InsituError(
            f"the frame of the measurement cannot be analysed: {problem or 'its ghosts are not complete'}"
        )
    seen("ghosts", None)
    neighbors = Neighbors(frame, analyzer.classifier.search)
    seen("neighbours", neighbors)
    analyzer.classifier.exchange(frame, ranks)
    analyzer(frame, neighbors)
    seen("descriptor, network", neighbors)
    analyzer.atom_codes(frame)
    seen("results", neighbors)


def measure(atoms: int, model: str) -> Measured:
    """Measure the analysis of one frame, in this process.

    Parameters
    ----------
    atoms
        About so many.
    model
        Shipped model, or path of an artefact.
    """
    analyzer = Phases(load(model))
    analyse(frame_of(2000, analyzer), analyzer)  # whatever is loaded at the first frame
    frame = frame_of(atoms, analyzer)
    resident = _resident_growth(lambda: analyse(frame, analyzer))
    analyzer = Phases(load(model))  # without the arrays that a model keeps from frame to frame
    stages: list[Stage] = []
    cells = 0

    def seen(name: str, neighbors: Any) -> None:
        nonlocal cells
        # The cell list is C++ memory, which Python does not count.
        cells = int(neighbors.cells.memory) if neighbors is not None else 0
        held, peak = tracemalloc.get_traced_memory()
        stages.append(Stage(name, peak + cells, held + cells))
        tracemalloc.reset_peak()

    tracemalloc.start()
    try:
        analyse(frame, analyzer, seen)
    finally:
        tracemalloc.stop()
    return Measured(frame.n_local, len(frame.positions), resident, tuple(stages))


def _apart(atoms: int, model: str) -> Measured:
    code = f"from insitu.bench.memory import tell; tell({atoms}, {model!r})"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise InsituError(
            f"the measurement of {atoms} atoms ended with code {done.returncode}: "
            f"{done.stderr.strip()[-500:]}; with fewer --atoms it needs less memory"
        )
    found = json.loads(done.stdout)
    return Measured(**{**found, "stages": tuple(Stage(**s) for s in found["stages"])})


def tell(atoms: int, model: str) -> None:
    """Print a measurement as JSON, for the process that compares several."""
    print(json.dumps(asdict(measure(atoms, model))))  # noqa: T201


def format_table(small: Measured, large: Measured, model: str) -> str:
    """Return formula and stages as text."""
    owned = large.owned - small.owned
    resident = (large.resident - small.resident) / owned
    constant = (small.resident - resident * small.owned) / 2**20
    lines = [
        f"extra memory of a rank with model {model}; {small.owned:,} and {large.owned:,} owned atoms, "
        f"{large.points / large.owned:.2f} owned and ghost atoms for each in the larger",
        "",
        f"resident memory = {max(constant, 0.0):.0f} MiB + {resident:.0f} bytes · owned atoms",
        "",
        f"{'bytes for each owned atom':28s} {'peak':>8s} {'left behind':>12s}",
    ]
    for a, b in zip(small.stages, large.stages, strict=True):
        peak, held = (b.peak - a.peak) / owned, (b.held - a.held) / owned
        lines.append(f"  {b.name:26s} {peak:8.1f} {held:12.1f}")
    return "\n".join(lines)


def run(arguments: argparse.Namespace) -> int:
    """Measure two frames and print what an atom costs; `arguments` has atoms, model."""
    if arguments.atoms < _FEWEST:
        raise SettingError(
            f"--atoms {arguments.atoms} is too few to measure; give {_FEWEST} or more"
        )
    model = str(arguments.model)
    load(model)  # a wrong name shows here, not in another process
    small, large = _apart(arguments.atoms // 4, model), _apart(arguments.atoms, model)
    print(format_table(small, large, model))  # noqa: T201
    return 0
