# SPDX-License-Identifier: BSD-3-Clause
"""The file of a run's atoms: what other readers make of it, frames that come and go, kills."""

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from histories import append, create

import insitu
from insitu.errors import HistoryError
from insitu.history.atoms.layout import ATOM, About
from insitu.history.atoms.particles import AtomsFile, beside
from insitu.history.check import check_file
from insitu.history.writing.journal import Journaled, journal_of
from insitu.offline.readers.h5md import H5MDFile

CLASSES = ("fcc", "disordered", "unknown")
CELL = np.array([[10.0, 0, 0], [2.0, 11.0, 0], [1.0, 3.0, 12.0]])
ABOUT = About(
    "a.h5", (True, True, False), "Angstrom", "ps", CLASSES, (1, 100, 0), ("Cu", "Zr"), "abc"
)


def atoms(n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    found = np.zeros(n, dtype=ATOM)
    found["id"] = np.sort(rng.choice(10 * n, n, replace=False)) + 1
    found["position"] = rng.random((n, 3)) * 10
    found["phase"] = rng.choice([1, 100, 0, -1], n)
    found["confidence"] = rng.integers(0, 256, n)
    found["type"] = rng.integers(1, 3, n)
    return found


def put(file: AtomsFile, step: int, some: np.ndarray, pieces: int = 3) -> None:
    frame = file.frame(step, step * 0.002, CELL, np.array([1.0, 2, 3]), len(some))
    complete = False
    try:
        for part in np.array_split(some, pieces):
            frame.put(part)
        complete = True
    finally:
        frame.end(complete)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Three frames of 50 atoms."""
    file = AtomsFile(beside(tmp_path / "a.h5"), ABOUT, False)
    for k in range(3):
        put(file, 10 * k, atoms(50, k))
    return file.path


def test_the_file_is_beside_the_history() -> None:
    assert beside("folder/phases.h5") == Path("folder/phases.atoms.h5md")


def test_mdanalysis_loads_it_as_a_universe(path: Path) -> None:
    import MDAnalysis

    u = MDAnalysis.Universe.empty(50, trajectory=True).load_new(str(path))
    assert len(u.trajectory) == 3
    for k, ts in enumerate(u.trajectory):
        assert np.abs(ts.positions - atoms(50, k)["position"]).max() < 1e-5
        assert ts.time == pytest.approx(0.02 * k)
        assert ts.data["step"] == 10 * k
        # MDAnalysis turns the box; its lengths and angles stay.
        theirs = ts.triclinic_dimensions.astype(float)
        assert np.allclose(theirs @ theirs.T, CELL @ CELL.T, rtol=1e-5)
    u.trajectory.close()


def test_pyh5md_reads_it(path: Path) -> None:
    import pyh5md

    with pyh5md.File(str(path), "r") as file:
        group = file.particles_group("all")
        for k in range(3):
            mine = atoms(50, k)
            for name in ATOM.names:
                assert (pyh5md.element(group, name).value[k] == mine[name]).all(), name
        assert pyh5md.element(group, "position").step[:].tolist() == [0, 10, 20]
        assert np.allclose(pyh5md.element(group["box"], "edges").value[1], CELL)


def test_znh5md_reads_it_as_ase_atoms(path: Path) -> None:
    import znh5md

    frames = znh5md.IO(str(path), particles_group="all")[:]
    assert len(frames) == 3
    for k, found in enumerate(frames):
        mine = atoms(50, k)
        assert np.abs(found.positions - mine["position"]).max() < 1e-6
        assert (found.numbers == np.array([0, 29, 40])[mine["type"]]).all()
        assert (found.arrays["phase"] == mine["phase"]).all()
        assert found.pbc.tolist() == [True, True, False]
        assert np.allclose(found.cell.array, CELL)


def test_our_own_reader_has_ids_elements_and_phases(path: Path) -> None:
    frames = list(H5MDFile(str(path), pytest.fail, everything=True).frames(lambda k: True))
    assert [f.step for f in frames] == [0, 10, 20]
    for k, f in enumerate(frames):
        mine = atoms(50, k)
        assert (f.ids == mine["id"]).all()
        assert (f.types == mine["type"]).all()
        assert (f.names == np.array(["X", "Cu", "Zr"])[mine["type"]]).all()
        assert (f.columns["phase"] == mine["phase"]).all()
        assert f.pbc.tolist() == [True, True, False]


def test_numbers_of_atoms_that_change(tmp_path: Path) -> None:
    """More atoms, fewer, none: absent places have the fill value of `id`, and readers leave them out."""
    file = AtomsFile(tmp_path / "a.atoms.h5md", ABOUT, False)
    sizes = [20, 35, 0, 7]
    for k, n in enumerate(sizes):
        put(file, k + 1, atoms(n, k))
    with h5py.File(file.path) as raw:
        group = raw["particles/all"]
        assert group["id/value"].shape == (4, 35)
        assert (group["id/value"][3, 7:] == -1).all()
        assert np.isnan(group["position/value"][3, 7:]).all()
    found = list(H5MDFile(str(file.path), pytest.fail).frames(lambda k: True))
    assert [len(f) for f in found] == sizes
    for k, f in enumerate(found):
        assert (f.ids == atoms(sizes[k], k)["id"]).all()


def test_without_elements_and_units(tmp_path: Path) -> None:
    about = About("a.h5", (True,) * 3, "", "", CLASSES, (1, 300, 0))
    file = AtomsFile(tmp_path / "a.atoms.h5md", about, False)
    put(file, 5, atoms(9))
    with h5py.File(file.path) as raw:
        group = raw["particles/all"]
        assert (group["species/value"][0] == atoms(9)["type"]).all()
        assert group["phase/value"].dtype == np.int16  # 300 does not fit into a byte
        assert "unit" not in group["position/value"].attrs


def test_a_run_that_goes_on_and_one_that_is_set_back(path: Path) -> None:
    file = AtomsFile(path, ABOUT, True)
    assert file.last_step == 20
    file.keep_before(25)
    assert file.last_step == 20
    file.keep_before(10)
    assert file.last_step == 0
    put(file, 12, atoms(50, 9))
    with h5py.File(path) as raw:
        assert raw["particles/all/position/step"][:].tolist() == [0, 12]
        assert (raw["particles/all/id/value"][1] == atoms(50, 9)["id"]).all()
    other = About(**{**ABOUT.__dict__, "model_sha256": "def"})
    with pytest.raises(HistoryError, match="model_sha256 'abc', and this run has 'def'"):
        AtomsFile(path, other, True)
    assert AtomsFile(path, other, False).last_step is None


def test_a_frame_that_is_given_up_leaves_no_trace(path: Path) -> None:
    file = AtomsFile(path, ABOUT, True)
    before = path.read_bytes()
    frame = file.frame(30, 0.06, CELL, np.zeros(3), 50)
    frame.put(atoms(25))
    frame.end(False)
    assert path.read_bytes() == before
    assert not journal_of(path).exists()


def test_a_full_disk_costs_the_frame_only(path: Path) -> None:
    """A real limit on the size of files, in a process of its own."""
    code = """
import resource, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from history.test_atoms_file import ABOUT, AtomsFile, atoms, put
from insitu.errors import HistoryError
from insitu.history.check import check_file
path = Path(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
size = path.stat().st_size
file = AtomsFile(path, ABOUT, True)
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 1000, size + 1000))
try:
    put(file, 30, atoms(5000, 3))
