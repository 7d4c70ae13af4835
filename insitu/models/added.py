# SPDX-License-Identifier: BSD-3-Clause
"""Classes that are added to a model with graph layers, whose own weights stay as they are.

Thermal and strained copies of the structures are embedded by the frozen network; a second head on the
features of all layers (:mod:`insitu.models.second_head`) is fitted to them and to configurations that are
none of them (:mod:`insitu.models.background`), and is then part of a wider network that all engines run.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.errors import ModelError, SettingError
from insitu.frame.lattices.copies import displaced
from insitu.models import background
from insitu.models.card import Card
from insitu.models.embedding import Array, GraphWeights, describe
from insitu.models.second_head import SecondHead, Seen
from insitu.models.structures import Structure
from insitu.models.weights import torch_for

#: Copies of a prototype: largest displacement [nearest distance], strain, and how many; those by which the
#: limit is set, and those by which the class is judged, with displacements of 300 K.
_HOT, _STRAIN, COPIES = 0.08, 0.03, 24
#: Displacements up to which only every other copy is strained.
_COLD = 0.004
_LIMIT_HOT, _LIMIT_COPIES = 0.06, 8
_JUDGED, _JUDGED_COPIES = (0.02, 0.03, 0.04), 2
#: Atoms of a copy, of a configuration of known classes and of one of no class that are used.
_ATOMS, _KNOWN_ATOMS, _OTHER_ATOMS = 120, 120, 60
#: Share of the copies' atoms beyond whose score nothing is of the class; that of the atoms of known
#: crystals, and of molten and disordered ones, that may be lost.
_REJECTED, _LOST = 0.01, (3e-4, 6e-4)
#: Logarithm of odds by which they pass: all of a perfect crystal's sites of one kind score the same.
_MARGIN = 0.5
#: Atoms between a class and others that the fit sees, and how far towards the others they are. The frozen
#: features know little of what was never seen: without these a class ends where its rivals begin.
_BETWEEN, _TOWARDS = 4000, (0.5, 1.0)
#: Recall below which a class cannot be told from others.
_WORST = 0.7
#: Hidden features: for so few classes, and for more.
_FEW, _HIDDEN = 8, (16, 32)


@dataclass(frozen=True)
class Extended:
    """A model with added classes: what takes the place of what an artefact holds.

    Parameters
    ----------
    card
        JSON of :class:`~insitu.models.card.Card`.
    weights
        As :func:`insitu.models.engines.graph.pack` writes them.
    """

    card: str
    weights: bytes

    @property
    def sha256(self) -> str:
        """Hash of card and weights."""
        return hashlib.sha256(self.card.encode() + self.weights).hexdigest()


def network(card: Card, weights: GraphWeights) -> Any:
    """Return a NeighborsMapGraph of such weights, in torch."""
    import torch

    from insitu.models.networks.neighbors_map import NeighborsMapGraph

    made = NeighborsMapGraph(
        len(card.classes), card.descriptor.size, len(weights.layers),
        hidden=weights.first[0].shape[1], features=weights.second[0].shape[1],
        message=weights.layers[0][0].shape[1], foreign=weights.outputs - len(card.classes),
    )  # fmt: skip
    made.load_state_dict({k: torch.from_numpy(v) for k, v in weights.state().items()})
    return made.eval()


def scripted(more: Extended) -> Any:
    """Return the TorchScript of a model with added classes.

    Raises
    ------
    ModelError
        There is no torch.
    """
    card = Card.from_json(more.card, "with added classes")
    torch = torch_for(card.name)
    with np.load(io.BytesIO(more.weights)) as arrays:
        widths, flat = [int(w) for w in arrays["widths"]], arrays["weights"]
    return torch.jit.script(network(card, GraphWeights.unpack(widths, flat, len(card.classes))))


def copies(
    structure: Structure, most: float, many: int, strain: float, rng: np.random.Generator
) -> Iterator[tuple[Array, Array, NDArray[np.bool_], NDArray[np.bool_]]]:
    """Yield positions, cells, periodicity and which atoms count: of displaced prototypes, and of snapshots.

    Parameters
    ----------
    structure
        Of the class.
    most
        Largest displacement in nearest distances; that of a snapshot's copies is a quarter of it.
    many
        Copies of each prototype, and of all snapshots together.
    strain
        Largest component of the deformation.
    rng
        Of both.
    """
    for crystal in structure.prototypes:
        # Dense near none, also without strain: there the network itself is surest that it is no class.
        for k, sigma in enumerate(most * np.linspace(0.0, 1.0, many) ** 2):
            some = strain if sigma > _COLD or k % 2 else 0.0
            r, cell, _ = displaced(crystal, float(sigma), some, rng, background.HEIGHT)
            yield r, cell, np.ones(3, bool), np.ones(len(r), bool)
    shots = structure.snapshots
    for k in range(many if shots else 0):
        s = shots[k % len(shots)]
        f = np.eye(3) + np.triu(rng.uniform(-strain, strain, (3, 3))) * (k >= len(shots))
        length = np.cbrt(abs(np.linalg.det(s.cell)) / len(s.positions)) if s.pbc.all() else 1.0
        width = 0.25 * most * length * (k >= len(shots)) * rng.random()
        yield (
            s.positions @ f + rng.normal(0.0, 1.0, s.positions.shape) * width,
            s.cell @ f,
            s.pbc,
            s.used,
        )


def extend(
    card: Card, weights: dict[str, NDArray[np.float64]], structures: Sequence[Structure], *,
    examples: int = COPIES, worst: float = _WORST, seed: int = 0,
) -> tuple[Extended, GraphWeights]:  # fmt: skip
    """Return a model with further classes, and its weights.

    Parameters
    ----------
    card, weights
        The model's, `weights` as read from its artefact.
    structures
        Of the classes.
    examples
        Copies of each prototype, and of all snapshots of a class together, to which the head is fitted.
    worst
        Recall under which a class is refused.
    seed
        Of the copies and of the fit; the result is the same on one machine.

    Raises
    ------
    SettingError
        A class has the name of another, or cannot be told from others.
    """
    names = [s.name for s in structures]
    if card.graph is None:
        raise ModelError(
            f"model '{card.name}' cannot take further classes: only models with graph layers on Neighbors "
            "Maps can (metals); leave `classes` out"
        )
    if known := [n for n in names if n in card.classes]:
        raise SettingError(
            f"class '{known[0]}' is in model '{card.name}' already; give it another name, or leave it out"
        )
    widths = [int(w) for w in weights["widths"]]
    frozen = GraphWeights.unpack(widths, weights["weights"], len(card.classes))
    rng = np.random.default_rng(seed)

    def see(r: Array, cell: Array, pbc: Any, used: NDArray[np.bool_] | None, most: int) -> Seen:
        assert card.graph is not None
        images, rows = describe(r, cell, card.descriptor, card.graph, pbc)
        atoms = np.arange(len(images)) if used is None else np.flatnonzero(used)
        return Seen.of(frozen, images, rows, rng.permutation(atoms)[:most])

    def of(s: Structure, hot: float, many: int, strain: float) -> Seen:
        return Seen.together([see(*c, _ATOMS) for c in copies(s, hot, many, strain, rng)])

    prototypes = [c for s in structures for c in s.prototypes]
    kept = [
        Seen.together([see(r, cell, True, None, _KNOWN_ATOMS) for r, cell in some])
        for some in (background.known(rng), background.disordered(rng))
    ]
    rest = [
        see(r, cell, True, None, _OTHER_ATOMS) for r, cell in background.no_class(rng, prototypes)
    ]
    own = [of(s, _HOT, examples, _STRAIN) for s in structures]
    others = Seen.together([*kept, *rest])
    between = [part.towards(others, _BETWEEN // len(own), _TOWARDS, rng) for part in own]
    seen = Seen.together([others, *between, *own])
    labels = np.full(len(seen.last), -1)
    at = len(seen.last)
    for k, part in reversed(list(enumerate(own))):
        at -= len(part.last)
        labels[at : at + len(part.last)] = k
    head = SecondHead(seen, labels, len(own), hidden=_HIDDEN[len(own) > _FEW], seed=seed)
    for k, s in enumerate(structures):
        head.parameters[-1][k] += _shift(
            head, k, of(s, _LIMIT_HOT, min(examples, _LIMIT_COPIES), 0.02), kept, card.threshold
        )
    about = {}
    for k, s in enumerate(structures):
        recall, other = _recall(head, k, names, s, card, of)
        if recall < worst:
            raise SettingError(
                f"class '{s.name}' ({s.files[0][0]}) cannot be told from others: {100 * recall:.0f} % of "
                f"the atoms of its own copies with displacements of 2 to 4 % are {s.name}, most others "
                f"{other}; leave it out"
            )
        about[s.name] = {
            "files": [{"name": n, "sha256": h} for n, h in s.files],
            "sites": sum(len(c[0]) for c in s.prototypes),
            "snapshots": len(s.snapshots),
            "recall": round(recall, 4),
        }
    wider = head.inside(frozen, seen, at=len(card.classes))
    before: dict[str, Any] = card.more.get("added", {})
    new = replace(
        card,
        name="+".join([card.name, *names]),
        classes=[*card.classes, *names],
        more={**card.more, "added": {**before, **about}},
    )
    return Extended(new.to_json(), wider.pack(foreign=card.foreign)), wider


def _odds(head: SecondHead, k: int, seen: Seen) -> NDArray[np.float64]:
    """Return the logarithm of the odds ``(n,)`` of an added class."""
    own = head(seen).astype(np.float64)
    others = np.column_stack([seen.rest, np.delete(own, k, axis=1)])
    top = others.max(axis=1)
    odds: NDArray[np.float64] = own[:, k] - top - np.log(np.exp(others - top[:, None]).sum(axis=1))
    return odds


def _shift(head: SecondHead, k: int, own: Seen, kept: Sequence[Seen], threshold: float) -> float:
    """Return by how much to raise a class's score: nearly all its atoms pass, what is unlike it fails.

    `kept` are atoms whose labels are to stay: of crystals, and of what is disordered.
    """
    p = min(max(threshold, 0.5), 0.999)
    least = float(np.quantile(_odds(head, k, own), _REJECTED))
    limits = [np.log(p / (1.0 - p)) + _MARGIN - least]
    for seen, lost in zip(kept, _LOST, strict=True):
        # An atom keeps its label as long as the class leaves the largest probability above the threshold.
        sure = np.exp(seen.scores.max(axis=1).astype(np.float64) - seen.rest)
        left = 1.0 - p / np.maximum(sure, p + 1e-3)
        over = head(seen)[:, k].astype(np.float64) - seen.rest - np.log(left / (1.0 - left))
        over = over[sure > p + 0.02]
        limits += [-float(np.quantile(over, 1.0 - lost))] if len(over) else []
    return float(min(limits))


def _recall(head: SecondHead, k: int, names: list[str], s: Structure, card: Card,
            of: Any) -> tuple[float, str]:  # fmt: skip
    """Return the share of a class's atoms that are found, in new copies, and what most others are."""
    found = []
    wrong: list[NDArray[np.intp]] = []
    outputs = [*card.classes, *(["unknown"] if card.foreign else []), *names]
    for sigma in _JUDGED:
        seen = of(s, sigma, _JUDGED_COPIES, 0.02)
        z = np.hstack([seen.merged(len(card.classes)), head(seen)]).astype(np.float64)
        p = np.exp(z - z.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        best, own = p.argmax(axis=1), p.shape[1] - len(names) + k
        right = (best == own) & (p.max(axis=1) >= card.threshold)
        found.append(right.mean())
        wrong.append(best[~right])
    others = np.concatenate(wrong)
    common = outputs[int(np.bincount(others).argmax())] if len(others) else "unknown"
    return float(np.mean(found)), "unknown" if common == s.name else common
