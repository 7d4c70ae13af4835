// SPDX-License-Identifier: GPL-2.0-only
// The Python interpreter as a run-time dependency: found in the process, or loaded from the
// libpython that the package was installed with. Nothing of Python is needed to link.
#ifndef INSITU_PYTHON_HOST_H
#define INSITU_PYTHON_HOST_H

#include <string>

namespace insitu {

// Calls insitu.lammps.hook.fix_call(action, handle, text) and returns its answer: "ok …", or an error
// message. Starts the interpreter at the first call. Never throws. An answer that begins with '!'
// comes from this rank alone: Python did not start here.
std::string call_hook(const char *action, const void *handle, const std::string &text);

}    // namespace insitu

#endif
