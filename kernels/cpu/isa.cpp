// SPDX-License-Identifier: BSD-3-Clause
// Search and order, compiled once for each instruction set (INSITU_ISA names it). No C++ library
// templates here: an instantiation with AVX-512 instructions could otherwise be the copy that the
// linker keeps for everybody. Contraction to fused multiply-add is off: all sets decide ties alike.
#include "isa.hpp"

#include <cmath>
#ifdef __AVX512F__
#include <immintrin.h>
#endif

#include "isa_common.hpp"
#include "../core/sorting_network.hpp"
#include "../core/ties.hpp"
#include "../core/transpose.hpp"

namespace insitu {
namespace INSITU_NAMESPACE {
namespace {

#ifdef __AVX512F__
// Displacements of two points, and of eight in the order of `at`: x, y and z.
inline __m512d two(const Point& a, const Point& b, __m512d centre) {
    return _mm512_sub_pd(_mm512_insertf64x4(_mm512_castpd256_pd512(_mm256_load_pd(a.r)), _mm256_load_pd(b.r), 1), centre);
}

inline __m512d both(const double* centre) {
    return _mm512_broadcast_f64x4(_mm256_setr_pd(centre[0], centre[1], centre[2], 0.0));
}

template <class At>
inline __attribute__((always_inline)) void eight(At&& at, __m512d centre, __m512d* out) {
    const __m512d a = two(at(0), at(2), centre), b = two(at(1), at(3), centre);
    const __m512d c = two(at(4), at(6), centre), d = two(at(5), at(7), centre);
    const __m512d ab = _mm512_unpacklo_pd(a, b), cd = _mm512_unpacklo_pd(c, d);
    out[0] = _mm512_shuffle_f64x2(ab, cd, 0x88);
    out[2] = _mm512_shuffle_f64x2(ab, cd, 0xdd);
    out[1] = _mm512_shuffle_f64x2(_mm512_unpackhi_pd(a, b), _mm512_unpackhi_pd(c, d), 0x88);
}
#endif

void lay_out(const Point* points, int count, const double* origin, float* __restrict__ x,
             float* __restrict__ y, float* __restrict__ z) {
    for (int i = 0; i < count; i += 8) {
#ifdef __AVX512F__
        __m512d r[3];
        eight([&](int k) -> const Point& { return points[i + k]; }, both(origin), r);
        _mm256_storeu_ps(x + i, _mm512_cvtpd_ps(r[0]));
        _mm256_storeu_ps(y + i, _mm512_cvtpd_ps(r[1]));
        _mm256_storeu_ps(z + i, _mm512_cvtpd_ps(r[2]));
#else
        for (int k = i; k < i + 8; ++k) {
            x[k] = float(points[k].r[0] - origin[0]);
            y[k] = float(points[k].r[1] - origin[1]);
            z[k] = float(points[k].r[2] - origin[2]);
        }
#endif
    }
}

int search(float* x, const float* y, const float* z, int padded, const float* c, int self, float r2,
           int slot_bits, std::uint32_t* keys) {
    const float scale = float(1u << (31 - slot_bits)) / r2;
    const float mine = x[self];
    x[self] = kNowhere;
    int count = 0;
#ifdef __AVX512F__
    const __m512 cx = _mm512_set1_ps(c[0]), cy = _mm512_set1_ps(c[1]), cz = _mm512_set1_ps(c[2]);
    const __m512 most = _mm512_set1_ps(r2), unit = _mm512_set1_ps(scale);
    // Added to a whole number of up to 23 bits it leaves that in the last ones; a shift by nine drops
    // the others.
    const __m512 whole = _mm512_set1_ps(8388608.0f);
    const __m512i step = _mm512_set1_epi32(16);
    const __m128i bits = _mm_cvtsi32_si128(slot_bits);
    __m512i index = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    for (int i = 0; i < padded; i += 16) {
        const __m512 dx = _mm512_sub_ps(_mm512_load_ps(x + i), cx);
        const __m512 dy = _mm512_sub_ps(_mm512_load_ps(y + i), cy);
        const __m512 dz = _mm512_sub_ps(_mm512_load_ps(z + i), cz);
        const __m512 d2 = _mm512_fmadd_ps(dz, dz, _mm512_fmadd_ps(dy, dy, _mm512_mul_ps(dx, dx)));
        const __mmask16 in = _mm512_cmp_ps_mask(d2, most, _CMP_LE_OQ);
        const __m512i units = _mm512_castps_si512(_mm512_fmadd_ps(d2, unit, whole));
        const __m512i key = _mm512_or_si512(_mm512_sll_epi32(units, bits), index);
        // Compressed in a register, then stored whole: a compressing store is far slower.
        _mm512_storeu_si512(keys + count, _mm512_maskz_compress_epi32(in, key));
        count += __builtin_popcount(in);
        index = _mm512_add_epi32(index, step);
    }
#else
    float r[kMostLanes];
    for (int from = 0; from < padded; from += kMostLanes) {
        for (int i = 0; i < kMostLanes; ++i) {
            const float dx = x[from + i] - c[0], dy = y[from + i] - c[1], dz = z[from + i] - c[2];
            r[i] = dx * dx + dy * dy + dz * dz;
        }
        for (int i = 0; i < kMostLanes; ++i) {  // written always, kept if inside: no branch
            const bool in = r[i] <= r2;
            const auto units = std::uint32_t(std::int32_t((in ? r[i] : 0.0f) * scale));
            keys[count] = units << slot_bits | std::uint32_t(from + i);
            count += in;
        }
    }
#endif
    x[self] = mine;
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

typedef std::int32_t I __attribute__((vector_size(4 * kLanes)));

// Lanes that are not zero, as bits.
inline std::uint32_t lanes_of(const U& v) {
    std::uint32_t bits = 0;
    for (int l = 0; l < kLanes; ++l) bits |= std::uint32_t(v[l] != 0) << l;
    return bits;
}

Doubts order_group(const std::uint32_t* keys, int stride, int padded, const Margins& margins,
                   std::uint32_t* column, std::uint32_t* sorted) {
    U* columns = reinterpret_cast<U*>(column);
    U edge{}, close{};
    const std::uint32_t room = 0xffffffffu - margins.edge;
    for (int k = 0; k < padded; k += kLanes) {
        F square[kLanes];
        for (int l = 0; l < kLanes; ++l)
            __builtin_memcpy(&square[l], keys + l * stride + k, sizeof(F));
        transpose<1>(square);
        for (int l = 0; l < kLanes; ++l) {
            columns[k + l] = (U)square[l];
            edge |= (U)((U)square[l] - margins.edge < room);  // not what comes after the last
        }
    }
    U run[2 * kBlock];
    sort_blocks(columns, padded / kBlock);
    smallest_run(columns, padded / kBlock, run);
    for (int k = 0; k + 1 < margins.rows; ++k) {  // halves of keys are signed numbers
        const F key = __builtin_convertvector((I)(run[k + 1] >> 1), F);
        const F apart = __builtin_convertvector((I)((run[k + 1] - run[k]) >> 1), F);
        close |= (U)(apart <= 0.5f * margins.gap + margins.slope * key) & (U)(run[k + 1] != 0xffffffffu);
    }
#pragma GCC unroll 8
    for (int k = 0; k < kMostSorted; k += kLanes) {
        transpose<1>((F*)run + k);
#pragma GCC unroll 16
        for (int l = 0; l < kLanes; ++l) __builtin_memcpy(sorted + l * kMostSorted + k, &run[k + l], sizeof(U));
    }
    return {lanes_of(edge), lanes_of(close)};
}

int above(const std::uint32_t* keys, int count, std::uint32_t limit, int slot_bits, int* out) {
    const std::uint32_t slot = (1u << slot_bits) - 1u;
    int kept = 0;
#ifdef __AVX512F__
    const __m512i most = _mm512_set1_epi32(int(limit)), mask = _mm512_set1_epi32(int(slot));
    for (int i = 0; i < count; i += 16) {
        const __m512i key = _mm512_loadu_si512(keys + i);
        const __mmask16 in = _mm512_cmpgt_epu32_mask(key, most) &
                             _cvtu32_mask16(count - i >= 16 ? 0xffffu : (1u << (count - i)) - 1u);
        _mm512_storeu_si512(out + kept, _mm512_maskz_compress_epi32(in, _mm512_and_si512(key, mask)));
        kept += __builtin_popcount(in);
    }
#else
    for (int i = 0; i < count; ++i) {
        out[kept] = int(keys[i] & slot);
        kept += keys[i] > limit;
    }
#endif
    return kept;
}

void displace(const Point* points, const std::int32_t* place, const double* c, const int* order,
              int first, int last, double* __restrict__ dx, double* __restrict__ dy,
              double* __restrict__ dz, double* __restrict__ distance) {
#ifdef __AVX512F__
    for (int i = first; i < last; i += 8) {
        __m512d r[3];
        eight([&](int k) -> const Point& { return points[place[order[i + k]]]; }, both(c), r);
        _mm512_storeu_pd(dx + i, r[0]);
        _mm512_storeu_pd(dy + i, r[1]);
        _mm512_storeu_pd(dz + i, r[2]);
        const __m512d d2 = _mm512_add_pd(_mm512_add_pd(_mm512_mul_pd(r[0], r[0]), _mm512_mul_pd(r[1], r[1])),
                                         _mm512_mul_pd(r[2], r[2]));
        _mm512_storeu_pd(distance + i, _mm512_sqrt_pd(d2));
    }
#else
    for (int i = first; i < last; ++i) {
        const Point& p = points[place[order[i]]];
        dx[i] = p.r[0] - c[0];
        dy[i] = p.r[1] - c[1];
        dz[i] = p.r[2] - c[2];
    }
    for (int i = first; i < last; ++i)
        distance[i] = std::sqrt(dx[i] * dx[i] + dy[i] * dy[i] + dz[i] * dz[i]);
#endif
}

void narrow(const Point* points, const std::int32_t* place, const double* c, const int* order,
            int count, double scale, float* __restrict__ x, float* __restrict__ y, float* __restrict__ z) {
#ifdef __AVX512F__
    // Stored as whole vectors: what is loaded next does not wait for two halves to reach the cache.
    for (int i = 0; i < count; i += 16) {
        __m512d r[2][3];
        eight([&](int k) -> const Point& { return points[place[order[i + k]]]; }, both(c), r[0]);
        eight([&](int k) -> const Point& { return points[place[order[i + 8 + k]]]; }, both(c), r[1]);
        if (scale != 1.0)
            for (auto& half : r)
                for (__m512d& axis : half) axis = _mm512_mul_pd(axis, _mm512_set1_pd(scale));
        const auto floats = [&](int axis) {
            return _mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(r[0][axis])), _mm512_cvtpd_ps(r[1][axis]), 1);
        };
        _mm512_store_ps(x + i, floats(0));
        _mm512_store_ps(y + i, floats(1));
        _mm512_store_ps(z + i, floats(2));
    }
#else
    for (int i = 0; i < count; ++i) {
        const Point& p = points[place[order[i]]];
        x[i] = float((p.r[0] - c[0]) * scale);
        y[i] = float((p.r[1] - c[1]) * scale);
        z[i] = float((p.r[2] - c[2]) * scale);
    }
#endif
}

bool rounded(const double* distance, int count, int keep, double inverse, std::uint32_t* q) {
    for (int i = 0; i < count; ++i) {
        const double value = distance[i] * inverse + kRound;
        q[i] = std::uint32_t(std::int32_t(value < 2e9 ? value : 2e9));
    }
    // Those after the last one are looked at as well: they may belong before it.
    int ties = 0;
    if (keep > 0)
        for (int i = 0; i < count - 1; ++i) ties |= q[i] >= q[i + 1];
    return ties;
}

void distances(const double* __restrict__ x, const double* __restrict__ y, const double* __restrict__ z,
               int first, int last, int count, double inverse, std::uint32_t* __restrict__ q, int stride) {
    for (int i = first; i < last; ++i, q += stride) {
        const double cx = x[i], cy = y[i], cz = z[i];
        for (int k = 0; k < stride; ++k) {
            const double dx = x[k] - cx, dy = y[k] - cy, dz = z[k] - cz;
            const double value = std::sqrt(dx * dx + dy * dy + dz * dz) * inverse + kRound;
            q[k] = std::uint32_t(std::int32_t(value < 2e9 ? value : 2e9));
        }
        for (int k = count; k < stride; ++k) q[k] = 0;
    }
}

void tie_keys(const std::uint32_t* __restrict__ q, int stride, const std::uint32_t* __restrict__ mark,
              int rows, std::uint64_t* __restrict__ keys) {
    for (int i = 0; i < rows; ++i, q += stride) {
        std::uint32_t sum = 0, mixed = 0;
        for (int k = 0; k < stride; ++k) {
            sum += q[k];
            mixed += scrambled(q[k] + mark[k]);
        }
        keys[i] = tie_key(sum, mixed);
    }
}

void refine(const std::uint32_t* q, int stride, const std::uint32_t* mark, int count, std::uint32_t* sum,
            std::uint32_t* mixed, std::uint32_t* refined) {
    for (int i = 0; i < count; i += kLanes) {  // lanes of points: no sum over lanes
        U all{}, other{};
        for (int k = 0; k < count; ++k) {
            U v;
            __builtin_memcpy(&v, q + k * stride + i, sizeof(U));
            all += v;
            other += scrambled<U>(v + mark[k]);
        }
        __builtin_memcpy(sum + i, &all, sizeof(U));
        __builtin_memcpy(mixed + i, &other, sizeof(U));
        const U next = refined_mark<U>(all, other);
        __builtin_memcpy(refined + i, &next, sizeof(U));
    }
}

}  // namespace
}  // namespace INSITU_NAMESPACE

const IsaTable& INSITU_JOIN(isa_, INSITU_ISA)() {
    using namespace INSITU_NAMESPACE;
    static const IsaTable table{INSITU_TEXT(INSITU_ISA), kLanes, lay_out, search, order, order_group, above,
                                displace, narrow, rounded, distances, tie_keys, refine, image, weigh, group, embed, convolve};
    return table;
}

}  // namespace insitu
