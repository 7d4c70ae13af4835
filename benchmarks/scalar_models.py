# SPDX-License-Identifier: BSD-3-Clause
"""Trains, judges and packs the models of formation energies and moduli: numbers of docs/crystal.md.

    pip download --no-deps --no-binary :all: --no-build-isolation matminer==0.4.0    and unpack it
    python benchmarks/scalar_models.py formation_energy FOLDER/matminer/datasets --work WORK
    python benchmarks/scalar_models.py moduli FOLDER/matminer/datasets --work OTHER --largest 99

A regression with a kernel knows the composition, or that and the bonds; networks are trained on what it
leaves of crystals whose compositions it was not given: two with lattice frames (iComFormer, eComFormer) and
one that knows distances alone. What is in WORK already is not made again. Needs insitu[train,crystal] and
pymatgen; some minutes of one core. Split by composition; what is chosen is chosen on the validation part,
the test part is looked at once, at the end. Packed (`--out insitu/crystal/prediction/models`) is the
regression that knows the bonds.
"""

import argparse
import hashlib
import json
import logging
import pickle
from pathlib import Path

import numpy as np
import torch

from insitu.crystal.prediction import kernel
from insitu.crystal.prediction import weights as weights_of
from insitu.crystal.tensors.moduli import moduli
from insitu.crystal.tensors.voigt import to_voigt
from insitu.training.data.element_properties import table
from insitu.training.data.lattice_frames import framed_graph
from insitu.training.fit.comformer import ComFormer, FramedGraphs, fit, predict
from insitu.training.structures.tensor_tables import read, read_energies

FILES = {"formation_energy": "flla_2015.csv", "moduli": "elastic_tensor.csv"}
UNITS = {"formation_energy": "eV/atom", "moduli": "log10 of GPa, bulk and shear"}
SOURCES = {
    "formation_energy": "Faber et al., Int. J. Quantum Chem. 115, 1094 (2015): Materials Project, DFT "
    "(PBE) at 0 K, CC BY",
    "moduli": "de Jong et al., Sci. Data 2, 150009 (2015), DFT (PBE) at 0 K, CC BY",
}
PARTS = ("train", "validation", "test")
#: Networks by name, and their shape: iComFormer, eComFormer, and one that knows distances alone.
NETWORKS = {
    "frames": {"frame": True},
    "moments": {"equivariant": True},
    "distances": {"frame": False},
}
#: Of the kernel: width in standard deviations of the features, weight of those of bonds; strengths tried.
WIDTH, BONDS, RIDGES = 60.0, 0.8, (3e-5, 1e-4, 3e-4, 1e-3)


def value(record):
    """Return what is predicted of a crystal ``(t,)``: its energy, or the logarithms of its moduli."""
    if record.tensor.shape == (1,):
        return record.tensor
    found = moduli(to_voigt(record.tensor))
    return np.log10([found.bulk, found.shear])


def graphs_of(kind, tables, work):
    """Return graphs, formulas and values of the parts."""
    kept = work / "graphs.pkl"
    if not kept.exists():
        path = tables / FILES[kind]
        records = read(str(path), "elastic") if kind == "moduli" else read_energies(path)
        parts = {p: [r for r in records if r.part == p] for p in PARTS}
        made = {
            p: (
                [framed_graph(r.cell, r.sites, r.numbers) for r in rs],
                [r.formula for r in rs],
                np.array([value(r) for r in rs]),
            )
            for p, rs in parts.items()
        }
        kept.write_bytes(pickle.dumps(made))
    return pickle.loads(kept.read_bytes())


