# SPDX-License-Identifier: BSD-3-Clause
"""A report of a run: one HTML file with everything inside, without scripts."""

from __future__ import annotations

import hashlib
import html
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from insitu import __version__
from insitu.errors import SettingError, writing
from insitu.history.datasets import average, notes, present_phases
from insitu.views.markdown import to_html
from insitu.views.summary import STAGES, cost, crossings, stages

if TYPE_CHECKING:
    import xarray

_STYLE = (Path(__file__).parent / "report.css").read_text(encoding="utf-8")
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
    if path.suffix.lower() not in (".html", ".htm"):
        raise SettingError(
            f"file='{path}': a report cannot be written as '{path.suffix}'; give a name that ends in "
            ".html."
        )
    text = page(dataset, title or path.stem)
    with writing(path):
        path.write_text(text, encoding="utf-8")
    return path


def page(dataset: xarray.Dataset, title: str) -> str:
    """Return the report as a page of HTML."""
    data = average(dataset)
    sections = [
        ("Phases", _figures(dataset, data) + _phases(data)),
        ("Transitions", _transitions(data)),
        ("Groups and types", _parts(data)),
        ("What the analysis cost", _timing(data)),
        ("Where these numbers come from", _provenance(data)),
        ("The model", _model(data)),
    ]
    body = "".join(f"<section><h2>{name}</h2>{text}</section>" for name, text in sections if text)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_text(title)}</title><style>{_STYLE}</style></head><body>"
        f"<header><h1>{_text(title)}</h1>{_facts(data)}{_warnings(data)}</header>{body}"
        f"<footer>Written by insitu {__version__}.</footer></body></html>\n"
    )


def _text(value: Any) -> str:
    return html.escape(str(value))


def _number(value: float, unit: str = "") -> str:
    if not np.isfinite(value):
        return "–"
    digits = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{digits.replace('-', '−')} {unit}".rstrip()