except HistoryError as error:
    print(error)
    assert path.stat().st_size == size and file.last_step == 20
"""
    words = [sys.executable, "-P", "-c", code, str(path), str(Path(__file__).parents[1])]
    run = subprocess.run(words, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "the atoms of step 30 could not be written ([Errno 27] File too large)" in run.stdout
    with h5py.File(path) as raw:
        assert raw["particles/all/position/step"][:].tolist() == [0, 10, 20]


@pytest.mark.parametrize("stride", [6, pytest.param(1, marks=pytest.mark.full)])
def test_a_kill_at_any_moment_costs_at_most_the_frame(path: Path, stride: int) -> None:
    """A child process for each moment: killed in the middle of the k-th change of a file."""
    code = """
import io, os, shutil, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import h5py
from history.test_atoms_file import ABOUT, AtomsFile, atoms, put
from insitu.history.writing import file_access
from insitu.history.writing import journal
path = Path(sys.argv[1])
whole = path.read_bytes()
seen = set()
for moment in range(1, 500, int(sys.argv[3])):
    path.write_bytes(whole)
    child = os.fork()
    if not child:
        left = [moment]
        def counted(call, half):
            def changed(*given, **more):
                left[0] -= 1
                if not left[0]:
                    half(*given)
                    os.kill(os.getpid(), signal.SIGKILL)
                return call(*given, **more)
            return changed
        write, base = file_access.Disk.write, io.FileIO
        file_access.Disk.write = counted(write, lambda f, d: base.write(f, bytes(d)[: len(d) // 2]))
        file_access.Disk.truncate = counted(file_access.Disk.truncate, lambda *a: None)
        os.replace = counted(os.replace, lambda *a: None)
        Path.unlink = counted(Path.unlink, lambda *a: None)
        file = AtomsFile(path, ABOUT, True)
        put(file, 30, atoms(70, 3))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    file = AtomsFile(path, ABOUT, True)  # finishes or undoes
    with h5py.File(path) as raw:
        group = raw["particles/all"]
        steps = group["position/step"][:].tolist()
        assert steps in ([0, 10, 20], [0, 10, 20, 30]), steps
        for k in range(len(steps)):
            mine = atoms((50, 50, 50, 70)[k], k)
            for name in mine.dtype.names:
                assert (group[name]["value"][k, : len(mine)] == mine[name]).all(), (moment, name)
    assert not journal.journal_of(path).exists()
    seen.add(len(steps))
    put(file, 40, atoms(60, 4))
    if os.WIFEXITED(status):
        break
print(moment, sorted(seen))
"""
    words = [sys.executable, "-P", "-c", code, str(path), str(Path(__file__).parents[1])]
    words.append(str(stride))
    run = subprocess.run(words, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    moments, lengths = run.stdout.split(maxsplit=1)
    assert int(moments) > 20  # it was killed that often
    assert lengths.strip() == "[3, 4]"


def test_a_journal_that_is_not_whole_is_thrown_away(path: Path) -> None:
    before = path.read_bytes()
    for content in (b"", b"insitu journal 1", b"insitu journal 1" + bytes(40), b"something else"):
        journal_of(path).write_bytes(content)
        Journaled(path).close()
        assert path.read_bytes() == before
        assert not journal_of(path).exists()


def test_a_history_leads_to_its_atoms(path: Path) -> None:
    """By a link that h5py follows, wherever both files are moved."""
    history = path.parent / "a.h5"
    series = create(history)
    append(series, 0)
    for _ in range(2):
        series.link(path, "particles/all")
        append(series, series.last_step + 10)
    series.close()
    assert check_file(history) == []
    assert insitu.open(history)["step"].values.tolist() == [0, 10, 20]
    with h5py.File(history) as file:
        assert file["particles/all/position/step"][:].tolist() == [0, 10, 20]
    frames = H5MDFile(str(history), pytest.fail).frames(lambda k: True)
    assert len(list(frames)) == 3
    whole = path.read_bytes()
    path.write_bytes(whole[:2000])
    (said,) = check_file(history)
    assert "cannot be read" in said
    path.unlink()
    (said,) = check_file(history)
    assert "which is missing; copy both files together" in said
    path.write_bytes(whole)
    put(AtomsFile(path, ABOUT, True), 25, atoms(50))
    (said,) = check_file(history)
    assert "has atoms of step 25, which the history has not" in said
