# SPDX-License-Identifier: BSD-3-Clause
"""Check that source files begin with their licence: BSD-3-Clause, GPL-2.0-only for the plug-in's.

python tools/licence_headers.py            # all files under version control
python tools/licence_headers.py FILE ...   # these (pre-commit)
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
SUFFIXES = {".py", ".cpp", ".hpp", ".h", ".cu", ".sh", ".sbatch"}
NAMES = {"Makefile", "CMakeLists.txt"}
#: A template, whose text becomes the user's own file.
WITHOUT = {"insitu/jobs/submit.sbatch"}


def licence(name: str) -> str:
    """Return the licence of a file, given as its path from the root of the repository."""
    plugin = name.startswith("kernels/lammps/") and name.endswith((".cpp", ".h"))
    return "GPL-2.0-only" if plugin else "BSD-3-Clause"


def wrong(names: list[str]) -> list[str]:
    """Return a line for each source file that does not name its licence in its first three lines."""
    found = []
    for name in names:
        path = ROOT / name
        if (path.suffix not in SUFFIXES and path.name not in NAMES) or name in WITHOUT:
            continue
        header = f"SPDX-License-Identifier: {licence(name)}"
        if path.is_file() and not any(header in line for line in path.read_text().splitlines()[:3]):
            found.append(f"{name}: add '{header}' as a comment in the first line")
    return found


def main() -> None:
    """Check the files that are given, or all."""
    given = [Path(name).resolve().relative_to(ROOT).as_posix() for name in sys.argv[1:]]
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    if lines := wrong(given or tracked.stdout.splitlines()):
        sys.exit("\n".join(lines))


if __name__ == "__main__":
    main()
