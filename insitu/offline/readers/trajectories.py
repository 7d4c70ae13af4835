# SPDX-License-Identifier: BSD-3-Clause
"""Configurations in files: LAMMPS dumps and H5MD by readers of our own, all else by MDAnalysis or ASE."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from insitu.errors import SettingError
from insitu.offline.readers.ase_files import by_ase, to_atoms
from insitu.offline.readers.belonging import of_configuration
from insitu.offline.readers.binary_dump import BinaryDump, is_binary_dump
from insitu.offline.readers.configuration import Configuration
from insitu.offline.readers.dump_frame import Tell, Wanted
from insitu.offline.readers.lammps_dump import TextDump
from insitu.offline.readers.mdanalysis_files import (
    by_mdanalysis,
    is_for_mdanalysis,
    trajectory_kind,
)
from insitu.offline.readers.soundness import check
from insitu.offline.readers.streams import Stream
from insitu.offline.readers.xyz_dump import XyzDump, is_xyz, is_xyz_of_types

#: Bytes by which the format of a file is told.
_HEAD = 1 << 16
_PROGRAMS = {"gz": "gzip", "xz": "xz", "bz2": "bzip2", "zst": "zstd"}
_HDF5 = b"\x89HDF\r\n\x1a\n"
_DUMPS: dict[str, type[TextDump] | type[BinaryDump]] = {
    "text": TextDump,
    "binary": BinaryDump,
    "xyz": XyzDump,
}
#: Is told how many bytes were read.
Reached = Callable[[int], None]


def _nobody(position: int) -> None:
    """Take no notice."""


def read_file(
    path: str, wanted: Wanted, tell: Tell, everything: bool = False, reached: Reached = _nobody
) -> Iterator[Configuration | None]:
    """Yield the configurations of a file in their order; None for one that is not wanted.

    Parameters
    ----------
    path
        A LAMMPS dump, as text or binary, plain or compressed (gz, xz, bz2, zst); a LAMMPS data file; H5MD;
        DCD, XTC, TRR and other files that MDAnalysis reads; any other file that ASE reads.
    wanted
        Whether frame k is wanted.
    tell
        Is told which frames were left out, and why.
    everything
        Keep all columns of numbers.
    reached
        Is told how many bytes of the file were read.

    Raises
    ------
    SettingError
        The file is missing, or what it holds cannot be read.
    """
    if not Path(path).is_file():
        what = "a folder" if Path(path).is_dir() else "not a file"
        raise SettingError(f"'{path}' is {what}; give a configuration file")
    stream = Stream(path, _HEAD)
    head = stream.head()
    if not head.strip():
        raise SettingError(
            f"'{path}' ({stream.compression}) was cut before anything can be unpacked; copy it anew"
            if stream.cut
            else f"'{path}' is empty; give a file with configurations"
        )
    kind = _kind(head)
    if kind in _DUMPS:
        stream = Stream(path)
        try:
            reader = _DUMPS[kind](stream, tell, everything)
            for found in reader.frames(wanted):
                reached(stream.position)
                yield found
            if stream.cut:
                tell(
                    f"'{path}' ({stream.compression}) was cut: what followed its last frame here is lost"
                )
        finally:
            stream.close()
        return
    if head.startswith(_HDF5) and not stream.compression:
        from insitu.offline.readers.h5md import H5MDFile, is_h5md

        if is_h5md(path):
            yield from H5MDFile(path, tell, everything).frames(wanted)
            return
    binary = trajectory_kind(head)
    if stream.compression and (binary or stream.compression == "zst"):
        raise SettingError(
            f"'{path}' is {binary.upper() or 'no LAMMPS dump'}, which is not read from "
            f"{stream.compression}; unpack it ({_PROGRAMS[stream.compression]} -d)"
        )
    if binary or is_for_mdanalysis(path):
        yield from by_mdanalysis(path, binary, wanted, tell)
    else:
        yield from by_ase(path, wanted, kind, tell)


def _kind(head: bytes) -> str:
    """Return ``text``, ``binary`` or ``xyz`` for a dump, ``data`` for a LAMMPS data file, else ``""``."""
    if head.lstrip().startswith(b"ITEM:"):
        return "text"
    if is_binary_dump(head):
        return "binary"
    if is_xyz_of_types(head):
        return "xyz"
    lines = head[:4000].decode(errors="replace").splitlines()[1:12]
    if any(re.match(r"\s*\d+\s+atoms\s*(#.*)?$", line) for line in lines):
        return "data"
    return ""


def holds_atoms(path: str) -> bool:
    """Return whether a file is a trajectory or a configuration by its beginning or its ending."""
    if not Path(path).is_file():
        return False
    head = Stream(path, _HEAD).head()
    if _kind(head) or head.startswith(_HDF5) or trajectory_kind(head) or is_xyz(head):
        return True
    return is_for_mdanalysis(path) or Path(path).suffix in (".extxyz", ".traj", ".vasp", ".poscar")


def first_step(path: str) -> int | None:
    """Return the step of a LAMMPS dump's first frame; None: it is none, or does not say."""
    head = Stream(path, _HEAD).head()
    kind = _kind(head)
    if kind == "binary":
        return BinaryDump.first_step(head)
    found = re.search(rb"ITEM: TIMESTEP\s+(-?\d+)\s", head) if kind == "text" else None
    return int(found[1]) if found else None


