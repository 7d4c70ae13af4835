// SPDX-License-Identifier: BSD-3-Clause
#include "density.hpp"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <array>
#include <stdexcept>
#include <utility>

#include "../bindings/bindings.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace insitu {

namespace {

constexpr int kCells = DensityGrid::kCells;
// Atoms that the cells in which a density is read off hold on average, at least.
constexpr double kPopulated = 32.0;
// Share of the atoms that has to lie in half of a direction for the grid to leave the rest out.
constexpr double kMost = 0.75;
// Density of a plane, of the densest one's, at which what most atoms belong to ends.
constexpr double kThin = 0.02;
// Empty space is left out if it is wider than this, in spacings of the atoms in it: a cell of one atom is
// not one atom in a vacuum.
constexpr double kGap = 2.0;
// Cells are at least so wide [spacings of the atoms in the grid].
constexpr double kWide = 3.0;
// Share of the cells that hold atoms where a sample without voids is.
constexpr double kFilled = 0.9;
// Volume that counts as none [Å³].
constexpr double kNothing = 1e-9;

// Counts in a grid of any three numbers of cells.
struct Counts {
    std::array<int, 3> n;
    std::vector<double> of;

    double total() const {
        double sum = 0.0;
        for (double c : of) sum += c;
        return sum;
    }
    int occupied() const { return int(of.size() - std::size_t(std::count(of.begin(), of.end(), 0.0))); }

    // Of a coarser grid; all numbers of cells are powers of two.
    Counts merged(const std::array<int, 3>& coarse) const {
        Counts found{coarse, std::vector<double>(std::size_t(coarse[0] * coarse[1] * coarse[2]), 0.0)};
        int shift[3] = {0, 0, 0};
        for (std::size_t k = 0; k < 3; ++k)
            while (coarse[k] << shift[k] < n[k]) ++shift[k];
        const double* from = of.data();
        for (int x = 0; x < n[0]; ++x)
            for (int y = 0; y < n[1]; ++y) {
                const int at = ((x >> shift[0]) * coarse[1] + (y >> shift[1])) * coarse[2];
                double* row = &found.of[std::size_t(at)];
                for (int z = 0; z < n[2]; ++z) row[z >> shift[2]] += *from++;
            }
        return found;
    }

    std::vector<double> planes(int axis) const {
        std::array<int, 3> shape{1, 1, 1};
        shape[std::size_t(axis)] = n[std::size_t(axis)];
        return merged(shape).of;
    }
};

bool even(const std::vector<double>& planes) {
    double sum = 0.0;
    for (double p : planes) sum += p;
    const double mean = sum / double(planes.size());
    const auto [least, most] = std::minmax_element(planes.begin(), planes.end());
    return *least >= 0.6 * mean && *most <= 1.5 * mean;
}

// The fewest neighbouring planes that hold the wanted atoms: first and number.
std::pair<int, int> shortest(const std::vector<double>& planes, double wanted, bool circular) {
    const int n = int(planes.size());
    std::vector<double> running{0.0};
    for (int k = 0; k < (circular ? 2 * n : n); ++k)
        running.push_back(running.back() + planes[std::size_t(k % n)]);
    for (int length = 1; length < n; ++length) {
        int best = 0;
        double most = -1.0;
        for (int k = 0; k < (circular ? n : n - length + 1); ++k) {
            const double held = running[std::size_t(k + length)] - running[std::size_t(k)];
            if (held > most) most = held, best = k;
        }
        if (most >= wanted) return {best, length};
    }
    return {0, n};
}

}  // namespace

DensityGrid::DensityGrid(const double* inverse, const double* heights, double volume,
                         const std::uint8_t* pbc)
    : box_(volume) {
    std::copy_n(inverse, 9, inverse_);
    for (int k = 0; k < 3; ++k) {
        heights_[k] = heights[k];
        pbc_[k] = whole_[k] = pbc[k] != 0;
        open_[k] = !pbc_[k];
        low_[k] = pbc_[k] ? -kOffset : 0.0;
        width_[k] = 1.0;
    }
}

std::int64_t DensityGrid::ends(const double* r, std::int64_t n, const double* origin,
                               double* found) const {
    for (int k = 0; k < 3; ++k) {
        found[k] = std::numeric_limits<double>::infinity();
        found[3 + k] = -found[k];
    }
    std::int64_t inside = 0;
    visit(r, n, origin, [&](const double* v) {
        ++inside;
        for (int k = 0; k < 3; ++k) {
            found[k] = std::min(found[k], v[k]);
            found[3 + k] = std::max(found[3 + k], v[k]);
        }
    });
    return inside;
}

