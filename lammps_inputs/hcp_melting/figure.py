# SPDX-License-Identifier: BSD-3-Clause
"""hcp fraction and energy against temperature: the figure of the Neighbors Map paper's section 3.2.

Runs in.hcp_melting unless the folder has its history, and draws the potential energy, the fraction of hcp
atoms of the analysis in the run, and, with OVITO (pip install ovito), that of PTM with an RMSD of 0.1 on
the same atoms. The temperature is that of the thermostat, which rises in two straight lines.

example:
  python lammps_inputs/hcp_melting/figure.py --out melting --ranks 2
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np

import insitu
from insitu.training.runs import potentials_folder
from insitu.transitions import BOLTZMANN, crossing, energy_step

HERE = Path(__file__).parent
#: Temperatures of the thermostat [K] at the first step, after the quick rise, and at the last step.
RAMP = (300.0, 2300.0, 3250.0)


def run(options: argparse.Namespace) -> None:
    """Run the deck in the folder."""
    options.out.mkdir(parents=True, exist_ok=True)
    folder = Path(sys.executable).parent
    command = [str(folder / "mpiexec"), "-n", str(options.ranks), str(folder / "lmp")]
    command += ["-in", str(HERE / "in.hcp_melting"), "-log", "log.lammps", "-screen", "none"]
    given = {"model": options.model, "seed": options.seed, "steps": options.steps,
             "every": options.every, "rise": options.rise, "dump": "yes"}  # fmt: skip
    for name, value in (given | dict(zip(("nx", "ny", "nz"), options.cells, strict=True))).items():
        command += ["-var", name, str(value)]
    environment = os.environ | {"LAMMPS_POTENTIALS": str(potentials_folder())}
    environment["OMP_NUM_THREADS"] = "1"
    subprocess.run(command, cwd=options.out, env=environment, check=True)


def main() -> int:
    """Run, measure, draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("hcp_melting"), help="folder")
    parser.add_argument("--model", default="hcp-melting")
    parser.add_argument("--cells", type=int, nargs=3, default=[10, 6, 6], help="(10 6 6)")
    parser.add_argument("--rise", type=int, default=4000, help="steps from 300 to 2300 K (4000)")
    parser.add_argument("--steps", type=int, default=9500, help="steps to 3250 K (9500)")
    parser.add_argument("--every", type=int, default=100, help="steps between frames (100)")
    parser.add_argument("--seed", type=int, default=4711)
    parser.add_argument("--ranks", type=int, default=2)
    options = parser.parse_args()
    options.out = options.out.resolve()
    if options.model.endswith(".pt"):
        options.model = str(Path(options.model).resolve())
    file = options.out / "hcp_melting.h5"
    if not file.exists():
        run(options)
    history = insitu.open(str(file))
    steps = history["step"].values
    ends = (0, options.rise, options.rise + options.steps)
    temperature = np.interp(steps, ends, RAMP)
    energy = history["potential_energy"].values / history["count"].sum("phase").values
    hcp = history["fraction"].sel(phase="hcp").values
    # With the kinetic energy, whose fluctuations are those of the potential energy turned round.
    kinetic = 1.5 * BOLTZMANN * history["temperature"].values
    slow = steps > options.rise
    melting = energy_step(temperature[slow], (energy + kinetic)[slow]).temperature
    drop = crossing(temperature, hcp)
    solid = temperature <= 0.97 * melting
    print(f"energy step at {melting:.0f} K, drop of the hcp fraction at {drop:.0f} K "
          f"({100 * (drop / melting - 1):+.1f} %)")  # fmt: skip
    print(f"lowest hcp fraction up to 0.97 of it: {hcp[solid].min():.4f}; "
          f"highest beyond 1.05: {hcp[temperature > 1.05 * melting].max():.4f}")  # fmt: skip
    ptm = None
    try:
        from insitu.offline.ptm import match

        found = match(options.out / "hcp_melting.dump", ["fcc", "hcp", "bcc"], steps.tolist())
        ptm = found["fraction"].sel(phase="hcp").values
        ptm_at = np.interp(found["step"].values, ends, RAMP)
        for part in (0.3, 0.5, 0.7, 0.9, 0.97):
            k, j = (int(np.abs(t - part * melting).argmin()) for t in (temperature, ptm_at))
            print(f"{part:.2f} T_m: hcp {hcp[k]:.3f} in situ, {ptm[j]:.3f} PTM")
    except (ImportError, insitu.InsituError) as error:
        print(f"no curve of PTM: {error}")
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, (top, bottom) = plt.subplots(2, sharex=True, figsize=(5.2, 5), layout="constrained")
    top.plot(temperature, energy, color="k", lw=1)
    top.set_ylabel("potential energy (eV/atom)")
    bottom.plot(temperature, hcp, color="C0", label="Neighbors Map, CNN")
    if ptm is not None:
        bottom.plot(ptm_at, ptm, "--", color="C1", label="PTM, RMSD 0.1")
    bottom.set_ylabel("fraction of hcp")
    bottom.set_xlabel("temperature of the thermostat (K)")
    bottom.set_ylim(-0.03, 1.03)
    for axes in (top, bottom):
        axes.axvline(melting, color="0.6", ls=":", label="energy step")
    bottom.legend(frameon=False, loc="lower left")
    figure.savefig(options.out / "hcp_melting.png", dpi=150)
    print(f"wrote {options.out / 'hcp_melting.png'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
