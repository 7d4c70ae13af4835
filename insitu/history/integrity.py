# SPDX-License-Identifier: BSD-3-Clause
"""Is a history still what was written? Checksums of its frames and of the names that explain them.

A disk, a copy or a cable may change a byte, and HDF5 notices it only in its own structure. So every
frame has a CRC-32 of its numbers, and everything that gives them their meaning (classes, codes,
units, axes, provenance) has one each. Files of versions without checksums open unchecked.
"""

from __future__ import annotations

import json
import math
import sys
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from insitu.history.elements import elements, fixed, text

#: Where the checksums are; the attribute of the phases says that they have to be there.
CHECKSUMS = "parameters/insitu_checksums"
_FRAMES, _CONTENTS, _MARK = f"{CHECKSUMS}/frames", f"{CHECKSUMS}/contents", "checksums"
_BLOCK = 1 << 24  # bytes of frames that are read at once


def frame_checksums(parts: Sequence[NDArray[Any]]) -> NDArray[np.uint32]:
    """Return the CRC-32 of each frame, `(n_frames,)`.

    Parameters
    ----------
    parts
        ``(n_frames, ...)`` each: the values in the order of their paths, then time, then step.
    """
    frames = len(parts[0])
    raw = [
        np.ascontiguousarray(part, part.dtype.newbyteorder("<")).view("u1").reshape(frames, -1)
        for part in (np.asarray(p).reshape(frames, p[0].size) for p in parts)
        if part.size
    ]
    rows = np.ascontiguousarray(np.concatenate(raw, axis=1))
    return np.array([zlib.crc32(row) for row in rows], dtype="u4")


def frame_checksum(rows: Iterable[NDArray[Any]]) -> int:
    """Return the CRC-32 of one frame: of its values in the order of their paths, then time, then step."""
    found = 0
    for row in rows:
        if sys.byteorder == "big":
            row = row.astype(row.dtype.newbyteorder("<"))
        found = zlib.crc32(row.tobytes(), found)
    return found


def seal(file: h5py.File, frames: int, chunk: int) -> None:
    """Write the checksums of a history: those of its frames, and those of all that is not a frame.

    Parameters
    ----------
    file
        A history, open for writing. Checksums that it has already are replaced.
    frames
        Its complete frames.
    chunk
        Frames a chunk.
    """
    old = file[_FRAMES][:frames] if _FRAMES in file else np.zeros(0, "u4")
    if len(old) < frames:  # begun by a version without checksums
        blocks = _blocks(elements(file), 0, frames)
        old = np.concatenate([frame_checksums(block) for _, block in blocks])
    if CHECKSUMS in file:
        del file[CHECKSUMS]
    file["observables/phases"].attrs[_MARK] = fixed("crc32")
    group = file.create_group(CHECKSUMS)
    group.create_dataset("frames", data=old, dtype="u4", chunks=(chunk,), maxshape=(None,))
    group.create_dataset("contents", data=fixed(json.dumps(_contents(file))))


def half_written(file: h5py.File) -> tuple[int, int]:
    """Return how many complete frames a history has, and how many more were only begun.

    A kill in the middle of a flush leaves the last frame with some of its parts missing: shorter
    than the others, or not filled yet.

    Raises
    ------
    ValueError
        A part is longer than the file can hold.
    """
    found = _parts(file)
    lengths = [len(part) for part in found.values()]
    frames, most = min(lengths, default=0), max(lengths, default=0)
    if frames == most and frames and _FRAMES in found:
        if _wrong_frame(file, frames - 1, frames) is None:
            return frames, 0
        last = [part[frames - 1] for part in found.values()]
        if any(part.size and not part.any() for part in last):
            return frames - 1, 1
    return frames, most - frames


def verify(file: h5py.File, frames: int) -> None:
    """Check that the first `frames` of a history are what was written; without checksums, nothing.

    Raises
    ------
    ValueError
        They are not; what is wrong.
    """
    marked = _MARK in file["observables/phases"].attrs
    if not (marked or CHECKSUMS in file):
        return
    if not (marked and _FRAMES in file and _CONTENTS in file):
        raise ValueError("its checksums are incomplete")
    wanted = _wanted(file)
    found = _contents(file, wanted)
    for name, checksum in wanted.items():
        if found.get(name) != checksum:
            what = "is missing" if name not in found else "is not what was written"
            raise ValueError(f"{name.replace('@', ', attribute ')} {what}")
    if (wrong := _wrong_frame(file, 0, frames)) is not None:
        raise ValueError(f"frame {wrong + 1} is not what was written")


