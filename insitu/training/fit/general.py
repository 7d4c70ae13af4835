# SPDX-License-Identifier: BSD-3-Clause
"""Training of a model with a graph layer: data, network, selection, artefact. Resumable, seeded."""

from __future__ import annotations

import copy
import json
import logging
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from insitu.descriptors.neighbors_map import NeighborsMap
from insitu.errors import DeckError, SettingError
from insitu.models.card import Card
from insitu.models.engines.graph import GraphSettings
from insitu.models.export import save
from insitu.models.networks.neighbors_map import NeighborsMapGraph
from insitu.models.store import load
from insitu.progress import bar
from insitu.training.data.graphs import Graph, graphs
from insitu.training.dynamics import simulate as dynamics
from insitu.training.dynamics.simulate import simulate
from insitu.training.dynamics.trajectories import ROLES, jobs
from insitu.training.fit.coverage import coverage_limits
from insitu.training.fit.start import started
from insitu.training.structures.no_class import without_dynamics
from insitu.training.structures.sample import Sample
from insitu.training.tables.accuracy import cases, measure, threshold_for
from insitu.training.tables.general import tables, training_card

log = logging.getLogger(__name__)


def generate(recipe: dict[str, Any], role: str, data: Path, *, workers: int = 1) -> None:
    """Run the trajectories of one part of the split that `data` does not hold yet."""
    with ThreadPoolExecutor(workers) as pool:
        runs = [pool.submit(simulate, job, recipe["protocol"], data) for job in jobs(recipe, role)]
        for run in bar(runs, f"molecular dynamics, {role}"):
            try:
                run.result()
            except DeckError as error:
                for other in runs:
                    other.cancel()
                raise DeckError(
                    f"{error}\nwhat is finished is kept: correct the recipe and start again"
                ) from None


def samples(recipe: dict[str, Any], role: str, data: Path) -> list[Sample]:
    """Return the labelled configurations of one part of the split."""
    return [s for job in jobs(recipe, role) for s in dynamics.load(job, data)]


def classes_of(recipe: dict[str, Any]) -> list[str]:
    """Return the recipe's classes, or those that its materials have, and "disordered"."""
    if "classes" in recipe:
        return list(recipe["classes"])
    found = [c for m in recipe["material"] for c in m["structures"]]
    if any(m.get("stacking") for m in recipe["material"]):
        found += ["hcp"] if "fcc" in found else ["hexagonal_diamond"]
    return [*dict.fromkeys(found), "disordered"]


