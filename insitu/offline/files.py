# SPDX-License-Identifier: BSD-3-Clause
"""Trajectories in files: their frames classified, on all cores, with the history that a run writes."""

from __future__ import annotations

import glob
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from insitu.analyses.phases.classification import Classification, classify_with
from insitu.analyses.phases.labels import Coverage
from insitu.analyses.phases.loading import load
from insitu.errors import InsituError, SettingError
from insitu.frame.species import SYMBOLS
from insitu.frame.threads import thread_count
from insitu.frame.units import ANGSTROM
from insitu.models.store import AnyModel, extended
from insitu.models.structures import parse
from insitu.offline.options import Options
from insitu.offline.output import Output, own_words
from insitu.offline.readers.belonging import of_configuration
from insitu.offline.readers.configuration import Configuration
from insitu.offline.readers.expression import atoms_of
from insitu.offline.readers.soundness import listed
from insitu.offline.readers.topology import completed
from insitu.offline.readers.trajectories import first_step, read_many

if TYPE_CHECKING:
    from insitu.models.added import Extended

#: Seconds of work on one process after which it is shared among several.
_ALONE = 1.0
#: Frames of each process that are under way or waiting.
_AHEAD = 2


@dataclass
class Sample:
    """What the model is given of a frame; pickled for other processes."""

    positions: NDArray[np.float64]
    cell: NDArray[np.float64]
    pbc: NDArray[np.bool_]
    origin: NDArray[np.float64]
    numbers: NDArray[np.int64] | None
    selected: NDArray[np.bool_] | None
    threshold: float | Coverage | None

    def classify(self, model: AnyModel) -> Classification:
        """Classify its atoms."""
        return classify_with(
            model, self.positions, self.cell, self.pbc, self.numbers, threshold=self.threshold,
            origin=self.origin, selected=self.selected,
        )  # fmt: skip


def expand(files: Sequence[str]) -> list[str]:
    """Return the files that names and patterns mean; dumps in the order of their first steps.

    Raises
    ------
    SettingError
        A pattern matches no file.
    """
    found: list[str] = []
    for name in files:
        if os.path.exists(name) or not glob.has_magic(name):
            found.append(name)
            continue
        matching = sorted(p for p in glob.glob(name, recursive=True) if os.path.isfile(p))
        if not matching:
            raise SettingError(
                f"'{name}' matches no file; give files or a pattern such as 'dump.*'"
            )
        found += matching
    if len(found) > 1 and all(map(os.path.isfile, found)):
        steps = {f: first_step(f) for f in found}
        if None not in steps.values():  # all of them are dumps
            found.sort(key=lambda f: steps[f] or 0)
    return found


def classify_files(
    files: Sequence[str],
    options: Options,
    *,
    tell: Callable[[str], None],
    reached: Callable[[int], None] = lambda position: None,
    executor: Executor | None = None,
) -> Iterator[str]:
    """Classify the frames of files; yield one line of phase fractions for each.

    Parameters
    ----------
    files
        Names and patterns.
    options
        What to do with them.
    tell
        Is told once what the user should know: frames left out, samples that no model can judge.
    reached
        Is told how many bytes of all files were read.
    executor
        Whose workers share the frames, for example other ranks
        (:func:`insitu.frame.ranks.launch.workers`); None: processes of this machine.

    Raises
    ------
    SettingError
        A file is missing or not readable, an option does not fit, or `labels` exists.
    HistoryError
        `out` cannot be written.
    """
    files = expand(files)
    if options.out:
        from insitu.history.writing.file_access import check_writable

        with own_words():
            check_writable(options.out, options.if_exists)
    more = extended(options.model, parse(options.classes, "--classes")) if options.classes else None
    model = load(options.model, engine=options.engine, device=options.device, more=more)
    cores = len(os.sched_getaffinity(0))
    model.threads = thread_count(None, cores)
    workers = 1 if model.on_device is not None else options.workers or cores
    told: set[str] = set()

    def once(text: str) -> None:
        if text not in told:
            told.add(text)
            tell(text)

    used = (
        model.card.elements
        or options.neighbors
        or options.group
        or options.analyze
        or options.types
    )
    if options.species and not used:
        once(
            f"--species {','.join(options.species)} is not used: model '{model.card.name}' does not tell "
            "species apart"
        )
    output = Output(files, options, model, once)
    read = read_many(files, options.index, tell, bool(options.group), reached=reached)
    frames = completed(read, options.topology, options.boundary, once)
    samples = ((f, k, *_prepare(c, f, options, model)) for f, k, c in frames)
    try:
        for file, number, whole, kept, found in _in_order(
            samples, model, options, workers, executor, more
        ):
            if found.advice:
                once(found.advice)
            yield output.write(file, number, whole, kept, found)
    finally:
        output.close()


