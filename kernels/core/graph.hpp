// SPDX-License-Identifier: BSD-3-Clause
// The network of the general model for a group of atoms: a perceptron on their maps, then EdgeConv
// layers (Wang et al., arXiv:1801.07829) over their neighbours.
//
//   h0    = ReLU(W2 ReLU(W1 x + b1) + b2)
//   m     = mean over neighbours j of ReLU(A h + a + B h_j)      in each layer
//   h'    = ReLU(S h + s + M m)
//   p     = softmax(W3 h + b3)                                   after the last
//
// The softmax may have one output more than there are classes: the probability that an atom's structure is
// none of them. It is not written; the others then sum to less than 1.
//
// What is linear in h is done once an atom: B h, which its neighbours read, is kept as `shared`;
// A h + a and S h + s, side by side its `own` part, are made where they are used: less to store.
//
// Lanes are outputs of a layer and every output sums over its inputs in order, so neither their number
// nor the number of atoms at a time changes a bit. The CPU build passes vectors of lanes, the CUDA
// build single floats. M atoms share each load of a weight.
#pragma once

#include "config.hpp"
#include "powers.hpp"

namespace insitu {



constexpr int kMostLayers = 4;

struct GraphNetwork {
    // Widths; all but the inputs are padded with zero weights to a multiple of kMostLanes.
    int inputs, hidden, features, message, classes, layers;
    int outputs;  // of the softmax, without padding; 0: as many as classes are asked for
    // Weights (inputs, outputs), outputs contiguous.
    const float *w1, *b1, *w2, *b2, *w3, *b3;
    const float *share[kMostLayers], *share_bias[kMostLayers];  // B, 0
    const float *own[kMostLayers], *own_bias[kMostLayers];      // A and S, a and s
    const float* gather[kMostLayers];                           // M

