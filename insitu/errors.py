# SPDX-License-Identifier: BSD-3-Clause
"""The one exception family of the package, and the did-you-mean for misspelt names."""

from __future__ import annotations

import difflib
import logging
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)


class InsituError(Exception):
    """Base of every error that insitu raises on purpose.

    The message names the setting, its value, what is allowed, and what to do next.
    """


class SettingError(InsituError, ValueError):
    """A setting (keyword of the fix line, of a function or of the command line) is not usable."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raise SettingError, with the path and what to do, where the file that is written fails."""
    try:
        yield
    except OSError as error:
        raise SettingError(
            f"file='{path}' could not be written ({error.strerror or error}); give a file name in "
            "a directory that exists and is writable."
        ) from error


def check_suffix(path: Path, what: str, suffixes: Sequence[str], hint: str = "") -> None:
    """Check that the suffix of a file to be written is one of those that there are.

    Parameters
    ----------
    path
        The file.
    what
        Cannot be done with another suffix, such as "a plot cannot be written".
    suffixes
        Allowed ones, in small letters.
    hint
        Follows the message.

    Raises
    ------
    SettingError
        It is another one.
    """
    if path.suffix.lower() in suffixes:
        return
    *most, last = suffixes
    allowed = f"{', '.join(most)} or {last}" if most else last
    raise SettingError(
        f"file='{path}': {what} as '{path.suffix}'; give a name that ends in {allowed}.{hint}"
    )


class DeckError(InsituError):
    """The LAMMPS deck or build has to be changed before the analysis can be right."""


class ModelError(InsituError):
    """A model artefact is missing, damaged, or does not fit the request."""


class HistoryError(InsituError):
    """A phase history cannot be created, appended to, or read."""


class StorageError(HistoryError):
    """The file system does not take what is written: it is full, broken, or does not answer."""


def did_you_mean(word: str, allowed: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the nearest allowed word, or an empty string.

    Parameters
    ----------
    word
        What the user wrote.
    allowed
        The words that would have been accepted.
    """
    words = list(allowed)
    begun = [w for w in words if len(word) > 2 and w.startswith(word)]
    near = begun if len(begun) == 1 else difflib.get_close_matches(word, words, n=1, cutoff=0.6)
    return f" Did you mean '{near[0]}'?" if near else ""


def guarded(stage: Callable[[], object]) -> str | None:
    """Run a local stage; return its problem in words, or None."""
    try:
        stage()
    except Exception as error:
        return describe(error)
    return None


def describe(error: Exception) -> str:
    """Return an error as a message: our own as they are, others with where they happened."""
    if isinstance(error, InsituError):
        return str(error)
    where = traceback.extract_tb(error.__traceback__)[-1]
    text = f"{type(error).__name__}: {error} ({os.path.basename(where.filename)}:{where.lineno})"
    log.debug("insitu: %s", text, exc_info=error)
    return text


def write_line(message: str) -> None:
    """Write a message to stderr for the user of a LAMMPS that calls us, as one line or block of lines.

    It is one write: `print` sends the end of the line by itself, and what another rank writes between the
    two makes advice like ``comm_modify cutoff 6.7`` a line that cannot be pasted.
    """
    sys.stderr.write(f"insitu: {message}\n")
    sys.stderr.flush()


def say(message: str) -> None:
    """Print a message from inside LAMMPS, where there is no caller to raise to, before an abort."""
    write_line(message)
    time.sleep(1.0)  # launchers drop what they have not yet passed on when a process ends badly


def leave(message: str) -> NoReturn:
    """End this process so that the launcher ends all: for a failure before ranks can agree."""
    say(message)
    os._exit(1)


def launched() -> tuple[int, str]:
    """Return how many processes the launcher started, and whose launcher it is (1, "" if none)."""
    for variable, launcher in (
        ("PMI_SIZE", "MPICH's mpiexec"), ("OMPI_COMM_WORLD_SIZE", "Open MPI's mpiexec"),
        ("SLURM_STEP_NUM_TASKS", "SLURM's srun"),
    ):  # fmt: skip
        if os.environ.get(variable, "").isdigit():
            return int(os.environ[variable]), launcher
    return 1, ""


def one_of(name: str, word: str, allowed: tuple[str, ...]) -> None:
    """Raise SettingError if a setting's word is not among the allowed ones."""
    if word not in allowed:
        raise SettingError(
            f"{name}='{word}' is not known; allowed: {', '.join(allowed)}."
            f"{did_you_mean(str(word), allowed)}"
        )
