# SPDX-License-Identifier: BSD-3-Clause
"""The view of `insitu watch`: it fits the terminal, whatever its size."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.progress_bar import ProgressBar
from rich.segment import Segment, Segments
from rich.table import Table
from rich.text import Text

from insitu.history.datasets import energy_per_atom, notes, present_phases
from insitu.views.plot_panels import analysis_share
from insitu.views.progress import Look, steps_per_second
from insitu.views.terminal import Legible, duration, painted, sparkline
from insitu.views.units import printed, readable

if TYPE_CHECKING:
    import xarray

_SIGNS = {"running": ("●", "good"), "finished": ("●", "good"), "disabled": ("●", "bad")}


class View:
    """What the terminal shows of a look at a history.

    Parameters
    ----------
    seen
        The look.
    hint
        Last line.
    """

    def __init__(self, seen: Look, hint: str = "") -> None:
        self._seen, self._hint = seen, hint

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the lines that there is room for."""
        room = (options.height or console.height) - bool(self._hint) - 1
        head = list(_head(self._seen, options.max_width))
        used = len(console.render_lines(Group(*head), options, pad=False))
        if self._seen.data is not None:
            (data,) = readable([self._seen.data])
            head += ["", _series(data, options.max_width, room - used - 1)]
        lines = console.render_lines(Legible(Group(*head)), options.update(height=None), pad=False)
        hint = [Segment(self._hint, console.get_style("dim"))] if self._hint else []
        for line in [*lines[:room], *([hint] if hint else [])]:
            yield Segments([*line, Segment.line()])


def _head(seen: Look, width: int) -> Iterator[RenderableType]:
    """Yield where the run is, and how fast it goes."""
    sign, color = _SIGNS.get(seen.state, ("○", "dim"))
    state = painted(f"{sign} {seen.state}", color)
    name, room = str(seen.path), width - len(state) - 2
    top = Table.grid(expand=True)
    top.add_column()
    top.add_column(justify="right")
    top.add_row(painted(name if len(name) <= room else f"…{name[1 - room :]}", "head"), state)
    yield top
    if seen.data is None:
        yield Text(seen.problem)
        return
    (data,) = readable([seen.data])
    about = [
        str(data.attrs.get("model", "")),
        _many(int(data["atoms"][-1] if "atoms" in data else data.attrs.get("atoms", 0)), "atom"),
        f"{_many(int(data.attrs.get('ranks', 1)), 'rank')} on {data.attrs.get('host', '?')}",
    ]
    yield _joined(about, width, "dim")
    yield ""
    yield _joined(now(data, seen.target), width)
    if seen.target:
        yield _progress(seen, data)
    yield _joined(_pace(seen, data), width)
    for note in notes(data):
        yield Text(f"disabled from step {note['step']} on: {note['reason']}")


def _joined(parts: list[str], width: int, style: str = "") -> Text:
    """Set parts side by side as long as they fit."""
    lines = [""]
    for part in parts:
        longer = f"{lines[-1]} · {part}" if lines[-1] else part
        if len(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(part)
    return Text("\n".join(line for line in lines if line), style)


def now(data: xarray.Dataset, target: int | None = None) -> list[str]:
    """Return where the run is: step, time, temperature, energy."""
    step = f"step {int(data['step'][-1]):,}" + (f" of {target:,}" if target else "")
    parts = [step, _value(float(data["time"][-1]), data["time"].attrs.get("units", ""))]
    if "temperature" in data and np.isfinite(value := float(data["temperature"][-1])):
        parts.append(_value(value, data["temperature"].attrs.get("units", "")))
    if (energy := energy_per_atom(data)) is not None and np.isfinite(energy[0][-1]):
        parts.append(_value(float(energy[0][-1]), energy[1]))
    return parts


def _progress(seen: Look, data: xarray.Dataset) -> Table:
    assert seen.target
    done = int(data["step"][-1])
    text = f"{100 * done / seen.target:.0f} %"
    if seen.state == "running" and (rate := steps_per_second(data)) > 0:
        seconds = max(0.0, (seen.target - done) / rate - seen.age)
        # Not before the next frame is it known better.
        at = time.strftime(
            "%H:%M" if seconds < 43200 else "%a %H:%M", time.localtime(time.time() + seconds)
        )
        text += f" · {duration(seconds)} left, ends about {at}"
    row = Table.grid(expand=True, padding=(0, 1, 0, 0))
    row.add_column(ratio=1)
    row.add_column()
    row.add_row(ProgressBar(total=seen.target, completed=min(done, seen.target)), painted(text, ""))
    return row


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


def _series(data: xarray.Dataset, width: int, height: int) -> Table:
    """Return a sparkline for each phase, temperature and energy."""
    series: list[tuple[str, NDArray[Any], bool, str]] = []
    for name in present_phases(data):
        share = data["fraction"].sel(phase=name).values
        series.append((name, share, True, f"{100 * float(share[-1]):.1f} %"))
    if "temperature" in data and np.isfinite(data["temperature"].values).any():
        values, unit = data["temperature"].values, data["temperature"].attrs.get("units", "")
        series.append(("temperature", values, False, _value(float(values[-1]), unit)))
    if (energy := energy_per_atom(data)) is not None:
        series.append(("energy", energy[0], False, _value(float(energy[0][-1]), energy[1])))
    ranges = ["" if is_share else _range(values) for _, values, is_share, _ in series]
    left = max(map(len, [*ranges, *(name for name, *_ in series)]), default=0)
    right = max((len(value) for *_, value in series), default=0)
    room = max(8, min(100, width - left - right - 4))
    rows = 2 if height >= 3 * len(series) + 1 else 1
    unit = data["time"].attrs.get("units", "")
    begin, end = (_value(float(data["time"][i]), unit) for i in (0, -1))
    table = Table.grid()
    for justify in ("left", "left", "right"):
        table.add_column(justify=justify, no_wrap=True, overflow="ellipsis")
    table.add_row("", f"{begin}{end:>{max(1, room - len(begin))}}", "  now", style="dim")
    for (name, values, is_share, value), limits_in_words in zip(series, ranges, strict=True):
        limits = {"low": 0.0, "high": 1.0} if is_share else {}
        drawn = sparkline(values, room, rows=rows, **limits)
        if rows > 1:
            table.add_row(painted(f"{limits_in_words}  ", "dim"), painted(drawn[0], name))
        label = name.replace("_", " ")
        table.add_row(f"{label}  ", painted(drawn[-1], name), f"  {value}")
        if rows > 1 and name != series[-1][0]:
            table.add_row()
    return table


def _range(values: NDArray[Any]) -> str:
    """Return from what to what a line goes."""
    if not np.isfinite(values).any():
        return ""
    return f"{_value(float(np.nanmin(values)), '')}…{_value(float(np.nanmax(values)), '')}"


def _many(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


def _value(value: float, unit: str) -> str:
    text = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.4g}"
    return f"{text.replace('-', '−')} {printed(unit)}".rstrip()


def new_lines(seen: Look, shown: int) -> list[str]:
    """Return a line for each frame after step `shown`."""
    if seen.data is None:
        return []
    names = present_phases(seen.data)
    lines = []
    for i in np.flatnonzero(seen.data["step"].values > shown):
        here = seen.data.isel(step=[i])
        share = here["fraction"].sel(phase=names).values[0]
        parts = [f"{n} {100 * f:.1f} %" for n, f in zip(names, share, strict=True)]
        lines.append("  ".join([*now(here), *parts]))
    return lines
