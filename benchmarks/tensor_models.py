# SPDX-License-Identifier: BSD-3-Clause
"""Trains, judges and packs the models of insitu/crystal/prediction/models: the numbers of docs/crystal.md.

    pip download --no-deps --no-binary :all: --no-build-isolation matminer==0.4.0    and unpack it
    python benchmarks/tensor_models.py elastic FOLDER/matminer/datasets --work WORK
    python benchmarks/tensor_models.py dielectric FOLDER/matminer/datasets --work WORK

Networks that are in WORK already are not trained again. Needs insitu[train,crystal] and pymatgen; about
half an hour of one core a network. Split by composition; the epoch is chosen on the validation part, the
test part is looked at once, at the end.
"""

import argparse
import json
import logging
from pathlib import Path

import numpy as np
import torch

from insitu.crystal.prediction import tensors as prediction
from insitu.crystal.prediction import weights as weights_of
from insitu.crystal.prediction.graph import graph
from insitu.crystal.spacegroup import find
from insitu.crystal.tensors.moduli import moduli
from insitu.crystal.tensors.projection import symmetry_breaking
from insitu.crystal.tensors.voigt import from_voigt
from insitu.training.data.element_properties import table
from insitu.training.fit.tensors import TensorNetwork, fit, graphs, save, scores
from insitu.training.structures.tensor_tables import read

FILES = {"elastic": "elastic_tensor.csv", "dielectric": "dielectric_constant.csv"}
SOURCES = {
    "elastic": "de Jong et al., Sci. Data 2, 150009 (2015), DFT (PBE) at 0 K, CC BY",
    "dielectric": "Petousis et al., Sci. Data 4, 160134 (2017), DFPT (PBE), electrons and ions, CC BY",
}


def composition_only(train, test, kind, elements):
    """Return tensors of a ridge regression that knows the composition alone: isotropic ones."""

    def features(records):
        rows = []
        for r in records:
            z = elements[r.numbers, 1:]
            rows.append(np.concatenate([z.mean(0), z.std(0), z.max(0), z.min(0), [1.0]]))
        return np.array(rows)

    def numbers(r):
        if kind == "dielectric":
            return [np.log(np.trace(r.tensor) / 3 - 1)]
        m = moduli(prediction.to_voigt(r.tensor))
        return [np.log(m.bulk_voigt), np.log(m.shear_voigt)]

    x, y = features(train), np.array([numbers(r) for r in train])
    w = np.linalg.solve(x.T @ x + 1.0 * np.eye(x.shape[1]), x.T @ y)
    found = np.exp(features(test) @ w)
    if kind == "dielectric":
        return (1 + found) * np.eye(3).ravel()
    parts = prediction.elastic()
    return found[:, :1] * parts["bulk"] + found[:, 1:] * parts["shear"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=FILES)
    parser.add_argument("tables", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--epochs", type=int, default=80)
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--out", type=Path, default=Path("insitu/crystal/prediction/models"))
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    torch.set_num_threads(1)
    options.work.mkdir(parents=True, exist_ok=True)
    kind, elements = options.kind, table()
    records = read(str(options.tables / FILES[kind]), kind)
    parts = {p: [r for r in records if r.part == p] for p in ("train", "validation", "test")}
    nets, shape, data = [], {}, {}
    for seed in options.seeds.split(","):
        path = options.work / f"{kind}_{seed}.pt"
        if not path.exists():
            data = data or {p: graphs(parts[p], kind) for p in ("train", "validation")}
            net, history = fit(
                data["train"],
                data["validation"],
                kind,
                int(seed),
                options.epochs,
                options.minutes,
                elements,
            )
            torch.save({"state": net.state_dict(), "shape": {}, "history": history}, path)
        saved = torch.load(path, weights_only=True)
        shape = saved["shape"]
        net = TensorNetwork(kind, elements, **shape)
        net.load_state_dict(saved["state"])
        nets.append(net)
    target, mean = (
        np.array(
            [
                (prediction.to_voigt(r.tensor) if kind == "elastic" else r.tensor).ravel()
                for r in parts[p]
            ]
        )
        for p in ("test", "train")
    )
    mean = mean.mean(axis=0)
    notes = {
        "shape": shape, "data": SOURCES[kind], "crystals": {p: len(r) for p, r in parts.items()},
        "unit": "GPa" if kind == "elastic" else "",
        "mean_tensor": scores(np.tile(mean, (len(target), 1)), target),
        "composition_only": scores(composition_only(parts["train"], parts["test"], kind, elements), target),
    }  # fmt: skip
    options.out.mkdir(parents=True, exist_ok=True)
    weights_of.FOLDER = options.out
    save(nets, options.out / f"{kind}.npz", notes)
    # What is judged is what is shipped: weights of 16 bits, run by NumPy.
    weights_of.loaded.cache_clear()
    weights, _ = weights_of.loaded(kind)
    graphs = [graph(r.cell, r.sites, r.numbers) for r in parts["test"]]
    each = np.array([[prediction.run(w, g, kind) for g in graphs] for w in weights])
    found = each.mean(axis=0)
    notes["test"] = scores(found, target)
    notes["single"] = [scores(e, target)["fnorm"] for e in each]
    broken = []
    for r, flat in zip(parts["test"], found, strict=True):
        group = find(r.cell, r.sites, r.numbers, 1e-4)
        t = from_voigt(flat.reshape(6, 6)) if kind == "elastic" else flat.reshape(3, 3)
        broken.append(symmetry_breaking(t, group.rotations, kind))
    notes["symmetric"] = float((np.array(broken) < 1e-5).mean())
    notes["most_broken"] = float(max(broken))
    notes["norm"] = float(np.linalg.norm(target, axis=1).mean())
    if kind == "elastic":
        true, own = ([moduli(t.reshape(6, 6)) for t in ts] for ts in (target, found))
        for name in ("bulk", "shear"):
            a, b = (np.array([getattr(m, name) for m in ms]) for ms in (true, own))
            good = (a > 0) & (b > 0)
            notes[f"log10_{name}"] = float(np.abs(np.log10(a[good] / b[good])).mean())
    save(nets, options.out / f"{kind}.npz", notes)
    (options.out / f"{kind}.json").write_text(json.dumps(notes, indent=1) + "\n")
    print(json.dumps(notes, indent=1))


if __name__ == "__main__":
    main()
