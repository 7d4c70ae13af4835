# SPDX-License-Identifier: BSD-3-Clause
"""The extensions for OVITO, with the real one: modifier, file reader, pictures, files that it colours."""

import importlib.metadata
import subprocess
import sys
import tomllib
from pathlib import Path

import ase.build
import ase.io
import numpy as np
import pytest

import insitu
from insitu.cli import command as cli
from insitu.errors import SettingError
from insitu.history.atoms.layout import ATOM, About
from insitu.history.atoms.particles import AtomsFile

pytest.importorskip("ovito", reason="OVITO is not installed")
HOME = Path(__file__).resolve().parents[2] / "integrations" / "ovito"
sys.path.insert(0, str(HOME))

from insitu_ovito import HistoryFileReader, IdentifyStructuresModifier  # noqa: E402
from ovito.data import DataCollection  # noqa: E402
from ovito.io import import_file  # noqa: E402
from ovito.io.ase import ase_to_ovito  # noqa: E402
from ovito.modifiers import PolyhedralTemplateMatchingModifier  # noqa: E402
from ovito.pipeline import Pipeline, StaticSource  # noqa: E402


def twin(noise: float = 0.05) -> ase.Atoms:
    """Return fcc copper with two twin boundaries: 2 of 12 layers are hcp."""
    d, layers = 2.5527, "ABCABCACBACB"
    height = d * (2 / 3) ** 0.5
    one = np.array([[0.0, 0.0, 0.0], [d / 2, d * 3**0.5 / 2, 0.0]])
    steps = np.array([[0.0, "ABC".index(s) * d / 3**0.5, k * height] for k, s in enumerate(layers)])
    r = (steps[:, None] + one).reshape(-1, 3)
    atoms = ase.Atoms(
        f"Cu{2 * len(layers)}", r, cell=[d, d * 3**0.5, len(layers) * height], pbc=True
    )
    atoms = atoms * (7, 4, 1)
    atoms.rattle(noise, seed=1)
    return atoms


def pipeline(atoms: ase.Atoms, modifier: object) -> DataCollection:
    made = Pipeline(source=StaticSource(data=ase_to_ovito(atoms)))
    made.modifiers.append(modifier)
    return made.compute()


def test_the_modifier_does_what_classify_does_and_looks_like_ptm() -> None:
    atoms = twin()
    data = pipeline(atoms, IdentifyStructuresModifier())
    found = insitu.classify(atoms, device="cpu")
    types = np.asarray(data.particles["Structure Type"])
    assert set(types.tolist()) <= {0, 1, 2}
    for name, code in (("fcc", 1), ("hcp", 2), ("unknown", 0)):
        count = int((types == code).sum())
        assert data.attributes[f"insitu.counts.{name}"] == count
        assert data.attributes[f"insitu.fractions.{name}"] == pytest.approx(found.fractions[name])
    assert np.allclose(np.asarray(data.particles["Confidence"]), found.confidence, atol=1e-5)
    # The same integers, names and colours as OVITO's own method, whose labels are the same here.
    theirs = pipeline(atoms, PolyhedralTemplateMatchingModifier())
    ptm = np.asarray(theirs.particles["Structure Type"])
    assert (ptm == types)[types > 0].mean() > 0.99
    assert (types == 2).mean() == pytest.approx(1 / 6)
    mine = {t.id: t for t in data.particles["Structure Type"].types}
    for t in theirs.particles["Structure Type"].types:
        if t.id in mine and t.id:
            assert mine[t.id].name == t.name
            assert np.allclose(mine[t.id].color, t.color, atol=0.01)
    colors = np.asarray(data.particles["Color"])
    assert np.allclose(colors[types == 2], [1.0, 0.4, 0.4])


