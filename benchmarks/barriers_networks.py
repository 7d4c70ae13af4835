# SPDX-License-Identifier: BSD-3-Clause
"""Energy barriers of Cu64Zr36 glasses by graph networks: SymGNN, its ablations, and what it looks at.

FOLDER has the published glasses (glass0.npz …). Glasses 0, 1 (one sample, which take turns), 3 and 4 are
trained on, glass 2 chooses the step whose weights are kept and the weights of ensembles, glass 5 is the
test. --validation measures glass 6, a strained copy of glass 5, which takes part in nothing: once, at the
end.

example:
  python benchmarks/barriers_networks.py FOLDER --out RUNS --train distance gcn --steps 160
  python benchmarks/barriers_networks.py FOLDER --out RUNS --cost
  python benchmarks/barriers_networks.py FOLDER --out RUNS
  python benchmarks/barriers_networks.py FOLDER --out RUNS --validation
  python benchmarks/barriers_networks.py FOLDER --out RUNS --explain distance --picture edges.png
"""

from __future__ import annotations

import argparse
import logging
import time
from pathlib import Path

import numpy as np
import torch

from insitu.models.barriers import load
from insitu.models.networks.symgnn import SymGNN
from insitu.training.fit import barriers as fit
from insitu.training.fit import symgnn
from insitu.training.fit.barriers import Score
from insitu.training.fit.ridge import Sums
from insitu.training.fit.symgnn_graph import CUTOFF, Graph
from insitu.training.fit.symgnn_step import passed

TOGETHER, CHOICE, TEST, VALIDATION = ((0, 1), (3,), (4,)), 2, 5, 6
TRAINED = tuple(k for group in TOGETHER for k in group)
NAMES = {
    "haar": "SymGNN, random transformations", "octahedral": "SymGNN, octahedral",
    "distance": "SymGNN, distances", "none": "SymGNN without symmetrisation",
    "gcn-edges": "GCN with edge features", "gcn": "GCN", "egnn": "equivariant (EGNN)",
    "mlp": "multilayer perceptron", "regression": "the regression, same glasses",
}  # fmt: skip
#: Thickness of the part that is explained [Å].
SLAB = 10.0
#: Of a pass that measures: random ones, or those drawn of the 48.
SAMPLES = {"haar": 24, "octahedral": 48}

Predictions = dict[str, dict[int, np.ndarray]]


def predictions(folder: Path, out: Path, numbers: tuple[int, ...]) -> Predictions:
    """Return the barriers of some glasses by all trained networks, and by the regression.

    Those of a network are kept in `out`, so that each glass is looked at once.
    """
    glasses = {k: fit.read(folder, k) for k in {*numbers, *TRAINED}}
    found: Predictions = {}
    for kind in NAMES:
        if not (file := out / f"{kind}.pt").is_file():
            continue
        network, kept = symgnn.trained(file), out / f"{kind}.npz"
        by_glass = dict(np.load(kept)) if kept.is_file() else {}
        if kept.is_file() and kept.stat().st_mtime < file.stat().st_mtime:
            by_glass = {}  # of an earlier training
        for k in numbers:
            if str(k) not in by_glass:
                graph = Graph.of(glasses[k])
                by_glass[str(k)] = symgnn.predicted(network, graph, SAMPLES.get(kind, 0))
                np.savez(kept, **by_glass)
        found[kind] = {k: by_glass[str(k)] for k in numbers}
    card = load("cuzr-barriers").card
    reduction = fit.Reduction.of([glasses[k] for k in TRAINED], card.settings)
    xs = {k: fit.features(g, card.settings, reduction) for k, g in glasses.items()}
    errors = {k: fit.errors_of(glasses[k]) for k in TRAINED}
    sums = Sums.of([Sums(xs[k], glasses[k].barriers, errors[k]) for k in TRAINED])
    weight, constant = sums.fit(reduction.penalties(*card.more["penalty"]))
    found["regression"] = {k: xs[k] @ weight + constant for k in numbers}
    return found


