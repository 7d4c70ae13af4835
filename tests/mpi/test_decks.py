# SPDX-License-Identifier: BSD-3-Clause
"""The decks of lammps_inputs/, small, on both hosts: what their README says of them."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from conftest import BUILT, Host, Run, require

import insitu
from insitu.crystal import closest_symmetry, elastic_tensor
from insitu.crystal.tensors.voigt import to_voigt
from insitu.models.store import load
from insitu.models.structures import read
from insitu.views import plots
from insitu.views.analyses import lines

DECKS = Path(__file__).resolve().parents[2] / "lammps_inputs"
HOSTS = ["wheel", "debian", *BUILT]

#: Test size of each deck, in the order in which they run; variables at its head.
SIZES: dict[str, dict[str, object]] = {
    "in.labels": {"cells": 3, "melting": 150, "steps": 60, "every": 20},
    "in.halt": {"cells": 3, "melting": 600, "steps": 400, "every": 20, "share": 0.2, "after": 40},
    "in.film": {"width": 5, "iron": 3, "film": 3, "steps": 40, "every": 20},
    "in.hydride": {"cells": 3, "steps": 40, "every": 20},
    "in.restart_1": {"cells": 3, "written": 60, "lost": 40, "every": 20, "total": 160},
    "in.restart_2": {"written": 60, "every": 20, "total": 160},
    "in.trajectory": {"cells": 3, "steps": 60, "every": 20},
    "in.rerun": {"every": 20},
    "in.deposit": {"width": 4, "layers": 3, "atoms": 4, "steps": 100, "every": 20},
    "in.monitors": {"radius": 3, "steps": 60, "every": 20},
    "in.disable": {"cells": 3, "steps": 40, "every": 20},
    "in.shock": {"width": 2, "length": 10, "settle": 20, "steps": 160, "every": 40},
    "in.nucleus": {"cells": 4, "radius": 1.4, "melting": 100, "steps": 40, "every": 20},
    "in.trigger": {"cells": 3, "last": 9000, "steps": 600},
    "in.profiles": {"cells": 3, "melting": 300, "steps": 60, "every": 20},
    "in.overhead": {"cells": 3, "steps": 60, "overhead": 1e-6, "most": 20},
    "in.overlap": {"cells": 3, "steps": 80, "every": 20},
    "in.lattice": {"cells": 4, "steps": 40, "every": 20},
    "in.grains": {"side": 6, "steps": 40, "every": 20},
    "in.diffraction": {"cells": 4, "steps": 60, "every": 20},
    "in.symmetry": {"cells": 4, "steps": 40, "every": 20, "strain": 0.02, "hot": 400},
    "in.unknown": {"cells": 6, "steps": 20, "every": 10, "again": "no"},
    "in.bain": {"cells": 4, "steps": 40, "every": 20, "strain": 0.02},
    "in.omega": {"temperature": 300, "steps": 120, "every": 40},
    "in.ice": {"cells": 2, "length": 6, "melting": 40, "steps": 40, "every": 20},
    "in.expansion": {"cells": 5, "steps": 40, "every": 20},
    "in.elastic": {"settle": 1000, "steps": 1000, "every": 500},
    "in.martensite": {"cells": 5, "hot": 300, "steps": 40, "every": 20},
    "in.barriers": {"cells": 4, "quench": 200, "shears": 2, "most": 50},
    "in.hot_glass": {"cells": 4, "quench": 100, "copies": 2, "between": 20, "most": 30},
    "in.job": {"cells": 3, "often": 40, "every": 20, "total": 60},
    "vitrification/in.vitrification_ni": {
        "cells": 3,
        "heat": 40,
        "hold": 20,
        "quench": 40,
        "every": 20,
    },
    "vitrification/in.vitrification_cuzr": {
        "atoms": 60,
        "soft": 50,
        "hold": 20,
        "fast": 20,
        "slow": 20,
        "every": 20,
    },
}
#: What a LAMMPS of 2021 lacks.
OLD = {"in.trigger": {"skip": "no"}, "in.elastic": {"born": "no"}}
ENSEMBLE = {"cells": 5, "steps": 40, "every": 20}
POTENTIAL = {
    "in.film": "AlFe_mm.eam.fs", "in.hydride": "NiAlH_jea.eam.alloy",
    "in.unknown": "Zr_mm.eam.fs", "in.ensemble": "Fe_mm.eam.fs", "in.disable": "Si.sw",
    "in.elastic": "Cu_mishin1.eam.alloy",
    "in.martensite": "Zr_mm.eam.fs", "in.bain": "Fe_mm.eam.fs", "in.omega": "Ti.meam.spline",
    "in.barriers": "CuZr_mm.eam.fs", "in.hot_glass": "CuZr_mm.eam.fs", "in.symmetry": "Fe_mm.eam.fs",
    "vitrification/in.vitrification_ni": "Ni_u3.eam",
    "vitrification/in.vitrification_cuzr": "CuZr_mm.eam.fs",
}  # fmt: skip


@dataclass
class Done:
    """What the decks left in a folder, all run in one process of LAMMPS."""

    host: Host
    run: Run

    @property
    def folder(self) -> Path:
        return self.run.folder

    def history(self, name: str) -> "insitu.xarray.Dataset":  # type: ignore[name-defined]
        return insitu.open(str(self.folder / name))

    def steps(self, name: str) -> list[int]:
        found: list[int] = self.history(name)["step"].values.tolist()
        return found

    def output(self, deck: str) -> str:
        """Return what LAMMPS printed for one deck."""
        return self.run.text.split(f"--- {deck}\n")[1].split("--- ")[0]

    def frames(self, first: int, last: int, every: int = 20) -> list[int]:
        """Return the steps of a deck with `first yes`; fix python/invoke has no first frame."""
        start = first if self.host.plugin else first + every
        return list(range(start, last + 1, every))


def head(host: Host, deck: str, potentials: Path, sizes: dict[str, object]) -> dict[str, object]:
    """Return the variables of a deck in test size."""
    return {
        "host": "plugin" if host.plugin else "python",
        "potential": potentials / POTENTIAL.get(deck, "Al_mm.eam.fs"),
        **sizes,
        **(OLD.get(deck, {}) if host.name == "debian" else {}),
    }


@pytest.fixture(scope="module", params=HOSTS)
def done(
    request: pytest.FixtureRequest, potentials: Path, tmp_path_factory: pytest.TempPathFactory
) -> Done:
    """All decks but that of -partition in one LAMMPS, one after another, `clear` between them.

    LAMMPS and torch take longer to start than the small decks to run.
    """
    host = require(request.param)
    lines = []
    for deck, sizes in SIZES.items():
        variables = head(host, deck, potentials, sizes)
        lines += [f'print "--- {deck}"']
        lines += [f"variable {name} index {value}" for name, value in variables.items()]
        lines += [f"include {DECKS / deck}", "clear"]
        # Also those that only the deck sets: an index variable keeps its value, a string one its style.
        own = re.findall(
            r"^variable\s+(\w+)\s+(?:index|string)\b", (DECKS / deck).read_text(), re.M
        )
        lines += [f"variable {name} delete" for name in dict.fromkeys([*variables, *own])]
    folder = tmp_path_factory.mktemp(host.name)
    run = host.run(folder, "\n".join(lines) + "\n", 2, seconds=400)
    assert run.code == 0, run.text[-3000:]
    return Done(host, run)


def columns(dump: Path) -> dict[int, np.ndarray]:
    """Return the rows of each frame of a text dump by its step."""
    frames = {}
    for part in dump.read_text().split("ITEM: TIMESTEP\n")[1:]:
        words, rows = part.split("ITEM: ATOMS", 1)
        table = [row.split() for row in rows.splitlines()[1:]]
        frames[int(words.split()[0])] = np.array(table, dtype=float)
    return frames


def test_bain_and_ice_begin_as_crystals(done: Done) -> None:
    assert done.steps("bain.h5") == done.frames(0, 40)
    assert float(done.history("bain.h5")["fraction"].sel(phase="fcc")[0]) > 0.99
    ice = done.history("ice.h5")
    assert done.steps("ice.h5") == done.frames(0, 40)
    cubic = ice["profile"].sel(phase="cubic_diamond")[0].values
    assert np.nanmean(cubic[14:22]) > 0.9


def test_what_titanium_becomes_is_unknown_and_a_kind(done: Done) -> None:
    history = done.history("omega.h5")
    assert done.steps("omega.h5") == done.frames(0, 120, 40)
    last = history["fraction"].isel(step=-1)
    assert float(last.sel(phase="unknown")) > 0.9
    assert float(history["unknown_fraction"].isel(step=-1).sum()) > 0.8


def test_labels(done: Done) -> None:
    """The melted atoms in the dump are as many as the history counts."""
    history = done.history("labels.h5")
    assert done.steps("labels.h5") == [20, 40, 60]
    melted = history["count"].sel(phase="disordered")
    dumped = columns(done.folder / "labels.melt.dump")
    for step in (20, 40, 60):
        rows = dumped[step]
        assert len(rows) == int(melted.sel(step=step)) > 0
        assert (rows[:, 5] == int(history["code"].sel(phase="disordered"))).all()
        assert ((rows[:, 6] >= load("metals").card.threshold) & (rows[:, 6] <= 1.0)).all()
    # The dynamic group follows: on a step of analysis it has the labels of the one before.
    found = re.findall(r"^ *(\d+)(?: +\S+){3} +(\d+) +(\S+) *$", done.output("in.labels"), re.M)
    counted = {int(step): int(n) for step, n, _ in found}
    assert counted[60] == int(melted.sel(step=40))


def test_halt(done: Done) -> None:
    """The first run ends at the first frame with enough melt, the second goes on from there."""
    text = done.output("in.halt")
    stopped = re.search(r"molten at step (\d+)", text)
    assert stopped is not None
    step = int(stopped[1])
    assert "halt condition" in text
    share = done.history("halt.h5")["fraction"].sel(phase="disordered")
    assert float(share.sel(step=step)) > 0.2
    assert (share.sel(step=slice(1, step - 1)) <= 0.2).all()
    assert done.steps("halt.h5") == done.frames(0, step + 40)
    # The thermo output has the same numbers.
    found = re.findall(rf"^ *{step} .* (\S+) *$", text, re.M)
    assert found
    assert all(abs(float(value) - float(share.sel(step=step))) < 1e-6 for value in found)


def test_nucleus(done: Done) -> None:
    """The ball of crystal is the largest cluster; the dump has its atoms."""
    history = done.history("nucleus.h5")
    assert done.steps("nucleus.h5") == done.frames(0, 40)
    size = history["clusters_size"].isel(largest=0)
    assert (size.sel(unknown="with") >= size.sel(unknown="without")).all()
    crystal = history["count"].sel(phase=["fcc", "hcp"]).sum("phase")
    assert (history["clusters_size"].sel(unknown="without").sum("largest") <= crystal).all()


def test_grains(done: Done) -> None:
    """Four columns are four grains, the same atoms in the history and in the dump."""
    history = done.history("grains.h5")
    assert done.steps("grains.h5") == done.frames(0, 40)
    # Before anything has moved, atoms of a boundary may be a crystal of their own.
    assert (history["grains_number"].isel(step=slice(1, None)) == 4).all()
    assert (history["grains_identity"].isel(largest_grain=slice(0, 4)) > 0).all()
    dumped = columns(done.folder / "grains.dump")[40]
    last = history.sel(step=40)
    for name, size in zip(last["grains_id"].values, last["grains_size"].values, strict=True):
        assert not name or (dumped[:, 4] == name).sum() == size
    assert dumped[:, 5].sum() == int(last["grains_boundary"])


def test_profiles(done: Done) -> None:
    """The profile goes with the front: crystal below it, none far above."""
    history = done.history("profiles.h5")
    assert done.steps("profiles.h5") == done.frames(0, 60)
    front = history["growth_front"].values
    assert ((front > 15) & (front < 35)).all()
    count = history["growth_count"]
    crystal, total = count.sel(phase=["fcc", "hcp"]).sum("phase"), count.sum("phase")
    for bins, low, high in ((slice(-8, -3), 0.8, 1.0), (slice(3, 8), 0.0, 0.4)):
        share = crystal.sel(growth_bin=bins).sum() / total.sel(growth_bin=bins).sum()
        assert low <= share <= high
    # The bins of the tilted planes make up the box: all atoms are in them.
    assert (history["tilted_count"].sum(["tilted_bin", "phase"]) == history["atoms"]).all()
    core = history["core_density"].values
    shells = np.diff(np.arange(core.shape[1] + 1) ** 3)  # their volumes, relative
    density = (core * shells).sum(axis=1) / shells.sum()
    assert ((density > 0.04) & (density < 0.08)).all()


def test_trigger(done: Done) -> None:
    """The run ends once all has melted; the frames around the onset are in a file."""
    history = done.history("trigger.h5")
    assert history["melts_events"].values[-1] == 1
    assert "halt condition" in done.output("in.trigger")
    onset = int(history["step"].values[history["melts_events"].values == 1][0])
    written = columns(done.folder / "trigger.melts.1.dump")
    disordered = int(history["code"].sel(phase="disordered"))
    for step, rows in written.items():
        assert (rows[:, 5] == disordered).sum() == history["count"].sel(
            phase="disordered", step=step
        )
    assert min(written) < onset < max(written)
    if done.host.name != "debian":
        assert set(columns(done.folder / "trigger.event.dump")) >= {onset, onset + 20}


def test_overhead(done: Done) -> None:
    """So small a share that every frame waits as long as it may."""
    assert done.steps("overhead.h5") == [5, 10, 30, 50]
    history = done.history("overhead.h5")
    assert history["budget_interval"].values.tolist() == [0, 0, 20, 20]
    assert 0 < history["budget_share"].values[-1] < 1


def test_overlap(done: Done) -> None:
    """All but the first frame and the last are analysed beside the simulation."""
    assert done.steps("overlap.h5") == [20, 40, 60, 80]
    beside = done.history("overlap.h5")["overlap_beside"].values
    assert (beside > 0).tolist() == [False, True, True, False]


def test_lattice(done: Done) -> None:
    """Two surfaces, two grain boundaries and a crystal between them; the dump has surfaces and defects."""
    history = done.history("lattice.h5")
    assert done.steps("lattice.h5") == done.frames(0, 40)
    fcc = history["lattice_atoms"].sel(lattice_phase="fcc")
    assert (fcc.sum("place") == history["count"].sel(phase="fcc")).all()
    last = fcc.isel(step=-1)
    assert (last > 20).all()
    assert 0.02 < float(history["lattice_residual"].sel(lattice_phase="fcc").isel(step=-1)) < 0.15
    rows = (done.folder / "lattice.dump").read_text().split("ITEM: ATOMS")[-1].splitlines()[1:]
    place = np.array([float(row.split()[4]) for row in rows])
    assert (place == 2).sum() == history["lattice_atoms"].sel(place="surface").isel(step=-1).sum()
    assert (place == 3).sum() == history["lattice_atoms"].sel(place="defect").isel(step=-1).sum()


def test_diffraction(done: Done) -> None:
    """Hot aluminium: 111 and 200 where its cell has them; each frame is a mean of up to three."""
    history = done.history("diffraction.h5")
    assert done.steps("diffraction.h5") == [20, 40, 60]
    assert history["diffraction_frames"].values.tolist() == [1, 2, 3]
    last = history["diffraction_intensity"].isel(step=-1)
    assert 36 < float(last["two_theta"][int(np.argmax(last.values))]) < 39.5
    first = history["diffraction_position"].isel(step=-1, peak=0)
    assert float(first) == pytest.approx(37.8, abs=1.0)


def test_symmetry(done: Done) -> None:
    """fcc iron: the indices of its peaks, and of its reflections in every frame."""
    history = done.history("symmetry.h5")
    assert done.steps("symmetry.h5") == done.frames(0, 100)
    h, k, m = history["diffraction_hkl"].values[0, :3].T
    # (edge / distance)² of fcc in its own cell, or in the tetragonal one of half the volume, where two
    # peaks may have come apart.
    cubic, halved = (h**2 + k**2 + m**2).tolist(), (2 * (h**2 + k**2) + m**2).tolist()
    assert cubic == [3, 4, 8] or halved in ([3, 4, 8], [3, 4, 4])
    systems = history["diffraction_system"]
    high = systems.sel(crystal_system=["cubic", "tetragonal"]).sum("crystal_system")
    assert float(high[0]) > 0.8
    assert systems.values.sum(axis=1) == pytest.approx(1.0)


def test_unknown(done: Done) -> None:
    """Atoms of a structure that the model does not know: its crystal is found, and can be a class."""
    history = done.history("unknown.h5")
    assert done.steps("unknown.h5") == [10, 20]
    assert (history["fraction"].sel(phase="unknown") > 0.99).all()
    found = history.sel(crystal_phase="unknown").isel(step=-1)
    assert int(found["crystal_space_group"]) == 191
    a, _, c = found["crystal_length"].values
    assert a == pytest.approx(5.04, rel=0.02)
    assert c / a == pytest.approx(0.62, rel=0.02)
    (structure,) = read({"omega": str(done.folder / "unknown.unknown.cif")})
    (prototype,) = structure.prototypes
    assert len(prototype[0]) == 3


def test_expansion(done: Done) -> None:
    """The crystal that was found is that of the box, which it is not told."""
    history = done.history("expansion.h5")
    assert done.steps("expansion.h5") == done.frames(0, 40)
    fcc = history.sel(crystal_phase="fcc")
    assert (fcc["crystal_space_group"] == 225).all()
    assert (fcc["crystal_atoms"] > 0.98 * 500).all()
    printed = re.findall(
        r"^ *(20|40)(?: +\S+){2} +(\S+) +(\S+) +(\S+) *$", done.output("in.expansion"), re.M
    )
    for step, *sides in printed:
        box = np.array(sides, dtype=float)
        found = fcc.sel(step=int(step))
        assert float(found["crystal_length"][0]) == pytest.approx(box.mean(), rel=2e-4)
        assert float(found["crystal_density"]) == pytest.approx(
            4 * 26.982 * 1.66054 / box.prod(), rel=1e-3
        )
    assert len(printed) == 2


def test_elastic(done: Done) -> None:
    """Prediction and fluctuations are both near the tensor of the potential (169.9, 122.6, 76.2 at 0 K)."""
    fcc = done.history("elastic.h5").sel(crystal_phase="fcc")
    found = fcc["crystal_stiffness"].values
    assert fcc["step"].values.tolist() == done.frames(0, 1000, 500)
    said = re.findall(r"C11 (\S+) C12 (\S+) C44 (\S+) GPa", done.output("in.elastic"))
    if done.host.name == "debian":  # of 2021
        assert "the prediction alone" in done.output("in.elastic")
        return
    c11, c12, c44 = map(float, said[-1])
    assert 150 < c11 < 172
    assert 110 < c12 < 125
    assert 64 < c44 < 78
    assert found[:, 0, 0] == pytest.approx(c11, rel=0.15)
    assert found[:, 3, 3] == pytest.approx(c44, rel=0.2)


def test_martensite(done: Done) -> None:
    """Tensor and symmetry breaking of each frame are those of the cell that was found in it."""
    history = done.history("martensite.h5")
    assert done.steps("martensite.h5") == done.frames(0, 40)
    assert history["crystal_stiffness"].attrs["units"] == "GPa"
    bcc = history.sel(crystal_phase="bcc")
    assert (bcc["crystal_sites"] == 1).all()
    for step in bcc["step"].values:
        frame = bcc.sel(step=step)
        tensor = elastic_tensor(frame["crystal_cell"].values, [[0, 0, 0]], [40]).tensor
        assert np.allclose(frame["crystal_stiffness"].values, to_voigt(tensor), atol=1e-6)
        breaking = float(frame["crystal_symmetry_breaking"])
        assert breaking == pytest.approx(closest_symmetry(tensor, "cubic")[0], abs=1e-6)
        assert breaking < 1e-6 if step == 0 else 1e-6 < breaking < 0.1
    assert np.isnan(history.sel(crystal_phase="hcp")["crystal_symmetry_breaking"]).all()
    assert any("symmetry breaking 0.0" in line for line in lines(history))
    panels = ["phases", "crystal_length", "crystal_symmetry_breaking", "crystal_moduli"]
    axes = plots.phase_history(history, panels=panels).axes
    for drawn, variable in zip(
        axes[1:3], ("crystal_length", "crystal_symmetry_breaking"), strict=True
    ):
        values = bcc[variable].values.reshape(len(bcc["step"]), -1)[:, 0]
        assert np.allclose(drawn.lines[0].get_ydata(), values)
    assert len(axes[3].lines) == 2


def test_barriers(done: Done) -> None:
    """One frame after each minimisation, none in it; the dumps have the same barriers."""
    history = done.history("barriers.h5")
    assert len(history["step"]) == 2
    assert (history["barriers_count"] == 256).all()
    for k in (1, 2):
        text = (done.folder / f"barriers.{k}.dump").read_text()
        rows = text.split("ITEM: ATOMS")[-1].splitlines()[1:]
        barriers = np.array([float(row.split()[5]) for row in rows])
        mean = float(history["barriers_mean"].isel(step=k - 1))
        assert barriers.mean() == pytest.approx(mean, abs=1e-4)  # a dump has 6 digits


def test_hot_glass(done: Done) -> None:
    """Quenched copies are analysed, and the run goes on as if there were none."""
    history = done.history("hot_glass.h5")
    assert done.steps("hot_glass.h5") == [21, 41]
    assert (history["temperature"] == 0).all()
    row = r"^ *(\d+) +(\S+) +(-\S+) +(-\S+) *$"
    rows = re.findall(row, done.output("in.hot_glass"), re.M)
    hot = [r for r in rows if float(r[1]) > 0]
    for step in ("20", "40"):
        seen = [r for r in hot if r[0] == step]
        assert len(seen) >= 2  # at the end of the run, and where the minimisation begins
        assert len(set(seen)) == 1
    assert hot[-1][0] == "70"  # the last copy's minimisation, with the velocities of the run
    total = [float(r[3]) for r in hot if r[0] in ("0", "20", "40")]
    assert np.ptp(total) < 0.01  # conserved over the copies: 256 atoms, fix nve
    for k, mean in enumerate(history["barriers_mean"].values):
        text = (done.folder / f"hot_glass.{k + 1}.dump").read_text()
        rows = text.split("ITEM: ATOMS")[-1].splitlines()[1:]
        assert np.mean([float(r.split()[5]) for r in rows]) == pytest.approx(mean, abs=1e-4)


def test_film(done: Done) -> None:
    """Iron and aluminium, and the halves of the film, each have their own fractions."""
    history = done.history("film.h5")
    assert done.steps("film.h5") == done.frames(0, 40)
    assert history["group"].values.tolist() == ["free", "bound"]
    assert history["type"].values.tolist() == [1, 2]
    assert (history["count_by_type"].sum("type") == history["count"]).all()
    film = history["count_by_type"].sel(type=2)
    assert (history["count_by_group"].sum("group") == film).all()
    assert (history["fraction_by_type"].sel(type=1, phase="bcc") > 0.9).all()
    if done.host.plugin:
        last = re.findall(r"^ +40((?: +\S+){5}) *$", done.output("in.film"), re.M)
        shown = [float(v) for v in last[-1].split()[1:]]
        end = history.isel(step=-1)
        kept = [
            end["fraction_by_group"].sel(group="free", phase="disordered"),
            end["fraction_by_group"].sel(group="bound", phase="disordered"),
            end["fraction_by_type"].sel(type=1, phase="bcc"),
            end["fraction_by_type"].sel(type=2, phase="disordered"),
        ]
        assert np.allclose(shown, np.array(kept, dtype=float), atol=1e-6)


def test_hydride(done: Done) -> None:
    """The metal's lattice is fcc whatever the hydrogen, which is unknown to the model."""
    alone, everything = done.history("hydride.h5"), done.history("hydride.all.h5")
    assert done.steps("hydride.h5") == done.steps("hydride.all.h5") == [20, 40]
    assert (alone["count"].sum("phase") == 108).all()
    assert (everything["count"].sum("phase") == 108).all()
    assert (alone["atoms"] == 162).all()
    assert (alone["fraction"].sel(phase="fcc") > 0.99).all()
    fcc, with_hydrogen = (h["fraction"].sel(phase="fcc").values for h in (alone, everything))
    assert (with_hydrogen < fcc - 0.05).all()
    assert (alone.attrs["neighbors"], everything.attrs["neighbors"]) == ("metal", "all")