def _percent(value: float, digits: int = 2) -> str:
    return f"{100 * value:.{digits}f} %" if np.isfinite(value) else "–"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table of cells that are HTML already."""
    top = "".join(f"<th>{cell}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return (
        f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _unit(data: xarray.Dataset, name: str) -> str:
    return str(data[name].attrs.get("units", ""))


def _facts(data: xarray.Dataset) -> str:
    step, time = data["step"].values, data["time"].values
    atoms = data.attrs.get("atoms")
    facts = [("atoms", f"{atoms:,}" if isinstance(atoms, int) else "")]
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
        phase = _text(str(data["phase"].values[most]).replace("_", " "))
        facts.append(("at the end", f"{_percent(final[most], 1)} {phase}"))
    facts.append(("frames", f"{len(step):,}"))
    if "runs" in data.attrs:
        facts.append(("runs (this is their mean)", str(data.attrs["runs"])))
    if (share := cost(data)) is not None:
        facts.append(("analysis, share of the simulation's time", _percent(share, 1)))
    cells = "".join(f"<div><dd>{value}</dd><dt>{name}</dt></div>" for name, value in facts if value)
    return f'<dl class="facts">{cells}</dl>'


def _warnings(data: xarray.Dataset) -> str:
    texts = []
    for note in notes(data):
        run = f" ({_text(note['run'])})" if "run" in note else ""
        texts.append(
            f"<b>The analysis was disabled from step {note['step']:,} on{run}.</b> "
            f"{_text(note['reason'])}"
        )
    return "".join(f'<p class="warning">{text}</p>' for text in texts)


def _figures(dataset: xarray.Dataset, data: xarray.Dataset) -> str:
    from insitu.views.plots import svg

    figures = [(svg(dataset), "Fractions, temperature and potential energy.")]
    figures.append((svg(data, stacked=True, panels=["phases"]), "Shares of the phases."))
    if "temperature" in data and np.isfinite(kelvin := data["temperature"].values).any():
        # Heated or cooled, not only thermalised.
        cold, hot = np.nanpercentile(kelvin, [10, 90])
        if hot > 1.1 * cold and data.sizes["step"] > 2:
            figures.append((svg(data, x="temperature", panels=["phases"]), "Over temperature."))
    return "".join(
        f"<figure>{image}<figcaption>{text}</figcaption></figure>" for image, text in figures
    )


def _phases(data: xarray.Dataset) -> str:
    rows = []
    for name in data["phase"].values:
        share = data["fraction"].sel(phase=name).values
        if not np.isfinite(share).any():
            continue
        row = [_text(name).replace("_", " "), _percent(share[0]), _percent(share[-1])]
        if "standard_error" in data:
            error = float(data["standard_error"].sel(phase=name).values[-1])
            row[-1] += f" ± {100 * error:.2f}" if error > 0 else ""
        row += [_percent(float(f(share))) for f in (np.nanmin, np.nanmax, np.nanmean)]
        if "confidence" in data:
            sure = data["confidence"].sel(phase=name).values
            row.append(_number(float(np.nanmean(sure))) if np.isfinite(sure).any() else "–")
        rows.append(row)
    head = ["phase", "first frame", "last frame", "least", "most", "mean"]
    return _table([*head, *(["confidence"] if "confidence" in data else [])], rows)


def _transitions(data: xarray.Dataset) -> str:
    found = crossings(data)
    if not found:
        final = [n for n in present_phases(data) if float(data["fraction"].sel(phase=n)[-1]) > 0.5]
        stays = (
            f"{_text(final[0]).replace('_', ' ')} has more than half of them throughout"
            if final
            else "none has half of them"
        )
        return f"<p>No phase gains or loses half of the atoms: {stays}.</p>"
    rows = []
    for c in found[:_MOST_CROSSINGS]:
        kelvin = (
            _number(c.temperature, _unit(data, "temperature")) if "temperature" in data else "–"
        )
        rows.append([
            _text(c.phase).replace("_", " "), "rises above 50 %" if c.rising else "falls below 50 %",
            f"{c.steps[0]:,} – {c.steps[1]:,}", _number(c.time, _unit(data, "time")), kelvin,
        ])  # fmt: skip
    more = len(found) - len(rows)
    rest = f"<p>And {more} more: the fractions fluctuate about 50 %.</p>" if more else ""
    return _table(["phase", "", "between steps", "time", "temperature"], rows) + rest


def _parts(data: xarray.Dataset) -> str:
    text = ""
    for kind in ("group", "type"):
        if kind in data.coords:
            names = [str(n) for n in data["phase"].values]
            rows = [
                [_text(part), f"{float(data[f'count_by_{kind}'].sel({kind: part})[-1].sum()):,.0f}",
                 *(_percent(float(f)) for f in data[f"fraction_by_{kind}"].sel({kind: part})[-1])]
                for part in data[kind].values
            ]  # fmt: skip
            text += _table([kind, "atoms", *(_text(n).replace("_", " ") for n in names)], rows)
    return f"<p>At the last frame.</p>{text}" if text else ""


def _timing(data: xarray.Dataset) -> str:
    found = [s for s in stages(data) if s.total > 0]
    if not found:
        return ""
    atoms = data.attrs.get("atoms")
    rows = []
    for s in found:
        each = f"{1e6 * s.mean / atoms:.3g} µs" if isinstance(atoms, int) and atoms else "–"
        width = f'<span class="bar" style="width:{100 * s.share:.1f}%"></span>'
        rows.append([STAGES.get(s.name, _text(s.name)), _number(s.total, "s"),
                     _number(1e3 * s.mean, "ms"), each, f"{_percent(s.share, 1)}{width}"])  # fmt: skip
    text = _table(["", "total", "per frame", "per frame and atom", "share of the run"], rows)
    if (share := cost(data)) is not None:
        text += (
            f"<p>The analysis took {_percent(share, 1)} of the time of the simulation between its "
            "frames; with half as many frames it would be half of that. Times are wall times, averaged "
            "over the ranks.</p>"
        )
    return text


def _provenance(data: xarray.Dataset) -> str:
    rows = []
    for name, value in data.attrs.items():
        if name in ("disabled", "continued", "runs"):
            continue
        rows.append([_text(name).replace("_", " "), _value(value)])
    for i, run in enumerate(json.loads(data.attrs.get("continued", "[]")), start=1):
        rows.append([f"continued {i}", _value(json.dumps(run))])
    cells = "".join(f"<tr><th>{name}</th><td>{value}</td></tr>" for name, value in rows)
    return f'<div class="wide"><table class="facts">{cells}</table></div>'


def _value(value: Any) -> str:
    """Return an attribute, nested JSON taken apart."""
    try:
        inner = json.loads(value) if isinstance(value, str) and value[:1] in "{[" else value
    except ValueError:
        inner = value
    if isinstance(inner, dict):
        pairs = (f"<dt>{_text(k)}</dt><dd>{_value(v)}</dd>" for k, v in inner.items())
        return f"<dl>{''.join(pairs)}</dl>"
    if isinstance(inner, list):
        return "<br>".join(map(_value, inner)) or "–"
    return "–" if inner is None else _text(inner)


def _model(data: xarray.Dataset) -> str:
    from insitu.models.store import ARTIFACTS

    name = str(data.attrs.get("model", ""))
    shipped = ARTIFACTS / name
    own = Path(str(json.loads(data.attrs.get("settings", "{}")).get("model", "")))
    for folder in (shipped, own if own.is_dir() else own.parent):
        card, artefact = folder / "README.md", folder / "model.pt"
        if card.is_file() and artefact.is_file():
            digest = hashlib.sha256(artefact.read_bytes()).hexdigest()
            if digest == data.attrs.get("model_sha256"):
                return f"<article>{to_html(card.read_text(encoding='utf-8'), 3)}</article>"
    return (
        f"<p>Model <code>{_text(name)}</code> (SHA-256 "
        f"<code>{_text(data.attrs.get('model_sha256', '?'))}</code>) is not at hand here, so its card "
        "cannot be shown.</p>"
    )
