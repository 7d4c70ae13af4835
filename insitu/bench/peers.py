# SPDX-License-Identifier: BSD-3-Clause
"""The peers in OVITO: polyhedral template matching and common neighbour analysis."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from insitu.bench.method import Method, Result
from insitu.bench.samples import Sample


def ovito_methods(sample: Sample) -> Iterator[Method]:
    """Yield a-CNA and PTM on one thread; none if OVITO is not installed.

    OVITO reads the number of its threads when it is imported: before that this sets the variable
    ``OVITO_THREAD_COUNT`` to 1, unless the user has.
    """
    os.environ.setdefault("OVITO_THREAD_COUNT", "1")
    try:
        from ovito.data import DataCollection
        from ovito.modifiers import CommonNeighborAnalysisModifier as Cna
        from ovito.modifiers import PolyhedralTemplateMatchingModifier as Ptm
    except ImportError:
        return
    data = DataCollection()
    matrix = np.zeros((3, 4))
    matrix[:, :3] = sample.cell.T
    data.create_cell(matrix, (True, True, True))
    particles = data.create_particles(count=len(sample.positions))
    particles.create_property("Position", data=sample.positions)
    every = Ptm()
    for structure in every.structures[1:]:
        structure.enabled = True
    three = Ptm()
    wanted = {int(Ptm.Type.FCC), int(Ptm.Type.HCP), int(Ptm.Type.BCC)}
    for number, structure in enumerate(three.structures):
        structure.enabled = number in wanted
    for name, modifier in (
        ("OVITO a-CNA", Cna(mode=Cna.Mode.AdaptiveCutoff)),
        ("OVITO PTM (fcc, hcp, bcc)", three),
        ("OVITO PTM, all structures", every),
    ):
        yield Method(name, "ovito", len(sample.positions), _applied(data, modifier, sample))


def _applied(data: Any, modifier: Any, sample: Sample) -> Callable[[], Result]:
    number = {"fcc": 1, "hcp": 2, "bcc": 3}[sample.element.structure]

    def run() -> Result:
        copy = data.clone()
        started = time.perf_counter()
        copy.apply(modifier)
        types = np.asarray(copy.particles["Structure Type"])
        seconds = time.perf_counter() - started
        return Result(seconds, float((types == number).mean()))

    return run
