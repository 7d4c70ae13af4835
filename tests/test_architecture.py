# SPDX-License-Identifier: BSD-3-Clause
"""The rules of ARCHITECTURE.md, held by tests."""

import ast
import json
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import insitu

PACKAGE = Path(insitu.__file__).parent
#: From top to bottom: a folder (or module) imports what is below it, never what is above.
#: What only type checkers see does not count.
LAYERS = (
    "__main__", "cli", "bench", "training", "jobs", "views", "offline", "lammps", "pipeline",
    "history", "testing", "analyses", "diffraction", "crystal", "models", "descriptors", "gpu", "frame",
    "transitions", "progress", "errors", "lazy",
)  # fmt: skip
#: Folders that have to do without each other, whatever their order.
APART = {
    "history": {"lammps", "pipeline", "models", "gpu"},
    "views": {"lammps", "pipeline", "offline"},
    "cli": {"lammps", "pipeline"},
}
HOMES = {
    "lammps": {"training/runs.py"},  # for training data; in a run its C library is used
    "mpi4py": {"frame/ranks/launch.py", "frame/ranks/reduce.py"},
    "cupy": {"gpu/device.py"},
    "h5py": {
        "history/check.py", "history/writing/continuation.py", "history/writing/direct.py",
        "history/elements.py", "history/integrity.py",
        "history/layout.py", "history/atoms/layout.py", "history/atoms/parts.py",
        "history/atoms/particles.py",
        "history/writing/storage.py", "history/writing/writer.py", "offline/readers/h5md.py",},
    "matplotlib": {"views/plots.py"},
    "xarray": {
        "history/reader.py", "history/joining.py", "history/xarray_backend.py", "offline/ptm.py",
    },
    "rich": {
        "views/terminal.py", "views/table.py", "views/dashboard.py", "views/watch.py",
        "progress.py",
    },
    "MDAnalysis": {"offline/readers/mdanalysis_files.py", "offline/readers/xtc_frames.py"},
    "finufft": {"diffraction/scattering/mesh.py"},
    "gemmi": {
        "diffraction/scattering/form_factors.py", "diffraction/patterns/files.py",
        "training/symmetry/peaks.py", "training/symmetry/sites.py",
    },
    "jinja2": {"views/report.py"},
    "markdown_it": {"views/markdown.py"},
    "spglib": {"crystal/spacegroup.py", "training/symmetry/library.py"},
    "ovito": {"offline/ptm.py", "bench/peers.py"},
    "ase": {
        "models/structures.py", "offline/readers/ase_files.py", "training/data/element_properties.py",
        "training/structures/foreign.py",
    },
    # In the pipeline its number of threads, in the benchmark as users run it; else models/, training/.
    "torch": {"pipeline/pipeline.py", "bench/own.py", "diffraction/symmetry/classification.py"},
}  # fmt: skip


@cache
def _modules(path: Path) -> set[str]:
    """Modules imported anywhere in a file, but not for type checking only."""
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
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def _imports(path: Path) -> set[str]:
    """Packages of the modules imported anywhere in a file."""
    return {name.split(".")[0] for name in _modules(path)}


def _layer(module: str) -> str:
    """The folder, or the module beside the folders, that a module of ours belongs to; "" for none."""
    parts = module.split(".")
    return parts[1] if parts[0] == "insitu" and len(parts) > 1 and parts[1] in LAYERS else ""


def test_imports_go_one_way() -> None:
    wrong = []
    for path in sorted(PACKAGE.rglob("*.py")):
        own = path.relative_to(PACKAGE).with_suffix("").parts[0]
        if own == "__init__":
            continue  # imports its names where they are asked for
        for target in sorted({_layer(m) for m in _modules(path)} - {"", own}):
            if LAYERS.index(target) < LAYERS.index(own) or target in APART.get(own, ()):
                wrong.append(f"{path.relative_to(PACKAGE)} imports {target}")
    assert not wrong


def test_no_modules_import_each_other() -> None:
    graph = {
        ".".join(("insitu", *p.relative_to(PACKAGE).with_suffix("").parts)): _modules(p)
        for p in PACKAGE.rglob("*.py")
        if p.name != "__init__.py"
    }
    done: set[str] = set()

    def walk(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " -> ".join((*way[way.index(name) :], name))
        if name in done:
            return
        for target in sorted(graph[name] & graph.keys()):
            walk(target, (*way, name))
        done.add(name)

    for name in sorted(graph):
        walk(name, ())


def test_parts_of_a_folder_do_not_import_each_other() -> None:
    """Nor do folders within folders; a module beside them may be above them or below."""
    wrong = []
    for folder in sorted(p for p in PACKAGE.rglob("*") if (p / "__init__.py").exists()):
        name = ".".join(("insitu", *folder.relative_to(PACKAGE).parts))
        parts = {p.name for p in folder.iterdir() if (p / "__init__.py").exists()}
        uses = {
            part: {
                m.removeprefix(f"{name}.").split(".")[0]
                for path in (folder / part).rglob("*.py")
                for m in _modules(path)
                if m.startswith(f"{name}.")
            }
            & parts
            for part in parts
        }
        wrong += [f"{name}: {a}, {b}" for a in uses for b in uses[a] if a < b and a in uses[b]]
    assert not wrong


@pytest.mark.parametrize("package", list(HOMES))
def test_third_party_packages_have_one_home(package: str) -> None:
    users = {str(p.relative_to(PACKAGE)) for p in PACKAGE.rglob("*.py") if package in _imports(p)}
    if package == "torch":
        users = {u for u in users if not u.startswith(("models/", "training/"))}
    assert users <= HOMES[package]


def test_the_plugin_entry_point_uses_the_standard_library_only() -> None:
    assert _imports(PACKAGE / "lammps" / "plugin.py") <= set(sys.stdlib_module_names)


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
        "rich",
        "jinja2",
        "markdown_it",
        "finufft",
        "gemmi",
        "spglib",
        "MDAnalysis",
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
    names = {p.name for p in (PACKAGE / "kernels" / "core").glob("*.hpp")}
    assert {"neighbors.hpp", "neighbors_map.hpp", "sorting_network.hpp", "config.hpp"} <= names
    assert (PACKAGE / "lammps" / "insituplugin.so").is_file()


def test_unknown_name_says_what_there_is() -> None:
    with pytest.raises(AttributeError, match="neighbors_map"):
        insitu.neighbours_map  # noqa: B018


def test_every_source_file_names_its_licence() -> None:
    for path in PACKAGE.rglob("*.py"):
        assert path.read_text().startswith("# SPDX-License-Identifier: BSD-3-Clause"), path


def test_a_file_without_its_licence_is_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The check of `make lint` and of pre-commit."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "tools"))
    import licence_headers

    monkeypatch.setattr(licence_headers, "ROOT", tmp_path)
    bsd, gpl = "SPDX-License-Identifier: BSD-3-Clause\n", "SPDX-License-Identifier: GPL-2.0-only\n"
    texts = {
        "a.py": f"# {bsd}", "b.py": "import a\n", "c.md": "no source\n", "kernels/d.hpp": f"// {gpl}",
        "kernels/lammps/e.cpp": f"// {gpl}", "kernels/lammps/f.cpp": f"// {bsd}",
        "run.sh": f"#!/bin/sh\n# {bsd}",
    }  # fmt: skip
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    found = [line.split(":")[0] for line in licence_headers.wrong(list(texts))]
    assert found == ["b.py", "kernels/d.hpp", "kernels/lammps/f.cpp"]
