# SPDX-License-Identifier: BSD-3-Clause
"""Perfect crystals, whose distances tie: labels are the same on any number of ranks.

LAMMPS creates the atoms, so their ids and order follow from the decomposition.
"""

from pathlib import Path

import numpy as np
import pytest
from conftest import Host, require

import insitu

#: Lattice command, and what it is to the model.
CRYSTALS = {
    "sc": "sc 3.36",
    "bcc": "bcc 2.87",
    "fcc": "fcc 4.05",
    "hcp": "hcp 3.2",
    "cubic_diamond": "diamond 5.43",
}
CELLS = {"sc": 8, "bcc": 7, "fcc": 5, "hcp": 6, "cubic_diamond": 4}


def _deck(host: Host, name: str, shape: str, strain: float = 1.0) -> str:
    n = CELLS[name]
    boundary = {"bulk": "p p p", "slab": "p p f", "vacancies": "p p p", "particle": "f f f"}[shape]
    x, y = (n, n) if name != "hcp" else (n, n // 2)
    # No integrator: the atoms stay where they were created.
    return (
        f"units metal\nboundary {boundary}\natom_modify map array\nlattice {CRYSTALS[name]}\n"
        f"region box block 0 {x} 0 {y} 0 {n - 2}\ncreate_box 1 box\ncreate_atoms 1 box\nmass 1 27\n"
        + (f"change_box all x scale {strain} remap\n" if strain != 1.0 else "")
        + ("region hole sphere 3 2 2 0.3\ndelete_atoms region hole\n" if shape == "vacancies" else "")
        + "pair_style zero 9.0\npair_coeff * *\ncomm_modify cutoff 13.0\n"
        + host.monitor(1, file="phases.h5", if_exists="overwrite", first="yes")
        + ("dump all all custom 1 dump.txt x y z f_phases[1]\n" if host.name == "wheel" else "")
        + "run 1\n"
    )  # fmt: skip


def _labels(host: Host, folder: Path, deck: str, ranks: int) -> tuple[list[int], object]:
    """Counts of the last frame, and (plug-in) position and label of every atom in order."""
    run = host.run(folder, deck, ranks)
    assert run.code == 0, run.text[-3000:]
    history = insitu.open(str(folder / "phases.h5"))
    counts = [int(v) for v in np.asarray(history["count"])[-1]]
    if host.name != "wheel":
        return counts, None
    text = (folder / "dump.txt").read_text().rpartition("ITEM: ATOMS")[2]
    rows = np.array([line.split() for line in text.splitlines()[1:]], dtype=float).round(4)
    return counts, rows[np.lexsort(rows.T)].tolist()


def _same_on(host: Host, folder: Path, deck: str, ranks: list[int]) -> list[int]:
    first, *others = (_labels(host, folder, deck, n) for n in ranks)
    for n, found in zip(ranks[1:], others, strict=True):
        assert found == first, n
    return first[0]


def test_a_slab_of_simple_cubic_is_one_on_any_number_of_ranks(tmp_path: Path) -> None:
    host = require("wheel")
    counts = _same_on(host, tmp_path, _deck(host, "sc", "slab"), [1, 2, 3])
    classes = list(insitu.open(str(tmp_path / "phases.h5"))["phase"].values)
    assert counts[classes.index("sc")] == sum(counts) > 0


@pytest.mark.full
@pytest.mark.parametrize(
    ("program", "shape", "strain"),
    [
        ("wheel", "slab", 1.0), ("wheel", "slab", 1.02), ("wheel", "bulk", 1.0),
        ("wheel", "vacancies", 1.0), ("wheel", "particle", 1.0), ("debian", "slab", 1.0),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", CRYSTALS)
def test_labels_do_not_hang_on_the_number_of_ranks(
    name: str, program: str, shape: str, strain: float, tmp_path: Path
) -> None:
    host = require(program)
    counts = _same_on(host, tmp_path, _deck(host, name, shape, strain), [1, 2, 3, 4])
    classes = list(insitu.open(str(tmp_path / "phases.h5"))["phase"].values)
    if shape != "particle" and strain == 1.0:
        assert counts[classes.index(name)] == sum(counts) > 0
