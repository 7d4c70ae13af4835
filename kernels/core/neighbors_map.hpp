// SPDX-License-Identifier: BSD-3-Clause
// The Neighbors Map of one atom (Allera et al., arXiv:2307.00978, section 2.2), written once.
//
// A "lane" is one row of the image. The CPU build passes vectors of lanes, the CUDA build one scalar a
// thread; `F` is the lane's float, `U` its 32-bit unsigned integer. Positive floats sort
// like their bits, and the integer minimum is the faster one, so everything is sorted as `U`.
#pragma once

#include "config.hpp"
#include "powers.hpp"

namespace insitu {

struct MapSettings {
    int size;           // rows and columns of the image
    int channels;       // the first has all weights 1
    float gamma;        // pixel ~ 1 / d^gamma
    float tie_quantum;  // distances are equal within this, in the units of the ball's points
};

// A ball: the centre (point 0, at the origin) and its `count` neighbours in the order of the
// definition, coordinates padded to whole lanes. `rank[j]` is the order of
// colour, `weight` is channel-major.
struct Ball {
    int count;
    const float *x, *y, *z;
    const float* row_weight;        // a_j, a_0 = 1, 0 beyond the ball
    const std::uint32_t* rank;      // of each point; ties in distance are decided by it
    const float* weight;            // (channels, stride), or null with one channel
    int weight_stride;
};

// x^(-p/2) for a squared length x: the decay of a pixel. The exponents in use need no more than a
// division and a root.
template <class F, class U>
INSITU_HD F inverse_power(F x, float p) {
    if (p == 2.0f) return 1.0f / x;
    return exp2_lanes<F, U>(log2_lanes<F, U>(x) * (-0.5f * p));
}

// Weight of a row: d^(-1/beta) for a squared length.
template <class F, class U>
INSITU_HD F row_weight(F d2, float beta) {
    return exp2_lanes<F, U>(log2_lanes<F, U>(d2) * (-0.5f / beta));
}

// Squared distances (as bits) of the lanes' row points to every point of the ball. A row's distance
// to itself is not part of the definition: infinity puts it after all others.
template <class F, class U>
INSITU_HD void fill_distances(const Ball& ball, F rx, F ry, F rz, U row, U* column) {
    const U infinity = (row & 0u) + kInfinityBits;
    const U least = float_bits<F, U>(rx * 0.0f + kMinSquaredDistance);
    for (int m = 0; m <= ball.count; ++m) {
        const F dx = rx - ball.x[m], dy = ry - ball.y[m], dz = rz - ball.z[m];
        const F d2 = dx * dx + dy * dy + dz * dz;
        U bits = float_bits<F, U>(d2);
        bits = bits < least ? least : bits;
        column[m] = row == (row & 0u) + std::uint32_t(m) ? infinity : bits;
    }
}

}  // namespace insitu