    INSITU_HD int own_width() const { return message + features; }
};

// Outputs of the softmax of which so many are written.
INSITU_HD int outputs_of(const GraphNetwork& g, int classes) {
    return g.outputs > classes ? g.outputs : classes;
}

// Scratch of a layer for each atom.
INSITU_HD int graph_words(const GraphNetwork& g) { return g.own_width() + g.message + g.classes; }

// A matrix of inputs: atom m, input i is at at[m * atom + i * input].
struct Inputs {
    const float* at;
    Size atom, input;
};

template <class F>
INSITU_HD F lanes_at(const float* p) {
    F v;
    memcpy(&v, p, sizeof(v));
    return v;
}

template <class F>
INSITU_HD F zeros() {
    F v;
    memset(&v, 0, sizeof(v));
    return v;
}

template <class F>
INSITU_HD F rectified(F v) {
    const F zero = zeros<F>();
    return v > zero ? v : zero;
}

// V vectors of outputs of M atoms: out = in * w + start, `start` with `step` floats from atom to atom.
template <int M, int V, class F>
INSITU_HD void dense_tile(const Inputs& in, int n, const float* w, int stride, const float* start,
                          Size step, float* out, Size out_step, bool relu) {
    constexpr int lanes = int(sizeof(F) / sizeof(float));
    F sum[M][V];
INSITU_UNROLL(8)
    for (int m = 0; m < M; ++m)
INSITU_UNROLL(8)
        for (int v = 0; v < V; ++v) sum[m][v] = lanes_at<F>(start + Size(m) * step + v * lanes);
    for (int i = 0; i < n; ++i) {
        F weight[V];
INSITU_UNROLL(8)
        for (int v = 0; v < V; ++v) weight[v] = lanes_at<F>(w + i * stride + v * lanes);
INSITU_UNROLL(8)
        for (int m = 0; m < M; ++m) {
            const float x = in.at[Size(m) * in.atom + Size(i) * in.input];
INSITU_UNROLL(8)
            for (int v = 0; v < V; ++v) sum[m][v] += x * weight[v];
        }
    }
INSITU_UNROLL(8)
    for (int m = 0; m < M; ++m)
INSITU_UNROLL(8)
        for (int v = 0; v < V; ++v) {
            const F value = relu ? rectified(sum[m][v]) : sum[m][v];
            memcpy(out + Size(m) * out_step + v * lanes, &value, sizeof(F));
        }
}

template <int M, class F>
INSITU_HD void dense_rows(const Inputs& in, int n, const float* w, int outputs, const float* start,
                          Size step, float* out, Size out_step, bool relu) {
    constexpr int lanes = int(sizeof(F) / sizeof(float));
    int v = 0;
    for (; v + 2 * lanes <= outputs; v += 2 * lanes)
        dense_tile<M, 2, F>(in, n, w + v, outputs, start + v, step, out + v, out_step, relu);
    for (; v < outputs; v += lanes)
        dense_tile<M, 1, F>(in, n, w + v, outputs, start + v, step, out + v, out_step, relu);
}

// out = in * w + start for `count` atoms.
template <int M, class F>
INSITU_HD void dense(Inputs in, int count, int n, const float* w, int outputs, const float* start,
                     Size step, float* out, Size out_step, bool relu) {
    for (; count >= M; count -= M) {
        dense_rows<M, F>(in, n, w, outputs, start, step, out, out_step, relu);
        in.at += M * in.atom;
        start += M * step;
        out += M * out_step;
    }
    for (; count > 0; --count) {
        dense_rows<1, F>(in, n, w, outputs, start, step, out, out_step, relu);
        in.at += in.atom;
        start += step;
        out += out_step;
    }
}

// What the neighbours of some atoms read of their features (count, g.features) in a layer.
template <int M, class F>
INSITU_HD void share_features(const GraphNetwork& g, int layer, const float* h, int count,
                              float* shared) {
    dense<M, F>({h, Size(g.features), 1}, count, g.features, g.share[layer], g.message,
                g.share_bias[layer], 0, shared, Size(g.message), false);
}

// First features and shared parts of a group's atoms from their maps (inputs, width of the group).
// scratch holds width * hidden floats.
template <int M, class F>
INSITU_HD void embed_group(const GraphNetwork& g, const float* maps, int width, int count,
                           float* scratch, float* h, float* shared) {
    dense<M, F>({maps, 1, Size(width)}, count, g.inputs, g.w1, g.hidden, g.b1, 0, scratch,
                Size(g.hidden), true);
    dense<M, F>({scratch, Size(g.hidden), 1}, count, g.hidden, g.w2, g.features, g.b2, 0, h,
                Size(g.features), true);
    share_features<M, F>(g, 0, h, count, shared);
}

template <int V, class F>
INSITU_HD void mean_part(const float* shared, Size width, const int* rows, int count,
                         const float* own, float* out) {
    constexpr int lanes = int(sizeof(F) / sizeof(float));
    F a[V], sum[V];
INSITU_UNROLL(4)
    for (int v = 0; v < V; ++v) {
        a[v] = lanes_at<F>(own + v * lanes);
        sum[v] = zeros<F>();
    }
    for (int k = 0; k < count; ++k) {
        const float* other = shared + Size(rows[k]) * width;
INSITU_UNROLL(4)
        for (int v = 0; v < V; ++v) sum[v] += rectified(a[v] + lanes_at<F>(other + v * lanes));
    }
    const float part = count ? 1.0f / float(count) : 0.0f;
INSITU_UNROLL(4)
    for (int v = 0; v < V; ++v) {
        sum[v] *= part;
        memcpy(out + v * lanes, &sum[v], sizeof(F));
    }
}

// Mean message to an atom from its neighbours: rows of `shared`, -1 after the last.
template <class F>
INSITU_HD void mean_message(const GraphNetwork& g, const float* shared, const int* rows, int most,
                            const float* own, float* out) {
    constexpr int lanes = int(sizeof(F) / sizeof(float));
    const Size width = Size(g.message);
    int count = 0, at = 0;
    while (count < most && rows[count] >= 0) ++count;
    for (; at + 2 * lanes <= g.message; at += 2 * lanes)
        mean_part<2, F>(shared + at, width, rows, count, own + at, out + at);
    for (; at < g.message; at += lanes)
        mean_part<1, F>(shared + at, width, rows, count, own + at, out + at);
}

template <class F, class U>
INSITU_HD void softmax(float* score, int padded, int outputs, int classes, float* out) {
    constexpr int lanes = int(sizeof(F) / sizeof(float));
    float top = score[0], sum = 0.0f;
    for (int c = 1; c < outputs; ++c) top = score[c] > top ? score[c] : top;
    for (int c = 0; c < padded; c += lanes) {
        const F e = exp2_lanes<F, U>((lanes_at<F>(score + c) - top) * 1.44269504f);
        memcpy(score + c, &e, sizeof(F));
    }
    for (int c = 0; c < outputs; ++c) sum += score[c];
    const float part = 1.0f / sum;
    for (int c = 0; c < classes; ++c) out[c] = score[c] * part;
}

// Asks for what an atom's neighbours share, which lies anywhere, before it is needed.
INSITU_HD void fetch_ahead(const GraphNetwork& g, const float* shared, const int* rows, int most) {
#ifndef INSITU_CUDA
    for (int k = 0; k < most && rows[k] >= 0; ++k)
        for (int at = 0; at < g.message; at += kMostLanes)
            __builtin_prefetch(shared + Size(rows[k]) * Size(g.message) + at, 0, 2);
#endif
}

// One layer for `count` atoms, whose features h are replaced by the next ones and their shared parts
// written to `next`; after the last layer `probabilities` (count, classes) are written instead. The
// rows of `ahead` more atoms are known. scratch holds count * graph_words(g) floats.
template <int M, class F, class U>
INSITU_HD void convolve_group(const GraphNetwork& g, int layer, const float* shared, const int* rows,
                              int most, int count, int ahead, float* h, float* scratch,
                              float* next, float* probabilities, int classes) {
    const Size width = Size(g.own_width());
    float* own = scratch;
    float* messages = own + Size(count) * width;
    for (int i = 0; i < count && i < ahead; ++i)
        fetch_ahead(g, shared, rows + Size(i + count) * Size(most), most);
    dense<M, F>({h, Size(g.features), 1}, count, g.features, g.own[layer], g.own_width(),
                g.own_bias[layer], 0, own, width, false);
    for (int i = 0; i < count; ++i)
        mean_message<F>(g, shared, rows + Size(i) * Size(most), most, own + Size(i) * width,
                        messages + Size(i) * Size(g.message));
    dense<M, F>({messages, Size(g.message), 1}, count, g.message, g.gather[layer], g.features,
                own + g.message, width, h, Size(g.features), true);
    if (layer + 1 < g.layers) {
        share_features<M, F>(g, layer + 1, h, count, next);
        return;
    }
    float* score = messages + Size(count) * Size(g.message);
    dense<M, F>({h, Size(g.features), 1}, count, g.features, g.w3, g.classes, g.b3, 0, score,
                Size(g.classes), false);
    for (int i = 0; i < count; ++i)
        softmax<F, U>(score + Size(i) * Size(g.classes), g.classes, outputs_of(g, classes), classes,
                      probabilities + Size(i) * Size(classes));
}

}  // namespace insitu
