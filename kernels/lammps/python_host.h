// SPDX-License-Identifier: GPL-2.0-only
// The Python interpreter as a run-time dependency: found in the process, or loaded from the
// libpython that the package was installed with. Nothing of Python is needed to link. A LAMMPS with
// the PYTHON package starts it itself, in its own way, since its main() will also end it.
#ifndef INSITU_PYTHON_HOST_H
#define INSITU_PYTHON_HOST_H

#include <string>

namespace LAMMPS_NS {
class LAMMPS;
}

namespace insitu {

// Calls insitu.lammps.hook.fix_call(action, address of lmp, text) and returns its answer: "ok …", or
// an error message. Starts the interpreter at the first call. Never throws. An answer that begins
// with '!' comes from this rank alone: Python did not start here.
std::string call_hook(const char *action, LAMMPS_NS::LAMMPS *lmp, const std::string &text);

}    // namespace insitu

#endif
