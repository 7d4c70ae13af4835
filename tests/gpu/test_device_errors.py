# SPDX-License-Identifier: BSD-3-Clause
"""What CuPy's compiler makes of the kernels, and what is said where there is no GPU."""

from __future__ import annotations

import logging
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from emulated_device import EmulatedDevice

import insitu
from insitu.analyses.phases import loading
from insitu.analyses.phases.loading import compare_with_cpu
from insitu.bench.device import device_benchmark, table
from insitu.descriptors.neighbors_map import NeighborsMap
from insitu.descriptors.neighbors_map_gpu import DeviceDescriber
from insitu.errors import InsituError, ModelError, SettingError
from insitu.gpu import device as devices
from insitu.gpu import sources
from insitu.gpu.device import choose, has_driver
from insitu.gpu.sources import entry_points, source_text
from insitu.models import store
from insitu.pipeline.given_settings import from_words
from insitu.testing import lattice

without_gpu = pytest.mark.skipif(has_driver(), reason="of machines without an NVIDIA GPU")
#: CuPy announces that it found no CUDA toolkit of the system's own.
quiet = pytest.mark.filterwarnings("ignore:CUDA path could not be detected")


@quiet
@pytest.mark.parametrize("architecture", [pytest.param("sm_80", marks=pytest.mark.full), "sm_90"])
def test_cupys_compiler_takes_the_kernels(architecture: str) -> None:
    nvrtc = pytest.importorskip("cupy").cuda.nvrtc
    text = source_text()
    program = nvrtc.createProgram(text, "kernels.cu", (), ())
    try:
        nvrtc.compileProgram(program, ("--std=c++17", f"-arch={architecture}"))
    except nvrtc.NVRTCError:
        pytest.fail(nvrtc.getProgramLog(program))
    cubin = nvrtc.getCUBIN(program)
    assert cubin[:4] == b"\x7fELF"
    assert len(entry_points(text)) >= 8
    for name in entry_points(text):
        assert f".text.{name}\0".encode() in cubin


