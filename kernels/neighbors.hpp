// SPDX-License-Identifier: BSD-3-Clause
// Cell list over one rank's owned and ghost atoms. There is no periodicity here: periodic images
// are points of their own (LAMMPS' ghosts, or the copies that Frame makes), so any cell shape,
// cells smaller than the cutoff and atoms outside the box need no special case.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace insitu {

struct CellList {
    int n[3] = {1, 1, 1};
    double low[3] = {0, 0, 0};
    double inverse_side[3] = {0, 0, 0};
    std::vector<std::int32_t> start;       // first point of each cell, cells in x-fastest order
    std::vector<std::int32_t> index;       // point -> its place in the caller's arrays
    std::vector<double> x, y, z;           // coordinates in cell order
    std::vector<std::int64_t> id;          // atom ids in cell order

    int coordinate(double value, int axis) const {
        const int c = int((value - low[axis]) * inverse_side[axis]);
        return std::min(std::max(c, 0), n[axis] - 1);
    }

    // Returns -1, or the number of the first point whose position is not finite. Beyond 1e100 the
    // extent or a square could overflow, and the choice of a side would not end.
    std::int64_t build(const double* r, const std::int64_t* ids, std::int64_t count, double cutoff) {
        double high[3];
        for (int a = 0; a < 3; ++a) low[a] = high[a] = count ? r[a] : 0.0;
        for (std::int64_t i = 0; i < count; ++i)
            for (int a = 0; a < 3; ++a) {
                const double v = r[3 * i + a];
                if (!(std::fabs(v) < 1e100)) return i;
                low[a] = std::min(low[a], v);
                high[a] = std::max(high[a], v);
            }
        // A sparse gas in a large box must not cost memory: at most about two cells a point.
        double side = cutoff;
        const double most = 2.0 * double(count) + 64.0;
        for (;;) {
            double cells = 1.0;
            for (int a = 0; a < 3; ++a) cells *= std::floor((high[a] - low[a]) / side) + 1.0;
            if (cells <= most) break;
            side *= 1.26;
        }
        for (int a = 0; a < 3; ++a) {
            n[a] = int(std::floor((high[a] - low[a]) / side)) + 1;
            inverse_side[a] = 1.0 / side;
        }
        const std::size_t cells = std::size_t(n[0]) * std::size_t(n[1]) * std::size_t(n[2]);
        start.assign(cells + 1, 0);
        std::vector<std::int32_t> cell(static_cast<std::size_t>(count));
        for (std::int64_t i = 0; i < count; ++i) {
            const int c = cell_of(&r[3 * i]);
            cell[std::size_t(i)] = c;
            ++start[std::size_t(c) + 1];
        }
        for (std::size_t c = 0; c < cells; ++c) start[c + 1] += start[c];
        index.resize(std::size_t(count));
        x.resize(std::size_t(count));
        y.resize(std::size_t(count));
        z.resize(std::size_t(count));
        id.resize(std::size_t(count));
        std::vector<std::int32_t> next(start.begin(), start.end() - 1);
        for (std::int64_t i = 0; i < count; ++i) {
            const auto at = std::size_t(next[std::size_t(cell[std::size_t(i)])]++);
            index[at] = std::int32_t(i);
            x[at] = r[3 * i];
            y[at] = r[3 * i + 1];
            z[at] = r[3 * i + 2];
            id[at] = ids[i];
        }
        return -1;
    }

    int cell_of(const double* r) const {
        return (coordinate(r[2], 2) * n[1] + coordinate(r[1], 1)) * n[0] + coordinate(r[0], 0);
    }

    // Calls visit(begin, end) for the runs of points that can lie within one cell side of r.
    template <class Visit>
    void visit_around(const double* r, double radius, Visit&& visit) const {
        int from[3], to[3];
        for (int a = 0; a < 3; ++a) {
            from[a] = coordinate(r[a] - radius, a);
            to[a] = coordinate(r[a] + radius, a);
        }
        for (int cz = from[2]; cz <= to[2]; ++cz)
            for (int cy = from[1]; cy <= to[1]; ++cy) {
                const int row = (cz * n[1] + cy) * n[0];
                const std::int32_t begin = start[std::size_t(row + from[0])];
                const std::int32_t end = start[std::size_t(row + to[0]) + 1];
                if (begin < end) visit(begin, end);
            }
    }
};

}  // namespace insitu
