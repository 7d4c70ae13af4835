// SPDX-License-Identifier: BSD-3-Clause
// The functions that are compiled once for each instruction set and chosen at run time.
#pragma once

#include <cstddef>
#include <cstdint>

#include "graph.hpp"
#include "neighbors_map.hpp"

namespace insitu {

constexpr int kMostLanes = 16;

// Scratch of an image: columns and keys padded to whole runs, and the pixels of all lanes.
constexpr std::size_t image_words(int columns, int size) {
    return std::size_t(kMostLanes) * (2 * (std::size_t(columns) + 256) + std::size_t(size) + kMostLanes);
}

struct Found {  // candidates of one centre, structure of arrays, capacity given by the caller
    double* d2;
    std::int32_t* at;
};

struct IsaTable {
    const char* name;
    // Appends the points begin..end of a cell list that lie within r2 of the centre; returns the
    // new count. The centre itself is appended too.
    int (*gather)(const double* x, const double* y, const double* z, std::int32_t begin,
                  std::int32_t end, const double* centre, double r2, const Found& out, int count);
    // out[position of key i in ascending order] = i, for distinct keys; key and position have room
    // for kMostLanes more.
    void (*order)(const std::uint32_t* key, int count, std::uint32_t* position, int* out);
    // (channels, size, size) image of one ball; scratch is aligned to 64 bytes and holds
    // image_words() floats.
    void (*image)(const MapSettings& settings, const Ball& ball, void* scratch, float* out);
    // See embed_atom() and convolve_atom().
    void (*embed)(const GraphNetwork& network, const float* map, float* scratch, float* node);
    void (*convolve)(const GraphNetwork& network, int layer, const float* nodes, int own,
                     const int* rows, int count, float* scratch, float* out);
};

const IsaTable& isa_plain();
#ifdef INSITU_X86
const IsaTable& isa_avx2();
const IsaTable& isa_avx512();
#endif

}  // namespace insitu
