# SPDX-License-Identifier: BSD-3-Clause
"""`insitu classify` on H5MD, as LAMMPS' `dump h5md`, MDAnalysis and pyh5md write it."""

from pathlib import Path

import h5py
import numpy as np
import pyh5md
import pytest
from numpy.typing import NDArray
from offline.dumps import hot
from small_histories import written

import insitu
from insitu.errors import SettingError
from insitu.offline.files import classify_files
from insitu.offline.options import Options
from insitu.offline.readers.trajectories import read_file

Sample = tuple[NDArray[np.float64], NDArray[np.float64]]
FCC = "256 atoms  fcc 100.00 %"


def classify(path: Path, **options: object) -> tuple[list[str], list[str]]:
    told: list[str] = []
    lines = list(classify_files([str(path)], Options(workers=1, **options), tell=told.append))  # type: ignore[arg-type]
    return lines, told


@pytest.fixture
def sample() -> Sample:
    return hot(4)


def lammps(path: Path, sample: Sample, steps: tuple[int, ...] = (0, 10, 20)) -> None:
    """Write what `dump h5md` writes (lib/h5md): clocks of position and box are the same, no units."""
    r, cell = sample
    with h5py.File(path, "w") as file:
        file.create_group("h5md").attrs["version"] = [1, 1]
        file.create_group("h5md/creator").attrs["name"] = "lammps"
        group = file.create_group("particles/all")
        n = len(r)
        for name, value in (
            ("position", np.stack([r + 0.01 * k for k in range(len(steps))])),
            ("image", np.zeros((len(steps), n, 3), "i4")),
            ("species", np.tile(np.resize([1, 2], n).astype("i4"), (len(steps), 1))),
            ("charge", np.tile(np.arange(n, dtype=float), (len(steps), 1))),
        ):  # fmt: skip
            group[f"{name}/value"] = value
            group[f"{name}/step"] = np.array(steps, "i4")
            group[f"{name}/time"] = 0.002 * np.array(steps)
        box = group.create_group("box")
        box.attrs["boundary"] = np.array([b"periodic"] * 3)
        box.attrs["dimension"] = 3
        box["edges/value"] = np.tile(np.diag(cell), (len(steps), 1))
        box["edges/step"], box["edges/time"] = group["position/step"], group["position/time"]


def test_a_dump_of_lammps(tmp_path: Path, sample: Sample) -> None:
    path = tmp_path / "a.h5"
    lammps(path, sample)
    lines, told = classify(path, units="metal", types=True, out=str(tmp_path / "h.h5"))
    assert lines == [f"frame {k}  step {10 * k}  time {0.02 * k:g} ps  {FCC}" for k in range(3)]
    assert not told
    history = insitu.open(str(tmp_path / "h.h5"))
    assert history["time"].values.tolist() == [0.0, 0.02, 0.04]
    assert (history["count_by_type"].sum("phase") == 128).all()
    (line,), _ = classify(path, index="1", group="charge < 100 and type == 1")
    assert line == "frame 1  step 10  time 0.02  50 of 256 atoms  fcc 100.00 %"
    (first, *_) = read_file(str(path), lambda k: True, told.append, everything=True)
    assert first is not None
    assert set(first.columns) == {"image[1]", "image[2]", "image[3]", "charge"}


def test_a_dump_that_is_cut(tmp_path: Path, sample: Sample) -> None:
    path = tmp_path / "a.h5"
    lammps(path, sample)
    with h5py.File(path, "r+") as file:
        step = file["particles/all/position/step"][:2]
        for name in ("position", "box/edges"):
            del file[f"particles/all/{name}/step"]
            file[f"particles/all/{name}/step"] = step
    lines, told = classify(path)
    assert len(lines) == 2
    assert len(told) == 1
    assert "frame 2 is incomplete" in told[0]
    whole = path.read_bytes()
    for n in (100, 3000, len(whole) // 2):
        path.write_bytes(whole[:n])
        with pytest.raises(SettingError, match="HDF5 but cannot be read as H5MD"):
            classify(path)


def test_a_file_of_pyh5md(tmp_path: Path, sample: Sample) -> None:
    """Units, a fixed box as a matrix, increments for steps, names by an enumeration, absent atoms."""
    r, cell = sample
    path = tmp_path / "a.h5md"
    with pyh5md.File(str(path), "w", author="a", creator="c", creator_version="1") as file:
        part = file.particles_group("atoms")
        part.create_box(dimension=3, boundary=["periodic"] * 3, store="fixed", data=cell / 10)
        n = len(r)
        padded = np.vstack([r / 10, np.zeros((3, 3))])
        position = pyh5md.element(
            part, "position", store="linear", data=padded, step=5, time=2.0, step_offset=100
        )
        for _ in range(2):
            position.append(padded)
        part["position/value"].attrs["unit"], part["position/time"].attrs["unit"] = "nm", "fs"
        kind = h5py.enum_dtype({"Al": 13, "Cu": 29}, basetype="i4")
        names = np.resize([13, 29], n + 3)
        part.create_dataset("species", data=names.astype("i4"), dtype=kind)
        ids = part.create_dataset("id", (n + 3,), "i4", fillvalue=-1)
        ids[:n] = np.arange(1, n + 1)
    found = list(read_file(str(path), lambda k: True, lambda text: None))
    assert len(found) == 2
    for k, c in enumerate(found):
        assert c is not None
        assert np.allclose(c.positions, r)
        assert np.allclose(c.cell, cell)
        assert c.pbc.all()
        assert (c.step, c.units) == (100 + 5 * k, "metal")
        assert c.time == pytest.approx(0.002 * k)
        assert c.numbers is not None
        assert c.numbers.tolist() == names[:n].tolist()
    lines, _ = classify(path, neighbors=("Al", "Cu"))
    assert lines[1] == f"frame 1  step 105  time 0.002 ps  {FCC}"


def test_what_is_no_trajectory(tmp_path: Path, sample: Sample) -> None:
    with pytest.raises(SettingError, match="history of insitu: insitu show prints it"):
        classify(written(tmp_path / "h.h5", [1]))
    path = tmp_path / "a.h5"
    lammps(path, sample)
    with h5py.File(path, "r+") as file:
        file.copy("particles/all", "particles/lower")
        file["particles/lower/position/value"].attrs["unit"] = "furlong"
    lines, told = classify(path)
    assert len(lines) == 3
    assert told == [f"'{path}' has the particles all, lower; 'all' are analysed"]
    with h5py.File(path, "r+") as file:
        del file["particles/all"]
    with pytest.raises(SettingError, match="positions are in 'furlong'; known units: Angstrom"):
        classify(path)
