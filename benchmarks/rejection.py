# SPDX-License-Identifier: BSD-3-Clause
"""Scores that tell atoms of foreign crystals from those of a model's classes, beside each other.

A score that needs a fit is fitted on the recipe's training trajectories in --data. AUROC and the share of
foreign atoms found at 1 % of known atoms rejected: foreign are a part's prototypes with displacements of
0 … 8 %, known the atoms of the headline (or other) trajectories, nothing removed, up to T_m, and liquids.
--closed is a network without outlier exposure (the release before), --model the one with it.

example:
  python benchmarks/rejection.py --data data --closed old/model.pt
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from open_world import DISPLACEMENTS, auroc
from ovito.data import DataCollection, Particles, SimulationCell
from ovito.modifiers import PolyhedralTemplateMatchingModifier
from scipy.spatial import cKDTree
from scipy.special import sph_harm_y

from insitu.descriptors.neighbors_map import NeighborsMap
from insitu.frame.lattices.copies import displaced
from insitu.models.engines.graph import GraphSettings
from insitu.models.store import locate
from insitu.training.data.graphs import describe
from insitu.training.dynamics.simulate import load as load_job
from insitu.training.dynamics.trajectories import MOLTEN, jobs
from insitu.training.recipes import load_recipe
from insitu.training.structures.foreign import prototypes
from insitu.training.tables.general import markdown

Array = NDArray[np.float64]
#: Of a configuration: positions, cell, class indices (−1: left out).
Labelled = tuple[Array, Array, NDArray[np.int64]]


class Network:
    """A TorchScript network's features behind the last layer, and its scores."""

    def __init__(self, path: Path, recipe: dict) -> None:
        self.module = torch.jit.load(str(path), map_location="cpu").float().eval()
        self.recipe = recipe
        self.last = {k: v.double().numpy() for k, v in self.module.last.state_dict().items()}

    def __call__(self, r: Array, cell: Array) -> tuple[Array, Array]:
        """Return features ``(n, f)`` and logits ``(n, outputs)``."""
        images, rows = describe(
            r,
            cell,
            NeighborsMap(**self.recipe["descriptor"]),
            GraphSettings(**self.recipe["graph"]),
        )
        with torch.inference_mode():
            h, index = self.module.embed(torch.from_numpy(images)), torch.from_numpy(rows).long()
            for layer in range(self.recipe["graph"]["layers"]):
                h = self.module.convolve(layer, h, index)
        features = h.double().numpy()
        return features, features @ self.last["weight"].T + self.last["bias"]


class Distances:
    """Mahalanobis distances, tied and by class, and to the k nearest, in a space of features."""

    def __init__(self, x: Array, y: NDArray[np.int64], k: int = 10) -> None:
        self.k, self.scale = k, 1.0 / np.maximum(x.std(axis=0), 1e-6)
        numbers = np.unique(y)
        self.means = np.array([x[y == c].mean(axis=0) for c in numbers])
        parts = [np.cov(x[y == c].T) + 1e-4 * np.eye(x.shape[1]) for c in numbers]
        self.inverses = [np.linalg.inv(p) for p in parts]
        self.tied = np.linalg.inv(np.mean(parts, axis=0))
        self.tree = cKDTree(x * self.scale)

    def mahalanobis(self, x: Array, *, tied: bool) -> Array:
        inverses = [self.tied] * len(self.means) if tied else self.inverses
        each = [
            np.einsum("ni,ij,nj->n", x - m, p, x - m)
            for m, p in zip(self.means, inverses, strict=True)
        ]
        nearest: Array = np.min(each, axis=0)
        return nearest

    def nearest(self, x: Array) -> Array:
        distance: Array = self.tree.query(x * self.scale, k=self.k)[0][:, -1]
        return distance


def rmsd(r: Array, cell: Array) -> Array:
    """Return PTM's residual of the best template, 1 where none matches."""
    data, box = DataCollection(), SimulationCell(pbc=(True, True, True))
    box[:, :3] = cell.T
    data.objects.append(box)
    particles = Particles(count=len(r))
    particles.create_property("Position", data=r)
    data.objects.append(particles)
    modifier = PolyhedralTemplateMatchingModifier(rmsd_cutoff=0.0, output_rmsd=True)
    for structure in modifier.structures:
        structure.enabled = structure.id not in (4, 8)  # icosahedral, graphene
    data.apply(modifier)
    found = np.asarray(data.particles["RMSD"])
    return np.where(np.asarray(data.particles["Structure Type"]) > 0, found, 1.0)


def steinhardt(r: Array, cell: Array, neighbors: int = 16) -> tuple[Array, Array]:
    """Return q_l ``(n, 4)`` of l = 4, 6, 8, 12 over the nearest, and the coherence of their q_lm ``(n,)``.

    Chung, Freitas, Cheon & Reed, Phys. Rev. Materials 6, 043801 (2022), as far as it is told there.
    """
    back = np.linalg.inv(cell)
    d = r[None] - r[:, None]
    d -= np.rint(d @ back) @ cell
    length = np.linalg.norm(d, axis=-1)
    np.fill_diagonal(length, np.inf)
    near = np.argsort(length, axis=1)[:, :neighbors]
    v = np.take_along_axis(d, near[..., None], axis=1)
    theta = np.arccos(np.clip(v[..., 2] / np.linalg.norm(v, axis=-1), -1, 1))
    phi = np.arctan2(v[..., 1], v[..., 0])
    q, vectors = [], []
    for order in (4, 6, 8, 12):
        m = np.arange(-order, order + 1)
        y = sph_harm_y(order, m, theta[..., None], phi[..., None]).mean(axis=1)
        q.append(np.sqrt(4 * np.pi / (2 * order + 1) * (abs(y) ** 2).sum(axis=1)))
        vectors.append(y)
    whole = np.concatenate(vectors, axis=1)
    whole /= np.linalg.norm(whole, axis=1, keepdims=True)
    coherence = np.einsum("nkm,nm->nk", whole[near], whole.conj()).real.mean(axis=1)
    return np.stack(q, axis=1), coherence


