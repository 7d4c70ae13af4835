# SPDX-License-Identifier: BSD-3-Clause
"""The results of a frame back in LAMMPS: per-atom columns, the plug-in's arrays, variables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from insitu.errors import DeckError, InsituError
from insitu.pipeline.settings import Settings

if TYPE_CHECKING:
    from insitu.lammps.view import LammpsView

#: What a variable holds while there is no fraction: LAMMPS takes no "nan" in a variable.
_NO_FRACTION = "-1"


@dataclass(frozen=True)
class Results:
    """A frame's results as a deck can have them; every rank's of its own atoms.

    Parameters
    ----------
    codes, confidence
        ``(n_local,)`` integer of each atom's phase and its probability; not looked at unless
        :attr:`Feedback.wants_atoms`.
    fraction
        ``(P,)`` of the phases.
    rows
        ``(R, P)`` of groups and types.
    further
        ``(n_local,)`` each: what further analyses found, ``NAME/result``.
    """

    codes: NDArray[np.int32]
    confidence: NDArray[np.float32]
    fraction: NDArray[np.float64]
    rows: NDArray[np.float64]
    further: Mapping[str, NDArray[np.float64]]


class Feedback:
    """Writes labels, confidence and fractions to where a deck can use them.

    Parameters
    ----------
    settings
        `labels`, `confidence`, `variables` and the columns of `analyses` say where to.
    classes
        Names of the phases in the order of the fractions.
    rows
        Number of further rows of fractions (groups, types).
    """

    def __init__(self, settings: Settings, classes: Sequence[str], rows: int) -> None:
        self._settings = settings
        self._classes, self._rows = list(classes), rows
        self._variables: dict[str, int] = {}
        #: Columns of the deck by what further analyses give, ``NAME/result``.
        self._further = {
            f"{r.name}/{result}": column
            for r in settings.analyses
            for result, column in r.columns.items()
        }
        #: Addresses of the plug-in's fractions and of its per-atom array, valid at this call.
        self.plugin: tuple[int, int] | None = None

    def check(self, view: LammpsView) -> None:
        """Look up what the deck defines, before the first frame of a run.

        Raises
        ------
        DeckError
            A column is missing, or the deck defines none of the variables.
        """
        for column in (self._settings.labels, self._settings.confidence, *self._further.values()):
            if column:
                view.column(column)
        prefix = self._settings.variables
        if prefix is None:
            return
        names = {f"{prefix}_{c}": k for k, c in enumerate(self._classes)}
        self._variables = {n: k for n, k in names.items() if view.has("variable", n)}
        if not self._variables:
            raise DeckError(
                f"variables='{prefix}', but the deck defines none of {', '.join(names)}; add those "
                f"that are wanted, before the run, for example:\n    variable {next(iter(names))} "
                "string 0"
            )

    @property
    def wants_atoms(self) -> bool:
        """Whether anybody in LAMMPS takes results atom by atom."""
        plugin = self.plugin is not None and self.plugin[1] != 0
        return bool(plugin or self._settings.labels or self._settings.confidence)

    def write(self, view: LammpsView, results: Results) -> None:
        """Hand over a frame's results; every rank those of its own atoms."""
        for part in self._parts(view, results):
            part()

    def _parts(self, view: LammpsView, r: Results) -> list[Callable[[], None]]:
        """Return what there is to do, one thing each: they can fail independently."""

        def plugin() -> None:
            if self.plugin is None:
                return
            fractions, atoms = self.plugin
            everything: Any = np.concatenate([r.fraction[None, :], r.rows])
            view.doubles(fractions, everything.shape)[:] = everything
            if atoms and len(r.codes):
                both = view.doubles(atoms, (len(r.codes), 2))
                both[:, 0], both[:, 1] = r.codes, r.confidence

        def column(name: str, values: NDArray[Any]) -> None:
            view.column(name)[:] = values

        def variable(name: str, value: float) -> None:
            view.set_variable(name, f"{value:.10g}" if np.isfinite(value) else _NO_FRACTION)

        columns = [(self._settings.labels, r.codes), (self._settings.confidence, r.confidence)]
        return [
            plugin,
            *[partial(column, name, values) for name, values in columns if name],
            *[partial(column, name, r.further[result]) for result, name in self._further.items()],
            *[partial(variable, name, float(r.fraction[k])) for name, k in self._variables.items()],
        ]

    def blank(self, view: LammpsView) -> None:
        """Say "not analysed" everywhere: −1 for atoms, NaN (−1 in variables) for fractions."""
        n, p = view.setting("nlocal"), len(self._classes)
        nothing = Results(
            np.full(n, -1, np.int32), np.zeros(n, np.float32), np.full(p, np.nan),
            np.full((self._rows, p), np.nan), {k: np.full(n, np.nan) for k in self._further},
        )  # fmt: skip
        for part in self._parts(view, nothing):
            with suppress(InsituError):  # what is gone may be why the analysis is disabled
                part()
