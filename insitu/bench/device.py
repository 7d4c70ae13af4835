# SPDX-License-Identifier: BSD-3-Clause
"""``insitu bench --device cuda``: atoms per second on a GPU, beside the CPU and the GPU's limits."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from insitu.analyses.phases.analysis import Phases
from insitu.analyses.phases.gpu_labels import decide_on_device
from insitu.bench.machine import line, machine
from insitu.bench.samples import ELEMENTS
from insitu.descriptors.neighbors_map import NeighborsMap
from insitu.descriptors.neighbors_map_gpu import DeviceDescriber
from insitu.errors import ModelError
from insitu.frame.frame import Frame
from insitu.frame.lattices.perfect import lattice
from insitu.frame.neighbors.density import spacing
from insitu.frame.neighbors.search import Neighbors
from insitu.gpu.device import Device
from insitu.gpu.search import DeviceSearch
from insitu.models.engines.gpu_graph import DeviceGraph
from insitu.models.engines.gpu_maps import DeviceMaps
from insitu.models.store import load

log = logging.getLogger(__name__)

SIZES = (10_000, 100_000, 1_000_000)
LARGE = 10_000_000
#: Repetitions of which the fastest counts, and images at a time of the stages that make images.
_REPEATS, _IMAGES = 5, 65_536
#: Atoms above which the CPU's kernels are not run beside.
_CPU_MOST = 1_000_000
#: Multiply-adds of the paper's network for an image.
_CNN_MULTIPLY_ADDS = 6.5e6

Work = Callable[[], Any]


def device_benchmark(
    device: Device, sizes: Sequence[int] = SIZES, *, block: int = 1 << 28, side: int = 8192,
    repeats: int = _REPEATS,
) -> dict[str, Any]:  # fmt: skip
    """Measure the analysis on a device and return all figures.

    Parameters
    ----------
    device
        The GPU.
    sizes
        Numbers of atoms of fcc Al with thermal displacements.
    block, side
        Floats of the copy and side of the matrices that measure the device's limits.
    repeats
        Repetitions, of which the fastest counts.
    """
    limits = {
        "copy_bytes_s": _copy(device, block, repeats),
        "fp32_flop_s": _matrix(device, side, repeats),
    }
    rows = [_row(device, size, repeats) for size in sizes]
    return {"machine": machine(), "device": device.name, "limits": limits, "sizes": rows}


def _best(device: Device, work: Work, repeats: int) -> float:
    """Return the shortest wall time [s] of some repetitions, the device idle before and after."""
    device.read(device.xp.zeros(1))
    work()
    times = []
    for _ in range(repeats):
        device.read(device.xp.zeros(1))
        started = time.perf_counter()
        work()
        device.read(device.xp.zeros(1))
        times.append(time.perf_counter() - started)
    return min(times)


def _copy(device: Device, block: int, repeats: int) -> float:
    a = device.xp.zeros(block, dtype=np.float32)
    return 8.0 * block / _best(device, lambda: a + np.float32(1.0), repeats)


def _matrix(device: Device, side: int, repeats: int) -> float:
    a = device.xp.ones((side, side), dtype=np.float32)
    return 2.0 * side**3 / _best(device, lambda: a @ a, repeats)


def _row(device: Device, size: int, repeats: int) -> dict[str, Any]:
    element = ELEMENTS["Al"]
    cells = max(2, round((size / 4) ** (1 / 3)))
    r, cell = lattice(element.structure, element.a, (cells, cells, cells))
    r = r + np.random.default_rng(0).normal(scale=element.noise, size=r.shape)
    n = len(r)
    model = load("metals")
    analyzer = Phases(model)
    bare = Frame.from_arrays(r, cell, True, reach=0.0)
    length = spacing(bare)
    analyzer.classifier.measure(length)
    paper = NeighborsMap()
    host = Frame.from_arrays(
        r, cell, True, reach=max(analyzer.classifier.search, paper.cutoff) * 1.0001
    )
    there = _moved(device, host)
    seconds = {"transfer": _best(device, lambda: _moved(device, host), repeats)}
    # --- the general model -------------------------------------------------------------------
    model.move(device)
    assert isinstance(model.on_device, DeviceGraph)
    graph, limits = model.on_device, analyzer.limits
    search = DeviceSearch(there, analyzer.classifier.search, device)

    def whole(frame: Frame) -> None:
        s = DeviceSearch(frame, analyzer.classifier.search, device)
        p, found = graph.classify(s, length)
        decide_on_device(s, p, found, limits, 4)

    times: dict[str, Work] = {
        "search": lambda: DeviceSearch(there, analyzer.classifier.search, device),
        "metals network": lambda: graph.classify(search, length),
        "metals": lambda: whole(there),
        "metals with transfer": lambda: whole(_moved(device, host)),
    }
    for name, work in times.items():
        seconds[name] = _best(device, work, repeats)
    # --- the paper's map and network, in batches ----------------------------------------------
    describer = DeviceDescriber(paper, device)
    wide = DeviceSearch(there, paper.cutoff, device)

    def images() -> None:
        for begin in range(0, n, _IMAGES):
            describer.images(wide, wide.places[begin : begin + _IMAGES])

    def describe() -> None:
        nonlocal wide
        wide = DeviceSearch(there, paper.cutoff, device)
        images()

    seconds["descriptor"] = _best(device, describe, repeats)
    seconds |= _network(device, describer, wide, n, repeats)
    if n <= _CPU_MOST:
        here = load("metals")
        started = time.perf_counter()
        beside = Phases(here)
        beside.classifier.measure(length)
        beside(host, Neighbors(host, analyzer.classifier.search))
        seconds["metals, CPU"] = time.perf_counter() - started
    return {"atoms": n, "points": len(host.positions), "seconds": seconds}


def _moved(device: Device, frame: Frame) -> Frame:
    """Return the frame with its positions and ids on the device."""
    return Frame(
        device.array(frame.positions, np.float64), frame.types, device.array(frame.ids, np.int64),
        frame.n_local, frame.cell, frame.origin, frame.pbc,
    )  # fmt: skip


def _network(
    device: Device, describer: DeviceDescriber, search: DeviceSearch, n: int, repeats: int
) -> dict[str, float]:
    """Return the times of the paper's network, alone on one batch of images and after the descriptor."""
    model = load("crystals-cnn")
    try:
        model.move(device)
    except ModelError as error:  # without a torch for this GPU the rest is worth having
        log.warning("insitu bench: %s", error)
        return {}
    there = model.on_device
    assert isinstance(there, DeviceMaps)
    some = min(n, 16_384)
    batch, _ = describer.images(search, search.places[:some])
    alone = _best(device, lambda: there.probabilities(batch), repeats) * n / some
    return {
        "cnn network": alone,
        "cnn": _best(device, lambda: there.classify(search), repeats),
    }


