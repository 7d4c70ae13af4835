# SPDX-License-Identifier: BSD-3-Clause
"""The verb ``insitu bench``."""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path
from typing import Any

from insitu.cli.histories import Verb
from insitu.errors import SettingError

_TEXT = (
    "Measure what the analysis costs on this machine, beside OVITO, LAMMPS' computes and plain NumPy "
    "and torch, as far as they are installed. Prints Markdown."
)


def add_bench(verb: Verb) -> None:
    """Add the verb to the command line."""
    sub = verb(
        "bench", _bench, _TEXT,
        "insitu bench --json bench.json\n"
        "  insitu bench --quick\n"
        "  insitu bench --only insitu,ovito --elements Al --atoms 32000\n"
        "  insitu bench --scaling --large\n"
        "  insitu bench --device cuda --large     # on a machine with a GPU\n"
        "  insitu bench --startup --ranks 8\n"
        "  insitu bench --memory --atoms 1000000\n"
        "  taskset -c 0 insitu bench              # on one core: pinning is left to you",
    )  # fmt: skip
    what = sub.add_mutually_exclusive_group()
    what.add_argument(
        "--scaling", action="store_true", help="cost and memory of 10^3 to 10^6 atoms"
    )
    what.add_argument("--startup", action="store_true",
                      help="time, memory and file accesses of a rank's start")  # fmt: skip
    what.add_argument("--memory", action="store_true",
                      help="a rank's extra memory while it analyses, for each atom")  # fmt: skip
    what.add_argument("--device", metavar="cuda[:N]", help="atoms a second on a GPU, 10^4 to 10^6")
    what.add_argument(
        "--quick", action="store_true",
        help="metals and the descriptor beside OVITO, 4,000 atoms, Al, 3 rounds, one thread",
    )  # fmt: skip
    sub.add_argument("--atoms", type=int, help="number of atoms, about (108000; --memory: 500000)")
    sub.add_argument("--elements", help="samples: Al, Fe (both)")
    sub.add_argument("--only", metavar="A,B,…", help="families: insitu,ovito,lammps,numpy,torch")
    sub.add_argument("--threads", metavar="N,…", help="threads of insitu (1,2)")
    sub.add_argument("--repeats", type=int, help="rounds of all methods (5)")
    sub.add_argument("--ranks", type=int, default=1, help="--startup: processes at once (1)")
    sub.add_argument(
        "--large", action="store_true", help="with --scaling, --device: 10^7 atoms too"
    )
    sub.add_argument("--model", default="metals", help="for --scaling, --memory (metals)")
    sub.add_argument("--json", metavar="FILE", help="write all numbers")
    sub.add_argument("--verbose", action="store_true", help="report each repetition")


def _numbers(name: str, text: str) -> list[int]:
    try:
        return [int(word) for word in text.split(",")]
    except ValueError:
        raise SettingError(f"{name} {text} is not understood; give numbers, as in 1,2") from None


def _bench(options: argparse.Namespace) -> int:
    quick = options.quick
    if options.atoms is None:
        options.atoms = 500_000 if options.memory else 4_000 if quick else 108_000
    options.elements = options.elements or ("Al" if quick else "Al,Fe")
    options.threads = options.threads or ("1" if quick else "1,2")
    options.only = options.only or ("insitu,ovito" if quick else None)
    if options.repeats is None:  # 0 is refused below
        options.repeats = 3 if quick else 5
    if options.startup or options.memory:
        from insitu.bench import memory, startup

        return startup.run(options) if options.startup else memory.run(options)
    logging.basicConfig(
        level=logging.INFO if options.verbose else logging.WARNING, format="%(message)s"
    )
    out = Path(options.json) if options.json else None
    if out and not out.parent.is_dir():
        raise SettingError(f"--json {out}: the folder {out.parent} does not exist; make it first")
    if out and out.is_dir():
        raise SettingError(f"--json {out} is a folder; give the name of a file in it")
    threads = _numbers("--threads", options.threads)
    results: dict[str, Any]
    if options.device:
        from insitu.bench import device as on_device
        from insitu.gpu.device import choose

        there = choose(options.device)
        if there is None:
            raise SettingError(
                f"--device {options.device} is the CPU here, whose benchmark is that without --device; "
                "give cuda"
            )
        several = [*on_device.SIZES, *([on_device.LARGE] if options.large else [])]
        with there.here():
            results = on_device.device_benchmark(there, several, repeats=options.repeats)
        print(on_device.table(results))
    elif options.scaling:
        from insitu.bench import scaling

        sizes = [*scaling.SIZES, scaling.LARGE] if options.large else scaling.SIZES
        results = scaling.scaling(options.model, sizes, threads=threads[0])
        print(scaling.table(results))
    else:
        from insitu.bench import compare
        from insitu.bench.method import FAMILIES

        only = options.only.split(",") if options.only else FAMILIES
        results = compare.compare(
            options.elements.split(","), options.atoms, only=only, threads=threads,
            repeats=options.repeats, quick=quick,
        )  # fmt: skip
        print(compare.table(results))
    if out:
        out.write_text(json.dumps(results, indent=1) + "\n")
    return 0
