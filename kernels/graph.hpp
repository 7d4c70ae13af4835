// SPDX-License-Identifier: BSD-3-Clause
// The network of the general model for one atom: a perceptron on its map, then EdgeConv layers
// (Wang et al., arXiv:1801.07829) over its neighbours.
//
//   h0    = ReLU(W2 ReLU(W1 x + b1) + b2)
//   m     = mean over neighbours j of ReLU(A h + a + B h_j)      in each layer
//   h'    = ReLU(S h + s + M m)
//   p     = softmax(W3 h + b3)                                   behind the last
//
// What is linear in h is done once an atom and kept as its "node": B h, A h + a, S h + s.
//
// Lanes are outputs of a layer and every output sums over its inputs in order, so their number changes
// no bit. The CPU build passes vectors of lanes, the CUDA build single floats.
#pragma once

#include "config.hpp"

namespace insitu {

using Size = decltype(sizeof(0));

constexpr int kMostLayers = 4;

struct GraphNetwork {
    // Widths; all but the inputs are padded with zero weights to a multiple of kMostLanes.
    int inputs, hidden, features, message, classes, layers;
    // Weights (inputs, outputs), outputs contiguous.
    const float *w1, *b1, *w2, *b2, *w3, *b3;
    const float *node[kMostLayers], *node_bias[kMostLayers], *gather[kMostLayers];

    INSITU_HD int node_width() const { return 2 * message + features; }
};

template <class F>
INSITU_HD F lanes_at(const float* p) {
    F v;
    __builtin_memcpy(&v, p, sizeof(v));
    return v;
}

// V registers of outputs: out = in * w + bias.
template <int V, class F>
INSITU_HD void dense_block(const float* in, int n, const float* w, const float* bias, int stride,
                           float* out, bool relu) {
    constexpr int lanes = int(sizeof(F) / sizeof(float));
    F sum[V];
    for (int v = 0; v < V; ++v) sum[v] = lanes_at<F>(bias + v * lanes);
    for (int i = 0; i < n; ++i) {
        const float x = in[i];
        for (int v = 0; v < V; ++v) sum[v] += x * lanes_at<F>(w + i * stride + v * lanes);
    }
    for (int v = 0; v < V; ++v) {
        const F zero = sum[v] * 0.0f;
        const F value = relu ? (sum[v] > zero ? sum[v] : zero) : sum[v];
        __builtin_memcpy(out + v * lanes, &value, sizeof(F));
    }
}

template <class F>
INSITU_HD void dense(const float* in, int n, const float* w, const float* bias, int outputs,
                     float* out, bool relu) {
    constexpr int lanes = int(sizeof(F) / sizeof(float));
    int first = 0;
    for (; first + 4 * lanes <= outputs; first += 4 * lanes)
        dense_block<4, F>(in, n, w + first, bias + first, outputs, out + first, relu);
    for (; first + 2 * lanes <= outputs; first += 2 * lanes)
        dense_block<2, F>(in, n, w + first, bias + first, outputs, out + first, relu);
    for (; first < outputs; first += lanes)
        dense_block<1, F>(in, n, w + first, bias + first, outputs, out + first, relu);
}

// First node of an atom from its map; scratch holds hidden + features floats.
template <class F>
INSITU_HD void embed_atom(const GraphNetwork& g, const float* map, float* scratch, float* node) {
    float* h = scratch + g.hidden;
    dense<F>(map, g.inputs, g.w1, g.b1, g.hidden, scratch, true);
    dense<F>(scratch, g.hidden, g.w2, g.b2, g.features, h, true);
    dense<F>(h, g.features, g.node[0], g.node_bias[0], g.node_width(), node, false);
}

// One layer for an atom, from its own node and its neighbours': writes the node of the next layer, or
// behind the last one the class scores (padded). scratch holds message + features floats.
template <class F>
INSITU_HD void convolve_atom(const GraphNetwork& g, int layer, const float* nodes, int own,
                             const int* rows, int count, float* scratch, float* out) {
    constexpr int lanes = int(sizeof(F) / sizeof(float));
    const int width = g.node_width();
    const float* mine = nodes + Size(own) * Size(width);
    const float share = count ? 1.0f / float(count) : 0.0f;
    for (int first = 0; first < g.message; first += lanes) {
        const F a = lanes_at<F>(mine + g.message + first);
        const F zero = a * 0.0f;
        F sum = zero;
        for (int k = 0; k < count; ++k) {
            const F m = a + lanes_at<F>(nodes + Size(rows[k]) * Size(width) + first);
            sum += m > zero ? m : zero;
        }
        sum *= share;
        __builtin_memcpy(scratch + first, &sum, sizeof(F));
    }
    float* h = scratch + g.message;
    dense<F>(scratch, g.message, g.gather[layer], mine + 2 * g.message, g.features, h, true);
    if (layer + 1 < g.layers)
        dense<F>(h, g.features, g.node[layer + 1], g.node_bias[layer + 1], width, out, false);
    else
        dense<F>(h, g.features, g.w3, g.b3, g.classes, out, false);
}

}  // namespace insitu
