// SPDX-License-Identifier: BSD-3-Clause
// Fits of lattices, one atom a lane, compiled once for each instruction set.
#include "lattice_isa.hpp"
#include "../core/vectors.hpp"

namespace insitu {
namespace INSITU_NAMESPACE {
namespace {

void fit(const LatticeTemplate& t, const float* from, const float* guess, float distance, float* out) {
    LatticeFit<F> found;
    F* row = reinterpret_cast<F*>(out);
    lattice_fit<F>(t, reinterpret_cast<const F*>(from), 0.1f * kNowhere, reinterpret_cast<const F*>(guess), found);
    lattice_reduce<F>(t, found, row + kFitQuaternion);
    const F apart = t.shortest / found.scale;
    row[kFitResidual] = found.residual;
    row[kFitDistance] = apart;
    lattice_strain<F>(found.deformation, distance > 0.0f ? apart * (1.0f / distance) : apart * 0.0f,
                      row + kFitStrain, row + kFitShear);
    const F* lacking = found.lacking;
    row[kFitMissing] = float(t.sites) - found.sites;
    row[kFitLacking] = lattice_root<F>(lacking[0] * lacking[0] + lacking[1] * lacking[1] + lacking[2] * lacking[2]);
    for (int b = 0; b < t.sites; ++b) row[kFitValues + b] = found.whose[b];
}

}  // namespace
}  // namespace INSITU_NAMESPACE

const LatticeTable& INSITU_JOIN(lattice_, INSITU_ISA)() {
    using namespace INSITU_NAMESPACE;
    static const LatticeTable table{INSITU_TEXT(INSITU_ISA), fit};
    return table;
}

}  // namespace insitu
