#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# The second LAMMPS of the tests: Debian's, with the PYTHON package and Open MPI. Installed where
# apt-get may be used; elsewhere its tests are skipped, unless INSITU_REQUIRE_HOSTS is set (CI).
have() {
    [ -x /usr/bin/lmp ] && [ -x /usr/bin/mpirun.openmpi ] && [ -x /usr/bin/h5dump ]
}
have && exit 0
become=""
[ "$(id -u)" = 0 ] || become="sudo -n"
if command -v apt-get >/dev/null 2>&1 && $become true 2>/dev/null; then
    echo "installing Debian's LAMMPS, Open MPI and HDF5 tools with apt-get"
    $become apt-get update -qq
    DEBIAN_FRONTEND=noninteractive $become apt-get install -y -qq --no-install-recommends \
        lammps python3-lammps openmpi-bin hdf5-tools >/dev/null
fi
have && exit 0
echo "insitu: Debian's LAMMPS or h5dump is not installed, the tests of fix python/invoke need them:" >&2
echo "    sudo apt-get install lammps python3-lammps openmpi-bin hdf5-tools" >&2
[ -z "$INSITU_REQUIRE_HOSTS" ]
