// SPDX-License-Identifier: BSD-3-Clause
// Entry points of the device: what CuPy compiles at run time (insitu/gpu/sources.py joins the headers into
// one text), nvcc and NVRTC in the tests, and a CPU that plays the threads.
#define INSITU_CUDA

#include "cell_list.hpp"
#include "edge_kernels.hpp"
#include "graph_kernels.hpp"
#include "thread.hpp"
#include "warp_ball.hpp"
#include "warp_map.hpp"
#include "warp_ties.hpp"

using namespace insitu;

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

// Label (-1: unknown, also below the limit of its class) and confidence of each atom, and for each class,
// unknown last, the number of atoms and the sum of their confidence in units of 2^-32: whole numbers, so
// that no order changes them. Atoms that are not `selected` (null: all are) count in nothing.
extern "C" __global__ void phase_labels(const float* probabilities, const std::int32_t* found,
                                        const unsigned char* selected, std::int32_t n,
                                        std::int32_t classes, const float* limits, std::int32_t fewest,
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
        const bool sure = p[best] >= limits[best] && p[best] >= none && found[i] >= fewest;
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
