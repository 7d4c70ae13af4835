// SPDX-License-Identifier: BSD-3-Clause
// Compiled once for each instruction set (INSITU_ISA names it). No C++ library templates here:
// an instantiation with AVX-512 instructions could otherwise be the copy that the linker keeps for
// everybody. Contraction to fused multiply-add is off, so all sets give the same bits.
#include "isa.hpp"

#include <cmath>

#define INSITU_NAME2(isa) isa_##isa
#define INSITU_NAME(isa) INSITU_NAME2(isa)
#define INSITU_TEXT2(isa) #isa
#define INSITU_TEXT(isa) INSITU_TEXT2(isa)

namespace insitu {
namespace {

constexpr int kLanes = 16;
typedef float F __attribute__((vector_size(4 * kLanes)));
typedef std::uint32_t U __attribute__((vector_size(4 * kLanes)));

F load(const float* p) {
    F v;
    __builtin_memcpy(&v, p, sizeof(v));
    return v;
}

int gather(const double* x, const double* y, const double* z, std::int32_t begin, std::int32_t end,
           const double* c, double r2, const Found& out, int count) {
    constexpr int kBlock = 256;
    double d2[kBlock];
    for (std::int32_t from = begin; from < end; from += kBlock) {
        const int n = end - from < kBlock ? end - from : kBlock;
        for (int i = 0; i < n; ++i) {
            const double dx = x[from + i] - c[0], dy = y[from + i] - c[1], dz = z[from + i] - c[2];
            d2[i] = dx * dx + dy * dy + dz * dz;
        }
        for (int i = 0; i < n; ++i) {  // written always, kept if inside: no branch to mispredict
            out.at[count] = from + i;
            out.d2[count] = d2[i];
            count += d2[i] <= r2;
        }
    }
    return count;
}

void order(const std::uint32_t* key, int count, std::uint32_t* position, int* out) {
    for (int i = 0; i < count; ++i) position[i] = 0;
    for (int j = 0; j < count; ++j) {
        const std::uint32_t k = key[j];
        for (int i = 0; i < count; ++i) position[i] += k < key[i];
    }
    for (int i = 0; i < count; ++i) out[position[i]] = i;
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

void image(const MapSettings& s, const Ball& ball, const Comparator* network, int comparators,
           void* scratch, float* out) {
    const int columns = ball.count + 1;
    const int pixels = s.size < ball.count ? s.size : ball.count;
    U* column = static_cast<U*>(scratch);
    U* key = column + columns;
    F* value = reinterpret_cast<F*>(key + columns);
    for (int i = 0, n = s.channels * s.size * s.size; i < n; ++i) out[i] = 0.0f;
    for (int first = 0; first < s.size && first <= ball.count; first += kLanes) {
        U row;
        for (int l = 0; l < kLanes; ++l) row[l] = std::uint32_t(first + l);
        const F rx = load(ball.x + first), ry = load(ball.y + first), rz = load(ball.z + first);
        fill_distances<F, U>(ball, rx, ry, rz, row, column);
        if (s.channels > 1) {
            // The colours follow the order (rounded distance, id, image), as the rows do.
            const float inverse = 1.0f / s.tie_quantum;
            for (int m = 0; m < columns; ++m)
                for (int l = 0; l < kLanes; ++l) {
                    const U bits = column[m];
                    float d2;
                    const std::uint32_t b = bits[l];
                    __builtin_memcpy(&d2, &b, sizeof(d2));
                    const float q = sqrtf(d2) * inverse + 0.5f;
                    const std::uint32_t whole =
                        b == kInfinityBits || q > 4194303.0f ? 4194303u : std::uint32_t(q);
                    key[m][l] = (b == kInfinityBits ? 0xffffffffu : whole << 10 | ball.rank[m]);
                }
            sort_columns(key, network, comparators);
        }
        sort_columns(column, network, comparators);
        const int rows = s.size - first < kLanes ? s.size - first : kLanes;
        const F a = load(ball.row_weight + first);
        decay(s.gamma, pixels * kLanes, reinterpret_cast<const float*>(column),
              reinterpret_cast<float*>(value));
        for (int k = 0; k < pixels; ++k) value[k] *= a;
        for (int l = 0; l < rows; ++l)
            for (int k = 0; k < pixels; ++k)
                out[(first + l) * s.size + k] = reinterpret_cast<const float*>(value + k)[l];
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

}  // namespace

const IsaTable& INSITU_NAME(INSITU_ISA)() {
    static const IsaTable table{INSITU_TEXT(INSITU_ISA), gather, order, image};
    return table;
}

}  // namespace insitu
