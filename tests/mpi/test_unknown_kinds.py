# SPDX-License-Identifier: BSD-3-Clause
"""Kinds of unknown atoms in a run: two crystals that no class is, on 1 to 3 ranks; classes of them."""

from pathlib import Path

import numpy as np
import pytest
from conftest import ONE, Host

import insitu
from insitu.history.check import check_file

#: Sites and cell of A15 and of omega (orthogonal, c/a 0.62), at one atom a volume.
A15 = (
    [[0, 0, 0], [0.5, 0.5, 0.5], [0.25, 0, 0.5], [0.75, 0, 0.5],
     [0.5, 0.25, 0], [0.5, 0.75, 0], [0, 0.5, 0.25], [0, 0.5, 0.75]],
    np.full(3, 2.0),
)  # fmt: skip
OMEGA = (
    [[0, 0, 0], [0.5, 0.5, 0], [0.5, 1 / 6, 0.5], [0, 2 / 3, 0.5], [0, 1 / 3, 0.5], [0.5, 5 / 6, 0.5]],
    np.array([1.0, np.sqrt(3.0), 0.62]) * np.cbrt(6 / (0.62 * np.sqrt(3.0))),
)  # fmt: skip
DECK = """units metal
atom_modify map array
read_data two.data
mass 1 91.2
pair_style zero 8.0
pair_coeff * *
neighbor 1.0 bin
fix columns all property/atom d_kind
"""
WORDS = "unknown save two columns kind=d_kind"
AFTER = """write_dump all custom kinds.dump d_kind modify sort id
unfix columns
write_restart two.restart
"""
AGAIN = """units metal
atom_modify map array
read_restart two.restart
pair_style zero 8.0
pair_coeff * *
fix columns all property/atom d_kind
"""


def sample(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Write A15 beside omega, displaced by 4 % of their nearest distance; return where each is.

    Positions, lengths of the box, and which atoms are well inside of A15 and of omega.
    """
    rng, volume = np.random.default_rng(4), 22.0
    parts, lengths = [], []
    for (sites, cell), n in ((A15, (7, 5, 5)), (OMEGA, (8, 4, 7))):
        grid = np.stack(np.meshgrid(*map(np.arange, n), indexing="ij"), axis=-1).reshape(-1, 3)
        edges = cell * np.cbrt(volume)
        parts.append(((np.array(sites)[:, None] + grid).reshape(-1, 3)) * edges)
        lengths.append(edges * n)
    edge = lengths[0][0]
    # Both have one section: omega is strained by up to 8 %, as one of two crystals that grow together is.
    parts[1] *= np.array([1.0, *(lengths[0][1:] / lengths[1][1:])])
    box = np.array([edge + lengths[1][0], *lengths[0][1:]])
    r = np.vstack([parts[0], parts[1] + [edge, 0, 0]])
    r = rng.permutation((r + rng.normal(0.0, 0.1, r.shape)) % box)
    ends = "".join(f"0 {x} {a}lo {a}hi\n" for x, a in zip(box, "xyz", strict=True))
    atoms = "".join(f"{i} 1 {x} {y} {z}\n" for i, (x, y, z) in enumerate(r.tolist(), 1))
    (folder / "two.data").write_text(
        f"two\n\n{len(r)} atoms\n1 atom types\n{ends}\nAtoms # atomic\n\n{atoms}"
    )
    x = r[:, 0]
    return r, box, (x > 7) & (x < edge - 7), (x > edge + 7) & (x < box[0] - 7)


def kinds(folder: Path) -> np.ndarray:
    """Return the kind of each atom by id."""
    return np.loadtxt(folder / "kinds.dump", skiprows=9)


@pytest.mark.parametrize("host", ONE, indirect=True)
def test_two_crystals_are_two_kinds(host: Host, tmp_path: Path) -> None:
    found = []
    for ranks in (1, 2, 3):
        folder = tmp_path / str(ranks)
        folder.mkdir()
        r, box, *inside = sample(folder)
        deck = DECK + host.monitor(1, file="two.h5", first="yes", analyze=WORDS) + "run 1\n"
        run = host.run(folder, deck + AFTER, ranks)
        assert run.code == 0, run.text[-2000:]
        assert check_file(folder / "two.h5") == []
        found.append(kinds(folder))
    for other in found[1:]:
        np.testing.assert_array_equal(found[0], other)
    of = [np.unique(found[0][those]) for those in inside]
    assert [len(k) for k in of] == [1, 1]
    assert sorted(k[0] for k in of) == [1, 2]
    last = insitu.open(folder / "two.h5").isel(step=-1)
    counted = np.bincount(found[0].astype(int), minlength=5)[1:]
    np.testing.assert_array_equal(last["unknown_atoms"].values, counted)

    # Its ball is a class: the crystal gets it, and nothing of the other.
    ball = folder / f"two.unknown-{int(of[0][0])}.xyz"
    c = insitu.classify(r, box, True, classes={"new": str(ball)})
    new = c.labels == c.classes.index("new")
    assert new[inside[0]].mean() > 0.97
    assert new[inside[1]].mean() < 0.01

    # A run that goes on knows the kinds by their numbers.
    more = AGAIN + host.monitor(1, file="two.h5", if_exists="append", analyze=WORDS) + "run 1\n"
    run = host.run(folder, more + AFTER, 2)
    assert run.code == 0, run.text[-2000:]
    for own, those in zip(of, inside, strict=True):
        assert np.unique(kinds(folder)[those]) == own


def test_without_unknown_atoms_there_is_no_kind(host: Host, tmp_path: Path) -> None:
    deck = f"""units metal
lattice fcc 4.05
region b block 0 5 0 5 0 5
create_box 1 b
create_atoms 1 box
mass 1 26.98
pair_style zero 6.0
pair_coeff * *
{host.monitor(1, file="a.h5", first="yes", analyze="unknown kinds 2")}
run 1
"""
    run = host.run(tmp_path, deck, 2)
    assert run.code == 0, run.text[-2000:]
    last = insitu.open(tmp_path / "a.h5").isel(step=-1)
    assert last["unknown_atoms"].values.tolist() == [0, 0]
    assert int(last["unknown_other"]) == 0
    assert np.isnan(last["unknown_center"].values).all()
