# SPDX-License-Identifier: BSD-3-Clause
"""Powder patterns against the direct sum, LAMMPS' compute xrd, Debye's equation, Bragg's law, pymatgen."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from insitu.diffraction import Pattern, powder_pattern, scattering_factors
from insitu.diffraction.powder import room
from insitu.diffraction.scattering import mesh
from insitu.diffraction.scattering.form_factors import elements_of, elements_of_types
from insitu.diffraction.scattering.instrument import Instrument
from insitu.diffraction.scattering.intensities import rings
from insitu.errors import InsituError, SettingError
from insitu.testing import lattice

SKEW = np.array([[14.0, 0, 0], [3.0, 15.0, 0], [-2.0, 1.5, 13.0]])


def nodes(slab: mesh.Slab) -> NDArray[np.int64]:
    """Return h, k, l of the nodes ``(n, 3)`` of a slab, in the order of its amplitudes."""
    return np.stack(np.meshgrid(*map(slab.indices, range(3)), indexing="ij"), -1).reshape(-1, 3)


def copper(
    n: int, sigma: float = 0.0, seed: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    r, cell = lattice("fcc", 3.615, (n, n, n))
    return r + np.random.default_rng(seed).normal(scale=sigma, size=r.shape), cell


def bragg(a: float, hkl: tuple[int, int, int], wavelength: float = 1.5406) -> float:
    """Return 2θ of a reflection of a cubic crystal [degrees]."""
    return float(2 * np.degrees(np.arcsin(0.5 * wavelength / a * np.linalg.norm(hkl))))


@pytest.mark.parametrize("cell", [np.diag([14.0, 15.0, 13.0]), SKEW, SKEW[:, [1, 2, 0]]])
def test_amplitudes_are_the_direct_sum_and_all_nodes_are_there_once(
    cell: NDArray[np.float64],
) -> None:
    rng = np.random.default_rng(1)
    s, q_max = rng.normal(size=(180, 3)), 4.0
    slabs = mesh.slabs(cell, q_max, 4e5)
    assert len(slabs) > 1
    assert all(slab.memory(1) <= 4e5 for slab in slabs)
    seen = []
    for slab in slabs:
        h = nodes(slab)
        direct = np.exp(2j * np.pi * h @ s.T).sum(axis=1)
        difference = np.abs(np.abs(mesh.amplitudes(s, slab).ravel()) ** 2 - np.abs(direct) ** 2)
        assert difference.max() < 1e-4 * len(s)  # of the mean diffuse intensity
        seen.append(h)
    found = np.concatenate(seen)
    found = found[np.linalg.norm(found @ np.linalg.inv(cell).T, axis=1) <= q_max / (2 * np.pi)]
    box = mesh.Slab((-30, -30, -30), (61, 61, 61))
    every = nodes(box)
    inside = np.linalg.norm(every @ np.linalg.inv(cell).T, axis=1) <= q_max / (2 * np.pi)
    every = every[inside & (every[:, 0] >= 0)]
    assert len(found) == len({tuple(h) for h in found}) == len(every)


def test_forbidden_reflections_of_fcc_are_none() -> None:
    r, cell = copper(5)
    (slab,) = mesh.slabs(cell, 7.0, 1e9)
    square = np.abs(mesh.amplitudes(r @ np.linalg.inv(cell), slab).ravel()) ** 2
    h = nodes(slab)
    whole = (h % 5 == 0).all(axis=1)
    parity = (h // 5) % 2
    allowed = whole & (parity == parity[:, :1]).all(axis=1)
    assert square[allowed] == pytest.approx(np.full(allowed.sum(), 500.0**2), rel=1e-6)
    assert square[~allowed].max() < 1e-8 * square.max()


XRD = """units metal
lattice fcc 4.05
region b block 0 4 0 5 0 6
create_box 2 b
create_atoms 1 box
set type 1 type/ratio 2 0.3 77
mass 1 58.69
mass 2 26.98
pair_style lj/cut 6
pair_coeff * * 0.4 2.55
velocity all create 900 11
fix n all nve
timestep 0.002
run 100
compute x all xrd 1.5406 Ni Al 2Theta 10 80 c 1 1 1 LP 1
fix h all ave/time 1 1 1 c_x[1] c_x[2] mode vector file xrd.txt format " %.12g"
dump d all custom 1 xrd.dump id type x y z
dump_modify d sort id format float %.15g
run 0
"""


def test_the_pattern_is_that_of_compute_xrd(tmp_path: Path) -> None:
    """Intensities of a hot alloy on LAMMPS' nodes, each put into the same grid of angles."""
    (tmp_path / "in.xrd").write_text(XRD)
    program = Path(sys.executable).parent / "lmp"
    subprocess.run(
        [program, "-in", "in.xrd", "-log", "none", "-screen", "none"], cwd=tmp_path, check=True
    )
    angle, intensity = np.loadtxt(tmp_path / "xrd.txt", skiprows=4)[:, 1:].T
    lines = (tmp_path / "xrd.dump").read_text().splitlines()
    low, high = np.array([line.split() for line in lines[5:8]], float).T
    atoms = np.array([line.split() for line in lines[9:]], float)
    cell, s = np.diag(high - low), (atoms[:, 2:] - low) / (high - low)
    instrument = Instrument(two_theta=(14.0, 76.0))
    slabs = mesh.slabs(cell, instrument.q_max, 1e9)
    kinds = atoms[:, 1].astype(int) - 1
    mine = rings(s, kinds, ("Ni", "Al"), cell, slabs, instrument) / len(s)
    # LAMMPS has the Lorentz-polarisation factor of each node in its intensities.
    theta = np.radians(angle / 2)
    intensity *= np.cos(theta) * np.sin(theta) ** 2 / (1 + np.cos(2 * theta) ** 2)
    at = (angle - instrument.fine[0]) / instrument.fine_spacing
    inside = (at >= 0) & (at < len(instrument.fine) - 1)
    left, share = np.divmod(at[inside], 1.0)
    theirs = np.zeros(len(instrument.fine))
    np.add.at(theirs, left.astype(int), intensity[inside] * (1 - share))
    np.add.at(theirs, left.astype(int) + 1, intensity[inside] * share)
    assert inside.sum() > 15_000
    assert np.abs(mine - theirs).max() < 1e-4 * theirs[theirs > 0].mean()
    assert np.abs(mine - theirs).max() < 1e-6 * theirs.max()


