# SPDX-License-Identifier: BSD-3-Clause
"""Histories for the tests of what reads them: a crystal of 1000 atoms that is heated and melts."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from insitu.history.writing.writer import Observable, Series
from insitu.models.store import ARTIFACTS

PHASES, CODES = ["fcc", "hcp", "disordered", "unknown"], [1, 2, 100, 0]
ATOMS = 1000
OBSERVABLES = [
    Observable("phases/fraction", (4,), "f8", "", "fraction of the atoms"),
    Observable("phases/count", (4,), "i8", "", "number of atoms"),
    Observable("phases/standard_error", (4,), "f8", "", "standard error of the fraction"),
    Observable("thermo/temperature", (), "f8", "K", "temperature"),
    Observable("thermo/potential_energy", (), "f8", "eV", "potential energy"),
    Observable("timing/simulation", (), "f8", "s", "since the last frame"),
    Observable("timing/model", (), "f8", "s", "network"),
]


def provenance(**more: object) -> dict[str, object]:
    artefact = ARTIFACTS / "crystals-cnn" / "model.pt"
    return {
        "model": "crystals-cnn", "threshold": 0.5, "group": "all", "atoms": ATOMS, "ranks": 2,
        "model_sha256": hashlib.sha256(artefact.read_bytes()).hexdigest(), "host": "node01",
        "settings": {"model": "metals", "every": 10, "groups": []}, **more,
    }  # fmt: skip


def create(path: Path, **more: object) -> Series:
    """Create a history; keywords go into its provenance."""
    return Series.create(
        path,
        OBSERVABLES,
        time_unit="ps",
        provenance=provenance(**more),
        classes=PHASES,
        codes=CODES,
    )


def append(history: Series, step: int, melts_at: float = 200.0) -> None:
    """Append the frame of a step: half of the atoms have melted at `melts_at`."""
    liquid = 1 / (1 + np.exp(-(step - melts_at) / 30.0))
    count = np.array([0, 10, round((ATOMS - 10) * liquid), 0])
    count[0] = ATOMS - count.sum()
    history.append(step, 0.002 * step, {
        "phases/fraction": count / ATOMS, "phases/count": count,
        "phases/standard_error": np.full(4, 0.01), "thermo/temperature": 300.0 + 2 * step,
        "thermo/potential_energy": -3000.0 + 100 * liquid, "timing/simulation": 0.8,
        "timing/model": 0.2,
    })  # fmt: skip


def melting(
    path: Path, steps: range = range(0, 410, 10), melts_at: float = 200.0, **more: object
) -> Path:
    """Write a whole history."""
    history = create(path, **more)
    for step in steps:
        append(history, step, melts_at)
    history.close()
    return path
