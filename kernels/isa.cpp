// SPDX-License-Identifier: BSD-3-Clause
// Search and order, compiled once for each instruction set (INSITU_ISA names it). No C++ library
// templates here: an instantiation with AVX-512 instructions could otherwise be the copy that the
// linker keeps for everybody. Contraction to fused multiply-add is off: all sets decide ties alike.
#include "isa.hpp"

#include <cmath>
#ifdef __AVX512F__
#include <immintrin.h>
#endif

#include "isa_parts.hpp"
#include "network.hpp"
#include "transpose.hpp"

namespace insitu {
namespace INSITU_NAMESPACE {
namespace {

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

void order_group(const std::uint32_t* keys, int stride, int padded, std::uint32_t* column,
                 std::uint32_t* sorted) {
    U* columns = reinterpret_cast<U*>(column);
    for (int k = 0; k < padded; k += kLanes) {
        F square[kLanes];
        for (int l = 0; l < kLanes; ++l)
            __builtin_memcpy(&square[l], keys + l * stride + k, sizeof(F));
        transpose<1>(square);
        for (int l = 0; l < kLanes; ++l) columns[k + l] = (U)square[l];
    }
    U run[2 * kBlock];
    sort_blocks(columns, padded / kBlock);
    smallest_run(columns, padded / kBlock, run);
#pragma GCC unroll 32
    for (int k = 0; k < 2 * kBlock; ++k) reinterpret_cast<U*>(sorted)[k] = run[k];
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
    // Those behind the last one are looked at as well: they may belong before it.
    int ties = 0;
    if (keep > 0)
        for (int i = 0; i < count - 1; ++i) ties |= q[i] >= q[i + 1];
    return ties;
}

}  // namespace
}  // namespace INSITU_NAMESPACE

const IsaTable& INSITU_JOIN(isa_, INSITU_ISA)() {
    using namespace INSITU_NAMESPACE;
    static const IsaTable table{INSITU_TEXT(INSITU_ISA), kLanes, search, order, order_group, above,
                                displace, rounded, image, narrow, group, embed, convolve};
    return table;
}

}  // namespace insitu
