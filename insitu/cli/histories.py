# SPDX-License-Identifier: BSD-3-Clause
"""The verbs of the command line that read histories: show, plot, watch, export, compare, report."""

from __future__ import annotations

import argparse
import shutil
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from insitu.errors import SettingError

if TYPE_CHECKING:
    import xarray

Run = Callable[[argparse.Namespace], int]
#: Makes the parser of a verb from its name, what it runs, what it says, and an example.
Verb = Callable[[str, Run, str, str], argparse.ArgumentParser]


def add_histories(verb: Verb) -> None:
    """Add the verbs that read histories to the command line."""
    sub = verb("show", _show, "Print a history as a table.", "insitu show phases.h5 --rows 40")
    _files(sub)
    sub.add_argument("--rows", type=int, default=20, help="frames to print, evenly spaced (20)")
    sub.add_argument("--all", action="store_true", help="print every frame")
    sub.add_argument("--width", type=int, help="width in characters (that of the terminal)")
    sub.add_argument("--check", action="store_true",
                     help="is it valid H5MD, and complete? exit code 1 if not")  # fmt: skip

    sub = verb(
        "plot", _plot, "Plot a history: phase fractions, temperature, energy.",
        "insitu plot phases.h5 --out melting.svg\n"
        "  insitu plot phases.h5 --x temperature --panels phases,energy\n"
        "  insitu plot small.h5 large.h5 --beside --stacked",
    )  # fmt: skip
    _files(sub)
    sub.add_argument("--out", help="PNG, SVG or PDF file (FILE with .png)")
    sub.add_argument("--title", help="title of the figure")
    sub.add_argument("--x", help="time, step or temperature (time)")
    sub.add_argument("--stacked", action="store_true", help="stacked areas instead of lines")
    sub.add_argument("--panels", metavar="A,B,…",
                     help="of phases, profile, temperature, energy, pressure, rdf, steinhardt, clusters, "
                     "grains, lattice, diffraction, crystal, crystal_length, crystal_moduli, "
                     "crystal_formation_energy, crystal_symmetry_breaking, unknown, barriers, trigger, "
                     "budget, overlap, cost and others (phases, profile, temperature, energy: those with "
                     "data)")  # fmt: skip
    sub.add_argument("--beside", action="store_true", help="draw several files side by side")
    sub.add_argument("--width", type=float, metavar="CM", help="width of the figure in cm (14.7)")
    _match(sub)

    sub = verb(
        "watch", _watch, "Watch the history of a running job in the terminal.",
        "insitu watch phases.h5 --steps 100000\n  insitu watch 4711",
    )  # fmt: skip
    sub.add_argument("file", metavar="FILE|JOB",
                     help="history (HDF5; it need not exist yet), or number of a SLURM job")  # fmt: skip
    sub.add_argument(
        "--steps", type=int, metavar="N",
        help="last step of the run, for the time left (otherwise from LAMMPS' log, once it is there)",
    )  # fmt: skip
    sub.add_argument("--seconds", type=float, default=2.0, help="seconds between updates (2)")
    sub.add_argument("--once", action="store_true",
                     help="print the view once; exit code 1 if there is no frame yet")  # fmt: skip
    sub.add_argument("--width", type=int, help="width in characters (that of the terminal)")
    _subset(sub)

    sub = verb(
        "export", _export, "Write a history as a table for other programs.",
        "insitu export phases.h5 --out phases.csv",
    )  # fmt: skip
    _files(sub)
    sub.add_argument("--out", help=".csv, .dat (gnuplot, numpy.loadtxt) or .json; - prints CSV (FILE "
                     "with .csv)")  # fmt: skip
    sub.add_argument("--tidy", action="store_true", help="a row for each number, not each frame")

    sub = verb(
        "compare", _compare,
        "Compare the fractions of two histories at their common steps, or of a history and PTM. Exit "
        "code 1: they differ by more than the tolerance.",
        "insitu compare a.h5 b.h5 --tolerance 0.02 --out difference.png\n"
        "  insitu compare phases.h5 --ptm dump.lammpstrj",
    )  # fmt: skip
    sub.add_argument("file", metavar="A", help="history (HDF5), or a pattern in quotes")
    sub.add_argument("other", metavar="B", nargs="?", help="history to compare it with")
    sub.add_argument(
        "--tolerance", type=float, default=0.01, help="largest accepted difference (0.01)"
    )
    sub.add_argument("--out", help="figure to draw: PNG, SVG or PDF file")
    sub.add_argument("--title", help="title of the figure")
    sub.add_argument(
        "--ensemble", action="store_true", help="each pattern is an ensemble: use its mean"
    )
    _match(sub)
    _subset(sub)

    sub = verb(
        "report", _report, "Write a report of a run: one HTML file that needs nothing else.",
        "insitu report phases.h5 --out report.html",
    )  # fmt: skip
    _files(sub)
    sub.add_argument("--out", help="HTML file (FILE with .html)")
    sub.add_argument("--title", help="heading (the name of the file)")


