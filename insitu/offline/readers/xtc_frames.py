# SPDX-License-Identifier: BSD-3-Clause
"""XTC and TRR files, unpacked in a process of their own.

The library that MDAnalysis has for them trusts what they say: a damaged XTC file makes it write beyond its
memory, a damaged TRR file divide by no atoms, and the whole process is aborted. Here that is the child's
end, and an error of the frame.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Generator
from typing import IO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from insitu.offline.readers.dump_frame import Wanted

#: Atoms (0: not wanted, -1: an error follows), step, time [ps], box [nm].
_HEAD = struct.Struct("<qqf9f")
#: Processor time that a frame may take [s]; damaged ones may loop for ever.
_LONGEST = 120
_END = -2
_NUMBERS = {"xtc": "packed numbers", "trr": "headers"}


class Frame(NamedTuple):
    """A frame: positions ``(n, 3)`` and box ``(3, 3)`` [nm], time [ps]."""

    x: NDArray[np.float32]
    box: NDArray[np.float32]
    step: int
    time: float


def frames(path: str, kind: str, wanted: Wanted) -> Generator[Frame | None, None, None]:
    """Yield the frames of a file; None for one that is not wanted.

    Parameters
    ----------
    path, kind
        The file, ``xtc`` or ``trr``.
    wanted
        Whether frame k is wanted.

    Raises
    ------
    OSError
        A frame cannot be unpacked.
    """
    command = [sys.executable, "-P", "-m", "insitu.offline.readers.xtc_frames", kind, path]
    child = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert child.stdin is not None
    assert child.stdout is not None
    number = 0
    try:
        while True:
            try:
                child.stdin.write(b"1" if wanted(number) else b"0")
                child.stdin.flush()
            except BrokenPipeError:
                pass  # what the child said before is still there
            head = child.stdout.read(_HEAD.size)
            if len(head) < _HEAD.size:
                if (status := child.wait()) > 0:  # a library that aborts leaves a signal
                    raise ImportError(f"{sys.executable} -m {__name__} ends with status {status}")
                raise OSError(f"its {_NUMBERS[kind]} are damaged")
            n, step, time, *box = _HEAD.unpack(head)
            if n == _END:
                return
            if n < 0:
                raise OSError(child.stdout.read().decode(errors="replace"))
            raw = child.stdout.read(12 * n)
            if len(raw) < 12 * n:
                raise OSError(f"its {_NUMBERS[kind]} are damaged")
            x = np.frombuffer(raw, dtype=np.float32).reshape(n, 3)
            edges = np.reshape(np.array(box, dtype=np.float32), (3, 3))
            yield Frame(x, edges, step, time) if n else None
            number += 1
    finally:
        child.kill()
        child.stdin.close()
        child.stdout.close()
        child.wait()


def _serve(kind: str, path: str, asked: IO[bytes], told: IO[bytes]) -> None:
    """Unpack a frame for each byte that comes in."""
    import resource

    from MDAnalysis.lib.formats.libmdaxdr import TRRFile, XTCFile

    nothing, whole = [0.0] * 9, 0
    try:
        with (XTCFile if kind == "xtc" else TRRFile)(path) as file:
            for word in iter(lambda: asked.read(1), b""):
                used = resource.getrusage(resource.RUSAGE_SELF)
                limit = int(used.ru_utime + used.ru_stime) + _LONGEST
                # What the user may use (ulimit -t) can be less, and cannot be raised again.
                hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
                if hard != resource.RLIM_INFINITY:
                    limit = min(limit, hard)
                resource.setrlimit(resource.RLIMIT_CPU, (limit, hard))
                try:
                    frame = file.read()
                    while kind == "trr" and not frame.hasx:  # velocities or forces only
                        whole = file._bytes_tell()
                        frame = file.read()
                    whole = file._bytes_tell()
                except StopIteration:
                    if rest := os.path.getsize(path) - whole:
                        raise OSError(f"the file ends {rest} bytes into it") from None
                    told.write(_HEAD.pack(_END, 0, 0.0, *nothing))
                    break
                x = np.ascontiguousarray(frame.x, dtype="<f4")[
                    : len(frame.x) if word == b"1" else 0
                ]
                told.write(
                    _HEAD.pack(len(x), frame.step, frame.time, *map(float, frame.box.ravel()))
                )
                told.write(x.tobytes())
                told.flush()
    except Exception as error:
        told.write(_HEAD.pack(-1, 0, 0.0, *nothing) + str(error).encode())
    told.flush()


if __name__ == "__main__":
    _serve(sys.argv[1], sys.argv[2], sys.stdin.buffer, sys.stdout.buffer)
