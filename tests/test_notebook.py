# SPDX-License-Identifier: BSD-3-Clause
"""The notebook of the documentation runs as it stands: with LAMMPS, in a kernel of its own."""

import os
from pathlib import Path

import pytest
from conftest import require

NOTEBOOK = Path(__file__).resolve().parents[1] / "docs" / "first_history.ipynb"


@pytest.mark.full
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the notebook's own packages
def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nbformat
    from nbclient import NotebookClient

    require("wheel")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    for variable in [k for k in os.environ if k.startswith(("PMI_", "OMPI_"))]:
        monkeypatch.delenv(variable)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    stored = [text(cell) for cell in notebook.cells]
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    found = [text(cell) for cell in notebook.cells]
    # What it prints of the crystal is the same anywhere; a melt differs after some steps.
    assert "first frame: 100% fcc" in found[5]
    assert "cold {'fcc': 1.0}" in found[-1]
    assert found[-1] == stored[-1]
    assert any("image/png" in o.get("data", {}) for o in notebook.cells[6].outputs)


def text(cell: object) -> str:
    """What a cell has printed."""
    return "".join(o.get("text", "") for o in cell.get("outputs", ()))  # type: ignore[attr-defined]
