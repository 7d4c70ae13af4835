# SPDX-License-Identifier: BSD-3-Clause
"""Trajectories of a recipe whose snapshots are annotated: its own deck, run once for each seed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from insitu.progress import bar
from insitu.training.runs import potentials_folder, run_lammps


def heat(recipe: dict[str, Any], data: Path, *, workers: int = 1) -> None:
    """Run the ``[[trajectory]]`` of a recipe that `data` does not hold yet, from the same deck.

    Parameters
    ----------
    recipe
        ``[protocol]`` has the `deck`, in which ``{potentials}``, ``{seed}`` and the protocol's other
        keys are filled in; each ``[[trajectory]]`` a `name` (its folder) and a `seed`, and what it
        has different from the protocol.
    data
        Folder of all trajectories.
    workers
        Simulations at a time.

    Raises
    ------
    DeckError
        LAMMPS is missing or failed; its last lines are in the message.
    """
    with ThreadPoolExecutor(workers) as pool:
        runs = [pool.submit(_run, recipe, t, data) for t in recipe.get("trajectory", [])]
        for run in bar(runs, "molecular dynamics"):
            run.result()


def _run(recipe: dict[str, Any], trajectory: dict[str, Any], data: Path) -> None:
    folder = data / str(trajectory["name"])
    values = recipe["protocol"] | trajectory
    deck = str(values["deck"]).replace("{potentials}", str(potentials_folder()))
    for key, value in values.items():
        deck = deck.replace("{" + key + "}", str(value))
    done = folder / "done"
    if done.exists() and (folder / "in.deck").read_text() == deck:
        return
    folder.mkdir(parents=True, exist_ok=True)
    done.unlink(missing_ok=True)
    run_lammps(folder, deck)
    done.touch()
