# SPDX-License-Identifier: BSD-3-Clause
"""The view of `insitu watch`: lines of text that fit a terminal."""

from __future__ import annotations

import textwrap
import time
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from insitu.history.datasets import energy_per_atom, notes, present_phases
from insitu.views.plot_panels import analysis_share
from insitu.views.progress import Look, steps_per_second
from insitu.views.terminal import Style, bar, duration, sparkline

if TYPE_CHECKING:
    import xarray


def view(seen: Look, width: int, height: int, style: Style) -> list[str]:
    """Return what the terminal shows, at most `height` lines of at most `width` characters."""
    signs = {"running": ("●", "good"), "finished": ("●", "good"), "disabled": ("●", "bad")}
    sign, color = signs.get(seen.state, ("○", "dim"))
    words = style.words(f"{sign} {seen.state}")
    name = str(seen.path)
    room = width - len(words) - 2
    name = name if len(name) <= room else style.words("…") + name[-(room - len(style.words("…"))) :]
    gap = " " * max(2, width - len(name) - len(words))
    head = [style.paint(name, "head") + gap + style.paint(words, color)]
    if seen.data is None:
        return [*head, *_wrapped([seen.problem], width, style)]
    data = seen.data
    ranks = _many(int(data.attrs.get("ranks", 1)), "rank")
    about = [
        str(data.attrs.get("model", "")),
        _many(int(data["atoms"][-1] if "atoms" in data else data.attrs.get("atoms", 0)), "atom"),
        f"{ranks} on {data.attrs.get('host', '?')}",
    ]
    head += [style.paint(line, "dim") for line in _wrapped(about, width, style)]
    head += ["", *_wrapped(now(seen, data), width, style)]
    if seen.target:
        head.append(_progress(seen, data, width, style))
    head += _wrapped(_pace(seen, data), width, style)
    for note in notes(data):
        head += _wrapped([f"disabled from step {note['step']} on: {note['reason']}"], width, style)
    return [*head, "", *_series(data, width, height - len(head) - 1, style)][:height]


def _wrapped(parts: list[str], width: int, style: Style) -> list[str]:
    """Set parts side by side as long as they fit; a part is broken where it is longer itself."""
    lines = [""]
    for part in parts:
        part = style.words(part)
        longer = f"{lines[-1]}{style.words(' · ')}{part}" if lines[-1] else part
        if len(longer) <= width:
            lines[-1] = longer
        else:
            lines += textwrap.wrap(part, width)
    return [line for line in lines if line]


def now(seen: Look, data: xarray.Dataset) -> list[str]:
    """Return where the run is: step, time, temperature, energy."""
    step = f"step {int(data['step'][-1]):,}" + (f" of {seen.target:,}" if seen.target else "")
    parts = [step, _value(float(data["time"][-1]), data["time"].attrs.get("units", ""))]
    if "temperature" in data and np.isfinite(value := float(data["temperature"][-1])):
        parts.append(_value(value, data["temperature"].attrs.get("units", "")))
    if (energy := energy_per_atom(data)) is not None and np.isfinite(energy[0][-1]):
        parts.append(_value(float(energy[0][-1]), energy[1]))
    return parts


def _progress(seen: Look, data: xarray.Dataset, width: int, style: Style) -> str:
    assert seen.target
    left = seen.target - int(data["step"][-1])
    text = f" {100 * (1 - left / seen.target):.0f} %"
    if seen.state == "running" and (rate := steps_per_second(data)) > 0:
        seconds = max(0.0, left / rate - seen.age)
        # Not before the next frame is it known better.
        at = time.strftime(
            "%H:%M" if seconds < 43200 else "%a %H:%M", time.localtime(time.time() + seconds)
        )
        text += style.words(f" · {duration(seconds)} left, ends about {at}")
    return bar(1 - left / seen.target, max(4, width - len(text) - 1), style) + text


