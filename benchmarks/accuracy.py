# SPDX-License-Identifier: BSD-3-Clause
"""Accuracy of a general model on the headline elements of its recipe, beside PTM and a-CNA.

Prints the tables and, with --card, writes them into the model's README. The trajectories are those
of `insitu train` (made if they are missing); interfaces are measured on the snapshots that
benchmarks/melting.py leaves in the same folder. OVITO (pip install 'insitu[bench]') gives PTM and
a-CNA on the very same configurations; without it their columns are left out.

example:
  python benchmarks/accuracy.py --data data --card
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from insitu.models.graph import GraphModel
from insitu.models.store import load
from insitu.offline import classify_with
from insitu.training.accuracy import (
    Case,
    Measured,
    Score,
    cases,
    count,
    evaluate,
)  # fmt: skip
from insitu.training.dynamics import load as load_job
from insitu.training.dynamics import simulate
from insitu.training.jobs import jobs
from insitu.training.tables import markdown, tables, training_card
from insitu.training.train import load_recipe

Labels = NDArray[np.int64]
#: Half width of what is left out around an interface, in spacings.
MASK = 1.5


def other_methods(classes: list[str]) -> dict[str, Callable[[NDArray, NDArray], Labels]]:
    """Return PTM (RMSD 0.1 and without a limit) and a-CNA from OVITO; nothing without OVITO."""
    try:
        from ovito.data import DataCollection, Particles, SimulationCell
        from ovito.modifiers import (
            CommonNeighborAnalysisModifier,
            IdentifyDiamondModifier,
            PolyhedralTemplateMatchingModifier,
        )  # fmt: skip
    except ImportError:
        return {}
    number = {c: k for k, c in enumerate(classes)}
    ptm = PolyhedralTemplateMatchingModifier
    kinds = {
        ptm.Type.FCC: "fcc", ptm.Type.HCP: "hcp", ptm.Type.BCC: "bcc", ptm.Type.SC: "sc",
        ptm.Type.CUBIC_DIAMOND: "cubic_diamond", ptm.Type.HEX_DIAMOND: "hexagonal_diamond",
    }  # fmt: skip

    def collection(r: NDArray, cell: NDArray) -> DataCollection:
        data = DataCollection()
        box = SimulationCell(pbc=(True, True, True))
        box[:, :3] = cell.T
        data.objects.append(box)
        particles = Particles(count=len(r))
        particles.create_property("Position", data=r)
        data.objects.append(particles)
        return data

    def matching(limit: float) -> Callable[[NDArray, NDArray], Labels]:
        def run(r: NDArray, cell: NDArray) -> Labels:
            data = collection(r, cell)
            modifier = ptm(rmsd_cutoff=limit)
            for kind in kinds:
                modifier.structures[kind].enabled = True
            data.apply(modifier)
            found = np.asarray(data.particles["Structure Type"])
            out = np.full(len(r), number["disordered"])
            for kind, name in kinds.items():
                out[found == int(kind)] = number[name]
            return out

        return run

    def cna(r: NDArray, cell: NDArray) -> Labels:
        data = collection(r, cell)
        data.apply(CommonNeighborAnalysisModifier())
        types, found = (
            CommonNeighborAnalysisModifier.Type,
            np.asarray(data.particles["Structure Type"]),
        )
        out = np.full(len(r), number["disordered"])
        for kind, name in ((types.FCC, "fcc"), (types.HCP, "hcp"), (types.BCC, "bcc")):
            out[found == int(kind)] = number[name]
        data.apply(IdentifyDiamondModifier())
        types, found = IdentifyDiamondModifier.Type, np.asarray(data.particles["Structure Type"])
        for kind, name in (
            (types.CUBIC_DIAMOND, "cubic_diamond"),
            (types.HEX_DIAMOND, "hexagonal_diamond"),
        ):
            out[found == int(kind)] = number[name]
        return out

    limits = (0.0, 0.2, 0.15, 0.12, 0.1)
    return {f"PTM {limit:g}" if limit else "PTM no limit": matching(limit) for limit in limits} | {
        "a-CNA": cna
    }


def interfaces(
    model: GraphModel, folder: Path, materials: list[dict], methods: dict
) -> list[list[str]]:
    """Return rows: labels right on both sides of crystal–liquid interfaces, and their position.

    The sides are told by a-CNA of the quenched snapshot, averaged over the cross-section.
    """
    rows = []
    classes = model.card.classes
    for m in materials:
        path = folder / f"{m['name']}-coexistence.npz"
        if not path.exists() or "a-CNA" not in methods:
            continue
        truth = classes.index(next(iter(m["structures"])))
        liquid = classes.index("disordered")
        with np.load(path) as z:
            r, cell, quenched, quenched_cell = (
                z["positions"][-1], z["cell"][-1], z["quenched"], z["quenched_cell"]
            )  # fmt: skip
            if not bool(z["both"]):
                continue
        length = float(np.cbrt(np.linalg.det(cell) / len(r)))
        crystal = methods["a-CNA"](quenched, quenched_cell) == truth
        share, edges = profile(r, cell, crystal, length)
        walls = crossings(share, edges)
        if len(walls) != 2:
            rows.append([m["name"], f"{len(walls)} interfaces: left out", "–", "–", "–"])
            continue
        z = r[:, 2] % cell[2, 2]
        side = share[np.minimum((z / cell[2, 2] * len(share)).astype(int), len(share) - 1)] > 0.5
        apart = np.abs((z[:, None] - walls + cell[2, 2] / 2) % cell[2, 2] - cell[2, 2] / 2).min(
            axis=1
        )
        used = apart > MASK * length
        found = classify_with(model, r, cell, True).probabilities.argmax(1)
        right = np.where(side, found == truth, found == liquid)
        mine = crossings(profile(r, cell, found == truth, length)[0], edges)
        shift = "–"
        if len(mine) == 2:
            d = np.abs((mine[:, None] - walls + cell[2, 2] / 2) % cell[2, 2] - cell[2, 2] / 2)
            shift = f"{d.min(axis=1).max():.1f}"
        rows.append([
            m["name"], f"{100 * right[used].mean():.2f}", f"{100 * right[used & side].mean():.2f}",
            f"{100 * right[used & ~side].mean():.2f}", shift,
        ])  # fmt: skip
    return rows


def profile(r: NDArray, cell: NDArray, crystal: NDArray, length: float) -> tuple[NDArray, NDArray]:
    """Return the crystalline share in slices along z (three-slice mean) and the slices' edges [Å]."""
    slices = max(8, round(cell[2, 2] / length))
    at = np.minimum((r[:, 2] % cell[2, 2] / cell[2, 2] * slices).astype(int), slices - 1)
    n = np.bincount(at, minlength=slices)
    share = np.bincount(at, weights=crystal, minlength=slices) / np.maximum(n, 1)
    mean = (np.roll(share, 1) + share + np.roll(share, -1)) / 3
    return mean, np.linspace(0, cell[2, 2], slices + 1)


