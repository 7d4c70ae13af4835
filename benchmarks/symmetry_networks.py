# SPDX-License-Identifier: BSD-3-Clause
"""What networks learn of powder patterns: which network, which labels, from which crystals, from how many.

    python benchmarks/symmetry_networks.py data WORK [--list FILE]   # crystals, once
    python benchmarks/symmetry_networks.py fit WORK [--steps 1000]    # the rows that WORK/rows.json lacks
    python benchmarks/symmetry_networks.py table WORK
    python benchmarks/symmetry_networks.py alike WORK     # whether tests are in what is learned
    python benchmarks/symmetry_networks.py shipped WORK   # whether they help what is shipped

FILE is matminer's flla_2015.csv, crystals of the Materials Project: the biased set is made of them, and a
random one with their shares of space groups. Without it the rows on the biased sets are left out. All rows
have the same number of steps, one core, one thread; the seconds of processor time are in the table.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from powder_symmetry import scored
from torch import nn

from insitu.diffraction.patterns.grid import network_input
from insitu.diffraction.symmetry.classification import ARTIFACT
from insitu.diffraction.symmetry.groups import EXTINCTION_GROUPS
from insitu.models.networks.pattern_resnet import PatternResNet
from insitu.training.structures.tensor_tables import read_energies
from insitu.training.symmetry import combine, comparison, evidence, library, listed
from insitu.training.symmetry.comparison import POINTS, Patterns
from insitu.training.symmetry.networks import ParkCNN, PatternTransformer, ResNet10
from insitu.training.symmetry.render import Instrument, render

#: Crystals of each class in a file of the training set, and how many files.
SHARD, SHARDS = 20, 5
CLASSES = len(EXTINCTION_GROUPS)
#: Entries of the sets about duplicates, and crystals in them: a third are copies, as in the ICSD.
ENTRIES, CRYSTALS = 3788, 2525


def make_data(options: argparse.Namespace) -> None:
    work = options.work
    work.mkdir(parents=True, exist_ok=True)

    def once(name: str, make: Callable[[], library.Library]) -> None:
        if not (work / name).exists():
            library.save(make(), work / name)
            print(name, flush=True)

    once("test.npz", lambda: library.make(12, 901)[0])
    for seed in range(SHARDS):
        once(f"train{seed}.npz", lambda seed=seed: library.make(SHARD, seed)[0])
    if options.list is None:
        return
    records = read_energies(options.list)
    for part in ("train", "test"):
        once(f"listed_{part}.npz", lambda part=part: listed.library_of(records, part)[0])
    shares = np.bincount(library.load([work / "listed_train.npz"]).numbers, minlength=231)[1:]
    once("by_shares.npz", lambda: drawn_by(shares, CRYSTALS, 902))
    once("by_shares_test.npz", lambda: drawn_by(shares, 600, 903))


def drawn_by(counts: np.ndarray, crystals: int, seed: int) -> library.Library:
    """Random crystals with given shares of space groups, shape (230,)."""
    groups = [np.array(g.space_groups) - 1 for g in EXTINCTION_GROUPS]
    shares = np.array([counts[g].sum() for g in groups]) / counts.sum()
    classes = np.random.default_rng(seed).choice(CLASSES, crystals, p=shares)
    return library.make_classes(classes, seed, counts)[0]


def balanced(work: Path, per_class: int) -> Patterns:
    """So many crystals of each class, the first of the training set."""
    files = [work / f"train{seed}.npz" for seed in range(-(-per_class // SHARD))]
    crystals = library.load(files)
    return comparison.patterns_of(comparison.take(crystals, np.arange(per_class * CLASSES)), 1)


def in_ln_q(work: Path, names: list[str], seed: int) -> Patterns:
    """What the shipped residual network reads of perfect patterns."""
    crystals = library.load([work / f"{name}.npz" for name in names])
    rng, parts = np.random.default_rng(seed), []
    for start in range(0, len(crystals), 256):
        which = np.arange(start, min(start + 256, len(crystals)))
        parts.append(
            network_input(render(crystals, which, rng, Instrument(True))).astype(np.float16)
        )
    return Patterns(np.concatenate(parts), crystals.numbers, np.arange(len(crystals)))


class Rows:
    """The rows of the table, each fitted and measured when it is asked for."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.path = options.work / "rows.json"
        self.rows = json.loads(self.path.read_text()) if self.path.exists() else {}
        names = {"balanced": "test", "listed": "listed_test", "by shares": "by_shares_test"}
        self.tests = {
            name: comparison.patterns_of(library.load([options.work / f"{file}.npz"]), 2)
            for name, file in names.items()
            if (options.work / f"{file}.npz").exists()
        }

    def add(
        self, name: str, network: Callable[[], nn.Module], patterns: Callable[[], Patterns],
        *, tests: Callable[[], dict[str, Patterns]] | None = None,
        more: dict[str, Patterns] | None = None, space_groups: bool = False,
    ) -> None:  # fmt: skip
        """Fit and measure a row, unless it is there."""
        if name in self.rows:
            return
        data = patterns()
        torch.manual_seed(self.options.seed)
        begin, made = time.process_time(), network()
        comparison.fit(made, data, self.options.steps, self.options.seed, space_groups)
        row = {
            "n": len(data.numbers), "seconds": time.process_time() - begin,
            "weights": sum(p.numel() for p in made.parameters()), "steps": self.options.steps,
        }  # fmt: skip
        for test, given in ((tests() if tests else self.tests) | (more or {})).items():
            row[test] = comparison.measure(made, given)
        self.rows[name] = row
        self.path.write_text(json.dumps(self.rows, indent=1))
        print(name, json.dumps(row), flush=True)
        torch.save(made.state_dict(), self.options.work / f"{name.replace(' ', '_')}.pt")


