// SPDX-License-Identifier: BSD-3-Clause
// Compiled once for each instruction set (INSITU_ISA names it). No C++ library templates here:
// an instantiation with AVX-512 instructions could otherwise be the copy that the linker keeps for
// everybody. Contraction to fused multiply-add is off, so all sets give the same bits.
#include "isa.hpp"

#include <cmath>

#include "network.hpp"

#define INSITU_NAME2(isa) isa_##isa
#define INSITU_NAME(isa) INSITU_NAME2(isa)
#define INSITU_TEXT2(isa) #isa
#define INSITU_TEXT(isa) INSITU_TEXT2(isa)

namespace insitu {
namespace {

// As many lanes as a register holds. Rows do not depend on each other: their number changes no bit.
#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX2__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif
static_assert(kLanes <= kMostLanes, "the caller pads for kMostLanes");
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
    for (int i = 0; i < count; i += kLanes) {
        U mine, below;
        __builtin_memcpy(&mine, key + i, sizeof(U));
        below = mine & 0u;
        for (int j = 0; j < count; ++j) below -= (U)(key[j] < mine);  // a true lane is -1
        __builtin_memcpy(position + i, &below, sizeof(U));
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

void embed(const GraphNetwork& g, const float* map, float* scratch, float* node) {
    embed_atom<F>(g, map, scratch, node);
}

void convolve(const GraphNetwork& g, int layer, const float* nodes, int own, const int* rows,
              int count, float* scratch, float* out) {
    convolve_atom<F>(g, layer, nodes, own, rows, count, scratch, out);
}

}  // namespace

const IsaTable& INSITU_NAME(INSITU_ISA)() {
    static const IsaTable table{INSITU_TEXT(INSITU_ISA), gather, order, image, embed, convolve};
    return table;
}

}  // namespace insitu
