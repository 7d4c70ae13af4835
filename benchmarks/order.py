# SPDX-License-Identifier: BSD-3-Clause
"""Chemical order of ordered crystals up to melting: `analyze lattice` beside OVITO's PTM.

B2 NiAl, L1_2 Ni3Al and zincblende SiC, each held at rising temperatures by LAMMPS; perfectly ordered, so
that each atom's order is known as long as no atoms change places. `insitu` labels by `metals` and fits the
label's lattice; PTM finds structure and order together (OVITO writes the order whatever the RMSD's limit
is). Printed: share of the atoms with the right order, and, of those to which PTM gives an order, the part
for which both agree.

    python benchmarks/order.py [--atoms 1500]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ovito.data import DataCollection, Particles, ParticleType, SimulationCell
from ovito.modifiers import PolyhedralTemplateMatchingModifier as Ptm

from insitu.analyses.lattice.fit import ORDERS, fit
from insitu.analyses.phases.classification import classify_with
from insitu.frame.frame import Frame
from insitu.frame.neighbors.density import spacing
from insitu.frame.neighbors.search import Neighbors
from insitu.models.store import load
from insitu.training.dynamics.simulate import head
from insitu.training.runs import read_dump, run_lammps, write_data
from insitu.training.tables.general import markdown

#: Our names of PTM's ordering types, by OVITO's numbers.
PTM_ORDERS = {
    int(Ptm.OrderingType.L10): "L1_0", int(Ptm.OrderingType.L12_A): "L1_2 majority",
    int(Ptm.OrderingType.L12_B): "L1_2 minority", int(Ptm.OrderingType.B2): "B2",
    int(Ptm.OrderingType.ZINCBLENDE_WURTZITE): "zincblende",
}  # fmt: skip
#: Potentials that LAMMPS ships. The scale of the temperatures is about the melting point of the substance,
#: which is not that of the potential.
SYSTEMS: dict[str, dict[str, Any]] = {
    "NiAl": {"pair": "eam/alloy", "coeff": ["* * {potentials}/NiAlH_jea.eam.alloy Ni Al"],
             "masses": [58.693, 26.982], "a": 2.88, "scale": 1700.0,
             "sites": [[0, 0, 0], [0.5, 0.5, 0.5]], "types": [1, 2], "orders": {1: "B2", 2: "B2"}},
    "Ni3Al": {"pair": "eam/alloy", "coeff": ["* * {potentials}/NiAlH_jea.eam.alloy Ni Al"],
              "masses": [58.693, 26.982], "a": 3.57, "scale": 1650.0,
              "sites": [[0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5], [0, 0, 0]], "types": [1, 1, 1, 2],
              "orders": {1: "L1_2 majority", 2: "L1_2 minority"}},
    "SiC": {"pair": "tersoff", "coeff": ["* * {potentials}/SiC.tersoff Si C"], "timestep": 0.001,
            "masses": [28.086, 12.011], "a": 4.32, "scale": 3000.0,
            "sites": [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5], [0.25, 0.25, 0.25],
                      [0.75, 0.75, 0.25], [0.75, 0.25, 0.75], [0.25, 0.75, 0.75]],
            "types": [1] * 4 + [2] * 4, "orders": {1: "zincblende", 2: "zincblende"}},
}  # fmt: skip
PARTS = (0.3, 0.6, 0.8, 0.9, 1.0)


def snapshots(m: dict[str, Any], atoms: int) -> tuple[NDArray[np.int64], list[Any]]:
    """Return types ``(n,)``, and step, positions and cell at each temperature."""
    sites = np.array(m["sites"], dtype=float)
    n = max(4, round((atoms / len(sites)) ** (1 / 3)))
    grid = np.stack(np.meshgrid(*[np.arange(n)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    r = ((sites[:, None] + grid[None]) * m["a"]).reshape(-1, 3)
    types = np.repeat(m["types"], len(grid))
    dt = m.get("timestep", 0.002)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_data(folder / "data", r, np.eye(3) * n * m["a"], types, None)
        text = head(m, 11, 2 * PARTS[0] * m["scale"]) + f"fix move all nph iso 0 0 {500 * dt}\n"
        for part in PARTS:
            t = part * m["scale"]
            text += f"fix bath all langevin {t} {t} {50 * dt} 12\nrun {round(3.0 / dt)}\n"
            text += (
                "write_dump all custom thermal.dump id x y z modify append yes sort id "
                "format float %.10g\n"
            )
        run_lammps(folder, text)
        return types, list(read_dump(folder / "thermal.dump"))


def ours(model: Any, r: NDArray, cell: NDArray, types: NDArray) -> NDArray[np.str_]:
    """Return the order of each atom by insitu, "" where the label is no lattice."""
    labels = classify_with(model, r, cell, True).labels
    bare = Frame.from_arrays(r, cell, True, reach=0.0, types=types)
    radius = 2.1 * spacing(bare)
    frame = bare.with_images(radius * 1.0001)
    kinds = np.where((labels >= 0) & (labels < 6), labels, -1).astype(np.int32)
    species = np.array([0, 0, 1], dtype=np.int32)
    found = fit(frame, Neighbors(frame, radius), kinds, species, radius, None)
    return np.where(kinds >= 0, np.array(ORDERS)[found.order], "")


def ptm(r: NDArray, cell: NDArray, types: NDArray) -> NDArray[np.str_]:
    """Return the order of each atom by PTM, "" where it has none."""
    data, box, particles = (
        DataCollection(),
        SimulationCell(pbc=(True,) * 3),
        Particles(count=len(r)),
    )
    box[:, :3] = cell.T
    data.objects.append(box)
    particles.create_property("Position", data=r)
    kind = particles.create_property("Particle Type", data=types)
    for number in (1, 2):
        kind.types.append(ParticleType(id=number, name=f"{number}"))
    data.objects.append(particles)
    modifier = Ptm(output_ordering=True)
    for lattice in (Ptm.Type.SC, Ptm.Type.CUBIC_DIAMOND, Ptm.Type.HEX_DIAMOND):
        modifier.structures[lattice].enabled = True
    data.apply(modifier)
    found = np.asarray(data.particles["Ordering Type"])
    return np.array([PTM_ORDERS.get(int(k), "") for k in found])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--atoms", type=int, default=1500)
    options = parser.parse_args()
    model, rows = load("metals"), []
    for name, m in SYSTEMS.items():
        types, frames = snapshots(m, options.atoms)
        expected = np.array([m["orders"][int(t)] for t in types])
        for part, (_, r, cell) in zip(PARTS, frames, strict=True):
            own = ours(model, r, cell, types)
            other = ptm(r, cell, types)
            told = other != ""
            agree = f"{100 * (own == other)[told].mean():.2f}" if told.any() else "–"
            rows.append([
                name, f"{part * m['scale']:.0f}", *(f"{100 * (o == expected).mean():.2f}"
                for o in (own, other)), f"{100 * told.mean():.1f}", agree,
            ])  # fmt: skip
    print(markdown(
        ["crystal", "T (K)", "insitu: right (%)", "PTM: right (%)", "PTM: any order (%)",
         "of these insitu agrees (%)"], rows,
    ))  # fmt: skip


if __name__ == "__main__":
    main()
