# SPDX-License-Identifier: BSD-3-Clause
"""SIGTERM, as batch systems send it ahead of a time limit: the run is asked to end, not killed.

Python's own handler only notes the signal, whatever LAMMPS is doing. The note is read at the next
analysed frame, where all ranks agree (:meth:`insitu.pipeline.pipeline.Pipeline.frame`).
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from types import FrameType

log = logging.getLogger(__name__)

_state = {"asked": False, "watching": 0}


def watch() -> None:
    """Have SIGTERM noted from now on, unless something else handles or ignores it."""
    _state["watching"] += 1
    if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        return
    try:
        signal.signal(signal.SIGTERM, _note)
    except ValueError:  # not the main thread of this Python
        log.debug("insitu: SIGTERM cannot be noted here and ends the process", exc_info=True)
        return
    # LAMMPS' writes are to go on after the signal, not to fail.
    signal.siginterrupt(signal.SIGTERM, False)


def release() -> None:
    """Undo one :func:`watch`: after the last one SIGTERM kills again, nothing would read the note."""
    _state["watching"] -= 1
    if not _state["watching"] and signal.getsignal(signal.SIGTERM) is _note:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def asked() -> bool:
    """Return whether this process was asked to end."""
    return bool(_state["asked"])


def _note(number: int, frame: FrameType | None) -> None:
    # A program that drives LAMMPS and is not in a run dies as it would without insitu. The Python
    # inside a LAMMPS is never anywhere else: there the deck goes to its end.
    if sys.orig_argv and not _in_callback(frame):
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    _state["asked"] = True


#: What LAMMPS calls.
_CALLED = ("insitu.lammps.hook", "insitu.lammps.monitor")


def _in_callback(frame: FrameType | None) -> bool:
    """Return whether LAMMPS has called: one of its hooks is among the functions being carried out."""
    while frame is not None:
        if frame.f_globals.get("__name__") in _CALLED:
            return True
        frame = frame.f_back
    return False
