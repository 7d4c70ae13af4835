# SPDX-License-Identifier: BSD-3-Clause
"""`insitu classify --analyze`: the analyses of a run on a trajectory give what they gave in the run."""

from pathlib import Path

import numpy as np
import pytest
from conftest import crystal, require

import insitu
from insitu.cli.command import main
from insitu.errors import SettingError
from insitu.history.check import check_file
from insitu.offline.options import Options

WORDS = (
    "rdf cutoff 6 bins 60 analyze diffraction two_theta 30,80 frames 2 analyze steinhardt cutoff 3.8 "
    "analyze profile name ball shape sphere bins 4 "
    "analyze clusters phase fcc cutoff 3.5 analyze lattice"
)


def test_a_trajectory_gives_the_history_of_its_run(potentials: Path, tmp_path: Path) -> None:
    host = require("wheel")
    deck = crystal(potentials) + host.monitor(10, file="run.h5", analyze=WORDS)
    deck += "dump d all custom 10 d.dump id type x y z\ndump_modify d format float %.17g first no\n"
    run = host.run(tmp_path, deck + "run 20\n", 2)
    assert run.code == 0, run.text[-2000:]
    out = tmp_path / "file.h5"
    code = main(
        ["classify", str(tmp_path / "d.dump"), "--index", "1:", "--out", str(out), "--species", "Al",
         "--workers", "1", "--analyze", WORDS]
    )  # fmt: skip
    assert not code
    assert check_file(out) == []
    ours, theirs = insitu.open(out), insitu.open(tmp_path / "run.h5")
    assert ours["step"].values.tolist() == theirs["step"].values.tolist() == [10, 20]
    for name in (
        "rdf", "diffraction_intensity", "diffraction_position", "steinhardt_mean", "clusters_size",
        "lattice_residual", "fraction", "ball", "ball_count", "ball_density",
    ):  # fmt: skip
        a, b = ours[name].values, theirs[name].values
        assert (np.isnan(a) == np.isnan(b)).all()
        assert np.allclose(a, b, rtol=1e-4, atol=1e-6, equal_nan=True), name
    assert np.isfinite(ours["diffraction_position"]).any()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("rdf cutoff 5 columns a=d_a", "columns are those of LAMMPS"),
        ("trigger on fcc above 0.5", "a trigger acts on a run"),
        (
            "diffraction",
            "the file names none; name them in the order of the types, for example --species",
        ),
        ("rdf cutof 5", "cutof"),
        ("rdf cutoff 5 analyze rdf cutoff 6", "two analyses"),
    ],
)
def test_what_a_file_cannot_have_is_refused(
    words: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    lines = [f"{i + 1} 1 {x} {y} {z}" for i, (x, y, z) in enumerate(10 * rng.random((60, 3)))]
    dump = tmp_path / "a.dump"
    dump.write_text(
        "ITEM: TIMESTEP\n0\nITEM: NUMBER OF ATOMS\n60\nITEM: BOX BOUNDS pp pp pp\n"
        + "0 10\n" * 3 + "ITEM: ATOMS id type x y z\n" + "\n".join(lines) + "\n"
    )  # fmt: skip
    code = main(
        [
            "classify",
            str(dump),
            "--out",
            str(tmp_path / "a.h5"),
            "--workers",
            "1",
            "--analyze",
            words,
        ]
    )
    assert code
    assert message in capsys.readouterr().err


def test_results_need_a_history() -> None:
    from insitu.analyses.requests import requests

    with pytest.raises(SettingError, match="give one, for example --out"):
        Options(analyze=requests("rdf cutoff 5"))
