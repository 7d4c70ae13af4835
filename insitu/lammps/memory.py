# SPDX-License-Identifier: BSD-3-Clause
"""What LAMMPS' C library does not tell: read from the memory of the process, and checked.

Every address is read through the operating system, so that a wrong one is an answer and no crash;
whatever does not look as expected counts as unknown.
"""

from __future__ import annotations

import functools
import itertools
import os
import struct

_POINTERS = 24  # members of class LAMMPS that are looked at; `group` is the twelfth
_WORDS = 48  # of an object
_MOST = 32  # groups
_MEMBERS = 40  # of class Update that are looked at


@functools.cache
def _memory(process: int) -> int:
    """Return a descriptor of a process' own memory, -1 without one. A fork's is another process' memory."""
    try:
        return os.open("/proc/self/mem", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1


def read(address: int, size: int) -> bytes:
    """Return bytes of this process, fewer or none where there are none."""
    try:
        return os.pread(_memory(os.getpid()), size, address)
    except (OSError, OverflowError, ValueError):
        return b""


def words(address: int, count: int) -> tuple[int, ...]:
    """Return 8-byte integers at an address, or nothing."""
    raw = read(address, 8 * count)
    return struct.unpack(f"{count}q", raw) if len(raw) == 8 * count else ()


def group_bits(handle: int) -> dict[str, int]:
    """Return the groups of a LAMMPS instance and their bits; empty if they cannot be found.

    `lammps_id_name` of releases before 22 Jul 2025 crashes on the place of a deleted group.

    Parameters
    ----------
    handle
        Address of the LAMMPS instance. Its class begins with pointers to its parts; class Group
        holds, one after the other, the number of groups, their names and their bits.
    """
    bits = tuple((1 << k) - (1 << 32 if k == 31 else 0) for k in range(_MOST))
    for part in words(handle, _POINTERS):
        members = words(part, _WORDS)
        for names, masks in itertools.pairwise(members):
            raw = read(masks, 4 * _MOST)
            if len(raw) != 4 * _MOST or struct.unpack(f"{_MOST}i", raw) != bits:
                continue
            texts = [_text(address) for address in words(names, _MOST)]
            if texts[:1] == ["all"]:
                return {text: 1 << k for k, text in enumerate(texts) if text}
    return {}


def skin(handle: int) -> float | None:
    """Return the neighbour skin of a LAMMPS instance [deck's unit], None if it cannot be found.

    Parameters
    ----------
    handle
        Address of the LAMMPS instance. Class Neighbor holds, one after the other, the skin, the
        shortest and the longest neighbour cutoff, and the square of the latter.
    """
    for part in words(handle, _POINTERS):
        raw = read(part, 8 * _WORDS)
        if len(raw) != 8 * _WORDS:
            continue
        doubles: tuple[float, ...] = struct.unpack(f"{_WORDS}d", raw)
        for k in range(_WORDS - 3):
            distance, shortest, longest, squared = doubles[k : k + 4]
            if 0.0 <= distance <= shortest <= longest and 0.0 < squared == longest * longest:
                return distance
    return None


def _text(address: int) -> str:
    raw = read(address, 64) if address else b""
    return raw.split(b"\0")[0].decode("ascii", errors="replace")


def run_span(step_at: int, time_at: int, time_step_at: int) -> tuple[int | None, int | None]:
    """Return first and last step of the present run, None if they are not known.

    Parameters
    ----------
    step_at, time_at, time_step_at
        Addresses of `ntimestep`, `atime` and `atimestep`. In class Update, in every release since
        2011, the number of steps and the kind of run lie before `atime`, and after `atimestep`
        the first and last step of the run and of a sequence of runs. A `rerun` has no span.
    """
    raw = read(step_at, 16)
    span = words(time_step_at, 5)
    if time_at != step_at + 16 or len(raw) != 16 or not span:
        return None, None
    step, count, kind = struct.unpack("qii", raw)
    _, first, last, begin, end = span
    plausible = begin <= first <= step <= last <= end and kind == 1 and count == last - first
    return (first, last) if plausible else (None, None)


def tallied(ntimestep: int, units: int, step: int) -> tuple[bool, bool]:
    """Return whether LAMMPS has added up energy and virial at the present step.

    The C library has no question for this. Update holds, in this order in every release since 2015:
    ntimestep … eflag_global, eflag_atom, vflag_global, vflag_atom, unit_style. Both ends are known to
    the C library, so the four in between are found without knowing the layout; anything unexpected
    counts as "not tallied".

    Parameters
    ----------
    ntimestep, units
        Addresses of both ends; of a LAMMPS whose steps have 64 bits.
    step
        The present step.
    """
    data = read(ntimestep, 8 * _MEMBERS)
    words = struct.unpack(f"={len(data) // 8}q", data[: len(data) // 8 * 8])
    at = next((k for k in range(5, len(words)) if words[k] == units), None)
    if at is None:
        return False, False
    return words[at - 4] == step, words[at - 2] == step
