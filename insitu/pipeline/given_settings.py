# SPDX-License-Identifier: BSD-3-Clause
"""Settings from what a user gives: Python keywords, the words of a fix line, a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from insitu.analyses import requests
from insitu.analyses.settings import convert
from insitu.errors import SettingError, did_you_mean
from insitu.pipeline.settings import Settings

_KINDS: dict[str, Any] = {
    "every": int, "every_max": int, "threads": int, "threshold": float, "coverage": float,
    "overhead": float, "first": bool, "types": bool, "rdf": float, "rdf_bins": int, "atoms": int,
    "atoms_memory": float, "atoms_writers": int, "write_limit": float,
}  # fmt: skip
_LISTS = {
    "groups": "names of groups", "neighbors": "names of groups, or numbers of atom types",
    "species": "symbols of elements",
    "profile": "an axis and a number of bins, for example z,50",
}  # fmt: skip


def make(**given: Any) -> Settings:
    """Return settings from keywords, checked and converted.

    Raises
    ------
    SettingError
        Unknown keyword (with the nearest known one), or a value of the wrong kind.
    """
    _check_known(given)
    analyses = requests.requests(given["analyze"]) if given.get("analyze") else ()
    if config := given.get("config"):
        read = _read(str(config))
        ours = {r.name for r in analyses}
        beside = [r for r in requests.requests(read.pop("analyze", {})) if r.name not in ours]
        analyses = (*beside, *analyses)
        # What is given as None is left to the file.
        given = {**read, **{k: v for k, v in given.items() if v is not None}}
    values = {name: _convert(name, value) for name, value in given.items() if name != "analyze"}
    return Settings(**values, analyze=analyses)


def _check_known(given: Mapping[str, Any]) -> None:
    known = [f.name for f in fields(Settings)]
    for name in given:
        if name not in known:
            raise SettingError(
                f"setting '{name}' is not known; known: {', '.join(known)}."
                f"{did_you_mean(name, known)}"
            )


def _read(path: str) -> dict[str, Any]:
    """Return the settings of a TOML file."""
    import tomllib

    try:
        with open(path, "rb") as file:
            read = tomllib.load(file)
    except OSError as error:
        raise SettingError(
            f"config={path} cannot be read ({error.strerror or error}); give a TOML file of settings"
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise SettingError(f"config={path} is not TOML: {error}; correct it there") from None
    try:
        _check_known(read)
        if "config" in read:
            raise SettingError("a file of settings has no setting 'config'; give all in one file")
    except SettingError as error:
        raise SettingError(f"config={path}: {error}") from None
    return read


def from_words(words: Sequence[str]) -> Settings:
    """Return settings from the ``keyword value …`` tail of a fix line.

    Raises
    ------
    SettingError
        Unknown keyword, a missing value, or one of the wrong kind.
    """
    if len(words) % 2:
        raise SettingError(
            f"setting '{words[-1]}' has no value; write `keyword value` pairs after N, for example "
            "`fix phases all insitu 100 model metals file phases.h5`"
        )
    pairs = list(zip(words[::2], words[1::2], strict=True))
    others, analyses = requests.from_words(pairs, [f.name for f in fields(Settings)])
    names = [name for name, _ in others]
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise SettingError(f"setting '{twice[0]}' is given twice; give it once")
    return make(**dict(others), analyze=analyses)


def _convert(name: str, value: Any) -> Any:
    kind = _KINDS.get(name, str)
    if value is None:
        return value
    if name == "classes":
        from insitu.models.structures import parse

        return parse(value)
    if name in _LISTS:  # a list in Python, separated by commas on a fix line
        if name == "neighbors" and type(value) is int:
            value = (value,)
        many = value.split(",") if isinstance(value, str) else value
        kinds = {"profile": (str, int, float), "neighbors": (str, int)}.get(name, (str,))
        known = isinstance(many, list | tuple) and all(
            isinstance(g, kinds) and not isinstance(g, bool) for g in many
        )
        if not known:
            raise SettingError(f"{name}={value!r} is not understood; give {_LISTS[name]}")
        words = tuple(str(g).strip() for g in many)
        return () if name == "neighbors" and words == ("all",) else words
    return convert(name, value, kind)
