// SPDX-License-Identifier: BSD-3-Clause
// Compiled once for each instruction set (INSITU_ISA names it); see cnn.hpp. No C++ library templates
// here: the linker could keep an instantiation with AVX-512 instructions for everybody.
#include "cnn.hpp"

#define INSITU_NAME2(isa) cnn_##isa
#define INSITU_NAME(isa) INSITU_NAME2(isa)
#define INSITU_TEXT2(isa) #isa
#define INSITU_TEXT(isa) INSITU_TEXT2(isa)

namespace insitu {
namespace {

// Lanes of a register, and pixels x registers of outputs that a product keeps in registers.
#if defined(__AVX512F__)
constexpr int kLanes = 16, kPixels = 8, kWide = 2;
#elif defined(__AVX2__)
constexpr int kLanes = 8, kPixels = 4, kWide = 2;
#else
constexpr int kLanes = 4, kPixels = 4, kWide = 2;
#endif
typedef float F __attribute__((vector_size(4 * kLanes)));
typedef F Loose __attribute__((aligned(4), may_alias));
#define INLINE inline __attribute__((always_inline))

INLINE F load(const float* p) { return *reinterpret_cast<const Loose*>(p); }
INLINE void store(float* p, F v) { *reinterpret_cast<Loose*>(p) = v; }
INLINE F larger(F a, F b) { return a > b ? a : b; }
INLINE F relu(F a) { return larger(a, F{}); }

// Sums over the taps of some pixels: `rows` runs of `length` contiguous inputs, a row of Outputs
// weights for each. A pixel's inputs begin `step` floats after its predecessor's.
template <int Outputs, int Pixels, int Wide>
INLINE void taps(const float* in, std::ptrdiff_t step, int rows, std::ptrdiff_t row, int length,
                 const float* w, F (&sum)[Pixels][Wide]) {
#pragma GCC unroll 16
    for (int t = 0; t < Pixels; ++t)
#pragma GCC unroll 4
        for (int o = 0; o < Wide; ++o) sum[t][o] = F{};
    for (int r = 0; r < rows; ++r, in += row) {
#pragma GCC unroll 1
        for (int k = 0; k < length; ++k, w += Outputs) {
            F weight[Wide];
#pragma GCC unroll 4
            for (int o = 0; o < Wide; ++o) weight[o] = load(w + o * kLanes);
#pragma GCC unroll 16
            for (int t = 0; t < Pixels; ++t)
#pragma GCC unroll 4
                for (int o = 0; o < Wide; ++o) sum[t][o] += in[t * step + k] * weight[o];
        }
    }
}

// `pixels` products of inputs and weights; ReLU(sum + bias), or the bare sum without a bias.
template <int Outputs>
INLINE void product(const float* in, std::ptrdiff_t step, int pixels, int rows, std::ptrdiff_t row,
                    int length, const float* w, const float* bias, bool positive, float* out,
                    std::ptrdiff_t out_step) {
    constexpr int wide = Outputs / kLanes < kWide ? Outputs / kLanes : kWide;
    for (int from = 0; from < pixels; from += kPixels)
        for (int first = 0; first < Outputs; first += wide * kLanes) {
            F sum[kPixels][wide];
            taps<Outputs>(in + from * step, step, rows, row, length, w + first, sum);
#pragma GCC unroll 16
            for (int t = 0; t < kPixels; ++t)
#pragma GCC unroll 4
                for (int o = 0; o < wide; ++o) {
                    F v = sum[t][o];
                    if (bias) v += load(bias + first + o * kLanes);
                    if (positive) v = relu(v);
                    store(out + (from + t) * out_step + first + o * kLanes, v);
                }
        }
}

// --- Winograd F(4x4, 3x3) --------------------------------------------------------------------------

INLINE void into(const F* d, int step, F* v, int out) {  // B^T d
    const F a = d[step * 4] - 4.0f * d[step * 2], b = d[step * 3] - 4.0f * d[step];
    const F c = d[step * 4] - d[step * 2], e = 2.0f * (d[step * 3] - d[step]);
    v[0] = 4.0f * d[0] - 5.0f * d[step * 2] + d[step * 4];
    v[out] = a + b;
    v[2 * out] = a - b;
    v[3 * out] = c + e;
    v[4 * out] = c - e;
    v[5 * out] = 4.0f * d[step] - 5.0f * d[step * 3] + d[step * 5];
}

INLINE void from(const F* m, int step, F* y, int out) {  // A^T m
    const F a = m[step] + m[step * 2], b = m[step] - m[step * 2];
    const F c = m[step * 3] + m[step * 4], e = m[step * 3] - m[step * 4];
    y[0] = m[0] + a + c;
    y[out] = b + 2.0f * e;
    y[2 * out] = a + 4.0f * c;
    y[3 * out] = b + 8.0f * e + m[step * 5];
}

constexpr int kTiles = 8;  // tiles that are transformed and multiplied together

// Tiles beginning at `at`, all channels: v[36][kTiles][Channels].
template <int Channels>
INLINE void spread(const float* const (&at)[kTiles], std::ptrdiff_t row, float* v) {
    for (int t = 0; t < kTiles; ++t)
        for (int c = 0; c < Channels; c += kLanes) {
            F half[36], d[6], u[6];
#pragma GCC unroll 6
            for (int i = 0; i < 6; ++i) {  // along each row
#pragma GCC unroll 6
                for (int j = 0; j < 6; ++j) d[j] = load(at[t] + i * row + j * Channels + c);
                into(d, 1, half + 6 * i, 1);
            }
#pragma GCC unroll 6
            for (int j = 0; j < 6; ++j) {
                into(half + j, 6, u, 1);
#pragma GCC unroll 6
                for (int i = 0; i < 6; ++i)
                    store(v + ((6 * i + j) * kTiles + t) * Channels + c, u[i]);
            }
        }
}

// Products with the weights (36, Channels, 16) of 16 outputs: m[36][kTiles][16], 18 kB.
template <int Channels>
INLINE void multiply(const float* v, const float* w, float* m) {
    for (int x = 0; x < 36; ++x)
        product<16>(v + x * kTiles * Channels, Channels, kTiles, 1, 0, Channels,
                    w + x * Channels * 16, nullptr, false, m + x * kTiles * 16, 16);
}

// The 4 x 4 sums of one tile and kLanes outputs.
INLINE void gather(const float* m, int tile, int first, F (&y)[16]) {
    F half[24], d[6];
#pragma GCC unroll 6
    for (int j = 0; j < 6; ++j) {
#pragma GCC unroll 6
        for (int i = 0; i < 6; ++i) d[i] = load(m + ((6 * i + j) * kTiles + tile) * 16 + first);
        from(d, 1, half + j, 6);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) from(half + 6 * i, 1, y + 4 * i, 1);
}

// --- network ---------------------------------------------------------------------------------------

// Padded feature maps, (row, column, channel).
constexpr int kIn = kCnnSize + 4, kFirst = kCnnSize + 2, kHalf = kCnnSize / 2 + 2;
struct Scratch {
    float first[kFirst * kFirst * 16];
    float pooled[kHalf * kHalf * 32];
    float third[kHalf * kHalf * 16];
    float fourth[8 * 8 * 16];
    float v[36 * kTiles * 32], m[36 * kTiles * 16];
    float flat[kCnnGroup * 512];
    float hidden[kCnnGroup * kCnnHidden];
};

void features(const CnnWeights& w, const float* image, Scratch& s, float* in, float* flat) {
    const int C = w.channels;
    for (int c = 0; c < C; ++c)
        for (int y = 0; y < kCnnSize; ++y)
            if (C == 1)
                __builtin_memcpy(in + (y + 2) * kIn + 2, image + y * kCnnSize, 4 * kCnnSize);
            else
                for (int x = 0; x < kCnnSize; ++x)
                    in[((y + 2) * kIn + x + 2) * C + c] = image[(c * kCnnSize + y) * kCnnSize + x];

    // First layer, then second layer and pooling, a row of tiles at a time: it stays in the cache.
    int done = 0;
    for (int tile = 0; tile < kTiles; ++tile) {
        for (const int need = tile == kTiles - 1 ? kCnnSize : 4 * tile + 5; done < need; ++done)
            product<16>(in + done * kIn * C, C, kCnnSize, 5, kIn * C, 5 * C, w.w1, w.b1, true,
                        s.first + ((done + 1) * kFirst + 1) * 16, 16);
        const float* at[kTiles];
        for (int t = 0; t < kTiles; ++t) at[t] = s.first + (4 * tile * kFirst + 4 * t) * 16;
        spread<16>(at, kFirst * 16, s.v);
        for (int first = 0; first < 32; first += 16) {
            multiply<16>(s.v, w.w2 + first * 36 * 16, s.m);
            for (int t = 0; t < kTiles; ++t)
                for (int o = 0; o < 16; o += kLanes) {
                    float* to = s.pooled + ((2 * tile + 1) * kHalf + 2 * t + 1) * 32 + first + o;
                    const F bias = load(w.b2 + first + o);
                    F y[16];
                    gather(s.m, t, o, y);
#pragma GCC unroll 4
                    for (int k = 0; k < 4; ++k) {
                        const F* q = y + k / 2 * 8 + k % 2 * 2;
                        const F top = larger(larger(q[0], q[1]), larger(q[4], q[5]));
                        store(to + (k / 2 * kHalf + k % 2) * 32, relu(top + bias));
                    }
                }
        }
    }

    for (int pair = 0; pair < 2; ++pair) {  // two rows of four tiles
        const float* at[kTiles];
        for (int t = 0; t < kTiles; ++t)
            at[t] = s.pooled + ((8 * pair + t / 4 * 4) * kHalf + t % 4 * 4) * 32;
        spread<32>(at, kHalf * 32, s.v);
        multiply<32>(s.v, w.w3, s.m);
        for (int t = 0; t < kTiles; ++t)
            for (int o = 0; o < 16; o += kLanes) {
                F y[16];
                gather(s.m, t, o, y);
                const F bias = load(w.b3 + o);
                float* to = s.third + ((8 * pair + t / 4 * 4 + 1) * kHalf + t % 4 * 4 + 1) * 16 + o;
#pragma GCC unroll 16
                for (int k = 0; k < 16; ++k)
                    store(to + (k / 4 * kHalf + k % 4) * 16, relu(y[k] + bias));
            }
    }

    for (int y = 0; y < 8; ++y)
        product<16>(s.third + 2 * y * kHalf * 16, 32, 8, 3, kHalf * 16, 48, w.w4, w.b4, true,
                    s.fourth + y * 8 * 16, 16);
    constexpr int wide = 32 / kLanes < kWide ? 32 / kLanes : kWide;
    for (int y = 0; y < 4; ++y)
        for (int o = 0; o < 32; o += wide * kLanes) {
            F sum[4][wide];
            taps<32>(s.fourth + y * 2 * 8 * 16, 32, 2, 8 * 16, 32, w.w5 + o, sum);
            for (int t = 0; t < 4; ++t)
                for (int k = 0; k < wide; ++k) {
                    const int at = o + k * kLanes;
                    store(flat + (y * 4 + t) * 32 + at, relu(sum[t][k] + load(w.b5 + at)));
                }
        }
}

template <int Outputs>
INLINE void dense(const float* in, int length, int stride, const float* w, int row, const float* bias,
                  bool positive, float* out, int out_stride) {
    constexpr int wide = Outputs / kLanes < kWide ? Outputs / kLanes : kWide;
    for (int o = 0; o < Outputs; o += wide * kLanes) {
        F sum[kCnnGroup][wide];
        for (int t = 0; t < kCnnGroup; ++t)
            for (int k = 0; k < wide; ++k) sum[t][k] = load(bias + o + k * kLanes);
        for (int i = 0; i < length; ++i)
#pragma GCC unroll 4
            for (int t = 0; t < kCnnGroup; ++t)
#pragma GCC unroll 4
                for (int k = 0; k < wide; ++k)
                    sum[t][k] += in[t * stride + i] * load(w + i * row + o + k * kLanes);
        for (int t = 0; t < kCnnGroup; ++t)
            for (int k = 0; k < wide; ++k)
                store(out + t * out_stride + o + k * kLanes, positive ? relu(sum[t][k]) : sum[t][k]);
    }
}

void scores(const CnnWeights& w, const float* images, int n, float* scratch, float* out) {
    Scratch& s = *reinterpret_cast<Scratch*>(scratch);
    float* in = scratch + sizeof(Scratch) / sizeof(float);
    const int pixels = w.channels * kCnnSize * kCnnSize;
    for (int i = 0; i < n; ++i) features(w, images + i * pixels, s, in, s.flat + i * 512);
    dense<kCnnHidden>(s.flat, 512, 512, w.w6, kCnnHidden, w.b6, true, s.hidden, kCnnHidden);
    for (int c = 0; c < w.classes; c += kCnnClasses)
        dense<kCnnClasses>(s.hidden, kCnnHidden, kCnnHidden, w.w7 + c, w.classes, w.b7 + c, false,
                           out + c, w.classes);
}

}  // namespace

const CnnTable& INSITU_NAME(INSITU_ISA)() {
    static const CnnTable table{INSITU_TEXT(INSITU_ISA), scores};
    return table;
}

#ifdef INSITU_CNN_SCRATCH
std::size_t cnn_scratch(int channels) {
    return sizeof(Scratch) / sizeof(float) + std::size_t(kIn) * kIn * std::size_t(channels);
}
#endif

}  // namespace insitu
