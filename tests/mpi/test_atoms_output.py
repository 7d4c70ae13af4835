# SPDX-License-Identifier: BSD-3-Clause
"""Setting `atoms`: the atoms of a run in H5MD are those of LAMMPS' own dump, on 1-3 ranks; both hosts."""

import importlib.util
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest
from conftest import ONE, Host, require

import insitu
from insitu.errors import SettingError
from insitu.history.check import check_file
from insitu.offline.readers.trajectories import read_file

HEAD = """units metal
lattice fcc 4.05 origin 0.1 0.1 0.1
boundary p p f
region b prism -1 4 0 5 0 5 1.2 0 0 units lattice
create_box 2 b
create_atoms 1 box
set group all type/fraction 2 0.3 7
mass 1 26.98
mass 2 58.69
"""
DECK = (
    HEAD
    + """pair_style soft 2.0
pair_coeff * * 1.0
comm_modify cutoff 7.2
neighbor 1.0 bin
fix move all nve
timestep 0.001
velocity all create 300 4711 loop geom
"""
)
#: In the middle of it: a piece of the crystal goes, another melts.
CHANGE = """region out block -3 3 INF INF INF INF
delete_atoms region out
displace_atoms all random 0.8 0.8 0 11 units box
"""
DUMP = "dump d all custom 10 all.dump id type x y z\ndump_modify d sort id format float %.9g\n"


def frames(path: Path) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Return the bounds and the rows of each frame of a text dump by its step."""
    found = {}
    for part in path.read_text().split("ITEM: TIMESTEP\n")[1:]:
        words, rows = part.split("ITEM: ATOMS", 1)
        table = np.array([line.split() for line in rows.splitlines()[1:]], dtype=float)
        bounds = np.array([line.split() for line in words.splitlines()[4:7]], dtype=float)
        found[int(words.split()[0])] = bounds, table
    return found


def compare(folder: Path, steps: list[int], writers: int = 1) -> None:
    """Compare the atoms with LAMMPS' dump, and their phases with the history's counts."""
    assert check_file(folder / "a.h5") == []
    history, dumped = insitu.open(folder / "a.h5"), frames(folder / "all.dump")
    with h5py.File(folder / "a.h5") as file:  # by the link in it
        group = file["particles/all"]
        assert group["position/step"][:].tolist() == steps
        assert np.allclose(group["position/time"][:], 0.001 * np.array(steps))
        assert list(group["box"].attrs["boundary"]) == ["periodic", "periodic", "none"]
        codes = history["code"].values.tolist()
        for k, step in enumerate(steps):
            bounds, table = dumped[step]
            ids = group["id/value"][k]
            n = ids >= 0
            assert writers > 1 or n[: len(table)].all()
            assert (ids[n] == table[:, 0]).all()
            assert (ids[~n] == -1).all()
            assert (group["type/value"][k, n] == table[:, 1]).all()
            assert (group["species/value"][k, n] == np.where(table[:, 1] == 1, 13, 28)).all()
            origin, edges = group["box/offset/value"][k], group["box/edges/value"][k]
            assert np.abs(group["position/value"][k, n] + origin - table[:, 2:5]).max() < 2e-5
            assert np.isnan(group["position/value"][k, ~n]).all()
            xy = bounds[0, 2]
            assert np.allclose(origin, [bounds[0, 0] - min(0, xy), *bounds[1:, 0]])
            length = bounds[:, 1] - bounds[:, 0] - [abs(xy), 0, 0]
            assert np.allclose(edges, [[length[0], 0, 0], [xy, length[1], 0], [0, 0, length[2]]])
            phases = group["phase/value"][k, n]
            counted = [(phases == code).sum() for code in codes]
            assert counted == history["count"].sel(step=step).values.tolist()
            confidence = group["confidence/value"][k, n] / 255.0
            for code, mean in zip(codes, history["confidence"].sel(step=step).values, strict=True):
                if (phases == code).any():
                    assert confidence[phases == code].mean() == pytest.approx(mean, abs=0.004)


def test_the_atoms_are_those_of_lammps_own_dump(host: Host, tmp_path: Path) -> None:
    """Also when some go, with a piece of a rank at a time, and from a deck's further run."""
    for ranks in (1, 3) if host.plugin else (3,):
        folder = tmp_path / str(ranks)
        folder.mkdir()
        deck = DECK + host.monitor(5, file="a.h5", atoms=10, atoms_memory=0.01)
        run = host.run(folder, deck + DUMP + "run 20\n" + CHANGE + "run 20\n", ranks)
        assert run.code == 0, run.text[-2000:]
        compare(folder, [10, 20, 30, 40])


