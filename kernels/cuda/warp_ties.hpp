// SPDX-License-Identifier: BSD-3-Clause
// The order of neighbours at equal distance by one warp, as on the CPU (cpu/ties.cpp). CUDA only.
#pragma once

#include "../core/ties.hpp"
#include "warp_ball.hpp"

namespace insitu {

// What tells species apart: weights (channels, points) by place; with one channel nothing.
struct Colors {
    const float* weight;
    Size points;
    int channels;
};

INSITU_HD std::uint32_t color_of(const Colors& c, int place) {
    return c.channels > 1 ? tie_color(c.weight + place, c.channels, c.points) : 0u;
}

// Order of two points at the same rounded distance: by id, then by displacement (periodic images).
// Returns -1, 0 or 1.
INSITU_HD int tie_order(const Points& p, int at, int a, int b, double inverse) {
    if (p.id[a] != p.id[b]) return p.id[a] < p.id[b] ? -1 : 1;
    for (int axis = 0; axis < 3; ++axis) {
        const double qa = floor(on_grid(displacement(p, at, a, axis), inverse));
        const double qb = floor(on_grid(displacement(p, at, b, axis), inverse));
        if (qa != qb) return qa < qb ? -1 : 1;
    }
    return 0;
}

// Puts equal distances, if there are any among the first `keep` neighbours, into the order of
// tie_order(); whether there are.
INSITU_HD bool warp_ties(const Points& p, int at, int count, int keep, double inverse,
                         const WarpBall& b) {
    const int lane = warp_lane(), last = keep + 1 < count ? keep + 1 : count;
    for (int i = lane; i < last; i += kWarp) b.key[i] = rounded_distance(b.distance[i], inverse);
    __syncwarp();
    bool tied = false;
    for (int i = lane; i + 1 < last; i += kWarp) tied = tied || b.key[i] >= b.key[i + 1];
    if (!__any_sync(kWholeWarp, tied)) return false;
    for (int i = last + lane; i < count; i += kWarp)
        b.key[i] = rounded_distance(b.distance[i], inverse);
    __syncwarp();
    for (int i = lane; i < count; i += kWarp) {
        int rank = 0;
        for (int j = 0; j < count; ++j) {
            if (b.key[j] != b.key[i]) {
                rank += b.key[j] < b.key[i];
            } else if (j != i) {
                const int order = tie_order(p, at, b.place[j], b.place[i], inverse);
                rank += order < 0 || (order == 0 && j < i);
            }
        }
        b.found[rank] = b.place[i];
    }
    __syncwarp();
    for (int i = lane; i < count; i += kWarp) b.place[i] = b.found[i];
    __syncwarp();
    warp_distances(p, at, count, b);
    return true;
}

// Where distances in order were, for a time.
INSITU_HD std::uint64_t key_at(const WarpBall& b, int i) {
    std::uint64_t key;
    memcpy(&key, b.distance + i, sizeof(key));
    return key;
}

INSITU_HD void put_key(const WarpBall& b, int i, std::uint64_t key) { memcpy(b.distance + i, &key, sizeof(key)); }

// Rounded distance between two points of the ball.
INSITU_HD std::uint32_t distance_between(const Points& p, int at, int i, int k, double inverse, const WarpBall& b) {
    double d[3];
    INSITU_UNROLL(3)
    for (int a = 0; a < 3; ++a)
        d[a] = __dsub_rn(displacement(p, at, b.place[k], a), displacement(p, at, b.place[i], a));
    const double d2 = __dadd_rn(__dadd_rn(__dmul_rn(d[0], d[0]), __dmul_rn(d[1], d[1])), __dmul_rn(d[2], d[2]));
    return rounded_distance(__dsqrt_rn(d2), inverse);
}

// Key (ties.hpp) of point i among the first `count`, whose marks mark(k) gives.
template <class Mark>
INSITU_HD std::uint64_t key_among(const Points& p, int at, int i, int count, double inverse, const WarpBall& b,
                                  Mark&& mark) {
    std::uint32_t sum = 0, mixed = 0;
    for (int k = 0; k < count; ++k) {
        const std::uint32_t q = distance_between(p, at, i, k, inverse, b);
        sum += q;
        mixed += scrambled<std::uint32_t>(q + mark(k));
    }
    return tie_key(sum, mixed);
}

// Chooses the points of the shell at the ball's end, those from `first` to `last`, that belong to it.
// The keys in b hold marks meanwhile, what was found the distances from those chosen.
INSITU_HD void warp_end(const Points& p, int at, int first, int last, int ball, double inverse, const Colors& c,
                        const WarpBall& b) {
    const int lane = warp_lane();
    for (int i = lane; i < last; i += kWarp) {
        b.key[i] = tie_mark(b.key[i], color_of(c, b.place[i]));
        b.found[i] = 0;
    }
    __syncwarp();
    const auto refine = [&] {
        for (int i = lane; i < last; i += kWarp)
            put_key(b, i, key_among(p, at, i, last, inverse, b, [&](int k) { return b.key[k]; }));
        __syncwarp();
        for (int i = lane; i < last; i += kWarp) {
            const std::uint64_t key = key_at(b, i);
            b.key[i] = refined_mark<std::uint32_t>(std::uint32_t(key >> 32), std::uint32_t(key));
        }
        __syncwarp();
    };
    for (int i = 0; i < 3; ++i) refine();
    for (int next = first; next < ball; ++next) {
        const auto key = [&](int i) { return key_at(b, i) + (std::uint64_t(std::uint32_t(b.found[i])) << 32); };
        int best = next;  // the same in all lanes
        for (int i = next + 1; i < last; ++i)
            if (key(i) > key(best)) best = i;
        __syncwarp();
        if (lane == 0) {
            const std::int32_t place = b.place[next], far = b.found[next];
            const std::uint32_t mark = b.key[next];
            const std::uint64_t seen = key_at(b, next);
            put_key(b, next, key_at(b, best));
            put_key(b, best, seen);
            b.place[next] = b.place[best];
            b.key[next] = b.key[best] + taken_mark(next - first);
            b.place[best] = place;
            b.found[best] = far;
            b.key[best] = best == next ? b.key[next] : mark;
        }
        __syncwarp();
        for (int i = next + 1 + lane; i < last; i += kWarp)
            b.found[i] += std::int32_t(distance_between(p, at, i, next, inverse, b));
        __syncwarp();
        if (last <= kMostRefined && next + 1 < ball) refine();
    }
}

INSITU_HD void warp_round(int count, double inverse, const WarpBall& b) {
    for (int i = warp_lane(); i < count; i += kWarp) b.key[i] = rounded_distance(b.distance[i], inverse);
    __syncwarp();
}

// Puts equal distances into the order of the definition, which knows no ids: the points of a shell at the
// ball's end, and the rows of each shell that begins before `keep`. Leaves rounded distances in the keys.
INSITU_RARE void warp_by_geometry(const Points& p, int at, int count, int ball, int keep, double inverse,
                                  const Colors& c, const WarpBall& b) {
    const int lane = warp_lane();
    warp_round(count, inverse, b);
    const int members = ball < count ? ball : count;
    if (ball < count && b.key[ball - 1] == b.key[ball]) {
        int first = ball - 1, last = ball + 1;
        while (first > 0 && b.key[first - 1] == b.key[ball]) --first;
        while (last < count && b.key[last] == b.key[ball]) ++last;
        __syncwarp();
        if (last <= kMostTied) warp_end(p, at, first, last, ball, inverse, c, b);
        warp_distances(p, at, count, b);
        warp_round(count, inverse, b);
    }
    const auto tied = [&](int i) {
        return (i < keep || b.key[i] == b.key[keep - 1]) && ((i > 0 && b.key[i - 1] == b.key[i]) ||
                                                            (i + 1 < members && b.key[i + 1] == b.key[i]));
    };
    const auto mark = [&](int k) { return tie_mark(b.key[k], color_of(c, b.place[k])); };
    for (int i = lane; i < members; i += kWarp)
        if (tied(i)) put_key(b, i, key_among(p, at, i, members, inverse, b, mark));
    __syncwarp();
    for (int i = lane; i < members; i += kWarp) {
        int rank = i;
        if (tied(i)) {
            const std::uint64_t mine = key_at(b, i);
            for (int j = i - 1; j >= 0 && b.key[j] == b.key[i]; --j) rank -= key_at(b, j) > mine;
            for (int j = i + 1; j < members && b.key[j] == b.key[i]; ++j) rank += key_at(b, j) < mine;
        }
        b.found[rank] = b.place[i];
    }
    __syncwarp();
    for (int i = lane; i < members; i += kWarp) b.place[i] = b.found[i];
    __syncwarp();
    warp_distances(p, at, count, b);
}

// How many of the first `most` neighbours, in order, stand in shells that are whole among them; `tied`
// says that rounded distances are in the keys.
INSITU_HD int whole_shells(int most, int count, bool tied, const WarpBall& b) {
    int last = most < count ? most : count;
    if (tied && last < count) {
        const std::uint32_t behind = b.key[last];
        while (last > 0 && b.key[last - 1] == behind) --last;
    }
    return last;
}

// The neighbours of point `at` in the order of the definition as far as `keep`, the unit of length in
// `length`. Returns how many there are; more than `room` and the ball is not whole.
INSITU_HD int warp_collect(const Points& p, int at, double cutoff, double r2, bool scale_free,
                           int local, int keep, const WarpBall& b, double& length, bool& tied) {
    const int all = warp_search(p, at, r2, b);
    const int count = all < b.room ? all : b.room;
    warp_sort(count, b);
    warp_distances(p, at, count, b);
    length = scale_free && count ? warp_length(count, local, b) : cutoff;
    tied = warp_ties(p, at, count, keep, 1.0 / (kTie * length), b);
    return all;
}

}  // namespace insitu
