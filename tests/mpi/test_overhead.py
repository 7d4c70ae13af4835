# SPDX-License-Identifier: BSD-3-Clause
"""The setting `overhead` in a run: samples of the atoms and their errors; both hosts."""

import itertools
from pathlib import Path

import numpy as np
from conftest import Host, crystal

import insitu
from insitu.history.check import check_file
from insitu.pipeline.budget import FEWEST

#: So small a share that the fewest atoms are analysed at the longest interval, on any machine.
SMALL = {"model": "crystals-cnn", "every": 1, "overhead": 1e-6, "every_max": 10}
#: Nothing moves, so that runs on any number of ranks see the same.
DECK = """units metal
read_data ../mixed.data
pair_style soft 2.0
pair_coeff * * 1.0
comm_modify cutoff 8.1
neighbor 1.0 bin
fix move all nve
timestep 1e-9
"""
N = 1372


def write_mixed(path: Path) -> None:
    """Write aluminium, the lower half molten. The ids are the file's: those of create_atoms go by rank."""
    a, rng = 4.05, np.random.default_rng(3)
    corner = np.array(list(itertools.product(range(7), repeat=3)))
    basis = 0.5 * np.array([[0, 0, 0], [1, 1, 0], [1, 0, 1], [0, 1, 1]])
    r = a * (corner[:, None] + basis).reshape(-1, 3) + rng.normal(scale=0.1, size=(N, 3))
    r += (r[:, 2:] < 14.0) * rng.uniform(-0.9, 0.9, (N, 3))
    r %= 7 * a
    box = "".join(f"0 {7 * a} {k}lo {k}hi\n" for k in "xyz")
    rows = "".join(f"{k} 1 {x:.9f} {y:.9f} {z:.9f}\n" for k, (x, y, z) in enumerate(r, 1))
    path.write_text(f"Al\n\n{N} atoms\n1 atom types\n{box}\nMasses\n\n1 26.98\n\nAtoms\n\n{rows}")


def test_samples_and_their_errors(host: Host, tmp_path: Path) -> None:
    """What samples say agrees with all atoms, within their errors, and on any number of ranks."""
    profile = "profile axis z bins 4"
    write_mixed(tmp_path / "mixed.data")
    found = {}
    for ranks in (1, 3):
        folder = tmp_path / str(ranks)
        folder.mkdir()
        line = host.monitor(1, file="a.h5", analyze=profile, **SMALL)
        run = host.run(folder, DECK + line + "run 31\n", ranks)
        assert run.code == 0, run.text[-2000:]
        advice = "overhead=1e-06 cannot be kept: a frame with 0.73 of the atoms every 10 steps"
        assert advice in run.text
        assert check_file(folder / "a.h5") == []
        found[ranks] = insitu.open(folder / "a.h5")
    h = found[1]
    share = FEWEST / N
    # A run's second frame is the first whose costs are known.
    assert h["step"].values.tolist() == [1, 2, 12, 22]
    assert h["budget_sampled"].values.tolist() == [1.0, 1.0, share, share]
    assert h["budget_interval"].values.tolist() == [0, 0, 10, 10]
    assert (h["budget_share"].values[2:] > 0).all()
    for name in ("count", "profile_count", "standard_error", "budget_sampled"):
        assert np.array_equal(found[3][name].values, h[name].values), name
    every = h.isel(step=0)
    assert (h["standard_error"].values[:2] == 0).all()
    n = h["count"].values.sum(axis=1)
    assert n[:2].tolist() == [N, N]
    assert (np.abs(n[2:] - FEWEST) < 5 * np.sqrt(N * share * (1 - share))).all()
    for name, error in (("fraction", "standard_error"), ("profile", "profile_standard_error")):
        off = np.abs(h[name].values - every[name].values)
        assert off[:2].max() == 0
        assert off[2:].max() > 0
        # No atom of a phase in a sample: the rule of three.
        assert (off[2:] <= 5 * np.nan_to_num(h[error].values[2:]) + 3 / 200).all()
    assert every["fraction"].values.max() < 0.9
    assert (h["standard_error"].values[2:].max(axis=1) > 0.003).all()


def test_what_needs_all_atoms(host: Host, tmp_path: Path, potentials: Path) -> None:
    line = host.monitor(1, file="a.h5", **{**SMALL, "model": "metals"})
    run = host.run(tmp_path, crystal(potentials) + line + "run 25\n", 2)
    assert run.code == 0, run.text[-2000:]
    assert (
        run.text.count(
            "is kept by the interval between frames alone: model 'metals' needs all atoms"
        )
        == 1
    )
    h = insitu.open(tmp_path / "a.h5")
    assert h["step"].values.tolist() == [1, 2, 12, 22]
    assert (h["budget_sampled"].values == 1.0).all()
    assert (h["count"].values.sum(axis=1) == 256).all()