def _pace(seen: Look, data: xarray.Dataset) -> list[str]:
    frames = data.sizes["step"]
    parts = [_many(frames, "frame")]
    if frames > 1:
        parts[0] += f" every {int(data['step'][-1] - data['step'][-2]):,} steps"
    over = seen.state in ("finished", "ended")
    parts.append(f"{'ended' if over else 'last'} {duration(seen.age)} ago")
    if (rate := steps_per_second(data)) > 0:
        parts.append(f"{rate:,.3g} steps/s" if rate < 100 else f"{rate:,.0f} steps/s")
    share = analysis_share(data)
    if share is not None and np.isfinite(share).any():
        parts.append(f"analysis costs {100 * np.nanmedian(share):.3g} % of the simulation")
    return parts


def _series(data: xarray.Dataset, width: int, height: int, style: Style) -> list[str]:
    """Return a sparkline for each phase, temperature and energy."""
    names = present_phases(data)
    series: list[tuple[str, NDArray[Any], float | None, float | None, str]] = [
        (n, data["fraction"].sel(phase=n).values, 0.0, 1.0,
         f"{100 * float(data['fraction'].sel(phase=n)[-1]):.1f} %") for n in names
    ]  # fmt: skip
    if "temperature" in data and np.isfinite(data["temperature"].values).any():
        unit = data["temperature"].attrs.get("units", "")
        values = data["temperature"].values
        series.append(("temperature", values, None, None, _value(float(values[-1]), unit)))
    if (energy := energy_per_atom(data)) is not None:
        series.append(("energy", energy[0], None, None, _value(float(energy[0][-1]), energy[1])))
    if not series:
        return []
    left = max(len(name) for name, *_ in series) + 2
    right = max(len(value) for *_, value in series) + 2
    room = max(8, min(100, width - left - right))
    rows = 2 if height >= 3 * len(series) + 1 else 1
    unit = data["time"].attrs.get("units", "")
    begin, end = (_value(float(data["time"][i]), unit) for i in (0, -1))
    axis = begin + " " * max(1, room - len(begin) - len(end)) + end
    lines = [style.paint(f"{'':{left}}{axis}"[: width - right] + f"{'now':>{right}}", "dim")]
    for name, values, low, high, value in series:
        drawn = sparkline(values, room, style, low=low, high=high, rows=rows)
        for i, line in enumerate(drawn):
            last = i == len(drawn) - 1
            label, last_value = (
                (name.replace("_", " "), value) if last else (_range(values, low), "")
            )
            text = _padded(label, left, last, style) + style.paint(line, name)
            lines.append((text + style.words(f"{last_value:>{right}}")).rstrip())
        if rows > 1:
            lines.append("")
    return lines[: -(rows > 1) or None]


def _padded(label: str, width: int, is_name: bool, style: Style) -> str:
    text = f"{style.words(label)[: width - 1]:{width}}"
    return text if is_name else style.paint(text, "dim")


def _range(values: NDArray[Any], low: float | None) -> str:
    """Return from what to what a line goes, unless everybody knows: a fraction."""
    if low is not None or not np.isfinite(values).any():
        return ""
    return f"{_value(float(np.nanmin(values)), '')}…{_value(float(np.nanmax(values)), '')}"


def _many(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


def _value(value: float, unit: str) -> str:
    text = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.4g}"
    return f"{text.replace('-', '−')} {unit}".rstrip()


def new_lines(seen: Look, shown: int, style: Style) -> list[str]:
    """Return a line for each frame behind step `shown`."""
    if seen.data is None:
        return []
    names = present_phases(seen.data)
    lines = []
    for i in np.flatnonzero(seen.data["step"].values > shown):
        here = seen.data.isel(step=[i])
        parts = now(Look(seen.path, here, "", 0.0, True, None), here)
        share = here["fraction"].sel(phase=names).values[0]
        parts += [f"{n} {100 * f:.1f} %" for n, f in zip(names, share, strict=True)]
        lines.append(style.words("  ".join(parts)))
    return lines
