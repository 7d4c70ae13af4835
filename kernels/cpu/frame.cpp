// SPDX-License-Identifier: BSD-3-Clause
// Passes over the positions of a frame, once a frame each: where its atoms lie, which of them are in a
// region, and their periodic images.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <utility>
#include <vector>

#include "../bindings/bindings.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace insitu {

void bind_density(nb::module_& m);  // density.cpp

namespace {

// What lies on the border but for rounding, in fractional coordinates, stays where it is.
constexpr double kBorder = 1e-12;

// Fractional coordinates: origin (3,) and inverse (3, 3) of a cell.
struct Fractions {
    Fractions(const In<double, 1>& origin, const In<double, 2>& inverse) {
        if (origin.shape(0) != 3 || inverse.shape(0) != 3 || inverse.shape(1) != 3)
            throw std::invalid_argument("a cell is (3, 3), its origin (3,)");
        std::copy_n(origin.data(), 3, o);
        std::copy_n(inverse.data(), 9, h);
    }
    void of(const double* r, double* s) const {
        const double x = r[0] - o[0], y = r[1] - o[1], z = r[2] - o[2];
        for (int k = 0; k < 3; ++k) s[k] = x * h[k] + y * h[3 + k] + z * h[6 + k];
    }
    double o[3], h[9];
};

template <class Positions>
void check(const Positions& positions, const In<std::uint8_t, 1>& pbc) {
    if (positions.shape(1) != 3 || pbc.shape(0) != 3) throw std::invalid_argument("positions are (n, 3)");
}

void check_cell(const In<double, 2>& cell) {
    if (cell.shape(0) != 3 || cell.shape(1) != 3) throw std::invalid_argument("a cell is (3, 3)");
}

// Between which fractional coordinates some atoms lie: lower ends, then upper ends. NaN if there are none,
// or if a position is not finite.
nb::ndarray<nb::numpy, double, nb::ndim<1>> bounds(In<double, 2> positions, std::int64_t n,
                                                   In<double, 1> origin, In<double, 2> inverse) {
    check_atoms(positions, 0, n);
    const Fractions fractions(origin, inverse);
    constexpr double inf = std::numeric_limits<double>::infinity();
    std::vector<double> found{inf, inf, inf, -inf, -inf, -inf};
    double odd = 0.0;  // no number as soon as a coordinate is none, or infinite
    const double* r = positions.data();
    for (std::int64_t i = 0; i < n; ++i, r += 3) {
        double s[3];
        fractions.of(r, s);
        for (int k = 0; k < 3; ++k) {
            found[std::size_t(k)] = std::min(found[std::size_t(k)], s[k]);
            found[std::size_t(3 + k)] = std::max(found[std::size_t(3 + k)], s[k]);
            odd += s[k] - s[k];
        }
    }
    if (!n || odd != 0.0) std::fill(found.begin(), found.end(), std::numeric_limits<double>::quiet_NaN());
    return give(std::move(found));
}

// How many of the points (3, n) between `least` and `most`, and of their images, lie in a region.
std::int64_t inside(const double* s, std::size_t n, const double* least, const double* most,
                    const std::uint8_t* pbc, const double* region) {
    if (!n || std::isnan(region[0])) return 0;
    double low[3], high[3];
    bool single = true;  // no direction in which more than one image of an atom may be in the region
    for (int k = 0; k < 3; ++k) {
        const double first = pbc[k] ? std::ceil(region[k] - most[k]) : 0.0;
        const double last = pbc[k] ? std::floor(region[3 + k] - least[k]) : 0.0;
        if (last < first) return 0;
        single = single && first == last;
        low[k] = region[k] - first;
        high[k] = region[3 + k] - first;
        if (low[k] > most[k] || high[k] < least[k]) return 0;
    }
    std::int64_t found = 0;
    if (single) {
        for (std::size_t i = 0; i < n; ++i) {
            const double x = s[i], y = s[n + i], z = s[2 * n + i];
            found += (x >= low[0]) & (x <= high[0]) & (y >= low[1]) & (y <= high[1]) & (z >= low[2]) &
                     (z <= high[2]);
        }
        return found;
    }
    for (std::size_t i = 0; i < n; ++i) {
        double images = 1.0;
        for (std::size_t k = 0; k < 3 && images > 0.0; ++k) {
            const double x = s[k * n + i];
            if (pbc[k])
                images *= below(region[3 + k] - x) + below(x - region[k]) + 1.0;
            else if (!(x >= region[k] && x <= region[3 + k]))
                images = 0.0;
        }
        if (images > 0.0) found += std::int64_t(images);
    }
    return found;
}

// How many of some atoms, and of their images along the directions that are periodic, lie in each of the
// regions (m, 6) of fractional coordinates: lower ends, then upper ends. None in one that begins with NaN.
nb::ndarray<nb::numpy, std::int64_t, nb::ndim<1>> count_inside(
    In<double, 2> positions, std::int64_t n, In<double, 1> origin, In<double, 2> inverse,
    In<std::uint8_t, 1> pbc, In<double, 2> regions) {
    check_atoms(positions, 0, n);
    if (pbc.shape(0) != 3 || regions.shape(1) != 6) throw std::invalid_argument("regions are (m, 6)");
    const Fractions fractions(origin, inverse);
    std::vector<std::int64_t> found(regions.shape(0), 0);
    {
        nb::gil_scoped_release free;
        const auto many = std::size_t(n);
        std::vector<double> s(3 * many);  // direction by direction
        double least[3], most[3];
        std::fill_n(least, 3, std::numeric_limits<double>::infinity());
        std::fill_n(most, 3, -std::numeric_limits<double>::infinity());
        for (std::size_t i = 0; i < many; ++i) {
            double one[3];
            fractions.of(positions.data() + 3 * i, one);
            for (std::size_t k = 0; k < 3; ++k) {
                s[k * many + i] = one[k];
                least[k] = std::min(least[k], one[k]);
                most[k] = std::max(most[k], one[k]);
            }
        }
        for (std::size_t m = 0; m < found.size(); ++m)
            found[m] = inside(s.data(), many, least, most, pbc.data(), regions.data() + 6 * m);
    }
    return give(std::move(found));
}

// Moves positions that lie outside of a periodic cell into it; what is outside but for rounding stays.
void wrap(Out<double, 2> positions, In<double, 1> origin, In<double, 2> inverse, In<double, 2> cell,
          In<std::uint8_t, 1> pbc) {
    check(positions, pbc);
    check_cell(cell);
    const Fractions fractions(origin, inverse);
    const double* h = cell.data();
    for (std::size_t i = 0; i < positions.shape(0); ++i) {
        double *r = positions.data() + 3 * i, s[3];
        fractions.of(r, s);
        for (int k = 0; k < 3; ++k) s[k] = pbc.data()[k] ? below(s[k] + kBorder) : 0.0;
        if (s[0] == 0.0 && s[1] == 0.0 && s[2] == 0.0) continue;
        for (int k = 0; k < 3; ++k) r[k] -= s[0] * h[k] + s[1] * h[3 + k] + s[2] * h[6 + k];
    }
}

// The periodic images of positions within the cell that are near it: owners (m,) and positions (m, 3).
// `near` (3,): how near, as a part of the cell's heights.
nb::tuple images(In<double, 2> positions, In<double, 1> origin, In<double, 2> inverse, In<double, 2> cell,
                 In<std::uint8_t, 1> pbc, In<double, 1> near) {
    check(positions, pbc);
    check_cell(cell);
    if (near.shape(0) != 3) throw std::invalid_argument("three directions");
    const Fractions fractions(origin, inverse);
    const auto n = std::size_t(positions.shape(0));
    std::vector<std::int32_t> owner;
    std::vector<double> place;  // and, until all are known, by how many periods they are moved
    {
        nb::gil_scoped_release free;
        std::vector<double> s(3 * n);
        for (std::size_t i = 0; i < n; ++i) fractions.of(positions.data() + 3 * i, &s[3 * i]);
        // One direction after the other: the later ones are asked for the images that are left only.
        for (std::size_t axis = 0; axis < 3; ++axis) {
            if (!pbc.data()[axis]) continue;
            const double part = near.data()[axis];
            const int most = int(std::ceil(part));
            const std::size_t before = owner.size();
            for (int k = -most; k <= most; ++k) {
                if (!k) continue;
                for (std::size_t i = 0; i < n + before; ++i) {
                    const std::size_t who = i < n ? i : std::size_t(owner[i - n]);
                    const double along = s[3 * who + axis] + k;
                    if (!(along >= -part && along <= 1.0 + part)) continue;
                    double moved[3] = {0.0, 0.0, 0.0};
                    if (i >= n) std::copy_n(&place[3 * (i - n)], 3, moved);
                    moved[axis] = k;
                    owner.push_back(std::int32_t(who));
                    place.insert(place.end(), moved, moved + 3);
                }
            }
        }
        const double* h = cell.data();
        for (std::size_t i = 0; i < owner.size(); ++i) {
            const double* r = positions.data() + 3 * std::size_t(owner[i]);
            double* p = &place[3 * i];
            const double x = p[0], y = p[1], z = p[2];
            for (int k = 0; k < 3; ++k) p[k] = r[k] + (x * h[k] + y * h[3 + k] + z * h[6 + k]);
        }
    }
    return nb::make_tuple(give(std::move(owner)), give(std::move(place)));
}

// The `most` atoms of a range that are farthest from the middle of the cell, in no order.
nb::ndarray<nb::numpy, std::int32_t, nb::ndim<1>> outermost(In<double, 2> positions, std::int64_t first,
                                                            std::int64_t last, In<double, 1> origin,
                                                            In<double, 2> inverse, int most) {
    check_atoms(positions, first, last);
    const Fractions fractions(origin, inverse);
    std::vector<std::pair<double, std::int32_t>> kept;  // a heap, the nearest of them first
    const auto nearer = [](const auto& a, const auto& b) { return a.first > b.first; };
    for (std::int64_t i = first; i < last; ++i) {
        double s[3];
        fractions.of(positions.data() + 3 * i, s);
        const double away = std::abs(s[0] - 0.5) + std::abs(s[1] - 0.5) + std::abs(s[2] - 0.5);
        if (int(kept.size()) == most) {
            if (!(away > kept.front().first)) continue;
            std::pop_heap(kept.begin(), kept.end(), nearer);
            kept.pop_back();
        }
        kept.emplace_back(away, std::int32_t(i));
        std::push_heap(kept.begin(), kept.end(), nearer);
    }
    std::vector<std::int32_t> found;
    for (const auto& one : kept) found.push_back(one.second);
    return give(std::move(found));
}

// The index among the first n ids of each of a few that are wanted, -1 where it is not there.
nb::ndarray<nb::numpy, std::int32_t, nb::ndim<1>> places_of_ids(In<std::int64_t, 1> ids, std::int64_t n,
                                                                In<std::int64_t, 1> wanted) {
    if (n < 0 || n > std::int64_t(ids.shape(0))) throw std::invalid_argument("more atoms than ids");
    const std::size_t many = wanted.shape(0);
    std::vector<std::int32_t> found(many, -1);
    std::vector<std::pair<std::int64_t, std::size_t>> sorted;
    std::vector<bool> mark(4096, false);  // most atoms are not wanted
    for (std::size_t k = 0; k < many; ++k) {
        sorted.emplace_back(wanted.data()[k], k);
        mark[std::size_t(wanted.data()[k] & 4095)] = true;
    }
    std::sort(sorted.begin(), sorted.end());
    for (std::int64_t i = 0; i < n; ++i) {
        const std::int64_t id = ids.data()[i];
        if (!mark[std::size_t(id & 4095)]) continue;
        auto at = std::lower_bound(sorted.begin(), sorted.end(), std::make_pair(id, std::size_t(0)));
        for (; at != sorted.end() && at->first == id; ++at) found[at->second] = std::int32_t(i);
    }
    return give(std::move(found));
}

}  // namespace

void bind_frame(nb::module_& m) {
    m.def("bounds", &bounds, "positions"_a, "n"_a, "origin"_a, "inverse"_a);
    m.def("count_inside", &count_inside, "positions"_a, "n"_a, "origin"_a, "inverse"_a, "pbc"_a, "regions"_a);
    m.def("wrap", &wrap, "positions"_a.noconvert(), "origin"_a, "inverse"_a, "cell"_a, "pbc"_a);
    m.def("images", &images, "positions"_a, "origin"_a, "inverse"_a, "cell"_a, "pbc"_a, "near"_a);
    m.def("outermost", &outermost, "positions"_a, "first"_a, "last"_a, "origin"_a, "inverse"_a, "most"_a);
    m.def("places_of_ids", &places_of_ids, "ids"_a, "n"_a, "wanted"_a);
    bind_density(m);
}

}  // namespace insitu