def test_copper_has_its_peaks_where_bragg_says() -> None:
    pattern = powder_pattern(*copper(20), True, "Cu", threads=1)
    hkl = [(1, 1, 1), (2, 0, 0), (2, 2, 0)]
    assert [p.position for p in pattern.peaks] == pytest.approx(
        [bragg(3.615, h) for h in hkl], abs=0.005
    )
    scherrer = np.degrees(0.9 * 1.5406 / (72.3 * np.cos(np.radians(bragg(3.615, (1, 1, 1)) / 2))))
    assert pattern.peaks[0].width == pytest.approx(scherrer, rel=0.01)


@pytest.mark.full
def test_areas_are_those_of_pymatgen() -> None:
    """Rock salt: multiplicity, form factors and Lorentz-polarisation of another program."""
    from pymatgen.analysis.diffraction.xrd import XRDCalculator
    from pymatgen.core import Lattice, Structure

    shifts = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    salt = Structure(Lattice.cubic(5.64), ["Na"] * 4 + ["Cl"] * 4, [*shifts, *(shifts + 0.5)])
    theirs = XRDCalculator(wavelength=1.5406).get_pattern(salt, two_theta_range=(20, 70))
    salt.make_supercell(8)
    pattern = powder_pattern(
        salt.cart_coords, salt.lattice.matrix, True, salt.atomic_numbers, two_theta=(15, 75), threads=1,
        size=400.0,
    )  # fmt: skip
    area = np.array([p.area for p in pattern.peaks if 20 < p.position < 70])
    assert [p.position for p in pattern.peaks] == pytest.approx(theirs.x, abs=0.005)
    # Their form factors are fits of their own: up to 2 % apart in the weak reflections of Na and Cl.
    assert 100 * area / area.max() == pytest.approx(theirs.y, abs=0.7)


