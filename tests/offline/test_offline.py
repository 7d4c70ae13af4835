# SPDX-License-Identifier: BSD-3-Clause
"""insitu.classify, and real molecular dynamics that the shipped model never saw."""

import re
from pathlib import Path

import ase.build
import ase.io
import numpy as np
import pytest
from conftest import Host, crystal, require

import insitu
from insitu.cli import command as cli
from insitu.errors import SettingError
from insitu.testing import lattice


def test_fields() -> None:
    r, cell = lattice("bcc", 2.86, (4, 4, 4))
    found = insitu.classify(r, cell, True)
    assert found.probabilities.shape == (128, 7)
    # What is missing to 1 is the probability that the structure is no class.
    total = found.probabilities.sum(axis=1)
    assert (total <= 1 + 1e-5).all()
    assert (total > 0.999).all()
    assert (found.probabilities.max(axis=1) == found.confidence).all()
    assert found.fractions["bcc"] == 1.0


def test_devices() -> None:
    with pytest.raises(SettingError, match=r"device='gpu'.*allowed: auto, cpu, cuda"):
        insitu.classify(np.zeros((1, 3)), None, False, device="gpu")


def test_no_atoms_and_one_atom() -> None:
    assert insitu.classify(np.zeros((0, 3)), None, False).labels.shape == (0,)
    assert insitu.classify(np.zeros((1, 3)), None, False).labels.shape == (1,)


def test_vapour_is_unknown() -> None:
    """An atom without surroundings has no phase, whatever a network says of an empty image."""
    r, cell = lattice("fcc", 4.05, (4, 4, 4))
    box = cell + np.diag([0.0, 0, 60])
    gas = np.array([[2.0, 2, 40], [9.0, 9, 50], [4.0, 9, 60]])
    found = insitu.classify(np.concatenate([r, gas]), box, True)
    assert (found.labels[-3:] == -1).all()
    assert (found.labels[:-3] >= 0).all()


def test_surroundings_without_the_other_atoms() -> None:
    """A hydride: the metal's atoms are labelled as if there were no hydrogen."""
    r, cell = lattice("fcc", 4.0, (4, 4, 4))
    everything = np.concatenate([r, r[::3] + np.array([2.0, 0.0, 0.0])])
    numbers = np.array([46] * len(r) + [1] * len(r[::3]))
    found = insitu.classify(everything, cell, True, numbers, neighbors="Pd")
    alone = insitu.classify(r, cell, True)
    assert found.fractions == alone.fractions
    assert found.fractions["fcc"] == 1.0
    metal = numbers == 46
    assert (found.labels[metal] == alone.labels).all()
    assert (found.probabilities[metal] == alone.probabilities).all()
    assert (found.labels[~metal] == -2).all()
    assert (found.confidence[~metal] == 0).all()
    for same in (["Pd"], 46, [46], metal, metal.tolist()):
        again = insitu.classify(everything, cell, True, numbers, neighbors=same)
        assert (again.labels == found.labels).all()
    both = insitu.classify(everything, cell, True, numbers, neighbors="Pd,H")
    assert (both.labels == insitu.classify(everything, cell, True).labels).all()
    for wrong, message in (
        ("Px", "'Px' is no element"), ("Fe", "no atom of species is 'Fe'; there are: H, Pd"),
        (metal[1:], r"shape \(341,\); give a mask of shape \(342,\)"), ([], "neighbors is empty"),
    ):  # fmt: skip
        with pytest.raises(SettingError, match=message):
            insitu.classify(everything, cell, True, numbers, neighbors=wrong)
    with pytest.raises(SettingError, match="neighbors=Pd are elements: give species"):
        insitu.classify(everything, cell, True, neighbors="Pd")


@pytest.mark.parametrize(("temperature", "phase", "least"), [
    pytest.param(1600.0, "fcc", 0.98, marks=pytest.mark.full), (4000.0, "disordered", 0.99),
    (9000.0, "disordered", 0.9),
])  # fmt: skip
def test_unseen_molecular_dynamics(
    potentials: Path, tmp_path: Path, temperature: float, phase: str, least: float
) -> None:
    """A warm crystal and melts of a size and with seeds that took no part in the training.

    The velocities are of twice the temperature that is left: 0.9, 2.2 and 5 melting temperatures.
    """
    host: Host = require("wheel")
    deck = crystal(potentials, cells=7, temperature=temperature) + (
        "timestep 0.002\nrun 1000\nwrite_dump all custom final.dump id type x y z\n"
    )
    assert host.run(tmp_path, deck, 2).code == 0
    atoms = ase.io.read(tmp_path / "final.dump", format="lammps-dump-text")
    found = insitu.classify(atoms.positions, atoms.cell.array, True)
    # A melt that is three times as hot as any in the training may be unknown in part; it is no crystal.
    assert found.fractions[phase] > least
    assert found.fractions[phase] + found.fractions["unknown"] > 0.999


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    atoms = ase.build.bulk("Al", cubic=True) * (3, 3, 3)
    ase.io.write(tmp_path / "al.xyz", [atoms, atoms])
    labels = tmp_path / "phases.xyz"
    assert cli.main(["classify", str(tmp_path / "al.xyz"), "--labels", str(labels)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == [f"frame {k}  108 atoms  fcc 100.00 %" for k in (0, 1)]
    back = ase.io.read(labels, index=":")
    assert len(back) == 2
    assert (back[1].arrays["phase"] == 1).all()
    assert cli.main(["classify", str(tmp_path / "al.xyz"), "--labels", str(labels)]) == 2
    assert "exists" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "nothing.h5"], "nothing.h5"),
        (["plot", "nothing.h5"], "nothing.h5"),
        (["classify", "nothing.xyz"], "nothing.xyz' is not a file"),
        (["classify", __file__], "cannot be read by ASE"),
        (["classify", str(Path(__file__).parent)], "is a folder"),
        (["models", "metal"], "metals"),
        (["train", "crystal-cnn"], "Did you mean 'crystals-cnn'"),
    ],
)
def test_errors_of_the_command_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("insitu: ")
    assert message in error


def test_help_shows_an_example_of_each_verb(capsys: pytest.CaptureFixture[str]) -> None:
    for verb in ("show", "plot", "classify", "models", "train", "doctor"):
        with pytest.raises(SystemExit):
            cli.main([verb, "--help"])
        assert f"example:\n  insitu {verb}" in capsys.readouterr().out


def test_models_prints_the_card(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["models"]) == 0
    assert re.search(r"^metals +General model", capsys.readouterr().out, re.MULTILINE)
    assert cli.main(["models", "crystals-cnn"]) == 0
    assert "Accuracy (%) against the fraction of removed atoms" in capsys.readouterr().out
    assert cli.main(["models", "metals"]) == 0
    assert "Crystals: right labels (%)" in capsys.readouterr().out
