// SPDX-License-Identifier: BSD-3-Clause
// Compiled once for each instruction set (INSITU_ISA names it). No C++ library templates here:
// an instantiation with AVX-512 instructions could otherwise be the copy that the linker keeps for
// everybody. Contraction to fused multiply-add is off, so all sets give the same bits.
#include "isa.hpp"

#include <cmath>
#ifdef __AVX512F__
#include <immintrin.h>
#endif

#include "isa_network.hpp"
#include "network.hpp"
#include "vectors.hpp"

namespace insitu {
namespace INSITU_NAMESPACE {
namespace {

F load(const float* p) {
    F v;
    __builtin_memcpy(&v, p, sizeof(v));
    return v;
}

int search(const double* x, const double* y, const double* z, int padded, const double* c, int self,
           double r2, int slot_bits, std::uint32_t* keys) {
    const double scale = double(1u << (31 - slot_bits)) / r2;
    int count = 0;
#ifdef __AVX512F__
    const __m512d cx = _mm512_set1_pd(c[0]), cy = _mm512_set1_pd(c[1]), cz = _mm512_set1_pd(c[2]);
    const __m512d most = _mm512_set1_pd(r2), unit = _mm512_set1_pd(scale);
    const __m512i me = _mm512_set1_epi32(self), step = _mm512_set1_epi32(16);
    const __m128i bits = _mm_cvtsi32_si128(slot_bits);
    __m512i index = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const auto squares = [&](int i) {
        const __m512d dx = _mm512_sub_pd(_mm512_loadu_pd(x + i), cx);
        const __m512d dy = _mm512_sub_pd(_mm512_loadu_pd(y + i), cy);
        const __m512d dz = _mm512_sub_pd(_mm512_loadu_pd(z + i), cz);
        return _mm512_add_pd(_mm512_add_pd(_mm512_mul_pd(dx, dx), _mm512_mul_pd(dy, dy)),
                             _mm512_mul_pd(dz, dz));
    };
    for (int i = 0; i < padded; i += 16) {
        const __m512d a = squares(i), b = squares(i + 8);
        const __mmask16 in =
            _mm512_kunpackb(_mm512_cmp_pd_mask(b, most, _CMP_LE_OQ),
                            _mm512_cmp_pd_mask(a, most, _CMP_LE_OQ)) &
            _mm512_cmpneq_epi32_mask(index, me);
        const __m256i low = _mm512_cvttpd_epi32(_mm512_mul_pd(a, unit));
        const __m256i high = _mm512_cvttpd_epi32(_mm512_mul_pd(b, unit));
        const __m512i whole = _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
        const __m512i key = _mm512_or_si512(_mm512_sll_epi32(whole, bits), index);
        // Compressed in a register, then stored whole: a compressing store is far slower.
        _mm512_storeu_si512(keys + count, _mm512_maskz_compress_epi32(in, key));
        count += __builtin_popcount(in);
        index = _mm512_add_epi32(index, step);
    }
#else
    double r[kMostLanes];
    for (int from = 0; from < padded; from += kMostLanes) {
        for (int i = 0; i < kMostLanes; ++i) {
            const double dx = x[from + i] - c[0], dy = y[from + i] - c[1], dz = z[from + i] - c[2];
            r[i] = dx * dx + dy * dy + dz * dz;
        }
        for (int i = 0; i < kMostLanes; ++i) {  // written always, kept if inside: no branch
            const bool in = r[i] <= r2;
            const auto whole = std::uint32_t(std::int32_t((in ? r[i] : 0.0) * scale));
            keys[count] = whole << slot_bits | std::uint32_t(from + i);
            count += in & (from + i != self);
        }
    }
#endif
    return count;
}

void order(const std::uint32_t* key, int count, int slot_bits, std::uint32_t* position, int* out) {
    for (int i = 0; i < count; i += kLanes) {
        U mine, below;
        __builtin_memcpy(&mine, key + i, sizeof(U));
        below = mine & 0u;
        for (int j = 0; j < count; ++j) below -= (U)(key[j] < mine);  // a true lane is -1
        __builtin_memcpy(position + i, &below, sizeof(U));
    }
    const std::uint32_t slot = (1u << slot_bits) - 1u;
    for (int i = 0; i < count; ++i) out[position[i]] = int(key[i] & slot);
}

void displace(const double* x, const double* y, const double* z, const double* c, const int* order,
              int first, int last, double* __restrict__ dx, double* __restrict__ dy,
              double* __restrict__ dz, double* __restrict__ distance) {
    const double cx = c[0], cy = c[1], cz = c[2];
    for (int i = first; i < last; ++i) {
        dx[i] = x[order[i]] - cx;
        dy[i] = y[order[i]] - cy;
        dz[i] = z[order[i]] - cz;
        distance[i] = std::sqrt(dx[i] * dx[i] + dy[i] * dy[i] + dz[i] * dz[i]);
    }
}

bool rounded(const double* distance, int count, int keep, double inverse, std::uint32_t* q) {
    for (int i = 0; i < count; ++i) {
        const double value = distance[i] * inverse + kRound;
        q[i] = std::uint32_t(std::int32_t(value < 2e9 ? value : 2e9));
    }
    int ties = 0;
    const int last = keep < count ? keep : count - 1;
    for (int i = 0; i < last; ++i) ties |= q[i] >= q[i + 1];
    return ties;
}

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

#ifdef __clang__
template <class M>
F shuffle(F a, F b, M from) {
    F out;
    for (int l = 0; l < kLanes; ++l) out[l] = from[l] < kLanes ? a[from[l]] : b[from[l] - kLanes];
    return out;
}
#else
F shuffle(F a, F b, U from) { return __builtin_shuffle(a, b, from); }
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

void image(const MapSettings& s, const Ball& ball, void* scratch, float* out) {
    const int columns = ball.count + 1;
    const int pixels = s.size < ball.count ? s.size : ball.count;
    const int run = run_length(pixels);
    const int padded = (columns + run - 1) / run * run;
    U* column = static_cast<U*>(scratch);
    U* key = column + padded;
    F* value = reinterpret_cast<F*>(key + padded);
    for (int i = 0, n = s.channels * s.size * s.size; i < n; ++i) out[i] = 0.0f;
    for (int first = 0; first < s.size && first <= ball.count; first += kLanes) {
        U row;
        for (int l = 0; l < kLanes; ++l) row[l] = std::uint32_t(first + l);
        const F rx = load(ball.x + first), ry = load(ball.y + first), rz = load(ball.z + first);
        fill_distances<F, U>(ball, rx, ry, rz, row, column);
        for (int m = columns; m < padded; ++m) column[m] = (row & 0u) + 0xffffffffu;
        if (s.channels > 1) {
            // The colours follow the order (rounded distance, id, image), as the rows do.
            const float inverse = 1.0f / s.tie_quantum;
            for (int m = 0; m < columns; ++m)
                for (int l = 0; l < kLanes; ++l) {
                    const U bits = column[m];
                    float d2;
                    const std::uint32_t b = bits[l];
                    __builtin_memcpy(&d2, &b, sizeof(d2));
                    const float q = sqrtf(d2) * inverse + float(kRound);
                    const std::uint32_t whole =
                        b == kInfinityBits || q > 4194303.0f ? 4194303u : std::uint32_t(q);
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

void row_weights(const float* d2, int count, float beta, float* out) {
    if (beta < 0.1f) {
        for (int i = 0; i < count; ++i) out[i] = powf(d2[i], -0.5f / beta);
        return;
    }
    for (int i = 0; i < count; i += kLanes) {
        const F w = row_weight<F, U>(load(d2 + i), beta);
        __builtin_memcpy(out + i, &w, sizeof(F));
    }
}

void group(const GroupSettings& settings, const float* points, float* out) {
    group_images<F, U>(settings, reinterpret_cast<const F*>(points), reinterpret_cast<F*>(out));
}

}  // namespace
}  // namespace INSITU_NAMESPACE

const IsaTable& INSITU_JOIN(isa_, INSITU_ISA)() {
    using namespace INSITU_NAMESPACE;
    static const IsaTable table{INSITU_TEXT(INSITU_ISA), kLanes, search, order, displace, rounded,
                                image,  row_weights, group, embed, convolve};
    return table;
}

}  // namespace insitu
