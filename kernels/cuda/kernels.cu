// SPDX-License-Identifier: BSD-3-Clause
// Entry points of the device: what CuPy compiles at run time (insitu/device.py joins the headers into
// one text), nvcc and NVRTC in the tests, and a CPU that plays the threads.
#define INSITU_CUDA

#include "tile_network.hpp"
#include "warp_ball.hpp"
#include "warp_map.hpp"
#include "warp_ties.hpp"

extern __shared__ unsigned char insitu_shared[];  // of the size given at launch

using namespace insitu;

namespace {

INSITU_HD std::int64_t thread_number() {
    return std::int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
}

// First place whose key is not below `key`.
INSITU_HD std::int32_t lower_bound(const std::int64_t* keys, std::int32_t count, std::int64_t key) {
    std::int32_t from = 0;
    while (count > 0) {
        const std::int32_t half = count / 2;
        if (keys[from + half] < key) {
            from += half + 1;
            count -= half + 1;
        } else {
            count = half;
        }
    }
    return from;
}

}  // namespace

// --- cell list ---------------------------------------------------------------------------------------

// Number of the cell of each point: 21 bits an axis, x in the lowest. Cells without points cost
// nothing, so neither vacuum nor an atom far away does.
extern "C" __global__ void cell_keys(const double* r, std::int32_t n, double x, double y, double z,
                                     double inverse, std::int64_t* keys) {
    const std::int64_t i = thread_number();
    if (i >= n) return;
    const std::int64_t cx = std::int64_t((r[3 * i] - x) * inverse) + 1;
    const std::int64_t cy = std::int64_t((r[3 * i + 1] - y) * inverse) + 1;
    const std::int64_t cz = std::int64_t((r[3 * i + 2] - z) * inverse) + 1;
    keys[i] = (cz << 42) + (cy << 21) + cx;
}

// Points around each cell that holds any, as nine runs of the order by key; cell_of is the number of
// each point's cell. One thread a point and run; that of a cell's first point does the work.
extern "C" __global__ void cell_runs(const std::int64_t* keys, std::int32_t n,
                                     const std::int32_t* cell_of, std::int32_t* runs) {
    const std::int64_t t = thread_number(), i = t / 9;
    const int k = int(t % 9);
    if (i >= n || (i > 0 && keys[i - 1] == keys[i])) return;
    const std::int64_t row =
        keys[i] + (std::int64_t(k / 3 - 1) << 42) + (std::int64_t(k % 3 - 1) << 21);
    std::int32_t* run = runs + 18 * std::int64_t(cell_of[i]) + 2 * k;
    run[0] = lower_bound(keys, n, row - 1);
    run[1] = lower_bound(keys, n, row + 2);
}

// Owned points among all in cell order: their places, and the row of each, -1 for ghosts. `before`
// counts the owned ones up to and with each place.
extern "C" __global__ void owned_places(const std::int64_t* index, const std::int32_t* before,
                                        std::int32_t n, std::int32_t n_local, std::int32_t* places,
                                        std::int32_t* row_of_place) {
    const std::int64_t at = thread_number();
    if (at >= n) return;
    const bool owned = index[at] < n_local;
    if (owned) places[before[at] - 1] = std::int32_t(at);
    row_of_place[at] = owned ? before[at] - 1 : -1;
}

// --- scale-free balls and the general model's network -----------------------------------------------

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
    const int pixels = size * size, stride = pixels | 1, words = 3 * (ball + 1);
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

// --- the network on the whole sample's graph --------------------------------------------------------

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

// --- Neighbors Maps of any ball ------------------------------------------------------------------------

// Images (n, channels, size, size) of `n` places, a warp an atom; weight is (channels, points) by place.
extern "C" __global__ void neighbors_maps(const double* r, const std::int64_t* id,
                                          const std::int32_t* cell, const std::int32_t* runs,
                                          const std::int32_t* places, std::int32_t n, double cutoff,
                                          double r2, std::int32_t scale_free, std::int32_t ball,
                                          std::int32_t local, std::int32_t size, std::int32_t channels,
                                          float gamma, float beta, const float* weight,
                                          std::int64_t points, std::int32_t room, float* images,
                                          std::int32_t* found, std::int32_t* trouble) {
    const int lane = warp_lane(), warp = int(threadIdx.x) / kWarp;
    const std::int64_t i = thread_number() / kWarp;
    if (i >= n) return;  // a whole warp
    unsigned char* shared = insitu_shared + warp * ((kBallBytes + kMapBytes) * room + 4 * kTileWords);
    const Points p{r, id, cell, runs};
    const WarpBall b = warp_ball(shared, room - 1);
    const MapPoints m = map_points(shared + kBallBytes * room, room);
    float* tile = reinterpret_cast<float*>(shared + (kBallBytes + kMapBytes) * room);
    const int at = places[i], keep = scale_free ? ball : size - 1;
    double length;
    bool tied;
    const int all = warp_collect(p, at, cutoff, r2, scale_free != 0, local, keep, b, length, tied);
    if (all > b.room && lane == 0) atomicMax(trouble, all);
    const int known = all < b.room ? all : b.room;
    const int count = scale_free && known > ball ? ball : known;
    const Colors color{weight, Size(points), channels};
    if (tied) warp_by_geometry(p, at, known, count, keep, 1.0 / (kTie * length), color, b);
    const int enough = ball > local ? ball : local;
    if (lane == 0) found[i] = scale_free && all > enough ? enough : all;
    const double scale = scale_free ? 1.0 / length : 1.0;
    const MapSettings s{size, channels, gamma, float(kTie * length * scale)};
    warp_image(s, beta, p, color, at, count, scale, b, m, tile, images + i * channels * size * size);
}

// --- labels --------------------------------------------------------------------------------------------

// Label (-1: unknown) and confidence of each atom, and for each class, unknown last, the number of atoms
// and the sum of their confidence in units of 2^-32: whole numbers, so that no order changes them. Atoms
// that are not `selected` (null: all are) count in nothing.
extern "C" __global__ void phase_labels(const float* probabilities, const std::int32_t* found,
                                        const unsigned char* selected, std::int32_t n,
                                        std::int32_t classes, float threshold, std::int32_t fewest,
                                        std::int32_t* labels, float* confidence,
                                        unsigned long long* sums) {
    auto* part = reinterpret_cast<unsigned long long*>(insitu_shared);
    const int entries = 2 * (classes + 1) + 1;
    for (int t = int(threadIdx.x); t < entries; t += int(blockDim.x)) part[t] = 0;
    __syncthreads();
    const std::int64_t i = thread_number();
    if (i < n) {
        const float* p = probabilities + i * classes;
        int best = 0;
        float none = 1.0f;  // what is left for structures that are no class
        for (int c = 0; c < classes; ++c) {
            none -= p[c];
            if (p[c] > p[best]) best = c;
        }
        const bool sure = p[best] >= threshold && p[best] >= none && found[i] >= fewest;
        labels[i] = sure ? best : -1;
        confidence[i] = p[best];
        if (!selected || selected[i]) {
            const int column = sure ? best : classes;
            atomicAdd(part + column, 1ull);
            atomicAdd(part + classes + 1 + column, (unsigned long long)(double(p[best]) * 4294967296.0));
            atomicAdd(part + entries - 1, (unsigned long long)found[i]);
        }
    }
    __syncthreads();
    for (int t = int(threadIdx.x); t < entries; t += int(blockDim.x))
        if (part[t]) atomicAdd(sums + t, part[t]);
}