def test_settings_of_the_modifier() -> None:
    atoms = twin(0.15)
    strict = IdentifyStructuresModifier(own_threshold=True, threshold=0.999, color_by_type=False)
    data = pipeline(atoms, strict)
    found = insitu.classify(atoms, threshold=0.999, device="cpu")
    assert data.attributes["insitu.fractions.unknown"] == pytest.approx(found.fractions["unknown"])
    assert found.fractions["unknown"] > 0.01
    assert "Color" not in data.particles
    atoms.symbols[::3] = "Zr"
    for words in ("Cu", "2"):
        data = pipeline(atoms, IdentifyStructuresModifier(neighbors=words))
        types = np.asarray(data.particles["Structure Type"])
        assert (types[::3] == -1).all()
        kept = insitu.classify(atoms, neighbors="Cu", device="cpu")
        assert data.attributes["insitu.fractions.fcc"] == pytest.approx(kept.fractions["fcc"])
    with pytest.raises(RuntimeError, match=r"'Ni' is no particle type; there are: .*Cu"):
        pipeline(atoms, IdentifyStructuresModifier(neighbors="Ni"))


def test_a_data_collection_is_a_sample() -> None:
    """Also one whose box does not begin at zero, without periodicity along z."""
    atoms = twin()
    atoms.pbc = (True, True, False)
    atoms.positions += [3.0, 4.0, 5.0]
    data = ase_to_ovito(atoms)
    data.cell_[:, 3] = [3.0, 4.0, 5.0]
    one, other = insitu.classify(data, device="cpu"), insitu.classify(atoms, device="cpu")
    assert (one.labels == other.labels).mean() > 0.99
    assert insitu.classify(
        data, neighbors="Cu", device="cpu"
    ).analysed.all()  # it knows the elements
    with pytest.raises(SettingError, match="no particles"):
        insitu.classify(DataCollection())


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """Two frames of atoms, of which one goes."""
    about = About("a.h5", (True, True, False), "Angstrom", "ps", ("fcc", "disordered", "unknown"),
                  (1, 100, 0), ("Cu", "Zr"))  # fmt: skip
    file, cell = AtomsFile(tmp_path / "a.atoms.h5md", about, False), np.diag([8.0, 9.0, 10.0])
    cell[1, 0] = 2.0
    for k, n in enumerate((5, 4)):
        atoms = np.zeros(n, dtype=ATOM)
        atoms["id"] = np.arange(n) + 10
        atoms["position"] = np.arange(3 * n).reshape(n, 3) / 2
        atoms["phase"], atoms["type"] = [1, 100, 0, -1, 1][:n], [1, 2, 1, 1, 1][:n]
        atoms["confidence"] = [255, 51, 0, 0, 204][:n]
        frame = file.frame(100 * k, 0.1 * k, cell, np.array([1.0, 2, 3]), n)
        frame.put(atoms)
        frame.end()
    return file.path


def test_the_file_reader(history: Path) -> None:
    assert HistoryFileReader.detect(str(history))
    read = import_file(str(history), input_format=HistoryFileReader)
    assert read.source.num_frames == 2
    data = read.compute(0)
    assert data.attributes["Timestep"] == 0
    assert np.asarray(data.particles.identifiers).tolist() == [10, 11, 12, 13, 14]
    assert np.asarray(data.particles["Structure Type"]).tolist() == [1, 100, 0, -1, 1]
    assert np.allclose(np.asarray(data.particles["Confidence"]), [1, 0.2, 0, 0, 0.8])
    assert np.allclose(data.particles.positions[1], [1.5 + 1, 2.0 + 2, 2.5 + 3])
    assert np.allclose(data.cell[...], [[8, 2, 0, 1], [0, 9, 0, 2], [0, 0, 10, 3]])
    assert data.cell.pbc == (True, True, False)
    assert [t.name for t in data.particles.particle_types.types] == ["Cu", "Zr"]
    assert data.attributes["insitu.counts.fcc"] == 2
    assert data.attributes["insitu.fractions.disordered"] == 0.25  # of those that were analysed
    later = read.compute(1)
    assert later.particles.count == 4
    assert later.attributes["Timestep"] == 100


