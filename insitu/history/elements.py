# SPDX-License-Identifier: BSD-3-Clause
"""What is inside a history, as h5py gives it: the elements of its observables, text, units, parameters."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from insitu.errors import HistoryError, InsituError, did_you_mean

FORMAT = 1
#: Settings that give the numbers of a history their meaning.
MUST_AGREE = ("model_sha256", "coverage", "threshold", "group", "neighbors", "units", "types")
#: What a history means that does not say it.
UNSAID = {"neighbors": "all", "coverage": 0.0}


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[h5py.File]:
    """Open a phase history for reading and check that it is one; nothing on disk is changed.

    Parameters
    ----------
    path
        The history.

    Raises
    ------
    HistoryError
        The file is missing, unreadable, damaged, of another kind, or of a newer format.
    """
    path = Path(path)
    try:
        with path.open("rb") as stream:
            signature = stream.read(8)
        if signature != b"\x89HDF\r\n\x1a\n":
            raise HistoryError(
                f"file='{path}' is not an HDF5 file; give the name of a history that insitu wrote."
            )
        # No lock: a reader must neither stop the running simulation nor fail on file systems that
        # have no locks. What the writer does between two frames leaves the file readable.
        file = h5py.File(path, "r", locking=False)
    except FileNotFoundError:
        near = did_you_mean(path.name, (p.name for p in path.parent.glob("*.h5*")))
        raise HistoryError(
            f"file='{path}' does not exist; give the name of a history, or wait for the first "
            f"analysed step if the run has just started.{near}"
        ) from None
    except IsADirectoryError:
        raise HistoryError(
            f"file='{path}' is a directory; give the name of a history, such as "
            f"'{path / 'phases.h5'}'."
        ) from None
    except PermissionError:
        raise HistoryError(f"file='{path}' may not be read by you; ask its owner.") from None
    except BlockingIOError:  # the variable overrules `locking=False` on either side
        raise HistoryError(
            f"file='{path}' is locked by the program that writes it; set the environment variable "
            "HDF5_USE_FILE_LOCKING to FALSE for both."
        ) from None
    except HistoryError:
        raise
    except Exception as error:
        raise _damaged(path, error) from error
    # HDF5 reads a file bit by bit, so damage shows wherever a reader has come to, as whatever h5py
    # makes of it (RuntimeError, KeyError, UnicodeDecodeError ...).
    try:
        with file:
            _identify(file, path)
            yield file
    except InsituError:
        raise
    except Exception as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> HistoryError:
    return HistoryError(
        f"file='{path}' is HDF5 but damaged ({damage(error)}); copy it again from where it was "
        "written, or go back to an older copy."
    )


def damage(error: Exception) -> str:
    """Return what h5py complains of in a damaged file, in a few words that can be printed."""
    if isinstance(error, UnicodeDecodeError | json.JSONDecodeError):
        return "a text in it cannot be read"
    what = str(error.args[0] if isinstance(error, KeyError) and error.args else error)
    if short := re.search(r"truncated file: eof = (\d+), .*stored_eof = (\d+)", what):
        what = f"{short[2]} bytes long, and {short[1]} are there"
    what = " ".join(what.split()) or type(error).__name__
    return "".join(c if c.isprintable() else "?" for c in what)


def _identify(file: h5py.File, path: Path) -> None:
    if "h5md" not in file:
        raise HistoryError(
            f"file='{path}' is HDF5 but not H5MD, for it has no group 'h5md'; give the name of a "
            "history that insitu wrote."
        )
    if "parameters/insitu" not in file:
        creator = file.get("h5md/creator")
        name = text(creator.attrs.get("name", "?")) if creator is not None else "?"
        raise HistoryError(
            f"file='{path}' is H5MD written by '{name}' and holds no phase history; give the name "
            "of a history that insitu wrote."
        )
    found = int(file["parameters/insitu"].attrs["insitu_format"])
    if found < 1:
        raise ValueError(f"its format is {found}")
    if found > FORMAT:
        raise HistoryError(
            f"file='{path}' has history format {found}, and this insitu reads formats up to "
            f"{FORMAT}; upgrade with 'pip install --upgrade insitu'."
        )


def elements(file: h5py.File) -> dict[str, h5py.Group]:
    """Return the time-dependent elements of a history, by their path below ``observables``."""
    found: dict[str, h5py.Group] = {}

    def visit(name: str, item: h5py.HLObject) -> None:
        if isinstance(item, h5py.Group) and all(k in item for k in ("value", "step", "time")):
            found[name] = item

    file["observables"].visititems(visit)
    return found


def disabled(file: h5py.File) -> list[dict[str, Any]]:
    """Return from which steps on a history's runs were not analysed, and why."""
    found = file["parameters/insitu"].attrs.get("disabled")
    noted = [] if found is None else json.loads(text(found))
    return [{**note, "step": int(note["step"]), "reason": str(note["reason"])} for note in noted]