def test_restart_continues_the_history(done: Done) -> None:
    assert "    100" in done.output("in.restart_1")  # it went beyond its restart file
    assert done.steps("restart.h5") == list(range(20, 161, 20))
    assert np.allclose(done.history("restart.h5")["time"], 0.002 * np.arange(20, 161, 20))


def test_job_runs_to_its_end(done: Done) -> None:
    """How it goes on is tested with SLURM."""
    assert done.steps("phases.h5") == [20, 40, 60]
    assert (done.folder / "job.finished").exists()
    assert {p.name for p in done.folder.glob("job.restart.*")} == {
        "job.restart.0", "job.restart.40", "job.restart.60",
    }  # fmt: skip


def test_rerun_of_a_dump(done: Done) -> None:
    """Both hosts analyse every frame, the first included; temperatures are those of the run."""
    history = done.history("rerun.h5")
    assert done.steps("rerun.h5") == [0, 20, 40, 60]
    printed = re.findall(
        r"^ *(?:0|20|40|60) +(\S+)(?: +\S+){2} *$", done.output("in.trajectory"), re.M
    )
    assert np.allclose(history["temperature"], np.array(printed[:4], float), rtol=1e-4)
    assert float(history["fraction"].sel(phase="fcc").isel(step=0)) == 1.0


