# SPDX-License-Identifier: BSD-3-Clause
"""Recipes of models: what is simulated, labelled and trained, as TOML."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path
from typing import Any

from insitu.errors import SettingError, did_you_mean

RECIPES = Path(__file__).parents[1] / "models" / "recipes"


def load_recipe(name: str) -> tuple[dict[str, Any], str]:
    """Return a recipe and its SHA-256: a shipped name, or the path of a ``.toml`` file.

    Raises
    ------
    SettingError
        There is no such recipe.
    """
    shipped = {p.stem: p for p in RECIPES.glob("*.toml")}
    path = shipped.get(name, Path(name))
    if not path.is_file():
        raise SettingError(
            f"recipe '{name}' does not exist; give one of {sorted(shipped)} or the path of a .toml "
            f"file.{did_you_mean(name, shipped)}"
        )
    content = path.read_bytes()
    recipe = tomllib.loads(content.decode())
    digest = hashlib.sha256(content)
    if "base" in recipe:
        # A few lines for one's own material: settings that it does not give are those of the base,
        # whose materials and classes are not taken over.
        base = recipe.pop("base")
        settings, base_hash = load_recipe(base)
        for key in ("material", "source", "classes", "description", "reference", "species",
                    "foreign", "made"):  # fmt: skip
            settings.pop(key, None)
        recipe = _merged(settings, recipe)
        digest.update(base_hash.encode())
    return recipe, digest.hexdigest()


def _merged(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in own.items():
        below = base.get(key)
        both = isinstance(value, dict) and isinstance(below, dict)
        merged[key] = _merged(below, value) if both and below else value
    return merged
