# SPDX-License-Identifier: BSD-3-Clause
"""The fit of the symmetry network, against the clock: the learning rate falls to zero at the end time."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from insitu.diffraction.patterns.grid import ANGLES, network_input
from insitu.diffraction.symmetry.groups import EXTINCTION_GROUPS, SYSTEMS
from insitu.models.networks.pattern_resnet import PatternResNet

from .library import Library, load
from .render import Instrument, render
from .sites import Array

#: Share of each crystal system in the part of the training set that is not balanced over the classes.
SYSTEM_SHARES = {
    "triclinic": 0.10, "monoclinic": 0.30, "orthorhombic": 0.25, "tetragonal": 0.10, "trigonal": 0.08,
    "hexagonal": 0.07, "cubic": 0.10,
}  # fmt: skip
BALANCED = 0.6
UNKNOWN = 0.03  # share of patterns of no crystal: melts, noise, mixtures
BATCH = 96
RATE = 1.6e-3


def class_shares() -> Array:
    """How often each extinction group is drawn in training, shape (101,), sum 1."""
    count = {s: sum(g.system == s for g in EXTINCTION_GROUPS) for s in SYSTEMS}
    rest = np.array([SYSTEM_SHARES[g.system] / count[g.system] for g in EXTINCTION_GROUPS])
    shares: Array = BALANCED / len(EXTINCTION_GROUPS) + (1 - BALANCED) * rest / rest.sum()
    return shares


def no_crystal(patterns: Array, rng: np.random.Generator) -> Array:
    """Patterns that have no answer: broad halos, noise, two crystals as strong as each other.

    Parameters
    ----------
    patterns : array, shape (k, 4250)
        Patterns of crystals, for the mixtures.
    rng : numpy.random.Generator

    Returns
    -------
    array, shape (k, 4250)
    """
    out = np.empty_like(patterns)
    for i in range(len(patterns)):
        kind = rng.random()
        if kind < 0.35:
            share = rng.uniform(0.35, 0.65)
            out[i] = share * patterns[i] + (1 - share) * patterns[i - 1]
            continue
        halo = np.full(len(ANGLES), rng.uniform(0.02, 0.3))
        if kind < 0.9:
            centre = rng.uniform(15, 50)
            for order in range(rng.integers(1, 4)):
                halo += rng.uniform(0.2, 1) ** order * np.exp(
                    -(((ANGLES - centre * 1.75**order) / rng.uniform(1.5, 8)) ** 2)
                )
        counts = np.exp(rng.uniform(np.log(100), np.log(100000)))
        out[i] = halo + rng.standard_normal(len(halo)) * np.sqrt(halo / counts)
    return np.asarray(np.maximum(out, 0))


def batch(
    library: Library,
    members: list[Array],
    rng: np.random.Generator,
    size: int,
    instrument: Instrument,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return inputs, shape (size, 2, bins), and classes of a training batch; class 101 is no crystal."""
    classes = rng.choice(len(members), size, p=class_shares())
    which = np.array([rng.choice(members[k]) for k in classes])
    patterns = render(library, which, rng, instrument)
    none = np.flatnonzero(rng.random(size) < UNKNOWN)
    if len(none):
        patterns[none] = no_crystal(patterns[none], rng)
        classes[none] = len(members)
    return torch.from_numpy(network_input(patterns)), torch.from_numpy(classes)


def train(
    folder: Path,
    held_out: Path,
    out: Path,
    until: float,
    tell: Callable[[str], None],
    seed: int = 0,
) -> None:
    """Fit until a time; the folder of libraries may still grow.

    Parameters
    ----------
    folder : Path
        Libraries (npz).
    held_out : Path
        Library for the log only.
    out : Path
        Checkpoint with the averaged weights, written again and again.
    until : float
        End [seconds since the epoch].
    tell : callable
        Takes a line of the log every few minutes.
    seed : int
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed + 1000)
    model = PatternResNet(len(EXTINCTION_GROUPS) + 1)
    mean = PatternResNet(len(EXTINCTION_GROUPS) + 1)
    mean.load_state_dict(model.state_dict())
    mean.eval()
    optimizer = torch.optim.AdamW(model.parameters(), RATE, weight_decay=0.02, betas=(0.9, 0.98))
    test = load([held_out])
    quiet = np.random.default_rng(7)
    test_patterns = render(test, np.arange(len(test)), quiet, Instrument())
    test_x = torch.from_numpy(network_input(test_patterns))
    begin = looked = time.time()
    step, used, losses = 0, 0, []
    library, members = load([held_out]), []
    while (now := time.time()) < until:
        if step % 400 == 0:
            paths = sorted(folder.glob("????.npz"))
            if len(paths) != used:
                used, library = len(paths), load(paths)
                members = [
                    np.flatnonzero(library.classes == k) for k in range(len(EXTINCTION_GROUPS))
                ]
        progress = (now - begin) / (until - begin)
        rate = RATE * min(1.0, (step + 1) / 300) * (0.5 * (1 + np.cos(np.pi * progress)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        x, y = batch(library, members, rng, BATCH, Instrument())
        loss = torch.nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 2.0)
        optimizer.step()
        step += 1
        losses.append(float(loss))
        keep = min(0.998, step / (step + 20))
        with torch.no_grad():
            for a, b in zip(mean.parameters(), model.parameters(), strict=True):
                a.lerp_(b, 1 - keep)
        if now - looked > 150:
            looked = now
            torch.save({"mean": mean.state_dict(), "step": step}, out.with_suffix(".partial"))
            out.with_suffix(".partial").rename(out)
            with torch.no_grad():
                scores = torch.cat([mean(part) for part in torch.split(test_x, 128)])[
                    :, :-1
                ].numpy()
            scores = scores - np.log(class_shares())
            rank = (scores > scores[np.arange(len(test)), test.classes][:, None]).sum(1)
            tell(
                f"{time.strftime('%H:%M')} step {step} patterns {step * BATCH} crystals {len(library)} "
                f"loss {np.mean(losses[-300:]):.3f} top-1 {np.mean(rank < 1):.3f} "
                f"top-5 {np.mean(rank < 5):.3f}"
            )
    torch.save({"mean": mean.state_dict(), "step": step}, out)
