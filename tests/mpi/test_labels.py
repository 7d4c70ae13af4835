# SPDX-License-Identifier: BSD-3-Clause
"""One configuration, one set of labels: any number of ranks, either host, and offline."""

from pathlib import Path

import numpy as np
import pytest
from conftest import SPY, require
from numpy.typing import NDArray

import insitu
from insitu.testing import lattice

Sample = tuple[NDArray[np.float64], NDArray[np.float64]]


def _perfect(name: str, a: float, repeat: tuple[int, int, int]) -> Sample:
    return lattice(name, a, repeat)


def _mixture() -> Sample:
    """Half crystal, half nearly random, with vacancies, in a triclinic cell."""
    rng = np.random.default_rng(5)
    r, cell = lattice("fcc", 4.05, (6, 4, 4))
    tilted = cell.copy()
    tilted[1, 0], tilted[2, 0], tilted[2, 1] = 3.1, -2.2, 4.4
    r = r @ np.linalg.inv(cell) @ tilted
    r += np.where(r[:, :1] < 12.0, 0.1, 0.55) * rng.normal(size=r.shape)
    return r[rng.random(len(r)) > 0.1], tilted


SAMPLES = {
    # a = 3 Å puts a shell at exactly the cutoff; hcp has two kinds of nearest neighbours.
    "bcc": lambda: _perfect("bcc", 3.0, (5, 5, 5)),
    "fcc": lambda: _perfect("fcc", 4.05, (4, 4, 4)),
    "hcp": lambda: _perfect("hcp", 3.2, (5, 3, 4)),
    "mixture": _mixture,
}


def _data(path: Path, r: NDArray[np.float64], cell: NDArray[np.float64]) -> None:
    rows = "\n".join(f"{i + 1} 1 {x!r} {y!r} {z!r}" for i, (x, y, z) in enumerate(r.tolist()))
    box = "\n".join(f"0.0 {float(cell[k, k])!r} {c}lo {c}hi" for k, c in enumerate("xyz"))
    tilt = f"{cell[1, 0]!s} {cell[2, 0]!s} {cell[2, 1]!s} xy xz yz\n"
    path.write_text(f"sample\n\n{len(r)} atoms\n1 atom types\n\n{box}\n{tilt}\nAtoms\n\n{rows}\n")


@pytest.mark.parametrize(
    ("name", "ranks"),
    [("wheel", 1), ("wheel", 2), ("wheel", 3), ("wheel", 4), ("debian", 1), ("debian", 4)],
)
def test_labels_are_those_of_the_offline_analysis(name: str, ranks: int, tmp_path: Path) -> None:
    host = require(name)
    samples = {k: make() for k, make in SAMPLES.items()}
    deck = ""
    for k, (r, cell) in samples.items():
        _data(tmp_path / f"data.{k}", r, cell)
        # No integrator: the atoms stay, so that every run sees the same configuration.
        deck += (
            f"clear\nunits metal\nbox tilt large\nread_data data.{k}\nmass 1 27\n"
            "pair_style zero 6.0\npair_coeff * *\ncomm_modify cutoff 8.1\n"
            + host.monitor(1, file=f"{k}.h5") + "run 1\n"
        )  # fmt: skip
    spy = {"PYTHONPATH": str(SPY), "INSITU_TEST_LABELS": str(tmp_path)}
    run = host.run(tmp_path, deck, ranks, environment=spy)
    assert run.code == 0, run.text[-3000:]
    for number, (k, (r, cell)) in enumerate(samples.items()):
        parts = [np.load(p) for p in tmp_path.glob(f"labels.{number}.*.npz")]
        assert len(parts) == ranks
        ids = np.concatenate([p["ids"] for p in parts])
        order = np.argsort(ids)
        assert (ids[order] == np.arange(1, len(r) + 1)).all()
        offline = insitu.classify(r, cell, True)
        labels = np.concatenate([p["labels"] for p in parts])[order]
        confidence = np.concatenate([p["confidence"] for p in parts])[order]
        assert (labels == offline.labels).all(), k
        assert np.abs(confidence - offline.confidence).max() < 1e-5, k
        assert int(insitu.open(str(tmp_path / f"{k}.h5"))["count"].sum()) == len(r)
        if k == "mixture":
            assert len(np.unique(labels)) > 1
        else:
            assert (labels == offline.classes.index(k)).all()


@pytest.mark.parametrize("ids", [(50, 51), (33, 80)])
def test_a_pair_at_one_place_is_found_whatever_its_ids(
    ids: tuple[int, int], tmp_path: Path
) -> None:
    """As `classify` does: two unknown atoms of 256."""
    host = require("wheel")
    r, cell = lattice("fcc", 4.05, (4, 4, 4))
    r[ids[1] - 1] = r[ids[0] - 1] + 0.01
    _data(tmp_path / "data.pair", r, cell)
    deck = (
        "units metal\nread_data data.pair\nmass 1 27\npair_style zero 6.0\npair_coeff * *\n"
        "comm_modify cutoff 8.1\nfix columns all property/atom i_phase\n"
        + host.monitor(1, file="phases.h5", labels="i_phase")
        + "run 1\nwrite_dump all custom dumped id i_phase modify sort id\n"
    )
    run = host.run(tmp_path, deck, 2)
    assert run.code == 0, run.text[-3000:]
    with pytest.warns(UserWarning, match="2 of 256 atoms have another atom at their place"):
        offline = insitu.classify(r, cell, True, device="cpu")
    found = np.loadtxt((tmp_path / "dumped").read_text().splitlines()[9:])[:, 1]
    assert ((found == 0) == (offline.labels == -1)).all()
    assert {k - 1 for k in ids} <= set(np.flatnonzero(found == 0).tolist())
    assert "2 of 256 atoms have another atom at their place" in run.text
