# SPDX-License-Identifier: BSD-3-Clause
"""Setting `neighbors`: a run is the analysis of the same frames from which the other atoms were deleted."""

from pathlib import Path

import numpy as np
import pytest
from conftest import BUILT, Host, require
from numpy.typing import NDArray

import insitu
from insitu.analyses.base import System
from insitu.analyses.steinhardt import Steinhardt, SteinhardtSettings
from insitu.frame.frame import Frame
from insitu.frame.neighbors.search import Neighbors
from insitu.models.card import class_codes
from insitu.testing import lattice

Sample = tuple[NDArray[np.float64], NDArray[np.float64], list[int]]
Table = dict[str, NDArray[np.float64]]
CUTOFF = 3.3


def hydride() -> Sample:
    """Return hot palladium with hydrogen in a quarter of its octahedral sites."""
    rng = np.random.default_rng(1)
    metal, cell = lattice("fcc", 4.0, (4, 4, 4))
    sites = metal + np.array([2.0, 0.0, 0.0])
    hydrogen = sites[rng.random(len(sites)) < 0.25]
    r = np.vstack([metal, hydrogen])
    r = (r + rng.normal(scale=0.11, size=r.shape)) % np.diag(cell)
    return r, cell, [1] * len(metal) + [2] * len(hydrogen)


def ice(name: str, repeat: tuple[int, int, int]) -> Sample:
    """Return ice: oxygen on the lattice of a diamond, 2.76 Å apart, hydrogen on its bonds."""
    rng = np.random.default_rng(2)
    a = 2.76 * (4 / 3**0.5 if name == "cubic_diamond" else (8 / 3) ** 0.5)
    oxygen, cell = lattice(name, a, repeat)
    size = np.diag(cell)
    hydrogen = []
    for i, r in enumerate(oxygen):
        d = oxygen - r
        d -= np.rint(d / size) * size
        (bonded,) = np.nonzero((np.linalg.norm(d, axis=1) < 3.2) & (np.arange(len(d)) > i))
        near = rng.random(len(bonded)) < 0.5  # on either side of the bond, as the ice rules have it
        hydrogen += [r + (0.35 if n else 0.65) * d[k] for k, n in zip(bonded, near, strict=True)]
    r = np.vstack([oxygen, hydrogen])
    r = (r + rng.normal(scale=0.05, size=r.shape)) % size
    return r, cell, [1] * len(oxygen) + [2] * len(hydrogen)


def write(path: Path, sample: Sample) -> None:
    """Write a data file; numbers are mixed, as are types on every rank."""
    r, cell, types = sample
    order = np.random.default_rng(3).permutation(len(r))
    rows = "\n".join(
        f"{i + 1} {types[k]} {' '.join(map(repr, r[k].tolist()))}" for i, k in enumerate(order)
    )
    box = "\n".join(f"0.0 {float(cell[k, k])!r} {c}lo {c}hi" for k, c in enumerate("xyz"))
    path.write_text(
        f"sample\n\n{len(r)} atoms\n2 atom types\n\n{box}\n\nAtoms # atomic\n\n{rows}\n"
    )


def deck(host: Host, name: str, mine: str, neighbors: str, **settings: object) -> str:
    """Return a deck that analyses steps 2 and 4; column `v_mine` marks whose atoms there are."""
    told = {"labels": "i_phase", "confidence": "d_sure", "neighbors": neighbors, **settings}
    return (
        f"clear\nunits metal\nread_data data.{name.split('_')[0]}\nmass 1 106.4\nmass 2 1.008\n"
        "pair_style zero 6.0\npair_coeff * *\ntimestep 0.01\n"
        + ("" if host.plugin else "comm_modify cutoff 11.0\n")  # fix insitu raises it itself
        + f"fix columns all property/atom i_phase d_sure d_q6\n{mine}"
        "variable z equal lz/2\nregion upper block INF INF INF INF $z INF\ngroup upper region upper\n"
        "velocity all create 200 4711\nfix move all nve\n"
        f"variable mine atom gmask(mine)\nvariable up atom gmask(upper)\n"
        + host.monitor(2, file=f"{name}.h5", **told)
        + f"dump d all custom 2 {name}.dump id type x y z i_phase d_sure d_q6 v_mine v_up\n"
        "dump_modify d first no format float %.16g\nrun 4\n"
    )  # fmt: skip


def frames(dump: Path) -> list[tuple[NDArray[np.float64], Table]]:
    """Return cell and columns by id of the frames after the first of a dump."""
    found = []
    for part in dump.read_text().split("ITEM: TIMESTEP\n")[2:]:
        lines = part.splitlines()
        bounds = np.array([line.split() for line in lines[4:7]], float)
        names = lines[7].split()[2:]
        rows = np.array([line.split() for line in lines[8:]], float)
        rows = rows[np.argsort(rows[:, 0])]
        found.append((np.diag(bounds[:, 1] - bounds[:, 0]), dict(zip(names, rows.T, strict=True))))
    return found


