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
from itertools import product
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
#: Width of the kernel in standard deviations; weights of what is seen in the frame, and strengths, tried.
WIDTH, WEIGHTS, RIDGES = 60.0, (0.0, 0.3, 1.0, 3.0), (1e-4, 1e-3, 1e-2)


def seen(r, elements):
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
    for basis in frames(group.primitive, group.rotations):
        u, stretch, v = np.linalg.svd(basis.T)
        turn = u @ v  # basis.T = turn @ h; an inversion in it does not change tensors of even rank
        h = v.T @ np.diag(stretch) @ v / g.unit
        n_in = g.direction @ turn
        moments = [weights @ harmonics(n_in, k) / n for k in (2, 4)]
        own = np.concatenate([h[np.triu_indices(3)], *[m.ravel() for m in moments]])
        rows.append((same, own))
        turns.append(turn)
    return rows, np.array(turns), group.rotations


def flat(tensor, kind):
    """Return a tensor as the network's table has it."""
    return (to_voigt(tensor) if kind == "elastic" else tensor).ravel()


def whole(values, kind):
    """Return the tensor of such a row."""
    return from_voigt(values.reshape(6, 6)) if kind == "elastic" else values.reshape(3, 3)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("tables", type=Path)
    options = parser.parse_args()
    elements = table()
    for kind, name in FILES.items():
        records = read(str(options.tables / name), kind)
        parts = {p: [r for r in records if r.part == p] for p in ("train", "validation", "test")}
        views = {p: [seen(r, elements) for r in rs] for p, rs in parts.items()}
        one = np.eye(3).ravel() if kind == "dielectric" else 0.0
        x = {p: [np.array([row[k] for v in vs for row in v[0]]) for k in (0, 1)]
             for p, vs in views.items()}  # fmt: skip
        y = np.array(
            [flat(rotate(r.tensor, t.T), kind) - one
             for r, (_, turns, _) in zip(parts["train"], views["train"], strict=True) for t in turns]
        )  # fmt: skip
        size = np.linalg.norm(y, axis=1)
        target = {p: np.array([flat(r.tensor, kind) for r in rs]) for p, rs in parts.items()}
        wide = [v.std(axis=0) + 1e-9 for v in x["train"]]

        def predicted(part, weight, ridge, x=x, y=y, size=size, wide=wide, views=views, kind=kind,
                      one=one):  # fmt: skip
            scaled = {
                p: np.concatenate(
                    [0.8 * v[0] / wide[0], weight * v[1] / wide[1]], axis=1
                ) / WIDTH for p, v in x.items() if p in ("train", part)
            }  # fmt: skip
            known = np.column_stack([np.log(size), y / size[:, None]])
            c = kernel.fit(scaled["train"], known, ridge)
            found = known.mean(axis=0) + kernel.kernel(scaled[part], scaled["train"]) @ c
            found = np.exp(found[:, :1]) * found[:, 1:] + one
            tensors, at = [], 0
            for _, turns, group in views[part]:
                own = [rotate(whole(f, kind), t)
                       for f, t in zip(found[at : at + len(turns)], turns, strict=True)]  # fmt: skip
                tensors.append(flat(project(np.mean(own, axis=0), group, kind), kind))
                at += len(turns)
            return np.array(tensors)

        tried = {
            (w, r): scores(predicted("validation", w, r), target["validation"])["fnorm"]
            for w, r in product(WEIGHTS, RIDGES)
        }
        best = min(tried, key=tried.get)
        s = scores(predicted("test", *best), target["test"])
        print(f"{kind}: weight {best[0]:g}, ridge {best[1]:g}; {len(y)} views of {len(parts['train'])} "
              f"crystals; test: {s}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
