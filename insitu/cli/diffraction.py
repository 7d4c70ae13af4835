# SPDX-License-Identifier: BSD-3-Clause
"""The verb `diffraction` of the command line."""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from insitu.cli.histories import Verb
from insitu.errors import SettingError

if TYPE_CHECKING:
    from insitu.diffraction.symmetry.found import Symmetry


def _words(text: str) -> tuple[str, ...]:
    return tuple(w.strip() for w in text.split(",") if w.strip())


def _diffraction(options: argparse.Namespace) -> int:
    from insitu.diffraction.patterns.files import read_pattern
    from insitu.diffraction.symmetry.classification import symmetry
    from insitu.offline.files import expand
    from insitu.offline.readers.trajectories import holds_atoms
    from insitu.offline.symmetries import symmetry_of_files

    def tell(text: str) -> None:
        print(f"insitu: {text}", file=sys.stderr)

    if options.wavelength is not None and not options.wavelength > 0.0:
        raise SettingError(
            f"--wavelength {options.wavelength:g} is no length; give for example 1.5406"
        )
    given = [name for name in options.files if options.species or holds_atoms(name)]
    if given:
        if len(given) < len(options.files):
            raise SettingError(
                f"'{given[0]}' holds atoms and another file does not; give patterns, or a trajectory"
            )
        what, found = symmetry_of_files(
            expand(options.files), options.index, options.species, options.boundary, tell
        )
        _report(what, found, options.wavelength or 1.5406, options)
        return 0
    for name in options.files:
        two_theta, intensity, wavelength = read_pattern(Path(name))
        used = options.wavelength or wavelength or 1.5406
        _report(name, symmetry(two_theta, intensity, wavelength=used), used, options)
    return 0


def _report(name: str, found: Symmetry, wavelength: float, options: argparse.Namespace) -> None:
    """Print what was found."""
    print(f"{name}: {found}")
    print(f"  no single crystal {found.unknown:.1%}; wavelength {wavelength:g} Å")
    if not found.lines:  # nothing is known of systems and groups
        return
    systems = sorted(found.systems.items(), key=lambda item: -item[1])
    print("  " + ", ".join(f"{system} {p:.1%}" for system, p in systems))
    for group in found.groups[: options.top]:
        numbers = ", ".join(map(str, group.space_groups))
        print(f"  {group.probability:6.1%}  {group.name:28s} space groups {numbers}")
    for cell in found.cells:
        lengths = " ".join(f"{v:.4f}" for v in cell.lengths)
        beta = f", beta {cell.beta:.3f}°" if cell.kind == "monoclinic" else ""
        print(f"  {cell.kind} cell that fits best: {lengths} Å{beta}")
    if not options.lines:
        return
    print("    2theta       d  height  hkl")
    for line in found.lines[: options.lines]:
        sine = line.q * wavelength / (4 * math.pi)
        angle = f"{2 * math.degrees(math.asin(sine)):8.3f}" if sine <= 1 else "       -"
        hkl = " ".join(map(str, line.hkl)) if line.hkl else "-"
        print(f"  {angle} {2 * math.pi / line.q:7.4f} {line.height:7.1%}  {hkl}")


def add_diffraction(verb: Verb) -> None:
    """Add the verb `diffraction`."""
    sub = verb(
        "diffraction", _diffraction,
        "Crystal system and extinction group from powder patterns in files, or of trajectories.",
        "insitu diffraction quartz.xy\n"
        "  insitu diffraction measured.cif --top 3\n"
        "  insitu diffraction scan.xrdml\n"
        "  insitu diffraction molybdenum_tube.xy --wavelength 0.7093\n"
        "  insitu diffraction dump.lammpstrj --species Ni,Al --index=-10:",
    )  # fmt: skip
    sub.add_argument(
        "files", nargs="+", metavar="FILE",
        help="text of two columns (2theta [degrees], intensity), a CIF of powder data, or .xrdml; or a "
        "trajectory",
    )  # fmt: skip
    sub.add_argument("--wavelength", type=float, metavar="L",
                     help="wavelength [Å] (the file's, else 1.5406, Cu K-alpha1)")  # fmt: skip
    sub.add_argument("--species", type=_words, default=(), metavar="A,B,…",
                     help="of a trajectory: elements of the types 1, 2, …")  # fmt: skip
    sub.add_argument("--index", default="-10:",
                     help="of a trajectory: frames to read together (-10:, the last ten)")  # fmt: skip
    sub.add_argument("--boundary", type=_words, default=(), metavar="p,p,f",
                     help="of a trajectory: as in the deck, for files without it (p,p,p)")  # fmt: skip
    sub.add_argument("--top", type=int, default=5, metavar="N", help="groups that are printed (5)")
    sub.add_argument("--lines", type=int, default=20, metavar="N",
                     help="lines that are printed, from small angles on, with indices on the most probable "
                     "system's cell (20)")  # fmt: skip
