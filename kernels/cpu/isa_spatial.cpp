// SPDX-License-Identifier: BSD-3-Clause
// The network on the whole sample's graph, compiled once for each instruction set with contraction to
// fused multiply-add, as isa_network.cpp is.
#include "spatial_isa.hpp"
#include "../core/transpose.hpp"
#include "../core/vectors.hpp"

namespace insitu {
namespace INSITU_NAMESPACE {
namespace {

// Atoms that share a load of a weight, vectors of outputs of the edges' messages, and functions of the
// power spectra: as many sums as fit into the registers.
#if defined(__AVX512F__)
constexpr int kAtoms = 8, kVectors = 4, kFunctions = 4;
#else
constexpr int kAtoms = 4, kVectors = 2, kFunctions = 2;
#endif

void describe(const EdgeSettings& s, const float* dx, const float* dy, const float* dz,
              const float* d, const float* kind, float cut, float unit, float* out,
              float* directions) {
    describe_edges<F>(s, dx, dy, dz, d, kind, cut, unit, out, directions);
}

void spectra(const EdgeSettings& s, const float* directions, int count, float* scratch, float* out) {
    const int words = s.direction_words();
    // From lanes that are edges to lanes that are atoms; an atom that is not there has no edges.
    for (int k = 0; k < words; k += kLanes) {
        F square[kLanes];
        for (int i = 0; i < kLanes; ++i)
            square[i] = i < count ? load(directions + i * words + k) : zeros<F>();
        transpose<1>(square);
        for (int i = 0; i < kLanes; ++i) put(square[i], scratch + (k + i) * kLanes);
    }
    power_spectra<kFunctions, F>(s.spectra(), s.most, s.padded(), scratch, kLanes,
                                 scratch + words * kLanes, out, kLanes);
}

void layer(const EdgeNetwork& g, int number, const float* shared, const int* rows,
           const float* edges, const int* kinds, const float* spectra, int count, float* h,
           float* scratch, float* next, float* probabilities, int classes) {
    edge_layer<kAtoms, kVectors, F, U>(g, number, shared, rows, edges, kinds, {spectra, 1, kLanes}, count,
                                       h, scratch, next, probabilities, classes);
}

}  // namespace
}  // namespace INSITU_NAMESPACE

const SpatialTable& INSITU_JOIN(spatial_, INSITU_ISA)() {
    using namespace INSITU_NAMESPACE;
    static const SpatialTable table{INSITU_TEXT(INSITU_ISA), describe, spectra, layer};
    return table;
}

}  // namespace insitu
