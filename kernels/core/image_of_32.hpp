// SPDX-License-Identifier: BSD-3-Clause
// The image of the paper, 32 × 32 pixels that decay with the square of a distance, in one channel: a row
// a lane, its distances sorted in registers. Nearly all of it is minima and maxima, which the vector
// units take two a cycle; what is not needed of a sort is left out.
#pragma once

#ifdef __AVX512F__
#include <immintrin.h>
#endif
#include <utility>

#include "sorting_network.hpp"
#include "neighbors_map.hpp"
#include "transpose.hpp"

namespace insitu {
namespace INSITU_NAMESPACE {
namespace {

// a / d2: a division takes six times as long as an estimate of 14 bits and Newton's step.
inline __attribute__((always_inline)) F divided(F a, F d2) {
#ifdef __AVX512F__
    const F estimate = (F)_mm512_rcp14_ps((__m512)d2);
    return a * (estimate * (2.0f - d2 * estimate));
#else
    return a / d2;
#endif
}

// Whether a lane is not zero.
inline __attribute__((always_inline)) bool any(U v) {
#ifdef __AVX512F__
    return _mm512_test_epi32_mask((__m512i)v, (__m512i)v) != 0;
#else
    std::uint32_t found = 0;
    for (int l = 0; l < kLanes; ++l) found |= v[l];
    return found != 0;
#endif
}

inline __attribute__((always_inline)) U counting() {
    U lane;
    for (int l = 0; l < kLanes; ++l) lane[l] = std::uint32_t(l);
    return lane;
}

// Lane `lane` of another vector put into this one.
inline __attribute__((always_inline)) U with_lane(U v, int lane, U other) {
#ifdef __AVX512F__
    return (U)_mm512_mask_mov_epi32((__m512i)v, __mmask16(1u << lane), (__m512i)other);
#else
    return counting() == (v & 0u) + std::uint32_t(lane) ? other : v;
#endif
}

// The points of a ball, and the lanes' rows among them.
struct Rows {
    const float *x, *y, *z;
    F rx, ry, rz;
};

// Squared distances, as bits, of the lanes' rows to C points.
template <int C>
inline __attribute__((always_inline)) void distances(const Rows& rows, int from, U* v) {
#pragma GCC unroll 16
    for (int i = 0; i < C; ++i) {
        const F dx = rows.rx - rows.x[from + i], dy = rows.ry - rows.y[from + i],
                dz = rows.rz - rows.z[from + i];
        v[i] = float_bits<F, U>(dx * dx + dy * dy + dz * dz);
    }
}

// The squared distances to T points in order, up to the 32 smallest of them.
template <int T>
inline __attribute__((always_inline)) void smallest(const Rows& rows, int from, U* to) {
    U v[3 * kBlock];
    if constexpr (T <= kBlock) {
        distances<T>(rows, from, v);
        sort_all<T>(v);
        copy_values<T>(v, to);
    } else {
        // A block against what follows it, smaller runs first: the fewest comparators.
        constexpr int R = T - kBlock < 2 * kBlock ? T - kBlock : 2 * kBlock;
        smallest<T - kBlock>(rows, from + kBlock, to + kBlock);
        distances<kBlock>(rows, from, v);
        sort_all<kBlock>(v);
        copy_values<R>(to + kBlock, v + kBlock);
        if constexpr (R <= kBlock) {
            merge_below<kBlock + R, 0, 2 * kBlock, 1>(v);
            copy_values<kBlock + R>(v, to);
        } else {
#pragma GCC unroll 16
            for (int i = kBlock + R; i < 3 * kBlock; ++i) v[i] = (v[0] & 0u) + 0xffffffffu;
            smaller_block(v, v + kBlock);
            copy_values<2 * kBlock>(v + kBlock, to);
        }
    }
}

// The smallest 32 of T columns after the first 32; after them the largest value.
template <int T>
__attribute__((noinline)) void tail(const Rows& rows, int from, U* to) {
    smallest<T>(rows, from, to);
#pragma GCC unroll 32
    for (int i = T; i < 2 * kBlock; ++i) to[i] = (to[0] & 0u) + 0xffffffffu;
}

// Points after the first 32 for which there is code of its own: multiples of a grain.
#ifdef __AVX512F__
constexpr int kGrain = 2;
#else
constexpr int kGrain = 8;
#endif
constexpr int kLongest = 3 * kBlock;
using Tail = void (*)(const Rows&, int, U*);

template <int... I>
Tail tail_of(int length, std::integer_sequence<int, I...>) {
    static constexpr Tail all[] = {tail<(I + 1) * kGrain>...};
    return all[length / kGrain - 1];
}

// The first 32 points' distances in order. The rows' own points are among them: in each row the distance
// `instead` takes the place of the one to itself.
inline __attribute__((always_inline)) void first_run(const Rows& rows, int first, U instead, U* run) {
    U v[2 * kBlock];
    const auto block = [&](int from, U* to) {
#pragma GCC unroll 4
        for (int p = 0; p < kBlock; p += kLanes)
            distances<kLanes>(rows, (from + p) % (2 * kBlock), to + p);
    };
    block(first, v);
#pragma GCC unroll 16
    for (int l = 0; l < kLanes; ++l) v[l] = with_lane(v[l], l, instead);
    sort_all<kBlock>(v);
    copy_values<kBlock>(v, run);
    block(first + kBlock, v + kBlock);
    sort_all<kBlock>(v + kBlock);
    copy_values<kBlock>(run, v);
    merge_below<2 * kBlock, 0, 2 * kBlock, 1>(v);
    copy_values<2 * kBlock>(v, run);
}

// The smaller ones of a run and of the one after it, as two bitonic halves: the lower in registers.
inline __attribute__((always_inline)) void halve(U* run, U* low) {
#pragma GCC unroll 16
    for (int i = 0; i < kBlock; ++i) {
        const U a = run[4 * kBlock - 1 - i], b = run[3 * kBlock - 1 - i];
        U high = run[kBlock + i] < b ? run[kBlock + i] : b;
        low[i] = run[i] < a ? run[i] : a;
        exchange(low[i], high);
        run[kBlock + i] = high;
    }
}

// Sixteen columns of pixels of the lanes' rows, from squared distances in order.
template <bool Whole>
inline __attribute__((always_inline)) void pixels_of(const U* sorted, F weight, int rows, int wide,
                                                     int size, float* out) {
    F v[kBlock];
#pragma GCC unroll 16
    for (int k = 0; k < kBlock; ++k) v[k] = divided(weight, bits_float<F, U>(sorted[k]));
    alignas(64) float part[Whole ? 1 : kBlock * kLanes];
    float* to = Whole ? out : part;
    const int stride = Whole ? size : kBlock;
#pragma GCC unroll 4
    for (int k = 0; k < kBlock; k += kLanes) {
        transpose<1>(v + k);
#pragma GCC unroll 16
        for (int l = 0; l < kLanes; ++l) __builtin_memcpy(to + l * stride + k, &v[k + l], sizeof(F));
    }
    if (!Whole && wide > 0)
        for (int l = 0; l < rows; ++l)
            __builtin_memcpy(out + l * size, part + l * kBlock, 4 * Size(wide < kBlock ? wide : kBlock));
}

// The image of a ball in one channel, up to 32 pixels wide, gamma = 2: the paper's. Whole: it has 32, and
// the ball has as many points. False if two of these lie on one spot, where pixels stop growing.
template <bool Whole>
bool image_of_32(const MapSettings& s, const Ball& ball, U* run, float* out) {
    const int last = ball.count, size = Whole ? 2 * kBlock : s.size;
    const int pixels = size < last ? size : last;
    const U least = float_bits<F, U>(F{} + kMinSquaredDistance);
    // The last point takes the place of a row's own, unless the grain of the tail takes it in.
    const int length = last > 2 * kBlock ? (last - 2 * kBlock + kGrain - 1) / kGrain * kGrain : 0;
    const bool apart = last >= 2 * kBlock + length;
    for (int first = 0; first < size && first <= last; first += kLanes) {
        const Rows rows{ball.x, ball.y, ball.z, load(ball.x + first), load(ball.y + first), load(ball.z + first)};
        U instead = (least & 0u) + kInfinityBits;
        if (apart) distances<1>(rows, last, &instead);
        U* behind = run + 2 * kBlock;
        for (int i = 0; length == 0 && i < 2 * kBlock; ++i) behind[i] = (least & 0u) + 0xffffffffu;
        for (int done = 0; done < length; done += kLongest) {
            const int now = length - done < kLongest ? length - done : kLongest;
            const auto tail = tail_of(now, std::make_integer_sequence<int, kLongest / kGrain>{});
            tail(rows, 2 * kBlock + done, done ? behind + 2 * kBlock : behind);
            if (done) smaller_run(behind + 2 * kBlock, behind);
        }
        first_run(rows, first, instead, run);
        U v[kBlock];
        halve(run, v);
        bitonic<0, kBlock>(v);
        // Rows after the last point lie on one spot, all of them.
        const int rows_left = (size <= last ? size : last + 1) - first;
        const int high = Whole || rows_left > kLanes ? kLanes : rows_left;
        const U near = (U)(v[0] < least);
        if (any(Whole ? near : near & (U)(counting() < (near & 0u) + std::uint32_t(high)))) return false;
        const F weight = load(ball.row_weight + first);
        pixels_of<Whole>(v, weight, high, pixels, size, out + first * size);
        copy_values<kBlock>(run + kBlock, v);
        bitonic<0, kBlock>(v);
        pixels_of<Whole>(v, weight, high, pixels - kBlock, size, out + first * size + kBlock);
    }
    return true;
}

}  // namespace
}  // namespace INSITU_NAMESPACE
}  // namespace insitu