@pytest.mark.parametrize("host", ONE, indirect=True)
def test_atoms_of_several_writers_are_shown_as_one_file(host: Host, tmp_path: Path) -> None:
    """Also by a link in the history, and after a restart, which drops the frames that come again."""
    deck = DECK + host.monitor(5, file="a.h5", atoms=10, atoms_memory=0.01, atoms_writers=2)
    run = host.run(tmp_path, deck + DUMP + "run 20\n" + CHANGE + "run 20\n", 3)
    assert run.code == 0, run.text[-2000:]
    compare(tmp_path, [10, 20, 30, 40], 2)
    parts = [tmp_path / f"a.atoms.{k}.h5md" for k in (1, 2)]
    with h5py.File(tmp_path / "a.atoms.h5md") as file:
        every = file["particles/all/id/value"][3]
    rows = []
    for part in parts:
        with h5py.File(part) as file:
            rows.append(file["particles/all/id/value"][3])
            assert file["particles/all/position/step"][:].tolist() == [10, 20, 30, 40]
    assert np.concatenate(rows).tolist() == every.tolist()
    assert 0.4 < (rows[0] >= 0).sum() / (every >= 0).sum() < 0.6
    # The run goes on from its step 20.
    with h5py.File(tmp_path / "a.h5") as file:
        before = file["particles/all/position/value"][:2]
    again = DECK.replace("velocity", "reset_timestep 20\nvelocity") + host.monitor(
        5, file="a.h5", atoms=10, atoms_memory=0.01, atoms_writers=2, if_exists="append"
    )
    run = host.run(tmp_path, again + DUMP + "run 20\n", 3)
    assert run.code == 0, run.text[-2000:]
    with h5py.File(tmp_path / "a.h5") as file:
        group = file["particles/all"]
        assert group["position/step"][:].tolist() == [10, 20, 30, 40]
        np.testing.assert_array_equal(group["position/value"][:2], before)
        assert (group["id/value"][3] >= 0).sum() > (every >= 0).sum()  # nothing was deleted
        del group  # it keeps the file of the atoms open
    # Other numbers of writers, more writers than ranks.
    for writers, ranks, said in ((3, 3, "writers '2', and this run has '3'"), (4, 2, "give 1 … 2")):
        deck = again.replace("reset_timestep 20", "reset_timestep 40")
        other = deck.replace("atoms_writers 2", f"atoms_writers {writers}").replace(
            "atoms_writers=2", f"atoms_writers={writers}"
        )
        run = host.run(tmp_path, other + "run 10\n", ranks)
        assert run.code
        assert said in run.text
    # A part that is gone: nobody takes its places for atoms, and nothing is written in its stead.
    parts[1].rename(tmp_path / "away")
    assert "a.atoms.2.h5md" in check_file(tmp_path / "a.h5")[0]
    with pytest.raises(SettingError, match="copy all parts"):
        list(read_file(str(tmp_path / "a.atoms.h5md"), lambda _: True, print))
    run = host.run(tmp_path, deck + "run 10\n", 3)
    assert run.code
    assert "does not have the 4 frames" in run.text
    assert not parts[1].exists()
    # The file that shows them is gone: the parts are not begun anew.
    (tmp_path / "away").rename(parts[1])
    (tmp_path / "a.atoms.h5md").rename(tmp_path / "away")
    sizes = [p.stat().st_size for p in parts]
    run = host.run(tmp_path, deck + "run 10\n", 3)
    assert run.code
    assert "copy it back, or remove its parts" in run.text
    assert [p.stat().st_size for p in parts] == sizes


