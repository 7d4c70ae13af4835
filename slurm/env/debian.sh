# SPDX-License-Identifier: BSD-3-Clause
# Debian's LAMMPS (packages lammps, openmpi-bin) with fix python/invoke. No modules.
#
# INSITU_VENV is an environment of Debian's own Python version with insitu[mpi] in it; by default the one
# that is active, or .venv of this clone.

_here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
INSITU_VENV=${INSITU_VENV:-${VIRTUAL_ENV:-$_here/.venv}}
export PATH=$INSITU_VENV/bin:$PATH # the Python inside LAMMPS finds the environment through PATH

export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}
LMP=/usr/bin/lmp
HOST=python                        # decks: -var host $HOST
LAUNCH="srun --mpi=pmix"           # Open MPI