def missing(file: h5py.File) -> list[dict[str, Any]]:
    """Return which frames of a history the file system did not take, from step to step, and why."""
    found = file["parameters/insitu"].attrs.get("missing")
    noted: list[dict[str, Any]] = [] if found is None else json.loads(text(found))
    return noted


def describe(file: h5py.File) -> dict[str, Any]:
    """Return what must agree for a run to continue a history, by what an error calls it."""
    found = elements(file)
    phases = file["observables/phases"].attrs
    clock = next(iter(found.values()))["time"] if found else None
    return {
        "classes": [text(name) for name in phases["classes"]],
        "codes": phases["codes"].tolist(),
        "time_unit": "" if clock is None else units(clock).get("units", ""),
        "observables": {
            signature(name, v.shape[1:], v.dtype, units(v).get("units", ""), _named(v))
            for name, v in ((name, group["value"]) for name, group in found.items())
        },
    }


def signature(
    path: str, shape: tuple[int, ...], dtype: Any, unit: str, rows: Sequence[Any] = ()
) -> str:
    """Return an observable as text, e.g. ``thermo/temperature f8[] K``."""
    names = ", ".join(map(str, rows))
    return f"{path} {np.dtype(dtype).str[1:]}{list(shape)} {unit} {names}".rstrip()


def rows_of(value: h5py.Dataset) -> tuple[str, list[Any]]:
    """Return the coordinate of the first axis of an observable that has one of its own."""
    for name in ("group", "type"):
        if f"{name}s" in value.attrs:
            return name, [text(v) if isinstance(v, bytes) else v for v in value.attrs[f"{name}s"]]
    return "", []


def axes_of(value: h5py.Dataset) -> list[tuple[str, list[Any], dict[str, str]]]:
    """Return name, values and attributes of the axes of an observable that has its own throughout."""
    found = []
    for name in (text(n) for n in value.attrs.get("axes", ())):
        values = [text(v) if isinstance(v, bytes) else v for v in value.attrs[f"axis_{name}"]]
        unit = value.attrs.get(f"axis_{name}_unit")
        found.append((name, values, {} if unit is None else {"units": text(unit)}))
    return found


def _named(value: h5py.Dataset) -> Sequence[Any]:
    return rows_of(value)[1] or ends([values for _, values, _ in axes_of(value)])


def ends(axes: Sequence[Sequence[Any]]) -> list[str]:
    """Return the first and the last value of each axis: with its length they tell it from another."""
    return [v if isinstance(v, str) else f"{v:g}" for along in axes for v in (along[0], along[-1])]


def text(value: Any) -> str:
    """Return a string of the file, fixed-length or not, as a Python string."""
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def fixed(words: str | Sequence[str]) -> NDArray[Any]:
    """Return text as the fixed-length strings that H5MD asks for."""
    raw = np.char.encode(np.asarray(words, dtype=str), "utf-8")
    ascii_only = all(byte < 128 for byte in raw.tobytes())
    kind = h5py.string_dtype("ascii" if ascii_only else "utf-8", max(1, raw.itemsize))
    return raw.astype(kind)


def units(dataset: h5py.Dataset) -> dict[str, str]:
    """Return the unit of a dataset as the attribute that xarray uses; empty without one."""
    unit = dataset.attrs.get("unit")
    return {} if unit is None else {"units": text(unit)}


def provenance(group: h5py.Group) -> dict[str, Any]:
    """Return the parameters as what netCDF takes too: str, int, float."""
    stored = {k: v[()] for k, v in group.items() if isinstance(v, h5py.Dataset)}
    plain: dict[str, Any] = {}
    for key, value in sorted({**group.attrs, **stored}.items()):
        if isinstance(value, np.bool_):
            plain[key] = int(value)
        elif isinstance(value, np.number):
            plain[key] = value.item()
        else:
            plain[key] = text(value)
    runs = [k for k, v in group.items() if k.startswith("continued_") and isinstance(v, h5py.Group)]
    if runs:
        later = [provenance(group[k]) for k in sorted(runs, key=lambda k: int(k.split("_")[1]))]
        plain["continued"] = json.dumps(later)
    return plain


def difference(mine: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[str, Any, Any] | None:
    """Return the first thing that is not the same in two histories, and what each has; None: nothing.

    Parameters
    ----------
    mine, other
        By name; of sets only what the other one lacks counts.
    """
    for what, own in mine.items():
        its = other[what]
        if own == its:
            continue
        if isinstance(own, set):
            own, its = sorted(own - its), sorted(its - own)
        return what, own or "none", its or "none"
    return None
