# SPDX-License-Identifier: BSD-3-Clause
"""The analysis of a run, on a configuration in memory."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from typing import Any

from numpy.typing import ArrayLike

from insitu.analyses.phases.classification import Classification, classify_with
from insitu.analyses.phases.labels import sureness
from insitu.analyses.phases.loading import load
from insitu.frame.threads import check_threads, thread_count
from insitu.models.engines.buffers import Rooms
from insitu.models.store import extended
from insitu.models.structures import parse
from insitu.offline.readers.belonging import Neighbors, of_arrays
from insitu.offline.samples import sample_of

#: Arrays of the networks, kept from call to call: page faults take a fifth of the time of a small sample.
_ROOMS = Rooms()
#: Bytes of them that a thread keeps at most (some 300,000 atoms).
_KEPT = 256 * 2**20


def classify(
    positions: ArrayLike | Any,
    cell: ArrayLike | None = None,
    pbc: ArrayLike | bool | None = None,
    species: ArrayLike | None = None,
    *,
    model: str = "metals",
    neighbors: Neighbors | None = None,
    device: str = "auto",
    threshold: float | None = None,
    coverage: float | None = None,
    threads: int | None = None,
    engine: str = "auto",
    classes: Mapping[str, str] | str | None = None,
) -> Classification:
    """Classify every atom of a sample; the labels are those of the in-situ analysis.

    Parameters
    ----------
    positions
        ``(n, 3)`` [Å]; on a GPU also an array in its memory (``__cuda_array_interface__`` or DLPack),
        which is used in place. Or a sample of another package, which then says cell, periodicity and
        species: an ``ase.Atoms``, an OVITO ``DataCollection``, an MDAnalysis ``AtomGroup`` or
        ``Universe`` (at its present frame; it does not know along which directions it is periodic:
        with a box along all, if `pbc` does not say otherwise).
    cell
        ``(3, 3)`` cell vectors as rows, or ``(3,)`` lengths [Å]; None if nothing is periodic. Where
        it begins does not matter: a direction that is not periodic ends with its atoms.
    pbc
        One flag or three; needed with an array of positions.
    species
        ``(n,)`` atomic numbers, for models that tell species apart and for `neighbors`.
    model
        Name of a shipped model, or path of an artefact.
    neighbors
        Whose atoms make up the surroundings: elements of `species` (``"Pd"``, ``["Fe", "Cr"]``, atomic
        numbers), or a mask ``(n,)`` of truth values; None: all. Every other atom is left out as if it
        were not there, and is not analysed: its label is −2, and it is in no fraction.
    device
        Where the analysis runs: "cpu", "cuda", "cuda:N", or "auto": a GPU if there is one that can be
        used (:func:`insitu.gpu.device.choose`).
    threshold
        Largest probability below which an atom is unknown; None: the model's own.
    coverage
        In place of it the share of each class's atoms that keep their label, for example 0.98: each class
        has its own limit then (:class:`insitu.analyses.phases.labels.Coverage`).
    threads
        Threads of the kernels; None: OMP_NUM_THREADS, else all cores that this process may use.
    engine
        What runs the network: "auto", "native" or "torchscript" (:func:`insitu.models.store.load`).
    classes
        Classes to add to the model, each from a file with its structure: ``{"omega": "omega.cif"}``. It
        takes seconds; for many samples save the model once (``insitu train --class``).

    Returns
    -------
    Classification
        ``labels``, ``confidence``, ``probabilities``, ``classes``, ``fractions``.

    Warns
    -----
    UserWarning
        The sample's density is one that the model never saw; the periodic cell shows atoms their own
        images; two atoms are at one place.

    Raises
    ------
    ModelError
        The model is missing, damaged, or does not fit.
    SettingError
        A setting or shape is not usable.

    Examples
    --------
    >>> import insitu
    >>> from insitu.testing import lattice
    >>> positions, cell = lattice("fcc", 4.05, (3, 3, 3))
    >>> insitu.classify(positions, cell, True).fractions["fcc"]
    1.0

    >>> import ase.build
    >>> insitu.classify(ase.build.bulk("Cu", cubic=True) * 4).fractions["fcc"]
    1.0
    """
    check_threads(threads)
    asked = sureness(threshold, coverage)
    more = extended(model, parse(classes)) if classes else None
    loaded = load(model, engine=engine, device=device, more=more)
    loaded.threads = thread_count(threads, len(os.sched_getaffinity(0)))
    loaded.rooms = _ROOMS
    sample, kept = sample_of(positions, cell, pbc, species), None
    if neighbors is not None:
        kept = of_arrays(neighbors, len(sample.positions), sample.species)  # type: ignore[arg-type]
    found = classify_with(
        loaded, sample.positions, sample.cell, sample.pbc, sample.species,
        threshold=asked, kept=kept, origin=sample.origin,
    )  # fmt: skip
    _ROOMS.give_back(_KEPT)
    if found.advice:
        warnings.warn(f"insitu.classify: {found.advice}", UserWarning, stacklevel=2)
    return found
