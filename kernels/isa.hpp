// SPDX-License-Identifier: BSD-3-Clause
// The functions that are compiled once for each instruction set and chosen at run time.
#pragma once

#include <cstdint>

#include "neighbors_map.hpp"

namespace insitu {

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
    // out[position of key i in ascending order] = i, for distinct keys.
    void (*order)(const std::uint32_t* key, int count, std::uint32_t* position, int* out);
    // (channels, size, size) image of one ball; scratch holds 2 * 16 * (count + 1 + 2 * size) words.
    void (*image)(const MapSettings& settings, const Ball& ball, const Comparator* network,
                  int comparators, void* scratch, float* out);
};

const IsaTable& isa_plain();
#ifdef INSITU_X86
const IsaTable& isa_avx2();
const IsaTable& isa_avx512();
#endif

}  // namespace insitu
