# SPDX-License-Identifier: BSD-3-Clause
"""Which analyses there are: ours by their modules, others by the entry-point group ``insitu.analyses``.

Nothing is imported before a deck asks for it: a rank's start does not pay for what it does not use.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from dataclasses import is_dataclass
from typing import Any

from insitu.analyses.base import Analysis
from insitu.analyses.settings import keywords
from insitu.errors import SettingError, did_you_mean

GROUP = "insitu.analyses"
#: Ours: module and class.
BUILT_IN = {
    "barriers": "insitu.analyses.barriers:Barriers",
    "clusters": "insitu.analyses.clusters.analysis:Clusters",
    "diffraction": "insitu.analyses.diffraction.analysis:Diffraction",
    "crystal": "insitu.analyses.crystal.analysis:CrystalAnalysis",
    "grains": "insitu.analyses.grains.analysis:Grains",
    "lattice": "insitu.analyses.lattice.analysis:Lattice",
    "profile": "insitu.analyses.profile.analysis:Profile",
    "rdf": "insitu.analyses.rdf:Rdf",
    "steinhardt": "insitu.analyses.steinhardt:Steinhardt",
    "trigger": "insitu.analyses.trigger:Trigger",
    "unknown": "insitu.analyses.unknown.analysis:UnknownKinds",
}
#: Keywords that every analysis has, or that end the settings of one: no field may be called so.
RESERVED = ("analyze", "columns", "config", "every", "group", "name")


def names() -> list[str]:
    """Return the names of all analyses that are installed."""
    return sorted({*BUILT_IN, *_others()})


@functools.cache
def find(name: str) -> type[Analysis[Any]]:
    """Return the class of an analysis.

    Parameters
    ----------
    name
        One of :func:`names`, or ``module:Class`` of an analysis that is not installed as one.

    Raises
    ------
    SettingError
        There is none of that name, it cannot be imported, or it is none.
    """
    place = name if ":" in name else BUILT_IN.get(name) or _others().get(name)
    if place is None:
        known = names()
        raise SettingError(
            f"analyze {name}: there is no such analysis; there are: {', '.join(known)}."
            f"{did_you_mean(name, known)}"
        )
    module, _, attribute = place.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except Exception as error:
        raise SettingError(
            f"analyze {name}: {place} cannot be imported ({type(error).__name__}: {error}); install "
            "what it needs, or leave it out"
        ) from error
    check_declaration(found, None if ":" in name else name)
    analysis: type[Analysis[Any]] = found
    return analysis


def check_declaration(found: Any, name: str | None = None) -> None:
    """Raise SettingError unless a class declares an analysis, and has the name under which it was found."""
    where = f"analyze {name or getattr(found, 'name', found)}: {found!r}"
    if not (inspect.isclass(found) and issubclass(found, Analysis)):
        raise SettingError(f"{where} is no subclass of insitu.analyses.base.Analysis")
    called = getattr(found, "name", "")
    if not (isinstance(called, str) and called.isidentifier()) or (name and called != name):
        raise SettingError(f"{where} has the name {called!r}; give it {name or 'one word'!r}")
    settings: Any = getattr(found, "Settings", None)
    frozen = is_dataclass(settings) and settings.__dataclass_params__.frozen  # type: ignore[union-attr]
    if not frozen:
        raise SettingError(f"{where} has no frozen dataclass Settings")
    try:
        words = keywords(settings)
    except TypeError as error:
        raise SettingError(f"{where}: {error}") from None
    if taken := [w for w in words if w in RESERVED]:
        raise SettingError(
            f"{where}: the keyword '{taken[0]}' is every analysis'; call it otherwise"
        )


@functools.cache
def _others() -> dict[str, str]:
    from importlib import metadata  # brings 30 modules with it: only where it is needed

    return {e.name: e.value for e in metadata.entry_points(group=GROUP)}


def section(found: type[Analysis[Any]]) -> str:
    """Return the documentation of an analysis, in Markdown: what it does, and its keywords."""
    text = inspect.cleandoc(found.__doc__ or "").split("\n\nParameters\n---")[0].rstrip()
    lines = [f"## `analyze {found.name}`", "", text, ""]
    lines += ["| keyword | values, unit | default | meaning |", "|---|---|---|---|"]
    for k in keywords(found.Settings).values():
        what = {int: "whole number", float: "number", str: "word", bool: "`yes`, `no`"}[k.kind]
        values = ", ".join(f"`{a}`" for a in k.allowed) or ", ".join(filter(None, [what, k.range]))
        values += "; several by commas" if k.many else ""
        shown = ",".join(map(str, k.default)) if k.many and k.default else k.default
        default = "required" if k.required else "none" if shown in (None, ()) else f"`{shown}`"
        lines.append(f"| `{k.name}` | {values} | {default} | {k.about} |")
    return "\n".join(lines)