def test_files_that_are_no_history_are_left_to_others(tmp_path: Path, history: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    assert not HistoryFileReader.detect(str(tmp_path / "a.txt"))
    history.with_suffix(".h5").write_bytes(history.read_bytes()[:100])
    assert not HistoryFileReader.detect(str(history.with_suffix(".h5")))
    from histories import melting

    without = melting(tmp_path / "b.h5", range(0, 30, 10))
    with pytest.raises(RuntimeError, match="has no atoms: set `atoms"):
        import_file(str(without), input_format=HistoryFileReader)


RENDER = """
import sys
sys.path[:0] = sys.argv[2:]
from integrations.test_ovito import IdentifyStructuresModifier, ase_to_ovito, twin
from ovito.pipeline import Pipeline, StaticSource
from ovito.vis import TachyonRenderer, Viewport
made = Pipeline(source=StaticSource(data=ase_to_ovito(twin())))
made.modifiers.append(IdentifyStructuresModifier())
made.add_to_scene()
view = Viewport(type=Viewport.Type.Front)
view.zoom_all((200, 200))
how = TachyonRenderer(ambient_occlusion=False, shadows=False)
view.render_image(filename=sys.argv[1], size=(200, 200), renderer=how)
"""


def test_a_picture_has_the_colours(tmp_path: Path) -> None:
    """Rendered by Tachyon, in a process of its own: green for fcc, red for hcp, 10 and 2 layers."""
    picture, tests = tmp_path / "a.png", Path(__file__).parents[1]
    run = subprocess.run(
        [sys.executable, "-P", "-c", RENDER, str(picture), str(tests)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if "Vulkan loader library" in run.stderr:
        pytest.skip("OVITO renders with Vulkan: apt install libvulkan1 mesa-vulkan-drivers")
    assert run.returncode == 0, run.stderr[-2000:]
    from PIL import Image

    pixels = np.asarray(Image.open(picture).convert("RGB")).astype(int).reshape(-1, 3)
    green = (pixels[:, 1] > pixels[:, 0] + 60) & (pixels[:, 1] > pixels[:, 2] + 60)
    red = (pixels[:, 0] > pixels[:, 1] + 60) & (pixels[:, 0] > pixels[:, 2] + 60)
    assert 3 < green.sum() / red.sum() < 7
    assert green.sum() + red.sum() > 10_000


@pytest.mark.parametrize("ending", ["xyz", "dump"])
def test_ovito_colours_what_classify_writes(tmp_path: Path, ending: str) -> None:
    """Without a modifier, by the columns alone."""
    frames = [twin(), twin(0.4)]
    for k, atoms in enumerate(frames):
        atoms.info["step"] = 100 * k
    ase.io.write(tmp_path / "in.xyz", frames, format="extxyz")
    out = tmp_path / f"out.{ending}"
    words = ["classify", str(tmp_path / "in.xyz"), "--labels", str(out), "--workers", "1"]
    assert cli.main(words) == 0
    read = import_file(str(out))
    assert read.source.num_frames == 2
    for k, atoms in enumerate(frames):
        data = read.compute(k)
        found = insitu.classify(atoms, device="cpu")
        types = np.asarray(data.particles["Structure Type"])
        for name, code in (("fcc", 1), ("hcp", 2), ("disordered", 100), ("unknown", 0)):
            assert (types == code).mean() == pytest.approx(found.fractions[name])
        colors = np.asarray(data.particles["Color"])
        assert np.allclose(colors[types == 1], [0.4, 1.0, 0.4], atol=1e-6)
        assert np.allclose(colors[types == 2], [1.0, 0.4, 0.4], atol=1e-6)
        assert np.abs(np.asarray(data.particles.positions) - atoms.positions).max() < 1e-5
        assert np.allclose(data.cell[:, :3].T, atoms.cell.array, atol=1e-6)
        assert (types == np.asarray(data.particles["phase"])).all()
        assert np.allclose(np.asarray(data.particles["confidence"]), found.confidence, atol=1e-5)


def test_what_is_installed_is_what_the_entry_points_name() -> None:
    project = tomllib.loads((HOME / "pyproject.toml").read_text())["project"]
    for group in ("OVITO.Modifier", "OVITO.FileReader"):
        for name, value in project["entry-points"][group].items():
            point = importlib.metadata.EntryPoint(name, value, group)
            assert point.load() in (IdentifyStructuresModifier, HistoryFileReader)