def table(results: dict[str, Any]) -> str:
    """Return the results of :func:`device_benchmark` as Markdown."""
    limits = results["limits"]
    lines = [
        f"{results['device']}; {line(results['machine'])}", "",
        f"Measured limits: copy {limits['copy_bytes_s'] / 1e12:.2f} TB/s, fp32 matrix product "
        f"{limits['fp32_flop_s'] / 1e12:.1f} TFLOP/s. Million atoms a second, fastest of the "
        "repetitions; fcc Al with thermal displacements, positions in device memory unless said.", "",
        "| atoms | descriptor 32 × 32 | of the copy's rate | `metals` | of it search | with transfer "
        "| transfer's share | `metals`, CPU kernels | paper's CNN | torch's CNN alone | of the fp32 rate |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]  # fmt: skip
    for row in results["sizes"]:
        n, s = row["atoms"], row["seconds"]

        def rate(name: str, n: int = n, s: dict[str, float] = s) -> str:
            return f"{n / s[name] / 1e6:.3g}" if s.get(name) else "–"

        images = 4.0 * 32 * 32 * n / s["descriptor"]  # written once, at least
        flop = 2.0 * _CNN_MULTIPLY_ADDS * n / s["cnn network"] if s.get("cnn network") else 0.0
        lines.append(
            f"| {n:,} | {rate('descriptor')} | {images / limits['copy_bytes_s']:.0%} | {rate('metals')} "
            f"| {s['search'] / s['metals']:.0%} | {rate('metals with transfer')} "
            f"| {s['transfer'] / s['metals with transfer']:.0%} | {rate('metals, CPU')} | {rate('cnn')} "
            f"| {rate('cnn network')} | {flop / limits['fp32_flop_s']:.0%} |"
        )
    return "\n".join(lines)
