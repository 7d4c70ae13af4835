// SPDX-License-Identifier: BSD-3-Clause
// The functions of edge_conv.hpp, compiled once for each instruction set and chosen at run time.
#pragma once

#include <cstddef>
#include <string>

#include "../core/edge_conv.hpp"

namespace insitu {

struct SpatialTable {
    const char* name;
    // See describe_edges() and edge_layer(). A group of atoms has as many as a vector has lanes.
    void (*describe)(const EdgeSettings& settings, const float* dx, const float* dy, const float* dz,
                     const float* d, const float* kind, float cut, float unit, float* out,
                     float* directions);
    // Power spectra (values, lanes) of a group of `count` atoms from their directions (count,
    // direction_words()). scratch: spectra_words() floats.
    void (*spectra)(const EdgeSettings& settings, const float* directions, int count, float* scratch,
                    float* out);
    void (*layer)(const EdgeNetwork& network, int layer, const float* shared, const int* rows,
                  const float* edges, const int* kinds, const float* spectra, int count, float* h,
                  float* scratch, float* next, float* probabilities, int classes);
};

inline std::size_t spectra_words(const EdgeSettings& s) {
    return std::size_t(kMostLanes) * std::size_t(s.direction_words() + s.spectra().words());
}

const SpatialTable& spatial_plain();
#ifdef INSITU_X86
const SpatialTable& spatial_avx2();
const SpatialTable& spatial_avx512();
#endif

const SpatialTable& spatial_choose(const std::string& isa);  // names as of isa_choose()

}  // namespace insitu
