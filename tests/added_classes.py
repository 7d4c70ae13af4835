# SPDX-License-Identifier: BSD-3-Clause
"""Crystal structures that become classes, as files, and hot copies of them made without our own code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from ase.build import bulk
from ase.io import write
from ase.spacegroup import crystal
from numpy.typing import NDArray


def omega() -> Any:
    """Omega-Ti: P6/mmm, c/a 0.613 (Sikka, Vohra & Chidambaram, Prog. Mater. Sci. 27, 245 (1982))."""
    return crystal(
        ["Ti", "Ti"], [(0, 0, 0), (1 / 3, 2 / 3, 0.5)], spacegroup=191,
        cellpar=[4.6, 4.6, 4.6 * 0.613, 90, 90, 120],
    )  # fmt: skip


def a15() -> Any:
    """Beta-W: Pm-3n, 2a and 6c."""
    return crystal(
        ["W", "W"],
        [(0, 0, 0), (0.25, 0, 0.5)],
        spacegroup=223,
        cellpar=[5.05] * 3 + [90] * 3,
    )


def files(folder: Path) -> dict[str, str]:
    """Write both structures as CIF files; return them by class."""
    found = {"omega": str(folder / "omega.cif"), "A15": str(folder / "a15.cif")}
    write(found["omega"], omega())
    write(found["A15"], a15())
    return found


def hot(
    atoms: Any, repeat: tuple[int, int, int], width: float, seed: int = 3
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return positions and cell of copies with displacements of so many Å in each component."""
    many = atoms * repeat
    rng = np.random.default_rng(seed)
    return many.positions + rng.normal(0.0, width, (len(many), 3)), np.array(many.cell)


def known(name: str) -> Any:
    """Return a structure that models know: by ASE."""
    return {
        "fcc": lambda: bulk("Cu", cubic=True), "hcp": lambda: bulk("Mg"),
        "rocksalt": lambda: bulk("NaCl", "rocksalt", 5.64, cubic=True),
        "wurtzite": lambda: bulk("ZnO", "wurtzite", 3.25, 5.307),
        "caesium_chloride": lambda: bulk("CsCl", "cesiumchloride", 4.1),
    }[name]()  # fmt: skip