def _batch(parts: list[Graph]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    offset, neighbors = 0, []
    for g in parts:
        neighbors.append(np.where(g.neighbors >= 0, g.neighbors + offset, -1))
        offset += len(g.labels)
    return (
        torch.from_numpy(np.concatenate([g.images for g in parts]).astype(np.float32)),
        torch.from_numpy(np.concatenate(neighbors).astype(np.int64)),
        torch.from_numpy(np.concatenate([g.labels for g in parts])),
    )


def predict(network: NeighborsMapGraph, g: Graph, device: str = "cpu") -> NDArray[np.float32]:
    """Return the probabilities ``(n, C)`` of a described configuration."""
    network.eval()
    x, n, _ = _batch([g])
    with torch.inference_mode():
        result: NDArray[np.float32] = network(x.to(device), n.to(device)).cpu().numpy()
    return result


def merged(scores: torch.Tensor, outputs: int) -> torch.Tensor:
    """Return scores ``(n, outputs)`` in which the outputs of no class are one: the last."""
    if scores.shape[1] == outputs:
        return scores
    last = torch.logsumexp(scores[:, outputs - 1 :], dim=1, keepdim=True)
    return torch.cat([scores[:, : outputs - 1], last], dim=1)


def _balanced(network: NeighborsMapGraph, parts: list[Graph], device: str) -> float:
    """Return the accuracy, every material, kind of trajectory and class counting the same."""
    right: dict[tuple[str, str, int, bool], list[float]] = defaultdict(list)
    for g in parts:
        p = predict(network, g, device)
        labels = np.hstack([p, 1.0 - p.sum(axis=1, keepdims=True)]).argmax(1)
        for c in np.unique(g.labels[g.labels >= 0]):
            key = (g.sample.material, g.sample.kind, int(c), g.removed > 0)
            right[key].append(float((labels[g.labels == c] == c).mean()))
    return float(np.mean([np.mean(v) for v in right.values()]))


def _follow(averaged: NeighborsMapGraph, network: NeighborsMapGraph, share: float) -> None:
    """Move the averaged weights towards the network's; they keep `share` of their own."""
    with torch.no_grad():
        for mean, now in zip(averaged.parameters(), network.parameters(), strict=True):
            mean.lerp_(now, 1.0 - share)


def fit(
    recipe: dict[str, Any], drawn: Callable[[int], list[Graph]], selection: list[Graph], *, seed: int,
    checkpoint: Path | None = None, device: str = "cpu", start: Path | None = None,
) -> NeighborsMapGraph:  # fmt: skip
    """Train the recipe's network and return it as it was in its best epoch on the selection set.

    What is measured and returned is a running mean of the weights over the steps (`average`, the
    share that a step keeps; 0: the last weights). A graph layer's network jumps from step to step,
    as the configurations of a batch are few and their atoms alike.

    Parameters
    ----------
    recipe
        ``[network]``, ``[training]`` and ``classes``.
    drawn
        Gives the described configurations of an epoch, from 0 on: about as many in each.
    selection
        Described configurations on which the best epoch is chosen.
    seed
        Of the weights and of the order.
    checkpoint
        File that is written after every epoch, and from which an interrupted training goes on.
    device
        "cpu" or "cuda".
    start
        Artefact whose weights the training starts from; None: random ones.
    """
    settings, classes = recipe["training"], classes_of(recipe)
    train = drawn(0)
    widths = {k: v for k, v in recipe["network"].items() if k not in ("kind", "foreign")}
    foreign = recipe["network"].get("foreign", 1) if "foreign" in recipe else 0
    torch.manual_seed(seed)
    network = NeighborsMapGraph(
        len(classes), recipe["descriptor"]["size"], recipe["graph"]["layers"],
        foreign=foreign, **widths,
    )  # fmt: skip
    some = np.concatenate([g.images[::37] for g in train]).astype(np.float32)
    network.mean[:] = torch.from_numpy(some.mean(0))
    network.scale[:] = torch.from_numpy(1.0 / np.maximum(some.std(0), 0.02))
    if start is not None:
        network.load_state_dict(started(start, network))
    network.to(device)
    outputs = len(classes) + (foreign > 0)
    count = np.zeros(outputs)
    for g in train:
        count += np.bincount(g.labels[g.labels >= 0], minlength=outputs)
    # Between equal atoms and equal classes.
    weight = np.sqrt(count.sum() / outputs / np.maximum(count, 1))
    weight[len(classes) - 1] *= settings["disordered_weight"]
    loss_weight = torch.tensor(weight, dtype=torch.float32, device=device)
    rate, epochs, per = settings["learning_rate"], settings["epochs"], settings["configurations"]
    steps = max(1, len(train) // per)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=rate, weight_decay=settings["weight_decay"]
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, rate, total_steps=epochs * steps, pct_start=0.1
    )
    averaged, share = copy.deepcopy(network), settings.get("average", 0.0)
    best, kept, first = -1.0, network.state_dict(), 0
    if checkpoint is not None and checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True, map_location=device)
        if (
            state["seed"] == seed
            and state["atoms"] == int(count.sum())
            and state["epochs"] == epochs
        ):
            network.load_state_dict(state["network"])
            averaged.load_state_dict(state["averaged"])
            optimizer.load_state_dict(state["optimizer"])
            schedule.load_state_dict(state["schedule"])
            best, kept, first = state["best"], state["kept"], state["epoch"] + 1
            log.info("going on with epoch %d of %s", first + 1, checkpoint)
    for epoch in range(first, epochs):
        network.train()
        train = drawn(epoch) if epoch else train
        order = np.random.default_rng([seed, epoch]).permutation(
            max(len(train), steps * per)
        ) % len(train)
        begun, total = time.perf_counter(), 0.0
        for k in bar(range(steps), f"epoch {epoch + 1}/{epochs}"):
            batch = [train[i] for i in order[k * per : (k + 1) * per]]
            used = np.concatenate([g.labels[g.labels >= 0] for g in batch])
            optimizer.zero_grad()
            # A configuration fits a core's cache, a batch does not.
            for part in [[g] for g in batch] if device == "cpu" else [batch]:
                x, n, y = _batch(part)
                loss = torch.nn.functional.cross_entropy(
                    merged(network.logits(x.to(device), n.to(device)), outputs), y.to(device),
                    weight=loss_weight,
                    ignore_index=-1, reduction="sum",
                ) / float(weight[used].sum())  # fmt: skip
                loss.backward()  # type: ignore[no-untyped-call]
                total += loss.item()
            optimizer.step()
            schedule.step()
            done = epoch * steps + k  # a short training must not average over its beginning
            _follow(averaged, network, min(share, (1 + done) / (10 + done)))
        accuracy = _balanced(averaged, selection, device)
        log.info(
            "seed %d, epoch %d: loss %.5f, selection %.3f %% (%.0f s)", seed, epoch + 1,
            total / steps, 100 * accuracy, time.perf_counter() - begun,
        )  # fmt: skip
        if accuracy > best:
            best, kept = accuracy, {k: v.clone() for k, v in averaged.state_dict().items()}
        if checkpoint is not None:
            state = {
                "seed": seed, "atoms": int(count.sum()), "epochs": epochs, "epoch": epoch,
                "best": best, "kept": kept, "network": network.state_dict(),
                "averaged": averaged.state_dict(),
                "optimizer": optimizer.state_dict(), "schedule": schedule.state_dict(),
            }  # fmt: skip
            torch.save(state, checkpoint.with_suffix(".new"))
            checkpoint.with_suffix(".new").replace(checkpoint)
    network.load_state_dict(kept)
    return network.eval().to("cpu")


