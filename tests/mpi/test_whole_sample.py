# SPDX-License-Identifier: BSD-3-Clause
"""Networks on the whole sample's graph in real LAMMPS: any number of ranks, any decomposition."""

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import SPY, Host, require
from numpy.typing import NDArray

import insitu
from insitu.analyses.phases.classification import Classification
from insitu.descriptors.neighbors_map import NeighborsMap
from insitu.models.card import Card
from insitu.models.engines.spatial import SpatialSettings
from insitu.models.export import save
from insitu.models.networks.whole_sample import WholeSampleGraph
from insitu.testing import lattice

CLASSES = ["quartz", "coesite", "melt", "amorphous"]
Sample = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]


def _untrained(folder: Path, settings: SpatialSettings, seed: int) -> Path:
    """A network whose probabilities differ from atom to atom."""
    torch.manual_seed(seed)
    network = WholeSampleGraph(len(CLASSES), settings, width=32, hidden=32)
    with torch.no_grad():
        network.last.weight *= 20.0
    path = folder / "model.pt"
    card = Card("trial", CLASSES, NeighborsMap(), spatial=settings, threshold=0.0)
    save(network, card, path)
    return path


@pytest.fixture(scope="module")
def artefact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = SpatialSettings(species=(14, 8), by_species=True)
    return _untrained(tmp_path_factory.mktemp("model"), settings, seed=5)