def run_fit(options: argparse.Namespace) -> None:
    work, rows = options.work, Rows(options)

    def resnet() -> nn.Module:
        return ResNet10(POINTS, CLASSES)

    rows.add("ResNet10, 10100 balanced", resnet, lambda: balanced(work, 100))
    if "listed" in rows.tests:
        real = comparison.patterns_of(library.load([work / "listed_train.npz"]), 3)
        real = real.part(np.random.default_rng(6).permutation(len(real.numbers))[:CRYSTALS])
        drawn = library.load([work / "by_shares.npz"])
        rows.add("ResNet10, listed", resnet, lambda: real)
        rows.add("ResNet10, by shares", resnet, lambda: comparison.patterns_of(drawn, 4))
    rows.add("ResNet10, 2525 balanced", resnet, lambda: balanced(work, 25))
    rows.add("Park, 10100 balanced", lambda: ParkCNN(POINTS, CLASSES), lambda: balanced(work, 100))
    rows.add(
        "ResNet10, 10100 balanced, space groups", lambda: ResNet10(POINTS, 230),
        lambda: balanced(work, 100), space_groups=True,
    )  # fmt: skip
    rows.add("ResNet10, 505 balanced", resnet, lambda: balanced(work, 5))
    rows.add("ResNet10, 1010 balanced", resnet, lambda: balanced(work, 10))
    rows.add(
        "Transformer, 10100 balanced", lambda: PatternTransformer(POINTS, CLASSES),
        lambda: balanced(work, 100),
    )  # fmt: skip
    rows.add(
        "ln Q, 10100 balanced", lambda: PatternResNet(CLASSES),
        lambda: in_ln_q(work, [f"train{seed}" for seed in range(SHARDS)], 1),
        tests=lambda: {"balanced": in_ln_q(work, ["test"], 2)},
    )  # fmt: skip
    if "listed" in rows.tests:
        duplicates(rows, resnet, drawn)


def duplicates(rows: Rows, resnet: Callable[[], nn.Module], drawn: library.Library) -> None:
    """A biased set a third of which are copies, split at random, and the same without copies."""
    rng = np.random.default_rng(5)
    entries = comparison.patterns_of(drawn, 5, comparison.with_copies(CRYSTALS, ENTRIES, rng))
    test = np.zeros(ENTRIES, dtype=bool)
    test[rng.choice(ENTRIES, 600, replace=False)] = True
    learned = entries.part(np.flatnonzero(~test))
    rows.add(
        "ResNet10, with copies", resnet, lambda: learned,
        more={"split at random": entries.part(np.flatnonzero(test))},
    )  # fmt: skip
    _, once = np.unique(learned.crystals, return_index=True)
    # Of what is tested no copy is learned.
    apart = test & ~np.isin(entries.crystals, learned.crystals)
    rows.add(
        "ResNet10, copies taken out", resnet, lambda: learned.part(np.sort(once)),
        more={"split at random": entries.part(np.flatnonzero(apart))},
    )  # fmt: skip


