// SPDX-License-Identifier: BSD-3-Clause
// The images, compiled once for each instruction set (see isa.cpp), with products and sums contracted
// to fused multiply-add where it exists: pixels of two sets differ by rounding.
#include <cmath>
#ifdef __AVX512F__
#include <immintrin.h>
#endif

#include "isa_parts.hpp"
#include "network.hpp"
#include "scale_free.hpp"
#include "transpose.hpp"

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
            // The colours follow the order (rounded distance, id, image), as the rows do.
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
                    // weights are stored by rank behind those by point
                    plane[(first + l) * s.size + k] = out[(first + l) * s.size + k] *
                                                      w[first + l] * w[columns + int(rank)];
                }
        }
    }
}

// a / d2: a division takes six times as long as an estimate of 14 bits and Newton's step.
inline __attribute__((always_inline)) F divided(F a, F d2) {
#ifdef __AVX512F__
    const F estimate = (F)_mm512_rcp14_ps((__m512)d2);
    return a * (estimate * (2.0f - d2 * estimate));
#else
    return a / d2;
#endif
}

inline __attribute__((always_inline)) U counting() {
    U lane;
    for (int l = 0; l < kLanes; ++l) lane[l] = std::uint32_t(l);
    return lane;
}

// Squared distances, as bits, of the lanes' rows to C points; `self` is the row of the first lane
// where the rows are among the points, else negative.
template <int C>
inline __attribute__((always_inline)) void distances(const float* x, const float* y,
                                                     const float* z, int from, int self, F rx,
                                                     F ry, F rz, U* v) {
    const U least = float_bits<F, U>(zeros<F>() + kMinSquaredDistance);
    const U row = counting() + std::uint32_t(self);
#pragma GCC unroll 16
    for (int i = 0; i < C; ++i) {
        const int m = from + i;
        const F dx = rx - x[m], dy = ry - y[m], dz = rz - z[m];
        const U bits = float_bits<F, U>(dx * dx + dy * dy + dz * dz);
        v[i] = bits < least ? least : bits;
        if (self >= 0) v[i] = row == (least & 0u) + std::uint32_t(m) ? (least & 0u) + kInfinityBits : v[i];
    }
}

template <int C>
inline __attribute__((always_inline)) void sorted_block(const Ball& ball, int from, int self, F rx,
                                                        F ry, F rz, U* to) {
    U v[kBlock];
    const float *x = ball.x, *y = ball.y, *z = ball.z;
    if (self >= 0) distances<C>(x, y, z, from, self, rx, ry, rz, v);
    else distances<C>(x, y, z, from, -1, rx, ry, rz, v);
    sort_all<C>(v);
#pragma GCC unroll 16
    for (int i = 0; i < kBlock; ++i) to[i] = i < C ? v[i] : (v[0] & 0u) + 0xffffffffu;
}

