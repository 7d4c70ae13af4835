# SPDX-License-Identifier: BSD-3-Clause
"""Rebuild the network of `insitu.symmetry`, and measure it: the recipe, step by step.

    python benchmarks/powder_symmetry.py library WORK --shards 11       # random crystals (25 s a shard
    of 2020)
    python benchmarks/powder_symmetry.py fit WORK --minutes 75          # the residual network
    python benchmarks/powder_symmetry.py evidence WORK --patterns 2500  # indexing (0.4 s a pattern),
    and test sets
    python benchmarks/powder_symmetry.py again WORK                     # indexing of the same patterns anew
    python benchmarks/powder_symmetry.py combine WORK                   # the last step; writes the artefact
    python benchmarks/powder_symmetry.py tables WORK [--measured FILE]  # the tables of the card
    python benchmarks/powder_symmetry.py systems WORK         # what measured ones looked at are called
    python benchmarks/powder_symmetry.py cells WORK           # accuracy where the right cell was found
    python benchmarks/powder_symmetry.py monoclinic WORK      # how often a monoclinic cell is right
    python benchmarks/powder_symmetry.py orthorhombic WORK    # the same of orthorhombic ones, and groups

WORK is a folder for what lies between the steps. Evidence can run in several processes, each with its own
`--first`. Each step uses one core. FILE (npz: two_theta, intensity, labels230) holds measured patterns.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch

from insitu.diffraction.symmetry.classification import ARTIFACT
from insitu.diffraction.symmetry.groups import EXTINCTION_GROUPS, SYSTEMS, class_of
from insitu.models.networks.pattern_resnet import PatternResNet
from insitu.training.symmetry import combine, evidence, fit, library

SHARD = 64  # patterns in a file of evidence

#: By how much the logit of the triclinic system is lowered after the fit.
TRICLINIC = 1.0


def make_library(options: argparse.Namespace) -> None:
    folder = options.work / "library"
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(options.shards):
        made, kept = library.make(20, seed)
        library.save(made, folder / f"{seed:04d}.npz")
        print(f"shard {seed}: {len(made)} crystals, spglib agreed with {kept:.0%}", flush=True)
    library.save(library.make(8, 900)[0], options.work / "held_out.npz")


def run_fit(options: argparse.Namespace) -> None:
    fit.train(
        options.work / "library", options.work / "held_out.npz", options.work / "resnet.pt",
        time.time() + 60 * options.minutes, lambda line: print(line, flush=True),
    )  # fmt: skip


def make_evidence(options: argparse.Namespace) -> None:
    folder = options.work / "evidence"
    folder.mkdir(exist_ok=True)
    for number in range(options.first, options.first + -(-options.patterns // SHARD)):
        rng = np.random.default_rng(number)
        classes = rng.choice(len(EXTINCTION_GROUPS), SHARD, p=fit.class_shares())
        evidence.collect(classes, number * 7 + 1_000_000, 0.3, folder / f"train{number:03d}.npz")
        if number < 1:
            evidence.collect_unknown(
                fit.class_shares(), number, SHARD, folder / f"none{number:03d}.npz"
            )
        if number < 3:
            for start, (name, ideal) in enumerate((("perfect", 1.0), ("real", 0.0)), 2):
                classes = rng.permutation(len(EXTINCTION_GROUPS))
                path = folder / f"{name}{number:03d}.npz"
                evidence.collect(classes, number * 7 + start * 1_000_000, ideal, path)


def index_again(options: argparse.Namespace) -> None:
    """Index the patterns of WORK/evidence anew, after a change of the indexing."""
    for path in sorted((options.work / "evidence").glob("*.npz")):
        print(path.name, flush=True)
        evidence.again(path, path)


def resnet_of(options: argparse.Namespace) -> PatternResNet:
    network = PatternResNet(len(EXTINCTION_GROUPS) + 1)
    network.load_state_dict(torch.load(options.work / "resnet.pt")["mean"])
    return network.eval()


def run_combine(options: argparse.Namespace) -> None:
    network = resnet_of(options)
    paths = sorted((options.work / "evidence").glob("train*.npz"))
    paths += sorted((options.work / "evidence").glob("none*.npz"))
    data = combine.read(paths, network)
    model = combine.fit(data, network.state_dict())
    # In measured patterns lattices explain the lines less well than in synthetic ones, and what none
    # explains was called triclinic too often. By the patterns looked at; no synthetic figure changes.
    with torch.no_grad():
        model.system[-1].bias[list(SYSTEMS).index("triclinic")] -= TRICLINIC
    ARTIFACT.parent.mkdir(exist_ok=True)
    torch.jit.script(model.half()).save(str(ARTIFACT))
    print(
        f"fitted to {len(data['classes'])} patterns; {ARTIFACT}: {ARTIFACT.stat().st_size / 1e6:.1f} MB"
    )


def scored(model: torch.jit.ScriptModule, data: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return logarithms of probabilities, shape (k, 102)."""
    with torch.no_grad():
        found: torch.Tensor = model.combine(
            *(data[n] for n in ("image", "observed", "missing", "summary"))
        )
    return found