def crossings(share: NDArray, edges: NDArray) -> NDArray:
    """Return where a periodic profile crosses one half."""
    return edges[:-1][(share > 0.5) != (np.roll(share, 1) > 0.5)]


def comparison(classes: list[str], scores: dict[str, list[Score]]) -> str:
    """Return a table of all methods: accuracy by kind of sample, material and class."""
    cells: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    for method, found in scores.items():
        for s in found:
            if s.deformed >= 0 or s.temperature not in (0.5, 0.85, 0.9, 1.0):
                continue
            if s.kind.startswith("stack") and s.kind != "stack-faults":
                continue
            kind = {"melt": "liquid", "stack-faults": "fault layers"}.get(s.kind, "crystal")
            if kind == "fault layers" and classes[s.truth] != "hcp":
                continue
            gone = f", {100 * s.removed:.0f} % removed" if s.removed else ""
            if gone and s.temperature != 0.5:
                continue
            name = f"{s.material} {kind} at {s.temperature:g} T_m{gone} ({classes[s.truth]})"
            cell = cells[name][method]
            cell[0] += int(s.counts[s.truth])
            cell[1] += int(s.counts.sum())
    rows = []
    for name in sorted(cells):
        line = [name]
        for method in scores:
            right, total = cells[name][method]
            line.append(f"{100 * right / total:.2f}" if total else "–")
        rows.append(line)
    return markdown(["right labels (%)", *scores], rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="metals")
    parser.add_argument("--recipe", default="metals")
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--out", type=Path, help="Markdown file to write")
    parser.add_argument("--card", action="store_true", help="write the README beside the model")
    parser.add_argument("--present", action="store_true", help="only trajectories that are there")
    options = parser.parse_args()
    recipe, _ = load_recipe(options.recipe)
    model = load(options.model)
    assert isinstance(model, GraphModel)
    classes = model.card.classes
    methods = other_methods(classes)
    mine, others = Measured(), {name: [] for name in methods}
    for job in jobs(recipe, "headline"):
        if not options.present:
            simulate(job, recipe["protocol"], options.data)
        elif not (options.data / f"{job.name}.npz").exists():
            print(f"not there: {job.name}")
            continue
        found = list(cases(classes, load_job(job, options.data), job.seed))
        merge(mine, evaluate(model.card, [(c, probabilities(model, c)) for c in found]))
        for name, label in methods.items():
            for c in found:
                others[name] += count(label(c.positions, c.sample.cell), c.labels, c, len(classes))
    strains = recipe.get("headline", {}).get("strain_names")
    text = tables(classes, mine, strains)
    rows = interfaces(model, options.data, recipe["material"], methods)
    if rows:
        head = [
            "material",
            "right (%)",
            "crystal side (%)",
            "liquid side (%)",
            "interface off by (Å)",
        ]
        text += f"### Crystal–liquid interfaces at T_m ({MASK} spacings about them left out)\n\n"
        text += markdown(head, rows)
    if methods:
        text += "### Beside other methods, on the same configurations\n\n"
        text += comparison(classes, {"insitu": mine.scores} | others)
    print(text)
    if options.out:
        options.out.write_text(text)
    if options.card:
        with np.load(_weights(model.path)) as z:
            size = z["weights"].size
        (model.path.parent / "README.md").write_text(training_card(model.card, size, text))
        (model.path.parent / "card.json").write_text(
            json.dumps(json.loads(model.card.to_json()), indent=1) + "\n"
        )


def probabilities(model: GraphModel, c: Case) -> NDArray[np.float32]:
    return classify_with(model, c.positions, c.sample.cell, True).probabilities


def merge(into: Measured, more: Measured) -> None:
    into.scores += more.scores
    into.calibration += more.calibration
    into.thresholds += more.thresholds


def _weights(path: Path):
    import io
    import zipfile

    with zipfile.ZipFile(path) as archive:
        (name,) = [n for n in archive.namelist() if n.endswith("insitu.npz")]
        return io.BytesIO(archive.read(name))


if __name__ == "__main__":
    main()
