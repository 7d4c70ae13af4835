#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# What wheels.sh runs in an environment with nothing but the wheel: Python, the command, a run of LAMMPS.
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
fix phases all insitu 10
run 20
EOF
mpiexec -n 2 lmp -in in.first >log.first || { cat log.first; exit 1; }
insitu show phases.h5
insitu --version
python -P - <<'EOF'
import insitu

history = insitu.open("phases.h5")
assert list(history["step"].values) == [10, 20], history
assert (history["fraction"].sel(phase="fcc") == 1).all(), history
EOF
