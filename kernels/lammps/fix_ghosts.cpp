// SPDX-License-Identifier: GPL-2.0-only
// How far LAMMPS' ghosts reach, and that they reach as far as the analysis needs.
#include "fix_insitu.h"

#include "atom.h"
#include "comm.h"
#include "domain.h"
#include "lammps.h"
#include "memory.h"
#include "modify.h"
#include "neighbor.h"
#include "update.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

using namespace LAMMPS_NS;

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