def tables(options: argparse.Namespace) -> None:
    network = resnet_of(options)
    model = torch.jit.load(str(ARTIFACT)).float().eval()
    print("| patterns | | n | top-1 | top-3 | top-5 | system | calibration error |")
    print("|---|---|---|---|---|---|---|---|")

    def rows(name: str, data: dict[str, torch.Tensor]) -> None:
        all_of_it = scored(model, data)
        for what, scores in (("whole", all_of_it), ("residual network alone", data["image"])):
            found = combine.accuracy(scores.numpy(), data["classes"].numpy())
            shares = " | ".join(f"{found[k]:.1%}" for k in ("top-1", "top-3", "top-5", "system"))
            print(
                f"| {name} | {what} | {found['patterns']} | {shares} | {found['calibration error']:.3f} |"
            )

    for name, title in (("perfect", "synthetic, perfect"), ("real", "synthetic, as measured")):
        paths = sorted((options.work / "evidence").glob(f"{name}*.npz"))
        if paths:
            rows(title, combine.read(paths, network))
    if options.measured:
        path = options.work / "measured.npz"
        if not path.exists():
            with np.load(options.measured) as file:
                numbers = file["labels230"] + 1
                evidence.of_measured(
                    file["two_theta"], file["intensity"], [class_of(int(n)) for n in numbers], path
                )
        whole = combine.read([path], network)
        third = torch.arange(len(whole["classes"])) % 3 == 0
        rows("measured, looked at", {k: v[third] for k, v in whole.items()})
        rows("measured, final", {k: v[~third] for k, v in whole.items()})


def systems_of_measured(options: argparse.Namespace) -> None:
    """Print which system is read how often, for each true one, of the measured patterns looked at."""
    model = torch.jit.load(str(ARTIFACT)).float().eval()
    data = combine.read([options.work / "measured.npz"], resnet_of(options))
    third = torch.arange(len(data["classes"])) % 3 == 0
    p = scored(model, data)[third]
    of_group = np.array([g.system for g in EXTINCTION_GROUPS])
    names = list(SYSTEMS)
    by_system = np.stack([p.exp()[:, :-1].numpy()[:, of_group == n].sum(1) for n in names], 1)
    called = by_system.argmax(1)
    true = of_group[data["classes"][third].numpy()]
    print(f"| true, called | {' | '.join(names)} |\n|---|{'---|' * len(names)}")
    for name in names:
        counts = np.bincount(called[true == name], minlength=len(names))
        print(f"| {name} | {' | '.join(map(str, counts))} |")


def right_cells(options: argparse.Namespace) -> None:
    """Print how often groups of the perfect patterns are right where the cell is, and where it is not."""
    from insitu.diffraction.lattices.monoclinic import reduced
    from insitu.diffraction.symmetry.features import describe
    from insitu.diffraction.symmetry.found import KIND_OF
    from insitu.training.symmetry import render

    model = torch.jit.load(str(ARTIFACT)).float().eval()
    network = resnet_of(options)
    found: dict[str, list[tuple[bool, bool, bool]]] = {}
    for number in range(3):
        path = options.work / "evidence" / f"perfect{number:03d}.npz"
        p = scored(model, combine.read([path], network)).numpy()[:, :-1]
        with np.load(path) as file:
            patterns, classes = file["patterns"].astype(float), file["classes"]
        cells = library.make_classes(classes, number * 7 + 2_000_000)[0].cells.astype(float)
        true = render.reciprocal_metric(cells)[:, [0, 1, 2, 4]]
        for k, own, pattern, scores in zip(classes, true, patterns, p, strict=True):
            kind = KIND_OF.get(EXTINCTION_GROUPS[k].system)
            lattices = [x for x in describe(pattern).lattices if x.kind == kind]
            if not lattices:
                right = False
            elif kind == "monoclinic":
                right = np.allclose(
                    reduced(lattices[0].abc[None])[0, :3], reduced(own[None])[0, :3], rtol=0.01
                )
            else:
                right = np.allclose(np.sort(lattices[0].abc), np.sort(own[:3]), rtol=0.01)
            rank = int((scores > scores[k]).sum())
            system = EXTINCTION_GROUPS[scores.argmax()].system == EXTINCTION_GROUPS[k].system
            key = "no lattice" if kind is None else "right" if right else "wrong"
            for name in (EXTINCTION_GROUPS[k].system, "all"):
                found.setdefault(f"{name} | {key}", []).append((rank < 1, rank < 5, system))
    print("| system | cell | n | top-1 | top-5 | of the system |\n|---|---|---|---|---|---|")
    for name, rows in sorted(found.items()):
        shares = " | ".join(f"{v:.0%}" for v in np.mean(rows, axis=0))
        print(f"| {name} | {len(rows)} | {shares} |")