def train_general(
    recipe: dict[str, Any], recipe_hash: str, out: Path, data: Path, *, workers: int = 1,
    device: str = "cpu", start: Path | None = None,
) -> Path:  # fmt: skip
    """Run a recipe with ``[[material]]`` from nothing to an artefact folder.

    Networks are trained from `starts` seeds; the best on the selection set is kept. The arguments
    are those of :func:`insitu.training.fit.train.train`, with the recipe loaded.

    Raises
    ------
    SettingError
        The recipe names further tables of foreign structures and no first one.
    """
    out.mkdir(parents=True, exist_ok=True)
    recipe = recipe | {"classes": classes_of(recipe)}
    foreign = recipe.get("foreign", {})
    if foreign.get("further") and not foreign.get("table"):
        raise SettingError(
            "[foreign] further names tables of structures beside `table`, which is not given; give both"
        )
    if table := foreign.get("table"):
        more = [str(data / t) for t in recipe["foreign"].get("further", [])]
        recipe["foreign"] = recipe["foreign"] | {"table": str(data / table), "further": more}
    for role in ROLES:
        generate(recipe, role, data, workers=workers)
    seed = recipe["training"]["seed"]
    dynamics_of = samples(recipe, "training", data)

    def drawn(epoch: int) -> list[Graph]:
        now = [seed, epoch] if recipe["training"].get("fresh") else [seed]
        return [
            *graphs(recipe, dynamics_of, now, copies="training"),
            *graphs(recipe, without_dynamics(recipe, "training", now), now, copies="none"),
        ]

    train = cache(drawn) if not recipe["training"].get("fresh") else drawn
    selection = graphs(recipe, samples(recipe, "selection", data), seed, copies="fixed")
    selection += graphs(recipe, without_dynamics(recipe, "calibration", seed), seed, copies="none")
    network, best = None, -1.0
    checkpoints = [out / f"checkpoint-{k}.pt" for k in range(recipe["training"].get("starts", 1))]
    for k, checkpoint in enumerate(checkpoints):
        found = fit(
            recipe,
            train,
            selection,
            seed=seed + k,
            checkpoint=checkpoint,
            device=device,
            start=start,
        )
        score = _balanced(found, selection, "cpu")
        if score > best:
            network, best = found, score
    assert network is not None
    known = [g for g in selection if (g.labels < len(recipe["classes"])).all()]
    chosen = [(g, predict(network, g)) for g in known]
    whole = [
        ((g.sample.material, g.sample.kind), g.labels, p) for g, p in chosen
        if not g.removed and g.sample.material != "made"
    ]  # fmt: skip
    card = Card(
        name=recipe["name"],
        classes=recipe["classes"],
        descriptor=NeighborsMap(**recipe["descriptor"]),
        threshold=threshold_for(chosen),
        description=recipe.get("description", ""),
        reference=recipe.get("reference", ""),
        species=recipe.get("species", "not used"),
        recipe_sha256=recipe_hash,
        graph=GraphSettings(**recipe["graph"]),
        foreign=network.foreign > 0,
        more={
            **{role: sorted({j.material["name"] for j in jobs(recipe, role)}) for role in ROLES},
            "coverage": coverage_limits(recipe["classes"], whole),
        },
    )
    save(network, card, out / "model.pt")
    (out / "card.json").write_text(json.dumps(json.loads(card.to_json()), indent=1) + "\n")
    unseen = cases(card.classes, samples(recipe, "headline", data), seed)
    measured = measure(load(str(out / "model.pt")), unseen)
    size = sum(p.numel() for p in network.parameters())
    strains = recipe.get("headline", {}).get("strain_names")
    (out / "README.md").write_text(
        training_card(card, size, tables(card.classes, measured, strains))
    )
    for checkpoint in checkpoints:
        checkpoint.unlink()
    return out / "model.pt"
