// SPDX-License-Identifier: BSD-3-Clause
// Sorting network for the columns of a Neighbors Map: many short sequences of one length are sorted
// side by side, one sequence a lane, so a comparator is one min and one max for all lanes.
//
// Batcher's odd-even merge sort (K. E. Batcher, AFIPS 1968), cut to `n` inputs (an input that does
// not exist counts as +infinity, so its comparators fall away) and pruned to the `keep` smallest
// outputs (a comparator none of whose outputs is read later falls away).
#pragma once

#include <cstdint>
#include <vector>

#include "neighbors_map.hpp"

namespace insitu {

inline void merge_stage(std::vector<Comparator>& out, int lo, int count, int step, int n) {
    const int twice = 2 * step;
    if (twice < count) {
        merge_stage(out, lo, count, twice, n);
        merge_stage(out, lo + step, count, twice, n);
        for (int i = lo + step; i + step < lo + count; i += twice)
            if (i + step < n) out.push_back({std::uint16_t(i), std::uint16_t(i + step)});
    } else if (lo + step < n) {
        out.push_back({std::uint16_t(lo), std::uint16_t(lo + step)});
    }
}

inline void sort_stage(std::vector<Comparator>& out, int lo, int count, int n) {
    if (count < 2) return;
    const int half = count / 2;
    sort_stage(out, lo, half, n);
    sort_stage(out, lo + half, half, n);
    merge_stage(out, lo, count, 1, n);
}

inline std::vector<Comparator> sorting_network(int n, int keep) {
    int padded = 1;
    while (padded < n) padded *= 2;
    std::vector<Comparator> all;
    sort_stage(all, 0, padded, n);
    std::vector<char> read(std::size_t(padded), 0);
    for (int i = 0; i < keep && i < n; ++i) read[std::size_t(i)] = 1;
    std::vector<Comparator> kept;
    for (auto c = all.rbegin(); c != all.rend(); ++c) {
        if (!read[c->low] && !read[c->high]) continue;
        read[c->low] = read[c->high] = 1;
        kept.push_back(*c);
    }
    return {kept.rbegin(), kept.rend()};
}

}  // namespace insitu
