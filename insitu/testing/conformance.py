# SPDX-License-Identifier: BSD-3-Clause
"""Does an analysis keep the contract of `insitu.analyses.base`? The same checks for ours and others'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from threading import BrokenBarrierError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.analyses.base import Analysis, System
from insitu.analyses.registry import check_declaration
from insitu.analyses.requests import from_words, request
from insitu.analyses.running import gathered, local_results
from insitu.analyses.running import together as in_common
from insitu.analyses.settings import keywords
from insitu.errors import describe
from insitu.frame.frame import Frame, Thermo
from insitu.frame.ghosts.halo import Halo
from insitu.frame.lattices.perfect import lattice
from insitu.frame.neighbors.search import Neighbors
from insitu.frame.ranks.packing import Packing
from insitu.frame.ranks.reduce import Ranks
from insitu.testing.ranks import ThreadRanks, deal, together

#: What a result has to do without: the numbering of the atoms, where the sample lies, how it is turned.
INVARIANCES = ("order", "translation", "rotation")
_CLASSES = ("fcc", "bcc", "unknown")


@dataclass(frozen=True)
class Sample:
    """A periodic sample; `phase` and `confidence` stand for what the phases would give."""

    positions: NDArray[np.float64]
    cell: NDArray[np.float64]
    types: NDArray[np.int32]
    phase: NDArray[np.int64]
    confidence: NDArray[np.float32]
    selected: NDArray[np.bool_] | None = None


def sample(structure: str = "fcc", a: float = 4.05, repeat: int = 5, seed: int = 0) -> Sample:
    """Return a hot crystal of two atom types beside vacuum, as checks take it.

    Parameters
    ----------
    structure, a
        Key of :data:`insitu.testing.LATTICES`, and lattice constant [Å].
    repeat
        Cells along each side.
    seed
        Of the displacements.
    """
    rng = np.random.default_rng(seed)
    r, cell = lattice(structure, a, (repeat, repeat, repeat))
    r = r + rng.normal(scale=0.04 * a, size=r.shape)
    cell[2, 2] *= 1.6
    n = len(r)
    return Sample(
        r, cell, rng.integers(1, 3, n).astype(np.int32), rng.integers(-1, len(_CLASSES) - 1, n),
        rng.random(n, dtype=np.float32),
    )  # fmt: skip


@dataclass(frozen=True)
class Found:
    """What an analysis gave for a sample: values by path, and columns ``(n,)`` by atom."""

    values: Mapping[str, Any]
    columns: Mapping[str, NDArray[np.float64]]


def check_analysis(
    analysis: type[Analysis[Any]],
    settings: Mapping[str, Any] | None = None,
    *,
    of: Sample | None = None,
    invariant: Sequence[str] = INVARIANCES,
    tolerance: float = 1e-6,
) -> dict[str, float]:
    """Check that an analysis keeps the contract; to be called in a test.

    It declares what it takes and gives; it returns that; a rank without atoms, a group without atoms
    and a second one of its kind work; and its values do not depend on how the atoms are numbered, on
    how they are dealt out to ranks, on where the sample lies and how it is turned.

    Parameters
    ----------
    analysis
        The class.
    settings
        Keywords of the deck.
    of
        The sample; by default :func:`sample`.
    invariant
        Which of :data:`INVARIANCES` hold; a profile along an axis has "order" only.
    tolerance
        Largest difference that is let pass, relative to the largest value of an observable.

    Returns
    -------
    dict
        Largest difference by check.

    Raises
    ------
    AssertionError
        With the check that failed, and by how much.
    """
    given, s = dict(settings or {}), of or sample()
    check_declaration(analysis)
    asked = request_of(analysis, given)
    words = keywords(analysis.Settings).values()
    assert (analysis.__doc__ or "").strip(), f"{analysis.name}: the class has no docstring"
    mute = [k.name for k in words if not k.about]
    assert not mute, f"{analysis.name}: say with setting() what {mute[0]} is"
    make = _maker(analysis, asked, s)
    whole = evaluate(make(), s)
    _check_observables(make(), make("another"), whole)
    rng = np.random.default_rng(1)
    found: dict[str, float] = {}

    def compare(what: str, other: Found, order: NDArray[np.intp] | None = None) -> None:
        found[what] = _difference(analysis.name, what, whole, other, order, tolerance)

    for grid in ((2, 1, 1), (1, 1, 3), (2, 2, 1)):
        compare(f"{np.prod(grid)} ranks", evaluate(make(), s, grid, make=make))
    if "order" in invariant:
        order = rng.permutation(len(s.positions))
        names = ("positions", "types", "phase", "confidence")
        mixed = replace(s, **{n: getattr(s, n)[order] for n in names})
        compare("order", evaluate(make(), mixed), order)
    if "translation" in invariant:
        shift = rng.random(3) @ s.cell
        compare("translation", evaluate(make(), replace(s, positions=s.positions + shift)))
    if "rotation" in invariant:
        turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        turn *= np.sign(np.linalg.det(turn))
        turned = replace(s, positions=s.positions @ turn, cell=s.cell @ turn)
        compare("rotation", evaluate(_maker(analysis, asked, turned)(), turned))
    chosen = np.arange(len(s.positions)) % 2 == 0
    half = replace(s, selected=chosen)
    part = evaluate(make(), half)
    for name, column in part.columns.items():
        outside = column[~chosen]
        assert np.isnan(outside).all(), (
            f"{analysis.name}: {name} of atoms outside of the group is not NaN"
        )
    found["group, 2 ranks"] = _difference(
        analysis.name, "group, 2 ranks", part, evaluate(make(), half, (2, 1, 1), make=make), None,
        tolerance,
    )  # fmt: skip
    evaluate(make(), replace(s, selected=np.zeros(len(s.positions), dtype=bool)))
    return found


def request_of(analysis: type[Analysis[Any]], given: Mapping[str, Any]) -> Any:
    """Return checked settings; those of a fix line have to be the same."""
    place = f"{analysis.__module__}:{analysis.__qualname__}"
    asked = request(place, given)
    words = [(k, _word(v)) for k, v in given.items() if v is not None]
    (again,) = from_words([("analyze", place), *words])[1]
    assert again.settings == asked.settings, (
        f"{analysis.name}: {again.settings} != {asked.settings}"
    )
    return asked.settings


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _maker(analysis: type[Analysis[Any]], settings: Any, s: Sample) -> Any:
    system = System(
        n_types=int(s.types.max()), cell=s.cell, classes=_CLASSES, species=("Cu", "Zr"),
        masses=(63.55, 91.22), timestep=0.001,
    )  # fmt: skip
    return lambda name="": analysis(settings, system, name)


def evaluate(
    a: Analysis[Any], s: Sample, grid: tuple[int, int, int] = (1, 1, 1), make: Any = None
) -> Found:
    """Return what an analysis gives for a sample, as on one rank or dealt out to several.

    Parameters
    ----------
    a
        The analysis, for one rank.
    s
        The sample.
    grid
        Ranks along each vector of the cell.
    make
        Makes an analysis for each rank.
    """
    reach = max(a.cutoff, 1.0) * 1.0001
    results: list[Any]
    if grid == (1, 1, 1):
        frames = [Frame.from_arrays(s.positions, s.cell, True, reach=reach, types=s.types)]
        results = [_on_rank(a, _completed(frames[0], s), Ranks())]
    else:
        frames = deal(s.positions, s.cell, grid, reach, s.types)
        each = [make() for _ in frames]

        def work(ranks: ThreadRanks) -> Any:
            return _on_rank(each[ranks.rank], _completed(frames[ranks.rank], s), ranks)

        results = together(len(frames), work)
        failed = [r for r in results if isinstance(r, Exception)]
        for result in sorted(failed, key=lambda e: isinstance(e, BrokenBarrierError)):
            raise result  # the one for which the others waited in vain, if there is one
    columns = {c: np.full(len(s.positions), np.nan) for c in a.columns}
    for frame, (_, own) in zip(frames, results, strict=True):
        for name, column in columns.items():
            column[frame.ids[: frame.n_local] - 1] = own[name]
    return Found(results[0][0], columns)


def _completed(frame: Frame, s: Sample) -> Frame:
    mine = frame.ids[: frame.n_local] - 1
    return replace(
        frame,
        selected=None if s.selected is None else s.selected[mine],
        thermo=Thermo(300.0, -3.5 * len(s.positions), 1.0),
        results={"phase": s.phase[mine], "confidence": s.confidence[mine]},
    )


def _on_rank(a: Analysis[Any], frame: Frame, ranks: Ranks) -> tuple[Any, Mapping[str, Any]]:
    a.halo = Halo(frame, ranks, a.exchanged, a.rounds, None, a.cutoff) if a.rounds else None
    own: Mapping[str, Any] = {}
    trouble = None
    try:
        own = local_results(a, frame, Neighbors(frame, max(a.cutoff, 1.0)))
    except Exception as error:
        if ranks.size == 1:
            raise
        trouble = describe(error)
    if a.halo is not None:
        a.halo.finish()
    ranks.agree(trouble)
    packing = Packing(a.sums)
    total = packing.unpack(ranks.sum(packing.pack(own)))
    everything = {**total, **gathered(a, own, ranks)}
    found = in_common(a, ranks)
    everything |= {k: v for k, v in found.items() if k not in a.later}
    own = {**own, **{k: found[k] for k in a.later}}
    values = a.finish(everything) if ranks.rank == 0 else {}
    return values, own


def _check_observables(a: Analysis[Any], other: Analysis[Any], found: Found) -> None:
    declared = {o.path: o for o in a.observables}
    assert declared, f"{a.name}: there are no observables"
    assert set(found.values) == set(declared), (
        f"{a.name}: finish returned {sorted(found.values)} and declared are {sorted(declared)}"
    )
    for path, o in declared.items():
        value = np.asarray(found.values[path])
        fits = value.shape == o.shape and np.can_cast(value.dtype, o.dtype, "same_kind")
        assert fits, f"{path}: {value.dtype}{value.shape} instead of {o.dtype}{o.shape}"
        along = tuple(len(values) for _, values, _ in o.axes)
        assert along == o.shape[: len(along)], (
            f"{path}: its axes have lengths {along}, not {o.shape}"
        )
        assert o.description, f"{path}: it has no description"
    both = declared.keys() & {o.path for o in other.observables}
    assert not both, (
        f"{a.name}: a second one also writes {sorted(both)}; build paths with self.path()"
    )


def _difference(
    name: str, what: str, a: Found, b: Found, order: NDArray[np.intp] | None, tolerance: float
) -> float:
    pairs = {path: (a.values[path], b.values[path]) for path in a.values}
    for column, values in a.columns.items():
        pairs[f"column {column}"] = (values if order is None else values[order], b.columns[column])
    largest = 0.0
    for path, both in pairs.items():
        one, two = (np.asarray(v, dtype=float) for v in both)
        assert (np.isnan(one) == np.isnan(two)).all(), f"{name}: {what}: {path} has other NaNs"
        scale = float(np.nanmax(np.abs(one), initial=0.0)) or 1.0
        apart = float(np.nanmax(np.abs(one - two), initial=0.0)) / scale
        assert apart <= tolerance, (
            f"{name}: {what}: {path} differs by {apart:.2g} of its largest value"
        )
        largest = max(largest, apart)
    return largest