def test_deposition(done: Done) -> None:
    """Every atom that is there is counted: one more every 20 steps."""
    atoms = done.history("deposit.h5")["count"].sum("phase").to_series()
    printed = dict(re.findall(r"^ *(\d+) +(\d+)(?: +\S+){2} *$", done.output("in.deposit"), re.M))
    assert {str(step): str(n) for step, n in atoms.items()}.items() <= printed.items()
    assert atoms.iloc[-1] == atoms.iloc[0] + (4 if done.host.plugin else 3)


def test_monitors(done: Done) -> None:
    """Each of three analyses in one deck has its own atoms, interval and threshold."""
    assert done.steps("core.h5") == done.frames(0, 60)
    assert done.steps("skin.h5") == done.steps("strict.h5") == done.frames(0, 60, 60)
    core, skin, strict = (done.history(f"{n}.h5").sel(step=60) for n in ("core", "skin", "strict"))
    assert (core["count"].sum() + skin["count"].sum()) == strict["count"].sum()
    assert (
        strict["count"].sel(phase="unknown") >= (core["count"] + skin["count"]).sel(phase="unknown")
    ).all()
    assert strict.attrs["threshold"] == 0.99


def test_disabled_analysis_is_noted(done: Done) -> None:
    """The frames of the first run stay; the second run goes to its end and has no labels."""
    history = done.history("disable.h5")
    assert done.steps("disable.h5") == [20, 40]
    (note,) = json.loads(history.attrs["disabled"])
    assert note["step"] == (40 if done.host.plugin else 60)
    assert "comm_modify cutoff" in note["reason"]
    text = done.output("in.disable")
    assert "the analysis is disabled" in text
    lowest = re.findall(r"^ *(\d+)(?: +\S+){2} +(\S+) +(\S+) *$", text, re.M)
    assert lowest[-1] == ("80", "-1", "-1")
    assert ("40", "6", "6") in lowest


