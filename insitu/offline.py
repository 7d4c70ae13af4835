# SPDX-License-Identifier: BSD-3-Clause
"""The analysis of a run, on a configuration in memory."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from insitu.analyzers.phases import Phases, decide
from insitu.device import in_device_memory, on
from insitu.device_frame import frame_on_device
from insitu.device_search import DeviceSearch
from insitu.errors import SettingError
from insitu.frame import Frame
from insitu.models.store import AnyModel, load
from insitu.neighbors import Neighbors, survey
from insitu.settings import check_threads, thread_count
from insitu.species import from_numbers


@dataclass(frozen=True)
class Classification:
    """Phases of a sample.

    Parameters
    ----------
    labels
        ``(n,)`` int64, index into `classes`; −1 is unknown.
    confidence
        ``(n,)`` float32, largest class probability.
    probabilities
        ``(n, C)`` float32.
    classes
        Class names.
    """

    labels: NDArray[np.int64]
    confidence: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    classes: list[str]

    @property
    def fractions(self) -> dict[str, float]:
        """Fraction of the atoms in each class and ``unknown``; they sum to 1."""
        n = max(len(self.labels), 1)
        share = {c: float((self.labels == k).sum()) / n for k, c in enumerate(self.classes)}
        return share | {"unknown": float((self.labels < 0).sum()) / n}


def classify(
    positions: ArrayLike,
    cell: ArrayLike | None,
    pbc: ArrayLike | bool,
    species: ArrayLike | None = None,
    *,
    model: str = "metals",
    device: str = "auto",
    threshold: float | None = None,
    threads: int | None = None,
    engine: str = "auto",
) -> Classification:
    """Classify every atom of a sample; the labels are those of the in-situ analysis.

    Parameters
    ----------
    positions
        ``(n, 3)`` [Å]; on a GPU also an array in its memory (``__cuda_array_interface__`` or DLPack),
        which is used in place.
    cell
        ``(3, 3)`` cell vectors as rows, or ``(3,)`` lengths [Å]; None if nothing is periodic.
    pbc
        One flag or three.
    species
        ``(n,)`` atomic numbers, for models that are coloured by species; others do not use them.
    model
        Name of a shipped model, or path of an artefact.
    device
        Where the analysis runs: "cpu", "cuda", "cuda:N", or "auto": a GPU if there is one that can be
        used (:func:`insitu.device.choose`).
    threshold
        Largest probability below which an atom is unknown; None: the model's own.
    threads
        Threads of the kernels; None: OMP_NUM_THREADS, else all cores that this process may use.
    engine
        What runs the network: "auto", "native" or "torchscript" (:func:`insitu.models.store.load`).

    Returns
    -------
    Classification
        ``labels``, ``confidence``, ``probabilities``, ``classes``, ``fractions``.

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
    """
    check_threads(threads)
    loaded = load(model, engine=engine, device=device)
    loaded.threads = thread_count(threads, len(os.sched_getaffinity(0)))
    return classify_with(loaded, positions, cell, pbc, species, threshold=threshold)


def classify_with(
    model: AnyModel,
    positions: ArrayLike,
    cell: ArrayLike | None,
    pbc: ArrayLike | bool,
    species: ArrayLike | None = None,
    *,
    threshold: float | None = None,
) -> Classification:
    """Classify every atom of a sample with a loaded model; arguments as of :func:`classify`."""
    analyzer = Phases(model, threshold)
    if model.on_device is not None:
        return _on_device(analyzer, positions, cell, pbc, species)
    if in_device_memory(positions):
        raise SettingError(
            "positions are in a GPU's memory and the analysis runs on the CPU; give device='cuda', or "
            "copy them to the host"
        )
    if analyzer.scale_free:
        bare = Frame.from_arrays(positions, cell, pbc, reach=0.0)
        analyzer.measure(survey(bare), bare.cell)
    frame = Frame.from_arrays(positions, cell, pbc, reach=analyzer.search * 1.0001, types=species)
    if known := model.card.elements:
        analyzer.color(from_numbers(species, known))
    neighbors = Neighbors(frame, analyzer.search)
    probabilities = np.zeros((frame.n_local, len(analyzer.classes) - 1), dtype=np.float32)
    sizes = np.zeros(frame.n_local, dtype=np.int32)
    for atoms, batch, found in analyzer.probabilities(neighbors):
        probabilities[atoms] = batch
        sizes[atoms] = found
    labels, confidence = decide(probabilities, analyzer.threshold, sizes)
    return Classification(labels, confidence, probabilities, analyzer.classes[:-1])


def _on_device(
    analyzer: Phases,
    positions: ArrayLike,
    cell: ArrayLike | None,
    pbc: ArrayLike | bool,
    species: ArrayLike | None,
) -> Classification:
    model = analyzer.model.on_device
    assert model is not None
    device = model.device
    with on(device, f"{len(positions):,} atoms"):  # type: ignore[arg-type]
        there = device.holds(positions)

        def frame(reach: float) -> Frame:
            if there:
                return frame_on_device(device, positions, cell, pbc, reach=reach, types=species)
            return Frame.from_arrays(positions, cell, pbc, reach=reach, types=species)

        if analyzer.scale_free:
            bare = frame(0.0)
            counts = survey(bare, device if there else None)
            analyzer.measure(counts, bare.cell)
        if known := model.card.elements:
            analyzer.color(from_numbers(species, known))
        search = DeviceSearch(frame(analyzer.search * 1.0001), analyzer.search, device)
        result, found = model.classify(search, analyzer.spacing)
        atoms = device.read(search.atoms)
        probabilities = np.empty(result.shape, dtype=np.float32)
        sizes = np.empty(len(atoms), dtype=np.int32)
        probabilities[atoms], sizes[atoms] = device.read(result), device.read(found)
    labels, confidence = decide(probabilities, analyzer.threshold, sizes)
    return Classification(labels, confidence, probabilities, analyzer.classes[:-1])
