# SPDX-License-Identifier: BSD-3-Clause
"""What is made of classified frames: a line, the history that a run writes, labels of the atoms."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.analyses.phases.analysis import Phases
from insitu.analyses.phases.classification import UNKNOWN, Classification
from insitu.errors import HistoryError, SettingError
from insitu.frame.units import TIME_UNIT
from insitu.models.card import class_codes
from insitu.models.store import AnyModel
from insitu.models.structure_types import structure_types
from insitu.offline import labels_file
from insitu.offline.further import Further
from insitu.offline.kinds import named_types, types_of
from insitu.offline.options import Options
from insitu.offline.readers.configuration import Configuration
from insitu.offline.readers.soundness import MOST_TYPES, listed


@contextmanager
def own_words() -> Iterator[None]:
    """Have errors of histories speak of options where they speak of settings of a deck."""
    try:
        yield
    except HistoryError as error:
        text = re.sub(r"if_exists(?:=| )'?(\w+)'?", r"--if-exists \1", str(error))
        raise HistoryError(text.replace("file='", "--out '")) from None


def _types(types: NDArray[np.int32], file: str) -> int:
    """Return how many types are counted.

    Raises
    ------
    SettingError
        They are not those of LAMMPS, 1, 2, …, or far too many.
    """
    if len(types) and not 1 <= types.min() <= types.max() <= MOST_TYPES:
        raise SettingError(
            f"--types: '{file}' has the types {listed(types)}; types 1 … {MOST_TYPES} are counted: "
            "correct them, or leave --types out"
        )
    return int(types.max(initial=0))


class Output:
    """Lines, history and labels of the frames, in their order."""

    def __init__(
        self, files: Sequence[str], options: Options, model: AnyModel, tell: Callable[[str], None]
    ) -> None:
        self._files, self._options, self._model, self._tell = files, options, model, tell
        self._count = 0
        self._series: Any = None
        self._analyzer: Phases | None = None
        self._further: Further | None = None
        self._unit, self._n_types = "", 0
        self._names: tuple[str, ...] = ()

    def write(
        self, file: str, number: int, c: Configuration, kept: NDArray[np.bool_] | None,
        found: Classification,
    ) -> str:  # fmt: skip
        """Write a frame; return its line."""
        step = self._count if c.step is None else c.step
        at, unit = self._time(c, step)
        if self._options.labels:
            self._write_labels(c, kept, found, step)
        if self._options.out:
            self._append(c, kept, found, step, at, unit, file)
        self._count += 1
        words = [f"frame {number}"]
        if c.step is not None:
            words.append(f"step {c.step}")
        if at is not None:
            words.append(f"time {at:g} {unit}".rstrip())
        n = int(found.analysed.sum())
        words.append(f"{n} atoms" if n == len(c) else f"{n} of {len(c)} atoms")
        words += [f"{k} {100 * v:.2f} %" for k, v in found.fractions.items() if v > 0]
        return (f"{file}: " if len(self._files) > 1 else "") + "  ".join(words)

    def _time(self, c: Configuration, step: int) -> tuple[float | None, str]:
        units = c.units or self._options.units
        unit = TIME_UNIT[units] if units else ""
        if c.time is not None:
            return c.time, unit
        if self._options.timestep is not None and c.step is not None:
            return step * self._options.timestep, unit
        return None, ""

    def _write_labels(
        self, c: Configuration, kept: NDArray[np.bool_] | None, found: Classification, step: int
    ) -> None:
        assert self._options.labels
        which = np.ones(len(c), dtype=bool) if kept is None else kept
        codes = np.full(len(c), -1)
        # −1 is the last: unknown, 0
        integers = class_codes(found.classes)
        known = np.array(integers)[np.maximum(found.labels, UNKNOWN)]
        codes[which] = np.where(found.analysed, known, -1)
        confidence = np.zeros(len(c))
        confidence[which] = found.confidence
        labels_file.write(
            self._options.labels, c, codes, confidence,
            structure_types([*found.classes, "unknown"], integers), step, append=self._count > 0,
        )  # fmt: skip

    def _append(
        self, c: Configuration, kept: NDArray[np.bool_] | None, found: Classification, step: int,
        at: float | None, unit: str, file: str,
    ) -> None:  # fmt: skip
        part = c if kept is None else c.take(kept)
        if self._analyzer is None and self._options.types:
            self._names = named_types(part, self._options.species)
        types = types_of(part, self._names, file)
        if self._analyzer is None:
            self._n_types = 0
            if self._options.types:
                if types is None:
                    raise SettingError(
                        f"--types: '{file}' has neither types nor elements; leave --types out, or give the "
                        "file that has them as --topology"
                    )
                self._n_types = len(self._names) or _types(types, file)
                if self._names:
                    self._tell(
                        "--types: " + ", ".join(f"{k} is {n}" for k, n in enumerate(self._names, 1))
                    )
            self._analyzer = Phases(self._model, self._options.sureness, (), self._n_types)
            if self._options.analyze:
                units = c.units or self._options.units or "metal"
                self._further = Further(
                    self._options.analyze, part, self._options.species, units, self._analyzer,
                    self._continued_box(), file,
                )  # fmt: skip
            self._unit = unit if at is not None else ""
            with own_words():
                self._series = self._create(self._analyzer, c, step, self._unit)
        if self._series.last_step is not None and step <= self._series.last_step:
            self._tell(
                f"'{file}': step {step} is not in the history, as it is not after step "
                f"{self._series.last_step} of the frame before"
            )
            return
        a = self._analyzer
        if self._n_types and (types is None or _types(types, file) > self._n_types):
            raise SettingError(
                f"--types: '{file}' has other types at step {step} than 1 … {self._n_types} of the first "
                "frame; leave --types out"
            )
        p, counted = len(a.classes), found.analysed
        column = np.where(found.labels < 0, p - 1, found.labels)[counted]
        types = None if types is None else types[counted]
        sums: dict[str, NDArray[Any]] = {
            "count": np.bincount(column, minlength=p),
            "population": np.array(len(column)),
            "confidence": np.bincount(column, weights=found.confidence[counted], minlength=p),
            "by_group": np.zeros((0, p)),
            "by_type": np.array([
                np.bincount(column[types == t], minlength=p) for t in range(1, self._n_types + 1)
            ]).reshape(-1, p),
        }  # fmt: skip
        values = a.finish(sums)
        values["thermo/atoms"] = len(c)
        if self._further is not None:
            values |= self._further(part, step, found)
        # Without a time the steps are the clock.
        self._series.append(step, float(step) if at is None else at, values)

    def _continued_box(self) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        out = self._options.out
        if self._options.if_exists != "append" or not (out and os.path.exists(out)):
            return None
        from insitu.history.writing.continuation import first_box

        return first_box(out)

    def _create(self, analyzer: Phases, c: Configuration, step: int, unit: str) -> Any:
        from insitu.analyses.base import Observable
        from insitu.history.writing.writer import Series
        from insitu.pipeline.provenance import of_box, of_model, of_process

        assert self._options.out
        settings = {k: v for k, v in asdict(self._options).items() if v not in (None, (), "")}
        names = self._names or (self._further.names if self._further else ())
        return Series.create(
            self._options.out,
            [
                *analyzer.observables,
                *(
                    o
                    for a in (self._further.analyses if self._further else ())
                    for o in a.observables
                ),
                Observable("thermo/atoms", (), "i8", "", "atoms of the frame"),
            ],
            time_unit=unit,
            provenance={
                **of_model(analyzer),
                **(of_box(self._further.analyses[0].system) if self._further else {}),
                "group": self._options.group or "all",
                "neighbors": ",".join(self._options.neighbors) or "all",
                "settings": settings,
                "units": c.units or self._options.units or "metal",
                "atoms": len(c),
                "ranks": 1,
                "files": list(self._files),
                **({"types": json.dumps(names)} if names else {}),
                **of_process({}),
            },
            classes=analyzer.classes,
            codes=analyzer.codes,
            if_exists=self._options.if_exists,
            first_step=step,
        )

    def close(self) -> None:
        """Close the history."""
        if self._series is not None:
            self._series.close()
