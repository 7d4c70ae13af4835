# SPDX-License-Identifier: BSD-3-Clause
"""Temperatures at which trajectories change their state, from their energy; labels are set by them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from insitu.errors import SettingError
from insitu.training.dynamics.stages import curve, simulate
from insitu.transitions import Estimate, energy_step, kink

#: What a range of temperatures can be a multiple of.
LANDMARKS = ("melting", "kink")


@dataclass(frozen=True)
class Landmarks:
    """What a recipe's ranges are multiples of.

    Parameters
    ----------
    kink
        Of the energies of all trajectories that labels were made for, in one fit; None: no range asks.
    melting
        Energy step of each trajectory, by seed: where a superheated crystal melts is a matter of chance.
    """

    kink: Estimate | None
    melting: dict[int, Estimate]

    def range(self, rule: dict[str, Any], seed: int) -> tuple[float, float]:
        """Return the temperatures of the thermostat between which a rule labels a trajectory [K].

        Raises
        ------
        SettingError
            The rule names no range, or a landmark that is not known or was not found.
        """
        if "temperature" in rule:
            low, high = rule["temperature"]
            return float(low), float(high)
        of = rule.get("of")
        if of not in LANDMARKS or "between" not in rule:
            raise SettingError(
                f"[[labels]] of class '{rule['class']}' give no range; give temperature = [low, high] "
                f"in K, or between = [low, high] and of = one of {', '.join(LANDMARKS)}"
            )
        at = self.melting.get(seed) if of == "melting" else self.kink
        if at is None or not np.isfinite(at.temperature):
            raise SettingError(
                f"the labels of class '{rule['class']}' are relative to the {of}, which the energy of "
                f"trajectory {seed} does not show; look at its {rule['stage']}.thermo, or give "
                "temperature = [low, high] in K"
            )
        shares = list(rule["between"])
        if of == "kink":
            shares = [x if x < 1 else 1 + (x - 1) * self.shortened for x in shares]
        return shares[0] * at.temperature, shares[1] * at.temperature

    @property
    def shortened(self) -> float:
        """Factor on distances above the kink that makes them equal in energy to those below it.

        A liquid's structure changes faster than a glass's, as its energy does. A model's limit lies half
        way between its labels in structure: at equal distances in temperature it would lie above the kink.
        """
        assert self.kink is not None
        below, above = self.kink.slopes
        return below / above if below < above else 1.0


def find(recipe: dict[str, Any], data: Path) -> Landmarks:
    """Find the landmarks that a recipe's labels ask for in the energies of its trajectories.

    The kink is that of the trajectories that train and choose the epoch, not of those of the test. It is
    found from the means of the energy over the time between snapshots, of all of them in one fit, since
    that of one small sample is uncertain by tens of kelvins.

    Parameters
    ----------
    recipe
        ``[transition]`` names the stage and the window of the kink, ``[melting]`` the stage of the
        energy step.
    data
        Folder of the trajectories; what is missing is simulated.
    """
    asked = {rule.get("of") for rule in recipe["labels"]}
    split = recipe["data"]
    known = [*dict.fromkeys(split["train_seeds"] + split["validation_seeds"])]
    at, melting = None, {}
    if "kink" in asked:
        step = recipe["transition"]
        curves = [curve(recipe, simulate(recipe, s, data), step["stage"]) for s in known]
        line, energy = np.concatenate(curves, axis=1)
        at = kink(line, energy, tuple(step["window"]))
    if "melting" in asked:
        stage = recipe["melting"]["stage"]
        for s in dict.fromkeys(known + split["test_seeds"]):
            melting[s] = energy_step(*curve(recipe, simulate(recipe, s, data), stage))
    return Landmarks(at, melting)


def rows(recipe: dict[str, Any], marks: Landmarks) -> list[list[str]]:
    """Return class, stage, range and number of the labelled snapshots of a trajectory, for a table."""
    seed = recipe["data"]["train_seeds"][0]
    table = []
    for rule in recipe["labels"]:
        low, high = marks.range(rule, seed)
        words = f"{low:.0f} – {high:.0f}"
        if "of" in rule:
            words += f" ({rule['between'][0]:g} – {rule['between'][1]:g} of the {rule['of']})"
        table.append([rule["class"], rule["stage"], words, str(rule["number"])])
    return table
