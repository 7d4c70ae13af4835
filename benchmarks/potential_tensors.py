# SPDX-License-Identifier: BSD-3-Clause
"""Trains a network on the elastic tensors of one potential, and judges it: docs/crystal.md.

    python benchmarks/potential_tensors.py --style eam/alloy --elements Ni,Al --work WORK \\
        --coefficients "* * {potentials}/NiAlH_jea.eam.alloy Ni Al" [--minutes 20]

Prototypes of crystals (AFLOW's, from pymatgen) are decorated with the potential's elements in all ways,
relaxed by LAMMPS, and strained: tensors.jsonl in WORK has what was found, also why a crystal has no tensor.
A run that is interrupted, or is given more minutes, goes on where it was. Then a network is trained, from
random weights and from those of the network that knows DFT, and the better one on the validation part is
packed as elastic.npz in WORK, for `insitu crystal --elastic-model`, `analyze crystal elastic yes
elastic_model`, and insitu.crystal.elastic_tensor(…, model=…). Split by prototype; crystals to which
prototypes of two parts relax are of training. {potentials} is LAMMPS' folder; give a path for another file.
Needs insitu[lammps,train,crystal] and pymatgen.
"""

import argparse
import json
import logging
from pathlib import Path

import numpy as np
import torch

from insitu.crystal.prediction import tensors as prediction
from insitu.crystal.prediction import weights
from insitu.crystal.prediction.graph import graph
from insitu.crystal.tensors.moduli import moduli, stable
from insitu.frame.species import SYMBOLS
from insitu.training.data.elastic_runs import Potential
from insitu.training.data.potential_tensors import dealt, decorated, made, rejected
from insitu.training.fit.tensors import fit, graphs, save, scores

#: Crystals that each part has to have.
FEW = 5


def trained(data, elements, start, options):
    """Return a network, from random weights or from given ones, and its validation loss."""
    shape = prediction.card("elastic")["shape"]
    rate = {} if start is None else {"rate": 1e-3}
    net, history = fit(
        data["train"], data["validation"], "elastic", 0, options.epochs, 60, elements, start=start,
        **rate, **shape,
    )  # fmt: skip
    return net, min(h["loss"] for h in history)


def row(name, found, target):
    """Print a line of the table."""
    s = scores(found, target)
    logs = []
    for which in ("bulk", "shear"):
        pairs = [
            [getattr(moduli(t.reshape(6, 6)), which) for t in both]
            for both in zip(found, target, strict=True)
            if all(stable(t.reshape(6, 6)) for t in both)
        ]
        logs.append(np.abs(np.diff(np.log10(pairs), axis=1)).mean() if pairs else np.nan)
    shares = " | ".join(f"{100 * s[f'ewt{x}']:.1f} %" for x in (25, 10, 5))
    print(f"| {name} | {s['fnorm']:.1f} | {shares} | {logs[0]:.3f} | {logs[1]:.3f} |")
    return s


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--style", required=True, help="pair_style, units metal")
    parser.add_argument("--coefficients", required=True, action="append", help="pair_coeff lines")
    parser.add_argument("--elements", required=True, help="of the types 1, 2, …: Ni,Al")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=20, help="of the processor, in this call")
    parser.add_argument("--most", type=int, default=12, help="atoms of a prototype's cell")
    parser.add_argument("--epochs", type=int, default=80)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    torch.set_num_threads(1)
    options.work.mkdir(parents=True, exist_ok=True)
    names = tuple(options.elements.split(","))
    potential = Potential(options.style, tuple(options.coefficients), names)
    dft = weights.loaded("elastic")[0][0]
    radii = [float(dft["radius"][SYMBOLS.index(n)]) for n in names]
    crystals = decorated(names, radii, options.most)
    lines = made(potential, crystals, options.work / "tensors.jsonl", options.minutes)
    parts = dealt(lines)
    n, seconds = len(lines), sum(line["seconds"] for line in lines)
    print(f"{n} of {len(crystals)} crystals in {seconds / 60:.1f} minutes of a core: "
          f"{3600 * n / seconds:.0f} an hour; "
          f"{sum('rejected' not in line for line in lines)} have a tensor "
          f"({', '.join(f'{k} {reason}' for reason, k in rejected(lines))}), "
          f"{sum(len(r) for r in parts.values())} of them differ: "
          f"{', '.join(f'{len(r)} {p}' for p, r in parts.items())}")  # fmt: skip
    if few := [p for p, r in parts.items() if len(r) < FEW]:
        raise SystemExit(
            f"fewer than {FEW} crystals of {', '.join(few)}: give more --minutes, or --most"
        )
    data = {p: graphs(r, "elastic") for p, r in parts.items()}
    elements = np.column_stack([dft["radius"], dft["properties"]])
    own = {k: torch.tensor(v, dtype=torch.float32) for k, v in dft.items()}
    nets = {"from random weights": trained(data, elements, None, options),
            "from the weights of DFT": trained(data, elements, own, options)}  # fmt: skip
    target = data["test"].target.numpy().astype(np.float64)
    seen = [graph(r.cell, r.sites, r.numbers) for r in parts["test"]]
    mean = data["train"].target.numpy().mean(axis=0)
    print("| | mean error (GPa) | within 25 % | 10 % | 5 % | log₁₀ bulk | log₁₀ shear |")
    print("|---|---|---|---|---|---|---|")
    row("mean tensor of the training crystals", np.tile(mean, (len(target), 1)), target)
    by_dft = [np.mean([prediction.run(w, g, "elastic") for w in weights.loaded("elastic")[0]], axis=0)
              for g in seen]  # fmt: skip
    row("network that knows DFT, as shipped", np.array(by_dft), target)
    path = options.work / "elastic.npz"
    best = min(nets, key=lambda name: nets[name][1])
    # The chosen one is packed last; what is judged is what is packed.
    for name in sorted(nets, key=lambda name: name == best):
        notes = {"shape": prediction.card("elastic")["shape"], "elements": names,
                 "potential": [options.style, *options.coefficients], "start": name,
                 "crystals": {p: len(r) for p, r in parts.items()}, "loss": nets[name][1]}  # fmt: skip
        save([nets[name][0]], path, notes)
        weights.loaded.cache_clear()
        (net,), _ = weights.loaded("elastic", str(path))
        found = np.array([prediction.run(net, g, "elastic") for g in seen])
        notes["test"] = row(f"network of this potential, {name}", found, target)
        save([nets[name][0]], path, notes)
    print(f"validation: {', '.join(f'{name} {v:.3f}' for name, (_, v) in nets.items())}; {path} is the one "
          f"{best}")  # fmt: skip
    (options.work / "elastic.json").write_text(json.dumps(notes, indent=1) + "\n")


if __name__ == "__main__":
    main()
