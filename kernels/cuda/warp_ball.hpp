// SPDX-License-Identifier: BSD-3-Clause
// The ball of one atom by one warp: search and distances (their order: warp_ties.hpp). CUDA only (tests
// run it on a CPU that plays the threads).
//
// Decisions (who is in the ball, which distances are equal) are made in double without fused
// multiply-add, as the CPU makes them; 300 such operations an atom are nothing beside its network.
#pragma once

#include "../core/config.hpp"
#include "../core/shared_memory.hpp"

namespace insitu {

constexpr int kWarp = 32;
constexpr unsigned kWholeWarp = 0xffffffffu;

// All points of a rank in cell order.
struct Points {
    const double* r;                // (n, 3)
    const std::int64_t* id;
    const std::int32_t* cell;       // number of a point's cell, among those that hold points
    const std::int32_t* runs;       // (cells, 9, 2) begin and end of the points around each cell
};

// What a warp keeps of a ball in shared memory, each with `room` entries: kBallBytes of an entry.
struct WarpBall {
    double* distance;      // in order
    std::uint32_t* key;    // squared distances as found, then rounded distances in order
    std::int32_t* found;   // places as found
    std::int32_t* place;   // places in order
    int room;
};

INSITU_HD WarpBall warp_ball(unsigned char* shared, int room) {
    WarpBall b;
    b.distance = reinterpret_cast<double*>(shared);
    b.key = reinterpret_cast<std::uint32_t*>(b.distance + room);
    b.found = reinterpret_cast<std::int32_t*>(b.key + room);
    b.place = b.found + room;
    b.room = room;
    return b;
}

INSITU_HD int warp_lane() { return int(threadIdx.x) % kWarp; }

INSITU_HD double displacement(const Points& p, int from, int to, int axis) {
    return __dsub_rn(p.r[3 * Size(to) + Size(axis)], p.r[3 * Size(from) + Size(axis)]);
}

INSITU_HD double squared_distance(const Points& p, int from, int to) {
    const double x = displacement(p, from, to, 0), y = displacement(p, from, to, 1),
                 z = displacement(p, from, to, 2);
    return __dadd_rn(__dadd_rn(__dmul_rn(x, x), __dmul_rn(y, y)), __dmul_rn(z, z));
}

// Finds the points within r2 of point `at`; returns their number, of which `room` are kept.
INSITU_HD int warp_search(const Points& p, int at, double r2, const WarpBall& b) {
    const int lane = warp_lane();
    const std::int32_t* runs = p.runs + 18 * Size(p.cell[at]);
    const double grid = 2147483000.0 / r2;
    int count = 0;
    for (int k = 0; k < 9; ++k) {
        const int end = runs[2 * k + 1];
        for (int from = runs[2 * k]; from < end; from += kWarp) {
            const int i = from + lane;
            bool in = i < end && i != at;
            double d2 = 0.0;
            if (in) {
                d2 = squared_distance(p, at, i);
                in = d2 <= r2;
            }
            const unsigned votes = __ballot_sync(kWholeWarp, in);
            const int to = count + __popc(votes & ((1u << lane) - 1u));
            if (in && to < b.room) {
                b.found[to] = i;
                b.key[to] = std::uint32_t(d2 * grid);
            }
            count += __popc(votes);
        }
    }
    __syncwarp();
    return count;
}

// A warp's neighbours are few enough to count for each how many come before it.
INSITU_HD void warp_sort(int count, const WarpBall& b) {
    for (int i = warp_lane(); i < count; i += kWarp) {
        const std::uint32_t mine = b.key[i];
        int rank = 0;
        for (int j = 0; j < count; ++j) rank += b.key[j] < mine + (j < i);
        b.place[rank] = b.found[i];
    }
    __syncwarp();
}

INSITU_HD void warp_distances(const Points& p, int at, int count, const WarpBall& b) {
    for (int i = warp_lane(); i < count; i += kWarp)
        b.distance[i] = __dsqrt_rn(squared_distance(p, at, b.place[i]));
    __syncwarp();
}

// Mean distance of the nearest neighbours.
INSITU_HD double warp_length(int count, int local, const WarpBall& b) {
    const int nearest = local < count ? local : count;
    double sum = 0.0;
    for (int i = warp_lane(); i < nearest; i += kWarp) sum += b.distance[i];
    for (int step = kWarp / 2; step > 0; step /= 2) sum += __shfl_xor_sync(kWholeWarp, sum, step);
    const double mean = nearest ? sum / nearest : 0.0;
    return mean > 1e-6 ? mean : 1e-6;
}

INSITU_HD double on_grid(double value, double inverse) {
    return __dadd_rn(__dmul_rn(value, inverse), kRound);
}

INSITU_HD std::uint32_t rounded_distance(double distance, double inverse) {
    const double value = on_grid(distance, inverse);
    return std::uint32_t(std::int32_t(value < 2e9 ? value : 2e9));
}

}  // namespace insitu
