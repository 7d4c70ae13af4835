# SPDX-License-Identifier: BSD-3-Clause
"""Evidence of indexing for random crystals: what the last step of the classifier is fitted to."""

from pathlib import Path

import numpy as np

from insitu.diffraction.patterns.grid import REFERENCE, on_uniform_grid
from insitu.diffraction.symmetry.features import Features, describe
from insitu.diffraction.symmetry.groups import EXTINCTION_GROUPS

from .fit import no_crystal
from .library import make_classes
from .render import Instrument, render
from .sites import Array


def collect(classes: Array, seed: int, perfect: float, path: Path) -> None:
    """Draw a crystal of each class, render its pattern, index it, and write all (npz).

    Parameters
    ----------
    classes : array of int, shape (n,)
        Extinction groups.
    seed : int
    perfect : float
        Share of patterns without noise, background and errors.
    path : Path
    """
    rng = np.random.default_rng(seed + 5000)
    library, _ = make_classes(classes, seed)
    which = np.arange(len(library))
    ideal = rng.random(len(library)) < perfect
    patterns = np.empty((len(library), 4250), dtype=np.float32)
    for flag in (True, False):
        chosen = which[ideal == flag]
        if len(chosen):
            patterns[chosen] = render(library, chosen, rng, Instrument(flag))
    save(path, patterns, library.classes, ideal)


def save(path: Path, patterns: Array, classes: Array, ideal: Array) -> list[Features]:
    """Index patterns, shape (n, 4250), write what that says (npz), and return it."""
    found = [describe(p) for p in patterns]
    partial = path.with_suffix(".partial.npz")
    np.savez(
        partial, patterns=patterns.astype(np.float16), ideal=ideal, classes=classes,
        observed=np.array([f.observed for f in found]), missing=np.array([f.missing for f in found]),
        summary=np.array([f.summary for f in found]),
    )  # fmt: skip
    partial.rename(path)
    return found


def again(old: Path, path: Path) -> None:
    """Index the patterns of a file anew, after a change of the indexing, and write a new file."""
    with np.load(old) as file:
        patterns, classes, ideal = file["patterns"], file["classes"], file["ideal"]
    save(path, patterns.astype(float), classes, ideal)


def collect_unknown(shares: Array, seed: int, count: int, path: Path) -> None:
    """Return the same for patterns of no single crystal, class 101.

    Parameters
    ----------
    shares : array, shape (101,)
        How often each class takes part in mixtures.
    seed : int
    count : int
    path : Path
    """
    rng = np.random.default_rng(seed)
    classes = rng.choice(len(shares), count, p=shares)
    library, _ = make_classes(classes, seed + 9_000_000)
    patterns = no_crystal(render(library, np.arange(count), rng, Instrument()), rng)
    nothing = np.full(count, len(EXTINCTION_GROUPS))
    save(path, patterns, nothing, np.zeros(count, dtype=bool))


def of_measured(two_theta: Array, intensities: Array, classes: list[int], path: Path) -> None:
    """Return the same for measured patterns of Cu K-alpha.

    Parameters
    ----------
    two_theta : array, shape (n,)
        [degrees]
    intensities : array, shape (k, n)
    classes : list of int
        Extinction groups, 0-based.
    path : Path
    """
    patterns = np.array(
        [
            on_uniform_grid(two_theta.astype(float), row.astype(float), REFERENCE)
            for row in intensities
        ]
    )
    patterns /= patterns.max(1, keepdims=True)
    save(path, patterns, np.array(classes), np.zeros(len(patterns), dtype=bool))
