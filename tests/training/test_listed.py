# SPDX-License-Identifier: BSD-3-Clause
"""Crystals of a list: each structure once, split by structure, and what of them is trained."""

import csv
from pathlib import Path

import numpy as np
import pytest

from insitu.errors import SettingError
from insitu.frame.lattices.copies import Crystal, of_class
from insitu.training.fit.general import train_general
from insitu.training.structures import listed
from insitu.training.structures.no_class import FOREIGN, crystals_of_no_class, held_out
from insitu.training.structures.sites import Prints


def crystals(count: int) -> list[Crystal]:
    """Return random crystals of two to four sites."""
    rng = np.random.default_rng(3)
    found = []
    for _ in range(count):
        cell = np.diag(rng.uniform(3.5, 6.0, 3)) + np.triu(rng.uniform(-0.5, 0.5, (3, 3)), 1)
        n = int(rng.integers(2, 5))
        found.append(((np.arange(n)[:, None] / n + rng.uniform(-0.05, 0.05, (n, 3))) % 1.0, cell))
    return found


def table(path: Path, some: list[Crystal]) -> Path:
    """Write a list of crystals as matminer has it."""
    with path.open("w", newline="") as file:
        file.write("# ref: nowhere\n")
        rows = csv.DictWriter(file, ["material_id", "structure"])
        rows.writeheader()
        for k, (sites, cell) in enumerate(some):
            elements = ["Na", *["Cl"] * (len(sites) - 1)]
            made = {
                "lattice": {"matrix": cell.tolist()},
                "sites": [
                    {"abc": s, "species": [{"occu": 1, "element": e}]}
                    for s, e in zip(sites.tolist(), elements, strict=True)
                ],
            }
            rows.writerow({"material_id": f"mp-{k}", "structure": str(made)})
    return path


def test_each_structure_once_and_right_handed(tmp_path: Path) -> None:
    some = crystals(6)
    sites, cell = some[0]
    again = [*some, (sites, cell * 1.3), (sites, -cell)]
    found = listed.read(table(tmp_path / "a.csv", again))
    assert [c.name for c in found] == [f"mp-{k}" for k in range(6)]
    assert all(np.linalg.det(c.cell) > 0 for c in found)
    np.testing.assert_allclose(found[2].sites, some[2][0])
    assert found[2].elements.tolist() == ["Na", *["Cl"] * (len(some[2][0]) - 1)]


def test_the_parts_are_by_name_and_have_their_shares(tmp_path: Path) -> None:
    sites, cell, elements = np.zeros((1, 3)), np.eye(3), np.array(["Na"])
    names = [f"mp-{k}" for k in range(4000)]
    parts = [listed.Listed(n, sites, cell, elements).part for n in names]
    share = {p: parts.count(p) / len(parts) for p in set(parts)}
    assert share["test"] == pytest.approx(0.25, abs=0.03)
    assert share["calibration"] == pytest.approx(0.15, abs=0.03)


def test_what_is_like_another_part_is_not_trained(tmp_path: Path) -> None:
    found = listed.read(table(tmp_path / "a.csv", crystals(30)))
    kept = listed.trained(found, Prints([]))
    assert {c.part for c in kept} == {"training"}
    first = kept[0]
    # The same structure, larger: it is out, whichever part has it.
    less = listed.trained(found, Prints([(first.sites, first.cell * 2.0)]))
    assert first not in less
    assert len(less) >= len(kept) - 2


def test_nothing_that_is_trained_is_like_the_parts_that_are_held_out(tmp_path: Path) -> None:
    path = table(tmp_path / "a.csv", crystals(30))
    away = held_out({"table": str(path), "listed": 5})
    later = [c.crystal for c in listed.read(path) if c.part != "training"]
    assert later
    assert all(c in away for c in later)
    assert later[0] not in held_out({"table": str(path)})  # made-up crystals alone


def test_sublattices_lack_one_element(tmp_path: Path) -> None:
    found = [c for c in listed.read(table(tmp_path / "a.csv", crystals(10))) if len(c.sites) > 2]
    for c in found:
        for sites, _ in c.sublattices():
            assert len(sites) == len(c.sites) - 1  # without sodium; one site alone is no crystal


def test_they_are_trained_as_no_class(tmp_path: Path) -> None:
    path = table(tmp_path / "a.csv", [*crystals(12), of_class("fcc")])
    settings = {"table": str(path), "listed": 5, "displacement": 0.05, "strain": 0.02, "copies": 1}
    made = list(crystals_of_no_class(["A_cP8_198_2a"], settings, np.random.default_rng(1)))
    own = [s for s in made if s.kind == "listed"]
    assert 1 <= len(own) <= 5
    assert {label for s in own for label in s.labels.tolist()} <= {FOREIGN, "", "fcc"}


def test_further_tables_add_what_is_not_known(tmp_path: Path) -> None:
    some = crystals(8)
    known = listed.read(table(tmp_path / "a.csv", some[:5]))
    with (tmp_path / "b.csv").open("w", newline="") as file:
        rows = csv.DictWriter(file, ["material_id", "poscar"])
        rows.writeheader()
        for k, (sites, cell) in enumerate(some[3:] + some[6:]):
            lines = ["name", "1.0", *(" ".join(map(str, a)) for a in cell)]
            lines += [
                "Na Cl",
                f"1 {len(sites) - 1}",
                "direct",
                *(" ".join(map(str, s)) for s in sites),
            ]
            rows.writerow({"material_id": f"mp-{10 + k}", "poscar": "\n".join(lines)})
    found = listed.further([tmp_path / "b.csv"], known)
    assert [c.name for c in found] == ["mp-12", "mp-13", "mp-14"]
    np.testing.assert_allclose(found[0].sites, some[5][0])
    assert found[0].elements.tolist() == ["Na", *["Cl"] * (len(some[5][0]) - 1)]
    settings = {
        "table": str(tmp_path / "a.csv"), "further": [str(tmp_path / "b.csv")], "listed": 500,
        "displacement": 0.05, "strain": 0.02, "copies": 1,
    }  # fmt: skip
    with_more, without = (
        list(crystals_of_no_class([], settings | less, np.random.default_rng(1)))
        for less in ({}, {"further": []})
    )
    assert len(with_more) > len(without)


def test_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_text("name,value\na,1\n")
    with pytest.raises(
        SettingError, match=r"table '.*b\.csv' cannot be read as a list of crystals"
    ):
        listed.read(tmp_path / "b.csv")
    with pytest.raises(SettingError, match=r"leave `table` out"):
        listed.read(tmp_path / "none.csv")


def test_further_tables_without_a_first_one_are_refused(tmp_path: Path) -> None:
    recipe = {"foreign": {"further": ["more.csv"]}, "classes": ["fcc"], "material": []}
    with pytest.raises(SettingError, match="give both"):
        train_general(recipe, "x", tmp_path / "out", tmp_path)
