// SPDX-License-Identifier: BSD-3-Clause
// The general model's network for a tile of atoms by a block of threads: the layers of graph.hpp, each
// thread with a small part of a layer's outputs. What a tile needs of a layer stays in shared memory.
#pragma once

#include "../core/edge_conv.hpp"
#include "../core/graph.hpp"
#include "../core/shared_memory.hpp"

namespace insitu {

constexpr int kTileAtoms = 4, kTileOutputs = 4;  // of a thread at a time; tiles are multiples of it

// out = in * w + start for a tile of `count` atoms.
INSITU_HD void tile_dense(Inputs in, int count, int n, const float* w, int outputs, const float* start,
                          Size step, float* out, Size out_step, bool relu) {
    const int wide = outputs / kTileOutputs, parts = count / kTileAtoms * wide;
    for (int t = int(threadIdx.x); t < parts; t += int(blockDim.x)) {
        const Size m = Size(t / wide) * kTileAtoms, v = Size(t % wide) * kTileOutputs;
        dense_tile<kTileAtoms, kTileOutputs, float>({in.at + m * in.atom, in.atom, in.input}, n, w + v,
                                                    outputs, start + m * step + v, step,
                                                    out + m * out_step + v, out_step, relu);
    }
    __syncthreads();
}

// The network's pointers from one array in the order of insitu/models/engines/graph.py.
INSITU_HD GraphNetwork graph_network(const float* w, int inputs, int hidden, int features, int message,
                                     int classes, int layers) {
    GraphNetwork g;
    g.inputs = inputs;
    g.hidden = hidden;
    g.features = features;
    g.message = message;
    g.classes = classes;
    g.layers = layers;
    g.outputs = 0;
    const auto take = [&w](int rows, int columns) {
        const float* at = w;
        w += rows * columns;
        return at;
    };
    g.w1 = take(inputs, hidden);
    g.b1 = take(1, hidden);
    g.w2 = take(hidden, features);
    g.b2 = take(1, features);
    for (int l = 0; l < layers; ++l) {
        g.share[l] = take(features, message);
        g.own[l] = take(features, g.own_width());
        g.share_bias[l] = take(1, message);
        g.own_bias[l] = take(1, g.own_width());
        g.gather[l] = take(message, features);
    }
    g.w3 = take(features, classes);
    g.b3 = take(1, classes);
    return g;
}

// Widths of a network on the whole sample's graph, and its pointers from one array: `width` zeros, then
// what insitu/models/engines/spatial.py packs.
struct EdgeWidths {
    std::int32_t species, width, layers, hidden, classes, most, radial, kinds, degree, moments;
    float range;
};

INSITU_HD EdgeNetwork edge_network(const float* w, const EdgeWidths& of) {
    EdgeNetwork g;
    g.species = of.species;
    g.width = of.width;
    g.layers = of.layers;
    g.hidden = of.hidden;
    g.classes = of.classes;
    g.edges = {of.most, of.radial, of.kinds, of.range, of.degree, of.moments};
    const auto take = [&w](int rows, int columns) {
        const float* at = w;
        w += rows * columns;
        return at;
    };
    g.zero = take(1, of.width);
    for (int l = 0; l < of.layers; ++l) {
        const int inputs = l ? of.width : of.species;
        g.own[l] = take(inputs, of.width);
        g.own_bias[l] = take(1, of.width);
        g.share[l] = take(inputs, of.width);
        g.edge[l] = take(g.edges.features() * of.kinds, of.width);
        if (l == 0) g.spectra = take(g.edges.spectra().values(), of.width);
    }
    g.w1 = take(of.layers * of.width, of.hidden);
    g.b1 = take(1, of.hidden);
    g.w2 = take(of.hidden, of.classes);
    g.b2 = take(1, of.classes);
    return g;
}

// What the power spectra of a tile of `count` atoms give to the first layer's outputs. `first` to `end`
// are the atoms that there are; shared holds
// count * spectra_tile_words() floats.
INSITU_HD void tile_spectra(const EdgeNetwork& g, const float* directions, std::int64_t first,
                            std::int64_t end, int count, float* shared, float* out, Size step) {
    const EdgeSettings& e = g.edges;
    const Spectra s = e.spectra();
    const int values = s.values();
    float* work = shared + count * values;
    for (int a = int(threadIdx.x); a < count; a += int(blockDim.x)) {
        if (first + a < end) {
            power_spectra<4, float>(s, e.most, e.padded(), directions + (first + a) * e.direction_words(), 1,
                                    work + a, shared + a, Size(count));
        } else {
            for (int q = 0; q < values; ++q) shared[q * count + a] = 0.0f;
        }
    }
    __syncthreads();
    tile_dense({shared, 1, Size(count)}, count, values, g.spectra, g.width, g.zero, 0, out, step, false);
}

}  // namespace insitu
