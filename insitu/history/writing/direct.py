# SPDX-License-Identifier: BSD-3-Clause
"""Write a frame to where HDF5 would put it, without HDF5: for frames whose space is in the file already.

HDF5 needs most of a frame's time to find out what it knew before: where the chunk of each dataset is, and
where its length. Both are looked up once for a chunk; a frame then is its numbers, and after them the
lengths. That is also what HDF5 changes in the file then, so a kill in between leaves the same behind.

The file is of the format of HDF5 1.8 or earlier (object headers of version 1, which have no checksums):
"HDF5 File Format Specification Version 3.0", IV.A. What is otherwise is left to HDF5.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass

import h5py
import numpy as np
from numpy.typing import NDArray

_PREFIX = struct.Struct("<BxHIIxxxx")
_MESSAGE = struct.Struct("<HHBxxx")
_DATASPACE, _CONTINUATION = 0x0001, 0x0010
_LENGTH = struct.Struct("<Q")


@dataclass(frozen=True)
class Places:
    """Where the frames of one chunk are in a file.

    Parameters
    ----------
    first
        Frame at which the chunk begins.
    rows
        Of each dataset by its path: place of the first frame, and bytes of a frame.
    lengths
        Places of the datasets' lengths.
    """

    first: int
    rows: Mapping[str, tuple[int, int]]
    lengths: tuple[int, ...]

    @classmethod
    def of(cls, file: h5py.File, descriptor: int, paths: list[str], frames: int) -> Places | None:
        """Return those of the chunk that holds the last of the frames; None: it cannot be told.

        Parameters
        ----------
        file
            The history, open for reading or writing, all of it on disk.
        descriptor
            Of the same file.
        paths
            Its datasets that grow.
        frames
            How many it has.
        """
        rows, lengths, first = {}, [], -1
        for path in paths:
            dataset = file[path]
            if dataset.chunks is None or dataset.compression or len(dataset) != frames:
                return None
            begin = (frames - 1) // dataset.chunks[0] * dataset.chunks[0]
            if first not in (-1, begin) or dataset.chunks[1:] != dataset.shape[1:]:
                return None
            first = begin
            native = dataset.dtype.newbyteorder("=") == dataset.dtype.newbyteorder("<")
            corner = (begin, *(0,) * (dataset.ndim - 1))
            place = dataset.id.get_chunk_info_by_coord(corner).byte_offset
            length = _length(descriptor, h5py.h5o.get_info(dataset.id).addr, dataset.ndim, frames)
            if not native or place is None or length is None:
                return None
            rows[path] = (place, dataset.dtype.itemsize * int(np.prod(dataset.shape[1:])))
            lengths.append(length)
        return cls(first, rows, tuple(dict.fromkeys(lengths)))

    def put(self, descriptor: int, frame: int, rows: Mapping[str, NDArray[np.generic]]) -> None:
        """Write a frame, then that it is there.

        Raises
        ------
        OSError
            It could not be written.
        """
        for path, row in rows.items():
            place, size = self.rows[path]
            _write(descriptor, row.tobytes(), place + (frame - self.first) * size)
        length = _LENGTH.pack(frame + 1)
        for place in self.lengths:
            _write(descriptor, length, place)


def _write(descriptor: int, data: bytes, place: int) -> None:
    if os.pwrite(descriptor, data, place) != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _length(descriptor: int, address: int, rank: int, expected: int) -> int | None:
    """Return where the first dimension of a dataset is in the file; None if it is not as expected."""
    version, messages, _, size = _PREFIX.unpack(os.pread(descriptor, _PREFIX.size, address))
    if version != 1:
        return None
    blocks = [(address + _PREFIX.size, size)]
    while blocks and messages:
        begin, size = blocks.pop(0)
        block, at = os.pread(descriptor, size, begin), 0
        while at + _MESSAGE.size <= len(block) and messages:
            kind, long, _ = _MESSAGE.unpack_from(block, at)
            at += _MESSAGE.size
            messages -= 1
            if kind == _CONTINUATION:
                blocks.append(struct.unpack_from("<QQ", block, at))
            if kind == _DATASPACE:
                known = block[at] in (1, 2) and block[at + 1] == rank
                at += 8 if block[at] == 1 else 4
                fits = known and _LENGTH.unpack_from(block, at)[0] == expected
                return begin + at if fits else None
            at += long
    return None
