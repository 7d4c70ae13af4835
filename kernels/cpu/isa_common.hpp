// SPDX-License-Identifier: BSD-3-Clause
// What the files compiled for one instruction set give to its table in isa.cpp.
#pragma once

#include "../core/graph.hpp"
#include "../core/scale_free.hpp"
#include "../core/vectors.hpp"

namespace insitu {
namespace INSITU_NAMESPACE {

// isa_maps.cpp
void image(const MapSettings& s, const Ball& ball, void* scratch, float* out);
void weigh(const float* x, const float* y, const float* z, int count, int rows, float beta,
           float* weights);
void group(const GroupSettings& settings, const float* points, float* out);

// isa_network.cpp
void embed(const GraphNetwork& g, const float* maps, float* scratch, float* h, float* shared,
           int count);
void convolve(const GraphNetwork& g, int layer, const float* shared, const int* rows, int most,
              int count, int ahead, float* h, float* scratch, float* next, float* probabilities,
              int classes);

}  // namespace INSITU_NAMESPACE
}  // namespace insitu
