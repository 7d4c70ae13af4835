// SPDX-License-Identifier: BSD-3-Clause
// What orders neighbours at equal distance: where the other points of the ball lie, seen from each.
//
// The distances to them, rounded, are summed: the sum is the same for equivalent points, whatever the
// atoms' numbers, their order, and the orientation of the sample. A second sum, of the scrambled
// distances, tells apart points with equal sums but other distances. Whole numbers, so that no order of
// summation changes them: both in one key, the sum of the distances in the upper half.
#pragma once

#include "config.hpp"

namespace insitu {

// Whole shells of up to so many points are looked at again after each choice; beyond the second number,
// in no crystal's ball, ids choose.
constexpr int kMostRefined = 128, kMostTied = 1024;

// Spreads the bits of a number over a word; 0 stays 0, so that padding adds nothing to a sum.
template <class U>
INSITU_HD U scrambled(U v) {
    v ^= v >> 15;
    v *= 0x85ebca6bu;
    return v ^ v >> 13;
}

// Key of two sums.
INSITU_HD std::uint64_t tie_key(std::uint32_t sum, std::uint32_t scrambled_sum) {
    return std::uint64_t(sum) << 32 | scrambled_sum;
}

// A point as the others see it: by its rounded distance from the centre and by its colours.
INSITU_HD std::uint32_t tie_mark(std::uint32_t rounded, std::uint32_t color) {
    return rounded * 0x9e3779b1u + color;
}

// Colours of a point: the weights of channels 1 … channels - 1, `step` apart.
INSITU_HD std::uint32_t tie_color(const float* weight, int channels, Size step) {
    std::uint32_t color = 0;
    for (int c = 1; c < channels; ++c) {
        const float w = weight[Size(c) * step] + 0.0f;  // -0 is 0
        std::uint32_t bits;
        memcpy(&bits, &w, sizeof(bits));
        color = scrambled(color * 0x9e3779b1u + bits);
    }
    return color;
}

// The same with what its sums say of where the others lie.
template <class U>
INSITU_HD U refined_mark(U sum, U scrambled_sum) {
    return scrambled<U>((sum + scrambled<U>(scrambled_sum)) * 0x9e3779b1u);
}

// Added to the mark of the point that was taken `number`-th into the ball: it is like no other.
INSITU_HD std::uint32_t taken_mark(int number) { return std::uint32_t(number + 1) * 0x27d4eb2fu; }

}  // namespace insitu