def test_shock(done: Done) -> None:
    """The bins hold all atoms, and behind the piston there are none."""
    history = done.history("shock.h5")
    assert done.steps("shock.h5") == done.frames(0, 160, 40)
    count = history["profile_count"].sum("phase")
    atoms = int(history["atoms"][-1])
    assert (count.sum("bin") == atoms).all()
    piston = -0.5 + 25 * float(history["time"][-1])
    edges = history["bin"].values + 0.5 * float(history["bin"][1] - history["bin"][0])
    first, last = count.isel(step=0).values, count.isel(step=-1).values
    assert first[:3].sum() > 50
    assert not last[edges < piston - 0.5].any()
    assert (edges < piston - 0.5).any()
    # What the piston has met is denser than it was.
    assert last.max() > 1.2 * first[5:35].max()


def test_vitrification_of_nickel(done: Done) -> None:
    """One history of three runs, with the model's phases and g(r) of the crystal that it begins with."""
    history = done.history("vitrification_ni.h5")
    assert done.steps("vitrification_ni.h5") == done.frames(0, 100)
    assert history["phase"].values.tolist() == ["fcc", "liquid", "amorphous", "unknown"]
    assert history["pair"].values.tolist() == ["all"]
    g = history["rdf"].sel(pair="all").isel(step=0)
    assert float(g["radius"][g.argmax("radius")]) == pytest.approx(3.52 / 2**0.5, abs=0.15)


