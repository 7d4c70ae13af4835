// SPDX-License-Identifier: BSD-3-Clause
// Neighbors Maps on the device (definition: neighbors_map.hpp). One thread has one row of an image and
// sorts its distances in registers; the points of the ball are read from shared memory, the same one by
// all threads of a warp.
#pragma once

#include "../core/neighbors_map.hpp"
#include "../core/sorting_network.hpp"
#include "../core/scale_free.hpp"
#include "warp_ties.hpp"

namespace insitu {

// weight / d^gamma from d^2; exponents other than 2 by the library's power.
INSITU_HD float device_pixel(float weight, std::uint32_t bits, float gamma) {
    const float d2 = bits_float<float, std::uint32_t>(bits);
    return gamma == 2.0f ? __fdividef(weight, d2) : weight * powf(d2, -0.5f * gamma);
}

// a_j of the row whose point is (x, y, z).
INSITU_HD float device_row_weight(float x, float y, float z, float beta) {
    const float d2 = x * x + y * y + z * z;
    const float least = d2 < kMinSquaredDistance ? kMinSquaredDistance : d2;
    return beta < 0.1f ? powf(least, -0.5f / beta) : row_weight<float, std::uint32_t>(least, beta);
}

INSITU_HD std::uint32_t distance_bits(float dx, float dy, float dz) {
    const float d2 = dx * dx + dy * dy + dz * dz;
    return float_bits<float, std::uint32_t>(d2 < kMinSquaredDistance ? kMinSquaredDistance : d2);
}

// Row `row` of the image of a scale-free ball of at most N neighbours; points (count + 1, 3), the
// centre first. Behind the last neighbour pixels are 0.
template <int N>
INSITU_HD void image_row(const GroupSettings& s, const float* points, int count, int row, float* out) {
    std::uint32_t v[N];
    const float x = points[3 * row], y = points[3 * row + 1], z = points[3 * row + 2];
    INSITU_UNROLL(32)
    for (int k = 0; k < N; ++k) {
        const int m = k + (k >= row);  // a row leaves itself out
        v[k] = m <= count ? distance_bits(x - points[3 * m], y - points[3 * m + 1], z - points[3 * m + 2])
                          : kInfinityBits;
    }
    sort_all<N>(v);
    const float weight = row ? device_row_weight(x, y, z, s.beta) : 1.0f;
    INSITU_UNROLL(32)
    for (int k = 0; k < N; ++k)
        if (k < s.size) out[k] = k < count && row <= count ? device_pixel(weight, v[k], s.gamma) : 0.0f;
}

INSITU_HD void image_row_of(const GroupSettings& s, const float* points, int count, int row, float* out) {
    if (s.ball <= 12) image_row<12>(s, points, count, row, out);
    else if (s.ball <= 16) image_row<16>(s, points, count, row, out);
    else if (s.ball <= 18) image_row<18>(s, points, count, row, out);
    else if (s.ball <= 24) image_row<24>(s, points, count, row, out);
    else image_row<32>(s, points, count, row, out);
}

// The `kWarpRows` smallest of `columns` values that each(m) gives, in order, in registers; after the
// last the largest value. Blocks are sorted and merged as on the CPU (network.hpp).
template <class Each>
INSITU_HD void smallest_of(int columns, Each&& each, std::uint32_t* run) {
    std::uint32_t block[kBlock];
    for (int from = 0; from < columns || from < 2 * kBlock; from += kBlock) {
        INSITU_UNROLL(16)
        for (int k = 0; k < kBlock; ++k) block[k] = from + k < columns ? each(from + k) : 0xffffffffu;
        sort_all<kBlock>(block);
        if (from == 0) {
            copy_values<kBlock>(block, run);
        } else if (from == kBlock) {
            std::uint32_t first[kBlock];
            copy_values<kBlock>(run, first);
            merge_blocks(first, block, run);
        } else {
            smaller_block(block, run);
        }
    }
}

// Of a ball in shared memory, the centre first: coordinates in the descriptor's unit, and with more
// than one channel the rank of each point in the order of the colours and which point has which rank:
// kMapBytes of an entry.
struct MapPoints {
    float *x, *y, *z;
    std::uint32_t* rank;
    std::int32_t* of_rank;
};

INSITU_HD MapPoints map_points(unsigned char* shared, int room) {
    MapPoints m;
    m.x = reinterpret_cast<float*>(shared);
    m.y = m.x + room;
    m.z = m.y + room;
    m.rank = reinterpret_cast<std::uint32_t*>(m.z + room);
    m.of_rank = reinterpret_cast<std::int32_t*>(m.rank + room);
    return m;
}

// Point m of the ball (0 is the centre) as a place.
INSITU_HD int place_of(const WarpBall& b, int at, int m) { return m ? b.place[m - 1] : at; }

// Whether the colours of a place come before those of another.
INSITU_HD bool color_before(const Colors& c, int a, int b) {
    for (int k = 1; k < c.channels; ++k) {
        const float mine = c.weight[Size(k) * c.points + Size(a)], other = c.weight[Size(k) * c.points + Size(b)];
        if (mine != other) return mine < other;
    }
    return false;
}

INSITU_HD void warp_ranks(int at, int columns, const Colors& c, const WarpBall& b, const MapPoints& m) {
    for (int i = warp_lane(); i < columns; i += kWarp) {
        int rank = 0;
        for (int j = 0; j < columns; ++j) {
            if (j == i) continue;
            const int mine = place_of(b, at, i), other = place_of(b, at, j);
            rank += color_before(c, other, mine) || (j < i && !color_before(c, mine, other));
        }
        m.rank[i] = std::uint32_t(rank);
        m.of_rank[rank] = i;
    }
    __syncwarp();
}

// Key of a distance with the rank of its point: colours follow the order (rounded distance, rank).
INSITU_HD std::uint32_t color_key(std::uint32_t bits, std::uint32_t rank, float tie_quantum) {
    constexpr float far_quanta = 2097152.0f;  // as on the CPU (isa_maps.cpp)
    if (bits == kInfinityBits) return 0xffffffffu;
    const float limit = (far_quanta - 1.0f) * tie_quantum;
    const float q = sqrtf(bits_float<float, std::uint32_t>(bits)) * (1.0f / tie_quantum) + float(kRound);
    const std::uint32_t far = float_bits<float, std::uint32_t>(limit * limit);
    const std::uint32_t whole =
        q < far_quanta ? std::uint32_t(q) : std::uint32_t(far_quanta) + ((bits - far) >> 9);
    return whole << 10 | rank;
}

// The image (channels, size, size) of an ordered ball of `count` neighbours. `tile` is kTileWords floats
// of shared memory.
INSITU_HD void warp_image(const MapSettings& s, float beta, const Points& p, const Colors& color, int at,
                          int count, double scale, const WarpBall& b, const MapPoints& m, float* tile,
                          float* out) {
    const int lane = warp_lane(), columns = count + 1;
    for (int i = lane; i < columns; i += kWarp) {
        const int place = place_of(b, at, i);
        m.x[i] = float(displacement(p, at, place, 0) * scale);
        m.y[i] = float(displacement(p, at, place, 1) * scale);
        m.z[i] = float(displacement(p, at, place, 2) * scale);
    }
    __syncwarp();
    if (s.channels > 1) warp_ranks(at, columns, color, b, m);
    const int row = lane < columns ? lane : 0;
    const float x = m.x[row], y = m.y[row], z = m.z[row];
    const auto bits = [&](int k) {
        return k == row ? kInfinityBits : distance_bits(x - m.x[k], y - m.y[k], z - m.z[k]);
    };
    std::uint32_t run[2 * kBlock];
    smallest_of(columns, bits, run);
    const bool there = lane < columns && lane < s.size;
    const float a = there && lane ? device_row_weight(x, y, z, beta) : 1.0f;
    INSITU_UNROLL(32)
    for (int k = 0; k < 2 * kBlock; ++k) {
        const float pixel = there && k < count ? device_pixel(a, run[k], s.gamma) : 0.0f;
        tile[lane * (kWarpRows + 1) + k] = pixel;
    }
    __syncwarp();
    const auto write = [&](float* plane) {
        for (int r = 0; r < s.size; ++r)
            if (lane < s.size) plane[r * s.size + lane] = tile[r * (kWarpRows + 1) + lane];
        __syncwarp();
    };
    write(out);
    if (s.channels == 1) return;
    const auto colored = [&](int k) { return color_key(bits(k), m.rank[k], s.tie_quantum); };
    smallest_of(columns, colored, run);
    float plain[2 * kBlock];
    INSITU_UNROLL(32)
    for (int k = 0; k < 2 * kBlock; ++k) plain[k] = tile[lane * (kWarpRows + 1) + k];
    for (int c = 1; c < s.channels; ++c) {
        const float* w = color.weight + Size(c) * color.points;
        const float mine = w[place_of(b, at, row)];
        INSITU_UNROLL(32)
        for (int k = 0; k < 2 * kBlock; ++k)
            if (there && k < count) {
                const int other = place_of(b, at, m.of_rank[run[k] & 1023u]);
                tile[lane * (kWarpRows + 1) + k] = plain[k] * mine * w[other];
            }
        __syncwarp();
        write(out + c * s.size * s.size);
    }
}

}  // namespace insitu
