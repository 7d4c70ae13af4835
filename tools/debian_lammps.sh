#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# The second LAMMPS of the tests: Debian's, with the PYTHON package and Open MPI. Installed where
# apt-get may be used; elsewhere its tests are skipped, unless INSITU_REQUIRE_HOSTS is set (CI).
have() {
    [ -x /usr/bin/lmp ] && [ -x /usr/bin/mpirun.openmpi ] && [ -x /usr/bin/h5dump ]
}
have && exit 0
sh "${0%/*}/apt_get.sh" "Debian's LAMMPS, Open MPI and HDF5 tools" \
    lammps python3-lammps openmpi-bin hdf5-tools
have && exit 0
echo "insitu: Debian's LAMMPS or h5dump is not installed, the tests of fix python/invoke need them:" >&2
echo "    sudo apt-get install lammps python3-lammps openmpi-bin hdf5-tools" >&2
[ -z "$INSITU_REQUIRE_HOSTS" ]
