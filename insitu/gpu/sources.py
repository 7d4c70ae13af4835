# SPDX-License-Identifier: BSD-3-Clause
"""The kernels' source as one text, and the names in it."""

from __future__ import annotations

import re
from pathlib import Path

_HERE = Path(__file__).parents[1]
#: The installed sources, or those of the source tree.
SOURCES = (
    next((p for p in (_HERE / "kernels", _HERE.parent / "kernels") if p.is_dir()), _HERE) / "cuda"
)


def source_text(folder: Path = SOURCES) -> str:
    """Return the kernels as one text: headers are put where they are included, each once.

    CuPy's cache knows a module by its text alone, so a changed header makes a new one.
    """
    seen: set[Path] = set()

    def expand(path: Path) -> str:
        path = path.resolve()
        if path in seen:
            return ""
        seen.add(path)
        lines = []
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            include = re.match(r'#include "(.*)"', line)
            if include:
                lines += [
                    expand(path.parent / include[1]),
                    f'#line {number + 1} "{path.name}"',
                ]
            elif line != "#pragma once":
                lines.append(line)
        return f'#line 1 "{path.name}"\n' + "\n".join(lines)

    return expand(folder / "kernels.cu")


def entry_points(text: str) -> list[str]:
    """Return the names of the kernels in a source text."""
    return re.findall(r'^extern "C" __global__ void (\w+)\(', text, flags=re.MULTILINE)
