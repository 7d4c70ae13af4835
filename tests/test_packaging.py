# SPDX-License-Identifier: BSD-3-Clause
"""The recipes of packagers say what pyproject.toml says."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

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


def test_conda_s_builder_reads_the_recipe() -> None:
    """rattler-build, whose packages for compilers and Python cannot be had here: as far as building."""
    import rattler_build

    recipe = rattler_build.Stage0Recipe.from_file(str(ROOT / "packaging/conda/recipe.yaml"))
    variants = rattler_build.VariantConfig({
        "python": ["3.10.* *_cpython", "3.12.* *_cpython", "3.14.* *_cp314"],
        "cxx_compiler": ["gxx"], "c_stdlib": ["sysroot"],
    })  # fmt: skip
    platform = rattler_build.PlatformConfig(target_platform="linux-64")
    rendered = recipe.render(variants, rattler_build.RenderConfig(platform))
    found = {r.variant["python"]: r.recipe.to_dict() for r in rendered}
    assert len(found) == 3
    for package in found.values():
        assert package["package"] == {"name": "insitu", "version": insitu.__version__}
        needs = package["requirements"]
        assert {"gxx_linux-64", "sysroot_linux-64", "ninja"} <= set(needs["build"])
        assert {"python", "pip"} < set(needs["host"])
        for path in package["about"]["license_file"]:
            assert (ROOT / path).is_file()
    for words in package["tests"][1]["script"]:
        command = [sys.executable, "-P", "-m", *words.split()]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def test_the_trial_of_a_wheel_has_the_readmes_example() -> None:
    readme = (ROOT / "README.md").read_text()
    example = readme.split("## Use\n\n```\n")[1].split("```")[0]
    assert "fix          phases all insitu" in example
    assert example in (ROOT / "tools/try_wheel.sh").read_text()


@pytest.mark.full
def test_a_wheel_runs_in_an_environment_of_its_own(tmp_path: Path) -> None:
    """`tools/wheels.sh` builds, repairs, installs and tries it: minutes of a core."""
    source = tmp_path / "source"
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    for name in filter(None, tracked):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name)
    done = subprocess.run(
        ["sh", "tools/wheels.sh", sys.executable], cwd=source, capture_output=True, text=True,
        timeout=3000, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    (wheel,) = (source / "dist").glob("*.whl")
    own = f"cp3{sys.version_info.minor}-" if sys.version_info < (3, 12) else "cp312-abi3-"
    assert own in wheel.name
    assert "manylinux_2_28" in wheel.name
    assert insitu.__version__ in done.stdout  # the last line of the trial
    assert re.search(r"^ *200 .* 100\.", done.stdout, re.M), done.stdout  # of `insitu show`
