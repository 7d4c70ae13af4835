#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# arm_kernels.sh [FOLDER]: builds the kernels for ARM (aarch64, its baseline NEON) on another machine, with
# Debian's cross compiler, and puts an ARM Python and NumPy beside them, which qemu-user runs.
#
# The folder is insitu/arm64 in the user's cache by default. The last line printed is what starts that Python:
#     $(sh tools/arm_kernels.sh | tail -n 1) -c "import insitu._kernels"
# tests/kernels/test_arm.py (make test-full) compares its labels with this machine's.
# Exit code 3: what the build needs cannot be had here.
set -eu
stage=3
trap 'code=$?; [ $code = 0 ] || exit $stage' EXIT
here=$(cd "${0%/*}/.." && pwd)
work=${1:-${INSITU_ARM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/insitu/arm64}}
python=${PYTHON:-$here/.venv/bin/python}
root=$work/root
mkdir -p "$work/apt/lists/partial" "$work/apt/cache/archives/partial" "$root"

have() {
    for program in qemu-aarch64 aarch64-linux-gnu-g++ cmake; do
        command -v $program >/dev/null 2>&1 || return 1
    done
}
have || sh "$here/tools/apt_get.sh" "ARM's cross compiler and qemu" g++-aarch64-linux-gnu qemu-user cmake >&2 || true
have || { echo "insitu: the kernels are built for ARM with Debian's packages g++-aarch64-linux-gnu, qemu-user and cmake" >&2; exit 1; }

# An ARM Python, unpacked: apt resolves what it needs as if nothing were installed.
if ! ls "$root"/usr/bin/python3.[0-9]* >/dev/null 2>&1; then
    apt="apt-get -qq -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o Dir::State::status=/dev/null
         -o Dir::State::lists=$work/apt/lists -o Dir::Cache=$work/apt/cache"
    # shellcheck disable=SC2086
    $apt update >&2
    # shellcheck disable=SC2086
    $apt --download-only -y --no-install-recommends install python3 libpython3-dev libgomp1 libstdc++6 >/dev/null
    for package in "$work"/apt/cache/archives/*.deb; do
        dpkg -x "$package" "$root"
    done
fi
program=$(ls "$root"/usr/bin/python3.[0-9]* | grep -v config | head -n 1)
version=${program##*/python}
short=$(echo "$version" | tr -d .)
[ -d "$work/packages/numpy" ] || "$python" -m pip install -q --target "$work/packages" --only-binary=:all: \
    --platform manylinux_2_28_aarch64 --platform manylinux_2_27_aarch64 --platform manylinux2014_aarch64 \
    --python-version "$short" --implementation cp --abi "cp$short" --no-deps numpy >&2
[ -d "$work/tools/nanobind" ] || "$python" -m pip install -q --target "$work/tools" nanobind >&2

stage=1
# Python's headers: those of the ARM Python, after the cross compiler's own.
PYTHONPATH=$work/tools cmake -S "$here" -B "$work/build" -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
    -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++ -DCMAKE_FIND_ROOT_PATH_MODE_PROGRAM=NEVER \
    -DPython_EXECUTABLE="$python" -DPython_INCLUDE_DIR="$root/usr/include/python$version" \
    -DPython_SOABI="cpython-$short-aarch64-linux-gnu" -DSKBUILD_SOABI="cpython-$short-aarch64-linux-gnu" \
    -DCMAKE_CXX_FLAGS="-idirafter $root/usr/include" >&2
cmake --build "$work/build" --target _kernels -j "${INSITU_JOBS:-2}" >&2
mkdir -p "$work/packages"
rm -rf "$work/packages/insitu"
cp -r "$here/insitu" "$work/packages/"
cp "$work"/build/_kernels*.so "$work/packages/insitu/"
echo "env PYTHONPATH=$work/packages OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=1 qemu-aarch64 -L $root $program"