def blended(found: Predictions, choice: np.ndarray) -> dict[str, tuple[str, float]]:
    """Return ensembles of the regression and a network: its kind and its weight, by glass 2."""
    pairs = {}
    for kind, by_glass in found.items():
        if kind == "regression":
            continue
        weights = np.arange(0.0, 1.01, 0.1)
        rs = [
            Score.of(w * by_glass[CHOICE] + (1 - w) * found["regression"][CHOICE], choice).r
            for w in weights
        ]
        best = int(np.argmax(rs))
        if weights[best] > 0:
            pairs[f"regression + {NAMES[kind]}"] = (kind, float(weights[best]))
    return pairs


def table(folder: Path, out: Path, validation: bool) -> None:
    numbers = (*TRAINED, CHOICE, TEST, *((VALIDATION,) if validation else ()))
    ys = {k: fit.read(folder, k).barriers for k in numbers}
    found = predictions(folder, out, numbers)
    head = "| network | step kept | processor time (min) | training | glass 2 (chooses) | glass 5 (test) |"
    print(head + " glass 6 | its difference of the means (eV) |" * validation)
    print("|---" * (6 + 2 * validation) + "|")

    def row(name: str, by_glass: dict[int, np.ndarray], step: str, minutes: str) -> None:
        pooled = [np.concatenate([x[k] for k in TRAINED]) for x in (by_glass, ys)]
        rs = [Score.of(*pooled).r, *(Score.of(by_glass[k], ys[k]).r for k in (CHOICE, TEST))]
        more = ""
        if validation:
            s = Score.of(by_glass[VALIDATION], ys[VALIDATION])
            more = f" {s.r:.3f} | {s.bias:+.3f} |"
        cells = " | ".join(f"{r:.3f}" for r in rs)
        print(f"| {name} | {step} | {minutes} | {cells} |{more}", flush=True)

    for kind, by_glass in found.items():
        if kind == "regression":
            row(NAMES[kind], by_glass, "", "")
            continue
        state = torch.load(out / f"{kind}.pt", weights_only=True)
        step = f"{state['best_step']} of {state['about']['steps']}"
        if state["step"] < state["about"]["steps"]:
            step += f", ended at {state['step']}"
        row(NAMES[kind], by_glass, step, f"{state['seconds'] / 60:.1f}")
    for name, (kind, w) in blended(found, ys[CHOICE]).items():
        by_glass = {k: w * found[kind][k] + (1 - w) * found["regression"][k] for k in numbers}
        row(f"{name}, weight {w:.1f}", by_glass, "", "")


def explain(folder: Path, out: Path, kind: str, picture: Path | None, steps: int) -> None:
    """Which edges matter in a slab of glass 5: a mask, by distance and pair, and a cut through the slab."""
    from insitu.training.fit.explanation import by_distance, importance

    whole = Graph.of(fit.read(folder, TEST))
    begin, network = 0.5 - 0.5 * SLAB / float(whole.box[2]), symgnn.trained(out / f"{kind}.pt")
    graph, inner = whole.slab(2, begin, SLAB)
    kept, r = importance(network, graph, atoms=inner, steps=steps)
    edges = np.arange(2.0, CUTOFF + 0.01, 0.25)
    found = by_distance(kept, graph, fit.SETTINGS.species, edges, inner)
    mine = kept[inner[graph.target].numpy()]
    print(f"{int(inner.sum())} atoms, {len(mine)} edges, {steps} steps")
    print(f"mean of the mask {mine.mean():.3f}, above 0.5: {(mine > 0.5).mean():.3f} of the edges")
    print(f"masked and whole predictions: r {r:.3f}")
    print("| pair | " + " | ".join(f"{e:g}–{e + 0.25:g}" for e in edges[:-1]) + " |")
    print("|---" * len(edges) + "|")
    for name, (mean, many) in found.items():
        cells = ("" if m < 100 else f"{v:.2f}" for v, m in zip(mean, many, strict=True))
        print(f"| {name} | " + " | ".join(cells) + " |")
    if picture:
        draw(graph, kept, symgnn.predicted(network, graph), found, edges, picture)


