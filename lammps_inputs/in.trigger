# The frames before an event: a crystal is heated until it melts, and what is kept is how it began.
#
#   mpiexec -n 2 lmp -in in.trigger                       LAMMPS with the PLUGIN package
#   mpirun  -n 2 lmp -in in.trigger -var host python      fix python/invoke: LAMMPS with PYTHON
#
# Aluminium, heated at zero pressure. Three triggers watch the run:
#   melts   more than a tenth of the atoms are disordered: the 10 frames before, the event and the 10
#           after it go to trigger.melts.1.dump, with the phase of each atom; from there on a frame is
#           analysed every 20 steps instead of every 100, for 40 frames; the variable `melting` is 1
#   jumps   the fraction grows by more than 0.2 within 5 frames
#   molten  more than 0.8 in 5 frames in a row: the run ends by fix halt, which reads a variable
# The dump of all atoms is written during the event only.
#
#   insitu show trigger.h5
#   insitu plot trigger.h5 --panels phases,melts,temperature
#
# Potential: M. I. Mendelev et al., Philos. Mag. 88, 1723 (2008); melting point 926 K, superheated 1,250 K.

variable        host index plugin          # or python
variable        potential index Al_mm.eam.fs
variable        cells index 6              # 4 * cells^3 atoms: 864
variable        first index 1000           # K
variable        last index 1700
variable        steps index 12000
variable        skip index yes             # no: LAMMPS before 2022, without dump_modify skip

units           metal
boundary        p p p
atom_style      atomic
lattice         fcc 4.12
region          box block 0 ${cells} 0 ${cells} 0 ${cells}
create_box      1 box
create_atoms    1 box
pair_style      eam/fs
pair_coeff      * * ${potential} Al
comm_modify     cutoff 8.1                 # as far as the model sees, and the skin
timestep        0.002
velocity        all create $(2*v_first) 4711 mom yes rot yes dist gaussian
fix             move all nph iso 0.0 0.0 1.0
fix             bath all langevin ${first} ${last} 0.2 992

# What triggers set; equal-style variables pass it on.
variable        melting string 0
variable        molten string 0
variable        quiet equal 1-v_melting
variable        done equal v_molten

# fix insitu or fix python/invoke is called every 20 steps; one in five is analysed while nothing happens.
if "${host} == plugin" then &
  "fix phases all insitu 20 every 100 file trigger.h5 if_exists overwrite analyze trigger name melts on disordered above 0.1 hysteresis 0.05 before 10 after 10 often 20 during 40 variable melting analyze trigger name jumps on disordered change 5 above 0.2 analyze trigger name molten on disordered above 0.8 hold 5 variable molten" &
else &
  """python phases here "import insitu; phases = insitu.monitor(file='trigger.h5', every=100, if_exists='overwrite', analyze='trigger name melts on disordered above 0.1 hysteresis 0.05 before 10 after 10 often 20 during 40 variable melting analyze trigger name jumps on disordered change 5 above 0.2 analyze trigger name molten on disordered above 0.8 hold 5 variable molten')" """ &
  "fix phases all python/invoke 20 end_of_step phases"

# Behind the analysis, at the same steps.
fix             enough all halt 20 v_done > 0.5 error continue
if "${skip} == yes" then &
  "dump event all custom 20 trigger.event.dump id type x y z" &
  "dump_modify event skip v_quiet"

thermo          100
thermo_style    custom step temp pe press v_quiet v_done
run             ${steps}
