# SPDX-License-Identifier: BSD-3-Clause
"""The verb `diffraction` of the command line."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from insitu.cli.histories import Verb


def _diffraction(options: argparse.Namespace) -> int:
    from insitu.diffraction.pattern_files import read_pattern
    from insitu.diffraction.symmetry import symmetry

    for name in options.files:
        two_theta, intensity, wavelength = read_pattern(Path(name))
        used = options.wavelength or wavelength or 1.5406
        found = symmetry(two_theta, intensity, wavelength=used)
        print(f"{name}: {found}")
        print(f"  no single crystal {found.unknown:.1%}; wavelength {used:g} Å")
        systems = sorted(found.systems.items(), key=lambda item: -item[1])
        print("  " + ", ".join(f"{system} {p:.1%}" for system, p in systems))
        for group in found.groups[: options.top]:
            numbers = ", ".join(map(str, group.space_groups))
            print(f"  {group.probability:6.1%}  {group.name:28s} space groups {numbers}")
        for cell in found.cells:
            lengths = " ".join(f"{v:.4f}" for v in cell.lengths)
            print(f"  {cell.kind} cell that fits best: {lengths} Å")
        if not options.lines:
            continue
        print("    2theta       d  height  hkl")
        for line in found.lines[: options.lines]:
            angle = 2 * math.degrees(math.asin(min(line.q * used / (4 * math.pi), 1.0)))
            hkl = " ".join(map(str, line.hkl)) if line.hkl else "-"
            print(f"  {angle:8.3f} {2 * math.pi / line.q:7.4f} {line.height:7.1%}  {hkl}")
    return 0


def add_diffraction(verb: Verb) -> None:
    """Add the verb `diffraction`."""
    sub = verb(
        "diffraction", _diffraction,
        "Crystal system and extinction group from powder patterns in files.",
        "insitu diffraction quartz.xy\n"
        "  insitu diffraction measured.cif --top 3\n"
        "  insitu diffraction molybdenum_tube.xy --wavelength 0.7093",
    )  # fmt: skip
    sub.add_argument(
        "files", nargs="+", metavar="FILE",
        help="text of two columns (2theta [degrees], intensity), or a CIF of powder data",
    )  # fmt: skip
    sub.add_argument("--wavelength", type=float, metavar="L",
                     help="wavelength [Å] (the file's, else 1.5406, Cu K-alpha1)")  # fmt: skip
    sub.add_argument("--top", type=int, default=5, metavar="N", help="groups that are printed (5)")
    sub.add_argument("--lines", type=int, default=20, metavar="N",
                     help="lines that are printed, from small angles on, with indices on the most probable "
                     "system's cell (20)")  # fmt: skip