def load_with_a_data_file(folder: Path) -> None:
    """Load topology and trajectory as the page says: MDAnalysis has the atoms in the order of their ids."""
    if importlib.util.find_spec("MDAnalysis") is None:
        return
    import MDAnalysis as mda  # noqa: N813

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about masses and elements that the topology does not say
        u = mda.Universe(
            str(folder / "melt.data"), str(folder / "a.atoms.h5md"), format="H5MD",
            topology_format="DATA", atom_style="id type x y z",
        )  # fmt: skip
    bounds, table = frames(folder / "all.dump")[20]
    u.trajectory[1]
    assert u.trajectory.n_frames == 3
    assert u.atoms.types.astype(int).tolist() == table[:, 1].astype(int).tolist()
    low = np.array([bounds[0, 0] - min(0, bounds[0, 2]), *bounds[1:, 0]])
    assert np.abs(u.atoms.positions + low - table[:, 2:5]).max() < 2e-5
    u.trajectory.close()


def test_a_restart_replaces_the_frames_from_there_on(tmp_path: Path) -> None:
    host = require("wheel")
    monitor = host.monitor(5, file="a.h5", atoms=10, if_exists="append")
    deck = DECK + monitor + DUMP + "restart 20 at.*\nrun 35\nwrite_data melt.data nocoeff\n"
    assert host.run(tmp_path, deck, 3).code == 0
    compare(tmp_path, [10, 20, 30])
    load_with_a_data_file(tmp_path)
    again = (
        "units metal\nread_restart at.20\n" + DECK.split("8.69\n")[1].split("velocity")[0] + monitor
    )
    run = host.run(tmp_path, again + DUMP.replace("all.dump", "later.dump") + "run 5\n", 2)
    assert run.code == 0, run.text[-2000:]
    compare(tmp_path, [10, 20])  # that of 30 is of the past
    run = host.run(tmp_path, again + DUMP + "run 20\n", 2)
    assert run.code == 0, run.text[-2000:]
    with h5py.File(tmp_path / "a.atoms.h5md") as file:
        assert file["particles/all/position/step"][:].tolist() == [10, 20, 30, 40]
    assert insitu.open(tmp_path / "a.h5")["step"].values[-1] == 40


def test_groups_and_atoms_that_are_left_out_are_not_analysed(tmp_path: Path) -> None:
    """All atoms are written; those that are not analysed have the phase -1 and no confidence."""
    host = require("wheel")
    half = "region left block INF INF INF 2.4 INF INF\ngroup left region left\n"
    deck = DECK + half + host.monitor(10, "left", file="a.h5", atoms=10, neighbors="1")
    run = host.run(tmp_path, deck + DUMP + "run 10\n", 2)
    assert run.code == 0, run.text[-2000:]
    history = insitu.open(tmp_path / "a.h5")
    ((_, table),) = [frames(tmp_path / "all.dump")[10]]
    with h5py.File(tmp_path / "a.atoms.h5md") as file:
        group = file["particles/all"]
        phases, types = group["phase/value"][0], group["type/value"][0]
        assert len(phases) == len(table)
        assert (phases[types == 2] == -1).all()
        assert (phases >= 0).sum() == history["count"].sum()
        assert 0 < (phases >= 0).sum() < (types == 1).sum()
        assert (group["confidence/value"][0][phases == -1] == 0).all()


def test_files_of_an_earlier_run_are_kept(tmp_path: Path) -> None:
    host = require("wheel")
    path = tmp_path / "a.atoms.h5md"
    path.write_text("mine")
    deck = DECK + host.monitor(10, file="a.h5", atoms=10)
    run = host.run(tmp_path, deck + "run 10\n", 2)
    assert run.code != 0
    assert "Loop time" not in run.text
    assert "a.atoms.h5md' exists, of an earlier run" in run.text
    assert path.read_text() == "mine"
