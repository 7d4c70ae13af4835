# SPDX-License-Identifier: BSD-3-Clause
"""A device whose kernels a CPU runs thread by thread, with arrays as strict as CuPy's."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_HERE = Path(__file__).parent / "emulation"
_KERNELS = Path(__file__).parent.parent / "kernels"
_one_at_a_time = threading.Lock()


class OnDevice(np.ndarray):
    """An array that, like CuPy's, does not mix with arrays of the host, nor become one unasked."""

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        _refuse_mixture(inputs)
        bare = [i.view(np.ndarray) if isinstance(i, OnDevice) else i for i in inputs]
        out = kwargs.pop("out", None)
        if out:
            kwargs["out"] = tuple(o.view(np.ndarray) for o in out)
        result = getattr(ufunc, method)(*bare, **kwargs)
        return out[0] if out else np.asarray(result).view(OnDevice)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        _refuse_mixture([*_leaves(args), *_leaves(kwargs.values())])
        result = super().__array_function__(func, types, args, kwargs)
        return result.view(OnDevice) if isinstance(result, np.ndarray) else result

    def __getitem__(self, key: Any) -> Any:
        _refuse_mixture(key if isinstance(key, tuple) else (key,))
        result = super().__getitem__(key)
        return result if isinstance(result, OnDevice) else np.asarray(result).view(OnDevice)

    def __setitem__(self, key: Any, value: Any) -> None:
        _refuse_mixture([*(key if isinstance(key, tuple) else (key,)), value])
        super().__setitem__(key, value)

    def __bool__(self) -> bool:
        raise TypeError("a hidden copy from the device: read it with Device.read()")

    __int__ = __float__ = __index__ = __bool__  # type: ignore[assignment]


def _leaves(values: Any) -> list[Any]:
    found = []
    for v in values:
        found += _leaves(v) if isinstance(v, list | tuple) else [v]
    return found


def _refuse_mixture(values: Any) -> None:
    for v in values:
        if isinstance(v, np.ndarray) and not isinstance(v, OnDevice) and v.ndim:
            raise TypeError(
                f"an array of the host, {v.dtype}{v.shape}, in an operation of the device"
            )


class _Module:
    """NumPy as CuPy has it: what it makes lies on the device, whose memory has an end."""

    def __init__(self, largest: int) -> None:
        self._largest = largest

    def __getattr__(self, name: str) -> Any:
        function = getattr(np, name)

        def made(*args: Any, **kwargs: Any) -> Any:
            _refuse_mixture([*_leaves(args), *_leaves(kwargs.values())])
            result = function(*args, **kwargs)
            if isinstance(result, np.ndarray) and result.size > self._largest:
                raise MemoryError("out of memory")  # as CuPy's is one
            return result.view(OnDevice) if isinstance(result, np.ndarray) else result

        return made

    def asarray(self, values: Any, dtype: Any = None) -> Any:
        return np.array(values, dtype=dtype).view(OnDevice)


class EmulatedDevice:
    """See :class:`insitu.gpu.device.Device`.

    Parameters
    ----------
    folder
        Where the compiled kernels are kept.
    reverse
        The threads of a block run from the last to the first between two barriers.
    shared_limit
        Shared memory of a block [bytes].
    largest
        Elements of the largest array that the device has memory for.
    kernels
        Folder of the sources.
    """

    name = "emulation"

    def __init__(
        self, folder: Path, reverse: bool = False, shared_limit: int = 99 * 1024,
        largest: int = 1 << 40, kernels: Path = _KERNELS,
    ) -> None:  # fmt: skip
        self.xp: Any = _Module(largest)
        self.shared_limit = shared_limit
        self.reverse = reverse
        #: Names of the kernels in the order of their launches.
        self.launched: list[str] = []
        #: Bytes of each array that was read.
        self.copied: list[int] = []
        self._library = ctypes.CDLL(str(compiled_emulation(folder, kernels)))

    def array(self, values: Any, dtype: Any) -> Any:
        if isinstance(values, OnDevice) and values.dtype == dtype:
            return values
        return np.array(values, dtype=dtype, order="C").view(OnDevice)

    def here(self) -> contextlib.nullcontext[None]:
        return contextlib.nullcontext()

    def holds(self, values: Any) -> bool:
        return isinstance(values, OnDevice)

    def read(self, array: Any) -> NDArray[Any]:
        assert isinstance(array, OnDevice)
        self.copied.append(array.nbytes)
        return np.array(array.view(np.ndarray))

    def free_memory(self) -> int:
        return 1 << 30

    def launch(
        self, kernel: str, blocks: int, threads: int, args: Sequence[Any], shared: int = 0
    ) -> None:
        assert shared <= self.shared_limit
        assert 0 < threads <= 1024
        assert blocks > 0
        kept: list[Any] = []
        pointers = (ctypes.c_void_p * len(args))()
        for k, a in enumerate(args):
            if a is None or isinstance(a, OnDevice):
                assert a is None or a.flags["C_CONTIGUOUS"]
                kept.append(ctypes.c_void_p(0 if a is None else a.ctypes.data))
                pointers[k] = ctypes.addressof(kept[-1])
            else:
                assert isinstance(a, np.generic), f"argument {k} of {kernel} has no C type: {a!r}"
                kept.append(np.array(a))
                pointers[k] = kept[-1].ctypes.data
        self.launched.append(kernel)
        with _one_at_a_time:
            code = self._library.launch(
                kernel.encode(), blocks, threads, shared, int(self.reverse), pointers
            )
        assert code == 0, f"kernel {kernel} is not known, or its shared memory too large"


def compiled_emulation(folder: Path, kernels: Path = _KERNELS) -> Path:
    """Compile the kernels for the emulation, once for each state of their sources."""
    sources = sorted([*kernels.rglob("*.hpp"), *kernels.rglob("*.cu"), *_HERE.iterdir()])
    state = hashlib.sha256(b"".join(p.read_bytes() for p in sources)).hexdigest()[:16]
    library = folder / f"kernels-{state}.so"
    if not library.is_file():
        made = library.with_suffix(".tmp")
        subprocess.run(
            ["c++", "-std=c++17", "-O1", "-fPIC", "-shared", "-ffp-contract=off", "-U_FORTIFY_SOURCE",
             "-Wno-unused-parameter", "-I", str(kernels), str(_HERE / "kernels.cpp"), "-o", str(made)],
            check=True,
        )  # fmt: skip
        made.rename(library)
    return library