def draw(
    graph: Graph, kept: np.ndarray, barriers: np.ndarray,
    found: dict[str, tuple[np.ndarray, np.ndarray]], bins: np.ndarray, picture: Path,
) -> None:  # fmt: skip
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.collections import LineCollection

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.4), layout="constrained")
    middle = 0.5 * (bins[1:] + bins[:-1])
    for (name, (mean, many)), style in zip(found.items(), ("-", "--", "-.", ":"), strict=True):
        left.plot(middle, np.where(many < 100, np.nan, mean), style, linewidth=1.3, label=name)
    left.set(xlabel="Distance (Å)", ylabel="Importance of the edge", ylim=(0, None))
    left.legend(frameon=False, title="atom, neighbour")
    r, thick, side = (graph.places * graph.box).numpy(), 3.0, 30.0
    off = np.abs(r[:, 2] - 0.5 * float(graph.box[2]))
    inside = (off < thick / 2) & (r[:, :2] < side).all(axis=1)
    source, target = graph.source.numpy(), graph.target.numpy()
    both = inside[source] & inside[target]
    both &= np.linalg.norm(r[source] - r[target], axis=1) < CUTOFF + 0.1  # not over a boundary
    weight = kept[both]
    colors = [(0.1, 0.1, 0.1, float(v)) for v in weight]
    ends = np.stack([r[source[both], :2], r[target[both], :2]], axis=1)
    right.add_collection(LineCollection(list(ends), linewidths=2.2 * weight, colors=colors))
    low, high = np.quantile(barriers[inside], [0.02, 0.98])
    kinds = graph.species.numpy()
    for k, (name, size, marker) in enumerate((("Cu", 60, "o"), ("Zr", 105, "s"))):
        mine = inside & (kinds == k)
        dots = right.scatter(
            r[mine, 0], r[mine, 1], c=barriers[mine], s=size, marker=marker, cmap="viridis", zorder=2,
            edgecolors="#444444", linewidths=0.4, label=name, vmin=low, vmax=high,
        )  # fmt: skip
    figure.colorbar(dots, ax=right, label="Predicted barrier (eV)")
    right.set(
        xlabel="x (Å)", ylabel="y (Å)", aspect="equal", xlim=(-1, side + 1), ylim=(-1, side + 1)
    )
    right.legend(loc="upper right", fontsize=8)
    figure.savefig(picture, dpi=110)


def cost(folder: Path) -> None:
    """Processor time of a pass and its gradient over glass 3, of the network and of the training's."""
    graph = Graph.of(fit.read(folder, 3))
    network = SymGNN(mode="haar", samples=2)
    given = (graph.source, graph.target, graph.vectors, graph.species)
    passes = {"the network": lambda: network(*given), "in tiles": lambda: passed(network, graph)}
    for name, run in passes.items():
        spent = []
        for _ in range(2):  # the first one gets memory
            begin = time.process_time()
            (run() ** 2).mean().backward()
            spent.append(time.process_time() - begin)
        print(f"{name}: {spent[-1]:.1f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder of the trained networks")
    parser.add_argument("--train", choices=symgnn.KINDS, nargs="+", help="train these instead")
    parser.add_argument("--steps", type=int, default=symgnn.Training.steps, help="of each training")
    parser.add_argument(
        "--frozen", type=float, default=symgnn.Training.frozen,
        help="part of the steps after which normalisations are frozen",
    )  # fmt: skip
    parser.add_argument("--cost", action="store_true", help="of a pass and its gradient, instead")
    parser.add_argument("--validation", action="store_true", help="measure glass 6 too")
    parser.add_argument("--explain", choices=symgnn.MODES, help="which edges matter to it, instead")
    parser.add_argument("--mask-steps", type=int, default=40, help="of --explain")
    parser.add_argument("--picture", type=Path, metavar="PNG", help="of --explain")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)
    if options.cost:
        cost(options.folder)
        return
    if options.explain:
        explain(options.folder, options.out, options.explain, options.picture, options.mask_steps)
        return
    if not options.train:
        table(options.folder, options.out, options.validation)
        return
    options.out.mkdir(parents=True, exist_ok=True)
    graphs = {k: Graph.of(fit.read(options.folder, k)) for k in (*TRAINED, CHOICE)}
    for kind in options.train:
        settings = symgnn.Training(steps=options.steps, frozen=options.frozen)
        symgnn.train(kind, graphs, TOGETHER, CHOICE, settings, options.out / f"{kind}.pt")


if __name__ == "__main__":
    main()
