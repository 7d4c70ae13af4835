# SPDX-License-Identifier: BSD-3-Clause
"""What the analyses in a history show of themselves: panels of a figure, lines of `insitu show`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from insitu.analyses.base import Analysis, Panel
from insitu.analyses.registry import BUILT_IN, find
from insitu.errors import SettingError

if TYPE_CHECKING:
    import xarray


def analyses_of(histories: Sequence[xarray.Dataset]) -> dict[str, type[Analysis[Any]]]:
    """Return the analyses by their names: ours by their own, and those that histories name.

    An analysis that is not installed here is left out: its numbers are in the history all the same.
    """
    found = {name: find(name) for name in BUILT_IN}
    for data in histories:
        for asked in _asked(str(data.attrs.get("settings", "{}"))):
            try:
                found[asked["name"]] = find(asked["analysis"])
            except SettingError:
                continue
    return found


def _asked(text: str) -> Iterator[dict[str, Any]]:
    settings = json.loads(text)
    if isinstance(settings, list):  # of several files that differ: one each
        for one in settings:
            yield from _asked(one or "{}")
    else:
        yield from settings.get("analyze", ())


def panels_of(histories: Sequence[xarray.Dataset]) -> dict[str, Panel]:
    """Return the panels of all analyses by their names."""
    every: dict[str, Panel] = {}
    for name, found in analyses_of(histories).items():
        panel = found.panel(name)
        every |= ({} if panel is None else {name: panel}) | found.more_panels(name)
    return every


def lines(history: xarray.Dataset) -> list[str]:
    """Return what the analyses of a history say of its last frame."""
    said = []
    for name, found in analyses_of([history]).items():
        if any(str(v) == name or str(v).startswith(f"{name}_") for v in history.data_vars):
            said.append((name, found.show(name, history)))
    return [f"{name}: {text}" for name, text in said if text]
