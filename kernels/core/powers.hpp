// SPDX-License-Identifier: BSD-3-Clause
// Logarithm and power of two for vectors of floats: the same operations in every build. Relative error of
// a power with exponent p: about 1e-7 (1 + |p log2 x|).
#pragma once

#include "config.hpp"

namespace insitu {

constexpr std::uint32_t kInfinityBits = 0x7f800000u;

template <class F, class U>
INSITU_HD U float_bits(F value) {
    U bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

template <class F, class U>
INSITU_HD F bits_float(U bits) {
    F value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

// log2 of a positive, normal number: 2 artanh((m - 1) / (m + 1)) / ln 2 of its significand m.
template <class F, class U>
INSITU_HD F log2_lanes(F x) {
    const U bits = float_bits<F, U>(x);
    // Exponent such that the significand lies between sqrt(1/2) and sqrt(2).
    const U up = (bits - 0x3f3504f3u) & 0xff800000u;
    const F m = bits_float<F, U>(bits - up);
    // The exponent as a float, without a conversion of signed integers: 1.5 * 2^23 + e holds e in
    // its last bits.
    const F e = bits_float<F, U>(((up >> 23) ^ 0x100u) + 0x4b3fff00u) - 12582912.0f;
    const F t = (m - 1.0f) / (m + 1.0f);
    const F t2 = t * t;
    const F series = 1.0f + t2 * (0.33333333f + t2 * (0.2f + t2 * (0.14285714f + t2 * 0.11111111f)));
    return e + t * series * 2.88539008f;
}

// 2^y for |y| < 126.
template <class F, class U>
INSITU_HD F exp2_lanes(F y) {
    const F high = y * 0.0f + 126.0f;
    y = y > high ? high : y;
    y = y < -high ? -high : y;
    const F rounded = y + 12582912.0f;  // to a whole number, in the last bits
    const U whole = float_bits<F, U>(rounded) - 0x4b400000u;
    const F f = y - (rounded - 12582912.0f);
    const F series =
        1.0f +
        f * (0.69314718f +
             f * (0.24022651f +
                  f * (0.055504109f +
                       f * (0.0096181291f +
                            f * (0.0013333558f + f * (0.00015403530f + f * 1.5252734e-5f))))));
    return bits_float<F, U>(float_bits<F, U>(series) + (whole << 23));
}

}  // namespace insitu