def trajectories(recipe: dict, role: str, data: Path) -> Iterator[Labelled]:
    """Yield the labelled configurations of a role: crystals up to melting and what is molten."""
    numbers = {c: k for k, c in enumerate(recipe["classes"])}
    for job in jobs(recipe, role):
        if not (data / f"{job.name}.npz").exists():
            continue
        for s in load_job(job, data):
            labels = np.array([numbers.get(c, -1) for c in s.labels.tolist()])
            if (labels >= 0).any() and (s.temperature <= 1.0 or job.kind in MOLTEN):
                yield s.positions, s.cell, labels


def foreign(recipe: dict, part: str, seed: int = 11) -> Iterator[Labelled]:
    """Yield a part's prototypes with each displacement."""
    known, rng = prototypes(), np.random.default_rng(seed)
    for sigma in DISPLACEMENTS:
        for name in recipe["foreign"][part]:
            r, cell, _ = displaced(known[name], sigma, 0.03, rng)
            yield r, cell, np.full(len(r), len(recipe["classes"]))


def some(
    found: Iterator[Labelled], each: int, seed: int
) -> list[tuple[Labelled, NDArray[np.int64]]]:
    """Return configurations with up to `each` of their labelled atoms."""
    rng = np.random.default_rng(seed)
    return [
        (f, rng.permutation(np.flatnonzero(f[2] >= 0))[:each]) for f in found
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="metals")
    parser.add_argument("--closed", type=Path, help="artefact without outlier exposure")
    parser.add_argument("--recipe", default="metals")
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--part", default="test", choices=["test", "calibration"])
    parser.add_argument("--role", default="headline")
    parser.add_argument("--each", type=int, default=100, help="atoms of a configuration (100)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    recipe, _ = load_recipe(options.recipe)
    sets = {
        "fit": some(trajectories(recipe, "training", options.data), options.each, 1),
        "known": some(trajectories(recipe, options.role, options.data), options.each, 2),
        "foreign": some(foreign(recipe, options.part), options.each, 3),
    }
    y = np.concatenate([f[2][at] for f, at in sets["fit"]])
    rows = []

    def over(function: Callable[[Array, Array], Array], which: str) -> Array:
        return np.concatenate([function(f[0], f[1])[at] for f, at in sets[which]])

    def add(name: str, known: Array, other: Array) -> None:
        limit = np.quantile(known, 0.99)
        rows.append([name, f"{auroc(known, other):.4f}", f"{100 * (other > limit).mean():.1f}"])

    networks = {"with outlier exposure": locate(options.model)}
    if options.closed:
        networks = {"closed": options.closed} | networks
    n = len(recipe["classes"])
    for title, path in networks.items():
        network = Network(path, recipe)
        h, z = (
            {w: over(lambda r, c, k=k, net=network: net(r, c)[k], w) for w in sets} for k in (0, 1)
        )

        def each(name: str, score: Callable[[Array, Array], Array], h: dict = h, z: dict = z,
                 title: str = title) -> None:  # fmt: skip
            add(f"{name}, {title}", *(score(h[w], z[w]) for w in ("known", "foreign")))

        def energy(z: Array) -> Array:
            top = z[:, :n].max(axis=1, keepdims=True)
            lse: Array = top[:, 0] + np.log(np.exp(z[:, :n] - top).sum(axis=1))
            return lse

        each("largest probability", lambda h, z: -np.exp(z[:, :n].max(axis=1) - energy(z)))
        each("energy", lambda h, z: -energy(z))
        if z["known"].shape[1] > n:
            each("probability of the further output", lambda h, z: z[:, n] - energy(z))
        d = Distances(h["fit"], y)
        each("Mahalanobis, tied", lambda h, z, d=d: d.mahalanobis(h, tied=True))
        each("Mahalanobis, by class", lambda h, z, d=d: d.mahalanobis(h, tied=False))
        each("10th nearest", lambda h, z, d=d: d.nearest(h))
    add("residual of the best template (PTM)", over(rmsd, "known"), over(rmsd, "foreign"))
    # DC3: incoherent atoms are amorphous, hence known; others are told by their distance.
    q = {w: over(lambda r, c: np.column_stack(steinhardt(r, c)), w) for w in sets}
    crystal = y < n - 1
    cuts = np.quantile(q["fit"][:, 4], np.linspace(0.01, 0.99, 99))
    right = [(q["fit"][crystal, 4] > c).mean() + (q["fit"][~crystal, 4] <= c).mean() for c in cuts]
    cut = cuts[int(np.argmax(right))]
    d = Distances(q["fit"][crystal, :4], y[crystal])
    score = {w: np.where(q[w][:, 4] > cut, d.nearest(q[w][:, :4]), 0.0) for w in q}
    add("DC3's rule (coherence, then distance in q_l)", score["known"], score["foreign"])
    print(markdown(["score", "AUROC", "foreign found at 1 % of known rejected (%)"], rows))


if __name__ == "__main__":
    main()
