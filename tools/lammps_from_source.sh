#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# lammps_from_source.sh [--kokkos[=PRECISION]] RELEASE [FOLDER]: builds a LAMMPS release with the
# packages PYTHON and PLUGIN, and the plug-in of insitu for it, for the tests. RELEASE is a date, for
# example 20260704.
#
# --kokkos adds the package KOKKOS on a host backend, in a folder of its own (RELEASE-kokkos). The
# library Kokkos is the one in the source of LAMMPS (lib/kokkos; Debian's archive comes without it), else
# an installed one that CMake finds (Kokkos_ROOT=FOLDER; 4 Jul 2026 needs 5.1). PRECISION is double, mixed
# or single; with mixed and single the positions that LAMMPS' styles work on are other memory than those
# that a fix on the host reads, as on a GPU (RELEASE-kokkos-mixed). Many cores: INSITU_JOBS=8.
#
# The source is, in this order: the folder or archive that LAMMPS_SOURCE names; Debian's original
# archive, where apt-get is there and Debian has that release (sid, trixie). It is built in FOLDER, by
# default insitu/lammps in the user's cache, and found there the next time. The last line printed is
# what the tests take:
#     export INSITU_TEST_LAMMPS="$(sh tools/lammps_from_source.sh 20260704 | tail -n 1)"
set -eu
kokkos=
case "${1:-}" in
    --kokkos) kokkos=double; shift ;;
    --kokkos=double | --kokkos=mixed | --kokkos=single) kokkos=${1#*=}; shift ;;
esac
case "${1:-}" in
    20[0-9][0-9][0-1][0-9][0-3][0-9]) release=$1 ;;
    *) echo "usage: sh tools/lammps_from_source.sh [--kokkos[=double|mixed|single]] RELEASE [FOLDER]   (RELEASE: 20260704, 20250204 …)" >&2; exit 2 ;;
esac
here=$(cd "${0%/*}/.." && pwd)
cache=${2:-${INSITU_LAMMPS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/insitu/lammps}}
work=$cache/$release
source=$work/source
[ -z "$kokkos" ] || work=$work-kokkos
[ -z "$kokkos" ] || [ "$kokkos" = double ] || work=$work-$kokkos
build=$work/build
mkdir -p "$work" "$cache/$release"
[ -z "$kokkos" ] || ln -sfn "$source" "$work/source"

# Debian's names first: an activated environment may have another MPI's.
first_of() {
    for program in "$@"; do
        command -v "$program" >/dev/null 2>&1 && echo "$program" && return 0
    done
    echo "insitu: $1 is not installed; LAMMPS is built with cmake, g++, an MPI and Python's headers" >&2
    return 1
}
# Open MPI's compiler comes with its programs, the header that it needs in a package of its own.
compiles() {
    found=$(first_of mpicxx.openmpi mpicxx 2>/dev/null) && echo '#include <mpi.h>' | "$found" -x c++ -fsyntax-only - 2>/dev/null
}
first_of cmake >/dev/null 2>&1 && compiles ||
    sh "$here/tools/apt_get.sh" "what LAMMPS is built with" cmake g++ openmpi-bin libopenmpi-dev >&2 || true
first_of cmake >/dev/null
compiler=$(first_of mpicxx.openmpi mpicxx)
launcher=$(first_of mpirun.openmpi mpirun)

# --- source ----------------------------------------------------------------------------------------

