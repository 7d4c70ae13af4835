# SPDX-License-Identifier: BSD-3-Clause
"""The compiled kernels (kernels/cpu)."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from insitu.errors import InsituError


@functools.cache
def compiled() -> Any:
    """Return the compiled kernels, module ``insitu._kernels``.

    Raises
    ------
    InsituError
        They are not beside this source.
    """
    try:
        from insitu import _kernels
    except ImportError as error:
        raise InsituError(
            f"no compiled kernels beside {Path(__file__).parents[1]} ({error}): this is the source tree, "
            "found first because it lies in the current folder. Work in another folder or use "
            "`python -P`; where insitu is not installed: pip install ."
        ) from None
    return _kernels
