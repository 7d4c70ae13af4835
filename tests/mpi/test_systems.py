# SPDX-License-Identifier: BSD-3-Clause
"""Systems of every kind: unit styles, atoms that come and go, several analyses side by side."""

from pathlib import Path

import numpy as np
import pytest
from conftest import Host, crystal, require

import insitu
from insitu.frame.units import ANGSTROM
from insitu.models.card import Card
from insitu.models.export import save
from insitu.models.networks.neighbors_map import NeighborsMapCNN
from insitu.testing import lattice


@pytest.fixture(scope="module")
def scale_free(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model on scale-free maps; its weights are random, so its labels are many."""
    import torch

    from insitu.descriptors.neighbors_map import NeighborsMap

    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("model") / "model.pt"
    card = Card("random", ["a", "b", "c"], NeighborsMap(scale_free=True), threshold=0.0)
    network = NeighborsMapCNN(3, scale=3.0)
    with torch.no_grad():
        network.head[-1].weight *= 30.0
    save(network, card, path)
    return path


def test_unit_styles_give_the_same_fractions(host: Host, tmp_path: Path, scale_free: Path) -> None:
    """One sample, written in the unit of each style; its lengths are Å to the analysis (lj: σ)."""
    r, cell = lattice("fcc", 4.05, (5, 5, 5))
    rng = np.random.default_rng(2)
    r = r + rng.normal(size=r.shape) * np.where(rng.random((len(r), 1)) < 0.3, 0.6, 0.1)
    deck = ""
    for units, model in [
        ("metal", "metals"), ("real", "metals"), ("si", "metals"), ("nano", "metals"),
        ("electron", "metals"), ("metal", scale_free), ("lj", scale_free),
    ]:  # fmt: skip
        scale = 1.0 / ANGSTROM[units]
        name = f"{units}.{Path(model).stem}"
        rows = "".join(
            f"{i + 1} 1 {x!r} {y!r} {z!r}\n" for i, (x, y, z) in enumerate((r * scale).tolist())
        )
        size = float(cell[0, 0] * scale)
        box = "".join(f"0.0 {size!r} {c}lo {c}hi\n" for c in "xyz")
        (tmp_path / f"data.{name}").write_text(
            f"sample\n\n{len(r)} atoms\n1 atom types\n\n{box}\nAtoms\n\n{rows}"
        )
        deck += (
            f"clear\nunits {units}\nread_data data.{name}\nmass 1 27\nneighbor {2.0 * scale} bin\n"
            f"pair_style zero {6.0 * scale}\npair_coeff * *\ncomm_modify cutoff {8.2 * scale}\n"
            + host.monitor(1, file=f"{name}.h5", model=str(model)) + "run 1\n"
        )  # fmt: skip
    run = host.run(tmp_path, deck, 2)
    assert run.code == 0, run.text[-3000:]
    for model, styles in (("metals", ["metal", "real", "si", "nano", "electron"]),
                          ("model", ["metal", "lj"])):  # fmt: skip
        counts = [
            insitu.open(str(tmp_path / f"{u}.{model}.h5"))["count"].values[0].tolist()
            for u in styles
        ]
        assert all(c == counts[0] for c in counts)
        assert sum(n > 0 for n in counts[0]) > 1


def test_atoms_come_and_go(host: Host, potentials: Path, tmp_path: Path) -> None:
    """Deposited, evaporated and lost atoms: every frame counts those that are there."""
    deck = crystal(potentials, cells=4, temperature=300).replace("boundary p p p", "boundary p p f")
    deck = deck.replace("block 0 4 0 4 0 4", "block 0 4 0 4 -1 12").replace(
        "create_atoms 1 box", "region slab block 0 4 0 4 0.1 3.6\ncreate_atoms 1 region slab"
    )
    deck += (
        "region gas block 0 4 0 4 5 8\nregion top block 0 4 0 4 9 12\n"
        "fix in all deposit 100 1 5 4242 region gas near 2.0 vz 150 200 units box\n"
        "group gone id 1:10\nvelocity gone set NULL NULL -300\n"
        "fix columns all property/atom i_phase\ncompute p all property/atom i_phase\n"
        + host.monitor(20, file="phases.h5", labels="i_phase")
        + "fix out all evaporate 10 5 top 77\n"
        + "thermo 20\nthermo_style custom step atoms\nthermo_modify lost ignore\n"
        "dump d all custom 20 d.* id i_phase\nrun 200\n"
    )
    if host.plugin:
        deck = deck.replace("dump d all custom 20 d.* id i_phase", "dump d all custom 20 d.* id "
                            "i_phase f_phases[1]")  # fmt: skip
    run = host.run(tmp_path, deck, 2)
    assert run.code == 0, run.text[-3000:]
    atoms = {
        int(line.split()[0]): int(line.split()[1])
        for line in run.text.splitlines()
        if len(line.split()) == 2 and line.replace(" ", "").isdigit()
    }
    history = insitu.open(str(tmp_path / "phases.h5"))
    assert history["step"].values.tolist() == list(range(20, 201, 20))
    counted = history["count"].sum("phase").values.tolist()
    assert counted == [atoms[s] for s in range(20, 201, 20)]
    assert history["atoms"].values.tolist() == counted
    assert len(set(counted)) > 2
    for step in range(20, 201, 20):
        rows = [x.split() for x in (tmp_path / f"d.{step}").read_text().splitlines()[9:]]
        assert -1 not in {int(row[1]) for row in rows}
        if host.plugin:
            assert all(row[1] == row[2] for row in rows)


def test_several_analyses_in_one_deck(host: Host, potentials: Path, tmp_path: Path) -> None:
    deck = crystal(potentials).replace("fix move", "group part id 1:100\nfix move")
    deck += host.monitor(10, file="all.h5") + host.monitor(
        20, "part", identity="strict", file="part.h5", threshold=0.9999, model="crystals-cnn"
    )
    run = host.run(tmp_path, deck + "run 40\n", 2)
    assert run.code == 0, run.text[-3000:]
    one, two = (insitu.open(str(tmp_path / f)) for f in ("all.h5", "part.h5"))
    assert one["step"].values.tolist() == [10, 20, 30, 40]
    assert two["step"].values.tolist() == [20, 40]
    assert (one["count"].sum("phase") == 256).all()
    assert (two["count"].sum("phase") == 100).all()
    assert float(two["fraction"].sel(phase="unknown")[-1]) > 0.0


def test_two_analyses_in_one_file_are_refused(potentials: Path, tmp_path: Path) -> None:
    host = require("wheel")
    deck = crystal(potentials) + host.monitor(10, file="a.h5") + host.monitor(
        10, identity="other", file="./a.h5", if_exists="append"
    )  # fmt: skip
    run = host.run(tmp_path, deck + "run 10\n", 2)
    assert run.code != 0
    assert "file='./a.h5' is written by fix phases already" in run.text
