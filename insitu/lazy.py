# SPDX-License-Identifier: BSD-3-Clause
"""Names of a package that are imported on first use."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from typing import Any


def attribute(package: str, name: str, homes: Mapping[str, str], public: list[str]) -> Any:
    """Return a name of a package, which has it from then on: what its ``__getattr__`` does.

    Parameters
    ----------
    package
        Its ``__name__``.
    name
        What is asked for.
    homes
        Module of each name.
    public
        All that the package has, for the message.

    Raises
    ------
    AttributeError
        It is none of them.
    """
    if name not in homes:
        raise AttributeError(f"module '{package}' has no attribute '{name}'; it has {public}")
    value = getattr(importlib.import_module(homes[name]), name)
    setattr(sys.modules[package], name, value)
    return value
