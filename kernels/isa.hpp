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

    // --- search ---
    // Points 0 … padded of a block within r2 of the centre, without the point `self`, as keys: the
    // squared distance in units of r2 / 2^(31 - slot_bits), then slot_bits of the point. Returns
    // their number; keys have room for kMostLanes more.
    int (*search)(const double* x, const double* y, const double* z, int padded,
                  const double* centre, int self, double r2, int slot_bits, std::uint32_t* keys);
    // out[k] = point of the k-th smallest key; position has room for kMostLanes more.
    void (*order)(const std::uint32_t* keys, int count, int slot_bits, std::uint32_t* position,
                  int* out);
    // Displacements from the centre and distances of points first … last of an order.
    void (*displace)(const double* x, const double* y, const double* z, const double* centre,
                     const int* order, int first, int last, double* dx, double* dy, double* dz,
                     double* distance);
    // Rounded distances of the definition; whether one of the first `keep` equals, or precedes,
    // the one before it or behind it.
    bool (*rounded)(const double* distance, int count, int keep, double inverse_quantum,
                    std::uint32_t* q);

    // --- descriptor (isa.cpp) ---
    // (channels, size, size) image of one ball; scratch is aligned to 64 bytes and holds
    // image_words() floats.
    void (*image)(const MapSettings& settings, const Ball& ball, void* scratch, float* out);
    // Row weights d^(-1/beta) of squared lengths; both arrays have room for kMostLanes more.
    void (*row_weights)(const float* d2, int count, float beta, float* out);
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

// Points of a block that keys can tell apart and still hold 19 bits of a distance.
constexpr int kMostKeyed = 4096;

const IsaTable& isa_plain();
#ifdef INSITU_X86
const IsaTable& isa_avx2();
const IsaTable& isa_avx512();
#endif

}  // namespace insitu
