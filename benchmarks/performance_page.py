# SPDX-License-Identifier: BSD-3-Clause
"""Run `insitu bench` and put its table of fcc Al into docs/performance.md, between its two markers.

python benchmarks/performance_page.py                    # all methods, about five minutes
python benchmarks/performance_page.py --json bench.json  # results of `insitu bench --json …`
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from insitu.bench.compare import compare, table

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
BEGIN, END = "<!-- insitu bench -->\n", "<!-- end of insitu bench -->\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", help="results to take instead of a new run")
    given = parser.parse_args().json
    results = json.loads(Path(given).read_text()) if given else compare(["Al"], threads=[1, 2])
    shown = results | {"systems": [s for s in results["systems"] if s["structure"] == "fcc"]}
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    assert after, f"{PAGE} has no markers {BEGIN.strip()} … {END.strip()}"
    PAGE.write_text(f"{before}{BEGIN}{table(shown)}\n{END}{after}")
    print(f"wrote {PAGE}")


if __name__ == "__main__":
    main()
