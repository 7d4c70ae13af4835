# SPDX-License-Identifier: BSD-3-Clause
"""The paper's CNN by every engine: what an image costs, and whether the labels stay.

torch in each of its layouts and batches (is TorchScript as insitu runs it near the best?), our native
engine on each instruction set, OpenVINO and ONNX Runtime if they are installed (pip install openvino
onnxruntime), on the same images of real dynamics, on one thread. The rounds alternate between the
engines. "Changed" counts labels that differ from eager torch in fp32.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch

from insitu import _kernels
from insitu.bench.machine import line, machine
from insitu.bench.samples import ELEMENTS, sample
from insitu.descriptors.neighbors_map import NeighborsMap
from insitu.descriptors.sample_maps import neighbors_map
from insitu.models import store
from insitu.models.engines import cnn
from insitu.models.networks.neighbors_map import NeighborsMapCNN
from insitu.testing import lattice

Run = Callable[[Any], Any]
CLASSES = 5


def images(n: int) -> Any:
    """Maps of fcc Al at 600 K, bcc Fe at 1000 K, and of crystals shaken until they are none."""
    parts = [sample(e, 4000) for e in ELEMENTS.values()]
    found = [neighbors_map(s.positions, s.cell, True) for s in parts]
    rng = np.random.default_rng(1)
    for kind, a, noise in (("hcp", 3.23, 0.15), ("cubic_diamond", 5.45, 0.15), ("fcc", 4.2, 0.45)):
        r, cell = lattice(kind, a, (8, 8, 8))
        found.append(neighbors_map(r + rng.normal(scale=noise, size=r.shape), cell, True))
    every = np.concatenate(found)
    return np.ascontiguousarray(every[rng.permutation(len(every))[:n]])


def network() -> NeighborsMapCNN:
    script = torch.jit.load(str(store.locate("crystals-cnn")), map_location="cpu")
    net = NeighborsMapCNN(CLASSES)
    net.load_state_dict(script.state_dict())
    return net.eval()


def torch_engines(batches: list[int]) -> Iterator[tuple[str, int, Run]]:
    last = torch.channels_last
    plain, wide, half = network(), network().to(memory_format=last), network().bfloat16()
    half = half.to(memory_format=last)

    def optimised(net: Any) -> Any:
        return torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.script(net)))

    scripts = optimised(network()), optimised(network().to(memory_format=last))
    ways: list[tuple[str, Callable[[Any], Any]]] = [
        ("torch eager", plain),
        ("torch eager, channels last", lambda x: wide(x.to(memory_format=last))),
        ("torch eager, channels last, bf16",
         lambda x: half(x.bfloat16().to(memory_format=last)).float()),
        ("TorchScript, optimised", scripts[0]),
        ("TorchScript, optimised, channels last", lambda x: scripts[1](x.to(memory_format=last))),
    ]  # fmt: skip
    for name, way in ways:
        for b in batches:
            yield name, b, lambda x, way=way: way(torch.from_numpy(x)).numpy()
    ours = store.load("crystals-cnn", engine="torchscript")
    yield "insitu, engine torchscript", ours.batch, ours.probabilities


def native_engines() -> Iterator[tuple[str, int, Run]]:
    net = network()
    state = {k: v.numpy().astype(float) for k, v in net.state_dict().items()}
    state["scale"] = np.array(net.scale)
    for isa in _kernels.isa_available():
        yield f"insitu, engine native, {isa}", 64, cnn.NativeCNN(state, isa).probabilities


def library_engines(batches: list[int]) -> Iterator[tuple[str, int, Run]]:
    if find_spec("openvino"):
        import openvino

        core = openvino.Core()
        for precision in ("f32", "bf16"):
            for b in batches:
                example = torch.zeros(b, 1, 32, 32)
                converted = openvino.convert_model(network(), example_input=example)
                converted.reshape([b, 1, 32, 32])
                compiled = core.compile_model(
                    converted, "CPU",
                    {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": 1,
                     "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY"},
                )  # fmt: skip
                request = compiled.create_infer_request()

                def infer(x: Any, request: Any = request) -> Any:
                    request.infer([x], share_inputs=True)
                    return request.get_output_tensor().data

                yield f"OpenVINO, {precision}", b, infer
    if find_spec("onnxruntime") and find_spec("onnx"):
        import onnxruntime

        file = io.BytesIO()
        torch.onnx.export(
            network(), (torch.zeros(8, 1, 32, 32),), file, dynamo=False, input_names=["x"],
            dynamic_axes={"x": {0: "n"}},
        )  # fmt: skip
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(file.getvalue(), options)
        for b in batches:
            yield "ONNX Runtime, fp32", b, lambda x: session.run(None, {"x": x})[0]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=4096, help="a multiple of 256 (4096)")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batches", default="16,64,128", help="for torch and the libraries")
    arguments = parser.parse_args()
    batches = [int(b) for b in arguments.batches.split(",")]
    torch.set_num_threads(1)
    x = images(arguments.images)
    assert x.shape[-1] == NeighborsMap().size
    engines = [*native_engines(), *torch_engines(batches), *library_engines(batches)]
    with torch.inference_mode():
        reference = network()(torch.from_numpy(x)).numpy()
        costs: list[list[float]] = [[] for _ in engines]
        found: list[Any] = [None] * len(engines)
        for _ in range(arguments.repeats + 1):
            for k, (_, b, run) in enumerate(engines):
                started = time.perf_counter()
                parts = [np.array(run(x[i : i + b])) for i in range(0, len(x), b)]
                costs[k].append(1e6 * (time.perf_counter() - started) / len(x))
                found[k] = np.concatenate(parts)
    print(line(machine()))
    print(f"one thread, {len(x)} images, {arguments.repeats} rounds\n")
    print("| engine | batch | µs per image | least … most | probabilities differ by | changed |")
    print("|---|---|---|---|---|---|")
    for (name, b, _), cost, p in zip(engines, costs, found, strict=True):
        kept = cost[1:]
        changed = int((p.argmax(1) != reference.argmax(1)).sum())
        print(
            f"| {name} | {b} | {np.median(kept):.1f} | {min(kept):.1f} … {max(kept):.1f} | "
            f"{np.abs(p - reference).max():.1e} | {changed} |"
        )


if __name__ == "__main__":
    main()