def monoclinic_cells(options: argparse.Namespace) -> None:
    """Print how often the monoclinic lattice with the best evidence is that of the crystal."""
    from insitu.diffraction.lattices.monoclinic import reduced
    from insitu.diffraction.symmetry.classification import SHOWN
    from insitu.diffraction.symmetry.features import describe
    from insitu.training.symmetry import render, structures

    members = [k for k, g in enumerate(EXTINCTION_GROUPS) if g.system == "monoclinic"]
    crystals, _ = library.make_classes(np.repeat(members, options.crystals), 99_000_000)
    which = np.arange(len(crystals))
    print(
        "| patterns | crystals | right | shown | right of those | seconds each |\n|---|---|---|---|---|---|"
    )
    for name, perfect in (("perfect", True), ("as measured", False)):
        cells = crystals.cells.astype(float)
        rng = np.random.default_rng(3)
        if not perfect:  # the strain of the cells is drawn first
            systems = np.array([structures.system_of(int(g)) for g in crystals.numbers])
            cells = render._strained(cells, systems, np.random.default_rng(3))
        true = reduced(render.reciprocal_metric(cells)[:, [0, 1, 2, 4]])
        patterns = render.render(crystals, which, rng, render.Instrument(perfect))
        begin, rows = time.process_time(), []
        for pattern, own in zip(patterns, true, strict=True):
            found = [x for x in describe(pattern).lattices if x.kind == "monoclinic"]
            same = found and np.allclose(reduced(found[0].abc[None])[0, :3], own[:3], rtol=0.01)
            rows.append((bool(same), bool(found) and found[0].score >= SHOWN))
        right, shown = np.array(rows).T
        each = (time.process_time() - begin) / len(rows)
        print(
            f"| {name} | {len(rows)} | {right.mean():.0%} | {shown.mean():.0%} | {right[shown].mean():.0%} "
            f"| {each:.1f} |", flush=True,
        )  # fmt: skip


def orthorhombic_cells(options: argparse.Namespace) -> None:
    """Print how often the cell with the best evidence is that of the crystal, and its group the first."""
    from insitu.training.symmetry import render

    members = [k for k, g in enumerate(EXTINCTION_GROUPS) if g.system == "orthorhombic"]
    crystals, _ = library.make_classes(np.repeat(members, 3), 77_002)
    true = render.reciprocal_metric(crystals.cells.astype(float))[:, :3]
    which, rng = np.arange(len(crystals)), np.random.default_rng(3)
    patterns = render.render(crystals, which, rng, render.Instrument(True)).astype(np.float16)
    path = options.work / "orthorhombic.npz"
    ideal = np.ones(len(crystals), dtype=bool)
    begin = time.process_time()
    features = evidence.save(path, patterns.astype(float), crystals.classes, ideal)
    each = (time.process_time() - begin) / len(features)
    right = [
        any(
            x.kind == "orthorhombic" and np.allclose(np.sort(x.abc), np.sort(own), rtol=0.01)
            for x in found.lattices
        )
        for found, own in zip(features, true, strict=True)
    ]
    model = torch.jit.load(str(ARTIFACT)).float().eval()
    data = combine.read([path], model.resnet)
    shares = combine.accuracy(scored(model, data).numpy(), crystals.classes)
    told = " | ".join(f"{shares[k]:.0%}" for k in ("top-1", "top-5", "system"))
    print(
        "| crystals | cell right | top-1 | top-5 | system | seconds each |\n|---|---|---|---|---|---|"
    )
    print(f"| {len(right)} | {np.mean(right):.0%} | {told} | {each:.1f} |")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    steps = {"library": make_library, "fit": run_fit, "evidence": make_evidence,
             "again": index_again, "combine": run_combine,
             "tables": tables, "systems": systems_of_measured, "cells": right_cells,
             "monoclinic": monoclinic_cells, "orthorhombic": orthorhombic_cells}  # fmt: skip
    parser.add_argument("step", choices=steps)
    parser.add_argument("work", type=Path, metavar="WORK")
    parser.add_argument("--shards", type=int, default=11)
    parser.add_argument("--minutes", type=float, default=75)
    parser.add_argument("--patterns", type=int, default=2500)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--measured", type=Path)
    parser.add_argument("--crystals", type=int, default=16, help="of each monoclinic group (16)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    steps[options.step](options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
