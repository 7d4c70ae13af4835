# SPDX-License-Identifier: BSD-3-Clause
"""Triggers: what is watched, when it counts as an event, and what is done then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from insitu.analyses.base import Analysis, Observable, Panel, System, setting
from insitu.errors import SettingError, did_you_mean
from insitu.frame.frame import Frame
from insitu.frame.neighbors.search import Neighbors

if TYPE_CHECKING:
    import xarray

#: Frames that are analysed often after an event, if the deck does not say it.
_DURING = 20
#: What LAMMPS knows of a frame, as the history has it.
THERMO = ("temperature", "potential_energy", "pressure")


@dataclass(frozen=True)
class TriggerSettings:
    """What a deck says of a trigger."""

    on: str = setting(
        "what is watched: a class (its fraction), temperature, potential_energy, pressure, or an "
        "observable and where in it, for example clusters/size:without,1"
    )
    above: float | None = setting("event where it is larger; this, or `below`", default=None)
    below: float | None = setting("event where it is smaller", default=None)
    change: int | None = setting(
        "watch its change over so many frames instead", default=None, low=1, high=10_000
    )
    hold: int = setting(
        "event when the condition is true in so many frames in a row", default=1, low=1
    )
    hysteresis: float = setting(
        "the event is over when it is back beyond the threshold by this", default=0.0, low=0.0
    )
    rearm: bool = setting("after one event is over there can be another", default=False)
    before: int = setting("frames before the event that are written", default=0, low=0, high=10_000)
    after: int = setting("frames after it that are written", default=0, low=0)
    restart: int | None = setting(
        "steps between restart files: for runs that go on from one the frames before are kept in a file",
        default=None, low=1,
    )  # fmt: skip
    memory: float = setting(
        "that the frames before may take on a rank, at most", default=256.0, unit="MB", low=0.0
    )
    variable: str | None = setting(
        "string variable of the deck that is 1 during the event, else 0", default=None
    )
    often: int | None = setting(
        "analyse every so many steps from the event on, for `during` frames", default=None, low=1
    )
    during: int | None = setting("frames that `often` holds for [20]", default=None, low=1)
    end: bool = setting("end the run at the event (later runs are skipped)", default=False)

    def __post_init__(self) -> None:
        if (self.above is None) == (self.below is None):
            raise SettingError(
                "above and below are both given; give one" if self.above is not None
                else "neither above nor below is given; give one: above 0.5"
            )  # fmt: skip
        if self.restart is not None and not self.before:
            raise SettingError(
                f"restart={self.restart} has no effect without before, the frames before an event; give "
                "both, or neither"
            )
        if self.during is not None and self.often is None:
            raise SettingError(
                f"during={self.during} has no effect without often, the steps between frames after an "
                "event; give both, or neither"
            )


@dataclass(frozen=True)
class Decision:
    """What is to be done at a frame, the same on all ranks.

    Parameters
    ----------
    fired
        The event begins at this frame.
    written
        The frame is one of those after the event that are written.
    """

    fired: bool
    written: bool


class Trigger(Analysis[TriggerSettings]):
    """An event: a condition on anything in the history, and what is done where it becomes true.

    The condition is `above` or `below` a threshold, of a value or of its change over some frames, in `hold`
    frames in a row; a value that is not known (NaN) is on neither side. The event is over when the value is
    back beyond the threshold by `hysteresis`; with `rearm` it can then come again, else there is one event
    in a run and in all that continue its history.

    At the event: `before` and `after` write the frames around it, with the phases of the atoms, into a
    LAMMPS dump beside the history (``phases.NAME.1.dump``; the frames before are kept in memory, on each
    rank those of its atoms); `variable` becomes 1, for ``dump_modify skip``, ``fix halt`` or the deck;
    `often` analyses more often for a while; `end` ends the run. Rank 0 decides for all, and the history has
    the state: a restart goes on where the frame before it was.
    """

    name = "trigger"
    Settings = TriggerSettings
    samples = True

    def __init__(self, settings: TriggerSettings, system: System, name: str = "") -> None:
        super().__init__(settings, system, name)
        self.stage = "model"  # it takes no time
        self._path = ""
        self._at: tuple[int, ...] = ()
        self._window = settings.change or 0
        about = f"trigger on {settings.on}"
        scalar: tuple[int, ...] = ()
        self.observables = (
            Observable(self.path("value"), scalar, "f8", "", f"{about}: value, or its change"),
            Observable(self.path("active"), scalar, "i8", "", f"{about}: 1 during an event"),
            Observable(self.path("events"), scalar, "i8", "", f"{about}: events so far"),
            Observable(
                self.path("progress"), (3,), "i8", "",
                f"{about}: frames of a condition that holds; left to be written; left to analyse often",
                axes=((self.axis("counter"), ("held", "written", "often"), ""),),
            ),
            *(
                [Observable(
                    self.path("window"), (self._window,), "f8", "", f"{about}: its latest values",
                    axes=((self.axis("ago"), tuple(range(1, self._window + 1)), ""),),
                )] if self._window else []
            ),
        )  # fmt: skip
        self.state = tuple(o.path for o in self.observables if not o.path.endswith("/value"))
        self.restore({})

    def restore(self, values: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a frame of the history: no event that it has seen comes again."""
        self.active = bool(values[self.path("active")]) if values else False
        self.events = int(values[self.path("events")]) if values else 0
        held, left, often = values[self.path("progress")].tolist() if values else (0, 0, 0)
        self.held, self.left, self.often_left = int(held), int(left), int(often)
        known = values[self.path("window")] if values and self._window else None
        self._latest = np.full(self._window, np.nan) if known is None else known.astype(float)
        #: What was watched in the last frame, or its change.
        self.value = float("nan")
        #: Whether an event began at the last frame.
        self.fired = False

    def watch(self, observables: Sequence[Observable]) -> None:
        """Find what is watched among the observables of the run.

        Raises
        ------
        SettingError
            It is none of them, or not one number of it.
        """
        asked, classes = self.settings.on, self.system.classes
        path, _, where = asked.partition(":")
        if asked in classes:
            path, where = "phases/fraction", asked
        elif asked in THERMO:
            self._path = f"thermo/{asked}"
            return
        known = {o.path: o for o in observables}
        if path not in known:
            words = [*classes, *THERMO, *known]
            raise SettingError(
                f"analyze {self.name}: on={asked} is not known; known: {', '.join(words)}."
                f"{did_you_mean(path, words)}"
            )
        o = known[path]
        axes = [[str(i) for i in range(n)] for n in o.shape]
        if o.shape[-1:] == (len(classes),):
            axes[-1] = list(classes)
        if o.rows:
            axes[0] = [str(v) for v in o.rows[1]]
        for k, (_, values, _) in enumerate(o.axes):
            axes[k] = [v if isinstance(v, str) else f"{v:g}" for v in values]
        words = where.split(",") if where else []
        if len(words) != len(axes):
            example = ",".join(a[0] for a in axes)
            raise SettingError(
                f"analyze {self.name}: on={asked} has to name one number of {path}, of shape {o.shape}: "
                f"on {path}{':' if axes else ''}{example}"
            )
        at = []
        for word, axis in zip(words, axes, strict=True):
            if word not in axis:
                some = ", ".join(axis[:20]) + (" …" if len(axis) > 20 else "")
                raise SettingError(
                    f"analyze {self.name}: on={asked}: '{word}' is none of {some}."
                    f"{did_you_mean(word, axis)}"
                )
            at.append(axis.index(word))
        self._path, self._at = path, tuple(at)

    def __call__(self, frame: Frame, neighbors: Neighbors) -> dict[str, Any]:
        """Return nothing: what is watched is there when all analyses are done."""
        return {}

    def finish(self, sums: Mapping[str, Any]) -> dict[str, Any]:
        """Return the state; what :meth:`judge` makes of it comes later."""
        found: dict[str, Any] = {
            self.path("value"): self.value,
            self.path("active"): int(self.active),
            self.path("events"): self.events,
            self.path("progress"): np.array([self.held, self.left, self.often_left]),
        }
        return found | ({self.path("window"): self._latest} if self._window else {})

    def judge(self, values: Mapping[str, Any]) -> float:
        """Return what is watched, out of a frame's observables by path."""
        return float(np.asarray(values[self._path], dtype=float)[self._at])

    def decide(self, value: float) -> Decision:
        """Return what the value of a frame means, and go on to the next; on all ranks alike."""
        s = self.settings
        if self._window:
            before = self._latest[-1]
            self._latest = np.concatenate([[value], self._latest[:-1]])
            value = value - before
        self.value, self.fired = value, False
        sign = 1.0 if s.above is not None else -1.0
        threshold = s.above if s.above is not None else s.below
        assert threshold is not None
        beyond = sign * (value - threshold)  # NaN: neither of the two
        self.held = self.held + 1 if beyond > 0 else 0
        self.often_left = max(self.often_left - 1, 0)
        if not self.active and self.held >= s.hold and (s.rearm or not self.events):
            self.active, self.events = True, self.events + 1
            self.left, self.often_left = s.after, (s.during or _DURING) if s.often else 0
            self.fired = True
            return Decision(True, False)
        if self.active and beyond <= -s.hysteresis:
            self.active = False
        written = self.left > 0
        self.left -= written
        return Decision(False, written)

    def is_often(self, step: int) -> bool:
        """Return whether a step that would not be analysed otherwise is, because of an event."""
        return bool(self.often_left and self.settings.often and step % self.settings.often == 0)

    @classmethod
    def panel(cls, name: str) -> Panel:
        """Return the value that is watched, with the events marked."""

        def draw(axes: Any, view: Any) -> None:
            value = view.data[f"{name}_value"]
            view.path(axes, value.values, color="#262626", linewidth=1.1)
            active = view.data[f"{name}_active"].values > 0
            if active.any():
                x = np.asarray(view.x)[active]
                axes.plot(x, value.values[active], "o", color="#c0392b", markersize=3.5)
            axes.set_ylabel(str(value.attrs.get("long_name", name)).partition(":")[0])

        return Panel(draw, 0.7, lambda data: f"{name}_value" in data, default=False)

    @classmethod
    def show(cls, name: str, history: xarray.Dataset) -> str:
        """Return how many events there were, and at which steps they began."""
        events = history[f"{name}_events"].values
        began = np.flatnonzero(np.diff(np.concatenate([[0], events])) > 0)
        if not len(began):
            return "no event"
        steps = ", ".join(str(s) for s in history["step"].values[began][:10])
        more = " …" if len(began) > 10 else ""
        now = "; going on" if history[f"{name}_active"].values[-1] else ""
        return f"{events[-1]} event{'s' if events[-1] > 1 else ''}, at step {steps}{more}{now}"
