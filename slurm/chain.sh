#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# A run that is longer than the time limit: jobs in sequence, each continues the one before.
#
#   export INSITU_ENV=/path/to/slurm/env/NAME.sh
#   slurm/chain.sh 5 lammps_inputs/in.job -var total 10000000        # five jobs
#   SBATCH_OPTIONS="--nodes=2 --ntasks-per-node=64 --time=12:00:00" slurm/chain.sh 5 in.melt
#
# To be called on the login node. The deck starts or goes on by itself and writes job.finished at its end
# (lammps_inputs/in.job does); jobs that find it do nothing.

set -euo pipefail
number=${1:?give the number of jobs and the deck: slurm/chain.sh 5 in.job}
deck=${2:?give the deck: slurm/chain.sh $number in.job}
shift 2
here=$(cd "$(dirname "$0")" && pwd)
: "${INSITU_ENV:?name the file of your cluster: export INSITU_ENV=/path/to/slurm/env/NAME.sh}"

before=
for _ in $(seq "$number"); do
    # afterany: a job that runs into its time limit has not ended well, and is to be continued.
    # shellcheck disable=SC2086 # options are words
    before=$(sbatch --parsable ${SBATCH_OPTIONS:-} ${before:+--dependency=afterany:$before} "$here/run_cpu.sbatch" "$deck" "$@")
    before=${before%%;*}
    echo "$before"
done
