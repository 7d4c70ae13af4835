#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# SLURM and munge for the tests of slurm/: Debian's packages, installed where apt-get may be used;
# elsewhere those tests are skipped, unless INSITU_REQUIRE_HOSTS is set (CI). The tests start a
# controller of their own; no service of the system is needed.
PATH=$PATH:/usr/sbin:/sbin
have() {
    for program in munged slurmctld slurmd sbatch srun scontrol scancel sbcast; do
        command -v $program >/dev/null 2>&1 || return 1
    done
    # Debian's srun --mpi=pmix, for its Open MPI, loads libpmix.so by that name, which libpmix-dev has.
    [ ! -x /usr/bin/dpkg ] || ls /usr/lib/*/pmix2/lib/libpmix.so >/dev/null 2>&1
}
have && exit 0
sh "${0%/*}/apt_get.sh" "Debian's SLURM and munge" slurm-wlm munge libpmix-dev
have && exit 0
echo "insitu: SLURM or munge is not installed, the tests of slurm/ need them:" >&2
echo "    sudo apt-get install slurm-wlm munge libpmix-dev" >&2
[ -z "$INSITU_REQUIRE_HOSTS" ]
