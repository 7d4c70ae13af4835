// SPDX-License-Identifier: BSD-3-Clause
// The networks, compiled once for each instruction set as isa.cpp is, but with products and sums
// contracted to fused multiply-add where it exists: twice as fast. Probabilities of the plain build
// differ from the others' by rounding (about 1e-6) for that.
#include "isa_common.hpp"

#include "../core/graph.hpp"
#include "../core/vectors.hpp"

namespace insitu {
namespace INSITU_NAMESPACE {

// Atoms that share a load of a weight: as many sums as fit into the registers.
#if defined(__AVX512F__)
constexpr int kAtoms = 8;
#else
constexpr int kAtoms = 4;
#endif

void embed(const GraphNetwork& g, const float* maps, float* scratch, float* h, float* shared,
           int count) {
    embed_group<kAtoms, F>(g, maps, kLanes, count, scratch, h, shared);
}

void convolve(const GraphNetwork& g, int layer, const float* shared, const int* rows, int most,
              int count, int ahead, float* h, float* scratch, float* next, float* probabilities,
              int classes) {
    convolve_group<kAtoms, F, U>(g, layer, shared, rows, most, count, ahead, h, scratch, next,
                                 probabilities, classes);
}

}  // namespace INSITU_NAMESPACE
}  // namespace insitu