def parse_index(index: str, setting: str = "--index") -> slice:
    """Return which frames a text means.

    Raises
    ------
    SettingError
        It is no number and no slice.
    """
    try:
        parts = [int(p) if p.strip() else None for p in index.split(":")]
        if len(parts) == 1 and (at := parts[0]) is not None:
            return slice(at, None if at == -1 else at + 1)
        if not 2 <= len(parts) <= 3 or (len(parts) == 3 and parts[2] is not None and parts[2] <= 0):
            raise ValueError
        return slice(*parts)
    except ValueError:
        raise SettingError(
            f"{setting} {index} is no frame and no slice; write 0 (the first), -1 (the last), : (all), "
            "10:20, ::5"
        ) from None


def read_many(
    files: Sequence[str],
    index: str,
    tell: Tell,
    everything: bool = False,
    setting: str = "--index",
    reached: Reached = _nobody,
) -> Iterator[tuple[str, int, Configuration]]:
    """Yield file, number (in the file) and configuration of the frames that an index means.

    Parameters
    ----------
    files
        Read one after another; the index counts through all of them.
    index
        A number or a slice.
    tell
        Is told which frames were left out, and why.
    everything
        Keep all columns of numbers.
    setting
        What the user calls `index`, for messages.
    reached
        Is told how many bytes of all files were read.

    Raises
    ------
    SettingError
        A file cannot be read, the index is none, or no frame has it.
    """
    span = parse_index(index, setting)
    total = None
    if any(v is not None and v < 0 for v in (span.start, span.stop)):
        # From the end: count first, saying nothing.
        total = sum(1 for f in files for _ in read_file(f, lambda k: False, lambda text: None))
        span = slice(*span.indices(total))
    start, stop, stride = span.start or 0, span.stop, span.step or 1
    seen = given = before = 0
    for file in files:
        offset = seen

        def wanted(k: int, offset: int = offset) -> bool:
            at = offset + k
            return at >= start and (stop is None or at < stop) and (at - start) % stride == 0

        def at(position: int, before: int = before) -> None:
            reached(before + position)

        number, odd = 0, ""
        for found in read_file(file, wanted, tell, everything, at):
            if found is not None:
                given += 1
                step = "" if found.step is None else f" (step {found.step})"
                said = check(found, f"'{file}', frame {number}{step}")
                if said and not odd:  # once for a file
                    odd = said
                    tell(said)
                yield file, number, found
            number, seen = number + 1, seen + 1
            if stop is not None and seen >= stop:
                break
        before += Path(file).stat().st_size
        reached(before)
        if stop is not None and seen >= stop:
            break
    if not given:
        where = f"'{files[0]}'" if len(files) == 1 else f"the {len(files)} files"
        have, n = ("has" if len(files) == 1 else "have"), seen if total is None else total
        if not n:
            raise SettingError(f"{where} {have} no complete frame; give a file that has one")
        raise SettingError(
            f"{where} {have} {n} complete frame{'s'[: n != 1]}, and none at {setting} {index}; give "
            f"{f'0 … {n - 1}, ' if n > 1 else '0, '}-1 or a slice"
        )


def read_frames(
    file: str, index: str, setting: str = "--index", neighbors: Sequence[str] = ()
) -> Iterator[Any]:
    """Yield the frames of a file as ``ase.Atoms``, with all columns of numbers, for training.

    With `neighbors`, types or elements, all other atoms are left out.

    Raises
    ------
    SettingError
        As of :func:`read_many`; also if a frame was left out.
    """
    import logging

    log = logging.getLogger(__name__)
    for _, _, found in read_many(
        [file], index, lambda text: log.warning("insitu: %s", text), True, setting
    ):
        kept = of_configuration(found, file, neighbors, "neighbors")
        yield to_atoms(found if kept is None else found.take(kept))
