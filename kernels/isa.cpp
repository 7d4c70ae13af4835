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
           double r2, double* d2, int* at) {
    int count = 0;
#ifdef __AVX512F__
    const __m512d cx = _mm512_set1_pd(c[0]), cy = _mm512_set1_pd(c[1]), cz = _mm512_set1_pd(c[2]);
    const __m512d most = _mm512_set1_pd(r2);
    const __m256i me = _mm256_set1_epi32(self), step = _mm256_set1_epi32(8);
    __m256i index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    for (int i = 0; i < padded; i += 8) {
        const __m512d dx = _mm512_sub_pd(_mm512_loadu_pd(x + i), cx);
        const __m512d dy = _mm512_sub_pd(_mm512_loadu_pd(y + i), cy);
        const __m512d dz = _mm512_sub_pd(_mm512_loadu_pd(z + i), cz);
        const __m512d r = _mm512_add_pd(
            _mm512_add_pd(_mm512_mul_pd(dx, dx), _mm512_mul_pd(dy, dy)), _mm512_mul_pd(dz, dz));
        const __mmask8 in = _mm512_cmp_pd_mask(r, most, _CMP_LE_OQ) &
                            _mm256_cmpneq_epi32_mask(index, me);
        // Compressed in a register, then stored whole: a compressing store is far slower.
        _mm512_storeu_pd(d2 + count, _mm512_maskz_compress_pd(in, r));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(at + count),
                            _mm256_maskz_compress_epi32(in, index));
        count += __builtin_popcount(in);
        index = _mm256_add_epi32(index, step);
    }
#else
    constexpr int kRun = 16;
    double r[kRun];
    for (int from = 0; from < padded; from += kRun) {
        for (int i = 0; i < kRun; ++i) {
            const double dx = x[from + i] - c[0], dy = y[from + i] - c[1], dz = z[from + i] - c[2];
            r[i] = dx * dx + dy * dy + dz * dz;
        }
        for (int i = 0; i < kRun; ++i) {  // written always, kept if inside: no branch to mispredict
            at[count] = from + i;
            d2[count] = r[i];
            count += (r[i] <= r2) & (from + i != self);
        }
    }
#endif
    return count;
}

void order(const double* d2, int count, double r2, std::uint32_t* key, std::uint32_t* position,
           int* out) {
    int slot_bits = 0;
    while (count > 1 << slot_bits) ++slot_bits;
    const double scale = double(1u << (31 - slot_bits)) / r2;  // a sign bit to spare
    for (int i = 0; i < count; ++i)
        key[i] = std::uint32_t(std::int32_t(d2[i] * scale)) << slot_bits | std::uint32_t(i);
    for (int i = 0; i < count; i += kLanes) {
        U mine, below;
        __builtin_memcpy(&mine, key + i, sizeof(U));
        below = mine & 0u;
        for (int j = 0; j < count; ++j) below -= (U)(key[j] < mine);  // a true lane is -1
        __builtin_memcpy(position + i, &below, sizeof(U));
    }
    for (int i = 0; i < count; ++i) out[position[i]] = i;
}

void roots(const double* d2, const int* order, int count, double* root) {
    for (int i = 0; i < count; ++i) root[i] = std::sqrt(d2[order[i]]);
}

bool rounded(const double* root, int count, int keep, double inverse, std::uint32_t* q) {
    for (int i = 0; i < count; ++i) {
        const double value = root[i] * inverse + kRound;
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
    static const IsaTable table{INSITU_TEXT(INSITU_ISA), kLanes, search, order,    roots, rounded,
                                image,                   row_weights, group, embed, convolve};
    return table;
}

}  // namespace insitu