@pytest.mark.full
@pytest.mark.skipif(shutil.which("nvcc") is None, reason="no nvcc on PATH")
def test_nvcc_takes_the_kernels_without_spilling_rows(tmp_path: Path) -> None:
    source = sources.SOURCES / "kernels.cu"
    done = subprocess.run(
        ["nvcc", "-std=c++17", "-arch=sm_90", "-cubin", "-Xptxas", "-v", str(source), "-o",
         str(tmp_path / "kernels.cubin")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    used = dict(
        re.findall(
            r"Compiling entry function '(\w+)'.*?Used (\d+) registers", done.stderr, re.DOTALL
        )
    )
    assert set(used) == set(entry_points(source_text()))
    for name in ("graph_balls", "graph_embed", "neighbors_maps"):  # rows are sorted in registers
        assert int(used[name]) <= 128, used
    assert "0 bytes spill stores" in done.stderr


@quiet
@without_gpu
@pytest.mark.parametrize("word", ["cuda", "cuda:1"])
def test_without_a_gpu_cuda_is_an_error_with_the_remedy(word: str) -> None:
    r, cell = lattice("fcc", 4.05, (2, 2, 2))
    with pytest.raises(SettingError, match=r"no NVIDIA driver on this machine.*give device=cpu"):
        insitu.classify(r, cell, True, device=word)
    with pytest.raises(SettingError, match=r"give device=cpu"):
        insitu.neighbors_map(r, cell, True, device=word)


@without_gpu
def test_without_a_gpu_auto_is_the_cpu() -> None:
    assert choose("auto") is None
    r, cell = lattice("fcc", 4.05, (2, 2, 2))
    assert insitu.classify(r, cell, True, device="auto").fractions["fcc"] == 1.0


def test_without_cupy_cuda_is_an_error_with_the_remedy() -> None:
    program = (
        "import sys; sys.modules['cupy'] = None\n"
        "import insitu\n"
        "try: insitu.classify([[0.0, 0, 0]], [9.0, 9, 9], True, device='cuda')\n"
        "except insitu.errors.SettingError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True
    )
    assert "needs CuPy" in done.stdout
    assert 'pip install "insitu[gpu]"' in done.stdout


@pytest.mark.parametrize("word", ["gpu", "cuda:", "cuda:-1", "CUDA", "cpu:0", ""])
def test_a_device_that_is_not_known_is_an_error(word: str) -> None:
    with pytest.raises(SettingError, match="allowed: auto, cpu, cuda, or cuda:N"):
        choose(word)
    with pytest.raises(SettingError, match="device="):
        from_words(["device", word])


def test_auto_says_once_why_a_gpu_is_not_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A driver without a CuPy that fits it: real on clusters, here the driver is claimed."""
    monkeypatch.setattr(devices, "has_driver", lambda: True)
    monkeypatch.setattr(devices, "_told", set())
    monkeypatch.setitem(sys.modules, "cupy", None)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert loading.load("metals", device="auto").on_device is None
    assert len(caplog.messages) == 1
    assert "runs on the CPU: device='cuda' needs CuPy" in caplog.messages[0]


@pytest.mark.parametrize("error", [MemoryError("2 GB"), RuntimeError("CUDA_ERROR_LAUNCH_FAILED")])
def test_auto_goes_on_whatever_a_gpu_does(
    monkeypatch: pytest.MonkeyPatch, folder: Path, error: Exception
) -> None:
    class Failing(EmulatedDevice):
        def launch(self, *arguments: Any, **more: Any) -> None:
            raise error

    monkeypatch.setattr(loading, "choose", lambda *_: Failing(folder))
    assert loading.load("metals", device="auto").on_device is None
    with pytest.raises(InsituError, match="give device=cpu"):
        loading.load("metals", device="cuda")


def test_a_device_that_computes_wrongly_is_not_used(folder: Path) -> None:
    model = store.load("metals")
    model.move(EmulatedDevice(folder))
    compare_with_cpu(model)
    assert model.on_device is not None
    model.on_device._weights[:100] += 3.0
    with pytest.raises(SettingError, match="other probabilities than the CPU"):
        compare_with_cpu(model)


def test_what_runs_on_the_cpu_only_says_so(folder: Path) -> None:
    device = EmulatedDevice(folder)
    with pytest.raises(SettingError, match=r"engine='torchscript' .* runs on the CPU only"):
        store.load("metals", engine="torchscript").move(device)
    model = store.load("metals")
    object.__setattr__(model.card.descriptor, "ball", 40)
    with pytest.raises(ModelError, match="on a GPU both may have up to 32"):
        model.move(device)
    with pytest.raises(SettingError, match="size=33 is too large for a GPU"):
        DeviceDescriber(NeighborsMap(size=33), device)


def test_positions_on_a_gpu_need_an_analysis_there() -> None:
    class Elsewhere:
        __cuda_array_interface__ = None  # as CuPy, torch and Numba have it

    with pytest.raises(InsituError, match="positions are in a GPU's memory"):
        insitu.classify(Elsewhere(), [9.0, 9.0, 9.0], True, device="cpu")


def test_the_benchmark_of_a_device_fills_its_table(folder: Path) -> None:
    """On the emulation its times mean nothing; that every stage runs and is counted does."""
    results = device_benchmark(EmulatedDevice(folder), [256], block=100, side=8, repeats=1)
    row = results["sizes"][0]
    assert row["atoms"] == 256
    assert all(np.isfinite(s) and s > 0 for s in row["seconds"].values())
    assert {"transfer", "search", "metals", "descriptor", "cnn", "metals, CPU"} <= set(
        row["seconds"]
    )
    assert table(results).splitlines()[-1].startswith("| 256 |")


@quiet
@without_gpu
def test_bench_without_a_gpu_is_an_error() -> None:
    program = Path(sys.executable).parent / "insitu"
    done = subprocess.run(
        [program, "bench", "--device", "cuda"], capture_output=True, text=True, check=False,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
    )  # fmt: skip
    assert done.returncode == 2
    assert "give device=cpu" in done.stderr
