# SPDX-License-Identifier: BSD-3-Clause
"""The trajectories of a recipe with ``[[material]]``: what is simulated for each part of the split."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from insitu.errors import SettingError

#: Parts of the split.
ROLES = ("training", "selection", "headline")
#: Kinds of trajectories that start from a melt.
MOLTEN = ("melt", "glass")


@dataclass(frozen=True)
class Job:
    """One trajectory: a material, what is simulated of it, and the seed of its velocities."""

    material: dict[str, Any]
    kind: str
    seed: int
    #: Temperatures [units of melting] in order.
    temperatures: tuple[float, ...]
    atoms: int
    #: 3 × 3 deformations [relative], one after the other at the first temperature.
    strains: tuple[tuple[float, ...], ...] = ()

    @property
    def name(self) -> str:
        """Folder of the trajectory."""
        return f"{self.material['name']}-{self.kind}-{self.seed}"


def jobs(recipe: dict[str, Any], role: str) -> list[Job]:
    """Return the trajectories of one part of the split.

    Parameters
    ----------
    recipe
        With ``[protocol]`` and ``[[material]]``; where no material has the part's role, the part is
        made of the training materials with other seeds: split by trajectory only. A material's own
        ``protocol`` goes before the common one.
    role
        "training", "selection" or "headline".

    Raises
    ------
    SettingError
        A material has another role.
    """
    common = recipe["protocol"] | (recipe.get("headline", {}) if role == "headline" else {})
    materials = recipe["material"]
    if wrong := [m for m in materials if m.get("role", "training") not in ROLES]:
        raise SettingError(
            f"material '{wrong[0]['name']}' has the role '{wrong[0]['role']}'; give one of {ROLES}"
        )
    own = any(m.get("role", "training") == role for m in materials)
    wanted, shift = (role, 0) if own else ("training", {"selection": 500, "headline": 700}[role])
    found: list[Job] = []
    for number, m in enumerate(materials):
        if m.get("role", "training") != wanted:
            continue
        p = common | m.get("protocol", {})
        atoms = m.get("atoms", p["atoms"])
        base = Job(m, "", m.get("seed", 1000 * (number + 1)) + shift, tuple(p["crystal"]), atoms)
        if m.get("crystal", True):
            kinds = [*m["structures"]] + ["stack"] * bool(m.get("stacking"))
            found += [replace(base, kind=k, seed=base.seed + i) for i, k in enumerate(kinds)]
            if role == "training" and "stack" in kinds and p.get("faults"):
                found.append(_faults(base, p))
        if m.get("liquid", True):
            stairs = tuple(p["liquid"] + (p["glass"] if m.get("glass") else []))
            found.append(replace(base, kind="melt", seed=base.seed + 90, temperatures=stairs))
            again = p.get("undercooled", []) if role == "training" else []
            for k, stairs in enumerate(again, start=91):
                found.append(
                    replace(base, kind="melt", seed=base.seed + k, temperatures=tuple(stairs))
                )
        if m.get("quenched"):
            found.append(
                replace(base, kind="glass", seed=base.seed + 95, temperatures=tuple(p["quenched"]),
                        atoms=p["quenched_atoms"])
            )  # fmt: skip
        if role == "headline" and m.get("crystal", True):
            found += _headline_jobs(base, p)
    return found


def _faults(base: Job, p: dict[str, Any]) -> Job:
    """Return the trajectory with one intrinsic fault and two twin boundaries."""
    return replace(base, kind="stack-faults", seed=base.seed + 20, temperatures=tuple(p["faults"]))


def _headline_jobs(base: Job, p: dict[str, Any]) -> list[Job]:
    """Return what only the headline measures: single faults and twins, strained and large crystals."""
    m, found = base.material, []
    first = next(iter(m["structures"]))
    if m.get("stacking"):
        found.append(_faults(base, p))
    if m.get("strained", True):
        strains = tuple(tuple(e) for e in p["strains"])
        for k, t in enumerate(p["strained"]):
            found.append(
                replace(base, kind=f"{first}-strained", seed=base.seed + 30 + k, temperatures=(t,),
                        strains=strains)
            )  # fmt: skip
    if m.get("large"):
        found.append(replace(base, kind=first, seed=base.seed + 40, atoms=m["large"],
                             temperatures=tuple(p["superheated"])))  # fmt: skip
    return found
