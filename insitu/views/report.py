# SPDX-License-Identifier: BSD-3-Clause
"""A report of a run: one HTML file with everything inside, without scripts."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from insitu import __version__
from insitu.errors import InsituError, check_suffix, writing
from insitu.history.datasets import average, notes, present_phases
from insitu.views.markdown import to_html
from insitu.views.summary import STAGES, cost, crossings, stages
from insitu.views.units import printed, readable

try:
    import jinja2
except ImportError as error:
    raise InsituError(
        "jinja2 is not installed and reports need it; install it with pip install 'insitu[plot]'."
    ) from error

if TYPE_CHECKING:
    import xarray

_HERE = Path(__file__).parent
_MOST_CROSSINGS = 12


def report(
    dataset: xarray.Dataset, path: str | os.PathLike[str], *, title: str | None = None
) -> Path:
    """Write a report of a run.

    Parameters
    ----------
    dataset
        A history from :func:`insitu.open`; of an ensemble the mean and its runs are shown.
    path
        A file ending in ``.html``.
    title
        Heading; by default the name of the history.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    SettingError
        The suffix is another one, or the file cannot be written.
    """
    path = Path(path)
    check_suffix(path, "a report cannot be written", (".html", ".htm"))
    text = page(dataset, title or path.stem)
    with writing(path):
        path.write_text(text, encoding="utf-8")
    return path


def page(dataset: xarray.Dataset, title: str) -> str:
    """Return the report as a page of HTML."""
    (dataset,) = readable([dataset])
    data = average(dataset)
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    share = cost(data)
    return templates.get_template("report.html").render(
        title=title, style=(_HERE / "report.css").read_text(encoding="utf-8"), version=__version__,
        facts=_facts(data), notes=[{"run": "", **note} for note in notes(data)],
        figures=_figures(dataset, data), phases=_phases(data), transitions=_transitions(data),
        parts=_parts(data), stages=_timing(data), cost=None if share is None else _percent(share, 1),
        provenance=_provenance(data), model=_model(data),
    )  # fmt: skip


def _words(name: Any) -> str:
    return str(name).replace("_", " ")


def _number(value: float, unit: str = "") -> str:
    if not np.isfinite(value):
        return "–"
    digits = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{digits.replace('-', '−')} {unit}".rstrip()


def _percent(value: float, digits: int = 2) -> str:
    return f"{100 * value:.{digits}f} %" if np.isfinite(value) else "–"


def _unit(data: xarray.Dataset, name: str) -> str:
    return printed(str(data[name].attrs.get("units", "")))


def _facts(data: xarray.Dataset) -> list[tuple[str, str]]:
    step, time = data["step"].values, data["time"].values
    atoms = data.attrs.get("atoms")
    facts = [("atoms", f"{atoms:,}" if isinstance(atoms, int) else "")]
    if (those := str(data.attrs.get("neighbors", "all"))) != "all":
        facts.append(("surroundings made up by (neighbors)", those))
    facts.append(("steps", f"{step[0]:,} – {step[-1]:,}"))
    facts.append(("time", f"{_number(time[0])} – {_number(time[-1], _unit(data, 'time'))}"))
    if "temperature" in data and np.isfinite(kelvin := data["temperature"].values).any():
        ends = kelvin[np.isfinite(kelvin)][[0, -1]]
        facts.append(
            ("temperature", f"{_number(ends[0])} → {_number(ends[1], _unit(data, 'temperature'))}")
        )
    final = data["fraction"].values[-1]
    if np.isfinite(final).any():
        most = int(np.nanargmax(final))
        phase = _words(data["phase"].values[most])
        facts.append(("at the end", f"{_percent(final[most], 1)} {phase}"))
    facts.append(("frames", f"{len(step):,}"))
    if "runs" in data.attrs:
        facts.append(("runs (this is their mean)", str(data.attrs["runs"])))
    if (share := cost(data)) is not None:
        facts.append(("analysis, share of the simulation's time", _percent(share, 1)))
    return facts


def _figures(dataset: xarray.Dataset, data: xarray.Dataset) -> list[tuple[str, str]]:
    """Return images as SVG, and what is below them."""
    from insitu.views.plots import svg

    figures = [(svg(dataset), "Fractions, temperature and potential energy.")]
    figures.append((svg(data, stacked=True, panels=["phases"]), "Shares of the phases."))
    if "temperature" in data and np.isfinite(kelvin := data["temperature"].values).any():
        # Heated or cooled, not only thermalised.
        cold, hot = np.nanpercentile(kelvin, [10, 90])
        if hot > 1.1 * cold and data.sizes["step"] > 2:
            figures.append((svg(data, x="temperature", panels=["phases"]), "Over temperature."))
    return figures


def _phases(data: xarray.Dataset) -> dict[str, Any]:
    rows = []
    for name in data["phase"].values:
        share = data["fraction"].sel(phase=name).values
        if not np.isfinite(share).any():
            continue
        row = [_words(name), _percent(share[0]), _percent(share[-1])]
        if "standard_error" in data:
            error = float(data["standard_error"].sel(phase=name).values[-1])
            row[-1] += f" ± {100 * error:.2f}" if error > 0 else ""
        row += [_percent(float(f(share))) for f in (np.nanmin, np.nanmax, np.nanmean)]
        if "confidence" in data:
            sure = data["confidence"].sel(phase=name).values
            row.append(_number(float(np.nanmean(sure))) if np.isfinite(sure).any() else "–")
        rows.append(row)
    head = ["phase", "first frame", "last frame", "least", "most", "mean"]
    return {"head": [*head, *(["confidence"] if "confidence" in data else [])], "rows": rows}


def _transitions(data: xarray.Dataset) -> dict[str, Any]:
    found = crossings(data)
    rows = []
    for c in found[:_MOST_CROSSINGS]:
        kelvin = (
            _number(c.temperature, _unit(data, "temperature")) if "temperature" in data else "–"
        )
        rows.append([
            _words(c.phase), "rises above 50 %" if c.rising else "falls below 50 %",
            f"{c.steps[0]:,} – {c.steps[1]:,}", _number(c.time, _unit(data, "time")), kelvin,
        ])  # fmt: skip
    most = [n for n in present_phases(data) if float(data["fraction"].sel(phase=n)[-1]) > 0.5]
    return {
        "head": ["phase", "", "between steps", "time", "temperature"], "rows": rows,
        "more": len(found) - len(rows), "majority": _words(most[0]) if most else "",
    }  # fmt: skip


def _parts(data: xarray.Dataset) -> list[dict[str, Any]]:
    """Return a table for groups, and one for types, of those that the history has."""
    tables = []
    for kind in ("group", "type"):
        if kind in data.coords:
            rows = [
                [str(part), f"{float(data[f'count_by_{kind}'].sel({kind: part})[-1].sum()):,.0f}",
                 *(_percent(float(f)) for f in data[f"fraction_by_{kind}"].sel({kind: part})[-1])]
                for part in data[kind].values
            ]  # fmt: skip
            tables.append(
                {"head": [kind, "atoms", *map(_words, data["phase"].values)], "rows": rows}
            )
    return tables


def _timing(data: xarray.Dataset) -> list[tuple[str, ...]]:
    """Return a row for each stage; the last cell is the length of a bar in percent."""
    atoms = data.attrs.get("atoms")
    rows: list[tuple[str, ...]] = []
    for s in (s for s in stages(data) if s.total > 0):
        each = f"{1e6 * s.mean / atoms:.3g} µs" if isinstance(atoms, int) and atoms else "–"
        name, total = STAGES.get(s.name, s.name), _number(s.total, "s")
        width = f"{100 * s.share:.1f}"
        rows.append((name, total, _number(1e3 * s.mean, "ms"), each, _percent(s.share, 1), width))
    return rows


def _provenance(data: xarray.Dataset) -> list[tuple[str, Any]]:
    hidden = ("disabled", "continued", "runs", "missing")
    rows = [(_words(name), _nested(it)) for name, it in data.attrs.items() if name not in hidden]
    later = _nested(data.attrs.get("continued", "[]"))
    return [*rows, *((f"continued {i}", run) for i, run in enumerate(later, start=1))]


def _nested(value: Any) -> Any:
    """Return an attribute, nested JSON taken apart."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            value = json.loads(value)
        except ValueError:
            return value
    if isinstance(value, dict):
        return {key: _nested(inner) for key, inner in value.items()}
    return [_nested(inner) for inner in value] if isinstance(value, list) else value


def _model(data: xarray.Dataset) -> dict[str, str]:
    from insitu.models.store import ARTIFACTS

    name = str(data.attrs.get("model", ""))
    digest = str(data.attrs.get("model_sha256", "?"))
    own = Path(str(json.loads(data.attrs.get("settings", "{}")).get("model", "")))
    for folder in (ARTIFACTS / name, own if own.is_dir() else own.parent):
        card, artefact = folder / "README.md", folder / "model.pt"
        if not (card.is_file() and artefact.is_file()):
            continue
        if hashlib.sha256(artefact.read_bytes()).hexdigest() == digest:
            return {"card": to_html(card.read_text(encoding="utf-8"), 3)}
    return {"card": "", "name": name, "sha256": digest}
