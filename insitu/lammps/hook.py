# SPDX-License-Identifier: BSD-3-Clause
"""What ``fix insitu`` calls, with words: the counterpart of the callable of ``fix python/invoke``."""

from __future__ import annotations

import logging
import os
from typing import Any

from insitu.errors import InsituError, SettingError
from insitu.lammps.monitor import Monitor
from insitu.pipeline.given_settings import from_words
from insitu.pipeline.settings import MOST_STEPS, check_multiple

log = logging.getLogger(__name__)


_fixes: dict[tuple[int, str], Monitor] = {}


def fix_call(action: str, handle: int, text: bytes | str) -> str:
    """Serve ``fix insitu``: never raises, answers ``"ok …"`` or the error message for LAMMPS.

    Parameters
    ----------
    action
        "create", "ghosts" (LAMMPS can be told how far they have to reach), "setup", "step", "ended",
        which a run has, or "destroy".
    handle
        Address of the LAMMPS instance.
    text
        Fields separated by the character 31, the first is the fix's ID. Create: group, N and the
        keywords. Others: addresses of the fractions and of the per-atom array; setup also 1 in a
        minimisation; ghosts the fields of :class:`insitu.frame.ghosts.cutoff.HostCutoff`, and 1 if a run
        begins.

    Returns
    -------
    str
        Behind "ok" (setup): 1 if the present step was analysed. Ghosts: the cutoff to be set, 0 for none,
        the number of steps until it should be looked at again, and a line about it. Step: that number.
        Create: the interval in steps, the number of phases, the number of rows of fractions (all, groups,
        types), and a line for LAMMPS' log that names them.
    """
    try:
        identity, *words = (text if isinstance(text, str) else text.decode()).split("\x1f")
    except UnicodeDecodeError:
        return (
            "the fix line has characters other than ASCII, some of which LAMMPS replaces in a deck, as its "
            "warning says; write names of files and groups in ASCII"
        )
    key = (handle, identity)
    fix = _fixes.get(key)
    try:
        if action == "create":
            return _create(key, words)
        if action == "destroy":
            if fix is not None:
                fix.close()
                del _fixes[key]
            return "ok"
        if fix is None:
            return f"fix {identity} is not set up"
        fix.pipeline.feedback.plugin = (int(words[0]), int(words[1]))
        if action == "ghosts":
            fix.ghost_cutoff = (0.0, MOST_STEPS, "")
            fix.attempt(handle, lambda view: _ghosts(fix, view, words[2:]))
            return "ok {:.15g} {} {}".format(*fix.ghost_cutoff)
        if action == "setup":
            fix.analysed = False
            fix.attempt(handle, lambda view: _setup(fix, view, words[2:]))
            return f"ok {int(fix.analysed)}"
        if action == "ended":
            fix.attempt(handle, lambda view: fix.pipeline.ended())
            return "ok"
        fix.attempt(handle, fix.step)
        look = MOST_STEPS if fix.disabled else fix.pipeline.frames.next_look()
        # Under overlap LAMMPS calls more often than there are frames: which steps need energy and virial.
        frames = fix.settings.every if fix.pipeline.overlap else None
        return f"ok {look} {frames}" if frames else f"ok {look}"
    except InsituError as error:
        return str(error)
    except Exception as error:
        if fix is not None:
            fix.stop_all(error)
        return f"{type(error).__name__}: {error}"


def _ghosts(fix: Monitor, view: Any, words: list[str]) -> None:
    from insitu.frame.ghosts.cutoff import HostCutoff

    reach, raised, skin, multi, most, first = words
    host = HostCutoff(float(reach), float(raised), float(skin), multi == "1", float(most))
    fix.ghost_cutoff = fix.pipeline.ghost_cutoff(view, host, first == "1")


def _setup(fix: Monitor, view: Any, words: list[str]) -> None:
    fix.pipeline.settle()
    if words == ["1"]:
        if fix.pipeline.ranks.rank == 0 and not fix.minimised:
            more = "" if fix.settings.first else ", and `first yes` to the fix line"
            log.warning(
                "insitu: a minimisation is not analysed; for its end state add `run 0` after it%s",
                more,
            )
        fix.minimised = fix.unseen = True
        return
    fix.pipeline.frames.take(view)
    first = fix.settings.first and (
        not fix.begun
        or fix.pipeline.is_rewound(view)
        or (fix.unseen and fix.pipeline.is_past_last(view.step))
    )
    fix.unseen = False
    fix.pipeline.begin(view, first)
    if first:
        fix.pipeline.frame(view)
        fix.analysed = True
    fix.begun = True


def _create(key: tuple[int, str], words: list[str]) -> str:
    group, number, *rest = words
    handle, identity = key
    try:
        n = int(number)
    except ValueError:
        raise SettingError(
            f"N={number} is not a number of steps; write `fix {identity} {group} insitu N keyword "
            "value …`, for example N = 100"
        ) from None
    if not 1 <= n <= MOST_STEPS:
        raise SettingError(f"N={n} is not a number of steps; give 1 … {MOST_STEPS}")
    if "group" in rest[::2]:
        raise SettingError(
            "the setting 'group' belongs to fix python/invoke; fix insitu analyses its own group: "
            f"`fix {identity} GROUP insitu …`"
        )
    chosen = from_words(["group", group, *rest])
    every = chosen.every or n
    if every % n:
        raise SettingError(
            f"every={every} is not a multiple of the fix's N={n}; give one, or leave it out"
        )
    for name in ("every_max", "atoms"):
        if value := getattr(chosen, name):
            check_multiple(name, value, every)
    for (_, other), fix in ((k, f) for k, f in _fixes.items() if k != key):
        same = os.path.realpath(fix.settings.file) == os.path.realpath(chosen.file)
        if same and {chosen.if_exists, fix.settings.if_exists} != {"new"}:
            raise SettingError(
                f"file='{chosen.file}' is written by fix {other} already; give each fix its own file"
            )
    from insitu.lammps.view import LammpsView

    monitor = Monitor(chosen)
    monitor.of_plugin = True
    try:
        pipeline = monitor.prepare(LammpsView(handle))
    except InsituError:
        raise  # on all ranks
    except Exception as error:
        monitor.stop_all(error)
        raise
    _fixes[key] = monitor
    if pipeline.often or pipeline.overlap:
        every = n  # the fix has to be called at these steps as well; is_due tells which count
    if pipeline.overlap:
        pipeline.overlap.stride = n
    columns = ", ".join(f"[{k}] {name}" for k, name in enumerate(pipeline.classes, 1))
    rows = ", ".join(f"[{k}] {name}" for k, name in enumerate(["all", *pipeline.row_names], 1))
    return (
        f"ok {every} {len(pipeline.classes)} {1 + len(pipeline.row_names)} insitu: fractions in "
        f"f_{identity}: {columns}; in f_{identity}[row][column] the rows: {rows}"
    )
