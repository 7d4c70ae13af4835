# SPDX-License-Identifier: BSD-3-Clause
"""Numbers of text files are the doubles that Python makes of them, bit for bit."""

import locale
import random
import struct

import numpy as np
import pytest

from insitu import _kernels


def read(words: list[str]) -> tuple[int, np.ndarray]:
    """Return how many rows of one number were read, and the numbers."""
    found = np.zeros((len(words), 1))
    none = np.zeros((len(words), 0, 32), np.uint8)
    text = ("\n".join(words) + "\n").encode()
    rows, _, _ = _kernels.read_rows(text, 0, np.array([1], np.uint8), found, none)
    return rows, found[:, 0]


def numbers(count: int) -> list[str]:
    """Numbers of all lengths and sizes, and those in the middle between two doubles."""
    rng = random.Random(1)
    made = []
    for _ in range(count):
        digits = rng.randint(0, 25)
        middle = 2 * rng.randint(2**52, 2**53 - 1) + 1
        made += [
            repr(struct.unpack("d", rng.randbytes(8))[0]),
            f"{rng.uniform(-200, 200):.{digits + 1}g}",
            f"{rng.uniform(-1, 1) * 10 ** rng.uniform(-30, 30):.{digits}e}",
            f"{rng.uniform(-1000, 1000):.{digits}f}",
            str(rng.randint(-(10**40), 10**40)),
            str(middle),
            f"{5 * middle}e-1",
            f"{middle}e{rng.randint(0, 22)}",
        ]
    return made


def test_numbers_are_pythons() -> None:
    words = numbers(5000)
    rows, found = read(words)
    assert rows == len(words)
    expected = np.array([float(word) for word in words])
    some = ~np.isnan(expected)
    assert (found[some].view(np.uint64) == expected[some].view(np.uint64)).all()
    assert np.isnan(found[~some]).all()


@pytest.mark.parametrize(
    "word", ["5.", ".5", "-.5e3", "1e400", "-1e-400", "-0", "+5", "inf", "-Infinity"]
)
def test_unusual_numbers(word: str) -> None:
    rows, (found,) = read([word])
    assert (rows, struct.pack("d", found)) == (1, struct.pack("d", float(word)))


@pytest.mark.parametrize(
    "word",
    ["", "-", ".", "e5", "1e", "1e+", "--1", "+-5", "0x10", "1_0", "1.5.", "1,5", "1d3", "in"],
)
def test_what_is_no_number(word: str) -> None:
    assert read([word])[0] == 0


def test_the_point_of_the_user_s_language_does_not_matter() -> None:
    before = locale.setlocale(locale.LC_NUMERIC)
    for name in ("de_DE.UTF-8", "fr_FR.UTF-8"):
        try:
            locale.setlocale(locale.LC_NUMERIC, name)
        except locale.Error:
            continue
    try:
        assert read(["1234567.890123456789012e-3"])[1][0] == 1234.567890123456789012
    finally:
        locale.setlocale(locale.LC_NUMERIC, before)