def test_vitrification_of_copper_and_zirconium(done: Done) -> None:
    """Types are elements by their masses; g(r) of the pairs adds up to that of all."""
    history = done.history("vitrification_cuzr.h5")
    assert done.steps("vitrification_cuzr.h5") == done.frames(0, 60)
    assert (history["count"].sum("phase") == 120).all()
    assert (history["count_by_type"].sum("phase") == 60).all()
    g = history["rdf"].isel(step=-1)
    pairs = g.sel(pair=["1-1", "1-2", "2-2"]).values * [[60 * 59], [2 * 60 * 60], [60 * 59]]
    assert np.allclose(pairs.sum(axis=0), g.sel(pair="all").values * 120 * 119, rtol=1e-5)


def test_ensemble(potentials: Path, tmp_path: Path) -> None:
    ensemble(require("debian"), potentials, tmp_path)


@pytest.mark.full
def test_ensemble_on_the_wheel(potentials: Path, tmp_path: Path) -> None:
    ensemble(require("wheel"), potentials, tmp_path)


def ensemble(host: Host, potentials: Path, folder: Path) -> None:
    arguments = ["-partition", "2x1"]
    for name, value in head(host, "in.ensemble", potentials, ENSEMBLE).items():
        arguments += ["-var", name, str(value)]
    run = host.run(folder, (DECKS / "in.ensemble").read_text(), 2, *arguments)
    assert run.code == 0, run.text[-3000:]
    warm, hot = (insitu.open(str(folder / f"ensemble.{k}.h5")) for k in (1, 2))
    assert warm["step"].values.tolist() == hot["step"].values.tolist() == [20, 40]
    assert warm.attrs["ranks"] == hot.attrs["ranks"] == 1
    assert float(warm["temperature"][-1]) < float(hot["temperature"][-1])


