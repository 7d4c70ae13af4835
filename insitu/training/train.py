# SPDX-License-Identifier: BSD-3-Clause
"""Training of a recipe: data, network, tables, artefact."""

from __future__ import annotations

import hashlib
import json
import logging
import time
import tomllib
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from insitu.descriptors.neighbors_map import NeighborsMap
from insitu.errors import SettingError, did_you_mean
from insitu.models.export import save
from insitu.models.networks import NETWORKS
from insitu.models.store import Card
from insitu.training.dataset import build
from insitu.training.evaluate import confusion, tables
from insitu.training.generate import generate, snapshots
from insitu.training.progress import bar

log = logging.getLogger(__name__)
RECIPES = Path(__file__).parent.parent / "models" / "recipes"


def load_recipe(name: str) -> tuple[dict[str, Any], str]:
    """Return a recipe and its SHA-256: a shipped name, or the path of a ``.toml`` file.

    Raises
    ------
    SettingError
        There is no such recipe.
    """
    shipped = {p.stem: p for p in RECIPES.glob("*.toml")}
    path = shipped.get(name, Path(name))
    if not path.is_file():
        raise SettingError(
            f"recipe '{name}' does not exist; give one of {sorted(shipped)} or the path of a .toml "
            f"file.{did_you_mean(name, shipped)}"
        )
    content = path.read_bytes()
    recipe = tomllib.loads(content.decode())
    digest = hashlib.sha256(content)
    if "base" in recipe:
        # A few lines for one's own material: settings that it does not give are those of the base,
        # whose materials and classes are not taken over.
        base = recipe.pop("base")
        settings, base_hash = load_recipe(base)
        for key in ("material", "source", "classes", "description", "reference", "species"):
            settings.pop(key, None)
        recipe = _merged(settings, recipe)
        digest.update(base_hash.encode())
    return recipe, digest.hexdigest()


def _merged(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in own.items():
        below = base.get(key)
        both = isinstance(value, dict) and isinstance(below, dict)
        merged[key] = _merged(below, value) if both and below else value
    return merged


def predict(network: torch.nn.Module, images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return probabilities ``(n, C)`` of images, in evaluation mode."""
    network.eval()
    with torch.inference_mode():
        parts = [network(torch.from_numpy(images[i : i + 256])) for i in range(0, len(images), 256)]
    result: NDArray[np.float32] = torch.cat(parts).numpy()
    return result


class LabelledImages(Protocol):
    """Images ``(n, channels, size, size)`` and class indices ``(n,)``."""

    images: NDArray[np.float32]
    labels: NDArray[np.int64]

    def __len__(self) -> int: ...


def fit(
    recipe: dict[str, Any], train: LabelledImages, validation: LabelledImages
) -> torch.nn.Module:
    """Train the recipe's network (Adam, cross-entropy, L2 on the weights) and return it.

    The epoch with the best validation accuracy is kept. Nothing of the test set is seen here.
    ``class_weights`` of the recipe are factors on the loss, one a class.
    """
    settings = recipe["training"]
    torch.manual_seed(settings["seed"])
    network = NETWORKS[recipe["network"]["kind"]](len(recipe["classes"]), train.images.shape[1])
    given = settings.get("class_weights")
    class_weights = None if given is None else torch.tensor(given)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    weights = [p for n, p in network.named_parameters() if n.endswith("weight") and p.ndim > 1]
    rest = [p for p in network.parameters() if all(p is not w for w in weights)]
    optimizer = torch.optim.Adam(
        # Keras' L2 adds weight_decay·|w|² to the loss, whose gradient has the factor 2.
        [{"params": weights, "weight_decay": 2 * settings["weight_decay"]}, {"params": rest}],
        lr=settings["learning_rate"],
    )
    epochs, batch = settings["epochs"], settings["batch"]
    steps = len(train) // batch
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * steps)
    rng = np.random.default_rng(settings["seed"])
    best, kept = -1.0, {}
    for epoch in range(epochs):
        network.train()
        order = rng.permutation(len(train))
        started, total = time.perf_counter(), 0.0
        for k in bar(range(steps), f"epoch {epoch + 1}/{epochs}"):
            pick = np.sort(order[k * batch : (k + 1) * batch])
            x = torch.from_numpy(train.images[pick]).to(memory_format=torch.channels_last)
            loss = torch.nn.functional.cross_entropy(
                network.logits(x), torch.from_numpy(train.labels[pick]), class_weights
            )
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            total += loss.item()
        guess = predict(network, validation.images).argmax(1)
        accuracy = float((guess == validation.labels).mean())
        log.info(
            "epoch %d: loss %.4f, validation accuracy %.4f (%.0f s)",
            epoch + 1, total / steps, accuracy, time.perf_counter() - started,
        )  # fmt: skip
        if accuracy > best:
            best, kept = accuracy, {k: v.clone() for k, v in network.state_dict().items()}
    network.load_state_dict(kept)
    network.eval()
    return network


def train(name: str, out: Path, data: Path, *, workers: int = 1, device: str = "cpu") -> Path:
    """Run a recipe from nothing to an artefact folder.

    Parameters
    ----------
    name
        Recipe.
    out
        Folder that receives ``model.pt``, ``card.json`` and ``README.md``.
    data
        Folder of the trajectories; those that exist are used again.
    workers
        Simulations at a time.
    device
        "cpu" or "cuda", for recipes with a graph layer.

    Returns
    -------
    Path
        The artefact.
    """
    recipe, recipe_hash = load_recipe(name)
    if "material" in recipe:
        from insitu.training.general import train_general

        return train_general(recipe, recipe_hash, out, data, workers=workers, device=device)
    if "phase" in recipe:
        from insitu.training.phases import train_phases

        return train_phases(recipe, recipe_hash, out, data, workers=workers)
    if "stage" in recipe:
        from insitu.training.vitrification import train_stages

        return train_stages(recipe, recipe_hash, out, data, workers=workers)
    if "annotation" in recipe:
        from insitu.training.annotated import train_annotated

        return train_annotated(recipe, recipe_hash, out, data, workers=workers)
    generate(recipe, data, workers=workers)
    rng = np.random.default_rng(recipe["training"]["seed"])
    seeds = recipe["data"]
    split = {
        part: build(recipe, snapshots(recipe, seeds[f"{part}_seeds"], data), rng, scale)
        for part, scale in (("train", 1.0), ("validation", 0.25), ("test", 0.6))
    }
    log.info("maps: %s", {k: len(v) for k, v in split.items()})
    network = fit(recipe, split["train"], split["validation"])
    test = split["test"]
    probabilities = predict(network, test.images)
    sparse = recipe["data"].get("sparse", False)
    full = split["train"].found[(split["train"].removed == 0.0) | sparse]
    card = Card(
        name=recipe["name"],
        classes=recipe["classes"],
        descriptor=NeighborsMap(**recipe["descriptor"]),
        description=recipe["description"],
        reference=recipe["reference"],
        species=recipe["species"],
        recipe_sha256=recipe_hash,
        ball_range=(int(np.quantile(full, 0.01)), int(np.quantile(full, 0.99))),
        more={
            "trained_on": [s["name"] for s in recipe["system"]],
            "maps": {k: len(v) for k, v in split.items()},
            "confusion": confusion(recipe["classes"], test, probabilities).tolist(),
        },
    )
    out.mkdir(parents=True, exist_ok=True)
    save(network, card, out / "model.pt")
    (out / "card.json").write_text(json.dumps(json.loads(card.to_json()), indent=1) + "\n")
    (out / "README.md").write_text(tables(card, test, probabilities, recipe))
    return out / "model.pt"
