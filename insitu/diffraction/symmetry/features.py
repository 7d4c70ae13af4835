# SPDX-License-Identifier: BSD-3-Clause
"""What indexing says about a pattern, as numbers: for each extinction group, and about the lines."""

from dataclasses import dataclass, replace

import numpy as np

from insitu.diffraction.lattices.indexing import (
    CLEAR,
    KINDS,
    LINES,
    Lattice,
    index,
    predicted,
    to_q,
)
from insitu.diffraction.patterns.grid import Array
from insitu.diffraction.patterns.lines import EVERYWHERE, find_lines
from insitu.diffraction.symmetry.extinctions import evidence
from insitu.diffraction.symmetry.groups import EXTINCTION_GROUPS

#: Evidence of a class for which there is no lattice.
NONE = -400.0
#: Evidences are the same within this.
ALIKE = 1e-6
#: Numbers about the lines, and about each kind of lattice.
GENERAL, EACH = 10, 6
SUMMARY = GENERAL + EACH * len(KINDS)
#: The dear searches come last, and are left out where a lattice is clear.
_ORDER = ("tetragonal", "hexagonal", "cubic", "orthorhombic", "monoclinic")


@dataclass(frozen=True)
class Features:
    """Evidence about a pattern.

    Attributes
    ----------
    observed, missing : array, shape (101,)
        Of the observed and of the missing lines for each extinction group (`NONE`: no lattice;
        triclinic always, it is not indexed).
    summary : array, shape (40,)
        About lines and lattices.
    lattices : list of Lattice
        Of each kind the one with the best evidence for a group.
    """

    observed: Array
    missing: Array
    summary: Array
    lattices: list[Lattice]


def describe(pattern: Array, span: tuple[float, float] = EVERYWHERE) -> Features:
    """Index a pattern on the uniform grid, shape (4250,), of which a span of angles was measured."""
    lines = find_lines(pattern)
    observed = np.full(len(EXTINCTION_GROUPS), NONE)
    missing = np.zeros(len(EXTINCTION_GROUPS))
    summary = np.zeros(SUMMARY)
    n = len(lines.angles)
    faint = replace(find_lines(pattern, faint=True), span=span)
    used = min(n, LINES)
    q = to_q(lines.angles[:used])
    if n:
        weak = lines.heights < 0.05
        summary[:GENERAL] = (
            np.log(n), np.log(lines.threshold), np.log(q[0]), np.log(q[min(9, used - 1)]), np.log(q[-1]),
            weak.mean(), np.log(lines.heights.sum()), np.mean(lines.angles < 40), n < 5,
            np.log(len(faint.angles) + 1),
        )  # fmt: skip
    best: list[Lattice] = []
    clear = False
    most = max(len(faint.angles), 1)
    for kind in _ORDER:
        i = KINDS.index(kind)
        part = summary[GENERAL + EACH * i : GENERAL + EACH * (i + 1)]
        part[:] = -3.0
        if kind == "monoclinic" and clear:
            continue
        found = index(lines, kind, 5, thorough=not clear)
        if not found:
            continue
        totals, classes = [], np.zeros(0, dtype=int)
        for lattice in found:
            classes, seen, unseen = evidence(faint, lattice)
            totals.append((seen + unseen).max())
            # Lattices that are as good but for rounding: the first one, whatever the order of the sums.
            better = seen + unseen > observed[classes] + missing[classes] + ALIKE
            observed[classes[better]], missing[classes[better]] = seen[better], unseen[better]
        clear |= found[0].score > CLEAR * used and max(totals) > most
        top = classes[np.argmax(observed[classes] + missing[classes])]
        chosen = found[int(np.argmax(np.round(totals, 6)))]
        best.append(chosen)
        count = len(predicted(kind, chosen.abc, float(q[-1]))[1])
        part[:] = (
            found[0].score / used, chosen.score / used, observed[top] / most, missing[top] / most,
            np.log((count + 1) / used), abs(chosen.zero) * 20,
        )  # fmt: skip
    best.sort(key=lambda lattice: KINDS.index(lattice.kind))
    return Features(observed, missing, summary, best)
