// SPDX-License-Identifier: BSD-3-Clause
// Power spectra of an atom's surroundings (Bartók, Kondor & Csányi, Phys. Rev. B 87, 184115, section IV):
// what the first layer of edge_conv.hpp knows of them that no rotation or reflection changes.
//
//   c[a, lm]     = sum_j s_ij T_n(t_ij) Y_lm(r_ij / d_ij)      a: species of the neighbour j, then n
//   p[(a, a'), l] = sum_m c[a, lm] c[a', lm]                   for all a <= a'
//
// Y are real spherical harmonics with sum_m Y_lm(u) Y_lm(v) = P_l(u v), at l l + l + m.
//
// Lanes are atoms: no sum goes over lanes. The CPU build passes vectors, the CUDA build single floats.
// An array of work or results has `step` floats from entry to entry, the lanes' values between them.
#pragma once

#include "graph.hpp"

namespace insitu {

constexpr int kMostDegree = 6;
constexpr int kMostMoments = 8;
constexpr int kHarmonicsTogether = 4;  // edges whose harmonics are added in one go; divides kMostLanes

// What is known of an edge: the unit vector, t, s and the neighbour's species.
constexpr int kDirectionFields = 6;

struct Spectra {
    int degree;   // highest l; 0: an atom has no spectra
    int moments;  // radial functions T_0 … of a species
    int kinds;    // species that are told apart

