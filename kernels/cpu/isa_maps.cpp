// SPDX-License-Identifier: BSD-3-Clause
// The images, compiled once for each instruction set (see isa.cpp), with products and sums contracted
// to fused multiply-add where it exists: pixels of two sets differ by rounding.
#include <cmath>

#include "../core/image_of_32.hpp"
#include "isa_common.hpp"
#include "../core/scale_free.hpp"

namespace insitu {
namespace INSITU_NAMESPACE {
namespace {

// d^-gamma from d^2, for the exponents that are in use without calling pow.
void decay(float gamma, int count, const float* d2, float* out) {
    if (gamma == 2.0f) {
        for (int i = 0; i < count; ++i) out[i] = 1.0f / d2[i];
    } else if (gamma == 1.0f) {
        for (int i = 0; i < count; ++i) out[i] = 1.0f / sqrtf(d2[i]);
    } else {
        for (int i = 0; i < count; ++i) out[i] = powf(d2[i], -0.5f * gamma);
    }
}

constexpr float kFarQuanta = 2097152.0f;  // 21 local lengths

void image_of_any_size(const MapSettings& s, const Ball& ball, void* scratch, float* out) {
    const int columns = ball.count + 1;
    const int pixels = s.size < ball.count ? s.size : ball.count;
    const int run = run_length(pixels);
    const int padded = (columns + run - 1) / run * run;
    U* column = static_cast<U*>(scratch);
    U* key = column + padded;
    F* value = reinterpret_cast<F*>(key + padded);
    for (int first = 0; first < s.size && first <= ball.count; first += kLanes) {
        U row;
        for (int l = 0; l < kLanes; ++l) row[l] = std::uint32_t(first + l);
        const F rx = load(ball.x + first), ry = load(ball.y + first), rz = load(ball.z + first);
        fill_distances<F, U>(ball, rx, ry, rz, row, column);
        for (int m = columns; m < padded; ++m) column[m] = (row & 0u) + 0xffffffffu;
        if (s.channels > 1) {
            // The colours follow the rounded distances, and at equal ones the colours themselves.
            const float inverse = 1.0f / s.tie_quantum;
            const float limit = (kFarQuanta - 1.0f) * s.tie_quantum;
            const auto far = float_bits<float, std::uint32_t>(limit * limit);
            for (int m = 0; m < columns; ++m)
                for (int l = 0; l < kLanes; ++l) {
                    const U bits = column[m];
                    float d2;
                    const std::uint32_t b = bits[l];
                    __builtin_memcpy(&d2, &b, sizeof(d2));
                    const float q = sqrtf(d2) * inverse + float(kRound);
                    // 22 bits: half of them for rounded distances, half for those of vapour, which
                    // are told apart to 6e-5 of their size.
                    const std::uint32_t whole = q < kFarQuanta
                                                    ? std::uint32_t(q)
                                                    : std::uint32_t(kFarQuanta) + ((b - far) >> 9);
                    key[m][l] = (b == kInfinityBits ? 0xffffffffu : whole << 10 | ball.rank[m]);
                }
            for (int m = columns; m < padded; ++m) key[m] = (row & 0u) + 0xffffffffu;
            sort_columns(key, columns, pixels);
        }
        sort_columns(column, columns, pixels);
        const int rows = s.size - first < kLanes ? s.size - first : kLanes;
        const F a = load(ball.row_weight + first);
        decay(s.gamma, pixels * kLanes, reinterpret_cast<const float*>(column),
              reinterpret_cast<float*>(value));
        for (int k = 0; k < pixels; ++k) value[k] *= a;
        for (int k = pixels; k % kLanes; ++k) value[k] = a * 0.0f;
        for (int k = 0; k < pixels; k += kLanes) {
            F square[kLanes];
            for (int i = 0; i < kLanes; ++i) square[i] = value[k + i];
            transpose<1>(square);
            const int wide = s.size - k < kLanes ? s.size - k : kLanes;
            float* to = out + first * s.size + k;
            if (rows == kLanes && wide == kLanes) {
                for (int l = 0; l < kLanes; ++l)
                    __builtin_memcpy(to + l * s.size, &square[l], sizeof(F));
            } else {
                for (int l = 0; l < rows; ++l)
                    for (int i = 0; i < wide; ++i) to[l * s.size + i] = square[l][i];
            }
        }
        for (int c = 1; c < s.channels; ++c) {
            const float* w = ball.weight + c * ball.weight_stride;
            float* plane = out + c * s.size * s.size;
            for (int l = 0; l < rows && first + l <= ball.count; ++l)
                for (int k = 0; k < pixels; ++k) {
                    const std::uint32_t rank = key[k][l] & 1023u;
                    // weights are stored by rank after those by point
                    plane[(first + l) * s.size + k] = out[(first + l) * s.size + k] *
                                                      w[first + l] * w[columns + int(rank)];
                }
        }
    }
}

}  // namespace

void image(const MapSettings& s, const Ball& ball, void* scratch, float* out) {
    if (ball.count < s.size)
        for (int i = 0, n = s.channels * s.size * s.size; i < n; ++i) out[i] = 0.0f;
    const bool paper = s.channels == 1 && s.size <= 2 * kBlock && s.gamma == 2.0f;
    const bool whole = s.size == 2 * kBlock && ball.count >= 2 * kBlock;
    U* run = static_cast<U*>(scratch);
    if (!paper || !(whole ? image_of_32<true>(s, ball, run, out) : image_of_32<false>(s, ball, run, out)))
        image_of_any_size(s, ball, scratch, out);
}

// Beyond what the vectors' power can do with the accuracy of a float.
__attribute__((noinline)) void steep(const F& d2, float beta, F& w) {
    for (int l = 0; l < kLanes; ++l) w[l] = powf(d2[l], -0.5f / beta);
}

void weigh(const float* x, const float* y, const float* z, int count, int rows, float beta,
           float* weights) {
    U row = counting();
    for (int i = 0; i < rows; i += kLanes, row += std::uint32_t(kLanes)) {
        const F rx = load(x + i), ry = load(y + i), rz = load(z + i);
        F d2 = rx * rx + ry * ry + rz * rz;
        const F least = F{} + kMinSquaredDistance;
        d2 = d2 < least ? least : d2;
        F w = row_weight<F, U>(d2, beta);
        if (beta < 0.1f) steep(d2, beta, w);
        w = row <= (row & 0u) + std::uint32_t(count) ? w : F{};
        __builtin_memcpy(weights + i, &w, sizeof(F));
    }
    weights[0] = 1.0f;
}

void group(const GroupSettings& settings, const float* points, float* out) {
    group_images<F, U>(settings, reinterpret_cast<const F*>(points), reinterpret_cast<F*>(out));
}

}  // namespace INSITU_NAMESPACE
}  // namespace insitu
