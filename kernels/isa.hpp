// SPDX-License-Identifier: BSD-3-Clause
// The functions that are compiled once for each instruction set and chosen at run time.
#pragma once

#include <cstddef>
#include <cstdint>

#include "graph.hpp"
#include "neighbors_map.hpp"
#include "scale_free.hpp"

namespace insitu {

// Scratch of an image: columns and keys padded to whole runs, and the pixels of all lanes.
constexpr std::size_t image_words(int columns, int size) {
    return std::size_t(kMostLanes) * (2 * (std::size_t(columns) + 256) + std::size_t(size) + kMostLanes);
}

struct IsaTable {
    const char* name;
    int lanes;  // floats in a vector: atoms of a group

    // --- search (isa.cpp) ---
    // Points 0 … padded of a block within r2 of the centre, without the point `self`, as keys: the
    // squared distance in units of r2 / 2^(31 - slot_bits), then slot_bits of the point. Returns
    // their number; keys have room for kMostLanes more.
    int (*search)(const double* x, const double* y, const double* z, int padded,
                  const double* centre, int self, double r2, int slot_bits, std::uint32_t* keys);
    // out[k] = point of the k-th smallest key; position has room for kMostLanes more.
    void (*order)(const std::uint32_t* keys, int count, int slot_bits, std::uint32_t* position,
                  int* out);
    // The same for a group of centres at once, one a lane: sorted[k * lanes + lane] = k-th smallest
    // key of a lane, k < kMostSorted. Rows of keys are `stride` apart and hold `padded` keys, a
    // multiple of kMostLanes, the largest value behind the last. column has room for padded * lanes.
    void (*order_group)(const std::uint32_t* keys, int stride, int padded, std::uint32_t* column,
                        std::uint32_t* sorted);
    // Points of the keys above a limit, in any order; returns their number.
    int (*above)(const std::uint32_t* keys, int count, std::uint32_t limit, int slot_bits, int* out);
    // Displacements from the centre and distances of points first … last of an order.
    void (*displace)(const double* x, const double* y, const double* z, const double* centre,
                     const int* order, int first, int last, double* dx, double* dy, double* dz,
                     double* distance);
    // Rounded distances of the definition; whether one equals, or precedes, the one before it
    // (not looked for if keep is 0).
    bool (*rounded)(const double* distance, int count, int keep, double inverse_quantum,
                    std::uint32_t* q);

    // --- descriptor (isa_maps.cpp) ---
    // (channels, size, size) image of one ball; scratch is aligned to 64 bytes and holds
    // image_words() floats.
    void (*image)(const MapSettings& settings, const Ball& ball, void* scratch, float* out);
    // The ball's points in floats, behind the centre, and the weights of the rows; all with room for
    // 2 kMostLanes more. Displacements of the first `known` are.
    void (*narrow)(const double* bx, const double* by, const double* bz, const double* centre,
                   const int* order, int count, const double* dx, const double* dy,
                   const double* dz, int known, double scale, int rows, float beta, float* x,
                   float* y, float* z, float* weights);
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