@pytest.fixture(scope="module")
def artefact_with_spectra(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = SpatialSettings(layers=2, species=(14, 8), by_species=True, degree=4, moments=3)
    return _untrained(tmp_path_factory.mktemp("spectra"), settings, seed=2)


def _mixture() -> Sample:
    """Two elements, half crystal and half nearly random, with vacancies, in a triclinic cell."""
    rng = np.random.default_rng(5)
    r, cell = lattice("fcc", 4.05, (6, 4, 4))
    tilted = cell.copy()
    tilted[1, 0], tilted[2, 0], tilted[2, 1] = 3.1, -2.2, 4.4
    r = r @ np.linalg.inv(cell) @ tilted
    r += np.where(r[:, :1] < 12.0, 0.1, 0.55) * rng.normal(size=r.shape)
    r = r[rng.random(len(r)) > 0.1]
    return r, tilted, rng.integers(1, 3, len(r))


def _perfect() -> Sample:
    """Equal distances everywhere; cells so small that a rank has images of its own atoms."""
    r, cell = lattice("bcc", 3.2, (4, 4, 4))
    return r, cell, np.arange(len(r)) % 2 + 1


SAMPLES = {"mixture": _mixture, "perfect": _perfect}


def _data(path: Path, sample: Sample) -> None:
    r, cell, types = sample
    rows = "\n".join(
        f"{i + 1} {types[i]} {x!r} {y!r} {z!r}" for i, (x, y, z) in enumerate(r.tolist())
    )
    box = "\n".join(f"0.0 {float(cell[k, k])!r} {c}lo {c}hi" for k, c in enumerate("xyz"))
    tilt = f"{cell[1, 0]!s} {cell[2, 0]!s} {cell[2, 1]!s} xy xz yz\n"
    path.write_text(f"sample\n\n{len(r)} atoms\n2 atom types\n\n{box}\n{tilt}\nAtoms\n\n{rows}\n")


def _deck(host: Host, folder: Path, model: Path, before: str, after: str, engine: str) -> str:
    """Return a deck that analyses each sample, which stands still, at two steps."""
    deck = ""
    for name, make in SAMPLES.items():
        _data(folder / f"data.{name}", make())
        deck += (
            f"clear\nunits metal\n{before}box tilt large\nread_data data.{name}\n"
            # One type by its mass, both by the setting elsewhere.
            "mass 1 28.0855\nmass 2 15.9994\npair_style zero 6.0\npair_coeff * *\n"
            f"comm_modify cutoff 9.1\n{after}"
            + host.monitor(1, file=f"{name}.h5", model=str(model), engine=engine)
            + "run 2\n"
        )
    return deck


def _offline(model: Path) -> dict[str, Classification]:
    """Return what each sample is without LAMMPS."""
    found = {}
    for name, make in SAMPLES.items():
        r, cell, types = make()
        species = np.where(types == 1, 14, 8)
        found[name] = insitu.classify(r, cell, True, species, model=str(model))
    return found


@pytest.fixture(scope="module")
def offline(artefact: Path) -> dict[str, Classification]:
    return _offline(artefact)


def check(
    host: Host, ranks: int, folder: Path, model: Path, offline: dict[str, Classification],
    before: str = "", after: str = "", engine: str = "auto",
) -> None:  # fmt: skip
    deck = _deck(host, folder, model, before, after, engine)
    spy = {"PYTHONPATH": str(SPY), "INSITU_TEST_LABELS": str(folder)}
    run = host.run(folder, deck, ranks, environment=spy)
    assert run.code == 0, run.text[-3000:]
    for number, (name, expected) in enumerate(offline.items()):
        for frame in (2 * number, 2 * number + 1):
            parts = [np.load(p) for p in sorted(folder.glob(f"labels.{frame}.*.npz"))]
            assert len(parts) == ranks
            ids = np.concatenate([p["ids"] for p in parts])
            order = np.argsort(ids)
            assert (ids[order] == np.arange(1, len(expected.labels) + 1)).all()
            labels = np.concatenate([p["labels"] for p in parts])[order]
            probabilities = np.concatenate([p["probabilities"] for p in parts])[order]
            assert np.abs(probabilities - expected.probabilities).max() < 1e-5, name
            assert (labels == expected.labels).all(), name
            if name == "mixture":
                assert len(np.unique(labels)) > 1
        history = insitu.open(str(folder / f"{name}.h5"))
        assert (history["count"].sum("phase") == len(expected.labels)).all()


@pytest.mark.parametrize(("name", "ranks"), [("wheel", 1), ("wheel", 3), ("debian", 2)])
def test_probabilities_are_those_of_the_offline_analysis(
    name: str, ranks: int, tmp_path: Path, artefact: Path, offline: dict[str, Classification]
) -> None:
    check(require(name), ranks, tmp_path, artefact, offline)


@pytest.mark.parametrize(
    "ranks", [4, *(pytest.param(n, marks=pytest.mark.full) for n in (1, 2, 3))]
)
def test_probabilities_from_power_spectra_too(
    ranks: int, tmp_path: Path, artefact_with_spectra: Path
) -> None:
    offline = _offline(artefact_with_spectra)
    check(require("wheel"), ranks, tmp_path, artefact_with_spectra, offline)


def test_torchscript_on_ranks(
    tmp_path: Path, artefact: Path, offline: dict[str, Classification]
) -> None:
    check(require("wheel"), 2, tmp_path, artefact, offline, engine="torchscript")


@pytest.mark.full
@pytest.mark.parametrize("host_name", ["wheel", "debian"])
@pytest.mark.parametrize(
    ("ranks", "before", "after"),
    [
        (4, "", ""),
        (4, "processors 4 1 1\n", ""),
        (4, "processors 1 2 2\n", ""),
        (3, "processors 1 1 3\n", ""),
        (4, "", "comm_style tiled\ncomm_modify cutoff 9.1\nbalance 1.0 rcb\n"),
        (2, "", "comm_style tiled\ncomm_modify cutoff 9.1\nbalance 1.0 rcb\n"),
        (4, "", "balance 1.0 x 0.1 0.3 0.7\n"),
    ],
)
def test_decompositions(
    host_name: str, ranks: int, before: str, after: str, tmp_path: Path, artefact: Path,
    offline: dict[str, Classification],
) -> None:  # fmt: skip
    if after.startswith("balance 1.0 x"):
        before = "processors 4 1 1\n"
    check(require(host_name), ranks, tmp_path, artefact, offline, before, after)


def test_atoms_that_move_between_ranks(tmp_path: Path, artefact: Path) -> None:
    """Owners change with the neighbour list; each frame's counts are those of its dump offline."""
    host = require("wheel")
    _data(tmp_path / "data.mixture", _mixture())
    deck = (
        "units metal\nbox tilt large\nread_data data.mixture\nmass 1 28.0855\nmass 2 15.9994\n"
        "pair_style soft 2.0\npair_coeff * * 2.0\ncomm_modify cutoff 9.1\nneigh_modify delay 0\n"
        "velocity all create 3000 4711 loop geom\nfix move all nve\ntimestep 0.002\n"
        "neighbor 1.0 bin\ndump d all custom 5 d.dump id type x y z\n"
        "dump_modify d sort id format float %.17g\n"
        + host.monitor(5, file="m.h5", model=str(artefact), species="Si,O")
        + "run 40\n"
    )
    run = host.run(tmp_path, deck, 3)
    assert run.code == 0, run.text[-3000:]
    history = insitu.open(str(tmp_path / "m.h5"))
    _, cell, _ = _mixture()
    frames = (tmp_path / "d.dump").read_text().split("ITEM: TIMESTEP\n")[1:]
    rebuilt = int(run.text.split("Neighbor list builds = ")[1].split()[0])
    assert rebuilt > 2
    for text in frames[1:]:
        rows = np.array([row.split() for row in text.split("ITEM: ATOMS", 1)[1].splitlines()[1:]])
        atoms = rows.astype(float)
        species = np.where(atoms[:, 1] == 1, 14, 8)
        found = insitu.classify(atoms[:, 2:], cell, True, species, model=str(artefact))
        counts = history["count"].sel(step=int(text.split()[0])).values
        assert np.bincount(found.labels, minlength=5).tolist() == counts.tolist()


def test_a_rank_that_fails_between_layers_ends_the_run(tmp_path: Path, artefact: Path) -> None:
    host = require("wheel")
    _data(tmp_path / "data.mixture", _mixture())
    deck = (
        "units metal\nbox tilt large\nread_data data.mixture\nmass 1 28.0855\nmass 2 15.9994\n"
        "pair_style zero 6.0\npair_coeff * *\ncomm_modify cutoff 9.1\n"
        + host.monitor(5, file="m.h5", model=str(artefact))
        + "run 20\n"
    )
    fault = {"PYTHONPATH": str(SPY), "INSITU_TEST_FAULT": "layer:1"}
    run = host.run(tmp_path, deck, 3, environment=fault, seconds=300)
    assert run.code != 0
    assert "injected fault" in run.text
    assert "on rank 1" in run.text
    assert insitu.open(str(tmp_path / "m.h5"))["step"].values.tolist() == [5]
