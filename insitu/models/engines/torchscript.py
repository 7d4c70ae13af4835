# SPDX-License-Identifier: BSD-3-Clause
"""The reference engine: an artefact's TorchScript, as torch runs it fastest on a CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


class TorchScript:
    """A network as TorchScript; torch is imported here.

    Frozen, optimised for inference (oneDNN takes the weights in its own layout) and with channels
    last: of torch's settings the fastest that keeps fp32 (``benchmarks/cnn.py``).

    Parameters
    ----------
    path
        Artefact.

    Raises
    ------
    ImportError
        There is no torch.
    RuntimeError, ValueError
        The file is no TorchScript.
    """

    name = "torchscript"

    def __init__(self, path: Path) -> None:
        import torch

        extra: dict[str, Any] = {"insitu.json": ""}
        module = torch.jit.load(  # type: ignore[no-untyped-call]
            str(path), map_location="cpu", _extra_files=extra
        )
        text = extra["insitu.json"]
        #: Text of the card inside, "" if there is none.
        self.metadata: str = text if isinstance(text, str) else text.decode()
        if self.metadata:
            module = module.eval().to(memory_format=torch.channels_last)
            self._module = torch.jit.optimize_for_inference(torch.jit.freeze(module))

    def probabilities(self, images: NDArray[np.float32], batch: int) -> NDArray[np.float32]:
        """Return the class probabilities ``(b, C)`` of images ``(b, channels, size, size)``.

        The network always sees `batch` images: another number may take another algorithm. What is
        left of the atoms beside it in the batch is rounding, about 1e-7.
        """
        import torch

        b = len(images)
        if b < batch:
            full = np.zeros((batch, *images.shape[1:]), dtype=np.float32)
            full[:b] = images
            images = full
        with torch.inference_mode():
            x = torch.from_numpy(images).to(memory_format=torch.channels_last)
            result: NDArray[np.float32] = self._module(x)[:b].numpy()
        return result