@pytest.mark.full
def test_titanium_becomes_omega(host: Host, potentials: Path, tmp_path: Path) -> None:
    """In the deck's own size, its lattice at the end by spglib: P6/mmm, three sites."""
    from insitu.cli.command import main

    arguments = []
    for key, value in head(host, "in.omega", potentials, {}).items():
        arguments += ["-var", key, str(value)]
    run = host.run(tmp_path, (DECKS / "in.omega").read_text(), 2, *arguments)
    assert run.code == 0, run.text[-3000:]
    last = insitu.open(str(tmp_path / "omega.h5"))["fraction"].isel(step=-1)
    assert float(last.sel(phase="unknown")) > 0.9
    cif, dump = str(tmp_path / "omega.cif"), str(tmp_path / "omega.dump")
    assert main(["crystal", dump, "--index=-10:", "--average", "10", "--cif", cif]) == 0
    assert "P6/mmm" in Path(cif).read_text()
    assert main(["classify", dump, "--index", "-1", "--classes", f"omega={cif}"]) == 0


@pytest.mark.full
@pytest.mark.parametrize("deck", [d for d in SIZES if d not in ("in.restart_2", "in.rerun")])
def test_alone(host: Host, potentials: Path, tmp_path: Path, deck: str) -> None:
    """As a user runs them: one process a deck, variables on the command line."""
    follows = {"in.restart_1": ["in.restart_2"], "in.trajectory": ["in.rerun"]}.get(deck, [])
    for name in (deck, *follows):
        arguments = []
        sizes = SIZES[name] | ({"again": "yes"} if name == "in.unknown" else {})
        for key, value in head(host, name, potentials, sizes).items():
            arguments += ["-var", key, str(value)]
        run = host.run(tmp_path, (DECKS / name).read_text(), 2, *arguments)
        assert run.code == 0, run.text[-3000:]
    if deck == "in.unknown":  # what was found is a class of its second run
        named = insitu.open(str(tmp_path / "named.h5"))
        assert (named["fraction"].sel(phase="omega") > 0.99).all()
        kinds = insitu.open(str(tmp_path / "unknown.h5"))["unknown_fraction"].isel(step=-1)
        assert kinds.values[0] > 0.99
    if deck == "in.restart_1":
        steps = insitu.open(str(tmp_path / "restart.h5"))["step"].values.tolist()
        assert steps == list(range(20, 161, 20))
