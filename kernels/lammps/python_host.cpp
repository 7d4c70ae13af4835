// SPDX-License-Identifier: GPL-2.0-only
#include "python_host.h"

#include "lammps.h"
#include "lmppython.h"
#include "old_glibc.h"

#include <dlfcn.h>

#include <cstdlib>
#include <cstring>

namespace {

struct PyObject;

// The part of the C API that is used; these names are in every CPython 3.
struct Api {
  int (*is_initialized)();
  void (*initialize)(int);
  void *(*save_thread)();
  int (*gil_ensure)();
  void (*gil_release)(int);
  int (*run_string)(const char *, void *);
  PyObject *(*import_module)(const char *);
  PyObject *(*get_attribute)(PyObject *, const char *);
  PyObject *(*call_function)(PyObject *, const char *, ...);
  PyObject *(*as_utf8)(PyObject *);
  char *(*as_string)(PyObject *);
  void (*dec_ref)(PyObject *);
  void (*err_print)();
  void (*set_program_name)(const wchar_t *);    // until Python 3.14, may be null
  wchar_t *(*decode)(const char *, size_t *);
};

Api api;
PyObject *hook = nullptr;

template <class F> bool find(void *library, F &function, const char *name)
{
  function = reinterpret_cast<F>(dlsym(library, name));
  return function != nullptr;
}

bool resolve(void *library)
{
  find(library, api.set_program_name, "Py_SetProgramName");
  return find(library, api.is_initialized, "Py_IsInitialized") &&
      find(library, api.initialize, "Py_InitializeEx") &&
      find(library, api.save_thread, "PyEval_SaveThread") &&
      find(library, api.gil_ensure, "PyGILState_Ensure") &&
      find(library, api.gil_release, "PyGILState_Release") &&
      find(library, api.run_string, "PyRun_SimpleStringFlags") &&
      find(library, api.import_module, "PyImport_ImportModule") &&
      find(library, api.get_attribute, "PyObject_GetAttrString") &&
      find(library, api.call_function, "PyObject_CallFunction") &&
      find(library, api.as_utf8, "PyUnicode_AsUTF8String") &&
      find(library, api.as_string, "PyBytes_AsString") &&
      find(library, api.dec_ref, "Py_DecRef") && find(library, api.err_print, "PyErr_Print") &&
      find(library, api.decode, "Py_DecodeLocale");
}

std::string environment(const char *name, const char *otherwise)
{
  const char *value = std::getenv(name);
  return value && *value ? value : otherwise;
}

// .../site-packages of .../site-packages/insitu/lammps/insituplugin.so
std::string site_packages()
{
  Dl_info info;
  if (!dladdr(reinterpret_cast<void *>(&site_packages), &info) || !info.dli_fname) return "";
  std::string path = info.dli_fname;
  if (char *real = realpath(info.dli_fname, nullptr)) {
    path = real;
    std::free(real);
  }
  for (int up = 0; up < 3; ++up) {
    const auto slash = path.rfind('/');
    if (slash == std::string::npos) return "";
    path.erase(slash);
  }
  return path;
}

std::string start(LAMMPS_NS::LAMMPS *lmp)
{
  if (hook) return "";
  void *process = dlopen(nullptr, RTLD_NOW);
  if (!dlsym(process, "Py_IsInitialized")) {
    const std::string name = environment("INSITU_LIBPYTHON", INSITU_LIBPYTHON);
    if (name.empty())
      return "fix insitu needs a Python with a shared library and the one that insitu was "
             "installed with has none; install it (Debian's package libpython3.x), set "
             "INSITU_LIBPYTHON to a libpython3.x.so, or run LAMMPS from a Python script that imports "
             "lammps";
    process = dlopen(name.c_str(), RTLD_NOW | RTLD_GLOBAL);
    if (!process)
      return "fix insitu cannot load Python: " + std::string(dlerror()) +
          "; set INSITU_LIBPYTHON to the libpython of the environment with insitu";
  }
  if (!resolve(process))
    return "fix insitu: the Python library of this process lacks a function that it needs; use "
           "Python 3.11 or newer";
  if (!api.is_initialized()) {
    // The program's name tells Python which virtual environment it belongs to.
    const std::string program = environment("INSITU_PYTHON", "");
    if (!program.empty() && api.set_program_name)
      api.set_program_name(api.decode(program.c_str(), nullptr));
    if (lmp->python && lmp->python->is_enabled()) {
      // As if the deck had a `python` command. LAMMPS' main() finalises any interpreter that it finds,
      // from a thread state that has to be current: it stays, as LAMMPS leaves it.
      lmp->python->init();
    } else {
      api.initialize(0);
      api.save_thread();
    }
  }
  const int state = api.gil_ensure();
  const std::string site = site_packages();
  const std::string path = "import site, sys\n"
                           "if r'" + site + "' not in sys.path: site.addsitedir(r'" + site + "')\n";
  if (!site.empty()) api.run_string(path.c_str(), nullptr);
  PyObject *module = api.import_module("insitu.lammps.hook");
  if (module) {
    hook = api.get_attribute(module, "fix_call");
    api.dec_ref(module);
  }
  if (!hook) api.err_print();
  api.gil_release(state);
  return hook ? "" : "fix insitu cannot import insitu.lammps.hook from " + site +
          " (Python's own message is above); run `insitu doctor`";
}

}    // namespace

std::string insitu::call_hook(const char *action, LAMMPS_NS::LAMMPS *lmp, const std::string &text)
{
  std::string answer = start(lmp);
  if (!answer.empty()) return "!" + answer;
  const int state = api.gil_ensure();
  PyObject *result =
      api.call_function(hook, "sKy", action,
                        static_cast<unsigned long long>(reinterpret_cast<size_t>(lmp)),
                        text.c_str());
  PyObject *bytes = result ? api.as_utf8(result) : nullptr;
  if (bytes) {
    answer = api.as_string(bytes);
    api.dec_ref(bytes);
  } else {
    api.err_print();
    answer = "!fix insitu: insitu.lammps.hook.fix_call failed; Python's message is above";
  }
  if (result) api.dec_ref(result);
  api.gil_release(state);
  return answer;
}
