#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""LAMMPS' own example decks, each without and with the analysis.

    python tools/sweep_examples.py /usr/share/doc/lammps/examples --out sweep.jsonl
    python tools/sweep_examples.py /usr/share/doc/lammps/examples --lmp /usr/bin/lmp --python

Each deck runs in a copy of its folder with the `lmp` of this environment, or with another
one that has the package PYTHON (`--python`), its runs cut to a few steps. One
that does not run by itself (a missing package, longer than the limit) is left out. One line of
JSON a deck tells the outcome: `same` (thermo output identical), `differs`, `refused` (one clear message),
`traceback`, `crash`, `hang`. A sweep that was interrupted goes on where it was.
"""

import argparse
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

RUN = re.compile(r"^(\s*run\s+)(\d+)(.*)$")
STARTS = re.compile(r"^\s*(run|minimize|rerun|neb|prd|tad|hyper|dynamical_matrix|temper)\b")
#: Thermo columns that no two runs have in common.
TIMES = {"CPU", "T/CPU", "S/CPU", "CPULeft", "Part", "WallTime", "v_time", "v_cpu"}


def shortened(lines: list[str], steps: int) -> list[str]:
    """Return the deck with runs of at most `steps` steps."""

    def short(match: re.Match[str]) -> str:
        return f"{match[1]}{min(int(match[2]), steps)}{match[3]}"

    return [RUN.sub(short, line) for line in lines]


FIX = ("fix sweep all insitu 20 file sweep.h5 first yes",)
PYTHON = (
    "python sweep here \"import insitu; sweep = insitu.monitor(file='sweep.h5', first=True)\"",
    "fix sweep all python/invoke 20 end_of_step sweep",
)


def with_fix(lines: list[str], fix: tuple[str, ...]) -> list[str] | None:
    """Return the deck with the fix before its first run; None where there is none at the top level."""
    for at, line in enumerate(lines):
        if STARTS.match(line):
            return [*lines[:at], *fix, *lines[at:]]
    return None


def thermo(log: Path) -> list[list[str]]:
    """Return the thermo rows of a log, without the columns that are times."""
    rows, columns = [], []
    for line in log.read_text(errors="replace").splitlines() if log.exists() else ():
        words = line.split()
        if words[:1] == ["Step"]:
            columns = [at for at, word in enumerate(words) if word not in TIMES]
        elif line.startswith("Loop time"):
            columns = []
        elif columns and words and re.fullmatch(r"\d+", words[0]) and len(words) > max(columns):
            rows.append([words[at] for at in columns])
    return rows


def run(lmp: list[str], folder: Path, deck: list[str], limit: float) -> tuple[int | None, str]:
    """Exit code (None: over the limit) and output of a deck in a folder.

    The limit is of processor time, so that a busy machine leaves no deck out; one that waits for something
    is ended after ten times as long.
    """

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (round(limit), round(limit) + 1))

    (folder / "in.sweep").write_text("\n".join(deck) + "\n")
    process = subprocess.Popen(
        [*lmp, "-in", "in.sweep", "-log", "log.sweep"], cwd=folder, text=True, errors="replace",
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True,
        preexec_fn=limited,
    )  # fmt: skip
    try:
        text, _ = process.communicate(timeout=10 * limit)
        over = process.returncode in (-signal.SIGXCPU, -signal.SIGKILL)
        return None if over else process.returncode, text
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        text, _ = process.communicate()
        return None, text


def tried(path: Path, options: argparse.Namespace) -> dict[str, object]:
    """Return what one deck does without and with the fix."""
    lines = shortened(path.read_text(errors="replace").splitlines(), options.steps)
    fixed = with_fix(lines, PYTHON if options.python else FIX)
    if fixed is None:
        return {"outcome": "no run"}
    lmp = options.lmp.split()
    with tempfile.TemporaryDirectory() as scratch:
        plain, added = Path(scratch, "plain", "deck"), Path(scratch, "added", "deck")
        for folder in (plain, added):
            left_out = shutil.ignore_patterns("log.*", "*.gz", "*.jpg")
            shutil.copytree(path.parent, folder, ignore=left_out, ignore_dangling_symlinks=True)
        code, text = run(lmp, plain, lines, options.limit)
        if code != 0:
            return {"outcome": "does not run by itself", "code": code, "text": text[-300:]}
        code, text = run(lmp, added, fixed, 4 * options.limit)
        same = thermo(plain / "log.sweep") == thermo(added / "log.sweep")
        frames = sum(1 for _ in added.glob("sweep.h5"))
    errors = [line for line in text.splitlines() if "ERROR" in line or "insitu:" in line]
    if code is None:
        outcome = "hang"
    elif "Traceback" in text:
        outcome = "traceback"
    elif code < 0 or code in (134, 136, 139):
        outcome = "crash"
    elif code != 0:
        outcome = "refused" if any("insitu" in line for line in errors) else "crash"
    else:
        outcome = "same" if same else "differs"
    return {"outcome": outcome, "code": code, "history": bool(frames), "said": errors[:4],
            **({} if outcome == "same" else {"text": text[-1500:]})}  # fmt: skip


def main() -> None:
    """Sweep the decks below a folder and print the outcomes."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("examples", type=Path, help="the folder of LAMMPS' examples")
    parser.add_argument("--out", type=Path, default=Path("sweep.jsonl"))
    parser.add_argument("--steps", type=int, default=60, help="longest run [60 steps]")
    parser.add_argument(
        "--limit", type=float, default=30.0, help="longest run by itself [30 s of a core]"
    )
    parser.add_argument("--lmp", default=str(Path(sys.executable).with_name("lmp")))
    parser.add_argument(
        "--python", action="store_true", help="by fix python/invoke, not fix insitu"
    )
    parser.add_argument("--part", default="0/1", help="every n-th deck from the k-th on: k/n")
    options = parser.parse_args()
    part, parts = (int(word) for word in options.part.split("/"))
    done = {}
    if options.out.exists():
        done = {row["deck"]: row for row in map(json.loads, options.out.read_text().splitlines())}
    decks = sorted(p for p in options.examples.rglob("in.*") if p.is_file() and p.suffix != ".gz")
    for path in decks[part::parts]:
        name = str(path.relative_to(options.examples))
        if name not in done:
            done[name] = {"deck": name, **tried(path, options)}
            with options.out.open("a") as out:
                out.write(json.dumps(done[name]) + "\n")
    for outcome, number in Counter(str(row["outcome"]) for row in done.values()).most_common():
        sys.stdout.write(f"{number:5d}  {outcome}\n")


if __name__ == "__main__":
    main()