def _subset(sub: argparse.ArgumentParser) -> None:
    only = sub.add_mutually_exclusive_group()
    only.add_argument("--group", help="only this LAMMPS group (setting groups of the run)")
    only.add_argument("--type", type=int, help="only this atom type (setting types of the run)")


def _files(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "file", nargs="+",
        help="history (HDF5); several are the parts of one restarted run, a later one wins",
    )  # fmt: skip
    sub.add_argument(
        "--ensemble",
        action="store_true",
        help="several files are independent runs: show their mean",
    )
    _subset(sub)


def _match(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--ptm", metavar="DUMP", help="PTM's fractions from a dump of the run (OVITO)")
    sub.add_argument("--rmsd", type=float, default=0.1, help="largest RMSD of PTM (0.1)")


def _history(options: argparse.Namespace) -> xarray.Dataset:
    from insitu.history.datasets import subset
    from insitu.history.reader import open as open_history

    files = options.file if isinstance(options.file, list) else [options.file]
    opened = open_history(files, ensemble=getattr(options, "ensemble", False))
    return subset(opened, options.group, options.type)


def _out(options: argparse.Namespace, suffix: str) -> str:
    return options.out or str(Path(options.file[0]).with_suffix(suffix))


def _width(options: argparse.Namespace) -> int:
    return options.width or shutil.get_terminal_size((100, 24)).columns


def _show(options: argparse.Namespace) -> int:
    from insitu.history.datasets import average, gaps, notes
    from insitu.views.analyses import lines
    from insitu.views.table import phase_table
    from insitu.views.terminal import terminal

    if options.check:
        return _check(options.file)
    history = _history(options)
    rows = None if options.all else options.rows
    width = _width(options)
    terminal(width=width).print(phase_table(average(history), width=width, max_rows=rows))
    for line in lines(average(history)):
        print(line)
    if (those := history.attrs.get("neighbors", "all")) != "all":
        print(
            f"Only the atoms of {those} make up the surroundings (neighbors); others are left out."
        )
    if "run" in history.dims:
        print(f"Mean of {history.sizes['run']} runs.")
    for gap in gaps(history):
        text = f"{gap['frames']} frames, steps {gap['first']} to {gap['last']}, are missing: "
        print(textwrap.fill(text + gap["reason"], max(20, _width(options))))
    for note in notes(history):
        run = f" ({note['run']})" if "run" in note else ""
        text = f"The analysis was disabled from step {note['step']} on{run}: {note['reason']}"
        for line in text.splitlines():  # the line that a deck lacks stays one
            print(textwrap.fill(line, max(20, _width(options))))
    return 0


def _check(files: list[str]) -> int:
    from insitu.history.check import check_file
    from insitu.history.elements import elements, opened

    bad = 0
    for file in files:
        problems = check_file(file)
        bad += bool(problems)
        for problem in problems:
            print(problem if file in problem else f"{file}: {problem}")
        if not problems:
            with opened(file) as stream:
                frames = min((len(g["step"]) for g in elements(stream).values()), default=0)
            print(f"{file}: valid H5MD 1.1, {frames:,} frames, complete")
    return int(bad > 0)


def _plot(options: argparse.Namespace) -> int:
    from insitu.history.datasets import subset
    from insitu.history.joining import short_names
    from insitu.history.reader import open as open_history
    from insitu.views.plots import check_name, save

    out = check_name(_out(options, ".png"))
    histories: xarray.Dataset | dict[str, xarray.Dataset]
    if options.beside:
        names = short_names(options.file)
        parts = [subset(open_history(f), options.group, options.type) for f in options.file]
        histories = dict(zip(names, parts, strict=True))
    else:
        histories = _history(options)
    reference = None
    if options.ptm:
        found = _ptm(options, _history(options))
        reference = (f"PTM, RMSD {options.rmsd:g}", found)
    panels = options.panels.split(",") if options.panels else ()
    save(
        histories, out, title=options.title, x=options.x, stacked=options.stacked, panels=panels,
        reference=reference, width=options.width,
    )  # fmt: skip
    print(f"wrote {out}")
    return 0


def _ptm(options: argparse.Namespace, history: xarray.Dataset) -> xarray.Dataset:
    from insitu.offline.ptm import match

    if options.group:
        raise SettingError(
            f"--group {options.group}: a dump does not say which atoms a group has; leave out "
            "--group, or --ptm. --type works."
        )
    those = str(history.attrs.get("neighbors", "all"))
    kinds = [] if those == "all" else those.split(",")
    if odd := [w for w in kinds if not w.isdecimal()]:
        raise SettingError(
            f"--ptm: only neighbors={those} make up the surroundings of this history, and a dump does not "
            f"say which atoms '{odd[0]}' has; name them by atom types in the run: neighbors 1"
        )
    phases = [str(name) for name in history["phase"].values]
    steps = history["step"].values.tolist()
    return match(
        options.ptm, phases, steps, rmsd=options.rmsd, kind=options.type,
        neighbors=[int(w) for w in kinds],
    )  # fmt: skip


def _export(options: argparse.Namespace) -> int:
    from insitu.history.export import export

    out = export(_history(options), _out(options, ".csv"), tidy=options.tidy)
    if str(out) != "-":
        print(f"wrote {out}")
    return 0


def _compare(options: argparse.Namespace) -> int:
    from insitu.history.compare import compare, format_comparison

    if bool(options.other) == bool(options.ptm):
        raise SettingError("compare takes a second history, or --ptm DUMP; give one of the two.")
    out = None
    if options.out:
        from insitu.views.plots import check_name

        out = check_name(options.out)
    first = _history(options)
    if options.ptm:
        from insitu.offline.ptm import without_order

        second, first = _ptm(options, first), without_order(first)
        names = (
            f"{options.file} (other: disordered and unknown)",
            f"{second.method} of {options.ptm}",
        )
        short = f"PTM, RMSD {options.rmsd:g}"
    else:
        options.file, name = options.other, options.file
        second, names, short = _history(options), (name, options.other), f"B: {options.other}"
    found = compare(first, second, tolerance=options.tolerance)
    print(format_comparison(found, names, shutil.get_terminal_size((100, 24)).columns))
    if out:
        from insitu.views.plots import save

        save(first, out, panels=["phases", "difference"], reference=(short, second),
             tolerance=options.tolerance, title=options.title)  # fmt: skip
        print(f"wrote {out}")
    return int(found.beyond is not None)


def _watch(options: argparse.Namespace) -> int:
    from insitu.cli.jobs import history_of_job
    from insitu.jobs.slurm import is_job
    from insitu.views.watch import watch

    if not options.seconds > 0:
        raise SettingError(f"--seconds {options.seconds:g} must be above 0; 2 is a good value.")
    file: str | Path | None = options.file
    if is_job(options.file):
        file = history_of_job(options.file, options.seconds, options.once)
    if file is None:
        return 1
    return watch(
        file, seconds=options.seconds, once=options.once, target=options.steps,
        group=options.group, kind=options.type, width=options.width,
    )  # fmt: skip


def _report(options: argparse.Namespace) -> int:
    from insitu.views.report import report

    print(f"wrote {report(_history(options), _out(options, '.html'), title=options.title)}")
    return 0