    INSITU_HD int terms() const { return (degree + 1) * (degree + 1); }
    INSITU_HD int functions() const { return moments * kinds; }
    // Values of an atom's spectra, Q.
    INSITU_HD int values() const {
        return degree ? (degree + 1) * functions() * (functions() + 1) / 2 : 0;
    }
    // Entries of work: c, and harmonics of some edges.
    INSITU_HD int words() const { return (functions() + kHarmonicsTogether) * terms(); }
};

template <class F>
INSITU_HD void put(F value, float* to) {
    memcpy(to, &value, sizeof(F));
}

// Newton's; for constants of the program.
INSITU_HD constexpr double square_root(double v) {
    double root = 1.0 + v;
    for (int k = 0; k < 64; ++k) root = 0.5 * (root + v / root);
    return root;
}

// Y_LM and Y_L,-M, then those of higher degrees up to Last. c, s: real and imaginary part of (x + iy)^M
// with the factor of the normalisation at L = M; `now` and `before` the Legendre functions of L and L - 1.
template <int Last, int L, int M, class F>
INSITU_HD void higher_degrees(F z, F c, F s, F before, F now, float* out, Size step) {
    put(now * c, out + Size(L * L + L + M) * step);
    if constexpr (M > 0) put(now * s, out + Size(L * L + L - M) * step);
    if constexpr (L < Last) {
        constexpr double square = (L + 1) * (L + 1) - M * M;
        constexpr float rise = float((2 * L + 1) / square_root(square));
        constexpr float fall = float(square_root((L * L - M * M) / square));
        higher_degrees<Last, L + 1, M, F>(z, c, s, now, rise * z * now - fall * before, out, step);
    }
}

template <int Last, int M, class F>
INSITU_HD void higher_orders(F x, F y, F z, F c, F s, float* out, Size step) {
    higher_degrees<Last, M, M, F>(z, c, s, zeros<F>(), zeros<F>() + 1.0f, out, step);
    if constexpr (M < Last) {
        constexpr float part = M ? float(square_root((2 * M + 1.0) / (2 * M + 2.0))) : 1.0f;
        higher_orders<Last, M + 1, F>(x, y, z, part * (x * c - y * s), part * (x * s + y * c), out, step);
    }
}

// All harmonics of unit vectors up to a degree of 1 … kMostDegree.
template <class F>
INSITU_HD void harmonics(int degree, F x, F y, F z, float* out, Size step) {
    const F one = zeros<F>() + 1.0f, none = zeros<F>();
    switch (degree) {
        case 1: return higher_orders<1, 0, F>(x, y, z, one, none, out, step);
        case 2: return higher_orders<2, 0, F>(x, y, z, one, none, out, step);
        case 3: return higher_orders<3, 0, F>(x, y, z, one, none, out, step);
        case 4: return higher_orders<4, 0, F>(x, y, z, one, none, out, step);
        case 5: return higher_orders<5, 0, F>(x, y, z, one, none, out, step);
        default: return higher_orders<6, 0, F>(x, y, z, one, none, out, step);
    }
}

// Adds T edges to N functions' c: now = s T_n(t), and so on by recurrence from `before`, which go on.
template <int T, int N, class F>
INSITU_HD void add_functions(int terms, const F* t, const float* y, F* before, F* now, float* c, Size step) {
    F g[T][N];
INSITU_UNROLL(8)
    for (int e = 0; e < T; ++e)
INSITU_UNROLL(8)
        for (int n = 0; n < N; ++n) {
            g[e][n] = now[e];
            const F next = 2.0f * t[e] * now[e] - before[e];
            before[e] = now[e];
            now[e] = next;
        }
    for (int lm = 0; lm < terms; ++lm) {
        F value[T];
INSITU_UNROLL(8)
        for (int e = 0; e < T; ++e) value[e] = lanes_at<F>(y + Size(e * terms + lm) * step);
INSITU_UNROLL(8)
        for (int n = 0; n < N; ++n) {
            float* to = c + Size(n * terms + lm) * step;
            F sum = lanes_at<F>(to);
INSITU_UNROLL(8)
            for (int e = 0; e < T; ++e) sum += g[e][n] * value[e];
            put(sum, to);
        }
    }
}

// Products of one function's c with those of A others, summed over m: out[pair, l].
template <int A, class F>
INSITU_HD void multiply_functions(int degree, const float* mine, const float* others, float* out, Size step) {
    const int terms = (degree + 1) * (degree + 1);
    for (int l = 0, lm = 0; l <= degree; ++l) {
        F sum[A];
INSITU_UNROLL(8)
        for (int k = 0; k < A; ++k) sum[k] = zeros<F>();
        for (; lm < (l + 1) * (l + 1); ++lm) {
            const F value = lanes_at<F>(mine + Size(lm) * step);
INSITU_UNROLL(8)
            for (int k = 0; k < A; ++k) sum[k] += value * lanes_at<F>(others + Size(k * terms + lm) * step);
        }
INSITU_UNROLL(8)
        for (int k = 0; k < A; ++k) put(sum[k], out + Size(k * (degree + 1) + l) * step);
    }
}

// Spectra of atoms, one a lane, from their first `edges` edges, rounded up to kHarmonicsTogether. Field f
// of edge k is at in[(f * padded + k) * in_step]; after the last edge s is 0. N functions are
// summed at a time. work: s.words() entries; out: s.values().
template <int N, class F>
INSITU_HD void power_spectra(const Spectra& s, int edges, int padded, const float* in, Size in_step,
                             float* work, float* out, Size step) {
    constexpr int T = kHarmonicsTogether, A = 4;
    const int terms = s.terms(), functions = s.functions();
    float *c = work, *y = work + Size(functions * terms) * step;
    const auto field = [&](int f, int k) { return lanes_at<F>(in + Size(f * padded + k) * in_step); };
    for (int k = 0; k < functions * terms; ++k) put(zeros<F>(), c + Size(k) * step);
    for (int k = 0; k < edges; k += T) {
        F t[T];
INSITU_UNROLL(1)
        for (int e = 0; e < T; ++e)
            harmonics<F>(s.degree, field(0, k + e), field(1, k + e), field(2, k + e),
                         y + Size(e * terms) * step, step);
INSITU_UNROLL(8)
        for (int e = 0; e < T; ++e) t[e] = field(3, k + e);
        for (int b = 0; b < s.kinds; ++b) {
            F before[T], now[T];
INSITU_UNROLL(8)
            for (int e = 0; e < T; ++e) {
                const F weight = field(4, k + e);
                now[e] = s.kinds == 1 || field(5, k + e) == zeros<F>() + float(b) ? weight : zeros<F>();
                before[e] = t[e] * now[e];  // T_-1 is T_1
            }
            float* to = c + Size(b * s.moments * terms) * step;
            int n = 0;
            for (; n + N <= s.moments; n += N)
                add_functions<T, N, F>(terms, t, y, before, now, to + Size(n * terms) * step, step);
            for (; n < s.moments; ++n)
                add_functions<T, 1, F>(terms, t, y, before, now, to + Size(n * terms) * step, step);
        }
    }
    for (int a = 0; a < functions; ++a) {
        const float* mine = c + Size(a * terms) * step;
        int other = a;
        const auto next = [&](int count) {
            other += count;
            out += Size(count * (s.degree + 1)) * step;
        };
        for (; other + A <= functions; next(A))
            multiply_functions<A, F>(s.degree, mine, c + Size(other * terms) * step, out, step);
        for (; other < functions; next(1))
            multiply_functions<1, F>(s.degree, mine, c + Size(other * terms) * step, out, step);
    }
}

}  // namespace insitu
