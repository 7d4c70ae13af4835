# SPDX-License-Identifier: BSD-3-Clause
"""What a LAMMPS log says about how far its run will go."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

_RUN = re.compile(r"\s*run\s+(\d+)\b(.*)")
_OTHER = re.compile(r"\s*(minimize|rerun|run)\b")
_HEAD = re.compile(r"\s*Step\b")
_ROW = re.compile(r"\s*(\d+)\s")
_MOST = 50_000_000  # bytes of a log that are read


def last_step(lines: Iterable[str]) -> int | None:
    """Return the step at which the last `run` of a log ends, or None if it does not say so.

    A `run` counts from the first step that is printed after it; LAMMPS prints commands with their
    variables put in.
    """
    target: int | None = None
    length: int | None = None
    in_table = False
    for line in lines:
        if found := _RUN.match(line):
            upto = "upto" in found[2].split()
            target, length = (int(found[1]), None) if upto else (None, int(found[1]))
            in_table = False
        elif _OTHER.match(line):  # `run ${steps}` comes again with its number
            target = length = None
        elif _HEAD.match(line):
            in_table = True
        elif length is not None and in_table and (row := _ROW.match(line)):
            target, length = int(row[1]) + length, None
    return target


def target_of(attributes: Mapping[str, Any]) -> int | None:
    """Return the last step of the run that wrote a history, from its log, or None.

    Parameters
    ----------
    attributes
        The provenance of the history: its ``command`` may name the log (``-log``), which else is
        ``log.lammps`` in ``folder``.
    """
    try:
        words = shlex.split(str(attributes.get("command", "")))
    except ValueError:
        return None
    named = [words[i + 1] for i, word in enumerate(words[:-1]) if word in ("-log", "-l")]
    path = Path(str(attributes.get("folder", "")), named[-1] if named else "log.lammps")
    try:
        if path.stat().st_size > _MOST:
            return None
        with path.open(encoding="utf-8", errors="replace") as lines:
            return last_step(lines)
    except OSError:
        return None
