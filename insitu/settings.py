# SPDX-License-Identifier: BSD-3-Clause
"""Settings of the monitor: one definition for Python keywords and for the words of a fix line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from insitu.errors import SettingError, did_you_mean

IF_EXISTS = ("refuse", "append", "overwrite")


@dataclass(frozen=True)
class Settings:
    """What a deck can set.

    Parameters
    ----------
    model
        Name of a shipped model (``insitu models``) or path of a ``model.pt``.
    file
        History to write, HDF5 (H5MD).
    every
        Analyse at multiples of this step number; None: whenever the fix calls.
    group
        LAMMPS group whose atoms are classified; neighbours outside of it still count.
    threshold
        Largest class probability below which an atom is unknown, 0 … 1; None: the model's own.
    if_exists
        What to do if `file` exists: ``refuse``, ``append`` (continue it; frames from the first new
        step on are replaced), or ``overwrite``.
    first
        Also analyse step 0 (only `fix insitu` can; `fix python/invoke` is not called there).
    threads
        Threads of torch on each rank.
    """

    model: str = "metals"
    file: str = "phases.h5"
    every: int | None = None
    group: str = "all"
    threshold: float | None = None
    if_exists: str = "refuse"
    first: bool = False
    threads: int = 1

    def __post_init__(self) -> None:
        if self.every is not None and self.every < 1:
            raise SettingError(f"every={self.every} is not a number of steps; give 1 or more")
        if self.threads < 1:
            raise SettingError(f"threads={self.threads} is not usable; give 1 or more")
        if self.threshold is not None and not 0.0 <= self.threshold <= 1.0:
            raise SettingError(f"threshold={self.threshold} is not a probability; give 0 … 1")
        if self.if_exists not in IF_EXISTS:
            hint = did_you_mean(self.if_exists, IF_EXISTS)
            raise SettingError(
                f"if_exists='{self.if_exists}' is not known; allowed: {', '.join(IF_EXISTS)}.{hint}"
            )
        for name in ("model", "file", "group"):
            if not getattr(self, name):
                raise SettingError(f"{name} is empty; give a name")


_KINDS: dict[str, Any] = {
    "every": int, "threads": int, "threshold": float, "first": bool,
}  # fmt: skip
_YES_NO = {"yes": True, "on": True, "true": True, "no": False, "off": False, "false": False}


def make(**given: Any) -> Settings:
    """Return settings from keywords, checked and converted.

    Raises
    ------
    SettingError
        Unknown keyword (with the nearest known one), or a value of the wrong kind.
    """
    known = [f.name for f in fields(Settings)]
    values = {}
    for name, value in given.items():
        if name not in known:
            raise SettingError(
                f"setting '{name}' is not known; known: {', '.join(known)}."
                f"{did_you_mean(name, known)}"
            )
        values[name] = _convert(name, value)
    return Settings(**values)


def from_words(words: Sequence[str]) -> Settings:
    """Return settings from the ``keyword value …`` tail of a fix line.

    Raises
    ------
    SettingError
        Unknown keyword, a missing value, or one of the wrong kind.
    """
    if len(words) % 2:
        raise SettingError(
            f"setting '{words[-1]}' has no value; write `keyword value` pairs behind N, for example "
            "`fix phases all insitu 100 model metals file phases.h5`"
        )
    pairs = list(zip(words[::2], words[1::2], strict=True))
    names = [name for name, _ in pairs]
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise SettingError(f"setting '{twice[0]}' is given twice; give it once")
    return make(**dict(pairs))


def _convert(name: str, value: Any) -> Any:
    kind = _KINDS.get(name, str)
    if value is None or (kind is bool and isinstance(value, bool)):
        return value
    if kind is bool:
        word = str(value).lower()
        if word not in _YES_NO:
            raise SettingError(f"{name}={value} is not understood; allowed: yes, no")
        return _YES_NO[word]
    try:
        converted = kind(value)
        if isinstance(value, bool) or (not isinstance(value, str) and converted != value):
            raise ValueError
        return converted
    except (TypeError, ValueError):
        what = {int: "a whole number", float: "a number", str: "a word"}[kind]
        raise SettingError(f"{name}={value!r} is not {what}; give {what}") from None
