// SPDX-License-Identifier: BSD-3-Clause
// OpenMP threads share the atoms of a rank; every atom's result is its own, so their number changes no
// bit.
#pragma once

#include <algorithm>
#include <cstdint>
#include <exception>
#include <mutex>
#ifdef _OPENMP
#include <omp.h>
#endif

namespace insitu {

// Atoms that a thread takes at a time: some cells, so that blocks of neighbours are used again.
constexpr std::int64_t kShare = 512;

// Calls work(thread, begin, end) for all shares, each thread below the smaller of `threads` and their
// number. The first exception is thrown when all have ended.
template <class Work>
void in_shares(std::int64_t count, std::int64_t share, int threads, Work&& work) {
    const std::int64_t shares = (count + share - 1) / share;
    if (threads <= 1 || shares <= 1) {  // no thread is made: LAMMPS may run one rank a core
        work(0, std::int64_t(0), count);
        return;
    }
    std::exception_ptr failed;
    std::mutex one;
    const int used = int(std::min<std::int64_t>(threads, shares));
#pragma omp parallel for num_threads(used) schedule(dynamic, 1)
    for (std::int64_t s = 0; s < shares; ++s) {
        try {
#ifdef _OPENMP
            const int thread = omp_get_thread_num();
#else
            const int thread = 0;
#endif
            work(thread, s * share, std::min(count, (s + 1) * share));
        } catch (...) {
            const std::lock_guard<std::mutex> held(one);
            if (!failed) failed = std::current_exception();
        }
    }
    if (failed) std::rethrow_exception(failed);
}

}  // namespace insitu
