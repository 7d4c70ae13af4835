# SPDX-License-Identifier: BSD-3-Clause
"""Energy barriers of Cu64Zr36 glasses: the recipe of the shipped model, and its tables.

FOLDER has the published glasses (glass0.npz …). Glasses 0 to 5 are trained on; all choices are made by
leaving out one of them after another, and glasses that are one sample (0 and 1) together. --validation
measures glass 6, the published validation, which takes part in nothing: once, at the end.

example:
  python benchmarks/barriers.py FOLDER --out cuzr-barriers
  python benchmarks/barriers.py FOLDER --bar
  python benchmarks/barriers.py FOLDER --moved
  python benchmarks/barriers.py FOLDER --explain pairs.png
  python benchmarks/barriers.py FOLDER --validation
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from insitu.models.barriers import save
from insitu.training.fit import barriers as fit
from insitu.training.fit.barriers import Glass, Score
from insitu.training.fit.ridge import Sums

#: Penalties of densities and of spectra among which the glasses that are left out decide.
PENALTIES = ((0.5, 30.0), (0.5, 100.0), (0.5, 300.0), (2.0, 100.0))
VALIDATION = 6


def table(found: dict[int, np.ndarray], ys: dict[int, np.ndarray]) -> None:
    print(
        "| glass left out | r | difference of the means (eV) | RMS error (eV) |\n|---|---|---|---|"
    )
    for k, p in found.items():
        s = Score.of(p, ys[k])
        print(f"| {k} | {s.r:.3f} | {s.bias:+.3f} | {s.rms:.3f} |")
    s = Score.of(np.concatenate([*found.values()]), np.concatenate([ys[k] for k in found]))
    print(f"| all together | {s.r:.3f} | {s.bias:+.3f} | {s.rms:.3f} |", flush=True)


def choose(glasses: list[Glass], out: Path | None) -> None:
    together = fit.groups(glasses)
    print(f"left out together: {together}", flush=True)
    ys = {g.number: g.barriers for g in glasses}
    by_number = {g.number: g for g in glasses}
    for group in (g for g in together if len(g) > 1):
        one, other = (by_number[k] for k in group[:2])
        r = float(np.corrcoef(one.barriers, other.barriers)[0, 1])
        print(
            f"glasses {group[:2]}: {fit.related(one, other):.2f} Å apart, labels correlate by {r:.3f}"
        )
    reduction = fit.Reduction.of(glasses, fit.SETTINGS)
    xs, sums = {}, {}
    for g in glasses:
        xs[g.number] = fit.features(g, fit.SETTINGS, reduction)
        sums[g.number] = Sums(xs[g.number], g.barriers, fit.errors_of(g))
        print(f"glass {g.number}: {xs[g.number].shape[1]} weights", flush=True)
    tried = {}
    for penalty in PENALTIES:
        found = fit.left_out(xs, ys, together, reduction.penalties(*penalty), sums)
        tried[penalty] = within = fit.mean_within(found, ys, together)
        print(f"penalties {penalty}: r within {within:.4f}", flush=True)
    penalty = max(tried, key=lambda p: tried[p])
    print(f"chosen: penalties {penalty}\n")
    penalties = reduction.penalties(*penalty)
    found = fit.left_out(xs, ys, together, penalties, sums)
    table(found, ys)
    if out:
        weight, constant = Sums.of(list(sums.values())).fit(penalties)
        pooled = Score.of(np.concatenate([*found.values()]), np.concatenate([*ys.values()]))
        card = fit.card_of(
            out.name, glasses, fit.SETTINGS, penalty=penalty,
            left_out_together=[list(g) for g in together],
            leave_one_out={str(k): round(Score.of(p, ys[k]).r, 4) for k, p in found.items()},
            leave_one_out_pooled=round(pooled.r, 4),
        )  # fmt: skip
        if (out / "card.json").is_file():  # how often the validation was looked at stays
            before = json.loads((out / "card.json").read_text())["more"]
            card.more["validation"] = {"looked_at": before["validation"]["looked_at"]}
        network = fit.network_of(weight, constant, fit.SETTINGS, reduction)
        print("written:", save(network, card, out))


def bar(glasses: list[Glass]) -> None:
    """The ridge regression to beat: radial densities of up to 7 Å, two averagings with a decay of 3 Å."""
    ys = {g.number: g.barriers for g in glasses}
    settings = replace(fit.SETTINGS, decay=3.0, angular=None)
    kinds, terms = len(settings.species), 5
    xs = {}
    for g in glasses:
        x = fit.features(g, settings)
        xs[g.number] = x.reshape(len(x), kinds, terms, -1)[:, :, :3].reshape(len(x), -1)
    together = fit.groups(glasses)
    print("the bar, glasses that are one sample left out together")
    table(fit.left_out(xs, ys, together, 10.0), ys)
    print("the bar, each glass left out alone")
    table(fit.left_out(xs, ys, [(k,) for k in xs], 10.0), ys)


def record(out: Path, score: Score) -> None:
    """Write what was found of glass 6 into the card of a model, with how many times it was looked at."""
    from insitu.models.barriers import load

    model = load(str(out))
    before = model.card.more.get("validation", {"looked_at": 0})
    model.card.more["validation"] = {
        "glass": VALIDATION, "r": round(score.r, 3), "bias": round(score.bias, 3),
        "looked_at": before["looked_at"] + 1,
    }  # fmt: skip
    save(fit.network_of(model.network.weight.ravel(), 0.0, model.card.settings), model.card, out)


def validate(folder: Path, glasses: list[Glass], out: Path | None) -> None:
    import insitu

    glass = fit.read(folder, VALIDATION)
    species = np.array(fit.SETTINGS.species)[glass.species]
    found = insitu.barriers(glass.positions, glass.box, True, species)
    s = Score.of(found, glass.barriers)
    print("| glass 6 | r | difference of the means (eV) | RMS error (eV) |\n|---|---|---|---|")
    print(f"| the shipped model | {s.r:.3f} | {s.bias:+.3f} | {s.rms:.3f} |")
    if out:
        record(out, s)
    apart = {g.number: fit.related(g, glass) for g in glasses}
    print(f"its mean barrier: {glass.barriers.mean():.2f} eV")
    print("median distance of its atoms from those of the others, in relative places (Å):")
    print(", ".join(f"glass {k} {d:.2f}" for k, d in apart.items()))
    from insitu.models.barriers import load

    card = load("cuzr-barriers").card
    others = [g for g in glasses if apart[g.number] >= 1.0]
    reduction = fit.Reduction.of(others, card.settings)
    sums = Sums.of(
        [
            Sums(fit.features(g, card.settings, reduction), g.barriers, fit.errors_of(g))
            for g in others
        ]
    )
    weight, constant = sums.fit(reduction.penalties(*card.more["penalty"]))
    predicted = fit.features(glass, card.settings, reduction) @ weight + constant
    s = Score.of(predicted, glass.barriers)
    print(f"| trained without its relatives | {s.r:.3f} | {s.bias:+.3f} | {s.rms:.3f} |")


def moved(glass: Glass) -> None:
    """What thermal motion does to the predictions: positions displaced at random."""
    import time

    import insitu

    species = np.array(fit.SETTINGS.species)[glass.species]
    rng = np.random.default_rng(0)
    begin = time.process_time()
    still = insitu.barriers(glass.positions, glass.box, True, species)
    spent = time.process_time() - begin
    print(f"processor time: {1e6 * spent / len(still):.0f} µs an atom")
    print("| displacement along each axis (Å) | r with those at rest | change of the mean (eV) |")
    print("|---|---|---|")
    for width in (0.01, 0.02, 0.05, 0.1):
        r = glass.positions + rng.normal(scale=width, size=glass.positions.shape)
        s = Score.of(insitu.barriers(r, glass.box, True, species), still)
        print(f"| {width:g} | {s.r:.3f} | {s.bias:+.3f} |", flush=True)


def explain(glass: Glass, picture: Path | None) -> None:
    """Which pairs matter: by how much the sum of all barriers changes when a neighbour moves away.

    By the gradient of the whole model, with the averages. Counts in neighbouring shells make up for each
    other, so that the weights themselves say little.
    """
    import torch

    from insitu.models.barriers import load

    model = load("cuzr-barriers")
    s = model.card.settings
    atoms, pairs, _ = fit.described(glass, s)
    centre = np.repeat(np.arange(len(atoms)), np.diff(pairs.offsets))
    kind = glass.species[atoms]
    vectors = torch.from_numpy(pairs.vectors).requires_grad_()
    given = (torch.from_numpy(centre), torch.from_numpy(pairs.other.astype(np.int64)), vectors)
    network = fit.network_of(model.network.weight.ravel(), 0.0, s)
    network(*given, torch.from_numpy(kind)).sum().backward()
    assert vectors.grad is not None
    slopes = (vectors.grad * vectors.detach()).sum(1).numpy() / pairs.distance
    edges, fine = np.arange(2.0, 7.01, 0.5), np.arange(2.2, s.cutoff + 0.01, 0.05)
    curves, rows = {}, []
    for a, first in enumerate(s.species):
        for b, second in enumerate(s.species):
            mine = (kind[centre] == a) & (kind[pairs.other] == b)
            r, values = pairs.distance[mine], slopes[mine]
            many, total = (np.histogram(r, edges, weights=w)[0] for w in (None, values**2))
            found = np.sqrt(total / np.maximum(many, 1))
            rows.append((f"{first}-{second}", np.where(many < 100, np.nan, found)))
            many, total = (np.histogram(r, fine, weights=w)[0] for w in (None, values))
            mean = np.where(many < 30, np.nan, total / np.maximum(many, 1))
            curves[f"{first}-{second}"] = mean
    print("root mean square over the pairs of the change of the barriers (eV/Å), by distance (Å)")
    print("| pair | " + " | ".join(f"{e:g}–{e + 0.5:g}" for e in edges[:-1]) + " |")
    print("|---" * len(edges) + "|")
    for name, spread in rows:
        cells = ("" if np.isnan(v) else f"{v:.2f}" for v in spread)
        print(f"| {name} | " + " | ".join(cells) + " |")
    if picture:
        import matplotlib as mpl

        mpl.use("Agg")
        from matplotlib import pyplot as plt

        figure, axes = plt.subplots(figsize=(6, 3.2), layout="constrained")
        for (name, part), style in zip(curves.items(), ("-", "--", "-.", ":"), strict=True):
            axes.plot(fine[:-1] + 0.025, part, style, linewidth=1.2, label=name)
        axes.axhline(0.0, color="#999999", linewidth=0.6)
        axes.set(xlabel="Distance (Å)", ylabel="Mean change of the barriers (eV/Å)")
        axes.set(xlim=(2.2, 7.0))
        axes.legend(frameon=False)
        figure.savefig(picture, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--out", type=Path, help="folder of the artefact; nothing is written without it"
    )
    parser.add_argument("--explain", nargs="?", const="", metavar="PNG", help="which pairs matter")
    parser.add_argument("--bar", action="store_true", help="the ridge regression to beat instead")
    parser.add_argument(
        "--moved", action="store_true", help="effect of thermal motion, and cost, instead"
    )
    parser.add_argument(
        "--validation",
        action="store_true",
        help="measure glass 6 instead; with --out, say so in that card",
    )
    options = parser.parse_args()
    glasses = [fit.read(options.folder, k) for k in fit.TRAINED]
    if options.validation:
        validate(options.folder, glasses, options.out)
    elif options.explain is not None:
        explain(glasses[3], Path(options.explain) if options.explain else None)
    elif options.moved:
        moved(glasses[3])
    elif options.bar:
        bar(glasses)
    else:
        choose(glasses, options.out)


if __name__ == "__main__":
    main()