TESTS = ("balanced", "listed", "by shares", "split at random")


def table(options: argparse.Namespace) -> None:
    """Print top-1 / top-3 / top-5 of extinction groups, and top-1 of systems, in percent."""
    rows = json.loads((options.work / "rows.json").read_text())
    print(f"| row | crystals | {' | '.join(TESTS)} | processor time |")
    print(f"|---|---|{'---|' * len(TESTS)}---|")
    for name, row in rows.items():
        cells = []
        for test in TESTS:
            found = row.get(test)
            shares = (
                [f"{100 * found[k]:.1f}" for k in ("top-1", "top-3", "top-5", "system")]
                if found
                else []
            )
            cells.append(f"{' / '.join(shares[:3])}; {shares[3]}" if found else "")
        print(f"| {name} | {row['n']} | {' | '.join(cells)} | {row['seconds']:.0f} s |")


def alike(options: argparse.Namespace) -> None:
    """Print how many patterns of the tests are nearly one that is learned from."""
    work, tests = options.work, Rows(options).tests
    print("| test | n | cosine over 0.98 | over 0.95 | median |\n|---|---|---|---|---|")
    learned = {"balanced": lambda: balanced(work, SHARD * SHARDS)}
    for name, file in (("listed", "listed_train"), ("by shares", "by_shares")):
        path = work / f"{file}.npz"
        learned[name] = lambda path=path: comparison.patterns_of(library.load([path]), 1)
    for name, test in tests.items():
        near = comparison.likeness(test, learned[name]())
        counts = f"{(near > 0.98).sum()} | {(near > 0.95).sum()} | {np.median(near):.2f}"
        print(f"| {name} | {len(near)} | {counts} |")


def with_shipped(options: argparse.Namespace) -> None:
    """Print what the logits of the networks add to what `insitu.symmetry` finds."""
    path = options.work / "calibration.npz"
    if not path.exists():
        evidence.collect(np.arange(CLASSES), 44_000_001, 1.0, path)
    model = torch.jit.load(str(ARTIFACT)).float().eval()
    data = combine.read([path], model.resnet)
    with np.load(path) as file:
        patterns = file["patterns"].astype(np.float32)
    shipped = scored(model, data).numpy()
    kinds = {"ResNet10": ResNet10, "Park": ParkCNN, "Transformer": PatternTransformer}
    print("| added, times | top-1 | top-3 | top-5 |\n|---|---|---|---|")

    def row(name: str, scores: np.ndarray) -> None:
        found = combine.accuracy(scores, data["classes"].numpy())
        print(f"| {name} | {' | '.join(f'{found[k]:.1%}' for k in ('top-1', 'top-3', 'top-5'))} |")

    row("nothing", shipped)
    for name in (*kinds, "ln Q"):
        weights = options.work / f"{name},_10100_balanced.pt".replace(" ", "_")
        if not weights.exists():
            continue
        network = kinds[name](POINTS, CLASSES) if name in kinds else PatternResNet(CLASSES)
        network.load_state_dict(torch.load(weights))
        values = comparison.coarse(patterns) if name in kinds else network_input(patterns)
        given = Patterns(values, np.ones(CLASSES), np.arange(CLASSES))
        said = comparison.log_probabilities(network.eval(), given).clip(min=-8)
        row(f"{name} alone", said)
        for weight in (0.1, 0.2, 0.4):
            row(f"{name}, {weight}", shipped[:, :CLASSES] + weight * said)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    steps = {
        "data": make_data,
        "fit": run_fit,
        "table": table,
        "alike": alike,
        "shipped": with_shipped,
    }
    parser.add_argument("step", choices=steps)
    parser.add_argument("work", type=Path, metavar="WORK")
    parser.add_argument("--list", type=Path, metavar="FILE")
    parser.add_argument("--steps", type=int, default=1000, help="of 32 patterns each (1000)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    steps[options.step](options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