def regression(made, elements, *, bonds):
    """Return the regression with a kernel, and what it says of all parts.

    Of the crystals of training it is what those of other compositions say.
    """
    radius, properties = elements[:, 0], elements[:, 1:]

    def features(f):
        own = kernel.composition(f.graph.numbers, properties)
        return np.concatenate([own, kernel.bonds(f.graph, properties, radius)])

    x = {p: np.array([features(f) for f in made[p][0]]) for p in PARTS}
    scale = 1 / (WIDTH * (x["train"].std(axis=0) + 1e-9))
    scale[5 * properties.shape[1] :] *= BONDS if bonds else 0.0
    x = {p: v * scale for p, v in x.items()}
    y, mean = made["train"][2], made["train"][2].mean(axis=0)
    near = {p: kernel.kernel(x[p], x["train"]) for p in PARTS[1:]}
    errors = {}
    for ridge in RIDGES:
        found = mean + near["validation"] @ kernel.fit(x["train"], y, ridge)
        errors[ridge] = float(np.abs(found - made["validation"][2]).mean())
    ridge = min(errors, key=errors.get)
    logging.info("bonds %s: validation %s", bonds, errors)
    c = kernel.fit(x["train"], y, ridge)
    fold = [hashlib.sha256(b"fold" + f.encode()).digest()[0] % 10 for f in made["train"][1]]
    said = {p: mean + near[p] @ c for p in PARTS[1:]}
    said["train"] = kernel.left_out(x["train"], y, ridge, np.array(fold))
    model = {"properties": properties, "radius": radius, "scale": scale, "x": x["train"],
             "coefficients": c, "mean": mean}  # fmt: skip
    return model, said


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=FILES)
    parser.add_argument("tables", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument(
        "--networks", default=",".join(NETWORKS), help="to be trained and judged as well"
    )
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--largest", type=int, default=16, help="atoms of a cell, in training")
    parser.add_argument("--out", type=Path, help="where the model is packed")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    torch.set_num_threads(1)
    options.work.mkdir(parents=True, exist_ok=True)
    kind, elements = options.kind, table()
    made = graphs_of(kind, options.tables, options.work)
    y = {p: made[p][2] for p in PARTS}
    _, by_composition = regression(made, elements, bonds=False)
    model, said = regression(made, elements, bonds=True)
    data = {}
    for p, (graphs, _, _) in made.items():
        small = [p != "train" or len(f.graph.numbers) <= options.largest for f in graphs]
        some = np.flatnonzero(small)
        data[p] = FramedGraphs.joined([graphs[k] for k in some], (y[p] - said[p])[some])
    found = {
        "mean": {p: np.tile(y["train"].mean(axis=0), (len(y[p]), 1)) for p in PARTS[1:]},
        "composition": by_composition, "composition and bonds": said,
    }  # fmt: skip
    nets = {}
    for name in options.networks.split(",") if options.networks else ():
        path = options.work / f"{name}.pt"
        if not path.exists():
            fit(data["train"], data["validation"], 0, options.epochs, elements, path,
                **NETWORKS[name])  # fmt: skip
        saved = torch.load(path, weights_only=True)
        blank = np.zeros(y["train"].shape[1])
        nets[name] = ComFormer(elements, blank, blank, **saved["shape"])
        nets[name].load_state_dict(saved["state"])
        found[f"and a network, {name}"] = {
            p: said[p] + predict(nets[name], data[p], ties=True) for p in PARTS[1:]
        }
    mae = {
        p: {name: np.abs(f[p] - y[p]).mean(axis=0).tolist() for name, f in found.items()}
        for p in PARTS[1:]
    }
    # How sure a difference is: of the errors of the same crystals, the mean and its standard error.
    errors = {name: np.abs(f["test"] - y["test"]) for name, f in found.items()}
    better = {}
    for name in list(errors)[2:]:
        base = "composition and bonds" if name.startswith("and") else "composition"
        gain = errors[base] - errors[name]
        error = gain.std(axis=0) / len(gain) ** 0.5
        better[f"{name}, than {base}"] = [gain.mean(axis=0).tolist(), error.tolist()]
    notes = {
        "data": SOURCES[kind], "unit": UNITS[kind], "crystals": {p: len(y[p]) for p in PARTS},
        "networks_trained_on": len(data["train"]), "epochs": options.epochs,
        "parameters": {n: sum(v.numel() for v in net.parameters()) for n, net in nets.items()},
        "validation": mae["validation"], "test": mae["test"], "better": better,
    }  # fmt: skip
    if options.out is not None:
        pack(kind, model, made["test"], notes, options.out)
    print(json.dumps(notes, indent=1))


def pack(kind, model, test, notes, out):
    """Write the regression, and judge what was written."""
    arrays = {f"0/{name}": values.astype(np.float32) for name, values in model.items()}
    out.mkdir(parents=True, exist_ok=True)

    def write():
        text = json.dumps({"networks": 1, **notes})
        np.savez_compressed(out / f"{kind}.npz", notes=np.array(text), **arrays)

    write()
    weights_of.FOLDER = out
    weights_of.loaded.cache_clear()
    (shipped,), _ = weights_of.loaded(kind)
    found = [kernel.predicted(shipped, f.graph) for f in test[0]]
    error = np.abs(np.array([v for v, _ in found]) - test[2])
    notes["shipped"] = error.mean(axis=0).tolist()
    alike = np.array([k for _, k in found])
    thirds = np.array_split(np.argsort(alike), 3)
    notes["by_alike"] = [
        [float(alike[t].min()), float(alike[t].max()), error[t].mean(axis=0).tolist()]
        for t in thirds
    ]
    write()
    (out / f"{kind}.json").write_text(json.dumps(notes, indent=1) + "\n")


if __name__ == "__main__":
    main()
