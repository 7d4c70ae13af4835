// SPDX-License-Identifier: BSD-3-Clause
// The network of the general model for one atom: a perceptron on its map, then one EdgeConv layer
// (Wang et al., arXiv:1801.07829) over its neighbours, then a second perceptron.
//
//   h = ReLU(W2 ReLU(W1 x + b1) + b2)
//   m = mean over neighbours j of ReLU(A h + a + B h_j)
//   p = softmax(W4 ReLU(S h + s + M m) + b4)
//
// What is linear in h is done once an atom and kept as its "node": B h, A h + a, S h + s.
//
// Lanes are outputs of a layer and every output sums over its inputs in order, so their number changes
// no bit. The CPU build passes vectors of lanes, the CUDA build single floats.
#pragma once

#include "config.hpp"

namespace insitu {

using Size = decltype(sizeof(0));

struct GraphNetwork {
    // Widths; all but the inputs are padded with zero weights to a multiple of kMostLanes.
    int inputs, hidden, features, message, head, classes;
    // Weights (inputs, outputs), outputs contiguous.
    const float *w1, *b1, *w2, *b2, *node, *node_bias, *gather, *w4, *b4;

    INSITU_HD int node_width() const { return 2 * message + head; }
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

// Node of an atom from its map; scratch holds hidden + features floats.
template <class F>
INSITU_HD void embed_atom(const GraphNetwork& g, const float* map, float* scratch, float* node) {
    float* h = scratch + g.hidden;
    dense<F>(map, g.inputs, g.w1, g.b1, g.hidden, scratch, true);
    dense<F>(scratch, g.hidden, g.w2, g.b2, g.features, h, true);
    dense<F>(h, g.features, g.node, g.node_bias, g.node_width(), node, false);
}

// Class scores of an atom from its own node and its neighbours' nodes; scratch holds message + head
// floats, scores the padded number of classes.
template <class F>
INSITU_HD void score_atom(const GraphNetwork& g, const float* nodes, int own, const int* rows,
                          int count, float* scratch, float* scores) {
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
    float* state = scratch + g.message;
    dense<F>(scratch, g.message, g.gather, mine + 2 * g.message, g.head, state, true);
    dense<F>(state, g.head, g.w4, g.b4, g.classes, scores, false);
}

}  // namespace insitu
