# SPDX-License-Identifier: BSD-3-Clause
"""What the kernels make of some samples; a Python on another machine runs this file as well.

python arm_samples.py SAMPLES.npz RESULTS.npz
"""

import sys
from pathlib import Path

import numpy as np

import insitu
from insitu.models import store
from insitu.models.embedding import describe


def results(samples: Path, out: Path) -> None:
    """Write maps, neighbours, labels and probabilities of each sample."""
    found: dict[str, np.ndarray] = {}
    card = store.load("metals", "native").card
    assert card.graph is not None
    with np.load(samples) as arrays:
        for name in [n.removesuffix(":r") for n in arrays if n.endswith(":r")]:
            r, cell = arrays[f"{name}:r"], arrays[f"{name}:cell"]
            images, rows = describe(r, cell, card.descriptor, card.graph)
            c = insitu.classify(r, cell, True, model="metals", engine="native")
            found |= {
                f"{name}:images": images, f"{name}:rows": rows, f"{name}:labels": c.labels,
                f"{name}:probabilities": c.probabilities,
            }  # fmt: skip
    np.savez(out, **found)  # type: ignore[arg-type]


if __name__ == "__main__":
    results(Path(sys.argv[1]), Path(sys.argv[2]))
