# SPDX-License-Identifier: BSD-3-Clause
"""Spack package of insitu, for `fix python/invoke`.

The plug-in `fix insitu` needs headers of LAMMPS' sources, which an installed LAMMPS does not have. Until
there is a published archive, Spack takes insitu-VERSION.tar.gz from the folder that it is called in:
`python -m build --sdist --outdir . SOURCES`, then `spack install --no-checksum py-insitu`.
"""

import contextlib
import os

from spack.package import *

with contextlib.suppress(ImportError):  # Spack 1.0 and later; before, it is in spack.package
    from spack_repo.builtin.build_systems.python import PythonPackage


class PyInsitu(PythonPackage):
    """In-situ structural analysis of LAMMPS simulations: phase histories from one fix line."""

    manual_download = True
    url = f"file://{os.getcwd()}/insitu-0.1.0.tar.gz"

    license("BSD-3-Clause AND GPL-2.0-only")

    version("0.1.0")

    variant("mpi", default=True, description="Runs on several ranks")
    variant("read", default=True, description="Histories as xarray datasets, figures and reports")
    variant("lammps", default=True, description="A LAMMPS with fix python/invoke")

    depends_on("cxx", type="build")
    depends_on("cmake@3.21:", type="build")
    depends_on("python@3.11:", type=("build", "run"))
    depends_on("py-scikit-build-core@0.11:", type="build")
    depends_on("py-nanobind@2.4:", type="build")
    depends_on("py-numpy@1.26:", type=("build", "run"))
    depends_on("py-h5py@3.10:", type=("build", "run"))
    depends_on("py-mpi4py@4.1:", type=("build", "run"), when="+mpi")
    depends_on("py-xarray@2024.1:", type=("build", "run"), when="+read")
    depends_on("py-pandas@2.1:", type=("build", "run"), when="+read")
    depends_on("py-matplotlib@3.8:", type=("build", "run"), when="+read")
    depends_on("py-rich@14.1:", type=("build", "run"), when="+read")
    depends_on("lammps+python+lib", type="run", when="+lammps")
