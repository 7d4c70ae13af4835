// SPDX-License-Identifier: BSD-3-Clause
// The functions of lattice_fit.hpp, compiled once for each instruction set and chosen at run time.
#pragma once

#include <string>

#include "../core/lattice_fit.hpp"

namespace insitu {

// Words of a fit, each a row of lanes. First those that an atom's values are: residual, quaternion, nearest
// distance, strain, shear, number of the sites that lack a neighbour, and length of their sum; then which
// neighbour is on each site, -1: none.
constexpr int kFitResidual = 0, kFitQuaternion = 1, kFitDistance = 5, kFitStrain = 6, kFitShear = 12,
              kFitMissing = 13, kFitLacking = 14, kFitValues = 15, kFitWords = kFitValues + kMostSites;

struct LatticeTable {
    const char* name;
    // Fits (kFitWords, lanes) of a group of atoms with displacements `from` (kMostFitted, 3, lanes) to their
    // neighbours, nearest first, kNowhere after the last; `guess` (9, lanes) are rotations to start from, or
    // null; `distance` is the nearest one of the unstrained lattice, or 0. Aligned to 64 bytes.
    void (*fit)(const LatticeTemplate& t, const float* from, const float* guess, float distance, float* out);
};

const LatticeTable& lattice_plain();
#ifdef INSITU_X86
const LatticeTable& lattice_avx2();
const LatticeTable& lattice_avx512();
#endif

const LatticeTable& lattice_choose(const std::string& isa);  // names as of isa_choose()

}  // namespace insitu
