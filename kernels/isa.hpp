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

    // --- search (search.cpp) ---
    // Points 0 … padded of a block within r2 of the centre, without the point `self`: squared
    // distances and places in the block, with room for kMostLanes more. Returns their number.
    int (*search)(const double* x, const double* y, const double* z, int padded,
                  const double* centre, int self, double r2, double* d2, int* at);
    // out[k] = the k-th in ascending order of d2 < r2, as far as 32 bits tell them apart; at most
    // kMostOrdered. key and position have room for kMostLanes more.
    void (*order)(const double* d2, int count, double r2, std::uint32_t* key,
                  std::uint32_t* position, int* out);
    // root[k] = distance of the k-th in order, k < count.
    void (*roots)(const double* d2, const int* order, int count, double* root);
    // Rounded distances of the definition; whether one of the first `keep` equals, or precedes,
    // the one before it or behind it.
    bool (*rounded)(const double* root, int count, int keep, double inverse_quantum,
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
    void (*embed)(const GraphNetwork& network, const float* maps, float* scratch, float* shared,
                  float* own, int count);
    void (*convolve)(const GraphNetwork& network, int layer, const float* shared, const int* rows,
                     int most, int count, float* own, float* scratch, float* next,
                     float* probabilities, int classes);
};

// A ball of more atoms is put into order by the standard library.
constexpr int kMostOrdered = 4096;

const IsaTable& isa_plain();
#ifdef INSITU_X86
const IsaTable& isa_avx2();
const IsaTable& isa_avx512();
#endif

}  // namespace insitu
