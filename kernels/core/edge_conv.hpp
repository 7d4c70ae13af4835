// SPDX-License-Identifier: BSD-3-Clause
// A network on the whole sample's graph: EdgeConv (Wang et al., arXiv:1801.07829) with messages that are
// weighted by distance, over each atom's nearest neighbours, and a class for every atom.
//
//   s_ij  = (1 - (d_ij / c_i)^2)^2, 0 from the cut-off c_i on         spatial weight
//   g_ij  = (r_ij / u_i, T_1(t) … T_G(t)), t = min(2 d_ij / (range u_i) - 1, 1)
//   h_i'  = ReLU(A h_i + a + max(0, max_j s_ij (B h_j + C g_ij)))     in each layer
//   p_i   = softmax(W2 ReLU(W1 [h_i^1 … h_i^L] + b1) + b2)
//
// or, so that no rotation or reflection changes anything, without r_ij / u_i in g_ij and with P x_i added
// to A h_i + a in the first layer, x_i being the atom's power spectra (power_spectra.hpp).
//
// A message is linear before the maximum, so B h_j, which the neighbours read, is one product an atom;
// it is kept as `shared`. A neighbour at the cut-off sends 0, and 0 takes part in the maximum: nothing
// jumps when an atom comes or goes there. In the first layer h is the species (one-hot).
//
// Lanes are edges where edges are described and outputs where they are used. The CPU build passes
// vectors, the CUDA build single floats; M atoms share each load of a weight.
#pragma once

#include "graph.hpp"
#include "power_spectra.hpp"

namespace insitu {

constexpr int kMostEdges = 64;   // of an atom
constexpr int kMostRadial = 16;
constexpr int kEdgesTogether = 4;  // that share a load of their weights

struct EdgeSettings {
    int most;       // neighbours of an atom, K
    int radial;     // radial functions, G
    int kinds;      // blocks of the weights, one for each species of the neighbour; 1: one for all
    float range;    // of the radial functions, in units of length u_i
    int degree;     // of the power spectra; 0: none, and edges carry their displacement
    int moments;    // of the power spectra

