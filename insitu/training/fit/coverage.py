# SPDX-License-Identifier: BSD-3-Clause
"""Limits of each class's own, from trajectories that were not trained: split conformal prediction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

#: Shares of a class's atoms for which limits are kept on the card.
COVERAGES = (0.9, 0.95, 0.98, 0.99, 0.995, 0.999)
#: Atoms of a class that a trajectory has to have.
_FEWEST = 50


def coverage_limits(
    classes: list[str],
    found: Iterable[tuple[object, NDArray[np.signedinteger], NDArray[np.floating]]],
) -> dict[str, dict[str, float]]:
    """Return for each coverage the probability that this share of the atoms of a class reach.

    Parameters
    ----------
    classes
        Names, in the order of the labels.
    found
        Of each configuration its trajectory, its atoms' labels ``(n,)`` (negative: none) and their
        probabilities ``(n, C)``.

    Returns
    -------
    dict
        Of coverages such as ``"0.99"``: limits by class, for
        :class:`insitu.analyses.phases.labels.Coverage`. Each trajectory of a class has the same weight,
        since the atoms of one are not independent. With few trajectories the coverage is an estimate,
        without the guarantee of exchangeable atoms. A coverage that a class does not reach without any
        limit, since others or none are likelier for some of its atoms, is left out.

    References
    ----------
    R. Dunn, L. Wasserman, A. Ramdas, J. Am. Stat. Assoc. 118, 2491 (2023),
    doi:10.1080/01621459.2022.2060112, section 3.1.
    """
    own: dict[int, dict[object, list[NDArray[np.float64]]]] = defaultdict(lambda: defaultdict(list))
    for trajectory, labels, p in found:
        likeliest = p.argmax(axis=1)
        # An atom has its label where no other class, and no structure that is none, is likelier.
        likeliest[1.0 - p.sum(axis=1) > p.max(axis=1)] = -1
        for k in np.unique(labels[(labels >= 0) & (labels < len(classes))]).tolist():
            mine = labels == k
            own[k][trajectory].append(np.where(likeliest[mine] == k, p[mine, k], 0.0))
    limits: dict[str, dict[str, float]] = {f"{c:g}": {} for c in COVERAGES}
    for k, trajectories in sorted(own.items()):
        parts = [p for p in map(np.concatenate, trajectories.values()) if len(p) >= _FEWEST]
        if not parts:
            continue
        p = np.concatenate(parts)
        weight = np.concatenate([np.full(len(q), 1.0 / (len(parts) * len(q))) for q in parts])
        order = np.argsort(p)
        below = np.cumsum(weight[order]) - weight[order]
        for coverage in COVERAGES:
            # The largest probability below which no more than 1 - coverage of the weight lies.
            at = np.searchsorted(below, 1.0 - coverage + 1e-12, side="right") - 1
            limits[f"{coverage:g}"][classes[k]] = float(np.floor(1e6 * p[order[at]]) / 1e6)
    return {c: by for c, by in limits.items() if by and min(by.values()) > 0.0}
