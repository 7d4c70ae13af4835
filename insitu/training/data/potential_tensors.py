# SPDX-License-Identifier: BSD-3-Clause
"""Elastic tensors of one potential: prototypes decorated with its elements, relaxed and strained by LAMMPS.

What is written is a file of one JSON object a line; a run that is interrupted goes on where it was. From
these tensors a network learns what this potential has, instead of what DFT has.

References
----------
M. J. Mehl et al., Comput. Mater. Sci. 136, S1 (2017), doi:10.1016/j.commatsci.2017.01.017 (the prototypes).
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.crystal.spacegroup import find
from insitu.crystal.tensors.moduli import stable
from insitu.crystal.tensors.voigt import from_voigt
from insitu.errors import DeckError, SettingError
from insitu.frame.lattices.copies import steps
from insitu.frame.species import SYMBOLS
from insitu.training.data.elastic_runs import ElasticRun, Potential, elastic_run
from insitu.training.runs import LammpsLibrary
from insitu.training.structures.foreign import prototypes_with_species
from insitu.training.structures.tensor_tables import Record, formula

log = logging.getLogger(__name__)

#: Parts of the prototypes for the test and for validation.
_PARTS = {"test": 0.2, "validation": 0.1}
#: Largest asymmetry of a tensor that is kept, relative to its largest component; and stress [GPa] that is
#: left in the relaxed crystal, and in the mean of opposite strains.
_ASYMMETRY, _STRESS = 0.02, 0.1
#: Crystals of one composition are the same if energy [eV] and volume [relative] of an atom differ by less.
_ENERGY, _VOLUME = 1e-3, 2e-3
#: Time that one minimisation may take [s], and tolerance of the relaxed crystal's space group [Å].
_LIMIT, _TOLERANCE = 60, 0.02


@dataclass(frozen=True)
class Decorated:
    """A prototype whose species are elements of a potential.

    Parameters
    ----------
    name, prototype
        ``prototype/A,B`` and the prototype's name.
    cell, sites
        ``(3, 3)`` [Å], in which the closest two atoms touch, and ``(n, 3)`` fractional coordinates.
    types
        ``(n,)`` from 1: the elements.
    """

    name: str
    prototype: str
    cell: NDArray[np.float64]
    sites: NDArray[np.float64]
    types: NDArray[np.int64]


def decorated(
    elements: Sequence[str], radii: Sequence[float], most: int, seed: int = 0
) -> list[Decorated]:
    """Return all prototypes with all ways to make their species elements, in random order.

    Parameters
    ----------
    elements, radii
        Symbols, and their radii [Å], by which the cell is scaled before it is relaxed.
    most
        Atoms that a cell may have.
    seed
        Of the order.

    Raises
    ------
    SettingError
        pymatgen is not installed.
    """
    found = []
    for prototype, ((sites, cell), species) in prototypes_with_species().items():
        if len(sites) > most:
            continue
        for chosen in product(range(len(elements)), repeat=int(species.max()) + 1):
            types = np.array(chosen)[species]
            scaled = cell / _shortest(sites, cell, np.array(radii)[types])
            names = ",".join(elements[k] for k in chosen)
            found.append(Decorated(f"{prototype}/{names}", prototype, scaled, sites, types + 1))
    order = np.random.default_rng(seed).permutation(len(found))
    return [found[k] for k in order]


def _shortest(
    sites: NDArray[np.float64], cell: NDArray[np.float64], radii: NDArray[np.float64]
) -> float:
    """Return the shortest distance of two atoms in units of the sum of their radii."""
    r = (sites % 1.0) @ cell
    apart = r[None, :, None] - r[:, None, None] + (steps(1) @ cell)[None, None]
    distance = np.linalg.norm(apart, axis=-1)
    distance[distance < 1e-6] = np.inf
    return float((distance.min(axis=2) / (radii[:, None] + radii[None])).min())


def label(crystal: Decorated, potential: Potential, lammps: LammpsLibrary) -> dict[str, Any]:
    """Return one line of the file: the tensor, or in ``rejected`` why there is none; processor time [s]."""
    line: dict[str, Any] = {"name": crystal.name, "prototype": crystal.prototype}
    started = time.process_time()
    try:
        run = elastic_run(crystal.cell, crystal.sites, crystal.types, potential, run=lammps.run)
        line |= _kept(run, potential)
    except (DeckError, SettingError, ValueError, np.linalg.LinAlgError) as error:
        line["rejected"] = f"LAMMPS: {str(error)[-200:]}"
    return line | {"seconds": time.process_time() - started}


def _kept(run: ElasticRun, potential: Potential) -> dict[str, Any]:
    c = run.stiffness
    if not (np.isfinite(c).all() and run.stress < _STRESS):
        return {"rejected": f"not relaxed: a stress of {run.stress:.2g} GPa is left"}
    if run.asymmetry > _ASYMMETRY * np.abs(c).max() or run.change > _STRESS:
        return {"rejected": "changes under the strain: its stresses are not those of one crystal"}
    if not stable(c):
        return {"rejected": "unstable: its tensor is not positive definite"}
    numbers = np.array([SYMBOLS.index(e) for e in potential.elements])[run.types - 1]
    group = find(run.cell, run.sites, numbers, _TOLERANCE)
    if group is None:
        return {"rejected": "spglib finds no space group of the relaxed crystal"}
    return {
        "cell": group.primitive.tolist(), "sites": group.primitive_sites.tolist(),
        "numbers": group.primitive_numbers.tolist(), "space_group": group.number,
        "stiffness": c.tolist(), "energy": run.energy, "volume": run.volume,
    }  # fmt: skip


def made(
    potential: Potential, crystals: Sequence[Decorated], path: Path, minutes: float
) -> list[dict[str, Any]]:
    """Return the lines of a file, after those that it lacks have been made, as far as the time allows.

    Parameters
    ----------
    potential, crystals
        The potential, and the crystals in the order in which they are made.
    path
        File of one JSON object a line; it goes on where it was. It is of one potential.
    minutes
        Crystals are begun for so long, of the processor: LAMMPS runs within this process.

    Raises
    ------
    DeckError
        LAMMPS' Python module or its potentials are missing.
    SettingError
        The file is of another potential, or none of ours.
    """
    about = {"potential": [potential.style, *potential.coefficients, *potential.elements]}
    if path.exists():
        text = path.read_text()
        whole = text[: text.rfind("\n") + 1]  # a run that was killed may have left a part of a line
        if whole != text:
            path.write_text(whole)
        try:
            first, *lines = [json.loads(row) for row in whole.splitlines()]
        except ValueError as error:
            raise SettingError(
                f"'{path}' cannot be read ({error}); give another file, or remove it"
            ) from None
        if first != about:
            raise SettingError(
                f"'{path}' has the tensors of {first.get('potential')}; give another file for another "
                "potential"
            )
    else:
        lines = []
        path.write_text(json.dumps(about) + "\n")
    potential.lines()  # a potential that is missing is told before the first crystal
    known = {line["name"] for line in lines}
    lammps = LammpsLibrary(_LIMIT)
    started = time.process_time()
    with path.open("a") as file:
        for crystal in crystals:
            if time.process_time() - started > 60 * minutes:
                break
            if crystal.name in known:
                continue
            lines.append(label(crystal, potential, lammps))
            file.write(json.dumps(lines[-1]) + "\n")
            file.flush()
            log.info("%s %s", crystal.name, lines[-1].get("rejected", "kept"))
    lammps.close()
    return lines


def part_of(prototype: str) -> str:
    """Return ``train``, ``validation`` or ``test``: the same for all prototypes of one label."""
    digest = hashlib.sha256(prototype.partition(":")[0].encode()).digest()
    at = int.from_bytes(digest[:8], "big") / 2.0**64
    for name, share in _PARTS.items():
        if at < share:
            return name
        at -= share
    return "train"


def dealt(lines: Sequence[dict[str, Any]]) -> dict[str, list[Record]]:
    """Return the crystals that have a tensor by parts, each crystal once.

    Different prototypes may relax to the same crystal. It is then of the part of training if one of them
    is, else of validation if one is: no crystal of the test has taken part in the training.
    """
    parts: dict[str, list[Record]] = {"train": [], "validation": [], "test": []}
    taken: list[tuple[str, float, float]] = []
    for name, records in parts.items():
        for line in lines:
            if "rejected" in line or part_of(line["prototype"]) != name:
                continue
            numbers = np.array(line["numbers"], dtype=np.int64)
            own = formula(numbers), line["energy"], line["volume"]
            if any(_same(own, other) for other in taken):
                continue
            taken.append(own)
            records.append(
                Record(
                    line["name"], own[0], np.array(line["cell"]), np.array(line["sites"]), numbers,
                    from_voigt(np.array(line["stiffness"])),
                )
            )  # fmt: skip
    return parts


def _same(a: tuple[str, float, float], b: tuple[str, float, float]) -> bool:
    return a[0] == b[0] and abs(a[1] - b[1]) < _ENERGY and abs(a[2] / b[2] - 1.0) < _VOLUME


def rejected(lines: Sequence[dict[str, Any]]) -> Iterator[tuple[str, int]]:
    """Yield why crystals have no tensor, and how many of them."""
    reasons = [line["rejected"].partition(":")[0] for line in lines if "rejected" in line]
    for reason in sorted(set(reasons)):
        yield reason, reasons.count(reason)
