// SPDX-License-Identifier: BSD-3-Clause
// Entry points: scale-free balls and the general model's network.
#pragma once

#include "thread.hpp"
#include "tile_network.hpp"
#include "warp_ball.hpp"
#include "warp_map.hpp"
#include "warp_ties.hpp"

using namespace insitu;

// Ball and graph neighbours of each atom, a warp an atom. points receives (n, ball, 3) displacements
// in local lengths; trouble[0] the largest number of neighbours, [1] whether one belongs to nobody.
extern "C" __global__ void graph_balls(const double* r, const std::int64_t* id,
                                       const std::int32_t* cell, const std::int32_t* runs,
                                       const std::int32_t* places, std::int32_t n,
                                       const std::int32_t* row_of_place, double cutoff, double r2,
                                       double near, std::int32_t ball, std::int32_t local,
                                       std::int32_t most, std::int32_t room, float* points,
                                       std::int32_t* found, std::int32_t* rows,
                                       std::int32_t* trouble) {
    const int lane = warp_lane(), warp = int(threadIdx.x) / kWarp;
    const std::int64_t i = thread_number() / kWarp;
    if (i >= n) return;  // a whole warp
    const Points p{r, id, cell, runs};
    const WarpBall b = warp_ball(insitu_shared + warp * kBallBytes * room, room);
    const int at = places[i];
    double length;
    bool tied;
    const int all = warp_collect(p, at, cutoff, r2, true, local, ball, b, length, tied);
    const int known = all < room ? all : room, count = known < ball ? known : ball;
    if (tied) warp_by_geometry(p, at, known, ball, ball, 1.0 / (kTie * length), {nullptr, 0, 1}, b);
    if (all > room && lane == 0) atomicMax(trouble, all);
    const int enough = ball > local ? ball : local;
    if (lane == 0) found[i] = all < enough ? all : enough;
    const double scale = 1.0 / length;
    float* to = points + std::int64_t(3) * ball * i;
    for (int k = lane; k < 3 * ball; k += kWarp)
        to[k] = k / 3 < count ? float(displacement(p, at, b.place[k / 3], k % 3) * scale) : 0.0f;
    int kept = 0;
    std::int32_t* list = rows + std::int64_t(most) * i;
    const int last = whole_shells(most < count ? most : count, known, tied, b);
    for (int from = 0; from < last; from += kWarp) {
        const int k = from + lane;
        const bool in = k < last && b.distance[k] <= near;
        const unsigned votes = __ballot_sync(kWholeWarp, in);
        const int slot = kept + __popc(votes & ((1u << lane) - 1u));
        if (in) {
            const int row = row_of_place[b.place[k]];
            list[slot] = row;
            if (row < 0) atomicMax(trouble + 1, 1);
        }
        kept += __popc(votes);
    }
    for (int k = kept + lane; k < most; k += kWarp) list[k] = -1;
}

// Images of a tile of atoms and the perceptron on them; h and shared have room for whole tiles.
extern "C" __global__ void graph_embed(const float* points, const std::int32_t* found, std::int32_t n,
                                       std::int32_t size, std::int32_t ball, float gamma, float beta,
                                       const float* weights, std::int32_t hidden,
                                       std::int32_t features, std::int32_t message,
                                       std::int32_t classes, std::int32_t layers, std::int32_t tile,
                                       float* h, float* shared) {
    const GraphNetwork g = graph_network(weights, size * size, hidden, features, message, classes, layers);
    const GroupSettings s{size, ball, gamma, beta};
    const int pixels = size * size, stride = image_stride(pixels), words = ball_words(ball);
    const int threads = int(blockDim.x), thread = int(threadIdx.x);
    float* images = reinterpret_cast<float*>(insitu_shared);
    float* scratch = images + tile * stride;  // the balls, then the hidden layer
    const std::int64_t first = std::int64_t(blockIdx.x) * tile;
    for (int t = thread; t < tile * words; t += threads) {
        const std::int64_t i = first + t / words;
        const int k = t % words;
        scratch[t] = i < n && k >= 3 ? points[std::int64_t(3) * ball * i + k - 3] : 0.0f;
    }
    __syncthreads();
    for (int t = thread; t < tile * size; t += threads) {
        const int a = t / size, row = t % size;
        const std::int64_t i = first + a;
        const int count = i < n ? (found[i] < ball ? found[i] : ball) : 0;
        image_row_of(s, scratch + a * words, count, row <= count ? row : 0, images + a * stride + row * size);
        if (row > count)
            for (int k = 0; k < size; ++k) images[a * stride + row * size + k] = 0.0f;
    }
    __syncthreads();
    tile_dense({images, Size(stride), 1}, tile, pixels, g.w1, hidden, g.b1, 0, scratch, Size(hidden), true);
    float* mine = h + first * features;
    tile_dense({scratch, Size(hidden), 1}, tile, hidden, g.w2, features, g.b2, 0, mine, Size(features), true);
    tile_dense({mine, Size(features), 1}, tile, features, g.share[0], message, g.share_bias[0], 0,
               shared + first * message, Size(message), false);
}

// One EdgeConv layer for a tile of atoms; after the last one probabilities (n, given) of so many outputs.
extern "C" __global__ void graph_convolve(const float* weights, std::int32_t inputs, std::int32_t hidden,
                                          std::int32_t features, std::int32_t message,
                                          std::int32_t classes, std::int32_t layers,
                                          std::int32_t layer, std::int32_t n, const float* shared,
                                          const std::int32_t* rows, std::int32_t most,
                                          std::int32_t tile, float* h, float* next,
                                          float* probabilities, std::int32_t given,
                                          std::int32_t outputs) {
    const GraphNetwork g = graph_network(weights, inputs, hidden, features, message, classes, layers);
    const int wide = g.own_width(), thread = int(threadIdx.x), threads = int(blockDim.x);
    float* own = reinterpret_cast<float*>(insitu_shared);
    float* messages = own + tile * wide;
    float* score = messages + tile * message;
    const std::int64_t first = std::int64_t(blockIdx.x) * tile;
    float* mine = h + first * features;
    tile_dense({mine, Size(features), 1}, tile, features, g.own[layer], wide, g.own_bias[layer], 0, own,
               Size(wide), false);
    for (int t = thread; t < tile * message; t += threads) {
        const int a = t / message, v = t % message;
        int count = 0;
        if (first + a < n) {
            const std::int32_t* list = rows + (first + a) * most;
            while (count < most && list[count] >= 0) ++count;
            mean_part<1, float>(shared + v, Size(message), list, count, own + a * wide + v, messages + t);
        } else {
            messages[t] = 0.0f;
        }
    }
    __syncthreads();
    tile_dense({messages, Size(message), 1}, tile, message, g.gather[layer], features, own + message,
               Size(wide), mine, Size(features), true);
    if (layer + 1 < layers) {
        tile_dense({mine, Size(features), 1}, tile, features, g.share[layer + 1], message,
                   g.share_bias[layer + 1], 0, next + first * message, Size(message), false);
        return;
    }
    tile_dense({mine, Size(features), 1}, tile, features, g.w3, classes, g.b3, 0, score, Size(classes), false);
    for (int a = thread; a < tile && first + a < n; a += threads)
        softmax<float, std::uint32_t>(score + a * classes, classes, outputs, given,
                                      probabilities + (first + a) * given);
}