debian_archive() {
    command -v apt-get >/dev/null 2>&1 || return 1
    mkdir -p "$work/apt/lists/partial" "$work/apt/cache/archives/partial"
    mirror=$(apt-get indextargets --format '$(REPO_URI)' | grep -v security | sort | uniq -c | sort -rn | awk 'NR==1 {print $2}')
    key=/usr/share/keyrings/debian-archive-keyring.gpg
    for suite in sid trixie; do
        echo "deb-src [signed-by=$key] $mirror $suite main"
    done >"$work/apt/list"
    set -- -qq -o Dir::Etc::sourcelist="$work/apt/list" -o Dir::Etc::sourceparts=- \
        -o Dir::State::lists="$work/apt/lists" -o Dir::Cache="$work/apt/cache"
    apt-get "$@" update || return 1
    version=$(apt-cache "$@" showsrc lammps | awk -v r="$release" '$1 == "Version:" && index($2, r) == 1 {print $2; exit}')
    [ -n "$version" ] || return 1
    # Debian's own packaging may be gone from the mirror; its original archive is what is wanted.
    (cd "$work" && apt-get "$@" source --download-only "lammps=$version") >&2 || true
    ls "$work"/lammps_"$release"*.orig.tar.* 2>/dev/null
}

if [ ! -e "$source/src/version.h" ]; then
    archive=${LAMMPS_SOURCE:-}
    if [ -d "$archive" ]; then
        ln -sfn "$archive" "$source"
    else
        [ -n "$archive" ] || archive=$(debian_archive) || {
            echo "insitu: no source of LAMMPS $release was found; give its folder or archive: LAMMPS_SOURCE=…" >&2
            exit 1
        }
        mkdir -p "$source"
        tar xf "$archive" -C "$source"
        # Some archives have one folder at their top.
        [ -d "$source/src" ] || { mv "$source"/*/* "$source" 2>/dev/null || true; }
    fi
fi
[ -e "$source/src/version.h" ] || { echo "insitu: $source is no source of LAMMPS" >&2; exit 1; }

# --- LAMMPS and the plug-in ------------------------------------------------------------------------

if [ ! -x "$build/lmp" ]; then
    set --
    command -v ninja >/dev/null 2>&1 && set -- -G Ninja
    for package in PYTHON PLUGIN MANYBODY MOLECULE EXTRA-FIX PTM REPLICA SHOCK; do
        set -- "$@" -D "PKG_$package=on"
    done
    for unused in JPEG PNG GZIP FFMPEG CURL; do
        set -- "$@" -D "WITH_$unused=off"
    done
    omp=off
    if [ -n "$kokkos" ]; then
        set -- "$@" -D PKG_KOKKOS=on -D "KOKKOS_PREC=$kokkos"
        if [ -e "$source/lib/kokkos/CMakeLists.txt" ]; then
            set -- "$@" -D Kokkos_ENABLE_SERIAL=on
        else    # an installed one; most have the OpenMP backend, for which LAMMPS needs OpenMP too
            set -- "$@" -D EXTERNAL_KOKKOS=on
            omp=on
        fi
    fi
    # A Python with a shared library; the tests' environment has to be of the same version.
    python=$(command -v "${PYTHON:-python3}")
    "$python" -c 'import sysconfig; exit(not sysconfig.get_config_var("Py_ENABLE_SHARED"))' ||
        python=/usr/bin/python3
    cmake -S "$source/cmake" -B "$build" -D CMAKE_BUILD_TYPE=Release -D CMAKE_CXX_FLAGS_RELEASE=-O1 \
        -D BUILD_SHARED_LIBS=on -D BUILD_MPI=on -D "BUILD_OMP=$omp" -D MPI_CXX_COMPILER="$compiler" \
        -D Python_EXECUTABLE="$python" "$@" >&2
    cmake --build "$build" --parallel "${INSITU_JOBS:-2}" >&2
fi

mkdir -p "$work/plugin"
"$compiler" -std=c++17 -O2 -fPIC -shared -fvisibility=hidden -isystem "$source/src" -DLAMMPS_SMALLBIG \
    -DOMPI_SKIP_MPICXX -DMPICH_SKIP_MPICXX -DINSITU_LIBPYTHON='""' "$here"/kernels/lammps/*.cpp \
    -o "$work/plugin/insituplugin.so" -ldl >&2
echo "$launcher $build/lmp"
