# SPDX-License-Identifier: BSD-3-Clause
"""The arrays inside an artefact that the native kernels take."""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from insitu.errors import ModelError


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
