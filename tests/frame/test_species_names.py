# SPDX-License-Identifier: BSD-3-Clause
"""Elements of atom types, and cards of models that tell species apart."""

import json

import numpy as np
import pytest

import insitu
from insitu.descriptors.neighbors_map import NeighborsMap
from insitu.errors import ModelError, SettingError
from insitu.frame.species import SYMBOLS, check_species, from_masses, from_numbers
from insitu.models.card import Card

KNOWN = {"Cu": 63.546, "Zr": 91.224}
ELEMENTS = {e: {"mass": m, "weights": [m / 60]} for e, m in KNOWN.items()}


def test_symbols_are_at_their_atomic_numbers() -> None:
    ase = pytest.importorskip("ase.data")
    assert list(SYMBOLS) == list(ase.chemical_symbols)


def test_masses_as_decks_round_them() -> None:
    assert from_masses(np.array([91.22, 63.55, 64.0]), KNOWN) == ("Zr", "Cu", "Cu")
    with pytest.raises(SettingError, match="atom type 2 has the mass 65 g/mol"):
        from_masses(np.array([63.5, 65.0]), KNOWN)
    with pytest.raises(SettingError, match="no masses in g/mol"):
        from_masses(None, KNOWN)


def test_names_of_types() -> None:
    check_species(["Zr", "Cu", "Zr"], 3, KNOWN)
    with pytest.raises(SettingError, match="names 1 elements and the deck has 2 atom types"):
        check_species(["Cu"], 2, KNOWN)
    with pytest.raises(SettingError, match="'cu' is no element"):
        check_species(["cu", "Zr"], 2, KNOWN)
    with pytest.raises(SettingError, match="'X' is no element") as caught:
        check_species(["X", "Zr"], 2, KNOWN)
    assert "mean 'X'" not in str(caught.value)  # ASE's name of none is not one to propose


def test_atomic_numbers() -> None:
    assert from_numbers([40, 29, 29], KNOWN) == {29: "Cu", 40: "Zr"}
    with pytest.raises(SettingError, match=r"atomic number 1 \(H\)"):
        from_numbers([29, 1], KNOWN)


def test_a_card_keeps_its_elements_and_their_weights_fit_its_channels() -> None:
    card = Card("m", ["a", "b"], NeighborsMap(), 2, elements=ELEMENTS)
    text = card.to_json()
    assert Card.from_json(text, "here") == card
    assert json.loads(text)["format"] == 3
    assert "elements" not in json.loads(Card("m", ["a"], NeighborsMap()).to_json())
    with pytest.raises(ModelError, match="without a weight for each further channel"):
        Card.from_json(text.replace('"channels": 2', '"channels": 3'), "here")


def test_the_shipped_model_of_copper_and_zirconium_sees_the_species() -> None:
    from insitu.testing import lattice

    r, cell = lattice("bcc", 3.27, (4, 4, 4))
    rng = np.random.default_rng(2)
    r = r + rng.normal(scale=0.35, size=r.shape)
    numbers = rng.permutation(np.repeat([29, 40], 64))
    found = insitu.classify(r, cell, True, numbers, model="vitrification-cuzr")
    assert found.classes == ["liquid", "amorphous"]
    reference = insitu.classify(
        r, cell, True, numbers, model="vitrification-cuzr", engine="torchscript"
    )
    assert np.abs(found.probabilities - reference.probabilities).max() < 1e-4
    swapped = insitu.classify(r, cell, True, 69 - numbers, model="vitrification-cuzr")
    ratio = np.log(found.probabilities[:, 1] / swapped.probabilities[:, 1])
    assert np.abs(ratio).max() > 0.5
