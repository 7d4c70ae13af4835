// SPDX-License-Identifier: BSD-3-Clause
// Cell list over one rank's owned and ghost atoms. There is no periodicity here: periodic images
// are points of their own (LAMMPS' ghosts, or the copies that Frame makes), so any cell shape,
// cells smaller than the cutoff and atoms outside the box need no special case.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "config.hpp"

namespace insitu {

// The largest whole number below: without SSE 4.1 the library's takes ten times as long.
inline double below(double x) {
    if (!(x > -1e15 && x < 1e15)) return std::floor(x);
    const double whole = double(std::int64_t(x));
    return whole - double(whole > x);
}

struct CellList {
    int n[3] = {1, 1, 1};
    double low[3] = {0, 0, 0};
    double inverse_side[3] = {0, 0, 0};
    std::vector<std::int32_t> start;       // first point of each cell, cells in x-fastest order
    std::vector<std::int32_t> index;       // point -> its place in the caller's arrays
    std::vector<Point> points;             // in cell order; after the last, some that are nowhere

    std::vector<double> slabs[3];  // occupied ones of a sample with wide gaps, else empty

    int coordinate(double value, int axis) const {
        const double c = below((value - low[axis]) * inverse_side[axis]);
        const auto& known = slabs[axis];
        if (known.empty()) return int(std::min(std::max(c, 0.0), double(n[axis] - 1)));
        return int(std::lower_bound(known.begin(), known.end() - 1, c) - known.begin());
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
        // A sparse gas in a large box must not cost memory: at most about two cells a point. A few
        // atoms far away (vapour) go to the cells at the rim, slabs without atoms (between droplets)
        // are left out, and a true gas gets larger cells.
        double side = cutoff * (1.0 + 1e-9);  // rounding must not put a neighbour two cells away
        const double most = 2.0 * double(count) + 64.0;
        const auto cells_of = [&] {
            double cells = 1.0;
            for (int a = 0; a < 3; ++a) cells *= std::floor((high[a] - low[a]) / side) + 1.0;
            return cells;
        };
        for (int i = 0; i < 4 && cells_of() > most; ++i) trim(r, count, low, high);
        for (auto& s : slabs) s.clear();
        if (cells_of() > most && !leave_out(r, count, high, side, most))
            while (cells_of() > most) side *= 1.26;
        for (int a = 0; a < 3; ++a) {
            n[a] = slabs[a].empty() ? int(std::floor((high[a] - low[a]) / side)) + 1
                                    : int(slabs[a].size());
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
        points.resize(std::size_t(count) + 8, Point{{kNowhere, kNowhere, kNowhere}, 0});
        std::vector<std::int32_t> next(start.begin(), start.end() - 1);
        for (std::int64_t i = 0; i < count; ++i) {
            const auto at = std::size_t(next[std::size_t(cell[std::size_t(i)])]++);
            index[at] = std::int32_t(i);
            points[at] = {{r[3 * i], r[3 * i + 1], r[3 * i + 2]}, ids[i]};
        }
        return -1;
    }

    // Narrows each axis to the range that holds all but about one point in a hundred.
    static void trim(const double* r, std::int64_t count, double* low, double* high) {
        constexpr int kBins = 256;
        for (int a = 0; a < 3; ++a) {
            std::int64_t held[kBins] = {};
            const double wide = high[a] - low[a];
            if (!(wide > 0)) continue;
            for (std::int64_t i = 0; i < count; ++i) {
                const double s = (r[3 * i + a] - low[a]) / wide * kBins;
                ++held[s > 0 ? (s < kBins ? int(s) : kBins - 1) : 0];
            }
            int first = 0, last = kBins - 1;
            for (std::int64_t cut = held[first]; cut <= count / 200; cut += held[++first]) {}
            for (std::int64_t cut = held[last]; cut <= count / 200; cut += held[--last]) {}
            const double from = low[a];
            low[a] = from + wide * first / kBins;
            high[a] = from + wide * (last + 1) / kBins;
        }
    }

    // Numbers the slabs that hold points, on each axis; false if that leaves too many cells. Slabs side
    // by side stay so: what is within one cell of a point still is.
    bool leave_out(const double* r, std::int64_t count, const double* high, double side,
                   double most) {
        double cells = 1.0;
        for (int a = 0; a < 3; ++a) {
            const double last = std::floor((high[a] - low[a]) / side);
            auto& s = slabs[a];
            s.resize(std::size_t(count));
            for (std::int64_t i = 0; i < count; ++i) {
                // As coordinate() has it, with points beyond the rim in the outermost slabs.
                const double c = below((r[3 * i + a] - low[a]) * (1.0 / side));
                s[std::size_t(i)] = std::min(std::max(c, 0.0), last);
            }
            std::sort(s.begin(), s.end());
            s.erase(std::unique(s.begin(), s.end()), s.end());
            s.shrink_to_fit();
            cells *= double(s.size());
        }
        if (cells <= most) return true;
        for (auto& s : slabs) std::vector<double>().swap(s);
        return false;
    }

    int cell_of(const double* r) const {
        return (coordinate(r[2], 2) * n[1] + coordinate(r[1], 1)) * n[0] + coordinate(r[0], 0);
    }

    // Whether another point lies within a radius of one, which may be far less than a cell is wide.
    bool has_within(std::int32_t place, double radius) const {
        const double* c = points[std::size_t(place)].r;
        int from[3], to[3];
        for (int a = 0; a < 3; ++a) {
            from[a] = coordinate(c[a] - radius, a);
            to[a] = coordinate(c[a] + radius, a);
        }
        int found = 0;
        visit(from, to, [&](std::int32_t begin, std::int32_t end) {
            for (std::int32_t i = begin; i < end && found < 2; ++i) {  // the first may be itself
                const double* r = points[std::size_t(i)].r;
                const double dx = r[0] - c[0], dy = r[1] - c[1], dz = r[2] - c[2];
                found += dx * dx + dy * dy + dz * dz <= radius * radius;
            }
        });
        return found > 1;
    }

    // Calls each(begin, end) for the runs of points in a range of cells.
    template <class Each>
    void visit(const int* from, const int* to, Each&& each) const {
        for (int cz = from[2]; cz <= to[2]; ++cz)
            for (int cy = from[1]; cy <= to[1]; ++cy) {
                const int row = (cz * n[1] + cy) * n[0];
                const std::int32_t begin = start[std::size_t(row + from[0])];
                const std::int32_t end = start[std::size_t(row + to[0]) + 1];
                if (begin < end) each(begin, end);
            }
    }
};

}  // namespace insitu
