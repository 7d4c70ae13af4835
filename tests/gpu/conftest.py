# SPDX-License-Identifier: BSD-3-Clause
"""Devices to be tested: the emulation in both orders of its threads, and a GPU where there is one."""

from __future__ import annotations

from pathlib import Path

import pytest
from device_samples import GPU
from emulated_device import EmulatedDevice

from insitu.gpu.device import CudaDevice, Device

_ON_GPU = [pytest.param("cuda", marks=pytest.mark.gpu)] if GPU else []


@pytest.fixture(params=["forward", "reverse", *_ON_GPU])
def device(request: pytest.FixtureRequest, folder: Path) -> Device:
    if request.param != "cuda":
        return EmulatedDevice(folder, reverse=request.param == "reverse")
    return CudaDevice()
