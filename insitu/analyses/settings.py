# SPDX-License-Identifier: BSD-3-Clause
"""Settings as frozen dataclasses: the fields are the keywords, their metadata say units and ranges.

The same settings come from the words of a fix line, from Python keywords and from a TOML file.
"""

from __future__ import annotations

import math
import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Union, get_args, get_origin, get_type_hints

from insitu.errors import SettingError, did_you_mean, one_of

_YES_NO = {"yes": True, "on": True, "true": True, "no": False, "off": False, "false": False}
_WHAT = {int: "a whole number", float: "a number", str: "a word", bool: "yes or no"}


def setting(
    about: str,
    *,
    default: Any = MISSING,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    allowed: Sequence[str] = (),
) -> Any:
    """Return a field of a dataclass of settings.

    Parameters
    ----------
    about
        One line for the documentation.
    default
        Value if it is not given; without one it has to be. A field whose default is None may be
        left out.
    unit
        Unit of the value, ``""`` if it has none.
    low, high
        Smallest and largest usable value; of each element of a tuple.
    allowed
        Words that are allowed, if not any.
    """
    about_it = {"about": about, "unit": unit, "low": low, "high": high, "allowed": tuple(allowed)}
    return field(default=default, metadata=about_it)


@dataclass(frozen=True)
class Keyword:
    """One setting as it is written.

    Parameters
    ----------
    name
        Keyword.
    kind
        int, float, bool or str.
    many
        Several of them: separated by commas on a fix line, a list in Python and TOML.
    required
        It has no default.
    default, about, unit, low, high, allowed
        As in :func:`setting`.
    """

    name: str
    kind: type
    many: bool
    required: bool
    default: Any
    about: str
    unit: str
    low: float | None
    high: float | None
    allowed: tuple[str, ...]

    @property
    def range(self) -> str:
        """What is allowed, in words; ``""`` if anything of its kind is."""
        unit = f" {self.unit}" if self.unit else ""
        if self.allowed:
            return ", ".join(self.allowed)
        if self.low is not None and self.high is not None:
            return f"{self.low:g} … {self.high:g}{unit}"
        if self.low is not None:
            return f"{self.low:g} or more{unit}"
        return f"at most {self.high:g}{unit}" if self.high is not None else unit.strip()


def keywords(settings: type) -> dict[str, Keyword]:
    """Return the settings of a dataclass by their keywords.

    Raises
    ------
    TypeError
        A field has a type that no fix line can hold.
    """
    hints = get_type_hints(settings)
    found = {}
    for f in fields(settings):
        kind, many = _kind(hints[f.name], f"{settings.__name__}.{f.name}")
        about: dict[str, Any] = {
            "about": "",
            "unit": "",
            "low": None,
            "high": None,
            "allowed": (),
        } | dict(f.metadata)
        required = f.default is MISSING and f.default_factory is MISSING
        default = None if f.default is MISSING else f.default
        found[f.name] = Keyword(f.name, kind, many, required, default, **about)
    return found


def _kind(hint: Any, where: str) -> tuple[type, bool]:
    if get_origin(hint) in (Union, types.UnionType):
        rest = [a for a in get_args(hint) if a is not type(None)]
        if len(rest) == 1:
            return _kind(rest[0], where)
    if get_origin(hint) is tuple:
        inner = get_args(hint)
        if len(inner) == 2 and inner[1] is Ellipsis and inner[0] in _WHAT:
            return inner[0], True
    if hint in _WHAT:
        return hint, False
    raise TypeError(
        f"{where} is {hint}; settings are int, float, bool, str, a tuple[…, ...] of one, or None"
    )


def make(settings: type, given: Mapping[str, Any]) -> Any:
    """Return settings from what was given, converted and checked.

    Parameters
    ----------
    settings
        The dataclass.
    given
        Values by keyword: words, or Python's own.

    Raises
    ------
    SettingError
        Unknown or missing keyword, a value of the wrong kind or outside of its range.
    """
    known = keywords(settings)
    for name in given:
        if name not in known:
            raise SettingError(
                f"setting '{name}' is not known; known: {', '.join(known) or 'none'}."
                f"{did_you_mean(name, known)}"
            )
    if missing := [k.name for k in known.values() if k.required and given.get(k.name) is None]:
        about = known[missing[0]]
        raise SettingError(
            f"{missing[0]} is not given and has no default; give it: {about.about}"
            + (f" ({about.range})" if about.range else "")
        )
    found = settings(**{n: _value(known[n], v) for n, v in given.items() if v is not None})
    check(found)
    return found


def check(settings: Any) -> None:
    """Raise SettingError if a value of a dataclass of settings is outside of its range."""
    for k in keywords(type(settings)).values():
        value = getattr(settings, k.name)
        if value is None:
            continue
        for one in value if k.many else (value,):
            if k.allowed:
                one_of(k.name, one, k.allowed)
            if k.kind is float and not math.isfinite(one):
                raise SettingError(
                    f"{k.name}={one} is not usable; give {k.range or 'a finite number'}"
                )
            low = k.low is not None and not one >= k.low
            if low or (k.high is not None and not one <= k.high):
                raise SettingError(f"{k.name}={one} is not usable; give {k.range}")


def _value(k: Keyword, value: Any) -> Any:
    if not k.many:
        return convert(k.name, value, k.kind)
    if isinstance(value, str):
        value = [v.strip() for v in value.split(",")]
    elif not isinstance(value, list | tuple):
        value = [value]
    return tuple(convert(k.name, v, k.kind) for v in value)


def convert(name: str, value: Any, kind: type) -> Any:
    """Return one value as its kind (int, float, bool, str); a word or Python's own.

    Raises
    ------
    SettingError
        It is none; a number is never cut down to one.
    """
    if kind is bool:
        word = "yes" if value is True else "no" if value is False else str(value).lower()
        if word not in _YES_NO:
            raise SettingError(f"{name}={value} is not understood; allowed: yes, no")
        return _YES_NO[word]
    try:
        converted = kind(value)
        if isinstance(value, bool) or (not isinstance(value, str) and converted != value):
            raise ValueError
        return converted
    except (TypeError, ValueError):
        raise SettingError(f"{name}={value!r} is not {_WHAT[kind]}; give {_WHAT[kind]}") from None
