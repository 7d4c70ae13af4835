# SPDX-License-Identifier: BSD-3-Clause
"""The decks of the Neighbors Map paper's applications, small, on both hosts."""

from pathlib import Path

import numpy as np
import pytest
from conftest import Host, Run, require

import insitu

DECKS = Path(__file__).resolve().parents[2] / "lammps_inputs"


def run(host: Host, deck: str, folder: Path, **variables: object) -> Run:
    """Run a deck on two ranks with variables from the command line, as a user does."""
    given = {"host": "plugin" if host.plugin else "python"} | variables
    arguments = [word for name, value in given.items() for word in ("-var", name, str(value))]
    done = host.run(folder, (DECKS / deck).read_text(), 2, *arguments)
    assert done.code == 0, done.text[-3000:]
    return done


@pytest.mark.parametrize("name", ["wheel", "debian"])
def test_distorted_crystals(name: str, potentials: Path, tmp_path: Path) -> None:
    """Six histories of one ramp; atoms are missing as they should be, and the rest are aluminium."""
    host = require(name)
    deck = "distorted_crystals/in.distorted_crystals"
    run(host, deck, tmp_path, potential=potentials / "Al_mm.eam.fs", steps=90, every=30)
    for missing in (0.0, 0.1, 0.2, 0.3, 0.4, 0.5):
        history = insitu.open(str(tmp_path / f"distorted.Al.{missing}.h5"))
        assert history["step"].values.tolist() == [0, 30, 60, 90]
        atoms = history["count"].sum("phase").values
        assert (atoms == atoms[0]).all()
        assert atoms[0] == round(128 * (1 - missing))
        assert float(history["fraction"].sel(phase="fcc").min()) > 0.95


@pytest.mark.parametrize("name", ["wheel", "debian"])
def test_hcp_melting(name: str, potentials: Path, tmp_path: Path) -> None:
    """A cold crystal of cobalt is hcp under the pressure that the deck sets, and PTM's dump is there."""
    host = require(name)
    run(
        host, "hcp_melting/in.hcp_melting", tmp_path, potential=potentials / "CoAl.eam.alloy",
        nx=6, ny=4, nz=4, rise=40, warm=350, steps=20, hot=350, every=20, dump="yes",
    )  # fmt: skip
    history = insitu.open(str(tmp_path / "hcp_melting.h5"))
    assert history["step"].values.tolist() == [20, 40, 60]
    assert float(history["fraction"].sel(phase="hcp").min()) > 0.99
    assert (np.abs(history["pressure"] - 3e5) < 6e4).all()
    assert (tmp_path / "hcp_melting.dump").read_text().count("TIMESTEP") == 4
