// SPDX-License-Identifier: BSD-3-Clause
// Squares of vectors, turned by their diagonal.
#pragma once

#ifdef __AVX512F__
#include <immintrin.h>
#endif

#include "vectors.hpp"

namespace insitu {
namespace INSITU_NAMESPACE {
namespace {

inline __attribute__((always_inline)) F load(const float* p) {
    F v;
    __builtin_memcpy(&v, p, sizeof(v));
    return v;
}

#ifdef __clang__
template <class M>
inline F shuffle(F a, F b, M from) {
    F out;
    for (int l = 0; l < kLanes; ++l) out[l] = from[l] < kLanes ? a[from[l]] : b[from[l] - kLanes];
    return out;
}
#else
inline __attribute__((always_inline)) F shuffle(F a, F b, U from) { return __builtin_shuffle(a, b, from); }
#endif

#ifdef __AVX512F__
// The same by the instructions that stay within quarters of a vector, two of three a cycle, and by those
// that move quarters; a free choice of lanes takes longer.
inline __attribute__((always_inline)) void transpose_quarters(F* v) {
    const auto lanes = [](F f) { return _mm512_castps_pd((__m512)f); };
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += 4) {
        const F ab = (F)_mm512_unpacklo_ps((__m512)v[i], (__m512)v[i + 1]);
        const F cd = (F)_mm512_unpacklo_ps((__m512)v[i + 2], (__m512)v[i + 3]);
        const F AB = (F)_mm512_unpackhi_ps((__m512)v[i], (__m512)v[i + 1]);
        const F CD = (F)_mm512_unpackhi_ps((__m512)v[i + 2], (__m512)v[i + 3]);
        v[i] = (F)_mm512_unpacklo_pd(lanes(ab), lanes(cd));
        v[i + 1] = (F)_mm512_unpackhi_pd(lanes(ab), lanes(cd));
        v[i + 2] = (F)_mm512_unpacklo_pd(lanes(AB), lanes(CD));
        v[i + 3] = (F)_mm512_unpackhi_pd(lanes(AB), lanes(CD));
    }
    // Quarter q of vector 4 i + j now holds row 4 q + j, columns 4 i to 4 i + 3.
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
        const __m512 a = (__m512)v[j], b = (__m512)v[4 + j], c = (__m512)v[8 + j], d = (__m512)v[12 + j];
        const __m512 even = _mm512_shuffle_f32x4(a, b, 0x88), odd = _mm512_shuffle_f32x4(a, b, 0xdd);
        const __m512 EVEN = _mm512_shuffle_f32x4(c, d, 0x88), ODD = _mm512_shuffle_f32x4(c, d, 0xdd);
        v[j] = (F)_mm512_shuffle_f32x4(even, EVEN, 0x88);
        v[4 + j] = (F)_mm512_shuffle_f32x4(odd, ODD, 0x88);
        v[8 + j] = (F)_mm512_shuffle_f32x4(even, EVEN, 0xdd);
        v[12 + j] = (F)_mm512_shuffle_f32x4(odd, ODD, 0xdd);
    }
}
#endif

// Transposes a square of lanes: each step swaps the off-diagonal halves of all blocks of 2 * Step.
template <int Step>
inline __attribute__((always_inline)) void transpose(F* v) {
#ifdef __AVX512F__
    if constexpr (Step == 1) return transpose_quarters(v);
#endif
    if constexpr (Step < kLanes) {
        U low, high;
        for (std::uint32_t l = 0; l < kLanes; ++l) {
            low[l] = l & Step ? kLanes + l - Step : l;
            high[l] = l & Step ? kLanes + l : l + Step;
        }
        for (int i = 0; i < kLanes; ++i)
            if (!(i & Step)) {
                const F a = v[i], b = v[i + Step];
                v[i] = shuffle(a, b, low);
                v[i + Step] = shuffle(a, b, high);
            }
        transpose<2 * Step>(v);
    }
}

}  // namespace
}  // namespace INSITU_NAMESPACE
}  // namespace insitu
