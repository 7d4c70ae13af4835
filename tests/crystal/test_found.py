# SPDX-License-Identifier: BSD-3-Clause
"""Crystals found among hot atoms: known lattices and decorations, grains, melts, cells of all shapes."""

import re

import ase
import ase.io
import numpy as np
import pytest
from ase.spacegroup import crystal as symmetric
from scipy.spatial.transform import Rotation

from insitu.crystal.cells import cif, from_parameters, parameters
from insitu.crystal.files import cif_of
from insitu.crystal.finding.search import averaged, find_crystals
from insitu.crystal.spacegroup import find
from insitu.errors import SettingError
from insitu.offline.crystals import density, describe, elastic, formation
from insitu.testing import lattice

#: Lattice, constant [Å], copies, species of the orthogonal cell's atoms, space group, conventional a, c,
#: nearest distance, sites of the primitive cell.
SAMPLES = {
    "fcc": ("fcc", 4.05, (7, 7, 7), [13], 225, (4.05, 4.05), 2.864, 1),
    "bcc": ("bcc", 2.87, (9, 9, 9), [26], 229, (2.87, 2.87), 2.485, 1),
    "hcp": ("hcp", 3.2, (9, 6, 6), [40], 194, (3.2, 3.2 * np.sqrt(8 / 3)), 3.2, 2),
    "diamond": ("cubic_diamond", 5.43, (5, 5, 5), [14], 227, (5.43, 5.43), 2.351, 2),
    "B2": ("bcc", 2.88, (9, 9, 9), [28, 13], 221, (2.88, 2.88), 2.494, 2),
    "L1_2": ("fcc", 3.57, (7, 7, 7), [13, 28, 28, 28], 221, (3.57, 3.57), 2.524, 4),
    "zincblende": ("cubic_diamond", 5.65, (5, 5, 5), [31] * 4 + [33] * 4, 216, (5.65, 5.65), 2.447, 2),
}  # fmt: skip


