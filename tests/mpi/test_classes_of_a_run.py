# SPDX-License-Identifier: BSD-3-Clause
"""Classes from crystal structures in real LAMMPS, on both hosts: the same as offline, on several ranks."""

from __future__ import annotations

import json
from pathlib import Path

import added_classes as structures
import numpy as np
import pytest
from conftest import Host, require

import insitu
from insitu.analyses.phases.classification import Classification

HEAD = """units metal
atom_modify map array
lattice custom 1.0 a1 4.6 0 0 a2 -2.3 3.98371684 0 a3 0 0 2.8198 &
  basis 0 0 0 basis 0.33333333 0.66666667 0.5 basis 0.66666667 0.33333333 0.5
region b prism 0 27.6 0 23.90230104 0 22.5584 -13.8 0 0 units box
create_box 1 b
create_atoms 1 box
mass 1 47.9
displace_atoms all random 0.12 0.12 0.12 77 units box
pair_style lj/cut 4.0
pair_coeff 1 1 0.0 2.6
write_dump all custom start.dump id type x y z modify sort id format float %.12g
"""


@pytest.fixture(scope="module")
def offline() -> dict[str, Classification]:
    """What the first deck's dump gives, found once."""
    return {}


@pytest.mark.parametrize(("name", "ranks"), [
    ("wheel", 2), pytest.param("debian", 3, marks=pytest.mark.full),
])  # fmt: skip
def test_a_class_from_a_cif_in_a_deck(
    tmp_path: Path, offline: dict[str, Classification], name: str, ranks: int
) -> None:
    host: Host = require(name)
    structures.files(tmp_path)
    monitor = host.monitor(
        1, model="metals", classes="omega=omega.cif,A15=a15.cif", file="phases.h5"
    )
    run = host.run(tmp_path, HEAD + monitor + "run 1\n", ranks, seconds=900)
    assert run.code == 0, run.text
    history = insitu.open(tmp_path / "phases.h5")
    count = history["count"].sel(phase="omega").values[0]
    if not offline:
        from ase.io import read

        atoms = read(tmp_path / "start.dump", format="lammps-dump-text")
        files = {k: str(tmp_path / v) for k, v in (("omega", "omega.cif"), ("A15", "a15.cif"))}
        offline["it"] = insitu.classify(
            atoms.positions, np.array(atoms.cell), True, classes=files, device="cpu"
        )
    found = offline["it"]
    assert count == (found.labels == found.classes.index("omega")).sum()
    assert count >= 0.95 * len(found.labels)
    about = json.loads(history.attrs["classes"])
    assert list(about) == ["omega", "A15"]
    assert len(about["omega"]["files"][0]["sha256"]) == 64


def test_a_file_that_is_not_there_ends_the_run_on_all_ranks(tmp_path: Path) -> None:
    host = require("wheel")
    monitor = host.monitor(1, model="metals", classes="omega=none.cif")
    run = host.run(tmp_path, HEAD + monitor + "run 1\n", 2)
    assert run.code != 0
    assert run.text.count("class 'omega': 'none.cif' cannot be read") == 1
