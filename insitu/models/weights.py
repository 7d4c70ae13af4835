# SPDX-License-Identifier: BSD-3-Clause
"""What is inside an artefact: the arrays that the native kernels take, and the TorchScript."""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.errors import ModelError

#: Outputs of layers are padded to a multiple of this for the kernels.
LANES = 16


def wide(n: int) -> int:
    """Return a width as it is padded for the kernels."""
    return -(-n // LANES) * LANES


def padded(a: NDArray[Any], rows: int | None, columns: int) -> NDArray[np.float64]:
    """Return a matrix with zeros after it, of `rows` (None: as many as it has) and `columns`."""
    out = np.zeros((rows or a.shape[0], columns))
    out[: a.shape[0], : a.shape[1]] = a
    return out


def torch_for(model: str) -> Any:
    """Return torch, for the engine that needs it.

    Raises
    ------
    ModelError
        There is none.
    """
    try:
        import torch
    except ImportError:
        raise ModelError(
            f"engine='torchscript' of model {model} needs torch, which is not installed; leave "
            "`engine` out, or install it (docs/installation.md)"
        ) from None
    return torch


def torch_module(path: Path) -> Any:
    """Return the TorchScript of an artefact, for the engine of that name.

    Raises
    ------
    ModelError
        There is no torch.
    """
    torch = torch_for(str(path))
    # A large network may be stored with 16 bits.
    return torch.jit.load(str(path), map_location="cpu").float().eval()


def read_weights(content: bytes, path: Path) -> dict[str, NDArray[np.float64]]:
    """Return the named arrays of an npz, as float64.

    Parameters
    ----------
    content
        The npz.
    path
        Of the artefact that it comes from, for the message.

    Raises
    ------
    ModelError
        It is damaged, or holds a number that is not finite.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            arrays = {name: archive[name].astype(np.float64) for name in archive.files}
    except (
        OSError, EOFError, KeyError, ValueError, TypeError, AttributeError, zipfile.BadZipFile,
        zlib.error,
    ) as error:  # fmt: skip
        kind = type(error).__name__
        raise ModelError(
            f"the weights inside model {path} are damaged ({kind}); train or copy the model again"
        ) from None
    for name, values in arrays.items():
        if not np.isfinite(values).all():
            raise ModelError(
                f"the weights inside model {path} hold numbers that are not finite ({name}); its "
                "training has failed: train the model again, with a lower learning rate"
            )
    return arrays
