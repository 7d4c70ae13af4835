// SPDX-License-Identifier: BSD-3-Clause
// Entry points: the network on the whole sample's graph.
#pragma once

#include "thread.hpp"
#include "tile_network.hpp"
#include "warp_ball.hpp"
#include "warp_ties.hpp"

using namespace insitu;

// Neighbours and edges of each atom, a warp an atom (edge_conv.hpp). `rows` and `kinds_near` (n, padded)
// are their rows and species, -1 after the last; `kind` the species of the rows. directions (n,
// fields, padded) are written if there are power spectra.
extern "C" __global__ void edge_balls(const double* r, const std::int64_t* id,
                                      const std::int32_t* cell, const std::int32_t* runs,
                                      const std::int32_t* places, std::int32_t n,
                                      const std::int32_t* row_of_place, const std::int32_t* kind,
                                      double radius, double r2, double unit, std::int32_t local,
                                      std::int32_t most, std::int32_t radial, std::int32_t kinds,
                                      std::int32_t degree, std::int32_t moments, float range,
                                      std::int32_t room, std::int32_t* rows,
                                      std::int32_t* kinds_near, float* edges, float* directions,
                                      std::int32_t* found, std::int32_t* trouble) {
    const int lane = warp_lane(), warp = int(threadIdx.x) / kWarp;
    const std::int64_t i = thread_number() / kWarp;
    if (i >= n) return;  // a whole warp
    const Points p{r, id, cell, runs};
    const WarpBall b = warp_ball(insitu_shared + warp * kBallBytes * room, room);
    const EdgeSettings s{most, radial, kinds, range, degree, moments};
    const int at = places[i], pad = s.padded();
    double length;
    bool tied;  // equal distances stay in the order of ids: weights are 0 where the neighbours end
    const int all = warp_collect(p, at, radius, r2, true, local > 0 ? local : most, most + 1, b, length, tied);
    const int known = all < room ? all : room, count = known < most ? known : most;
    if (all > room && lane == 0) atomicMax(trouble, all);
    if (lane == 0) found[i] = count;
    // One more than the neighbours: where it lies is the cut-off.
    const double end = known > most ? b.distance[most] : radius;
    const float cut = float(end < radius ? end : radius);
    const float unit_here = float(local > 0 && known ? length : unit);
    const auto put_edge = [&](int slot, int place, double away, int row, int whose) {
        rows[i * pad + slot] = row;
        kinds_near[i * pad + slot] = whose;
        describe_edge<float>(s, float(displacement(p, at, place, 0)), float(displacement(p, at, place, 1)),
                             float(displacement(p, at, place, 2)), float(away), float(whose < 0 ? 0 : whose),
                             cut, unit_here, edges + i * s.words() + slot,
                             directions + (degree ? i * s.direction_words() + slot : 0));
    };
    int slot = 0;
    for (int sort = 0; sort < kinds; ++sort) {  // in order of their species
        const int before = slot;
        for (int from = 0; from < count; from += kWarp) {
            const int k = from + lane;
            const int row = k < count ? row_of_place[b.place[k]] : -1;
            if (k < count && row < 0) atomicMax(trouble + 1, 1);
            const int whose = row < 0 ? 0 : kind[row];
            const bool in = k < count && (kinds == 1 || whose == sort);
            const unsigned votes = __ballot_sync(kWholeWarp, in);
            if (in) put_edge(slot + __popc(votes & ((1u << lane) - 1u)), b.place[k], b.distance[k], row, whose);
            slot += __popc(votes);
        }
        if (kinds > 1 && lane == 0) edges[i * s.words() + s.counts() + sort] = float(slot - before);
    }
    for (int k = slot + lane; k < pad; k += kWarp) put_edge(k, at, cut, -1, -1);
}

