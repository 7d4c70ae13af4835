// SPDX-License-Identifier: BSD-3-Clause
// The functions that are compiled once for each instruction set and chosen at run time.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../core/graph.hpp"
#include "../core/neighbors_map.hpp"
#include "../core/scale_free.hpp"

namespace insitu {

// Scratch of an image: columns and keys padded to whole runs, and the pixels of all lanes.
constexpr std::size_t image_words(int columns, int size) {
    return std::size_t(kMostLanes) * (2 * (std::size_t(columns) + 256) + std::size_t(size) + kMostLanes);
}

// What a search in floats can be wrong by, in keys: `edge` is the least key of a point that may lie on
// either side of the radius; of two points whose keys k < l are closer than gap + slope * l, either may
// be the first of the definition's order, or their ids decide. Looked at for the first `rows` points.
struct Margins {
    std::uint32_t edge;
    int rows;
    float gap, slope;
};

// Lanes, as bits, about which the margins leave a doubt.
struct Doubts {
    std::uint32_t edge, order;
};

struct IsaTable {
    const char* name;
    int lanes;  // floats in a vector: atoms of a group

    // --- search (isa.cpp) ---
    // Points as floats relative to an origin; reads and writes up to 7 more.
    void (*lay_out)(const Point* points, int count, const double* origin, float* x, float* y, float* z);
    // Points 0 … padded of a block within r2 of the centre, without the point `self`, as keys: the
    // squared distance in units of r2 / 2^(31 - slot_bits), then slot_bits, at least 9, of the point.
    // Returns their number; keys have room for kMostLanes more. x is as before when it returns.
    int (*search)(float* x, const float* y, const float* z, int padded, const float* centre,
                  int self, float r2, int slot_bits, std::uint32_t* keys);
    // out[k] = point of the k-th smallest key; position has room for kMostLanes more.
    void (*order)(const std::uint32_t* keys, int count, int slot_bits, std::uint32_t* position,
                  int* out);
    // The same for a group of centres at once, one a lane: sorted[lane * kMostSorted + k] = k-th
    // smallest key of a lane. Rows of keys are `stride` apart and hold `padded` keys, a
    // multiple of kMostLanes, the largest value after the last. column has room for padded * lanes.
    // The lanes about which floats leave doubts, see Doubts.
    Doubts (*order_group)(const std::uint32_t* keys, int stride, int padded, const Margins& margins,
                          std::uint32_t* column, std::uint32_t* sorted);
    // Points of the keys above a limit, in any order; returns their number.
    int (*above)(const std::uint32_t* keys, int count, std::uint32_t limit, int slot_bits, int* out);
    // Displacements from the centre and distances of points first … last of an order, of which p is
    // points[place[p]]; whole vectors are written, and `order` is read so far.
    void (*displace)(const Point* points, const std::int32_t* place, const double* centre,
                     const int* order, int first, int last, double* dx, double* dy, double* dz,
                     double* distance);
    // The displacements of the first `count` points of an order, a multiple of kMostLanes, in floats
    // of another unit.
    void (*narrow)(const Point* points, const std::int32_t* place, const double* centre,
                   const int* order, int count, double scale, float* x, float* y, float* z);
    // Rounded distances of the definition; whether one equals, or precedes, the one before it
    // (not looked for if keep is 0).
    bool (*rounded)(const double* distance, int count, int keep, double inverse_quantum,
                    std::uint32_t* q);
    // Rounded distances q[(i - first) * stride + k] of points i in first … last of an order to its points
    // k < count, from displacements; 0 after the last. stride: count padded to kMostLanes.
    void (*distances)(const double* x, const double* y, const double* z, int first, int last, int count,
                      double inverse_quantum, std::uint32_t* q, int stride);
    // Keys (ties.hpp) of `rows` points from their rounded distances to others, whose marks, 0 after the
    // last, are padded as they are.
    void (*tie_keys)(const std::uint32_t* q, int stride, const std::uint32_t* mark, int rows,
                     std::uint64_t* keys);
    // The same sums of all `count` points at once, from their distances to each other; and next marks.
    void (*refine)(const std::uint32_t* q, int stride, const std::uint32_t* mark, int count,
                   std::uint32_t* sum, std::uint32_t* scrambled_sum, std::uint32_t* refined);

    // --- descriptor (isa_maps.cpp) ---
    // (channels, size, size) image of one ball; scratch is aligned to 64 bytes and holds
    // image_words() floats.
    void (*image)(const MapSettings& settings, const Ball& ball, void* scratch, float* out);
    // Weights of the rows of an image, 0 after point `count`.
    void (*weigh)(const float* x, const float* y, const float* z, int count, int rows, float beta,
                  float* weights);
    // Images (size * size, lanes) of a group of scale-free balls, see scale_free.hpp.
    void (*group)(const GroupSettings& settings, const float* points, float* out);

    // --- network (isa_network.cpp); fused multiply-add where the instruction set has it ---
    // See embed_group() and convolve_group().
    void (*embed)(const GraphNetwork& network, const float* maps, float* scratch, float* h,
                  float* shared, int count);
    void (*convolve)(const GraphNetwork& network, int layer, const float* shared, const int* rows,
                     int most, int count, int ahead, float* h, float* scratch, float* next,
                     float* probabilities, int classes);
};

// Neighbours that are put in order for a group of centres: rows of an image, at most.
constexpr int kMostSorted = 32;

// Points of a block that keys can tell apart and still hold 19 bits of a distance.
constexpr int kMostKeyed = 4096;

const IsaTable& isa_plain();
#ifdef INSITU_X86
const IsaTable& isa_avx2();
const IsaTable& isa_avx512();
#endif

}  // namespace insitu
