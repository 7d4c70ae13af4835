#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# What wheels.sh runs in an environment with nothing but the wheel: Python, the command, and the README's first
# example in a run of LAMMPS on two ranks. Nothing of the repository is used (tests/test_packaging.py).
set -eu
python -P - <<'EOF'
import insitu
from insitu.testing import lattice

positions, cell = lattice("fcc", 4.05, (4, 4, 4))
assert insitu.classify(positions, cell, True).fractions["fcc"] == 1.0
EOF
cat > in.first <<'EOF'
units metal
lattice fcc 4.05
region box block 0 6 0 6 0 6
create_box 1 box
create_atoms 1 box
mass 1 26.98
pair_style lj/cut 7.0
pair_coeff 1 1 0.39 2.56
velocity all create 300 1
fix move all nve
fix          phases all insitu 100 file phases.h5 first yes    # classify all atoms every 100 steps
thermo_style custom step temp f_phases[1] f_phases[7]          # fractions of fcc and disordered, in the log
thermo       100
run 200
EOF
mpiexec -n 2 lmp -in in.first >log.first || { cat log.first; exit 1; }
insitu show phases.h5
insitu --version
python -P - <<'EOF'
import insitu

history = insitu.open("phases.h5")
assert list(history["step"].values) == [0, 100, 200], history
assert (history["fraction"].sel(phase="fcc") == 1).all(), history
EOF
