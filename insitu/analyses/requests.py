# SPDX-License-Identifier: BSD-3-Clause
"""The analyses that a deck, a Python call or a file asks for, as checked settings."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from insitu.analyses.registry import find
from insitu.analyses.settings import keywords, make
from insitu.errors import SettingError, did_you_mean

#: Keywords that every analysis has besides its own.
COMMON = ("name", "columns")


@dataclass(frozen=True)
class Request:
    """One analysis that is asked for.

    Parameters
    ----------
    analysis
        Which: the word after ``analyze``.
    name
        What it is called in the history: distinct for each.
    settings
        Of the kind that the analysis declares.
    columns
        Columns of ``fix property/atom`` (``d_…``) by the result that they receive.
    """

    analysis: str
    name: str
    settings: Any
    columns: Mapping[str, str] = field(default_factory=dict)


def request(analysis: str, given: Mapping[str, Any]) -> Request:
    """Return a request from keywords: those of the analysis, `name` and `columns`.

    Raises
    ------
    SettingError
        No such analysis, or unusable settings.
    """
    found = find(analysis)
    own = {k: v for k, v in given.items() if k not in COMMON}
    name = str(given.get("name") or found.name)
    where = f"analyze {analysis}" + (f" name {name}" if name != found.name else "")
    try:
        if not name.isidentifier():
            raise SettingError(f"name={name} is not a word; give letters, digits and _")
        return Request(
            analysis, name, make(found.Settings, own), _columns(given.get("columns", {}))
        )
    except SettingError as error:
        raise SettingError(f"{where}: {error}") from None


def from_words(
    pairs: Sequence[tuple[str, str]], others: Collection[str] = ()
) -> tuple[list[tuple[str, str]], list[Request]]:
    """Take the analyses out of the words of a fix line.

    The words after ``analyze NAME`` are its settings up to the first that it does not know.

    Parameters
    ----------
    pairs
        Keyword and value of each setting, in their order.
    others
        Keywords of the settings that are no analysis'.

    Returns
    -------
    rest, requests
        The other settings, and the analyses.

    Raises
    ------
    SettingError
        As :func:`request`, or a keyword that is given twice.
    """
    rest: list[tuple[str, str]] = []
    sections: list[tuple[str, dict[str, str]]] = []
    known: Sequence[str] = ()
    for word, value in pairs:
        if word == "analyze":
            sections.append((value, {}))
            known = (*keywords(find(value).Settings), *COMMON)
        elif word in known:
            if word in sections[-1][1]:
                raise SettingError(
                    f"analyze {sections[-1][0]}: '{word}' is given twice; give it once"
                )
            sections[-1][1][word] = value
        elif sections and word not in others:
            words = [*(known or ("analyze",)), *others]
            raise SettingError(
                f"analyze {sections[-1][0]}: setting '{word}' is not known; known: "
                f"{', '.join(known) or 'none here'}; others: {', '.join(others) or 'none'}."
                f"{did_you_mean(word, words)}"
            )
        else:
            rest.append((word, value))
            known = ()
    return rest, [request(analysis, given) for analysis, given in sections]


def requests(value: Any) -> tuple[Request, ...]:
    """Return the analyses that Python or a TOML file asks for.

    Parameters
    ----------
    value
        Settings by analysis, ``{"rdf": {"cutoff": 10.0}}``, a list of them for several of a kind;
        the words of a fix line, ``"rdf cutoff 10 analyze profile axis z"``; or requests.

    Raises
    ------
    SettingError
        As :func:`request`, or the value is none of these.
    """
    if isinstance(value, str):
        return _from_text(value)
    if isinstance(value, Mapping):
        found = []
        for analysis, given in value.items():
            for one in given if isinstance(given, list | tuple) else [given]:
                if not isinstance(one, Mapping):
                    break
                found.append(request(str(analysis), one))
            else:
                continue
            raise SettingError(
                f"analyze={{'{analysis}': {given!r}}} is not understood; give its settings, for example "
                f"{{'{analysis}': {{}}}}, or a list of several"
            )
        return tuple(found)
    if isinstance(value, list | tuple) and all(isinstance(v, Request) for v in value):
        return tuple(value)
    raise SettingError(
        f"analyze={value!r} is not understood; give settings by analysis, for example "
        "{'rdf': {'cutoff': 10.0}}, or the words of a fix line"
    )


def _from_text(text: str) -> tuple[Request, ...]:
    words = ["analyze", *text.split()]
    if len(words) % 2:
        raise SettingError(f"analyze='{text}': '{words[-1]}' has no value")
    _, found = from_words(list(zip(words[::2], words[1::2], strict=True)))
    return tuple(found)


def _columns(value: Any) -> dict[str, str]:
    """Return column by result from ``q6=d_q6,q4=d_q4`` or a mapping."""
    if isinstance(value, str):
        parts = [p.partition("=") for p in value.split(",")]
        pairs = {result.strip(): column.strip() for result, _, column in parts}
    elif isinstance(value, Mapping):
        pairs = {str(k): str(v) for k, v in value.items()}
    else:
        pairs = {"?": str(value)}
    for result, column in pairs.items():
        if not (result and column.startswith("d_") and len(column) > 2):
            raise SettingError(
                f"columns={value} is not understood; give result=column, where the column is one of "
                "fix property/atom and starts with d_, for example q6=d_q6"
            )
    return pairs


def check_names(found: Sequence[Request]) -> None:
    """Raise SettingError if two analyses have one name."""
    called = [r.name for r in found]
    if twice := [n for n in called if called.count(n) > 1]:
        raise SettingError(
            f"there are two analyses '{twice[0]}'; give each its own name: analyze "
            f"{twice[0]} name other …"
        )
