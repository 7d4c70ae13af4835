# SPDX-License-Identifier: BSD-3-Clause
"""Files read from their beginning to their end, compressed or not, wherever they were cut."""

from __future__ import annotations

import bz2
import lzma
import os
import zlib
from collections.abc import Callable
from typing import Any

from insitu.errors import SettingError

_CHUNK = 1 << 22
#: Beginning of a compressed file, and what a program calls its format.
_MAGIC = {b"\x1f\x8b": "gz", b"\xfd7zXZ\x00": "xz", b"BZh": "bz2", b"\x28\xb5\x2f\xfd": "zst"}


class Stream:
    """The bytes of a file; it ends where the file ends, be that in the middle of a compressed block.

    Parameters
    ----------
    path
        The file; how it is compressed is told by its first bytes.
    chunk
        Bytes of the file that are read at a time.

    Raises
    ------
    SettingError
        It cannot be opened, or the package that unpacks it is not installed.
    """

    def __init__(self, path: str, chunk: int = _CHUNK) -> None:
        self.path, self._chunk = path, chunk
        try:
            self._file = open(path, "rb")  # noqa: SIM115
        except OSError as error:
            raise SettingError(
                f"'{path}' cannot be read ({error.strerror}); give a configuration file"
            ) from None
        head = self._file.read(6)
        self._file.seek(0)
        self.compression = next((f for m, f in _MAGIC.items() if head.startswith(m)), "")
        try:
            self._unpack = _unpacker(self.compression, path)
        except SettingError:
            self._file.close()
            raise

    @property
    def position(self) -> int:
        """Bytes of the file that were read."""
        return 0 if self._file.closed else self._file.tell()

    @property
    def cut(self) -> bool:
        """Whether the file ended in the middle of its compression."""
        return bool(self.compression) and not self._unpack.eof

    def read(self) -> bytes:
        """Return the next bytes, a few MB; none at the end.

        Raises
        ------
        SettingError
            They are not what the compression writes.
        """
        while raw := self._file.read(self._chunk):
            data = self._unpacked(raw) if self.compression else raw
            if data:
                return data
        return b""

    def head(self) -> bytes:
        """Return the first bytes, and close the file."""
        try:
            return self.read()
        finally:
            self.close()

    def _unpacked(self, raw: bytes) -> bytes:
        parts = []
        while raw:
            if self._unpack.eof:  # another one in the same file
                if not raw.strip(b"\0"):
                    break
                self._unpack = _unpacker(self.compression, self.path)
            try:
                parts.append(self._unpack.decompress(raw))
            except Exception as error:  # of four libraries
                raise SettingError(
                    f"'{self.path}' cannot be unpacked ({self.compression}, near byte {self.position}: "
                    f"{error}); copy it anew, or unpack what is left of it by hand"
                ) from None
            raw = self._unpack.unused_data if self._unpack.eof else b""
        return b"".join(parts)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _unpacker(compression: str, path: str) -> Any:
    def zst() -> Any:
        try:
            import zstandard
        except ImportError:
            raise SettingError(
                f"'{path}' is compressed by zstd: pip install zstandard, or unpack it (zstd -d)"
            ) from None
        return zstandard.ZstdDecompressor().decompressobj()

    makers: dict[str, Callable[[], Any]] = {
        "gz": lambda: zlib.decompressobj(wbits=31), "xz": lzma.LZMADecompressor,
        "bz2": bz2.BZ2Decompressor, "zst": zst,
    }  # fmt: skip
    return makers[compression]() if compression else None


def size_of(paths: list[str]) -> int:
    """Return the bytes of some files; those that are missing have none."""
    return sum(os.path.getsize(p) for p in paths if os.path.exists(p))
