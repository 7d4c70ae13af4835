// SPDX-License-Identifier: BSD-3-Clause
// The network on the whole sample's graph (edge_conv.hpp) on a device: edges by a warp an atom, layers by
// a block for a tile of atoms.
#pragma once

#include "../edge_conv.hpp"
#include "tile_network.hpp"
#include "warp_ball.hpp"

namespace insitu {

// The network's pointers from one array in the order of insitu/models/spatial.py, zeros behind it.
INSITU_HD EdgeNetwork edge_network(const float* w, int species, int width, int layers, int hidden,
                                   int classes, const EdgeSettings& edges) {
    EdgeNetwork g;
    g.species = species;
    g.width = width;
    g.layers = layers;
    g.hidden = hidden;
    g.classes = classes;
    g.edges = edges;
    const auto take = [&w](int rows, int columns) {
        const float* at = w;
        w += rows * columns;
        return at;
    };
    for (int l = 0; l < layers; ++l) {
        const int inputs = l ? width : species;
        g.own[l] = take(inputs, width);
        g.own_bias[l] = take(1, width);
        g.share[l] = take(inputs, width);
        g.edge[l] = take(edges.features(), width);
    }
    g.w1 = take(layers * width, hidden);
    g.b1 = take(1, hidden);
    g.w2 = take(hidden, classes);
    g.b2 = take(1, classes);
    g.zero = w;
    return g;
}

}  // namespace insitu

// Edges (n, words) of each atom, a warp an atom, and the rows of its neighbours (n, padded; -1: none);
// trouble[0] is the largest number of atoms in the search, [1] whether one belongs to nobody.
extern "C" __global__ void spatial_edges(const double* r, const std::int64_t* id,
                                         const std::int32_t* cell, const std::int32_t* runs,
                                         const std::int32_t* places, std::int32_t n,
                                         const std::int32_t* row_of_place, const std::int32_t* kinds,
                                         double radius, double r2, std::int32_t local, double given,
                                         std::int32_t most, std::int32_t radial,
                                         std::int32_t n_kinds, float range, std::int32_t room,
                                         float* edges, std::int32_t* found, std::int32_t* rows,
                                         std::int32_t* trouble) {
    const int lane = warp_lane(), warp = int(threadIdx.x) / kWarp;
    const std::int64_t i = (std::int64_t(blockIdx.x) * blockDim.x + threadIdx.x) / kWarp;
    if (i >= n) return;  // a whole warp
    const EdgeSettings s{most, radial, n_kinds, range};
    const Points p{r, id, cell, runs};
    const WarpBall b = warp_ball(insitu_shared + warp * kBallBytes * room, room);
    const int at = places[i], pad = s.padded();
    double length;
    const int all = warp_collect(p, at, radius, r2, true, local > 0 ? local : most, most + 1, b, length);
    const int known = all < room ? all : room, count = known < most ? known : most;
    if (all > room && lane == 0) atomicMax(trouble, all);
    if (lane == 0) found[i] = count;
    // The next neighbour is where messages end.
    const double end = known > most && b.distance[most] < radius ? b.distance[most] : radius;
    const double unit = local > 0 && known > 0 ? length : given;
    float* to = edges + Size(i) * Size(s.words());
    std::int32_t* list = rows + Size(i) * Size(pad);
    for (int k = lane; k < pad; k += kWarp) {
        float d[3] = {0.0f, 0.0f, 0.0f}, distance = float(end);
        int row = -1, kind = 0;
        if (k < count) {
            const int other = b.place[k];
            for (int axis = 0; axis < 3; ++axis) d[axis] = float(displacement(p, at, other, axis));
            distance = float(b.distance[k]);
            row = row_of_place[other];
            if (row < 0) atomicMax(trouble + 1, 1);
            else kind = kinds[row];
        }
        list[k] = row;
        describe_edge<float>(s, d[0], d[1], d[2], distance, float(kind), float(end), float(unit), to + k);
    }
}

// One layer for a tile of atoms: writes its slice of h (whole tiles, layers * width), and what is shared
// in the next layer, or behind the last one probabilities (n, given). The first reads `kinds` only.
extern "C" __global__ void spatial_layer(const float* weights, std::int32_t species,
                                         std::int32_t width, std::int32_t layers,
                                         std::int32_t hidden, std::int32_t classes,
                                         std::int32_t most, std::int32_t radial,
                                         std::int32_t n_kinds, std::int32_t layer, std::int32_t n,
                                         const float* shared, const std::int32_t* rows,
                                         const float* edges, const std::int32_t* kinds,
                                         std::int32_t tile, float* h, float* next,
                                         float* probabilities, std::int32_t given) {
    const EdgeNetwork g = edge_network(weights, species, width, layers, hidden, classes,
                                       EdgeSettings{most, radial, n_kinds, 1.0f});
    const int thread = int(threadIdx.x), threads = int(blockDim.x), pad = g.edges.padded();
    const Size step = Size(layers) * Size(width);
    const std::int64_t first = std::int64_t(blockIdx.x) * tile;
    float* own = reinterpret_cast<float*>(insitu_shared);
    std::int32_t* list = reinterpret_cast<std::int32_t*>(own + tile * width);
    float* inner = reinterpret_cast<float*>(list + tile * pad);
    float* score = inner + tile * hidden;
    float* mine = h + Size(first) * step + Size(layer) * Size(width);
    for (int t = thread; t < tile * pad; t += threads) {
        const std::int64_t i = first + t / pad;
        const int row = i < n ? rows[Size(i) * Size(pad) + Size(t % pad)] : -1;
        list[t] = layer || row < 0 ? row : kinds[row];
    }
    if (layer == 0) {
        for (int t = thread; t < tile * width; t += threads) {
            const std::int64_t i = first + t / width;
            const int v = t % width;
            own[t] = g.own[0][(i < n ? kinds[i] : 0) * width + v] + g.own_bias[0][v];
        }
        __syncthreads();
    } else {
        tile_dense({mine - width, step, 1}, tile, width, g.own[layer], width, g.own_bias[layer], 0,
                   own, Size(width), false);
    }
    const float* read = layer ? shared : g.share[0];
    for (int t = thread; t < tile * width; t += threads) {
        const int a = t / width, v = t % width;
        int count = 0;
        while (count < most && list[a * pad + count] >= 0) ++count;
        const Size i = Size(first + a < n ? first + a : 0);
        add_largest<1, float>(g.edges, read + v, Size(width), list + a * pad, count,
                              edges + i * Size(g.edges.words()), g.edge[layer] + v, own + t);
        mine[Size(a) * step + Size(v)] = own[t];
    }
    __syncthreads();
    if (layer + 1 < layers) {
        tile_dense({own, Size(width), 1}, tile, width, g.share[layer + 1], width, g.zero, 0,
                   next + Size(first) * Size(width), Size(width), false);
        return;
    }
    tile_dense({h + Size(first) * step, step, 1}, tile, layers * width, g.w1, hidden, g.b1, 0, inner,
               Size(hidden), true);
    tile_dense({inner, Size(hidden), 1}, tile, hidden, g.w2, classes, g.b2, 0, score, Size(classes), false);
    for (int a = thread; a < tile && first + a < n; a += threads)
        softmax<float, std::uint32_t>(score + a * classes, classes, given, probabilities + (first + a) * given);
}
