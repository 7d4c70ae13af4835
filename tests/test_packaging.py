# SPDX-License-Identifier: BSD-3-Clause
"""The recipes of packagers say what pyproject.toml says."""

import ast
import re
import tomllib
from pathlib import Path

import insitu

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CONDA = (ROOT / "packaging/conda/recipe.yaml").read_text()
SPACK = (ROOT / "packaging/spack/package.py").read_text()


def needed(requirements: list[str]) -> dict[str, str]:
    """Return the lowest version of each package."""
    found = (re.match(r"([\w-]+)[>=~]+([\d.]+)", r) for r in requirements)
    return {m[1]: m[2] for m in found if m}


def test_version() -> None:
    assert re.search(r'version: "(.+)"', CONDA)[1] == insitu.__version__
    assert re.search(r'version\("(.+?)"\)', SPACK)[1] == insitu.__version__


def test_integrations_have_the_version_of_insitu() -> None:
    found = sorted((ROOT / "integrations").glob("*/pyproject.toml"))
    assert found
    for path in found:
        project = tomllib.loads(path.read_text())["project"]
        assert project["version"] == insitu.__version__, path
        assert path.parent.joinpath(project["readme"]).is_file()


def test_dependencies() -> None:
    build = needed(["scikit-build-core>=0.11", "nanobind>=2.4"])
    assert build.items() <= needed(PROJECT["build-system"]["requires"]).items()
    for name, version in (needed(PROJECT["project"]["dependencies"]) | build).items():
        assert f"    - {name} >={version}\n" in CONDA, name
        assert f'depends_on("py-{name}@{version}:"' in SPACK, name
    optional = PROJECT["project"]["optional-dependencies"]
    extras = needed([r for extra in ("mpi", "read", "plot") for r in optional[extra]])
    for name, version in extras.items():
        if f'"py-{name}@' in SPACK:
            assert f'depends_on("py-{name}@{version}:"' in SPACK, name
    ast.parse(SPACK)
