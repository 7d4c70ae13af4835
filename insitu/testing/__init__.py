# SPDX-License-Identifier: BSD-3-Clause
"""Public kit for tests, also of analyses that live elsewhere: lattices, ranks, conformance."""

from insitu.frame.lattices.perfect import LATTICES, lattice
from insitu.testing.conformance import INVARIANCES, Sample, check_analysis, evaluate, sample
from insitu.testing.ranks import ThreadRanks, deal, together

__all__ = [
    "INVARIANCES",
    "LATTICES",
    "Sample",
    "ThreadRanks",
    "check_analysis",
    "deal",
    "evaluate",
    "lattice",
    "sample",
    "together",
]
