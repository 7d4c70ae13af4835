# SPDX-License-Identifier: BSD-3-Clause
"""Labels of PTM and a-CNA from OVITO, with the general model's class numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int64]


def collection(r: NDArray, cell: NDArray) -> Any:
    """Return OVITO's data of a periodic sample: positions ``(n, 3)``, cell vectors as rows [Å]."""
    from ovito.data import DataCollection, Particles, SimulationCell

    data = DataCollection()
    box = SimulationCell(pbc=(True, True, True))
    box[:, :3] = cell.T
    data.objects.append(box)
    particles = Particles(count=len(r))
    particles.create_property("Position", data=r)
    data.objects.append(particles)
    return data


def other_methods(classes: list[str]) -> dict[str, Callable[[NDArray, NDArray], Labels]]:
    """Return PTM (without a limit on RMSD and with four) and a-CNA from OVITO; nothing without it."""
    try:
        from ovito.modifiers import (
            CommonNeighborAnalysisModifier,
            IdentifyDiamondModifier,
            PolyhedralTemplateMatchingModifier,
        )  # fmt: skip
    except ImportError:
        return {}
    number = {c: k for k, c in enumerate(classes)}
    ptm = PolyhedralTemplateMatchingModifier
    kinds = {
        ptm.Type.FCC: "fcc", ptm.Type.HCP: "hcp", ptm.Type.BCC: "bcc", ptm.Type.SC: "sc",
        ptm.Type.CUBIC_DIAMOND: "cubic_diamond", ptm.Type.HEX_DIAMOND: "hexagonal_diamond",
    }  # fmt: skip

    def matching(limit: float) -> Callable[[NDArray, NDArray], Labels]:
        def run(r: NDArray, cell: NDArray) -> Labels:
            data = collection(r, cell)
            modifier = ptm(rmsd_cutoff=limit)
            for kind in kinds:
                modifier.structures[kind].enabled = True
            data.apply(modifier)
            found = np.asarray(data.particles["Structure Type"])
            out = np.full(len(r), number["disordered"])
            for kind, name in kinds.items():
                out[found == int(kind)] = number[name]
            return out

        return run

    def cna(r: NDArray, cell: NDArray) -> Labels:
        data = collection(r, cell)
        data.apply(CommonNeighborAnalysisModifier())
        types, found = (
            CommonNeighborAnalysisModifier.Type,
            np.asarray(data.particles["Structure Type"]),
        )
        out = np.full(len(r), number["disordered"])
        for kind, name in ((types.FCC, "fcc"), (types.HCP, "hcp"), (types.BCC, "bcc")):
            out[found == int(kind)] = number[name]
        data.apply(IdentifyDiamondModifier())
        types, found = IdentifyDiamondModifier.Type, np.asarray(data.particles["Structure Type"])
        for kind, name in (
            (types.CUBIC_DIAMOND, "cubic_diamond"),
            (types.HEX_DIAMOND, "hexagonal_diamond"),
        ):
            out[found == int(kind)] = number[name]
        return out

    limits = (0.0, 0.2, 0.15, 0.12, 0.1)
    return {f"PTM {limit:g}" if limit else "PTM no limit": matching(limit) for limit in limits} | {
        "a-CNA": cna
    }
