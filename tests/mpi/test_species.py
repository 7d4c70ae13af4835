# SPDX-License-Identifier: BSD-3-Clause
"""g(r) of a run beside LAMMPS' own, and species channels, on 1 to 3 ranks in both hosts."""

from pathlib import Path

import numpy as np
import pytest
from conftest import Host

import insitu
from insitu.descriptors.neighbors_map import NeighborsMap
from insitu.history.check import check_file
from insitu.models.card import Card
from insitu.models.export import save
from insitu.models.networks.neighbors_map import NeighborsMapCNN

ELEMENTS = {"Cu": {"mass": 63.546, "weights": [0.5]}, "Zr": {"mass": 91.224, "weights": [1.5]}}
#: Copper and zirconium at random, soft enough to move a little and stay apart.
DECK = """units metal
region b block 0 17 0 16 0 15
create_box 2 b
create_atoms 1 random 140 11 b
create_atoms 2 random 90 12 b
mass 1 {copper}
mass 2 91.22
pair_style soft 2.0
pair_coeff * * 1.0
comm_modify cutoff 9.3
neighbor 1.0 bin
velocity all create 300 4711 loop geom
fix move all nve
timestep 0.001
"""


@pytest.fixture(scope="module")
def coloured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with two channels; its weights are random, and no class is ahead on average."""
    import torch

    torch.manual_seed(5)
    rng = np.random.default_rng(5)
    size = np.array([17.0, 16.0, 15.0])
    images = insitu.neighbors_map(
        rng.random((230, 3)) * size, size, True, weights=rng.choice([0.5, 1.5], 230)
    )
    path = tmp_path_factory.mktemp("model") / "model.pt"
    card = Card("random", ["a", "b", "c"], NeighborsMap(), 2, threshold=0.0, elements=ELEMENTS)
    network = NeighborsMapCNN(3, 2, scale=3.0)
    with torch.no_grad():
        network.head[-1].weight *= 30.0
        network.head[-1].bias -= network.eval().logits(torch.from_numpy(images)).mean(0)
    save(network, card, path)
    return path


def test_g_and_species_channels(host: Host, tmp_path: Path, coloured: Path) -> None:
    deck = DECK.format(copper=63.55)
    deck += "compute g all rdf 80 * * 1 1 1 2 2 2 cutoff 8.0\n"
    deck += "fix g all ave/time 20 1 20 c_g[*] file lammps.rdf mode vector\n"
    deck += "dump d all custom 20 d.dump id type x y z\ndump_modify d sort id format float %.17g\n"
    deck += host.monitor(20, file="g.h5", model=str(coloured), rdf=8.0, rdf_bins=80)
    found = {}
    for ranks in (1, 2, 3):
        folder = tmp_path / str(ranks)
        folder.mkdir()
        run = host.run(folder, deck + "run 40\n", ranks)
        assert run.code == 0, run.text[-2000:]
        found[ranks] = insitu.open(folder / "g.h5")
        rows = [line.split() for line in (folder / "lammps.rdf").read_text().splitlines()]
        blocks = np.array([r for r in rows if len(r) == 10], dtype=float).reshape(-1, 80, 10)
        history = found[ranks]
        assert history["pair"].values.tolist() == ["all", "1-1", "1-2", "2-2"]
        assert history["radius"].attrs["units"] == "Angstrom"
        assert np.allclose(history["radius"], blocks[-1, :, 1])
        for step, block in zip((20, 40), blocks[-2:], strict=True):
            # LAMMPS prints six digits.
            g = history["rdf"].sel(step=step).values
            assert np.allclose(g[:, 5:], block[5:, 2::2].T, rtol=2e-5, atol=1e-5)
            assert g[:, 40:].mean() == pytest.approx(1.0, abs=0.05)
        assert check_file(folder / "g.h5") == []
    # Rounding differs with the decomposition: a pair at the limit of two bins may be in either.
    for ranks in (2, 3):
        assert (found[ranks]["count"] == found[1]["count"]).all()
        same = np.isclose(found[ranks]["rdf"], found[1]["rdf"], rtol=1e-6)
        assert (~same).sum() <= 12, np.argwhere(~same)
    lines = (tmp_path / "1" / "d.dump").read_text().splitlines()
    atoms = np.array([line.split() for line in lines[-230:]], dtype=float)
    cell = np.diag([17.0, 16.0, 15.0])
    numbers = np.where(atoms[:, 1] == 1, 29, 40)
    offline = insitu.classify(atoms[:, 2:5], cell, True, numbers, model=str(coloured))
    counts = found[1]["count"].sel(step=40).values
    assert np.bincount(offline.labels, minlength=4).tolist() == counts.tolist()
    assert (counts[:3] > 5).sum() >= 2
    swapped = insitu.classify(atoms[:, 2:5], cell, True, 69 - numbers, model=str(coloured))
    assert (swapped.labels != offline.labels).any()


def test_elements_of_types_are_named_or_told_by_mass(
    host: Host, tmp_path: Path, coloured: Path
) -> None:
    def run(copper: float, **more: object) -> str:
        deck = DECK.format(copper=copper) + host.monitor(
            1, file="g.h5", model=str(coloured), if_exists="overwrite", **more
        )
        return host.run(tmp_path, deck + "run 1\n", 2).text

    assert "atom type 1 has the mass 107.87 g/mol" in run(107.87)
    assert "species=Cu names 1 elements and the deck has 2" in run(63.55, species="Cu")
    assert "does not know Ag" in run(63.55, species="Ag,Zr")
    text = run(107.87, species="Cu,Zr")
    assert (tmp_path / "g.h5").exists(), text


def test_a_radius_beyond_the_ghosts_is_refused(host: Host, tmp_path: Path, coloured: Path) -> None:
    deck = DECK.format(copper=63.55)
    deck += host.monitor(1, file="g.h5", model=str(coloured), rdf=9.6, ghosts="ask")
    text = host.run(tmp_path, deck + "run 1\n", 2).text
    assert "rdf needs all atoms within 9.6" in text
    assert "comm_modify cutoff 1" in text
