# SPDX-License-Identifier: BSD-3-Clause
"""Configurations in files: whatever ASE reads, classified frame by frame (the one home of ase)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from insitu.errors import SettingError
from insitu.models.card import class_codes


def classify_file(
    file: str,
    *,
    model: str = "metals",
    threshold: float | None = None,
    index: str = ":",
    labels: str | None = None,
    engine: str = "auto",
    device: str = "cpu",
) -> Iterator[str]:
    """Classify the frames of a file; yield one line of phase fractions for each.

    Parameters
    ----------
    file
        Configuration or trajectory in a format of ASE.
    model, threshold
        As in :func:`insitu.classify`.
    index
        Frames, as ASE writes slices.
    labels
        Extended XYZ file to write, with columns ``phase`` (the codes of the history files) and
        ``confidence`` for each atom; OVITO reads it.
    engine, device
        As in :func:`insitu.classify`.

    Raises
    ------
    SettingError
        The file is missing or not readable, or `labels` exists.
    """
    from insitu.analyses.classification import classify_with
    from insitu.analyses.loading import load
    from insitu.frame.threads import thread_count

    frames = read_frames(file, index)
    import ase.io

    if labels and Path(labels).exists():
        raise SettingError(f"--labels {labels} exists; give another name or remove it")
    loaded = load(model, engine=engine, device=device)
    loaded.threads = thread_count(None, len(os.sched_getaffinity(0)))
    for number, atoms in enumerate(frames):
        found = classify_with(
            loaded, atoms.positions, atoms.cell.array, atoms.pbc, atoms.numbers, threshold=threshold
        )
        if labels:
            codes = np.array(class_codes(found.classes))
            atoms.arrays["phase"] = codes[found.labels]  # −1 is the last: unknown, 0
            atoms.arrays["confidence"] = found.confidence.astype(float)
            ase.io.write(labels, atoms, format="extxyz", append=number > 0)
        shares = "  ".join(f"{k} {100 * v:.2f} %" for k, v in found.fractions.items() if v > 0)
        yield f"frame {number}  {len(atoms)} atoms  {shares}"


def read_frames(file: str, index: str, setting: str = "--index") -> Iterator[Any]:
    """Return the frames of a file as ``ase.Atoms``, one after another.

    Parameters
    ----------
    file
        Configuration or trajectory in a format of ASE.
    index
        Frames, as ASE writes slices.
    setting
        What the user calls `index`, for messages.

    Raises
    ------
    SettingError
        ASE is not installed, the file is missing or not readable, `index` is no slice, or there is
        no such frame.
    """
    try:
        from ase.utils import string2index
    except ImportError:
        raise SettingError("reading configurations needs ASE: pip install 'insitu[ase]'") from None
    if not Path(file).is_file():
        raise SettingError(f"'{file}' is not a file; give a configuration file")
    try:
        string2index(index)
    except ValueError:
        raise SettingError(
            f"{setting} {index} is not a slice; write it as ASE does: -1 (the last), : (all), 10:20, ::5"
        ) from None
    return _frames(file, index, setting)


def _frames(file: str, index: str, setting: str) -> Iterator[Any]:
    import ase.io

    number = 0
    try:
        for atoms in ase.io.iread(file, index=index):
            yield atoms
            number += 1
    except Exception as error:  # each of ASE's readers has errors of its own
        raise SettingError(
            f"file '{file}' cannot be read by ASE after {number} frames ({type(error).__name__}: "
            f"{error}); it is damaged, or in a format that ASE does not know"
        ) from None
    if not number:
        raise SettingError(f"file '{file}' has no frames at {setting} {index} that ASE can read")