void DensityGrid::rim(const double* sizes, const bool* axes, double atoms, double* more) const {
    std::fill_n(more, 3, 0.0);
    for (int turn = 0; turn < 60; ++turn) {
        const double spacing = std::cbrt(
            box_ * ((sizes[0] + more[0]) * (sizes[1] + more[1]) * (sizes[2] + more[2])) / atoms);
        bool same = true;
        for (int k = 0; k < 3; ++k) {
            const double next = axes[k] ? spacing / heights_[k] : 0.0;
            same = same && next == more[k];
            more[k] = next;
        }
        if (same) return;
    }
}

void DensityGrid::span(const double* ends, double atoms) {
    std::fill_n(open_, 3, false);
    if (!(atoms > 0.0)) return;
    double sizes[3], more[3];
    bool axes[3];
    for (int k = 0; k < 3; ++k) {
        axes[k] = !whole_[k];
        sizes[k] = axes[k] ? ends[3 + k] - ends[k] : width_[k];
    }
    rim(sizes, axes, atoms, more);
    for (int k = 0; k < 3; ++k) {
        const bool fits = axes[k] && !(pbc_[k] && sizes[k] + more[k] >= 1.0);
        const double start = (pbc_[k] ? low_[k] : 0.0) + ends[k] - (0.5 + kOffset) * more[k];
        low_[k] = fits ? start : pbc_[k] ? -kOffset : low_[k];
        width_[k] = fits ? std::max(sizes[k] + more[k], 1e-9) : 1.0;
        whole_[k] = pbc_[k] && !fits;
    }
}

void DensityGrid::count(const double* r, std::int64_t n, const double* origin, double* counts) const {
    double from[3], scale[3];
    for (int k = 0; k < 3; ++k) {
        from[k] = pbc_[k] ? 0.0 : low_[k];
        scale[k] = kCells / width_[k];
    }
    visit(r, n, origin, [&](const double* v) {
        int cell = 0;
        for (int k = 0; k < 3; ++k) {
            const double at = (v[k] - from[k]) * scale[k];
            // Also of what is no number: the caller finds that out.
            cell = cell * kCells + (at >= kCells ? kCells - 1 : at >= 0.0 ? int(at) : 0);
        }
        counts[cell] += 1.0;
    });
}

bool DensityGrid::narrow(const double* counts) {
    std::vector<double> planes_of[3];
    for (auto& planes : planes_of) planes.assign(kCells, 0.0);
    for (int x = 0; x < kCells; ++x)
        for (int y = 0; y < kCells; ++y, counts += kCells) {
            double row = 0.0;
            for (std::size_t z = 0; z < kCells; ++z) {
                row += counts[z];
                planes_of[2][z] += counts[z];
            }
            planes_of[0][std::size_t(x)] += row;
            planes_of[1][std::size_t(y)] += row;
        }
    double total = 0.0;
    for (double p : planes_of[0]) total += p;
    const double gap = kGap * std::cbrt(volume() / std::max(total, 1.0));
    bool narrowed = false;
    for (int axis = 0; axis < 3; ++axis) {
        const double before = width_[axis];
        const std::vector<double>& planes = planes_of[axis];
        auto [first, length] = shortest(planes, kMost * total, whole_[axis]);
        const double empty = double(kCells - length) / kCells * before * heights_[axis];
        if (2 * length > kCells || empty <= gap) continue;
        narrowed = true;
        // With what goes on without a gap on both sides, and a plane more.
        const double thin = kThin * *std::max_element(planes.begin(), planes.end());
        const auto at = [&](int k) { return planes[std::size_t((k % kCells + kCells) % kCells)]; };
        while (length < kCells - 2 && at(first - 1) > thin) --first, ++length;
        while (length < kCells - 2 && at(first + length) > thin) ++length;
        low_[axis] += double(first - 1) / kCells * before;
        width_[axis] *= double(length + 2) / kCells;
        whole_[axis] = false;
    }
    return narrowed;
}