def check(folder: Path, name: str, model: str = "metals") -> list[NDArray[np.bool_]]:
    """Compare columns and history with the analysis of the atoms alone; return whose they are."""
    data = insitu.open(str(folder / f"{name}.h5"))
    marked = []
    assert data["step"].values.tolist() == [2, 4]
    for k, (cell, c) in enumerate(frames(folder / f"{name}.dump")):
        mine, r = c["v_mine"] > 0, np.column_stack([c["x"], c["y"], c["z"]])
        assert 0 < mine.sum() < len(mine)
        alone = insitu.classify(r[mine], cell, True, device="cpu", model=model)
        codes = np.array(class_codes(alone.classes))
        assert (c["i_phase"][mine] == codes[alone.labels]).all()
        assert np.abs(c["d_sure"][mine] - alone.confidence).max() < 1e-5
        assert (c["i_phase"][~mine] == -1).all()
        assert (c["d_sure"][~mine] == 0).all()
        frame = data.isel(step=k)
        assert int(frame["count"].sum()) == mine.sum()
        assert int(frame["atoms"]) == len(mine)
        for phase, share in alone.fractions.items():
            assert float(frame["fraction"].sel(phase=phase)) == pytest.approx(share)
        marked.append(mine)
    return marked


def radial(r: NDArray[np.float64], cell: NDArray[np.float64], edges: NDArray[np.float64]) -> Table:
    """Return g(r) of some atoms in a box, as textbooks define it."""
    d = r[:, None] - r[None]
    d -= np.rint(d / np.diag(cell)) * np.diag(cell)
    distance = np.linalg.norm(d, axis=-1)[~np.eye(len(r), dtype=bool)]
    shells = 4 / 3 * np.pi * np.diff(edges**3)
    pairs = np.histogram(distance, edges)[0]
    return {"g": pairs * np.linalg.det(cell) / (len(r) * (len(r) - 1) * shells)}


@pytest.mark.parametrize(
    ("name", "ranks"),
    [pytest.param("wheel", 1, marks=pytest.mark.full), ("wheel", 2),
     pytest.param("wheel", 3, marks=pytest.mark.full),
     pytest.param("debian", 1, marks=pytest.mark.full), ("debian", 3),
     *[pytest.param(built, 2, marks=pytest.mark.full) for built in BUILT]],
)  # fmt: skip
def test_a_run_with_neighbors_is_one_without_the_other_atoms(
    name: str, ranks: int, tmp_path: Path
) -> None:
    """A hydride by a group, ices by type, and a group that changes from step to step."""
    host = require(name)
    samples = {
        "hydride": hydride(), "cubic": ice("cubic_diamond", (3, 3, 3)),
        "hexagonal": ice("hexagonal_diamond", (4, 2, 3)),
    }  # fmt: skip
    for key, sample in samples.items():
        write(tmp_path / f"data.{key}", sample)
    moving = (
        "region part block 2.0 14.0 INF INF INF INF\ngroup mine dynamic all region part every 1\n"
    )
    text = (
        deck(host, "hydride", "group mine type 1\n", "mine", types="yes", groups="upper", rdf=7.5,
             rdf_bins=40, profile="z,8",
             analyze=f"steinhardt cutoff {CUTOFF} columns q6=d_q6")
        + deck(host, "cubic", "group mine type 1\n", "1")
        + deck(host, "hexagonal", "group mine type 1\n", "1")
        + deck(host, "hydride_moving", moving, "mine")
        + deck(host, "hydride_images", "group mine type 1\n", "mine", model="crystals-cnn")
    )  # fmt: skip
    run = host.run(tmp_path, text, ranks)
    assert run.code == 0, run.text[-3000:]

    (mine, _) = check(tmp_path, "hydride")
    data = insitu.open(str(tmp_path / "hydride.h5"))
    assert data.attrs["neighbors"] == "mine"
    assert (data["fraction"].sel(phase="fcc") > 0.99).all()
    for k, (cell, c) in enumerate(frames(tmp_path / "hydride.dump")):
        r, now = np.column_stack([c["x"], c["y"], c["z"]]), data.isel(step=k)
        assert (now["count_by_type"].sum("phase") == [mine.sum(), 0]).all()
        assert np.isnan(now["fraction_by_type"].sel(type=2)).all()
        assert int(now["count_by_group"].sum()) == (mine & (c["v_up"] > 0)).sum()
        binned = np.histogram(r[mine, 2] % cell[2, 2], np.linspace(0, cell[2, 2], 9))[0]
        assert (now["profile_count"].sum("phase") == binned).all()
        g = radial(r[mine], cell, np.linspace(0, 7.5, 41))["g"]
        assert np.allclose(now["rdf"].sel(pair="1-1"), g, rtol=1e-5)
        assert np.allclose(now["rdf"].sel(pair="all"), g, rtol=1e-5)
        assert np.isnan(now["rdf"].sel(pair="2-2")).all()
        alone = Frame.from_arrays(r[mine], cell, True, reach=CUTOFF * 1.01)
        order = Steinhardt(SteinhardtSettings(CUTOFF), System())(alone, Neighbors(alone, CUTOFF))
        assert np.allclose(c["d_q6"][mine], order["q6"], atol=1e-5)
        assert np.isnan(c["d_q6"][~mine]).all()
        assert int(now["steinhardt_count"]) == mine.sum()

    for key, phase in (("cubic", "cubic_diamond"), ("hexagonal", "hexagonal_diamond")):
        check(tmp_path, key)
        found = insitu.open(str(tmp_path / f"{key}.h5"))
        assert float(found["fraction"].sel(phase=phase).min()) > 0.99
        assert found.attrs["neighbors"] == "1"

    before, after = check(tmp_path, "hydride_moving")
    assert (before != after).any()
    check(tmp_path, "hydride_images", "crystals-cnn")
