// SPDX-License-Identifier: BSD-3-Clause
// The network on the whole sample's graph, compiled once for each instruction set with contraction to
// fused multiply-add, as isa_network.cpp is.
#include "spatial_isa.hpp"
#include "vectors.hpp"

namespace insitu {
namespace INSITU_NAMESPACE {
namespace {

// Atoms that share a load of a weight, and vectors of outputs of the edges' messages: as many sums as
// fit into the registers.
#if defined(__AVX512F__)
constexpr int kAtoms = 8, kVectors = 4;
#else
constexpr int kAtoms = 4, kVectors = 2;
#endif

void describe(const EdgeSettings& s, const float* dx, const float* dy, const float* dz,
              const float* d, const float* kind, float cut, float unit, float* out) {
    describe_edges<F>(s, dx, dy, dz, d, kind, cut, unit, out);
}

void layer(const EdgeNetwork& g, int number, const float* shared, const int* rows,
           const float* edges, const int* kinds, int count, float* h, float* scratch, float* next,
           float* probabilities, int classes) {
    edge_layer<kAtoms, kVectors, F, U>(g, number, shared, rows, edges, kinds, count, h, scratch,
                                       next, probabilities, classes);
}

}  // namespace
}  // namespace INSITU_NAMESPACE

const SpatialTable& INSITU_JOIN(spatial_, INSITU_ISA)() {
    using namespace INSITU_NAMESPACE;
    static const SpatialTable table{INSITU_TEXT(INSITU_ISA), describe, layer};
    return table;
}

}  // namespace insitu
