// SPDX-License-Identifier: GPL-2.0-only
#ifndef LMP_FIX_INSITU_H
#define LMP_FIX_INSITU_H

#include "fix.h"

#include <string>

namespace LAMMPS_NS {

// fix ID group insitu N keyword value ...
class FixInsitu : public Fix {
 public:
  FixInsitu(class LAMMPS *, int, char **);
  ~FixInsitu() override;
  int setmask() override;
  void init() override;
  void setup(int) override;
  void end_of_step() override;

 private:
  std::string ask(const char *action, const std::string &text);
  void require(const char *action, const std::string &more = "");
  void announce(bigint step);

  bool first;    // analyse the step at which the first run starts
  bool begun;
};

}    // namespace LAMMPS_NS

#endif
