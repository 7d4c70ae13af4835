// SPDX-License-Identifier: BSD-3-Clause
// Entry points: the cell list.
#pragma once

#include "thread.hpp"

using namespace insitu;

namespace {

// First place whose key is not below `key`.
INSITU_HD std::int32_t lower_bound(const std::int64_t* keys, std::int32_t count, std::int64_t key) {
    std::int32_t from = 0;
    while (count > 0) {
        const std::int32_t half = count / 2;
        if (keys[from + half] < key) {
            from += half + 1;
            count -= half + 1;
        } else {
            count = half;
        }
    }
    return from;
}

}  // namespace

// Number of the cell of each point: 21 bits an axis, x in the lowest. Cells without points cost
// nothing, so neither vacuum nor an atom far away does.
extern "C" __global__ void cell_keys(const double* r, std::int32_t n, double x, double y, double z,
                                     double inverse, std::int64_t* keys) {
    const std::int64_t i = thread_number();
    if (i >= n) return;
    const std::int64_t cx = std::int64_t((r[3 * i] - x) * inverse) + 1;
    const std::int64_t cy = std::int64_t((r[3 * i + 1] - y) * inverse) + 1;
    const std::int64_t cz = std::int64_t((r[3 * i + 2] - z) * inverse) + 1;
    keys[i] = (cz << 42) + (cy << 21) + cx;
}

// Points around each cell that holds any, as nine runs of the order by key; cell_of is the number of
// each point's cell. One thread a point and run; that of a cell's first point does the work.
extern "C" __global__ void cell_runs(const std::int64_t* keys, std::int32_t n,
                                     const std::int32_t* cell_of, std::int32_t* runs) {
    const std::int64_t t = thread_number(), i = t / 9;
    const int k = int(t % 9);
    if (i >= n || (i > 0 && keys[i - 1] == keys[i])) return;
    const std::int64_t row =
        keys[i] + (std::int64_t(k / 3 - 1) << 42) + (std::int64_t(k % 3 - 1) << 21);
    std::int32_t* run = runs + 18 * std::int64_t(cell_of[i]) + 2 * k;
    run[0] = lower_bound(keys, n, row - 1);
    run[1] = lower_bound(keys, n, row + 2);
}

// Owned points among all in cell order: their places, and the row of each, -1 for ghosts. `before`
// counts the owned ones up to and with each place.
extern "C" __global__ void owned_places(const std::int64_t* index, const std::int32_t* before,
                                        std::int32_t n, std::int32_t n_local, std::int32_t* places,
                                        std::int32_t* row_of_place) {
    const std::int64_t at = thread_number();
    if (at >= n) return;
    const bool owned = index[at] < n_local;
    if (owned) places[before[at] - 1] = std::int32_t(at);
    row_of_place[at] = owned ? before[at] - 1 : -1;
}
