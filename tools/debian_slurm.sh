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
}
have && exit 0
become=""
[ "$(id -u)" = 0 ] || become="sudo -n"
if command -v apt-get >/dev/null 2>&1 && $become true 2>/dev/null; then
    echo "installing Debian's SLURM and munge with apt-get"
    $become apt-get update -qq
    DEBIAN_FRONTEND=noninteractive $become apt-get install -y -qq --no-install-recommends \
        slurm-wlm munge >/dev/null
fi
have && exit 0
echo "insitu: SLURM or munge is not installed, the tests of slurm/ need them:" >&2
echo "    sudo apt-get install slurm-wlm munge" >&2
[ -z "$INSITU_REQUIRE_HOSTS" ]
