# SPDX-License-Identifier: BSD-3-Clause
"""Cost of a network on the whole sample's graph on one core: microseconds an atom, graph included.

Weights are random (cost does not depend on them) unless a model is given. The native kernels with
each instruction set in turn, and TorchScript with one thread; minimum and median of some repeats, and
the least processor time, which on a busy machine is nearer to what an idle one would take.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from insitu import _kernels
from insitu.bench.machine import line, machine
from insitu.descriptors.neighbors_map import NeighborsMap
from insitu.frame.frame import Frame
from insitu.frame.neighbors.density import spacing
from insitu.frame.neighbors.search import Neighbors
from insitu.models.card import Card
from insitu.models.engines.spatial import SpatialModel, SpatialSettings
from insitu.models.export import save
from insitu.models.networks.whole_sample import WholeSampleGraph
from insitu.models.store import load
from insitu.testing import lattice

#: Lattice, lattice constant [Å], atoms a cell, noise of a coordinate [Å].
SAMPLES = {"Al, 600 K": ("fcc", 4.08, 4, 0.13), "noise of a melt": ("fcc", 4.08, 4, 0.6)}


def random_model(settings: SpatialSettings, width: int, hidden: int) -> Path:
    """Return an artefact with random weights and 14 classes."""
    torch.manual_seed(0)
    path = Path(tempfile.mkdtemp()) / "model.pt"
    classes = [f"class {k}" for k in range(14)]
    network = WholeSampleGraph(len(classes), settings, width, hidden)
    save(network, Card("random", classes, NeighborsMap(), spatial=settings), path)
    return path


def engines(path: Path) -> dict[str, SpatialModel]:
    """Return the model on each instruction set of this machine, and as TorchScript."""
    with zipfile.ZipFile(path) as archive:
        (name,) = [n for n in archive.namelist() if n.endswith("insitu.npz")]
        weights = archive.read(name)
    card = load(str(path)).card
    models = {isa: SpatialModel(card, weights, "", path, isa) for isa in _kernels.isa_available()}
    return models | {"torchscript": SpatialModel(card, None, "", path)}


def once(model: SpatialModel, frame: Frame, length: float) -> NDArray[np.float64]:
    """Return the seconds of search, of graph and first layer, of other layers, and of the processor."""
    busy = time.process_time()
    started = time.perf_counter()
    search = Neighbors(frame, model.radius(length))
    searched = time.perf_counter()
    model.classify(search, length)
    rest = time.perf_counter() - searched
    layers = model.timing["model"]
    busy = time.process_time() - busy
    return np.array([searched - started, rest - layers, layers, busy])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: taskset -c 0 python benchmarks/whole_sample.py --atoms 100000 --width 64",
    )
    parser.add_argument("--model", help="shipped model or model.pt (random weights)")
    parser.add_argument("--atoms", type=int, default=100_000, help="about so many (100000)")
    parser.add_argument("--repeats", type=int, default=5, help="of each engine (5)")
    parser.add_argument("--width", type=int, default=64, help="of the layers (64)")
    parser.add_argument("--hidden", type=int, default=64, help="width of the head (64)")
    parser.add_argument("--neighbors", type=int, default=16, help="of an atom (16)")
    parser.add_argument("--degree", type=int, default=0, help="of the power spectra (0: none)")
    parser.add_argument("--moments", type=int, default=4, help="of the power spectra (4)")
    parser.add_argument("--kinds", type=int, default=1, help="species that are told apart (1)")
    parser.add_argument("--radial", type=int, default=6, help="radial functions of an edge (6)")
    parser.add_argument("--engines", default="", help="those to run, by comma (all)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.model:
        path = load(arguments.model).path
    else:
        several = arguments.kinds > 1
        settings = SpatialSettings(
            neighbors=arguments.neighbors, degree=arguments.degree, moments=arguments.moments,
            radial=arguments.radial, by_species=several,
            species=tuple(range(1, arguments.kinds + 1)) if several else (),
        )  # fmt: skip
        path = random_model(settings, arguments.width, arguments.hidden)
    wanted = [e for e in arguments.engines.split(",") if e]
    models = {e: m for e, m in engines(path).items() if not wanted or e in wanted}
    print(line(machine()))
    print(f"one core, {next(iter(models.values())).graph} [µs/atom]")
    print(
        f"{'sample':<17}{'atoms':>8}  {'engine':<12}{'cells':>7}{'graph+1':>9}{'layers':>8}"
        f"{'minimum':>9}{'median':>8}{'processor':>11}"
    )
    for name, (kind, a, basis, noise) in SAMPLES.items():
        k = max(1, round((arguments.atoms / basis) ** (1 / 3)))
        r, cell = lattice(kind, a, (k, k, k))
        r += np.random.default_rng(0).normal(scale=noise, size=r.shape)
        length = spacing(Frame.from_arrays(r, cell, True, reach=0.0))
        numbers = next(iter(models.values())).graph.species or (1,)
        types = np.resize(numbers, len(r))
        for model in models.values():
            model.name_types(dict(zip(model.graph.species, model.card.elements, strict=True)))
        reach = 1.0001 * next(iter(models.values())).radius(length)
        frame = Frame.from_arrays(r, cell, True, reach=reach, types=types)
        spent: dict[str, list[NDArray[np.float64]]] = {engine: [] for engine in models}
        for _ in range(arguments.repeats):
            for engine, model in models.items():
                spent[engine].append(once(model, frame, length))
        for engine, rows in spent.items():
            cost = 1e6 * np.array(rows) / len(r)
            busy, cost = cost[:, 3].min(), cost[:, :3]
            best = cost[cost.sum(axis=1).argmin()]
            print(
                f"{name:<17}{len(r):>8}  {engine:<12}{best[0]:>7.2f}{best[1]:>9.2f}{best[2]:>8.2f}"
                f"{best.sum():>9.2f}{np.median(cost.sum(axis=1)):>8.2f}{busy:>11.2f}"
            )


if __name__ == "__main__":
    main()
