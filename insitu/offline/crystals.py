# SPDX-License-Identifier: BSD-3-Clause
"""The crystals in files: of trajectories, data files and CIFs, as lines of text and as CIF."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from insitu.crystal.cells import parameters
from insitu.crystal.files import cif_of
from insitu.crystal.finding.found import Crystal
from insitu.crystal.finding.search import Found, averaged, find_crystals
from insitu.crystal.prediction.scalars import formation_energy
from insitu.crystal.prediction.tensors import elastic_tensor
from insitu.crystal.tensors.moduli import moduli, stable
from insitu.crystal.tensors.voigt import to_voigt
from insitu.errors import SettingError, one_of, writing
from insitu.frame.species import ELEMENTS, MASSES, SYMBOLS, check_option
from insitu.frame.units import ANGSTROM
from insitu.offline.readers.configuration import Configuration
from insitu.offline.readers.topology import boundary_of, completed
from insitu.offline.readers.trajectories import read_many


@dataclass(frozen=True)
class CrystalOptions:
    """What `insitu crystal` can be told.

    Parameters
    ----------
    index
        Frames: a number or a slice over the frames of all files.
    average
        Frames whose positions are averaged before a crystal is looked for.
    cif
        File to write: a data block for each crystal of the last frame.
    species
        Elements of the types 1, 2, …
    topology, boundary
        Who the atoms are and which directions are periodic, for files that do not say it.
    units
        LAMMPS unit style of files that do not say it.
    tolerance
        Of the space group [Å]; None: by the atoms' scatter.
    least, most
        Atoms that a crystal has to have, and most crystals.
    elastic
        Also predict the elastic tensor.
    energy
        Also predict the formation energy.
    elastic_model
        File of the elastic tensor's model; None: the shipped one.
    """

    index: str = "-1"
    average: int = 1
    cif: str | None = None
    species: tuple[str, ...] = ()
    topology: str | None = None
    boundary: tuple[str, ...] = ()
    units: str | None = None
    tolerance: float | None = None
    least: int = 100
    most: int = 5
    elastic: bool = False
    energy: bool = False
    elastic_model: str | None = None

    def __post_init__(self) -> None:
        boundary_of(self.boundary)
        if self.units is not None:
            one_of("--units", self.units, tuple(ANGSTROM))
        if self.average < 1:
            raise SettingError(f"--average {self.average}: give a number of frames, 1 or more")
        if self.tolerance is not None and not self.tolerance > 0:
            raise SettingError(f"--tolerance {self.tolerance:g}: give a length above 0 [Å]")
        check_option(self.species)


def crystals_of_files(
    files: Sequence[str], options: CrystalOptions, tell: Callable[[str], None]
) -> Iterator[str]:
    """Yield lines about the crystals of the frames of files.

    Parameters
    ----------
    files
        Names.
    options
        What to do with them.
    tell
        Is told which frames were left out, and why.

    Raises
    ------
    SettingError
        A file cannot be read or written, an option does not fit.
    """
    if options.cif and Path(options.cif).exists():
        raise SettingError(f"--cif {options.cif} exists; give another name or remove it")
    waiting: list[tuple[str, int, Configuration]] = []
    last: list[Crystal] = []
    names: dict[int, str] = {}
    read = read_many(files, options.index, tell)
    for item in completed(read, options.topology, options.boundary, tell):
        waiting.append(item)
        if len(waiting) == options.average:
            names, found, lines = _of(waiting, options)
            last, waiting = list(found.crystals), []
            yield from lines
    if waiting:
        names, found, lines = _of(waiting, options)
        last = list(found.crystals)
        yield from lines
    if options.cif:
        if not last:
            raise SettingError(
                f"--cif {options.cif}: the last frame has no crystal, nothing was written"
            )
        with writing(Path(options.cif)):
            Path(options.cif).write_text(
                "\n".join(cif_of(c, names, k + 1) for k, c in enumerate(last))
            )


def _of(
    items: list[tuple[str, int, Configuration]], options: CrystalOptions
) -> tuple[dict[int, str], Found, list[str]]:
    """Return names of the species, crystals and lines of some frames that are averaged."""
    file, number, c = items[0]
    length = ANGSTROM[c.units or options.units or "metal"]
    kinds, names = _species(c, file, options.species)
    order = [np.arange(len(x)) if x.ids is None else np.argsort(x.ids) for _, _, x in items]
    r, cell = c.positions * length, c.cell * length
    if len(items) > 1:
        r, cell = averaged(
            [x.positions[o] * length for (_, _, x), o in zip(items, order, strict=True)],
            [x.cell * length for _, _, x in items], c.pbc,
        )  # fmt: skip
        kinds = kinds[order[0]]
    found = find_crystals(
        r, cell if c.pbc.any() or np.any(cell) else None, c.pbc, kinds, most=options.most,
        least=options.least, tolerance=options.tolerance,
    )  # fmt: skip
    what = f"{Path(file).name} frame {number}" + (f", step {c.step}" if c.step is not None else "")
    if len(items) > 1:
        what += f" (mean of {len(items)})"
    if not found.crystals:
        why = found.reasons[0] if len(found.reasons) else "no atoms"
        return names, found, [f"{what}: no crystal: {why}"]
    part = float((found.crystal >= 0).mean())
    n = len(found.crystals)
    lines = [f"{what}: {n} crystal{'s'[: n != 1]}, {100 * part:.1f} % of {len(kinds):,} atoms"]
    for k, crystal in enumerate(found.crystals):
        text = describe(crystal, names)
        text += formation(crystal, names) if options.energy else []
        text += (
            elastic(crystal, names, options.elastic_model)
            if options.elastic or options.elastic_model
            else []
        )
        lines += [f"     {t}" if j else f"  {k + 1}  {t}" for j, t in enumerate(text)]
    return names, found, lines


def _species(
    c: Configuration, file: str, given: Sequence[str]
) -> tuple[NDArray[np.int64], dict[int, str]]:
    """Return a number for the species of each atom, and the names of the numbers."""
    if given and c.types is not None:
        if len(c.types) and not 1 <= c.types.min() <= c.types.max() <= len(given):
            raise SettingError(
                f"--species {','.join(given)} names {len(given)} elements and '{file}' has the types "
                f"{', '.join(map(str, np.unique(c.types)))}; give one for each type 1, 2, …"
            )
        numbers = np.array([0, *(SYMBOLS.index(s) for s in given)])[c.types]
        return numbers, {int(z): SYMBOLS[z] for z in np.unique(numbers)}
    if c.numbers is not None:
        return c.numbers, {int(z): SYMBOLS[z] for z in np.unique(c.numbers)}
    if c.types is not None:
        return c.types.astype(np.int64), {int(t): f"type{t}" for t in np.unique(c.types)}
    return np.ones(len(c), dtype=np.int64), {1: "X"}


def _with_error(value: float, error: float, digits: int = 4) -> str:
    if not np.isfinite(error):
        return f"{value:.{digits}f}"
    return f"{value:.{digits}f} ± {error:.{digits}f}"


def density(c: Crystal, names: dict[int, str]) -> float:
    """Return the density of a crystal [g/cm³]; NaN where an element has no mass, or is not known."""
    known = dict(zip(SYMBOLS, MASSES, strict=False))  # the last elements have none
    return c.density({z: known[name] for z, name in names.items() if known.get(name)})


def describe(c: Crystal, names: dict[int, str]) -> list[str]:
    """Return lines that describe a crystal."""
    kinds, counts = np.unique(c.kinds, return_counts=True)
    formula = "".join(
        f"{names[int(z)]}{n if n > 1 else ''}" for z, n in zip(kinds, counts, strict=True)
    )
    if c.mixed:
        formula = " ".join(f"{names[z]} {share:.2f}" for z, share in c.composition.items())
    group = "no space group" if c.group is None else f"{c.group.symbol} ({c.group.number})"
    note = "" if c.settled else ", another one at 0.75 or 1.5 of it"
    six, e = c.parameters, c.errors
    text = [f"a {_with_error(six[0], e[0])}"]
    for k, name in ((1, "b"), (2, "c")):
        if abs(six[k] - six[0]) > 1e-6 * six[0]:
            text.append(f"{name} {_with_error(six[k], e[k])}")
    text[-1] += " Å"
    for k, name in ((3, "α"), (4, "β"), (5, "γ")):
        if abs(six[k] - 90) > 1e-4:
            text.append(f"{name} {six[k]:.3f}°")
    rho = density(c, names)
    weight = f", {rho:.4g} g/cm³" if np.isfinite(rho) else ""
    p = parameters(c.cell)
    lines = [
        f"{formula}, {group} within {c.tolerance:.3f} Å{note}: {', '.join(text)}",
        f"{_with_error(c.volume, c.volume_error, 3)} Å³ a site{weight}; {c.atoms:,} atoms, "
        f"{c.deviation:.3f} Å from their sites (r.m.s.)",
        "primitive, reduced: " + " ".join(f"{v:.4f}" for v in p[:3]) + " Å, "
        + " ".join(f"{v:.2f}" for v in p[3:]) + f"°, {len(c.kinds)} sites",
    ]  # fmt: skip
    if c.mixed:
        lines.append(
            f"species share sites: {100 * c.purity:.0f} % of the atoms are of the species of most atoms on "
            "their site; the space group is that of the sites"
        )
    return lines


#: Why nothing is predicted.
_ORDERED = "not predicted, species share sites and the model knows ordered crystals only"


def _elements(c: Crystal, names: dict[int, str], option: str) -> list[int]:
    """Return the atomic numbers of the conventional cell's sites."""
    if odd := [names[int(z)] for z in c.kinds if names[int(z)] not in ELEMENTS]:
        raise SettingError(
            f"{option} needs elements, and '{odd[0]}' is none; say which the types are with --species"
        )
    return [SYMBOLS.index(names[int(z)]) for z in c.conventional_kinds]


