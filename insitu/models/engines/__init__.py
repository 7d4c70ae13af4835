# SPDX-License-Identifier: BSD-3-Clause
"""What runs a network: the native kernels, TorchScript, a GPU."""

from __future__ import annotations

from insitu.errors import one_of

ENGINES = ("auto", "native", "torchscript")


def check_engine(word: str) -> None:
    """Raise SettingError if `word` is no engine."""
    one_of("engine", word, ENGINES)
