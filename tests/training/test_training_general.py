# SPDX-License-Identifier: BSD-3-Clause
"""The general model's recipe: the split, structures, labels, and a few-line recipe from end to end."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import BIN, require

from insitu.descriptors.neighbors_map import NeighborsMap
from insitu.errors import DeckError, SettingError
from insitu.frame.frame import Frame
from insitu.frame.neighbors.search import Neighbors
from insitu.models import store
from insitu.models.networks.neighbors_map import NeighborsMapGraph
from insitu.testing import lattice
from insitu.training.data.graphs import Graph, cut, graphs
from insitu.training.dynamics import simulate as dynamics
from insitu.training.dynamics.trajectories import jobs
from insitu.training.fit import general
from insitu.training.fit.train import train
from insitu.training.recipes import load_recipe
from insitu.training.runs import run_lammps, write_data
from insitu.training.structures.perfect import crystal, random_flags, sequence, stacking
from insitu.training.structures.sample import Sample
from insitu.training.tables.accuracy import Case, Measured, Score, evaluate, threshold_for
from insitu.training.tables.general import summary_rows, tables

OWN = """
name = "my-aluminium"
base = "metals"

[protocol]
crystal = [0.3, 0.9]
liquid = [1.5]
equilibrate = 0.2
gap = 0.1
atoms = 256

[headline]
crystal = [0.5]
liquid = [1.5]
atoms = 256

[training]
starts = 2
epochs = 12
configurations = 2

