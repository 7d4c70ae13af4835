# SPDX-License-Identifier: BSD-3-Clause
"""The Neighbors Map paper's network in the native kernels (kernels/cpu/cnn.hpp), without torch."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.frame.compiled import compiled

#: Classes, and features of the dense layer, are padded to these.
_CLASSES, _HIDDEN = 16, 32
_BATCH_NORM_EPSILON = 1e-5
#: Transform of a kernel of three for Winograd's F(4, 3): points 0, ±1, ±2, ∞.
_WINOGRAD = np.array(
    [[1 / 4, 0, 0], [-1 / 6, -1 / 6, -1 / 6], [-1 / 6, 1 / 6, -1 / 6],
     [1 / 24, 1 / 12, 1 / 6], [1 / 24, -1 / 12, 1 / 6], [0, 0, 1]]
)  # fmt: skip


def pack(state: Mapping[str, NDArray[Any]], scale: float, path: io.BytesIO) -> None:
    """Write the weights of a NeighborsMapCNN, as they are, for the native kernels.

    Parameters
    ----------
    state
        Arrays of its ``state_dict()``.
    scale
        Its factor on the pixels.
    path
        File object that receives them (npz).
    """
    arrays: dict[str, Any] = {**state, "scale": np.float32(scale)}
    np.savez(path, **arrays)


class NativeCNN:
    """A NeighborsMapCNN in the native kernels: fp32, two layers by Winograd's F(4×4, 3×3).

    Parameters
    ----------
    state
        Arrays of :func:`pack`.
    isa
        Instruction set of the kernels, "" is the best one.

    Raises
    ------
    ValueError
        The weights are not those of such a network, or the instruction set is not there.

    References
    ----------
    Lavin and Gray, arXiv:1509.09308.
    """

    name = "native"

    def __init__(self, state: Mapping[str, NDArray[np.float64]], isa: str = "") -> None:
        try:
            arrays, self.classes = _arranged(state), len(state["head.5.bias"])
            channels = state["features.0.weight"].shape[1]
        except (KeyError, IndexError) as error:
            raise ValueError(f"weights of the network are missing ({error})") from None
        flat = np.concatenate([a.ravel() for a in arrays]).astype(np.float32)
        self._engine = compiled().CnnEngine(flat, channels, _padded(self.classes), isa)

    @property
    def isa(self) -> str:
        """Instruction set in use."""
        return str(self._engine.isa)

    def probabilities(self, images: NDArray[np.float32], threads: int = 1) -> NDArray[np.float32]:
        """Return the class probabilities ``(b, C)`` of images ``(b, channels, 32, 32)``.

        Neither the batch nor the number of threads changes a bit of an image's result.
        """
        out = np.empty((len(images), self.classes), dtype=np.float32)
        self._engine.probabilities(np.ascontiguousarray(images), out, threads)
        return out


def _padded(classes: int) -> int:
    return -(-classes // _CLASSES) * _CLASSES


def _direct(kernel: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``(outputs, channels, rows, columns)`` as (row, column, channel) × outputs."""
    return kernel.transpose(2, 3, 1, 0)


def _transformed(kernel: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a 3 × 3 kernel for Winograd's algorithm: (block of 16 outputs, 36, channel, 16)."""
    u = np.einsum("ai,bj,ocij->abco", _WINOGRAD, _WINOGRAD, kernel)
    blocks: NDArray[np.float64] = u.reshape(36, kernel.shape[1], -1, 16).transpose(2, 0, 1, 3)
    return blocks


def _arranged(s: Mapping[str, NDArray[np.float64]]) -> list[NDArray[np.float64]]:
    """Return the arrays of kernels/cpu/cnn.hpp's CnnWeights, one layer after the other."""
    first = _direct(s["features.0.weight"]) * s["scale"]
    arrays = [first, s["features.0.bias"]]
    for layer, arrange in ((2, _transformed), (5, _transformed), (7, _direct), (9, _direct)):
        arrays += [arrange(s[f"features.{layer}.weight"]), s[f"features.{layer}.bias"]]
    hidden, classes = s["head.5.weight"].shape[1], s["head.5.weight"].shape[0]
    dense = np.zeros((512, _HIDDEN))
    # torch flattens (channel, row, column); the kernels have the channels last.
    kernel = s["head.2.weight"].reshape(hidden, 32, 4, 4).transpose(2, 3, 1, 0)
    dense[:, :hidden] = kernel.reshape(512, hidden)
    dense_bias = np.zeros(_HIDDEN)
    dense_bias[:hidden] = s["head.2.bias"]
    # The batch norm is between two layers without a nonlinearity: it goes into the last one.
    factor = s["head.4.weight"] / np.sqrt(s["head.4.running_var"] + _BATCH_NORM_EPSILON)
    shift = s["head.4.bias"] - factor * s["head.4.running_mean"]
    last = np.zeros((_HIDDEN, _padded(classes)))
    last[:hidden, :classes] = (s["head.5.weight"] * factor).T
    last_bias = np.zeros(_padded(classes))
    last_bias[:classes] = s["head.5.bias"] + s["head.5.weight"] @ shift
    return [*arrays, dense, dense_bias, last, last_bias]