def formation(c: Crystal, names: dict[int, str]) -> list[str]:
    """Return a line with the predicted formation energy.

    Raises
    ------
    SettingError
        The species are no elements.
    """
    if c.mixed:
        return [f"formation energy: {_ORDERED}"]
    numbers = _elements(c, names, "--energy")
    found = formation_energy(c.conventional, c.conventional_sites, numbers)
    return [
        f"formation energy as DFT at 0 K would have it, predicted: {found.value:.2f} eV/atom (the most "
        f"alike crystal of training is so to {100 * found.alike:.0f} %)"
    ]


def elastic(c: Crystal, names: dict[int, str], model: str | None = None) -> list[str]:
    """Return lines with the predicted elastic tensor in the axes of the standard setting.

    Parameters
    ----------
    c, names
        The crystal, and names of its species.
    model
        File of the model; None: the shipped one.

    Raises
    ------
    SettingError
        The species are no elements, or none of the model's.
    ModelError
        The file is no model of elastic tensors.
    """
    if c.mixed:
        return [f"elastic tensor: {_ORDERED}"]
    numbers = _elements(c, names, "--elastic")
    found = elastic_tensor(c.conventional, c.conventional_sites, numbers, model)
    six = to_voigt(found.tensor)
    if stable(six):
        m = moduli(six)
        told = f"bulk {m.bulk:.0f}, shear {m.shear:.0f}"
    else:
        told = "not positive definite, so either no stable crystal or one that the network does not know"
    whose = "DFT" if model is None else f"the potential of {Path(model).name}"
    return [
        f"elastic tensor as {whose} at 0 K would have it, predicted [GPa]: {told}; xx yy zz yz xz xy",
        *("".join(f"{v:8.1f}" if abs(v) > 0.05 else f"{'·':>8}" for v in row) for row in six),
    ]
