# SPDX-License-Identifier: BSD-3-Clause
"""The structure of each atom in each frame, as an analysis class of MDAnalysis."""

from __future__ import annotations

import multiprocessing
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from MDAnalysis.analysis.base import AnalysisBase, ResultsGroup

import insitu

#: Labels of :func:`insitu.classify` that are no class.
_UNKNOWN, _NOT_ANALYSED = -1, -2


class StructureAnalysis(AnalysisBase):
    """Structures of the atoms of a group in each frame, by a model of insitu.

    Parameters
    ----------
    atomgroup
        Atoms that are counted; at the same numbers of atoms in each frame. All atoms of the universe are
        their neighbours.
    neighbors
        Atoms that make up the surroundings; None: all of the universe. Atoms of `atomgroup` that are
        not among them are not analysed: their label is −2.
    pbc
        One flag or three: which directions are periodic; None: all, where a frame has a box.
    model, threshold, classes, device
        As of :func:`insitu.classify`.
    **kwargs
        Of ``AnalysisBase``: ``verbose``.

    Attributes
    ----------
    results.classes
        Names ``(C + 1,)``, ``unknown`` last.
    results.fractions
        ``(n_frames, C + 1)`` of the analysed atoms of the group; NaN where there are none.
    results.labels
        ``(n_frames, n_atoms)``: index into the classes, −1 unknown, −2 not analysed.
    results.confidence
        ``(n_frames, n_atoms)``: probability of the most likely class.

    Raises
    ------
    insitu.InsituError
        The group is empty; the model, the threshold or a class cannot be used.

    Examples
    --------
    >>> u = mda.Universe("melt.lammpsdump", format="LAMMPSDUMP")  # doctest: +SKIP
    >>> StructureAnalysis(u.atoms).run().results.fractions  # doctest: +SKIP
    """

    _analysis_algorithm_is_parallelizable = True

    @classmethod
    def get_supported_backends(cls) -> tuple[str, ...]:
        """Return the backends that frames can be shared among."""
        return ("serial", "multiprocessing", "dask")

    def __init__(
        self,
        atomgroup: Any,
        neighbors: Any = None,
        *,
        pbc: bool | Sequence[bool] | None = None,
        model: str = "metals",
        threshold: float | None = None,
        classes: Mapping[str, str] | None = None,
        device: str = "cpu",
        **kwargs: Any,
    ) -> None:
        if not len(atomgroup):
            raise insitu.InsituError(
                "the atomgroup is empty; select atoms that there are, for example u.atoms"
            )
        super().__init__(atomgroup.universe.trajectory, **kwargs)
        self._group = atomgroup
        self._around = atomgroup.universe.atoms if neighbors is None else neighbors
        self._settings = {
            "pbc": pbc, "model": model, "threshold": threshold, "classes": classes, "device": device,
        }  # fmt: skip
        # Place of each atom of the group among those of the surroundings.
        order = np.argsort(self._around.ix, kind="stable")
        at = np.searchsorted(self._around.ix, atomgroup.ix, sorter=order)
        at = order[np.minimum(at, max(len(order) - 1, 0))] if len(order) else at
        self._there = (
            self._around.ix[at] == atomgroup.ix if len(order) else np.zeros(len(at), dtype=bool)
        )
        self._at = at[self._there]

    def _prepare(self) -> None:
        self.results.labels = []
        self.results.confidence = []
        self.results.classes = []

    def _single_frame(self) -> None:
        # Workers share the cores: one thread each.
        alone = multiprocessing.parent_process() is None
        found = insitu.classify(self._around, threads=None if alone else 1, **self._settings)
        labels = np.full(len(self._group), _NOT_ANALYSED, dtype=np.int64)
        confidence = np.zeros(len(self._group), dtype=np.float32)
        labels[self._there] = found.labels[self._at]
        confidence[self._there] = found.confidence[self._at]
        self.results.labels.append(labels)
        self.results.confidence.append(confidence)
        self.results.classes.append(tuple(found.classes))

    def _get_aggregator(self) -> ResultsGroup:
        names = ("labels", "confidence", "classes")
        return ResultsGroup(lookup=dict.fromkeys(names, ResultsGroup.flatten_sequence))

    def _conclude(self) -> None:
        n = len(self._group)
        labels = np.array(self.results.labels, dtype=np.int64).reshape(-1, n)
        confidence = np.array(self.results.confidence, dtype=np.float32).reshape(-1, n)
        classes = [*self.results.classes[0], "unknown"] if len(labels) else ["unknown"]
        column = np.where(labels == _UNKNOWN, len(classes) - 1, labels)
        count = np.stack([(column == k).sum(axis=1) for k in range(len(classes))], axis=1)
        with np.errstate(invalid="ignore"):
            self.results.fractions = count / count.sum(axis=1, keepdims=True)
        self.results.labels, self.results.confidence = labels, confidence
        self.results.classes = classes
