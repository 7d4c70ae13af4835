# SPDX-License-Identifier: BSD-3-Clause
"""Run `insitu bench` and put its table of fcc Al into the README, between its two markers.

python benchmarks/readme.py                    # runs all methods, about five minutes
python benchmarks/readme.py --json bench.json  # takes the results of `insitu bench --json bench.json`
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from insitu.bench.compare import compare, table

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- insitu bench -->\n", "<!-- end of insitu bench -->\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", help="results to take instead of a new run")
    given = parser.parse_args().json
    results = json.loads(Path(given).read_text()) if given else compare(["Al"], threads=[1, 2])
    shown = results | {"systems": [s for s in results["systems"] if s["structure"] == "fcc"]}
    before, _, rest = README.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    assert after, f"{README} has no markers {BEGIN.strip()} … {END.strip()}"
    README.write_text(f"{before}{BEGIN}{table(shown)}\n{END}{after}")
    print(f"wrote {README}")


if __name__ == "__main__":
    main()
