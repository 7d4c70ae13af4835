// SPDX-License-Identifier: GPL-2.0-only
#ifndef LMP_FIX_INSITU_H
#define LMP_FIX_INSITU_H

#include "fix.h"

#include <string>
#include <vector>

namespace LAMMPS_NS {

// fix ID group insitu N keyword value ...
//
// Ghosts: what the analysis needs beyond LAMMPS' ghost cutoff is added to it before a run, and at
// re-neighbourings while the density changes. Ghosts are brought up to date before they are read.
//
// f_ID[i]     fraction of phase i          f_ID[r][i]  that of row r: all, groups, types
// per atom:   f_ID[1] integer of the phase, -1 not analysed    f_ID[2] its probability
class FixInsitu : public Fix {
 public:
  FixInsitu(class LAMMPS *, int, char **);
  ~FixInsitu() override;
  int setmask() override;
  void init() override;
  void setup_pre_exchange() override;
  void pre_exchange() override;
  void setup(int) override;
  void min_setup(int) override;
  void end_of_step() override;
  void post_run() override;
  double compute_vector(int) override;
  double compute_array(int, int) override;

  // the atoms' results travel with them
  void grow_arrays(int) override;
  void copy_arrays(int, int, int) override;
  void set_arrays(int) override;
  int pack_exchange(int, double *) override;
  int unpack_exchange(int, double *) override;
  double memory_usage() override;

 private:
  std::string ask(const char *action, const std::string &text);
  std::string require(const char *action, const std::string &more = "");
  bool current() const;
  void announce(bigint step);
  void look_at_ghosts();
  double reach_of_deck(double deck) const;
  bool reach(double cutoff);

  std::vector<double> fractions;    // rows * phases; NaN until the first analysis
  bigint analysed;                  // step to which they belong
  bigint ended;                     // last step of the run before

  double wanted, given, raised;    // ghost cutoff: what this fix needs, the deck's own, what was set
  bigint look;                     // step from which a re-neighbouring looks at the need again
  bigint seen_atoms;               // number of atoms and volume at the last look
  double seen_volume;
};

}    // namespace LAMMPS_NS

#endif