def hot(name, part, seed=0):
    """Return a sample whose atoms are displaced by a part (r.m.s.) of the nearest distance."""
    kind, a, repeat, species, *_, near, _ = SAMPLES[name]
    r, cell = lattice(kind, a, repeat)
    rng = np.random.default_rng(seed)
    moved = r + rng.normal(scale=part * near / np.sqrt(3), size=r.shape)
    return moved, cell, np.tile(species, len(r) // len(species))


@pytest.mark.parametrize("name", SAMPLES)
def test_hot_crystals(name):
    """At a tenth of the nearest distance crystals melt (Lindemann); a random rotation, no axes known."""
    *_, number, (a, c), near, sites = SAMPLES[name]
    r, cell, z = hot(name, 0.09)
    turn = Rotation.random(rng=np.random.default_rng(1)).as_matrix()
    found = find_crystals(r @ turn.T, cell @ turn.T, True, z)
    (crystal,) = found.crystals
    assert crystal.group.number == number
    assert crystal.parameters[[0, 2]] == pytest.approx([a, c], rel=1e-3)
    assert crystal.share > 0.98
    assert (found.crystal == 0).mean() == pytest.approx(crystal.share)
    assert len(crystal.sites) == sites
    assert crystal.deviation == pytest.approx(0.09 * near, rel=0.05)
    # The primitive cell is in the axes of the box: its lattice holds the box' vectors.
    n = (cell @ turn.T) @ np.linalg.inv(crystal.cell)
    assert np.abs(n - np.rint(n)).max() < 0.02
    volume = np.linalg.det(cell) / len(r)
    assert crystal.volume == pytest.approx(volume, rel=1e-3)


def test_a_cluster_without_a_box():
    """Nothing is periodic: the error that is given is as large as the one that is made, or larger."""
    r, _, _ = hot("fcc", 0.06)
    (crystal,) = find_crystals(r, None, False).crystals
    assert crystal.group.number == 225
    assert abs(crystal.parameters[0] / 4.05 - 1) < 1e-3
    assert abs(crystal.parameters[0] - 4.05) < 3 * crystal.errors[0]


def test_a_tetragonal_strain_is_seen_and_a_small_one_is_not():
    r, cell, _ = hot("fcc", 0.04)
    stretch = np.diag([1.0, 1.0, 1.02])
    (crystal,) = find_crystals(r @ stretch, cell @ stretch, True).crystals
    assert crystal.group.number == 139
    assert crystal.parameters[[0, 2]] == pytest.approx([4.05 / np.sqrt(2), 4.05 * 1.02], rel=1e-3)
    stretch = np.diag([1.0, 1.0, 1.002])
    (crystal,) = find_crystals(r @ stretch, cell @ stretch, True).crystals
    assert crystal.group.number == 225
    (crystal,) = find_crystals(r @ stretch, cell @ stretch, True, tolerance=2e-3).crystals
    assert crystal.group.number != 225


def test_two_grains():
    r, cell, _ = hot("fcc", 0.04)
    turn = Rotation.from_rotvec([0, 0, np.radians(36.87)]).as_matrix()
    big, _ = lattice("fcc", 4.05, (16, 16, 7))
    big = (big - big.mean(axis=0)) @ turn.T + [42.0, 14.2, 14.2]
    side = cell[0, 0]
    inside = (big[:, 0] > 29.5) & (big[:, 0] < 56) & (big[:, 1] > 0) & (big[:, 1] < side)
    both = np.concatenate([r, big[inside]])
    found = find_crystals(both, None, False, least=200)
    one, two = found.crystals
    assert one.group.number == two.group.number == 225
    assert one.atoms + two.atoms > 0.6 * len(both)  # surfaces and the boundary belong to none
    own = found.crystal[: len(r)]
    assert (own[own >= 0] == own[len(r) // 2]).mean() > 0.95
    first, second = (c.cell for c in (one, two))
    n = first @ np.linalg.inv(second)
    assert np.abs(n - np.rint(n)).max() > 0.1


def test_a_random_alloy_has_the_lattice_of_its_positions():
    r, cell, _ = hot("fcc", 0.05)
    z = np.random.default_rng(5).choice([28, 29], len(r))
    (crystal,) = find_crystals(r, cell, True, z).crystals
    assert crystal.group.number == 225
    assert crystal.purity == pytest.approx(0.5, abs=0.05)
    assert crystal.mixed


def test_a_solid_solution_weighs_what_its_atoms_weigh(tmp_path):
    """Density as ASE's masses have it; sites have occupancies in the CIF, which ASE reads."""
    r, cell, _ = hot("fcc", 0.05)
    numbers = np.where(np.random.default_rng(5).random(len(r)) < 0.3, 13, 29)
    atoms = ase.Atoms(numbers, r, cell=cell, pbc=True)
    (crystal,) = find_crystals(r, cell, True, numbers).crystals
    names = {13: "Al", 29: "Cu"}
    expected = atoms.get_masses().sum() / atoms.get_volume() * 1.66054
    assert density(crystal, names) == pytest.approx(expected, rel=0.01)
    text = describe(crystal, names)
    assert re.match(r"Al 0\.[23]\d Cu 0\.[67]\d, Fm-3m", text[0])
    assert "species share sites" in text[-1]
    assert "not predicted" in elastic(crystal, names)[0]
    assert "not predicted" in formation(crystal, names)[0]
    path = tmp_path / "a.cif"
    path.write_text(cif_of(crystal, names))
    back = ase.io.read(path)
    share = (numbers == 13).mean()
    assert len(back) == 4
    for site in back.info["occupancy"].values():
        assert site["Al"] == pytest.approx(share, abs=0.03)
        assert site["Cu"] == pytest.approx(1 - share, abs=0.03)
    ordered = np.where(np.arange(len(r)) % 4 == 0, 13, 29)
    (crystal,) = find_crystals(r, cell, True, ordered).crystals
    assert not crystal.mixed
    assert crystal.composition == {13: 0.25, 29: 0.75}


@pytest.mark.parametrize("share", [0.03, 0.1, 0.2])
def test_a_dilute_solution_is_one_crystal_of_all_its_atoms(share):
    r, cell, _ = hot("fcc", 0.04)
    numbers = np.where(np.random.default_rng(8).random(len(r)) < share, 79, 29)
    atoms = ase.Atoms(numbers, r, cell=cell, pbc=True)
    (crystal,) = find_crystals(r, cell, True, numbers).crystals
    assert crystal.share > 0.98
    expected = atoms.get_masses().sum() / atoms.get_volume() * 1.66054
    assert density(crystal, {29: "Cu", 79: "Au"}) == pytest.approx(expected, rel=0.01)


def test_a_solution_of_equal_parts_has_sites_of_one_kind():
    """Each of the two sites alone has a majority, by chance."""
    r, cell, _ = hot("diamond", 0.03)
    numbers = np.random.default_rng(9).choice([14, 32], len(r))
    (crystal,) = find_crystals(r, cell, True, numbers).crystals
    assert crystal.group.number == 227
    ordered = np.tile([14] * 4 + [32] * 4, len(r) // 8)
    (crystal,) = find_crystals(r, cell, True, ordered).crystals
    assert crystal.group.number == 216


def test_a_gas_is_no_crystal():
    r = np.random.default_rng(6).random((800, 3)) * 22.0
    for n, side in ((800, 22.0), (300, 13.0), (150, 10.0)):  # the box' own periods are within reach
        found = find_crystals(r[:n] * side / 22.0, side * np.eye(3), True)
        assert not found.crystals
    assert (found.crystal == -1).all()
    assert "repeat along no three directions" in found.reasons[0]


def test_one_cell_and_its_images():
    """Quartz as a CIF has it: 9 atoms; a low symmetry that no template knows."""
    cell = from_parameters([4.913, 4.913, 5.405, 90, 90, 120])
    u, x, y, h = 0.4697, 0.4133, 0.2672, 0.2145
    si = [[u, 0, 1 / 3], [0, u, 2 / 3], [-u, -u, 0]]
    o = [[x, y, h], [-y, x - y, h + 1 / 3], [y - x, -x, h + 2 / 3],
         [y, x, -h], [x - y, -y, -h + 2 / 3], [-x, y - x, -h + 1 / 3]]  # fmt: skip
    sites, z = np.array(si + o), np.array([14] * 3 + [8] * 6)
    known = find(cell, sites, z, 0.01)
    assert known.number == 152
    (crystal,) = find_crystals(sites @ cell, cell, True, z).crystals
    assert crystal.group.number == known.number
    assert crystal.parameters == pytest.approx([4.913, 4.913, 5.405, 90, 90, 120], abs=1e-4)


@pytest.mark.parametrize("primitive", [True, False])
def test_a_large_unit_cell_that_has_symmetry(primitive):
    """Yttrium aluminium garnet, 80 or 160 atoms: a translation is longer than what is looked for.

    Euler and Bruce, Acta Cryst. 19, 971 (1965). 160 atoms at random are no crystal.
    """
    garnet = symmetric(
        ["Y", "Al", "Al", "O"],
        [(0.125, 0, 0.25), (0, 0, 0), (0.375, 0, 0.25), (-0.0306, 0.0512, 0.1500)],
        spacegroup=230, cellpar=[12.0, 12.0, 12.0, 90, 90, 90], primitive_cell=primitive,
    )  # fmt: skip
    cell, z = np.array(garnet.cell), garnet.numbers
    assert len(z) == (80 if primitive else 160)
    rng = np.random.default_rng(2)
    turn = Rotation.random(rng=rng).as_matrix()
    found = find_crystals(garnet.positions @ turn.T + 3.0, cell @ turn.T, True, z)
    (crystal,) = found.crystals
    assert crystal.group.number == 230
    assert len(crystal.kinds) == 80
    assert crystal.parameters == pytest.approx([12.0] * 3 + [90.0] * 3)
    assert crystal.share == 1.0
    assert (found.crystal == 0).all()
    if not primitive:  # fewer than 100 are taken for a unit cell, whatever they are
        assert not find_crystals(rng.random((len(z), 3)) @ cell, cell, True, z).crystals


def test_a_doubled_cell_is_seen_through_the_noise():
    """Layers of bcc that move against each other (the path to hcp) by more than the noise of their mean."""
    r, cell = lattice("bcc", 3.2, (8, 8, 8))
    layer = np.rint((r[:, 0] + r[:, 1]) / 3.2).astype(int) % 2
    moved = r + np.where(layer[:, None] == 1, 0.35, -0.35) * np.array([1, -1, 0]) / np.sqrt(2)
    moved += np.random.default_rng(7).normal(scale=0.1, size=r.shape)
    (crystal,) = find_crystals(moved, cell, True).crystals
    assert crystal.group.symbol == "Cmcm"
    assert len(crystal.sites) == 2


def test_mean_of_frames():
    """Atoms that cross the border do not disturb the mean."""
    r, cell = lattice("fcc", 4.05, (4, 4, 4))
    rng = np.random.default_rng(8)
    frames = [(r + rng.normal(scale=0.2, size=r.shape)) % cell[0, 0] for _ in range(30)]
    mean, box = averaged(frames, [cell] * 30, np.ones(3, bool))
    assert np.allclose(box, cell)
    (crystal,) = find_crystals(mean, box, True).crystals
    assert crystal.deviation < 0.1
    with pytest.raises(SettingError, match="different numbers of atoms"):
        averaged([r, r[:-1]], [cell] * 2, np.ones(3, bool))


def test_parameters_and_cif(tmp_path):
    import ase.io

    six = [3.1, 4.2, 5.3, 77, 85, 103]
    cell = from_parameters(six)
    assert parameters(cell) == pytest.approx(six)
    file = tmp_path / "a.cif"
    file.write_text(cif(cell, [[0.1, 0.2, 0.3], [0.6, -0.1, 0.5]], ["Ga", "N"], notes=["a note"]))
    atoms = ase.io.read(file)
    assert atoms.get_chemical_symbols() == ["Ga", "N"]
    assert atoms.cell.cellpar() == pytest.approx(six, abs=1e-5)
    assert atoms.get_scaled_positions() == pytest.approx(
        np.array([[0.1, 0.2, 0.3], [0.6, 0.9, 0.5]])
    )


def test_messages():
    with pytest.raises(SettingError, match="species have shape"):
        find_crystals(np.zeros((3, 3)), np.eye(3), True, [1, 2])
    with pytest.raises(SettingError, match="numbers above 0"):
        find_crystals(np.zeros((3, 3)), np.eye(3), True, most=0)
