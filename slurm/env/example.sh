# SPDX-License-Identifier: BSD-3-Clause
# A cluster with modules: copy this file to env/<name of your cluster>.sh and fill it in. It is the only
# place for `module load`; every script of this folder sources it, through INSITU_ENV.

module purge
module load gcc openmpi lammps python   # those that LAMMPS was built with

# The environment with insitu (`pip install ".[mpi,read]"`, for the Python of LAMMPS), first in PATH.
export PATH=$HOME/insitu-env/bin:$PATH
# A LAMMPS of your own with the plug-in (docs/adding_to_your_deck.md) needs these two as well:
# export INSITU_PYTHON=$HOME/insitu-env/bin/python
# export LAMMPS_PLUGIN_PATH=$(python -P -c "import insitu, os; print(os.path.dirname(insitu.__file__))")/lammps

export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}
LMP=lmp                            # the program
HOST=python                        # `plugin` for fix insitu, `python` for fix python/invoke
LAUNCH="srun --mpi=pmix"           # how ranks are started: srun passes SIGTERM on, mpirun does not
