# SPDX-License-Identifier: BSD-3-Clause
"""Jobs of the tests: the scripts of slurm/ on the controller, in a folder of their own."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from controller import Controller

import insitu
from insitu.history.check import check_file
from insitu.history.reader import writers

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = ROOT / "slurm"
DECK = ROOT / "lammps_inputs" / "in.job"
#: A run that no test waits for the end of, in the smallest size.
ENDLESS = ("-var", "cells", "3", "-var", "every", "20", "-var", "often", "60",
           "-var", "total", "100000000")  # fmt: skip


@dataclass
class Cluster:
    """The controller, a folder to work in, and one of the two hosts' environments."""

    slurm: Controller
    folder: Path
    host: str
    variables: dict[str, str]
    jobs: list[str] = field(default_factory=list)

    def call(self, *command: str, check: bool = True) -> str:
        return self.slurm.call(*command, check=check, cwd=self.folder, environment=self.variables)

    def sbatch(self, *words: object) -> str:
        """Submit a job; return its number."""
        self.jobs.append(self.call("sbatch", "--parsable", *map(str, words)).strip())
        return self.jobs[-1]

    def run(self, *words: object, time: str = "10") -> str:
        """Submit run_cpu.sbatch with the deck of jobs."""
        return self.sbatch("--ntasks=2", f"--time={time}", SCRIPTS / "run_cpu.sbatch", DECK, *words)

    @property
    def history(self) -> Path:
        return self.folder / "phases.h5"

    def steps(self) -> list[int]:
        """Return the steps of the history as it is now, none if there is none."""
        try:
            found: list[int] = insitu.open(str(self.history))["step"].values.tolist()
        except insitu.InsituError:
            return []
        return found

    def frames(self, number: int) -> None:
        """Wait until the history has that many frames."""
        self.slurm.wait(lambda: len(self.steps()) >= number, f"{number} frames")

    def continued(self, times: int = 1) -> None:
        """Wait until a later job, or try, has written two frames into the history."""

        def jobs() -> int:
            try:
                return len(writers(self.history))
            except (insitu.InsituError, OSError):
                return 0  # it is being replaced

        self.slurm.wait(lambda: jobs() == 1 + times, "a continued history")
        self.frames(len(self.steps()) + 2)

    def output(self, job: str) -> str:
        path = self.folder / f"slurm-{job}.out"
        return path.read_text(errors="replace") if path.exists() else ""

    def processes(self) -> list[int]:
        """Return the processes that work in the folder."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if (entry / "cwd").samefile(self.folder):
                    found.append(int(entry.name))
            except OSError:
                continue
        return found

    def gone(self) -> None:
        """Wait until no process of a job is left."""
        self.slurm.wait(lambda: not self.processes(), "the end of all processes")

    def assert_sound(self) -> None:
        """The history is valid and complete, each frame is there once, and nothing lies beside it."""
        assert check_file(self.history) == []
        steps = self.steps()
        assert steps == list(range(20, steps[-1] + 1, 20))
        assert list(self.folder.glob(".*")) == []