def _prepare(
    c: Configuration, file: str, options: Options, model: AnyModel
) -> tuple[Configuration, NDArray[np.bool_] | None, Sample]:
    """Return a frame in Å, which of its atoms there are (None: all), and what the model is given."""
    if options.species and c.names is None and c.types is not None:
        _check_types(c.types, file, options.species)
        c.names = np.array(["", *options.species])[c.types]
    selected = atoms_of(c, file, options.group) if options.group else None
    length = ANGSTROM[c.units or options.units or "metal"]
    if length != 1.0:
        c.positions, c.cell, c.origin = c.positions * length, c.cell * length, c.origin * length
    kept = of_configuration(c, file, options.neighbors)
    part = c if kept is None else c.take(kept)
    numbers = None
    if model.card.elements:
        numbers = _elements(part, file, options.species, model)
    if selected is not None and kept is not None:
        selected = selected[kept]
    sample = Sample(part.positions, c.cell, c.pbc, c.origin, numbers, selected, options.sureness)
    return c, kept, sample


def _elements(
    c: Configuration, file: str, species: Sequence[str], model: AnyModel
) -> NDArray[np.int64]:
    """Return the atomic numbers for a model that tells species apart."""
    known = ",".join(model.card.elements)
    if species and c.types is not None:
        _check_types(c.types, file, species)
        return np.array([0, *(SYMBOLS.index(s) for s in species)])[c.types]
    if c.numbers is not None:
        return c.numbers
    what = "no types" if c.types is None else f"types {listed(c.types)} only"
    raise SettingError(
        f"model '{model.card.name}' tells species apart ({known}) and '{file}' has {what}: say which "
        f"elements they are, for example --species {known}"
        + ("" if c.types is not None else ", and dump the column type or element")
    )


def _check_types(types: NDArray[np.int32], file: str, species: Sequence[str]) -> None:
    if len(types) and not 1 <= types.min() <= types.max() <= len(species):
        raise SettingError(
            f"--species {','.join(species)} names {len(species)} elements and '{file}' has the types "
            f"{listed(types)}; give one for each type 1, 2, …"
        )


Item = tuple[str, int, Configuration, NDArray[np.bool_] | None, Sample]
Waiting = tuple[str, int, Configuration, NDArray[np.bool_] | None, "Future[Classification]"]
Done = tuple[str, int, Configuration, NDArray[np.bool_] | None, Classification]


def _in_order(
    samples: Iterator[Item], model: AnyModel, options: Options, workers: int,
    executor: Executor | None, more: Extended | None,
) -> Iterator[Done]:  # fmt: skip
    """Yield the results in the order of the frames; on several processes where it takes long."""
    spent = 0.0
    alone = executor is None or model.on_device is not None
    if not alone:
        workers = max(getattr(executor, "num_workers", 1), 1)
    for file, number, whole, kept, sample in samples if alone else ():
        started = time.perf_counter()
        with _named(file, number):
            found = sample.classify(model)
        yield file, number, whole, kept, found
        spent += time.perf_counter() - started
        if workers > 1 and spent > _ALONE:
            break
    else:
        if alone:
            return
    waiting: deque[Waiting] = deque()
    # Not forked: OpenMP's threads do not survive that.
    own = executor or ProcessPoolExecutor(workers, get_context("spawn"))
    with own as pool:
        failure: InsituError | None = None
        try:
            try:
                for file, number, whole, kept, sample in samples:
                    result = pool.submit(_work, sample, options.model, options.engine, more)
                    waiting.append((file, number, whole, kept, result))
                    while len(waiting) > _AHEAD * workers:
                        yield _finished(waiting.popleft())
            except InsituError as error:  # what was read before it is given first
                failure = error
            while waiting:
                yield _finished(waiting.popleft())
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    if failure is not None:
        raise failure


def _finished(item: Waiting) -> Done:
    file, number, whole, kept, result = item
    with _named(file, number):
        return file, number, whole, kept, result.result()


@contextmanager
def _named(file: str, number: int) -> Iterator[None]:
    """Have errors say which frame they are of."""
    try:
        yield
    except InsituError as error:
        raise type(error)(f"'{file}', frame {number}: {error}") from None


#: The model of a worker process, and how it was asked for.
_loaded: dict[tuple[str, str, str], AnyModel] = {}


def _work(sample: Sample, name: str, engine: str, more: Extended | None) -> Classification:
    key = (name, engine, more.sha256 if more else "")
    if key not in _loaded:
        os.environ["OMP_NUM_THREADS"] = "1"
        model = _loaded[key] = load(name, engine=engine, more=more)
        model.threads = 1
    found = sample.classify(_loaded[key])
    # Not sent back: a line, a history and labels do without.
    return Classification(
        found.labels, found.confidence, found.probabilities[:0], found.classes, found.advice
    )
