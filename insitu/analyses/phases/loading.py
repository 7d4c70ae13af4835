# SPDX-License-Identifier: BSD-3-Clause
"""A model for an analysis, on the device that the settings name; compared there with the CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from insitu.analyses.phases.classification import classify_with
from insitu.errors import InsituError, SettingError
from insitu.frame.lattices.perfect import lattice
from insitu.frame.species import SYMBOLS
from insitu.gpu.device import check_device, choose, tell
from insitu.models import store
from insitu.models.engines.images import Model
from insitu.models.store import AnyModel

if TYPE_CHECKING:
    from insitu.models.added import Extended

#: Largest difference of a probability (design: between engines 1e-3 may change a label).
_ALLOWED = 1e-3


def load(
    name: str, *, engine: str = "auto", device: str = "cpu", local_rank: int = 0,
    more: Extended | None = None,
) -> AnyModel:  # fmt: skip
    """Load a model, check its metadata, and move it to where it runs.

    Parameters
    ----------
    name
        Shipped name, alias, or path.
    engine
        What runs the network: ``native`` (the kernels), ``torchscript`` (the reference), or
        ``auto``: the kernels if the artefact has weights for them, which is faster and needs no
        torch.
    device, local_rank
        Where it runs, see :func:`insitu.gpu.device.choose`.
    more
        The model with added classes (:func:`insitu.models.store.extended`).

    Raises
    ------
    ModelError
        Missing, damaged, no TorchScript, no metadata, newer format, network and metadata do
        not fit each other, or the engine cannot run it.
    SettingError
        No such engine or device, or a GPU was asked for and cannot be used.
    """
    check_device(device)
    model = store.load(name, engine, more)
    if device == "cpu":
        return model
    try:
        there = choose(device, local_rank)
        if there is not None:
            if engine == "native" and isinstance(model, Model):
                raise SettingError(
                    f"engine='native' has no CUDA kernels for the network of model '{name}', which torch "
                    "runs on a GPU; leave `engine` out, or give device=cpu"
                )
            with there.here():
                model.move(there)
                compare_with_cpu(model)
    except Exception as error:  # of the driver, the compiler, torch, or for want of memory
        model.on_device = None
        if device == "auto":
            tell(f"the analysis runs on the CPU: {error}")
        elif isinstance(error, InsituError):
            raise
        else:
            what = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
            raise SettingError(
                f"device='{device}' cannot run model '{name}' ({what}); give device=cpu"
            ) from error
    return model


def compare_with_cpu(model: AnyModel) -> None:
    """Classify a small sample on both: a hot crystal with vacancies and a free surface.

    Raises
    ------
    SettingError
        Probabilities differ by more than 1e-3: driver, compiler or GPU are not to be trusted.
    """
    there = model.on_device
    if there is None:
        return
    r, cell = lattice("fcc", 4.05, (3, 3, 3))
    noise = np.random.default_rng(0)
    r = (r + noise.normal(scale=0.1, size=r.shape))[noise.random(len(r)) > 0.05]
    known = [SYMBOLS.index(e) for e in model.card.elements] or [1]
    sample = (r, cell, (True, True, False), np.resize(known, len(r)))
    here = model.on_device = None
    try:
        here = classify_with(model, *sample)
    finally:
        model.on_device = there
    difference = float(
        np.abs(classify_with(model, *sample).probabilities - here.probabilities).max()
    )
    if not difference <= _ALLOWED:
        raise SettingError(
            f"{there.device.name} gives other probabilities than the CPU (by {difference:.2g}, allowed "
            f"{_ALLOWED:g}): update driver and CuPy, report it, or give device=cpu"
        )
