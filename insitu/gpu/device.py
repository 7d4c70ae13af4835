# SPDX-License-Identifier: BSD-3-Clause
"""The GPU: which one, its memory, and the kernels that CuPy compiles; the only file that imports CuPy.

Everything that runs on a device is written against :class:`Device`: arrays of its module `xp`, and
kernels of kernels/cuda/kernels.cu by name. Tests give another one, on which a CPU plays the threads.
"""

from __future__ import annotations

import ctypes
import logging
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cache, cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from insitu.errors import InsituError, SettingError
from insitu.gpu.sources import source_text

log = logging.getLogger(__name__)

_SETTING = re.compile(r"auto|cpu|cuda(:\d+)?")
#: What is said of a missing piece.
_REMEDY = 'pip install "insitu[gpu]" (for CUDA 13), or leave `device` out to use the CPU'
_DLPACK_CUDA = 2
_told: set[str] = set()


class DeviceMemoryError(InsituError, MemoryError):
    """The device's memory does not suffice."""


def memory_error(device: Device, what: str) -> DeviceMemoryError:
    """Return the error that says so of `what`."""
    return DeviceMemoryError(
        f"the memory of {device.name} does not suffice for {what}; run on more GPUs, let fewer ranks "
        "share one, or give device=cpu"
    )


class Device(Protocol):
    """What the analysis needs of a device; arrays are those of `xp`, CuPy's or NumPy's."""

    xp: Any
    #: For messages and the history's provenance.
    name: str
    #: Shared memory that a block of threads may have [bytes].
    shared_limit: int

    def array(self, values: Any, dtype: Any) -> Any:
        """Return `values` on the device, where they lie if they are there already."""

    def here(self) -> AbstractContextManager[Any]:
        """Return a context in which arrays and launches are this device's."""

    def holds(self, values: Any) -> bool:
        """Return whether `values` are in device memory."""

    def read(self, array: Any) -> NDArray[Any]:
        """Return a copy of a device array on the host; waits for the device."""

    def launch(
        self, kernel: str, blocks: int, threads: int, args: Sequence[Any], shared: int = 0
    ) -> None:
        """Start a kernel; `args` are device arrays, NumPy scalars, or None for no array."""

    def free_memory(self) -> int:
        """Return the bytes that could still be allocated."""


@contextmanager
def on(device: Device, what: str) -> Iterator[None]:
    """Make a device the current one; too little memory there is said to be too little for `what`."""
    try:
        with device.here():
            yield
    except DeviceMemoryError:
        raise
    except MemoryError:
        raise memory_error(device, what) from None