    INSITU_HD Spectra spectra() const { return {degree, moments, kinds}; }
    INSITU_HD int features() const { return (degree ? 0 : 3) + radial; }  // of an edge
    INSITU_HD int padded() const { return round_up(most); }
    // Floats of an atom's edges: weight and weighted features, feature by feature; then how many
    // neighbours are of each species, in whose order they come, if species are told apart.
    INSITU_HD int words() const { return counts() + (kinds > 1 ? round_up(kinds) : 0); }
    INSITU_HD int counts() const { return (1 + features()) * padded(); }
    INSITU_HD static int round_up(int n) { return (n + kMostLanes - 1) / kMostLanes * kMostLanes; }
    // Floats of an atom's directions, which the power spectra are made of.
    INSITU_HD int direction_words() const { return degree ? kDirectionFields * padded() : 0; }
};

struct EdgeNetwork {
    int species;  // inputs of the first layer
    int width, layers, hidden, classes;  // padded to kMostLanes, but for the layers
    EdgeSettings edges;
    // Weights (inputs, outputs), outputs contiguous.
    const float* own[kMostLayers];       // A
    const float* own_bias[kMostLayers];  // a
    const float* share[kMostLayers];     // B
    const float* edge[kMostLayers];      // C
    const float* spectra;                // P
    const float *w1, *b1, *w2, *b2;
    const float* zero;                   // `width` zeros
};

// Scratch of a layer for each atom.
INSITU_HD int edge_words(const EdgeNetwork& g) { return g.hidden + g.classes; }

// Weight and weighted features of edges, one a lane; `kind` is the neighbours' species. `out` is the
// weight's place, the features follow at steps of s.padded(). An edge at `cut` has the weight 0. With
// power spectra `direction` receives the fields that they need, at the same steps.
template <class F>
INSITU_HD void describe_edge(const EdgeSettings& s, F dx, F dy, F dz, F d, F kind, float cut, float unit,
                             float* out, float* direction) {
    const int pad = s.padded();
    const float inverse_unit = 1.0f / unit, part = 2.0f * inverse_unit / s.range;
    const F zero = zeros<F>(), one = zero + 1.0f;
    const F x = d * (1.0f / cut);
    const F q = d < zero + cut ? rectified(one - x * x) : zero, weight = q * q;  // not by rounding
    F t = d * part - 1.0f;
    t = t > one ? one : t;
    put(weight, out);
    if (s.degree) {
        const F least = zero + 1e-20f, inverse = one / (d > least ? d : least);
        const F fields[kDirectionFields] = {dx * inverse, dy * inverse, dz * inverse, t, weight, kind};
INSITU_UNROLL(8)
        for (int f = 0; f < kDirectionFields; ++f) put(fields[f], direction + f * pad);
    }
    const auto add = [&](F value) {
        out += pad;
        put(weight * value, out);
    };
    if (!s.degree) {
        add(dx * inverse_unit);
        add(dy * inverse_unit);
        add(dz * inverse_unit);
    }
    F before = one, now = t;
    for (int f = 0; f < s.radial; ++f) {
        add(now);
        const F next = 2.0f * t * now - before;
        before = now;
        now = next;
    }
}

// The same for all edges of an atom. dx, dy, dz, d (in one unit with `cut` and `unit`) and `kind` have
// s.padded() entries; after the last edge d is `cut`.
template <class F>
INSITU_HD void describe_edges(const EdgeSettings& s, const float* dx, const float* dy,
                              const float* dz, const float* d, const float* kind, float cut,
                              float unit, float* out, float* directions) {
    constexpr int lanes = int(sizeof(F) / sizeof(float));
    for (int k = 0; k < s.padded(); k += lanes)
        describe_edge<F>(s, lanes_at<F>(dx + k), lanes_at<F>(dy + k), lanes_at<F>(dz + k),
                         lanes_at<F>(d + k), lanes_at<F>(kind + k), cut, unit, out + k,
                         directions + (s.degree ? k : 0));
}

// Largest of `most` and the messages of T edges, for V vectors of outputs.
template <int T, int V, class F>
INSITU_HD void largest_messages(const float* shared, Size width, const int* rows, const float* edges,
                                int pad, int features, const float* w, F* most) {
    constexpr int lanes = int(sizeof(F) / sizeof(float));
    F sum[T][V];
INSITU_UNROLL(8)
    for (int t = 0; t < T; ++t) {
        // An edge that is not there has the weight 0.
        const float* other = shared + Size(rows[t] < 0 ? 0 : rows[t]) * width;
INSITU_UNROLL(8)
        for (int v = 0; v < V; ++v) sum[t][v] = edges[t] * lanes_at<F>(other + v * lanes);
    }
    for (int f = 0; f < features; ++f) {
        edges += pad;
        F weight[V];
INSITU_UNROLL(8)
        for (int v = 0; v < V; ++v) weight[v] = lanes_at<F>(w + Size(f) * width + v * lanes);
INSITU_UNROLL(8)
        for (int t = 0; t < T; ++t)
INSITU_UNROLL(8)
            for (int v = 0; v < V; ++v) sum[t][v] += edges[t] * weight[v];
    }
INSITU_UNROLL(8)
    for (int t = 0; t < T; ++t)
INSITU_UNROLL(8)
        for (int v = 0; v < V; ++v) most[v] = sum[t][v] > most[v] ? sum[t][v] : most[v];
}

// out = ReLU(out + largest message) of an atom, for V vectors of outputs.
template <int V, class F>
INSITU_HD void add_largest(const EdgeSettings& s, const float* shared, Size width, const int* rows,
                           int count, const float* edges, const float* w, float* out) {
    constexpr int lanes = int(sizeof(F) / sizeof(float)), T = kEdgesTogether;
    const int pad = s.padded(), features = s.features();
    F most[V];
INSITU_UNROLL(8)
    for (int v = 0; v < V; ++v) most[v] = zeros<F>();
    for (int b = 0, k = 0; b < s.kinds; ++b, w += Size(features) * width) {
        const bool last = b + 1 == s.kinds;  // after which edges have the weight 0
        const int end = last ? count : k + int(edges[s.counts() + b]), room = last ? pad : end;
        for (; k < end && k + T <= room; k += T)
            largest_messages<T, V, F>(shared, width, rows + k, edges + k, pad, features, w, most);
        for (; k < end; ++k)
            largest_messages<1, V, F>(shared, width, rows + k, edges + k, pad, features, w, most);
    }
INSITU_UNROLL(8)
    for (int v = 0; v < V; ++v)
        put(rectified(lanes_at<F>(out + v * lanes) + most[v]), out + v * lanes);
}

// The same for all outputs, V vectors at a time. `rows` has s.padded() entries, -1 after the last.
template <int V, class F>
INSITU_HD void pool_edges(const EdgeSettings& s, const float* shared, int width, const int* rows,
                          const float* edges, const float* w, float* out) {
    constexpr int lanes = int(sizeof(F) / sizeof(float));
    int count = 0, at = 0;
    while (count < s.most && rows[count] >= 0) ++count;
    for (; at + V * lanes <= width; at += V * lanes)
        add_largest<V, F>(s, shared + at, Size(width), rows, count, edges, w + at, out + at);
    for (; at < width; at += lanes)
        add_largest<1, F>(s, shared + at, Size(width), rows, count, edges, w + at, out + at);
}

// One layer for `count` atoms. `h` (count, layers * width) holds the layers' outputs side by side. In
// the first layer `shared` (species, width) is B itself, and `rows` the neighbours' species; `kinds`
// are those of the atoms, and `spectra` their power spectra, if there are any. Writes what the atoms
// share in the next layer to `next` (count, width), or after the last the class probabilities
// (count, classes). scratch: count * edge_words(g) floats.
template <int M, int V, class F, class U>
INSITU_HD void edge_layer(const EdgeNetwork& g, int layer, const float* shared, const int* rows,
                          const float* edges, const int* kinds, Inputs spectra, int count, float* h,
                          float* scratch, float* next, float* probabilities, int classes) {
    const Size step = Size(g.layers) * Size(g.width);
    const int pad = g.edges.padded();
    float* out = h + Size(layer) * Size(g.width);
    if (layer == 0) {
        for (int i = 0; i < count; ++i)  // the product with a one-hot vector is a row
            for (int f = 0; f < g.width; ++f)
                out[Size(i) * step + Size(f)] = g.own[0][kinds[i] * g.width + f] + g.own_bias[0][f];
        if (g.edges.degree)
            dense<M, F>(spectra, count, g.edges.spectra().values(), g.spectra, g.width, out, step, out, step,
                        false);
    } else {
        dense<M, F>({out - g.width, step, 1}, count, g.width, g.own[layer], g.width,
                    g.own_bias[layer], 0, out, step, false);
    }
    for (int i = 0; i < count; ++i)
        pool_edges<V, F>(g.edges, shared, g.width, rows + Size(i) * Size(pad),
                         edges + Size(i) * Size(g.edges.words()), g.edge[layer],
                         out + Size(i) * step);
    if (layer + 1 < g.layers) {
        dense<M, F>({out, step, 1}, count, g.width, g.share[layer + 1], g.width, g.zero, 0, next,
                    Size(g.width), false);
        return;
    }
    float* score = scratch + Size(count) * Size(g.hidden);
    dense<M, F>({h, step, 1}, count, g.layers * g.width, g.w1, g.hidden, g.b1, 0, scratch,
                Size(g.hidden), true);
    dense<M, F>({scratch, Size(g.hidden), 1}, count, g.hidden, g.w2, g.classes, g.b2, 0, score,
                Size(g.classes), false);
    for (int i = 0; i < count; ++i)
        softmax<F, U>(score + Size(i) * Size(g.classes), g.classes, classes, classes,
                      probabilities + Size(i) * Size(classes));
}

}  // namespace insitu
