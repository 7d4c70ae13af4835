# SPDX-License-Identifier: BSD-3-Clause
"""The last step of the fit: systems and groups from the residual network and the evidence of indexing."""

from pathlib import Path

import numpy as np
import torch

from insitu.diffraction.patterns.grid import network_input
from insitu.diffraction.symmetry.groups import EXTINCTION_GROUPS, SYSTEMS
from insitu.models.networks.powder_symmetry import PowderSymmetry

from .sites import Array

NAMES = ("observed", "missing", "summary", "classes", "ideal")


def read(paths: list[Path], network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Evidence files joined, with what the residual network says of their patterns ("image")."""
    parts: dict[str, list[Array]] = {name: [] for name in (*NAMES, "image")}
    for path in paths:
        with np.load(path) as file:
            for name in NAMES:
                parts[name].append(file[name])
            inputs = torch.from_numpy(network_input(file["patterns"].astype(np.float32)))
        with torch.no_grad():
            parts["image"].append(torch.log_softmax(network(inputs), 1).numpy())
    joined = {name: np.concatenate(values) for name, values in parts.items()}
    return {
        name: torch.from_numpy(v if name in ("classes", "ideal") else v.astype(np.float32))
        for name, v in joined.items()
    }


def fit(
    data: dict[str, torch.Tensor], resnet: dict[str, torch.Tensor], seed: int = 0
) -> PowderSymmetry:
    """Fit what is behind the residual network, whose weights stay.

    Parameters
    ----------
    data : dict
        From `read`, of crystals that the residual network was not fitted to.
    resnet : dict
        Weights of the residual network.
    seed : int

    Returns
    -------
    PowderSymmetry
    """
    torch.manual_seed(seed)
    order = list(SYSTEMS)
    model = PowderSymmetry(
        [order.index(g.system) for g in EXTINCTION_GROUPS], data["summary"].shape[1]
    )
    model.resnet.load_state_dict(resnet)
    model.mean.copy_(data["summary"].mean(0))
    model.scale.copy_(data["summary"].std(0) + 1e-3)
    free = [p for name, p in model.named_parameters() if not name.startswith("resnet")]
    optimizer = torch.optim.AdamW(free, 3e-3, weight_decay=0.1)
    n, steps = len(data["classes"]), 1200
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    model.train()
    for _ in range(steps):
        pick = torch.randint(0, n, (128,))
        x = [data[name][pick] for name in ("image", "observed", "missing", "summary")]
        loss = torch.nn.functional.nll_loss(model.combine(*x), data["classes"][pick])
        # What theory says of the evidence holds where the data do not say otherwise.
        away = ((model.absence - 1) ** 2).sum() + ((model.steep - 1.5) ** 2).sum()
        loss = loss + 2e-4 * (model.often**2).sum() + 0.05 * away
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    return model.eval()


def accuracy(log_probabilities: Array, classes: Array) -> dict[str, float]:
    """Top-1, 3 and 5 of groups, top-1 of systems, and the calibration error of the best group (10 bins)."""
    order = list(SYSTEMS)
    p = np.exp(log_probabilities[:, : len(EXTINCTION_GROUPS)])
    p /= p.sum(1, keepdims=True)
    rank = (p > p[np.arange(len(p)), classes][:, None]).sum(1)
    systems = np.array([order.index(g.system) for g in EXTINCTION_GROUPS])
    by_system = np.stack([p[:, systems == s].sum(1) for s in range(7)], 1)
    confidence, right = p.max(1), p.argmax(1) == classes
    bins = np.minimum((confidence * 10).astype(int), 9)
    error = sum(
        abs(confidence[bins == b].mean() - right[bins == b].mean()) * (bins == b).mean()
        for b in range(10) if (bins == b).any()
    )  # fmt: skip
    return {
        **{f"top-{k}": float((rank < k).mean()) for k in (1, 3, 5)},
        "system": float((by_system.argmax(1) == systems[classes]).mean()),
        "calibration error": float(error), "patterns": len(classes),
    }  # fmt: skip