[[material]]
name = "Al"
pair = "eam/fs"
coeff = ["* * {potentials}/Al_mm.eam.fs Al"]
masses = [26.982]
melting = 926.0
structures = { fcc = 4.045 }
strained = false
"""


def test_headline_elements_take_part_in_nothing_else() -> None:
    recipe, _ = load_recipe("metals")
    parts = {
        role: {j.material["name"] for j in jobs(recipe, role)}
        for role in ("training", "selection", "headline")
    }
    assert parts["headline"] >= {"Cu", "Ag", "W", "Li", "Mg", "Ti", "Ge"}
    assert not parts["training"] & parts["selection"]
    # Not in an alloy or a compound either.
    elements = {
        role: {e for name in names for e in re.findall(r"[A-Z][a-z]?", name)}
        for role, names in parts.items()
    }
    assert not elements["headline"] & (elements["training"] | elements["selection"])
    names = [j.name for role in parts for j in jobs(recipe, role)]
    assert len(names) == len(set(names))


def test_a_role_that_does_not_exist_is_refused() -> None:
    recipe, _ = load_recipe("metals")
    recipe["material"][0]["role"] = "test"
    with pytest.raises(SettingError, match="role 'test'"):
        jobs(recipe, "training")


def test_a_trajectory_is_the_same_in_another_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, _ = load_recipe("metals")
    job = jobs(recipe, "training")[0]
    monkeypatch.setattr(dynamics, "potentials_folder", lambda: Path("/home/a/potentials"))
    deck = dynamics.deck(job, recipe["protocol"])
    np.savez(tmp_path / f"{job.name}.npz", deck=deck)
    monkeypatch.setattr(dynamics, "potentials_folder", lambda: Path("/elsewhere/potentials"))
    assert dynamics.deck(job, recipe["protocol"]) != deck
    # Nothing is run: there is no LAMMPS on this PATH.
    monkeypatch.setenv("PATH", "")
    dynamics.simulate(job, recipe["protocol"], tmp_path)
    with pytest.raises(DeckError, match="no LAMMPS"):
        dynamics.simulate(job, recipe["protocol"] | {"gap": 0.4}, tmp_path)


def test_without_roles_the_split_is_by_trajectory(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(OWN)
    recipe, _ = load_recipe(str(tmp_path / "own.toml"))
    seeds = [{j.seed for j in jobs(recipe, r)} for r in ("training", "selection", "headline")]
    assert not seeds[0] & seeds[1]
    assert not seeds[1] & seeds[2]
    assert recipe["training"]["removed"] == load_recipe("metals")[0]["training"]["removed"]


@pytest.mark.parametrize("diamond", [False, True])
def test_layers_have_the_neighbours_of_their_class(diamond: bool) -> None:
    flags = np.zeros(20, dtype=bool)
    flags[[4, 5, 10, 16]] = True
    s = stacking(flags, 2.5, 6, diamond=diamond)
    n_nearest = 4 if diamond else 12
    frame = Frame.from_arrays(s.positions, s.cell, True, reach=6.0)
    offsets, _ = Neighbors(frame, 3.0).lists(s.spacing * 1.1)
    assert (np.diff(offsets) == n_nearest).all()
    # The angle of 180°: an atom of fcc has 6 pairs of opposite neighbours among the 12 (of the same
    # sublattice in diamond), one of hcp 3.
    offsets, near = Neighbors(frame, 3.0).lists(2.5 * 1.1)
    search = Neighbors(frame, 3.0)
    for k, i in enumerate(search.atoms):
        around = frame.positions[near[offsets[k] : offsets[k + 1]]] - frame.positions[i]
        around = around[np.linalg.norm(around, axis=1) > 2.4]
        opposite = (np.abs(around[:, None] + around[None]).max(axis=2) < 1e-6).sum() // 2
        assert opposite == (3 if s.labels[i] in ("hcp", "hexagonal_diamond") else 6)


def test_stackings_close_periodically() -> None:
    assert sequence(np.zeros(4, dtype=bool)) is None
    for flags in ([True] * 2, [False] * 3, ([True] * 2 + [False] * 3) * 2):
        letters = sequence(np.array(flags))
        assert letters is not None
        assert ((np.roll(letters, 1) == np.roll(letters, -1)) == flags).all()
        assert (letters != np.roll(letters, 1)).all()
    flags = random_flags(14, 0.4, np.random.default_rng(1))
    found = sequence(flags)
    assert found is not None
    assert ((np.roll(found, 1) == np.roll(found, -1)) == flags).all()


def test_two_types_alternate() -> None:
    s = crystal("sc", 2.8, 64, 2)
    frame = Frame.from_arrays(s.positions, s.cell, True, reach=4.0, types=s.types)
    search = Neighbors(frame, 3.0)
    offsets, near = search.lists(2.9)
    own = np.repeat(frame.types[search.atoms], np.diff(offsets))
    assert (own != frame.types[near]).all()


def test_atoms_off_their_sites_are_told() -> None:
    s = crystal("fcc", 4.05, 256)
    rng = np.random.default_rng(0)
    moved = s.positions + rng.normal(0, 0.05, s.positions.shape) + [1.3, -0.4, 2.2]
    moved[:5] += 1.2
    # The whole crystal has drifted and expanded: that is no change.
    found = dynamics.on_site(
        s, moved * 1.02 % (np.diag(s.cell) * 1.02), s.cell * 1.02, proportions=True
    )
    assert (~found[:5]).all()
    assert found[5:].all()
    sheared = s.cell * np.array([[1.12], [0.95], [0.95]])
    assert not dynamics.on_site(s, s.positions, sheared, proportions=True).any()


@pytest.mark.parametrize(("kind", "a"), [("fcc", 4.05), ("hcp", 2.86), ("bcc", 3.24)])
def test_crystals_are_found_in_a_quenched_melt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, a: float
) -> None:
    require("wheel")
    monkeypatch.setenv("PATH", str(BIN), prepend=":")
    al = next(m for m in load_recipe("metals")[0]["material"] if m["name"] == "Al")
    s = crystal(kind, a, 1400)
    # One half is a crystal under small displacements, the other has none of its order left.
    rng = np.random.default_rng(3)
    ordered = s.positions[:, 2] < 0.5 * s.cell[2, 2]
    r = s.positions + rng.normal(0, 1, s.positions.shape) * np.where(ordered, 0.03, 0.5)[:, None]
    write_data(tmp_path / "data", r, s.cell)
    text = dynamics.head(al, 1, 1.0)
    text += "write_dump all custom quenched.dump id x y z modify sort id\n"
    run_lammps(tmp_path, text)
    (found,) = dynamics.crystalline(tmp_path, al)
    z = s.positions[:, 2] / s.cell[2, 2]
    inside = (z > 0.2) & (z < 0.3)
    assert found[inside].all()
    assert found[(z > 0.6) & (z < 0.9)].mean() < 0.05


def test_a_quenched_melt_is_a_trajectory_of_its_own() -> None:
    recipe, _ = load_recipe("metals")
    protocol = recipe["protocol"]
    for role in ("training", "selection", "headline"):
        glasses = [j for j in jobs(recipe, role) if j.kind == "glass"]
        assert len(glasses) >= 3
        assert {j.temperatures for j in glasses} == {tuple(protocol["quenched"])}
        assert {j.atoms for j in glasses} == {protocol["quenched_atoms"]}
    deck = dynamics.deck(glasses[0], protocol)
    dt = glasses[0].material.get("timestep", 0.002)
    hold, gap = (round(protocol[k] / dt) for k in ("quenched_hold", "gap"))
    write = "write_dump .*\n"
    assert len(re.findall(f"run {hold}\n{write}run {gap}\n{write}", deck)) == len(
        protocol["quenched"]
    )


def test_tables_count_what_was_given() -> None:
    sample = Sample("Cu", "fcc", 1, 0.9, np.zeros((4, 3)), np.eye(3), np.array(["fcc"] * 4))
    case = Case(sample, 0.0, np.array([0, 0, 0, -1]), np.zeros((4, 3)))
    p = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.0, 1.0]], dtype=np.float32)
    card = store.Card("t", ["fcc", "disordered"], load_descriptor())
    measured = evaluate(card, [(case, p)])
    assert measured.scores[0].counts.tolist() == [2, 1, 0]
    assert "| Cu, fcc | 66.67 |" in tables(card.classes, measured)
    assert measured.calibration[:, 0].sum() == 3
    assert threshold_for([(case, p)]) == pytest.approx(0.8)


def test_the_summary_is_over_trajectories_and_names_the_worst() -> None:
    def score(material: str, right: int, total: int, removed: float = 0.0) -> Score:
        counts = np.array([right, total - right, 0])
        return Score(material, "fcc", 1, 1.0, removed, -1, 0, counts)

    scores = [
        score("Cu", 1000, 1000),
        score("Ag", 5, 10),
        score("Ag", 9, 10),
        score("Ag", 0, 9, 0.5),
    ]
    rows = {row[0]: row for row in summary_rows(["fcc", "disordered"], Measured(scores))}
    # Ag's two snapshots are one trajectory (70 %), which counts as much as the larger one of Cu.
    _, aim, mean, number, worst = rows["crystals at T_m"]
    assert aim == "99.5, worst 98"
    assert mean == "85.00 ± 15.00"
    assert number == "2"
    assert worst == "70.00 (Ag, fcc)"
    assert rows["crystals, 50 % of atoms removed, T_m"][2].startswith("0.00")
    assert "liquids at T_m" not in rows


def test_the_threshold_table_counts_what_is_left() -> None:
    sample = Sample("Cu", "melt", 1, 1.0, np.zeros((4, 3)), np.eye(3), np.array(["disordered"] * 4))
    p = np.array([[0.9, 0.1], [0.45, 0.55], [0.1, 0.9], [0.02, 0.98]], dtype=np.float32)
    card = store.Card("t", ["fcc", "disordered"], load_descriptor())
    measured = evaluate(card, [(Case(sample, 0.0, np.ones(4, dtype=int), np.zeros((4, 3))), p)])
    text = tables(card.classes, measured)
    assert "| 0.00 | – | – | 0.00 | 75.00 |" in text
    assert "| 0.60 | – | – | 25.00 | 66.67 |" in text
    # No crystal: nothing to calibrate the threshold on.
    case = Case(sample, 0.0, np.ones(4, dtype=int), np.zeros((4, 3)))
    assert threshold_for([(case, p)]) == 0.5


def test_copies_are_thinned_cut_and_strained() -> None:
    recipe, _ = load_recipe("metals")
    most = recipe["training"]["interstitials"]
    r, cell = lattice("fcc", 4.05, (5, 5, 5))
    sample = Sample("X", "fcc", 1, 0.5, r, cell, np.full(len(r), "fcc"))
    sizes = [len(g.labels) for g in graphs(recipe, [sample], 3, copies="training")]
    assert len(r) < max(sizes) <= (1 + most) * len(r) + 1
    del recipe["training"]["interstitials"]
    found = graphs(recipe, [sample], 3, copies="training")
    copies = recipe["training"]["copies"]
    assert len(found) == 1 + copies + 1 + 1
    assert [g.strain > 0 for g in found] == [False] * (copies + 2) + [True]
    low, high = recipe["training"]["removed"]
    for g in found[1 : 1 + copies]:
        assert low <= g.removed <= high
        assert len(g.labels) == pytest.approx((1 - g.removed) * len(r), rel=0.15)
    # A melt is not strained; a stacking is not cut, as its outermost layers have no class.
    melt = Sample("X", "melt", 1, 0.5, r, cell, np.full(len(r), "disordered"))
    assert len(graphs(recipe, [melt], 3, copies="training")) == copies + 2
    stack = Sample("X", "stack", 1, 0.5, r, cell, np.full(len(r), "hcp"))
    assert len(graphs(recipe, [stack], 3, copies="training")) == copies + 2


def test_a_cut_leaves_one_slab_and_its_vacuum() -> None:
    rng = np.random.default_rng(0)
    r, cell = lattice("sc", 1.0, (8, 8, 8))
    for _ in range(5):
        stay = cut(r + 0.5, cell, 0.5, rng)
        assert stay.sum() == 256
        taken = [len(np.unique(r[~stay, axis])) for axis in range(3)]
        assert sorted(taken) == [4, 8, 8]


def test_a_material_may_have_its_own_temperatures() -> None:
    recipe, _ = load_recipe("metals")
    found = {j.name: j.temperatures for j in jobs(recipe, "training")}
    (slow,) = (m for m in recipe["material"] if m["name"] == "Mo")
    seed = slow["seed"]
    assert found[f"Mo-bcc-{seed}"] == tuple(slow["protocol"]["crystal"])
    assert found["Al-fcc-1000"] == tuple(recipe["protocol"]["crystal"])
    assert f"Mo-melt-{seed + 91}" not in found
    again = recipe["protocol"]["undercooled"]
    assert [found[f"Al-melt-{1091 + k}"] for k in range(len(again))] == [tuple(t) for t in again]


def load_descriptor() -> NeighborsMap:
    return NeighborsMap(**load_recipe("metals")[0]["descriptor"])


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Sums in one order: a training gives the same bits again."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_the_running_mean_of_the_weights_forgets_by_its_share() -> None:
    torch.manual_seed(0)
    mean, now = (NeighborsMapGraph(2, 4, 1, 16, 16, 16) for _ in range(2))
    before = mean.last.weight.clone()
    general._follow(mean, now, 0.75)
    assert torch.allclose(mean.last.weight, 0.75 * before + 0.25 * now.last.weight)
    general._follow(mean, now, 0.0)
    assert all(torch.equal(a, b) for a, b in zip(mean.parameters(), now.parameters(), strict=True))


@pytest.mark.usefixtures("one_thread")
def test_training_goes_on_where_it_was_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, _ = load_recipe("metals")
    recipe["training"] |= {"epochs": 3, "configurations": 1}
    found = []
    for k, (name, a) in enumerate((("fcc", 4.05), ("bcc", 2.9), ("sc", 2.8))):
        r, cell = lattice(name, a, (4, 4, 4))
        r = r + np.random.default_rng(k).normal(0, 0.1, r.shape)
        found.append(Sample("X", name, k, 0.5, r, cell, np.full(len(r), name)))
    data = graphs(recipe, found, 1, copies="none")
    whole = general.fit(recipe, lambda _: data, data, seed=5)
    stop = tmp_path / "checkpoint.pt"
    calls = 0
    real = general._balanced

    def interrupted(network: NeighborsMapGraph, parts: list[Graph], device: str) -> float:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return real(network, parts, device)

    monkeypatch.setattr(general, "_balanced", interrupted)
    with pytest.raises(KeyboardInterrupt):
        general.fit(recipe, lambda _: data, data, seed=5, checkpoint=stop)
    again = general.fit(recipe, lambda _: data, data, seed=5, checkpoint=stop)
    assert calls == 4
    for a, b in zip(whole.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.full  # as test_recipe_to_artefact, with molecular dynamics of its own
@pytest.mark.usefixtures("one_thread")
def test_a_few_lines_make_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require("wheel")
    monkeypatch.setenv("PATH", f"{BIN}:/usr/bin:/bin")
    (tmp_path / "own.toml").write_text(OWN)
    path = train(str(tmp_path / "own.toml"), tmp_path / "model", tmp_path / "data", workers=2)
    model = store.load(str(path))
    assert model.card.classes == ["fcc", "disordered"]
    from insitu.analyses.phases.classification import classify_with

    r, cell = lattice("fcc", 4.05, (4, 4, 4))
    assert classify_with(model, r, cell, True).fractions["fcc"] == 1.0
    card = (tmp_path / "model" / "README.md").read_text()
    assert "measured on Al" in card
    assert not list((tmp_path / "model").glob("checkpoint*"))
    assert "| Al, fcc |" in card
    stamp = {p: p.stat().st_mtime_ns for p in (tmp_path / "data").glob("*.npz")}
    recipe, _ = load_recipe(str(tmp_path / "own.toml"))
    assert len(stamp) == sum(len(jobs(recipe, r)) for r in ("training", "selection", "headline"))
    general.generate(recipe, "training", tmp_path / "data")
    assert all(p.stat().st_mtime_ns == t for p, t in stamp.items())
