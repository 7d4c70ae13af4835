// SPDX-License-Identifier: BSD-3-Clause
// Squares of vectors, turned by their diagonal.
#pragma once

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

// Transposes a square of lanes: each step swaps the off-diagonal halves of all blocks of 2 * Step.
template <int Step>
inline __attribute__((always_inline)) void transpose(F* v) {
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