// The power spectra's part of the first layer, for a tile of atoms: a kernel of its own, since it takes
// more registers than the layers do. h (whole tiles, layers * width).
extern "C" __global__ void edge_spectra(const float* weights, std::int32_t species, std::int32_t width,
                                        std::int32_t layers, std::int32_t hidden, std::int32_t classes,
                                        std::int32_t most, std::int32_t radial, std::int32_t kinds,
                                        std::int32_t degree, std::int32_t moments, float range,
                                        std::int32_t n, const float* directions, std::int32_t tile,
                                        float* h) {
    const EdgeNetwork g = edge_network(weights, {species, width, layers, hidden, classes, most, radial,
                                                 kinds, degree, moments, range});
    const Size step = Size(layers) * Size(width);
    const std::int64_t first = std::int64_t(blockIdx.x) * tile;
    tile_spectra(g, directions, first, n, tile, reinterpret_cast<float*>(insitu_shared),
                 h + first * std::int64_t(step), step);
}

// One layer for a tile of atoms: as edge_layer() of edge_conv.hpp. h (whole tiles, layers * width) holds
// the power spectra's part, if there is one, and is completed.
extern "C" __global__ void edge_convolve(const float* weights, std::int32_t species, std::int32_t width,
                                         std::int32_t layers, std::int32_t hidden,
                                         std::int32_t classes, std::int32_t most, std::int32_t radial,
                                         std::int32_t kinds, std::int32_t degree,
                                         std::int32_t moments, float range, std::int32_t layer,
                                         std::int32_t n, const float* shared, const std::int32_t* rows,
                                         const float* edges, const std::int32_t* kind,
                                         std::int32_t tile, float* h, float* next,
                                         float* probabilities, std::int32_t given) {
    const EdgeNetwork g = edge_network(weights, {species, width, layers, hidden, classes, most, radial,
                                                 kinds, degree, moments, range});
    const int thread = int(threadIdx.x), threads = int(blockDim.x);
    const int pad = g.edges.padded(), words = g.edges.words();
    const Size step = Size(layers) * Size(width);
    const std::int64_t first = std::int64_t(blockIdx.x) * tile;
    float* all = h + first * std::int64_t(step);
    float* out = all + layer * width;
    if (layer == 0) {  // the product with a one-hot vector is a row
        for (int t = thread; t < tile * width; t += threads) {
            const int a = t / width, v = t % width;
            const int whose = first + a < n ? kind[first + a] : 0;
            float* to = out + Size(a) * step + Size(v);
            *to = g.own[0][whose * width + v] + g.own_bias[0][v] + (degree ? *to : 0.0f);
        }
        __syncthreads();
    } else {
        tile_dense({out - width, step, 1}, tile, width, g.own[layer], width, g.own_bias[layer], 0, out,
                   step, false);
    }
    for (int t = thread; t < tile * width; t += threads) {
        const int a = t / width, v = t % width;
        const std::int64_t i = first + a;
        if (i >= n) continue;
        const std::int32_t* list = rows + i * pad;
        int count = 0;
        while (count < most && list[count] >= 0) ++count;
        add_largest<1, float>(g.edges, (layer ? shared : g.share[0]) + v, Size(width), list, count,
                              edges + i * words, g.edge[layer] + v, out + Size(a) * step + Size(v));
    }
    __syncthreads();
    if (layer + 1 < layers) {
        tile_dense({out, step, 1}, tile, width, g.share[layer + 1], width, g.zero, 0,
                   next + first * width, Size(width), false);
        return;
    }
    float* scratch = reinterpret_cast<float*>(insitu_shared);
    float* score = scratch + tile * hidden;
    tile_dense({all, step, 1}, tile, layers * width, g.w1, hidden, g.b1, 0, scratch, Size(hidden), true);
    tile_dense({scratch, Size(hidden), 1}, tile, hidden, g.w2, classes, g.b2, 0, score, Size(classes), false);
    for (int a = thread; a < tile && first + a < n; a += threads)
        softmax<float, std::uint32_t>(score + a * classes, classes, given, given,
                                      probabilities + (first + a) * given);
}