// The image of a ball in one channel, up to 32 pixels wide, gamma = 2: the paper's.
void image_of_32(const MapSettings& s, const Ball& ball, U* column, float* out) {
    const int columns = ball.count + 1, size = s.size;
    const int pixels = size < ball.count ? size : ball.count;
    const int blocks = (columns + kBlock - 1) / kBlock;
    for (int first = 0; first < size && first <= ball.count; first += kLanes) {
        const F rx = load(ball.x + first), ry = load(ball.y + first), rz = load(ball.z + first);
        for (int b = 0; b < blocks; ++b) {
            const int from = b * kBlock, left = columns - from;
            // Whether these points are among the rows.
            const int self = first < from + kBlock && from < first + kLanes ? first : -1;
            U* to = column + from;
            if (left > 12) sorted_block<16>(ball, from, self, rx, ry, rz, to);
            else if (left > 8) sorted_block<12>(ball, from, self, rx, ry, rz, to);
            else if (left > 4) sorted_block<8>(ball, from, self, rx, ry, rz, to);
            else sorted_block<4>(ball, from, self, rx, ry, rz, to);
        }
        U run[2 * kBlock];
        smallest_run(column, blocks, run);
        const int rows = size - first < kLanes ? size - first : kLanes;
        const F a = load(ball.row_weight + first);
        F value[2 * kBlock];
#pragma GCC unroll 32
        for (int k = 0; k < 2 * kBlock; ++k) value[k] = divided(a, bits_float<F, U>(run[k]));
#pragma GCC unroll 8
        for (int k = 0; k < 2 * kBlock; k += kLanes) {
            transpose<1>(value + k);
            float* to = out + first * size + k;
            const int wide = pixels - k < kLanes ? pixels - k : kLanes;
            if (rows == kLanes && wide == kLanes) {
#pragma GCC unroll 16
                for (int l = 0; l < kLanes; ++l)
                    __builtin_memcpy(to + l * size, &value[k + l], sizeof(F));
            } else if (wide > 0) {
                for (int l = 0; l < rows; ++l) __builtin_memcpy(to + l * size, &value[k + l], 4 * Size(wide));
            }
        }
    }
}

}  // namespace

void image(const MapSettings& s, const Ball& ball, void* scratch, float* out) {
    if (ball.count < s.size)
        for (int i = 0, n = s.channels * s.size * s.size; i < n; ++i) out[i] = 0.0f;
    if (s.channels == 1 && s.size <= 2 * kBlock && s.gamma == 2.0f)
        image_of_32(s, ball, static_cast<U*>(scratch), out);
    else
        image_of_any_size(s, ball, scratch, out);
}

// Beyond what the vectors' power can do with the accuracy of a float.
__attribute__((noinline)) void steep(const F& d2, float beta, F& w) {
    for (int l = 0; l < kLanes; ++l) w[l] = powf(d2[l], -0.5f / beta);
}

// What an image needs of its ball: floats in the descriptor's unit of length, padded with points far
// away, and the weights of the rows.
void narrow(const double* bx, const double* by, const double* bz, const double* centre,
            const int* order, int count, const double* dx, const double* dy, const double* dz,
            int known, double scale, int rows, float beta, float* __restrict__ x,
            float* __restrict__ y, float* __restrict__ z, float* weights) {
    const double cx = centre[0], cy = centre[1], cz = centre[2];
    x[0] = y[0] = z[0] = 0.0f;
    for (int i = 0; i < known; ++i) {
        x[i + 1] = float(dx[i] * scale);
        y[i + 1] = float(dy[i] * scale);
        z[i + 1] = float(dz[i] * scale);
    }
    for (int i = known; i < count; ++i) {
        x[i + 1] = float((bx[order[i]] - cx) * scale);
        y[i + 1] = float((by[order[i]] - cy) * scale);
        z[i + 1] = float((bz[order[i]] - cz) * scale);
    }
    for (int i = count + 1; i < count + 1 + 2 * kMostLanes; ++i) x[i] = y[i] = z[i] = 1e18f;
    U row = counting();
    for (int i = 0; i < rows; i += kLanes, row += std::uint32_t(kLanes)) {
        const F rx = load(x + i), ry = load(y + i), rz = load(z + i);
        F d2 = rx * rx + ry * ry + rz * rz;
        const F least = zeros<F>() + kMinSquaredDistance;
        d2 = d2 < least ? least : d2;
        F w = row_weight<F, U>(d2, beta);
        if (beta < 0.1f) steep(d2, beta, w);
        w = row <= (row & 0u) + std::uint32_t(count) ? w : zeros<F>();
        __builtin_memcpy(weights + i, &w, sizeof(F));
    }
    weights[0] = 1.0f;
}

void group(const GroupSettings& settings, const float* points, float* out) {
    group_images<F, U>(settings, reinterpret_cast<const F*>(points), reinterpret_cast<F*>(out));
}

}  // namespace INSITU_NAMESPACE
}  // namespace insitu
