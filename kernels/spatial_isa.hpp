// SPDX-License-Identifier: BSD-3-Clause
// The functions of edge_conv.hpp, compiled once for each instruction set and chosen at run time.
#pragma once

#include <string>

#include "edge_conv.hpp"

namespace insitu {

struct SpatialTable {
    const char* name;
    // See describe_edges() and edge_layer().
    void (*describe)(const EdgeSettings& settings, const float* dx, const float* dy, const float* dz,
                     const float* d, const float* kind, float cut, float unit, float* out);
    void (*layer)(const EdgeNetwork& network, int layer, const float* shared, const int* rows,
                  const float* edges, const int* kinds, int count, float* h, float* scratch,
                  float* next, float* probabilities, int classes);
};

const SpatialTable& spatial_plain();
#ifdef INSITU_X86
const SpatialTable& spatial_avx2();
const SpatialTable& spatial_avx512();
#endif

const SpatialTable& spatial_choose(const std::string& isa);  // names as of isa_choose()

}  // namespace insitu
