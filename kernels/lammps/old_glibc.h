// SPDX-License-Identifier: GPL-2.0-only
// glibc 2.34 moved these functions from libdl to libc and gave them a new version. Bound to their first
// one, a plug-in that was built on a new system also loads on an older one.
#pragma once
#include <cstdlib>

#if defined(__GLIBC__) && defined(__x86_64__)
__asm__(".symver dladdr,dladdr@GLIBC_2.2.5");
__asm__(".symver dlerror,dlerror@GLIBC_2.2.5");
__asm__(".symver dlopen,dlopen@GLIBC_2.2.5");
__asm__(".symver dlsym,dlsym@GLIBC_2.2.5");
#endif