def _parts(file: h5py.File) -> dict[str, h5py.Dataset]:
    """Return every dataset that grows with the frames, by its path in the file."""
    found = {
        f"observables/{name}/{part}": group[part]
        for name, group in elements(file).items()
        for part in ("value", "step", "time")
    }
    if _FRAMES in file:
        found[_FRAMES] = file[_FRAMES]
    size = file.id.get_filesize()
    for name, dataset in found.items():
        if not dataset.shape or (dataset.compression is None and dataset.nbytes > size):
            raise ValueError(f"{name} has shape {dataset.shape}, more than the file holds")
    return found


def _wanted(file: h5py.File) -> dict[str, int]:
    if file[_CONTENTS].nbytes > file.id.get_filesize():
        raise ValueError("its checksums are damaged")
    wanted: dict[str, int] = json.loads(text(file[_CONTENTS][()]))
    return wanted


def _wrong_frame(file: h5py.File, begin: int, end: int) -> int | None:
    """Return the first frame that does not have its checksum, or None."""
    names = [n.removeprefix("observables/") for n in _wanted(file) if n.endswith("/value")]
    covered = {n.removesuffix("/value"): file[f"observables/{n}"].parent for n in names}
    for first, block in _blocks(covered, begin, end):
        found = frame_checksums(block)
        differs = np.flatnonzero(found != file[_FRAMES][first : first + len(found)])
        if differs.size:
            return first + int(differs[0])
    return None


def _blocks(
    groups: Mapping[str, h5py.Group], begin: int, end: int
) -> Iterator[tuple[int, list[NDArray[Any]]]]:
    """Yield the frames of elements, some at a time, as `frame_checksums` takes them."""
    clock = groups[min(groups)]
    columns = [*(groups[name]["value"] for name in sorted(groups)), clock["time"], clock["step"]]
    row = sum(math.prod(c.shape[1:]) * c.dtype.itemsize for c in columns)
    many = max(1, _BLOCK // max(1, row))
    for first in range(begin, end, many):
        yield first, [column[first : min(first + many, end)] for column in columns]


def _contents(file: h5py.File, only: Collection[str] | None = None) -> dict[str, int]:
    """Return a checksum of everything but the frames: attributes, shapes of frames, long texts.

    Parameters
    ----------
    file
        The history.
    only
        Names to return, for other programs may have added more; by default all there are.
    """
    names = elements(file)
    if only is not None:
        names = {n: group for n, group in names.items() if f"observables/{n}/value" in only}
    return {
        name: zlib.crc32(repr(value).encode())
        for name, value in _explaining(file, names)
        if only is None or name in only
    }


def _explaining(file: h5py.File, groups: Mapping[str, h5py.Group]) -> Iterator[tuple[str, Any]]:
    """Yield what gives the frames their meaning, by its name."""
    described = {"observables/phases": file["observables/phases"]}
    clock = None
    for name, group in groups.items():
        clock = clock or (group["time"], group["step"])
        if (group["time"], group["step"]) != clock:
            raise ValueError(f"observables/{name} has a clock of its own")
        yield f"observables/{name}/value", list(group["value"].shape[1:])
        described |= {f"observables/{name}": group}
        described |= {f"observables/{name}/{k}": group[k] for k in ("value", "time", "step")}
    top = file["parameters/insitu"]
    runs = {f"parameters/insitu/{k}": top[k] for k in top if k.startswith("continued_")}
    for path, group in {"parameters/insitu": top, **runs}.items():
        for key, value in group.items():
            if isinstance(value, h5py.Dataset):
                yield f"{path}/{key}", text(value[()])
    for path, item in {**described, "parameters/insitu": top, **runs}.items():
        for key, value in item.attrs.items():
            yield f"{path}@{key}", _plain(value)


def _plain(value: Any) -> Any:
    """Return an attribute as Python has it, whatever its width and byte order in the file."""
    array = np.asarray(value)
    return np.char.decode(array, "utf-8").tolist() if array.dtype.kind == "S" else array.tolist()
