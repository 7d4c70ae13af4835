// SPDX-License-Identifier: BSD-3-Clause
// The grid in which atoms are counted to tell the density where they are (insitu.frame.neighbors.density).
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "../core/neighbors.hpp"

namespace insitu {

class DensityGrid {
  public:
    static constexpr int kCells = 16;  // along each side
    static constexpr int kAll = kCells * kCells * kCells;
    // Keeps the planes of a perfect crystal off the limits of the cells.
    static constexpr double kOffset = 0.0137931;

    // Inverse (3, 3) and heights of a basis, its volume, and which directions are periodic.
    DensityGrid(const double* inverse, const double* heights, double volume, const std::uint8_t* pbc);

    double volume() const { return box_ * width_[0] * width_[1] * width_[2]; }

    // Smallest and largest coordinate (6) of the atoms in the part; returns how many these are.
    std::int64_t ends(const double* r, std::int64_t n, const double* origin, double* found) const;

    // Lays the grid over the atoms of all ranks, from the ends of what they have in the part; each atom owns
    // half a spacing beyond them.
    void span(const double* ends, double atoms);

    // Adds to the counts (kAll) of the part's cells.
    void count(const double* r, std::int64_t n, const double* origin, double* counts) const;

    // Leaves out the part of each direction that holds few atoms; returns whether there is one.
    bool narrow(const double* counts);

    // (Volume an atom)^(1/3) in the cell of the median atom.
    double spacing(const double* counts) const;

    const double* low() const { return low_; }
    const double* width() const { return width_; }
    bool whole(int axis) const { return whole_[axis]; }
    bool open(int axis) const { return open_[axis]; }

  private:
    // Calls `each(v)` with the place of every atom of the part, in periods from its beginning on.
    template <class Each>
    void visit(const double* r, std::int64_t n, const double* origin, Each&& each) const {
        constexpr double inf = std::numeric_limits<double>::infinity();
        double start[3], end[3], shift[3], period[3];
        bool all = true;
        for (int k = 0; k < 3; ++k) {
            const double from = pbc_[k] ? 0.0 : low_[k];
            start[k] = open_[k] ? -inf : from;
            end[k] = open_[k] ? inf : from + width_[k];
            shift[k] = pbc_[k] ? low_[k] : 0.0;
            period[k] = pbc_[k] ? 1.0 : 0.0;
            all = all && whole_[k];
        }
        for (std::int64_t i = 0; i < n; ++i, r += 3) {
            const double x = r[0] - origin[0], y = r[1] - origin[1], z = r[2] - origin[2];
            double v[3];
            bool inside = true;
            for (int k = 0; k < 3; ++k) {
                v[k] = x * inverse_[k] + y * inverse_[3 + k] + z * inverse_[6 + k] - shift[k];
                v[k] -= below(v[k]) * period[k];
                inside = inside && v[k] >= start[k] && v[k] < end[k];
            }
            if (all || inside) each(v);
        }
    }

    void rim(const double* sizes, const bool* axes, double atoms, double* more) const;

    double inverse_[9], heights_[3], box_;
    bool pbc_[3];
    double low_[3], width_[3];
    // Directions that are counted in their whole period: what leaves on one side enters on the other. And
    // those that have no ends yet.
    bool whole_[3], open_[3];
};

}  // namespace insitu
