# SPDX-License-Identifier: BSD-3-Clause
"""The command ``insitu``: each verb is a thin layer over one module."""

from __future__ import annotations

import argparse
import sys

from insitu import __version__
from insitu.cli.bench import add_bench
from insitu.cli.classify import add_classify
from insitu.cli.crystal import add_crystal
from insitu.cli.diffraction import add_diffraction
from insitu.cli.histories import Run, add_histories
from insitu.cli.jobs import add_jobs
from insitu.cli.saddles import add_saddles
from insitu.cli.train import add_train
from insitu.errors import InsituError, SettingError

_DESCRIPTION = "In-situ structural analysis of LAMMPS simulations."


def _example(text: str) -> str:
    return f"example:\n  {text}"


def _doctor(options: argparse.Namespace) -> int:
    from insitu.cli.doctor import format_report, report

    checks = report()
    print(format_report(checks))
    return int(any(check.ok is False for check in checks))


def _models(options: argparse.Namespace) -> int:
    from insitu.models.store import ALIASES, ARTIFACTS, describe, names

    if options.name:
        card = ARTIFACTS / ALIASES.get(options.name, options.name) / "README.md"
        if not card.is_file():
            raise SettingError(
                f"model '{options.name}' is not shipped; shipped: {', '.join(names())}"
            )
        print(card.read_text())
        return 0
    width = max(13, *map(len, names()))
    for name in names():
        about = f"→ {ALIASES[name]}" if name in ALIASES else describe(name)
        print(f"{name:{width}s} {about}")
    return 0


def _analyses(options: argparse.Namespace) -> int:
    from insitu.analyses.registry import find, names, section

    if options.name:
        print(section(find(options.name)))
        return 0
    for name in names():
        about = (find(name).__doc__ or "").strip().splitlines()
        print(f"{name:13s} {about[0] if about else ''}")
    return 0


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    top = argparse.ArgumentParser(
        prog="insitu",
        description=_DESCRIPTION,
        epilog="insitu VERB --help shows an example of each",
    )
    top.add_argument("--version", action="version", version=f"insitu {__version__}")
    verbs = top.add_subparsers(dest="verb", metavar="VERB", required=True)

    def verb(name: str, run: Run, text: str, example: str) -> argparse.ArgumentParser:
        sub = verbs.add_parser(
            name, help=text, description=text, epilog=_example(example),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )  # fmt: skip
        sub.set_defaults(run=run)
        return sub

    add_histories(verb)
    add_jobs(verb)

    add_classify(verb)
    add_crystal(verb)
    add_diffraction(verb)

    sub = verb("models", _models, "List the shipped models, or print a model's card.",
               "insitu models crystals-cnn")  # fmt: skip
    sub.add_argument("name", nargs="?", help="model whose card is printed")

    sub = verb("analyses", _analyses, "List what `analyze` takes, or the settings of one.",
               "insitu analyses steinhardt")  # fmt: skip
    sub.add_argument("name", nargs="?", help="analysis whose settings are printed")

    add_train(verb)
    add_saddles(verb)
    add_bench(verb)

    text = "Check LAMMPS, MPI, GPU and packages; say what to do. Exit code 1: something is not ok."
    verb("doctor", _doctor, text, "insitu doctor")
    return top


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code (2 for an error that insitu explains)."""
    options = parser().parse_args(arguments)
    try:
        code: int = options.run(options)
        return code
    except InsituError as error:
        print(f"insitu: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        return 0


if __name__ == "__main__":
    sys.exit(main())
