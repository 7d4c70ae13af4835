# SPDX-License-Identifier: BSD-3-Clause
"""The methods of this package, and the two that people would write: NumPy and torch as it comes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from insitu.analyses.phases.analysis import Phases
from insitu.bench.method import Method, Result
from insitu.bench.samples import Sample
from insitu.descriptors.neighbors_map import NeighborsMap
from insitu.frame.frame import Frame
from insitu.frame.neighbors.density import spacing
from insitu.frame.neighbors.search import Neighbors
from insitu.models.engines.images import Model
from insitu.models.store import load, locate

#: Atoms of a repetition of the dear methods.
_SOME, _FEW = 8000, 1500
#: What a user of torch takes without measuring.
_PLAIN_BATCH = 256


def own_methods(
    sample: Sample, threads: Sequence[int] = (1,), quick: bool = False
) -> Iterator[Method]:
    """Yield the descriptor alone, the general model, and the paper's CNN by each engine (not `quick`)."""
    yield Method("descriptor, 32 × 32 images", "insitu", len(sample.positions), _descriptor(sample))
    for n in threads:
        yield _model(sample, "metals", "native", n)
    if quick:
        return
    for n in threads:
        yield _model(sample, "crystals-cnn", "native", n)
    if find_spec("torch"):
        for n in threads:
            yield _model(sample, "crystals-cnn", "torchscript", n)


def _frame(sample: Sample, reach: float, most: int | None = None) -> Frame:
    n = len(sample.positions)
    chosen = None if most is None or most >= n else np.arange(n) < most
    return Frame.from_arrays(
        sample.positions, sample.cell, True, reach=reach * (1 + 1e-4), selected=chosen
    )


def _descriptor(sample: Sample) -> Callable[[], Result]:
    settings = NeighborsMap()
    frame = _frame(sample, settings.cutoff)

    def run() -> Result:
        started = time.perf_counter()
        for _ in settings.batches(Neighbors(frame, settings.cutoff)):
            pass
        return Result(time.perf_counter() - started)

    return run


def _model(sample: Sample, name: str, engine: str, threads: int) -> Method:
    """Return a model by an engine: from LAMMPS' arrays, ghosts included, to the counts of phases."""
    model = load(name, engine=engine)
    model.threads = threads
    n = len(sample.positions)
    atoms = min(n, _SOME) if isinstance(model, Model) else n
    if isinstance(model, Model) and model.native:
        atoms = min(n, 4 * _SOME)
    analyzer = Phases(model)
    bare = Frame.from_arrays(sample.positions, sample.cell, True, reach=0.0)
    length = spacing(bare)
    analyzer.classifier.measure(length)
    frame = _frame(sample, analyzer.classifier.search, atoms)
    column = analyzer.classes.index(sample.element.structure)

    def run() -> Result:
        if not model.native:
            import torch

            torch.set_num_threads(threads)
        started = time.perf_counter()
        if analyzer.classifier.scale_free:
            analyzer.classifier.measure(spacing(frame))
        sums = analyzer(frame, Neighbors(frame, analyzer.classifier.search))
        seconds = time.perf_counter() - started
        return Result(seconds, float(sums["count"][column]) / atoms)

    words = [name]
    if isinstance(model, Model):
        words.append({"native": "native", "torchscript": "TorchScript"}[engine])
    if threads > 1:
        words.append(f"{threads} threads")
    return Method(", ".join(words), "insitu", atoms, run)


# --- what people would write -----------------------------------------------------------------------


def numpy_methods(sample: Sample) -> Iterator[Method]:
    """Yield the descriptor's definition in NumPy, atom by atom; neighbour lists are given."""
    atoms = min(len(sample.positions), _FEW)
    cutoff = NeighborsMap().cutoff
    frame = _frame(sample, cutoff, atoms)
    offsets, indices = Neighbors(frame, cutoff).lists(cutoff)
    chosen = Neighbors(frame, cutoff).atoms
    r = np.asarray(frame.positions)

    def run() -> Result:
        started = time.perf_counter()
        for k, i in enumerate(chosen):
            definition(r[np.append(i, indices[offsets[k] : offsets[k + 1]])])
        return Result(time.perf_counter() - started)

    yield Method("descriptor in NumPy", "numpy", atoms, run, "neighbour lists given")


def definition(
    ball: NDArray[np.float64], size: int = 32, gamma: float = 2.0, beta: float = 3.0
) -> NDArray[np.float64]:
    """Return the Neighbors Map ``(size, size)`` of a ball ``(n, 3)`` [Å], nearest first, centre 0.

    References
    ----------
    Allera et al., arXiv:2307.00978, equations (1)–(3).
    """
    image = np.zeros((size, size))
    rows = ball[:size]
    d = np.sqrt(((rows[:, None] - ball[None]) ** 2).sum(-1))
    ordered = np.sort(d, axis=1)[:, 1 : size + 1]  # without the atom itself
    weight = np.ones(len(rows))
    weight[1:] = d[0, 1 : len(rows)] ** (-1.0 / beta)
    image[: len(rows), : ordered.shape[1]] = weight[:, None] / ordered**gamma
    return image


def torch_methods(sample: Sample) -> Iterator[Method]:
    """Yield the paper's CNN as torch runs it without further settings; images are given."""
    if not find_spec("torch"):
        return
    import torch

    from insitu.models.networks.neighbors_map import NeighborsMapCNN

    script = torch.jit.load(str(locate("crystals-cnn")), map_location="cpu")  # type: ignore[no-untyped-call]
    card = load("crystals-cnn").card
    network = NeighborsMapCNN(len(card.classes))
    network.load_state_dict(script.state_dict())
    network.eval()
    atoms = min(len(sample.positions), 8 * _PLAIN_BATCH)
    frame = _frame(sample, card.descriptor.cutoff, atoms)
    images = np.concatenate(
        [m.copy() for _, m, _ in card.descriptor.batches(Neighbors(frame, card.descriptor.cutoff))]
    )
    column = card.classes.index(sample.element.structure)

    def run() -> Result:
        torch.set_num_threads(1)
        started = time.perf_counter()
        labels = []
        with torch.inference_mode():
            for k in range(0, atoms, _PLAIN_BATCH):
                labels.append(network(torch.from_numpy(images[k : k + _PLAIN_BATCH])).argmax(1))
        seconds = time.perf_counter() - started
        return Result(seconds, float((torch.cat(labels) == column).float().mean()))

    note = f"network only, batches of {_PLAIN_BATCH}"
    yield Method("paper's CNN, torch as it comes", "torch", atoms, run, note)
