# SPDX-License-Identifier: BSD-3-Clause
"""An analysis in a frame: its local results, what the ranks find together, and what rank 0 gathers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from insitu.analyses.base import Analysis
from insitu.errors import InsituError, describe
from insitu.frame.frame import Frame
from insitu.frame.neighbors.search import Neighbors
from insitu.frame.ranks.reduce import Ranks

_FOR_THERMO = {
    "temperature": "fix python/invoke at end_of_step, or fix insitu, knows it",
    "potential_energy": "LAMMPS adds it up at steps of thermo output, and where fix insitu asks for it",
    "pressure": "LAMMPS adds it up at steps of thermo output, and where fix insitu asks for it",
}


def local_results(a: Analysis[Any], frame: Frame, search: Neighbors) -> Mapping[str, Any]:
    """Return an analysis' results on this rank.

    Raises
    ------
    InsituError
        It needs a temperature, energy or pressure that is not known at this step, or they are not
        what it declares.
    """
    for name in a.thermo:
        if np.isnan(getattr(frame.thermo, name)):
            raise InsituError(
                f"analyze {a.name} needs the {name.replace('_', ' ')} and step {frame.step} has none: "
                f"{_FOR_THERMO[name]}"
            )
    own = a(frame, search)
    declared = {**a.sums, **{c: (frame.n_local,) for c in a.columns if c not in a.later}}
    if set(own) != {*declared, *a.gathers}:
        raise InsituError(
            f"analyze {a.name} returned {', '.join(sorted(own)) or 'nothing'} and declares "
            f"{', '.join(sorted({*declared, *a.gathers})) or 'nothing'}; correct the analysis"
        )
    for name, shape in declared.items():
        if np.shape(own[name]) != tuple(shape):
            raise InsituError(
                f"analyze {a.name} returned '{name}' of shape {np.shape(own[name])} and declares "
                f"{tuple(shape)}; correct the analysis"
            )
    for name, shape in a.gathers.items():
        ids, values = own[name]
        if np.shape(values) != (len(ids), *shape):
            raise InsituError(
                f"analyze {a.name} returned '{name}' of shape {np.shape(values)} for {len(ids)} atoms and "
                f"declares {tuple(shape)} for one; correct the analysis"
            )
    return own


def together(a: Analysis[Any], ranks: Ranks) -> Mapping[str, Any]:
    """Return what all ranks find together with an analysis; collective.

    To be called once all ranks are known to be well.
    """
    if type(a).together is Analysis.together:
        return {}
    if a.halo is not None:
        a.halo.unlimited = True
    try:
        return a.together(ranks)
    except Exception as error:
        if ranks.size == 1:
            raise
        ranks.abort(
            f"analyze {a.name} failed while the ranks were at work together: {describe(error)}"
        )


def gathered(a: Analysis[Any], own: Mapping[str, Any], ranks: Ranks) -> dict[str, Any]:
    """Return what rank 0 gathers: ids ``(k,)`` in their order, and values; collective.

    To be called once all ranks are known to be well.
    """
    found = {}
    for name, shape in a.gathers.items():
        ids, values = own[name]
        width = int(np.prod(shape, dtype=int))
        flat = np.asarray(values, dtype=np.float64).reshape(len(ids), width)
        tables = ranks.gather(np.column_stack([np.asarray(ids, dtype=np.float64), flat]))
        if tables:
            table = np.concatenate(tables)
            table = table[np.argsort(table[:, 0], kind="stable")]
            found[name] = (table[:, 0].astype(np.int64), table[:, 1:].reshape(-1, *shape))
    return found
