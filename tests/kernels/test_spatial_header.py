# SPDX-License-Identifier: BSD-3-Clause
"""The layers of the network on the whole sample compile for a GPU."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

import insitu


@pytest.mark.full
@pytest.mark.skipif(shutil.which("nvcc") is None, reason="no nvcc on PATH")
def test_nvcc_takes_the_header(tmp_path: Path) -> None:
    """The same templates with single floats are the layers of a CUDA thread."""
    (tmp_path / "layer.cu").write_text(
        """#include "edge_conv.hpp"
using namespace insitu;
extern "C" __global__ void spatial_edges(EdgeSettings s, const float* x, const float* y, const float* z,
    const float* d, const float* kind, const float* cut, const float* unit, float* out,
    float* directions) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x, p = i * s.padded();
    describe_edges<float>(s, x + p, y + p, z + p, d + p, kind + p, cut[i], unit[i], out + i * s.words(),
        directions + i * s.direction_words());
}
extern "C" __global__ void spatial_spectra(EdgeSettings s, const float* directions, float* work,
    float* out) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    power_spectra<4, float>(s.spectra(), s.most, s.padded(), directions + i * s.direction_words(), 1,
        work + i, out + i, blockDim.x);
}
extern "C" __global__ void spatial_layer(EdgeNetwork g, int layer, const float* shared, const int* rows,
    const float* edges, const int* kinds, const float* spectra, float* h, float* scratch, float* next,
    float* result, int classes) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    edge_layer<1, 4, float, unsigned>(g, layer, shared, rows + i * g.edges.padded(),
        edges + i * g.edges.words(), kinds + i, {spectra + i, 1, blockDim.x}, 1, h + i * g.layers * g.width,
        scratch + i * edge_words(g), next + i * g.width, result + i * classes, classes);
}
"""
    )
    kernels = Path(insitu.__file__).parent / "kernels" / "core"
    done = subprocess.run(
        ["nvcc", "-std=c++17", "-arch=sm_90", "-cubin", "-diag-suppress", "1675", "-I", str(kernels),
         "layer.cu"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
