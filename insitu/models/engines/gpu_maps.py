# SPDX-License-Identifier: BSD-3-Clause
"""A classifier of single images on a device: maps by the kernels, the network by torch, no copy between."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from insitu.descriptors.neighbors_map_gpu import DeviceDescriber
from insitu.errors import ModelError
from insitu.gpu.device import Device, memory_error
from insitu.gpu.search import DeviceSearch

if TYPE_CHECKING:
    from insitu.models.card import Card

log = logging.getLogger(__name__)

#: Device memory that the paper's network needs for an image, all layers [bytes].
_OF_AN_IMAGE = 400_000
_MOST_IMAGES = 32_768


class DeviceMaps:
    """A network of single images in torch, on the device.

    Parameters
    ----------
    card
        Metadata of the model.
    path
        Artefact.
    device
        Where.

    Raises
    ------
    ModelError
        There is no torch, or it does not see the GPU.
    """

    def __init__(self, card: Card, path: Path, device: Device) -> None:
        try:
            import torch
        except ImportError:
            raise ModelError(
                f"model '{card.name}' runs on a GPU with torch, which is not installed; install it for "
                "your CUDA (pytorch.org), or give device=cpu"
            ) from None
        self.card, self.device = card, device
        index = getattr(device, "index", None)
        where = "cpu" if index is None else f"cuda:{index}"
        if index is not None and not torch.cuda.is_available():
            raise ModelError(
                f"model '{card.name}' runs on a GPU with torch, and torch {torch.__version__} sees none "
                "(a CPU build?); install torch for your CUDA (pytorch.org), or give device=cpu"
            )
        module = torch.jit.load(str(path), map_location=where).eval()  # type: ignore[no-untyped-call]
        self._module = torch.jit.freeze(module)
        self._describer = DeviceDescriber(card.descriptor, device)
        self._batch = max(1, min(_MOST_IMAGES, device.free_memory() // 2 // _OF_AN_IMAGE))
        #: ``(channels - 1, highest type + 1)`` weights of the species channels.
        self.colors: NDArray[np.float32] | None = None
        self.timing: dict[str, float] = {}
        self.waited = 0.0

    def classify(
        self, search: DeviceSearch, spacing: float = 0.0, halo: Any = None
    ) -> tuple[Any, Any]:
        """Return class probabilities ``(n, C)`` and ball sizes ``(n,)`` of the rows, on the device.

        In batches that fit the device's free memory; when they do not, half as large ones.

        Raises
        ------
        DeviceMemoryError
            Not even one image fits.
        """
        started = time.perf_counter()
        xp, n = self.device.xp, search.frame.n_local
        result = xp.empty((n, len(self.card.classes)), dtype=np.float32)
        found = xp.empty(n, dtype=np.int32)
        for begin, end, p, f in self._batches(search, n):
            result[begin:end] = p
            found[begin:end] = f
        self.timing = {"descriptor": 0.0, "model": time.perf_counter() - started}
        return result, found

    def _batches(self, search: DeviceSearch, n: int) -> Iterator[tuple[int, int, Any, Any]]:
        colors = None
        if self.colors is not None:
            colors = self._describer.colors(search, self.colors[:, search.frame.types])
        begin = 0
        while begin < n:
            end = min(n, begin + self._batch)
            short = False
            try:
                images, found = self._describer.images(search, search.places[begin:end], colors)
                p = self.probabilities(images)
            except Exception as error:
                if not _out_of_memory(error):
                    raise
                short = True
            if not short:
                yield begin, end, p, found
                begin = end
                continue
            if self._batch == 1:
                raise memory_error(self.device, f"one image of model '{self.card.name}'")
            self._batch = max((end - begin) // 2, 1)
            log.warning(
                "insitu: %s is out of memory: batches of %d images from now on", self.device.name,
                self._batch,
            )  # fmt: skip
            images = found = p = None  # what they hold could not be given back
            self._release()

    def probabilities(self, images: Any) -> Any:
        """Return the class probabilities ``(b, C)`` of images ``(b, channels, size, size)``.

        Without a copy, and in fp32: torch's default for convolutions, TF32, would change labels.
        """
        import torch

        # CuPy and torch both work on the default stream: nothing to wait for between them.
        exact = torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
        before, torch.backends.cuda.matmul.allow_tf32 = torch.backends.cuda.matmul.allow_tf32, False
        try:
            with torch.inference_mode(), exact:
                result = self._module(torch.utils.dlpack.from_dlpack(images))
        finally:
            torch.backends.cuda.matmul.allow_tf32 = before
        return self.device.xp.from_dlpack(result)

    def _release(self) -> None:
        import torch

        if torch.cuda.is_available():
            torch.cuda.empty_cache()
            self.device.xp.get_default_memory_pool().free_all_blocks()


def _out_of_memory(error: Exception) -> bool:
    """Return whether torch or CuPy ran out of device memory."""
    # Out of a TorchScript module errors come as RuntimeError, whatever they were.
    return isinstance(error, MemoryError) or "out of memory" in str(error).lower()