def blocks_of(work: int, threads: int) -> int:
    """Return how many blocks of `threads` do `work` (a thread each)."""
    return -(-work // threads)


def room_for(device: Device, bytes_of_a_warp: int) -> int:
    """Return the warps of a block, 1 … 4, by the shared memory that each needs.

    Raises
    ------
    InsituError
        Even one does not fit.
    """
    if bytes_of_a_warp > device.shared_limit:
        raise InsituError(
            f"an atom has more neighbours than {device.name} has shared memory for; reduce the cutoff, "
            "check the deck's units, or use device=cpu"
        )
    return max(1, min(4, device.shared_limit // bytes_of_a_warp))


class CudaDevice:
    """An NVIDIA GPU through CuPy.

    Parameters
    ----------
    index
        Number of the GPU, among those that this process sees.

    Raises
    ------
    SettingError
        There is no CuPy, no driver, no such GPU, or they do not fit each other.
    """

    def __init__(self, index: int = 0) -> None:
        try:
            import cupy
        except ImportError as error:
            raise SettingError(
                f"device='cuda' needs CuPy, which cannot be imported ({error}); {_REMEDY}"
            ) from None
        self.xp = cupy
        try:
            count = cupy.cuda.runtime.getDeviceCount()
            if not 0 <= index < count:
                raise SettingError(
                    f"device='cuda:{index}' is not there: this process sees {count} GPUs, numbered "
                    "from 0; give one of them, or check CUDA_VISIBLE_DEVICES"
                )
            self._device = cupy.cuda.Device(index)
            properties = cupy.cuda.runtime.getDeviceProperties(index)
            with self._device:
                cupy.zeros(1).sum().item()
        except SettingError:
            raise
        except Exception as error:  # the runtime's, a missing compiler's or header's
            raise SettingError(_why_not(str(error), cupy)) from None
        self.index = index
        self.name = f"{properties['name'].decode()} (cuda:{index})"
        self.shared_limit = int(properties["sharedMemPerBlockOptin"])
        self._known: dict[str, Any] = {}

    @cached_property
    def _module(self) -> Any:
        module = self.xp.RawModule(code=source_text(), options=("--std=c++17",), backend="nvrtc")
        try:
            module.compile()
        except Exception as error:  # a compiler that does not know this GPU, or is not there
            raise SettingError(
                f"CuPy {self.xp.__version__} cannot compile the kernels for {self.name} "
                f"({str(error).strip().splitlines()[0][:160]}): the CUDA compiler (NVRTC) is missing or "
                f"older than the GPU; {_REMEDY}"
            ) from None
        return module

    def here(self) -> AbstractContextManager[Any]:
        """Return a context in which this GPU is CuPy's current one."""
        device: AbstractContextManager[Any] = self.xp.cuda.Device(self.index)
        return device

    def array(self, values: Any, dtype: Any) -> Any:
        """Return `values` on the device; device memory of that type is used in place.

        Raises
        ------
        SettingError
            They are in the memory of another GPU.
        """
        if not isinstance(values, self.xp.ndarray) and in_device_memory(values):
            # DLPack first: it orders the streams of both sides.
            with_dlpack = hasattr(values, "__dlpack__")
            values = self.xp.from_dlpack(values) if with_dlpack else self.xp.asarray(values)
        if isinstance(values, self.xp.ndarray) and values.device.id != self.index:
            raise SettingError(
                f"positions are in the memory of GPU {values.device.id} and the analysis runs on "
                f"{self.name}; give device='cuda:{values.device.id}'"
            )
        return self.xp.ascontiguousarray(self.xp.asarray(values, dtype=dtype))

    def holds(self, values: Any) -> bool:
        """Return whether `values` are in a GPU's memory."""
        return in_device_memory(values)

    def read(self, array: Any) -> NDArray[Any]:
        """Return a copy on the host."""
        values: NDArray[Any] = array.get()
        return values

    def launch(
        self, kernel: str, blocks: int, threads: int, args: Sequence[Any], shared: int = 0
    ) -> None:
        """Start a kernel on CuPy's current stream."""
        if kernel not in self._known:
            self._known[kernel] = self._module.get_function(kernel)
        function = self._known[kernel]
        if shared > 48 * 1024 and function.max_dynamic_shared_size_bytes < shared:
            function.max_dynamic_shared_size_bytes = shared  # beyond this CUDA wants to be asked
        # CuPy 13 makes of None no argument at all.
        given = tuple(np.uint64(0) if a is None else a for a in args)
        function((blocks,), (threads,), given, shared_mem=shared)

    def free_memory(self) -> int:
        """Return what the driver and CuPy's pool have free."""
        with self._device:
            free: int = self._device.mem_info[0]
        return free + int(self.xp.get_default_memory_pool().free_bytes())


def _why_not(error: str, cupy: Any) -> str:
    """Return the sentence about an error of the CUDA runtime at the start."""
    if "InsufficientDriver" in error or "insufficient" in error:
        if not has_driver():
            return (
                f"device='cuda' finds no NVIDIA driver on this machine ({error}); give device=cpu"
            )
        version = cupy.cuda.runtime.runtimeGetVersion()
        return (
            f"the NVIDIA driver is older than CuPy's CUDA {version // 1000}.{version % 1000 // 10} "
            f"({error}); install the CuPy of the driver's CUDA (cupy-cuda12x), or update the driver"
        )
    if "NoDevice" in error or "no CUDA-capable" in error:
        return (
            f"device='cuda' finds no GPU ({error}): check CUDA_VISIBLE_DEVICES and that the job asked "
            "for one (SLURM: --gpus-per-node), or give device=cpu"
        )
    return f"device='cuda' cannot be used ({error}); give device=cpu"


def has_driver() -> bool:
    """Return whether there is an NVIDIA driver with a GPU, without starting CUDA or Python packages."""
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    count = ctypes.c_int(0)
    return (
        cuda.cuInit(0) == 0 and cuda.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0
    )


def in_device_memory(values: Any) -> bool:
    """Return whether an array is in a GPU's memory (CuPy, torch, Numba, JAX …)."""
    if hasattr(values, "__cuda_array_interface__"):
        return True
    where = getattr(values, "__dlpack_device__", None)
    return where is not None and where()[0] == _DLPACK_CUDA


def check_device(word: str) -> None:
    """Raise SettingError if `word` names no device."""
    if not isinstance(word, str) or not _SETTING.fullmatch(word):
        raise SettingError(
            f"device='{word}' is not known; allowed: auto, cpu, cuda, or cuda:N for GPU number N"
        )


def choose(word: str, local_rank: int = 0) -> Device | None:
    """Return the device of a setting; None is the CPU.

    Parameters
    ----------
    word
        ``cpu``; ``cuda``: ranks of a node take its GPUs in turn, several may share one; ``cuda:N``;
        ``auto``: as ``cuda`` if there is a GPU, else the CPU.
    local_rank
        Number of this rank on its node.

    Raises
    ------
    SettingError
        The word is none of these, or a GPU was asked for and cannot be used.
    """
    check_device(word)
    if word == "cpu" or (word == "auto" and not has_driver()):
        return None
    index = word.partition(":")[2]
    return _cuda(int(index) if index else local_rank % max(_visible(), 1))


@cache  # its kernels are compiled once a process
def _cuda(index: int) -> CudaDevice:
    return CudaDevice(index)


def _visible() -> int:
    """Return the number of GPUs that this process sees."""
    try:
        import cupy

        return int(cupy.cuda.runtime.getDeviceCount())
    except Exception:
        return 0  # CudaDevice says why


def tell(message: str) -> None:
    """Warn once a process, on the first rank."""
    first = os.environ.get("PMI_RANK", os.environ.get("OMPI_COMM_WORLD_RANK", "0")) == "0"
    if first and message not in _told:
        _told.add(message)
        log.warning("insitu: %s", message)
