# SPDX-License-Identifier: BSD-3-Clause
"""Tensors in a canonical frame, the cheap rival of the equivariant network: numbers of docs/crystal.md.

    pip download --no-deps --no-binary :all: --no-build-isolation matminer==0.4.0    and unpack it
    python benchmarks/tensor_frames.py FOLDER/matminer/datasets

The reduced cell is a rotation and a symmetric stretch (polar decomposition). In the frame of that
rotation a regression without any symmetry of its own predicts each component, from what is the same in all
axes (composition, bonds) and from what is seen in the frame (the stretch, moments of the bonds). Turned
back, the mean over all reduced cells of the lattice, projected onto the point group, is the tensor. Same
crystals and parts as benchmarks/tensor_models.py; weight and strength are chosen on the validation part.
Some minutes of a core. Needs insitu[train,crystal] and pymatgen.

H. Hua et al., arXiv:2410.02372 (GoeCTP).
"""

import argparse
from pathlib import Path

import numpy as np

from insitu.crystal.prediction import kernel
from insitu.crystal.prediction.graph import graph
from insitu.crystal.spacegroup import find
from insitu.crystal.tensors.basis import harmonics
from insitu.crystal.tensors.projection import project, rotate
from insitu.crystal.tensors.voigt import from_voigt, to_voigt
from insitu.training.data.element_properties import table
from insitu.training.data.lattice_frames import frames
from insitu.training.fit.tensors import scores
from insitu.training.structures.tensor_tables import read

FILES = {"elastic": "elastic_tensor.csv", "dielectric": "dielectric_constant.csv"}
#: What is taken from a tensor before, and most frames of a crystal of training.
LEAST, VIEWS = {"elastic": 0.0, "dielectric": np.eye(3).ravel()}, 4
#: Width of the kernel in standard deviations; weights of what is seen in the frame, and strengths, tried.
WIDTH, WEIGHTS, RIDGES = 60.0, (0.0, 0.3, 1.0, 3.0), (1e-4, 1e-3, 1e-2)


def seen(r, elements, most):
    """Return features of a crystal in each of its frames, the frames ``(f, 3, 3)``, its point group."""
    group = find(r.cell, r.sites, r.numbers, 0.01) or find(r.cell, r.sites, r.numbers, 1e-4)
    radius, properties = elements[:, 0], elements[:, 1:]
    g = graph(group.primitive, group.primitive_sites, group.primitive_numbers, kernel.REACH)
    same = np.concatenate(
        [kernel.composition(g.numbers, properties), kernel.bonds(g, properties, radius)]
    )
    z, n = properties[g.numbers], len(g.numbers)
    apart = np.abs(z[g.first] - z[g.second])
    length = g.length * g.unit / (radius[g.numbers[g.first]] + radius[g.numbers[g.second]])
    touch = np.exp(-0.5 * (np.maximum(length - 1.0, 0.0) / 0.15) ** 2)
    weights = np.stack([g.weight, touch, g.weight * apart[:, 0], touch * apart[:, 0]])
    rows, turns = [], []
    for basis in frames(group.primitive, group.rotations)[:most]:
        u, stretch, v = np.linalg.svd(basis.T)
        turn = u @ v  # basis.T = turn @ h; an inversion in it does not change tensors of even rank
        h = v.T @ np.diag(stretch) @ v / g.unit
        n_in = g.direction @ turn
        moments = [weights @ harmonics(n_in, k) / n for k in (2, 4)]
        own = np.concatenate([h[np.triu_indices(3)], *[m.ravel() for m in moments]])
        rows.append((same, own))
        turns.append(turn)
    return rows, np.array(turns), group.rotations


def matern(a, b):
    """Return the kernel of :func:`insitu.crystal.prediction.kernel.kernel` by a product of matrices."""
    square = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
    apart = np.sqrt(3 * np.maximum(square, 0.0))
    return (1 + apart) * np.exp(-apart)


def flat(tensor, kind):
    """Return a tensor as the network's table has it."""
    return (to_voigt(tensor) if kind == "elastic" else tensor).ravel()


def whole(values, kind):
    """Return the tensor of such a row."""
    return from_voigt(values.reshape(6, 6)) if kind == "elastic" else values.reshape(3, 3)


def tensors(rows, views, kind):
    """Return the tensors of crystals from what is predicted of their views: log of the norm, direction."""
    found, at = [], 0
    values = np.exp(rows[:, :1]) * rows[:, 1:] + LEAST[kind]
    for _, turns, group in views:
        own = [rotate(whole(v, kind), t)
               for v, t in zip(values[at : at + len(turns)], turns, strict=True)]  # fmt: skip
        found.append(flat(project(np.mean(own, axis=0), group, kind), kind))
        at += len(turns)
    return np.array(found)


def judged(kind, parts, elements):
    """Return a line about the test part."""
    views = {
        p: [seen(r, elements, VIEWS if p == "train" else None) for r in rs]
        for p, rs in parts.items()
    }
    x = {p: [np.array([row[k] for v in vs for row in v[0]]) for k in (0, 1)]
         for p, vs in views.items()}  # fmt: skip
    y = np.array(
        [flat(rotate(r.tensor, t.T), kind) - LEAST[kind]
         for r, (_, turns, _) in zip(parts["train"], views["train"], strict=True) for t in turns]
    )  # fmt: skip
    size = np.linalg.norm(y, axis=1)
    known = np.column_stack([np.log(size), y / size[:, None]])
    mean = known.mean(axis=0)
    target = {p: np.array([flat(r.tensor, kind) for r in rs]) for p, rs in parts.items()}
    wide = [v.std(axis=0) + 1e-9 for v in x["train"]]
    middle = [v.mean(axis=0) for v in x["train"]]
    x = {p: [a - m for a, m in zip(v, middle, strict=True)] for p, v in x.items()}
    tried, said = {}, {}
    for weight in WEIGHTS:
        z = {p: np.concatenate([0.8 * v[0] / wide[0], weight * v[1] / wide[1]], axis=1) / WIDTH
             for p, v in x.items()}  # fmt: skip
        inner = matern(z["train"], z["train"])
        for ridge in RIDGES:
            c = np.linalg.solve(inner + ridge * np.eye(len(inner)), known - mean)
            found = {p: tensors(mean + matern(z[p], z["train"]) @ c, views[p], kind)
                     for p in ("validation", "test")}  # fmt: skip
            tried[weight, ridge] = scores(found["validation"], target["validation"])["fnorm"]
            said[weight, ridge] = scores(found["test"], target["test"])
    best = min(tried, key=tried.get)
    return (f"{kind}: weight {best[0]:g}, ridge {best[1]:g}; {len(y)} views of {len(parts['train'])} "
            f"crystals; test: {said[best]}")  # fmt: skip


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("tables", type=Path)
    options = parser.parse_args()
    elements = table()
    for kind, name in FILES.items():
        records = read(str(options.tables / name), kind)
        parts = {p: [r for r in records if r.part == p] for p in ("train", "validation", "test")}
        print(judged(kind, parts, elements), flush=True)


if __name__ == "__main__":
    main()
