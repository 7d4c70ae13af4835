// SPDX-License-Identifier: BSD-3-Clause
// Sorting network for the columns of a Neighbors Map.
//
// Many short sequences of one length are sorted side by side, one a lane. Blocks of kBlock values are
// sorted in registers, then merged (Batcher's odd-even and bitonic merges, K. E. Batcher, AFIPS 1968);
// only the smallest values are kept. All indices within a block are known to the compiler: a comparator
// is one minimum and one maximum, without a load or a store.
#pragma once

#include "config.hpp"

namespace insitu {

constexpr int kBlock = 16;

// The smallest run of blocks, a power of two of them, that holds `keep` values.
INSITU_HD int run_length(int keep) {
    int run = kBlock;
    while (run < keep) run *= 2;
    return run;
}

template <class U>
INSITU_HD void exchange(U& a, U& b) {
    const U low = a < b ? a : b, high = a < b ? b : a;
    a = low;
    b = high;
}

// Comparators among the first N values: what those with values after the last would do is left
// out, as if these were larger than all.
template <int N, int I, int End, int Step, int Distance, class U>
INSITU_HD void exchange_below(U* v) {
    if constexpr (I + Distance < End && I + Distance < N) {
        exchange(v[I], v[I + Distance]);
        exchange_below<N, I + Step, End, Step, Distance>(v);
    }
}

template <int N, int Low, int Count, int Step, class U>
INSITU_HD void merge_below(U* v) {
    if constexpr (2 * Step < Count) {
        merge_below<N, Low, Count, 2 * Step>(v);
        merge_below<N, Low + Step, Count, 2 * Step>(v);
        exchange_below<N, Low + Step, Low + Count, 2 * Step, Step>(v);
    } else if constexpr (Low + Step < N) {
        exchange(v[Low], v[Low + Step]);
    }
}

// M. W. Green's network for 16 values, the shortest known (D. E. Knuth, The Art of Computer
// Programming 3, section 5.3.4): 60 comparators, where Batcher's has 63.
constexpr unsigned char kGreen[60][2] = {
    {0, 1},  {2, 3},   {4, 5},   {6, 7},   {8, 9},   {10, 11}, {12, 13}, {14, 15}, {0, 2},   {1, 3},
    {4, 6},  {5, 7},   {8, 10},  {9, 11},  {12, 14}, {13, 15}, {0, 4},   {1, 5},   {2, 6},   {3, 7},
    {8, 12}, {9, 13},  {10, 14}, {11, 15}, {0, 8},   {1, 9},   {2, 10},  {3, 11},  {4, 12},  {5, 13},
    {6, 14}, {7, 15},  {5, 10},  {6, 9},   {3, 12},  {13, 14}, {4, 8},   {7, 11},  {1, 2},   {1, 4},
    {7, 13}, {2, 8},   {11, 14}, {2, 4},   {5, 6},   {9, 10},  {11, 13}, {3, 8},   {7, 12},  {6, 8},
    {10, 12}, {3, 5},  {7, 9},   {3, 4},   {5, 6},   {7, 8},   {9, 10},  {11, 12}, {6, 7},   {8, 9}};

template <int N, int Low, int I, class U>
INSITU_HD void sort_sixteen(U* v) {
    if constexpr (I < 60) {
        constexpr int a = Low + kGreen[I][0], b = Low + kGreen[I][1];
        if constexpr (b < N) exchange(v[a], v[b]);
        sort_sixteen<N, Low, I + 1>(v);
    }
}

template <int N, int Low, int Count, class U>
INSITU_HD void sort_below(U* v) {
    if constexpr (Count == 16 && Low + 8 < N) {
        sort_sixteen<N, Low, 0>(v);
    } else if constexpr (Count > 1 && Low < N) {
        sort_below<N, Low, Count / 2>(v);
        sort_below<N, Low + Count / 2, Count / 2>(v);
        merge_below<N, Low, Count, 1>(v);
    }
}

template <int Low, int Count, class U>
INSITU_HD void bitonic(U* v) {
    if constexpr (Count > 1) {
        exchange_below<Low + Count, Low, Low + Count, 1, Count / 2>(v);
        bitonic<Low, Count / 2>(v);
        bitonic<Low + Count / 2, Count / 2>(v);
    }
}

template <int N, class U>
INSITU_HD void copy_values(const U* from, U* to) {
INSITU_UNROLL(32)
    for (int i = 0; i < N; ++i) to[i] = from[i];
}

template <int N, class U>
INSITU_HD void sort_all(U* v) {
    static_assert(N <= 64, "more values than any register file holds");
    sort_below<N, 0, (N > 32 ? 64 : N > 16 ? 32 : N > 8 ? 16 : N > 4 ? 8 : 4)>(v);
}

// Puts a bitonic run of a power of two of blocks into ascending order.
template <class U>
INSITU_HD void merge_run(U* run, int length) {
    for (int distance = length / 2; distance >= kBlock; distance /= 2)
        for (int from = 0; from < length; from += 2 * distance)
            for (int i = from; i < from + distance; ++i) exchange(run[i], run[i + distance]);
    for (int from = 0; from < length; from += kBlock) {
        U v[kBlock];
        copy_values<kBlock>(run + from, v);
        bitonic<0, kBlock>(v);
        copy_values<kBlock>(v, run + from);
    }
}

// Two sorted blocks become one run, in registers (Batcher's odd-even merge: 65 comparators, where a
// bitonic one takes 80).
template <class U>
INSITU_HD void merge_blocks(const U* first, const U* second, U* run) {
    copy_values<kBlock>(first, run);
    copy_values<kBlock>(second, run + kBlock);
    merge_below<2 * kBlock, 0, 2 * kBlock, 1>(run);
}

// A run of two blocks becomes the smallest values of itself and of another sorted run.
template <class U>
INSITU_HD void smaller_run(const U* other, U* run) {
INSITU_UNROLL(32)
    for (int i = 0; i < 2 * kBlock; ++i) {
        const U b = other[2 * kBlock - 1 - i];
        run[i] = run[i] < b ? run[i] : b;
    }
    bitonic<0, 2 * kBlock>(run);
}

// The same with a single block.
template <class U>
INSITU_HD void smaller_block(const U* block, U* run) {
INSITU_UNROLL(16)
    for (int i = 0; i < kBlock; ++i) {
        const U b = block[kBlock - 1 - i];
        run[kBlock + i] = run[kBlock + i] < b ? run[kBlock + i] : b;
    }
    bitonic<0, 2 * kBlock>(run);
}

// The smallest values of sorted blocks, in order; the blocks are overwritten.
template <class U>
INSITU_HD void smallest_run(U* column, int blocks, U* run) {
    int b = 2;
    for (; b + 1 < blocks; b += 2) {
        U pair[2 * kBlock];
        merge_blocks(column + b * kBlock, column + (b + 1) * kBlock, pair);
        copy_values<kBlock>(pair, column + b * kBlock);
        copy_values<kBlock>(pair + kBlock, column + (b + 1) * kBlock);
    }
    if (blocks > 1) {
        merge_blocks(column, column + kBlock, run);
    } else {
        copy_values<kBlock>(column, run);
INSITU_UNROLL(16)
        for (int i = 0; i < kBlock; ++i) run[kBlock + i] = (column[0] & 0u) + 0xffffffffu;
    }
    for (b = 2; b + 1 < blocks; b += 2) smaller_run(column + b * kBlock, run);
    if (b < blocks) smaller_block(column + b * kBlock, run);
}

// Sorts blocks on their own.
template <class U>
INSITU_HD void sort_blocks(U* column, int blocks) {
    for (int b = 0; b < blocks; ++b) {
        U v[kBlock];
        copy_values<kBlock>(column + b * kBlock, v);
        sort_all<kBlock>(v);
        copy_values<kBlock>(v, column + b * kBlock);
    }
}

// Sorts the lanes' columns as far as the `keep` smallest values, which go to the front. The columns
// are padded with the largest value to a whole number of runs.
template <class U>
INSITU_HD void sort_columns(U* column, int count, int keep) {
    const int run = run_length(keep);
    sort_blocks(column, (count + kBlock - 1) / kBlock);
    for (int first = 0; first < count; first += run) {
        U* mine = column + first;
        for (int length = kBlock; length < run; length *= 2)
            for (int from = 0; first + from + length < count && from < run; from += 2 * length) {
                for (int i = 0; i < length; ++i)
                    exchange(mine[from + i], mine[from + 2 * length - 1 - i]);
                merge_run(mine + from, length);
                merge_run(mine + from + length, length);
            }
        if (first == 0) continue;
        for (int i = 0; i < run; ++i) {  // the smaller half of both runs
            const U a = column[i], b = mine[run - 1 - i];
            column[i] = a < b ? a : b;
        }
        merge_run(column, run);
    }
}

}  // namespace insitu
