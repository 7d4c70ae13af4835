// SPDX-License-Identifier: BSD-3-Clause
// What isa_network.cpp gives to isa.cpp of the same instruction set.
#pragma once

#include "graph.hpp"
#include "vectors.hpp"

namespace insitu {
namespace INSITU_NAMESPACE {

void embed(const GraphNetwork& g, const float* maps, float* scratch, float* h, float* shared,
           int count);
void convolve(const GraphNetwork& g, int layer, const float* shared, const int* rows, int most,
              int count, int ahead, float* h, float* scratch, float* next, float* probabilities,
              int classes);

}  // namespace INSITU_NAMESPACE
}  // namespace insitu