double DensityGrid::spacing(const double* counts) const {
    if (volume() <= kNothing) return 1.0;  // one atom alone, or all at one place: any radius will do
    Counts cells{{kCells, kCells, kCells}, std::vector<double>(counts, counts + kAll)};
    const double average = std::cbrt(volume() / std::max(cells.total(), 1.0));
    // Cells are wide enough for their limits between the planes of a crystal not to matter.
    std::array<int, 3> shape = cells.n;
    for (std::size_t k = 0; k < 3; ++k)
        while (shape[k] > 1 && width_[k] * heights_[k] / shape[k] < kWide * average) shape[k] /= 2;
    cells = cells.merged(shape);
    while (cells.of.size() > 1 && cells.total() < kPopulated * cells.occupied()) {
        for (int& n : shape) n = std::max(n / 2, 1);
        cells = cells.merged(shape);
    }
    // One cell along the periods that are filled evenly: where they begin does not matter then, the density
    // is exact, and the same for any origin.
    std::array<int, 3> uniform = shape;
    for (int k = 0; k < 3; ++k)
        if (whole_[k] && even(cells.planes(k))) uniform[std::size_t(k)] = 1;
    Counts merged = cells.merged(uniform);
    const double filled = double(merged.occupied()) * double(cells.of.size() / merged.of.size());
    // Even in each direction, and still empty between them: a foam, or droplets.
    if (cells.occupied() >= kFilled * filled) cells = std::move(merged);
    const double cell = volume() / double(cells.of.size());
    std::sort(cells.of.begin(), cells.of.end());
    const double half = 0.5 * cells.total();
    double running = 0.0;
    for (double c : cells.of)
        if ((running += c) >= half && c > 0.0) return std::cbrt(cell / c);
    return std::cbrt(volume());
}

namespace {

using Grid = DensityGrid;

void check(const In<double, 2>& positions, std::int64_t n, const In<double, 1>& origin) {
    check_atoms(positions, 0, n);
    if (origin.shape(0) != 3) throw std::invalid_argument("an origin is (3,)");
}

nb::ndarray<nb::numpy, double, nb::ndim<1>> counts_of(const Grid& grid, In<double, 2> positions,
                                                      std::int64_t n, In<double, 1> origin) {
    check(positions, n, origin);
    std::vector<double> counts(Grid::kAll, 0.0);
    grid.count(positions.data(), n, origin.data(), counts.data());
    return give(std::move(counts));
}

nb::tuple ends_of(const Grid& grid, In<double, 2> positions, std::int64_t n, In<double, 1> origin) {
    check(positions, n, origin);
    std::vector<double> found(6);
    const std::int64_t inside = grid.ends(positions.data(), n, origin.data(), found.data());
    return nb::make_tuple(give(std::move(found)), inside);
}

const double* all_of(const In<double, 1>& counts) {
    if (counts.shape(0) != std::size_t(Grid::kAll)) throw std::invalid_argument("not the grid's cells");
    return counts.data();
}

std::vector<double> three(const double* values) { return {values, values + 3}; }

}  // namespace

void bind_density(nb::module_& m) {
    nb::class_<Grid>(m, "DensityGrid")
        .def("__init__",
             [](Grid* self, In<double, 2> inverse, In<double, 1> heights, double volume,
                In<std::uint8_t, 1> pbc) {
                 if (inverse.shape(0) != 3 || inverse.shape(1) != 3 || heights.shape(0) != 3 ||
                     pbc.shape(0) != 3)
                     throw std::invalid_argument("a basis is (3, 3)");
                 new (self) Grid(inverse.data(), heights.data(), volume, pbc.data());
             },
             "inverse"_a, "heights"_a, "volume"_a, "pbc"_a)
        .def("count", &counts_of, "positions"_a, "n"_a, "origin"_a)
        .def("ends", &ends_of, "positions"_a, "n"_a, "origin"_a)
        .def("span", [](Grid& g, In<double, 1> ends, double atoms) {
                 if (ends.shape(0) != 6) throw std::invalid_argument("six ends");
                 g.span(ends.data(), atoms);
             }, "ends"_a, "atoms"_a)
        .def("narrow", [](Grid& g, In<double, 1> counts) { return g.narrow(all_of(counts)); }, "counts"_a)
        .def("spacing", [](const Grid& g, In<double, 1> counts) { return g.spacing(all_of(counts)); },
             "counts"_a)
        .def_prop_ro("low", [](const Grid& g) { return three(g.low()); })
        .def_prop_ro("width", [](const Grid& g) { return three(g.width()); })
        .def_prop_ro("whole", [](const Grid& g) {
            return std::vector<bool>{g.whole(0), g.whole(1), g.whole(2)};
        })
        .def_prop_ro("open", [](const Grid& g) {
            return std::vector<bool>{g.open(0), g.open(1), g.open(2)};
        });
    m.attr("DENSITY_CELLS") = Grid::kCells;
}

}  // namespace insitu
