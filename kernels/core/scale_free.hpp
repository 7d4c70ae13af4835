// SPDX-License-Identifier: BSD-3-Clause
// Scale-free Neighbors Maps of a group of atoms, one atom a lane: every ball has the same number of
// neighbours, so all lanes do the same, each distance is computed once for both of its atoms, and a
// row is sorted in registers. The CPU build passes vectors of lanes, the CUDA build single floats.
#pragma once

#include "neighbors_map.hpp"
#include "sorting_network.hpp"

namespace insitu {

// The most neighbours of a ball that is described in groups.
constexpr int kMostGrouped = 32;

struct GroupSettings {
    int size;  // rows and columns of an image, at most `ball`
    int ball;  // neighbours of each atom, at most kMostGrouped
    float gamma, beta;
};

// Whether these settings can be described in groups. A steep decay takes the library's power.
INSITU_HD bool grouped(const GroupSettings& s) {
    return s.size <= s.ball && s.ball <= kMostGrouped && s.gamma <= 4.0f && s.beta >= 0.1f;
}

// Floats that a group needs for each lane: the distances, of which the image takes the place.
INSITU_HD int group_words(int size, int ball) { return size * ball; }

// Squared distances of rows 0 … size - 1 to all other points, as bits, row by row. `points` are
// (ball + 1, 3) lanes, the centre first.
template <class F, class U>
INSITU_HD void group_distances(const GroupSettings& s, const F* points, U* rows) {
    const U least = float_bits<F, U>(points[0] * 0.0f + kMinSquaredDistance);
    for (int j = 0; j < s.size; ++j) {
        const F x = points[3 * j], y = points[3 * j + 1], z = points[3 * j + 2];
        for (int m = j + 1; m <= s.ball; ++m) {
            const F dx = x - points[3 * m], dy = y - points[3 * m + 1], dz = z - points[3 * m + 2];
            U bits = float_bits<F, U>(dx * dx + dy * dy + dz * dz);
            bits = bits < least ? least : bits;
            rows[j * s.ball + m - 1] = bits;  // a row leaves itself out
            if (m < s.size) rows[m * s.ball + j] = bits;
        }
    }
}

template <int I, int N, class U>
INSITU_HD void load_row(const U* from, int count, U* v) {
    if constexpr (I < N) {
        v[I] = I < count ? from[I] : (from[0] & 0u) + kInfinityBits;
        load_row<I + 1, N>(from, count, v);
    }
}

template <int I, int N, class F, class U>
INSITU_HD void store_row(const U* v, int count, F weight, float gamma, F* to) {
    if constexpr (I < N) {
        if (I < count) to[I] = weight * inverse_power<F, U>(bits_float<F, U>(v[I]), gamma);
        store_row<I + 1, N>(v, count, weight, gamma, to);
    }
}

// Sorts the rows and turns them into pixels, in place: `rows` becomes the image (size, size).
template <int N, class F, class U>
INSITU_HD void group_pixels(const GroupSettings& s, const F* weights, U* rows) {
    for (int j = 0; j < s.size; ++j) {
        U v[N];
        load_row<0, N>(rows + j * s.ball, s.ball, v);
        sort_all<N>(v);
        store_row<0, N, F, U>(v, s.size, weights[j], s.gamma,
                              reinterpret_cast<F*>(rows) + j * s.size);
    }
}

// Images of a group: `image` receives (size, size) lanes and has room for group_words().
template <class F, class U>
INSITU_HD void group_images(const GroupSettings& s, const F* points, F* image) {
    U* rows = reinterpret_cast<U*>(image);
    group_distances<F, U>(s, points, rows);
    F weights[kMostGrouped];
    weights[0] = points[0] * 0.0f + 1.0f;
    for (int j = 1; j < s.size; ++j)
        weights[j] = row_weight<F, U>(bits_float<F, U>(rows[j - 1]), s.beta);
    if (s.ball <= 12) group_pixels<12, F, U>(s, weights, rows);
    else if (s.ball <= 16) group_pixels<16, F, U>(s, weights, rows);
    else if (s.ball <= 18) group_pixels<18, F, U>(s, weights, rows);
    else if (s.ball <= 24) group_pixels<24, F, U>(s, weights, rows);
    else group_pixels<32, F, U>(s, weights, rows);
}

}  // namespace insitu
