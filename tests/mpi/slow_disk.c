/* SPDX-License-Identifier: BSD-3-Clause */
/* Preloaded by a test: while a file `disturbed` is in the current folder, calls that write to files whose name
 * has "phases.h5" (or what SLOW_FILES says) do what SLOW_DISK says: hang (for an hour), slow (each takes 50 ms), full (EDQUOT).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int mine(int descriptor) {
    char link[64], name[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t n = readlink(link, name, sizeof name - 1);
    if (n < 0) return 0;
    name[n] = 0;
    const char *which = getenv("SLOW_FILES");
    return strstr(name, which ? which : "phases.h5") != NULL;
}

/* Return 1 if the call is to fail. */
static int disturbed(int descriptor) {
    const char *how = getenv("SLOW_DISK");
    if (!how || !mine(descriptor) || access("disturbed", F_OK)) return 0;
    if (!strcmp(how, "hang"))
        for (int k = 0; k < 3600; k++) sleep(1);
    if (!strcmp(how, "slow")) usleep(50000);
    if (!strcmp(how, "full")) {
        errno = EDQUOT;
        return 1;
    }
    return 0;
}

ssize_t write(int descriptor, const void *data, size_t n) {
    static ssize_t (*real)(int, const void *, size_t);
    if (!real) real = (ssize_t(*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
    return disturbed(descriptor) ? -1 : real(descriptor, data, n);
}

ssize_t pwrite64(int descriptor, const void *data, size_t n, off64_t at) {
    static ssize_t (*real)(int, const void *, size_t, off64_t);
    if (!real) real = (ssize_t(*)(int, const void *, size_t, off64_t))dlsym(RTLD_NEXT, "pwrite64");
    return disturbed(descriptor) ? -1 : real(descriptor, data, n, at);
}

ssize_t pwrite(int descriptor, const void *data, size_t n, off_t at) {
    return pwrite64(descriptor, data, n, at);
}

int fsync(int descriptor) {
    static int (*real)(int);
    if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    return disturbed(descriptor) ? -1 : real(descriptor);
}