def debye(
    r: NDArray[np.float64], f: NDArray[np.float64], q: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return Σ f f sin(Qr)/(Qr) / N over all pairs of a cluster; `f` is ``(atoms, q)``."""
    d = np.linalg.norm(r[:, None] - r[None], axis=2)
    return np.array(
        [fk @ np.sinc(d * qk / np.pi) @ fk for fk, qk in zip(f.T, q, strict=True)]
    ) / len(r)


def test_a_cluster_follows_debyes_equation_both_ways() -> None:
    r, _ = lattice("fcc", 4.05, (3, 3, 3))
    r = r + np.random.default_rng(2).normal(scale=0.05, size=r.shape)
    kinds = np.arange(len(r)) % 2
    species = np.array(["Ni", "Al"])[kinds]
    span = {"two_theta": (30.0, 80.0), "spacing": 0.5, "threads": 1}
    found = powder_pattern(
        r, None, False, species, method="histogram", cutoff=25.0, window="none", **span
    )
    f = scattering_factors(("Al", "Ni"), found.q)[1 - kinds]
    whole = debye(r, f, found.q)
    polarised = 0.5 * (1 + np.cos(np.radians(found.two_theta)) ** 2)
    # The histogram takes a uniform density off, a ripple of the cutoff: it is that of the box.
    volume = np.prod(np.ptp(r, axis=0))
    radii = np.linspace(0.01, 24.99, 1250)
    uniform = np.array(
        [(4 * np.pi * radii**2 * 0.02 * np.sinc(radii * q / np.pi)).sum() for q in found.q]
    )
    expected = whole - f.mean(axis=0) ** 2 * len(r) / volume * uniform
    assert np.abs(found.intensity / polarised - expected).max() < 0.01 * np.abs(expected).max()
    # On the mesh as the nodes of the doubled box sample the directions: smooth to a few percent.
    fine = powder_pattern(r, None, False, species, size=8.0, **span)
    area = fine.intensity.sum() / (whole * polarised).sum()
    assert area == pytest.approx(1.0, abs=0.03)


def test_the_debye_waller_factor_is_that_of_the_displacements() -> None:
    sigma = 0.12
    cold, hot = (
        powder_pattern(*copper(16, s), True, "Cu", two_theta=(35, 140), threads=1)
        for s in (0.0, sigma)
    )
    pairs = [(a, b) for a in cold.peaks for b in hot.peaks if abs(a.position - b.position) < 0.1]
    q2 = np.array([np.interp(a.position, cold.two_theta, cold.q) ** 2 for a, _ in pairs])
    slope = np.polyfit(q2, [np.log(b.area / a.area) for a, b in pairs], 1)[0]
    assert len(pairs) >= 6
    assert -slope == pytest.approx(sigma**2, rel=0.02)


def test_structure_factor_of_a_gas_is_one_and_peaks_are_none() -> None:
    rng = np.random.default_rng(5)
    cell = np.diag([40.0, 42.0, 44.0])
    r = rng.random((4000, 3)) @ cell
    species = rng.choice([29, 40], 4000)
    for method in ("mesh", "histogram"):
        gas = powder_pattern(
            r, cell, True, species, method=method, spacing=0.1, cutoff=None, threads=1
        )
        beyond = gas.two_theta > 25
        assert gas.structure_factor[beyond].mean() == pytest.approx(1.0, abs=0.01)
        assert gas.structure_factor[beyond].std() < 0.1
        assert gas.peaks == []


def test_mesh_and_histogram_have_the_same_intensity() -> None:
    """Of a hot crystal: areas of whole groups of peaks, in absolute units."""
    r, cell = copper(9, 0.1)
    sharp = powder_pattern(r, cell, True, "Cu", spacing=0.1, threads=1)
    broad = powder_pattern(r, cell, True, "Cu", spacing=0.1, method="histogram", cutoff=16.0)
    for low, high in ((36, 60), (64, 84)):
        part = (sharp.two_theta > low) & (sharp.two_theta < high)
        ratio = broad.intensity[part].sum() / sharp.intensity[part].sum()
        assert ratio == pytest.approx(1.0, abs=0.03)
    found = [p.position for p in broad.peaks]
    assert min(abs(f - bragg(3.615, (1, 1, 1))) for f in found) < 0.3


def test_neutrons_and_electrons_have_their_tables() -> None:
    assert scattering_factors(("Fe", "Ti"), [0.0, 5.0], "neutron") == pytest.approx(
        np.array([[9.45, 9.45], [-3.438, -3.438]])
    )
    assert scattering_factors(("Cu",), [0.0], "xray")[0, 0] == pytest.approx(29, abs=0.02)
    # Mott and Bethe: what electrons see is the nucleus less what X-rays see.
    q = np.array([4.0])
    mott = (29 - scattering_factors(("Cu",), q)[0]) / (q / (4 * np.pi)) ** 2 * 0.0239336
    assert scattering_factors(("Cu",), q, "electron")[0] == pytest.approx(mott, rel=0.01)


def test_the_instrument_broadens() -> None:
    r, cell = copper(12)
    one = powder_pattern(r, cell, True, "Cu", size=60.0, threads=1).peaks
    two = powder_pattern(r, cell, True, "Cu", size=60.0, caglioti=(0.0, 0.0, 0.25), threads=1).peaks
    assert two[0].width == pytest.approx(np.hypot(one[0].width, 0.5), rel=0.01)
    assert two[0].area == pytest.approx(one[0].area, rel=0.02)
    bare = powder_pattern(r, cell, True, "Cu", lorentz_polarization=False, threads=1)
    full = powder_pattern(r, cell, True, "Cu", threads=1)
    at = int(np.argmax(full.intensity))
    theta = np.radians(full.two_theta[at] / 2)
    factor = (1 + np.cos(2 * theta) ** 2) / 2 / (np.sin(theta) ** 2 * np.cos(theta))
    assert full.intensity[at] / bare.intensity[at] == pytest.approx(factor, rel=0.01)


def test_elements_of_atoms_in_any_form() -> None:
    for given in (["Cu", "Zr"], [29, 40], [29.0, 40.0], [63.55, 91.22], [b"Cu", b"Zr"]):
        elements, kinds = elements_of(given, 2)
        assert elements == ("Cu", "Zr")
        assert kinds.tolist() == [0, 1]


def test_elements_of_types() -> None:
    assert elements_of_types((), (63.55, 91.22, 58.69), 3) == ("Cu", "Zr", "Ni")
    assert elements_of_types(("Fe", "Fe"), None, 2) == ("Fe", "Fe")
    with pytest.raises(SettingError, match="species Cu,Zr"):
        elements_of_types((), (58.8,), 1)  # between nickel and cobalt
    with pytest.raises(SettingError, match="no masses"):
        elements_of_types((), None, 1)
    with pytest.raises(SettingError, match="Xx"):
        elements_of_types(("Xx",), None, 1)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"two_theta": (90.0, 10.0)}, "two_theta=90,10"),
        ({"wavelength": -1.0}, "wavelength=-1"),
        ({"radiation": "light"}, "xray, neutron, electron"),
        ({"method": "fft"}, "mesh, histogram"),
        ({"caglioti": (1.0,)}, "caglioti=1"),
        ({"memory": 0.01}, "memory=0.01 MB"),
        ({"memory": 0.05}, "memory allows"),
        ({"species": "Lr"}, "no element 'Lr'"),
        ({"species": "Q"}, "'Q', which is no element"),
        ({"species": None}, "species is not given"),
        ({"species": 58.8}, "not clearly that of one element"),
        ({"two_theta": 20}, "two_theta=20 is not understood"),
        ({"two_theta": "a,b"}, "two_theta='a,b' is not understood"),
        ({"wavelength": 0.01}, r"has \d.*e\+\d+ nodes, more than"),
        ({"wavelength": 100.0}, "the wavelength too long"),
    ],
)
def test_unusable_settings_are_named(settings: dict[str, object], words: str) -> None:
    r, cell = copper(3)
    given = {"species": "Cu", "threads": 1} | settings
    with pytest.raises(InsituError, match=words):
        powder_pattern(r, cell, True, given.pop("species"), **given)  # type: ignore[arg-type]


def test_a_smaller_memory_gives_the_same_pattern() -> None:
    r, cell = copper(8, 0.1)
    whole, cut = (
        powder_pattern(r, cell, True, "Cu", spacing=0.1, memory=m, threads=1) for m in (500.0, 3.0)
    )
    assert room(len(r), 3.0) < 3e6
    assert isinstance(whole, Pattern)
    assert np.abs(cut.intensity - whole.intensity).max() < 1e-6 * whole.intensity.max()
