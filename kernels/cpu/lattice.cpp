// SPDX-License-Identifier: BSD-3-Clause
// Fits of the lattices of their labels to all atoms of a rank, and the chemical order of what they find.
#include "lattice_isa.hpp"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "../bindings/bindings.hpp"
#include "../core/orientation.hpp"
#include "cpu.hpp"
#include "shares.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace insitu {

const LatticeTable& lattice_choose(const std::string& isa) {
    const std::string name = isa_choose(isa).name;
#ifdef INSITU_X86
    if (name == "avx512") return lattice_avx512();
    if (name == "avx2") return lattice_avx2();
#endif
    return lattice_plain();
}

namespace {

// Chemical order as polyhedral template matching has it (and rock salt), by the types on the sites.
enum Order : int { kNoOrder, kPure, kL10, kL12Majority, kL12Minority, kB2, kZincBlende, kWurtzite, kRockSalt };

// From which sites have the type of the atom itself (bits), if there are two types in all.
int order_of(int kind, int sites, unsigned same) {
    const unsigned all = (1u << sites) - 1u, first = kind == kBcc ? 0xffu : 0xfu;
    if (same == all) return kPure;
    switch (kind) {
        case kFcc:
            if (!same) return kL12Minority;
            for (unsigned plane : {0xfu, 0xf0u, 0xf00u}) {  // the template has its sites plane by plane
                if (same == plane) return kL10;
                if (same == (all & ~plane)) return kL12Majority;
            }
            return kNoOrder;
        case kBcc: return same == (all & ~first) ? kB2 : kNoOrder;
        case kCubicDiamond: return same == (all & ~first) ? kZincBlende : kNoOrder;
        case kHexagonalDiamond: return same == (all & ~first) ? kWurtzite : kNoOrder;
        case kSc: return same ? kNoOrder : kRockSalt;
        default: return kNoOrder;
    }
}

const std::vector<LatticeTemplate>& all_templates() {
    static const std::vector<LatticeTemplate> templates = [] {
        std::vector<LatticeTemplate> all;
        for (int kind = 0; kind < kLatticeKinds; ++kind) all.push_back(lattice_template(kind));
        return all;
    }();
    return templates;
}

// Values of an atom: those of a fit, and the sites of the first shell without a neighbour.
constexpr int kValues = kFitValues + 1;

// Values (atoms, kValues) of the atoms at some places, indices (atoms, kMostSites) of the neighbours on their
// sites (-1: none) and chemical order (atoms), in the rows of the caller's order; others are left alone.
// `kinds` are LatticeKind, -1 for no lattice; `types` those of all places; `distance` the nearest one of the
// unstrained lattice, or 0. An atom of which less than half of the sites have a neighbour, or fewer than
// four, has no fit: NaN. `guess` (n, 4) are quaternions to start from; (0, 4): they are searched for.
void fit_lattices(const Cells& cells, In<std::int32_t, 1> places, In<std::int32_t, 1> kinds,
                  In<std::int32_t, 1> types, Out<float, 2> values, Out<std::int32_t, 2> neighbors,
                  Out<std::int32_t, 1> order, In<float, 2> guess, double distance, double cutoff, const std::string& isa_name,
                  int threads) {
    const auto n = std::int64_t(places.shape(0));
    const bool guessed = guess.shape(0) > 0;
    if ((guessed && (guess.shape(0) != places.shape(0) || guess.shape(1) != 4)) || kinds.shape(0) != places.shape(0) || values.shape(1) != kValues || neighbors.shape(0) != values.shape(0) ||
        neighbors.shape(1) != kMostSites || order.shape(0) != values.shape(0) ||
        std::int64_t(types.shape(0)) != cells.points)
        throw std::invalid_argument("the arrays do not fit the atoms");
    const IsaTable& isa = isa_choose(isa_name);
    const LatticeTable& table = lattice_choose(isa_name);
    const std::vector<LatticeTemplate>& templates = all_templates();
    DescriptorSettings settings;
    settings.cutoff = cutoff;
    settings.scale_free = true;
    settings.ball = settings.local = kMostFitted;
    struct State {
        Describer describer;
        Floats from, found, start;
        std::vector<std::int64_t> those;
        std::vector<std::int32_t> at, whose;
    };
    std::vector<State> states;
    for (int t = 0; t < std::max(threads, 1); ++t)
        states.push_back({Describer(cells.list, settings, isa, 1, nullptr, 0), {}, {}, {}, {}, {}, {}});
    const std::int32_t* index = cells.list.index.data();
    const float none = std::numeric_limits<float>::quiet_NaN();
    for (std::int64_t i = 0; i < n; ++i) {
        const std::int32_t place = places(std::size_t(i));
        if (place < 0 || place >= cells.points || std::size_t(index[place]) >= values.shape(0))
            throw std::invalid_argument("no row for an atom");
    }

    const auto group = [&](State& s, const LatticeTemplate& t, int kind, std::int64_t first, int count) {
        const int lanes = isa.lanes;
        constexpr int kPadded = (kMostFitted + kMostLanes - 1) / kMostLanes * kMostLanes;
        alignas(64) float near[3][kPadded];
        float* from = s.from.room(std::size_t(3 * kMostFitted * lanes));
        float* found = s.found.room(std::size_t(kFitWords * lanes));
        s.at.resize(std::size_t(count));
        s.whose.resize(std::size_t(kMostFitted * lanes));
        for (int k = 0; k < count; ++k) s.at[std::size_t(k)] = places(std::size_t(s.those[std::size_t(first + k)]));
        s.describer.search(s.at.data(), count);
        for (int k = 0; k < lanes; ++k) {  // lanes that are left over do what the last one does
            const int known = k < count ? s.describer.nearest_of(k, t.atoms, near[0], near[1], near[2]) : 0;
            for (int j = 0; j < t.atoms; ++j) {
                for (int axis = 0; axis < 3; ++axis) from[(3 * j + axis) * lanes + k] = near[axis][j];
                s.whose[std::size_t(k * kMostFitted + j)] = j < known ? s.describer.place(j) : -1;
            }
        }
        float* start = guessed ? s.start.room(std::size_t(9 * lanes)) : nullptr;
        for (int k = 0; guessed && k < lanes; ++k) {
            float r[9];
            rotation_of(&guess(std::size_t(s.those[std::size_t(first + std::min(k, count - 1))]), 0), r);
            for (int m = 0; m < 9; ++m) start[m * lanes + k] = r[m];
        }
        table.fit(t, from, start, float(distance), found);
        for (int k = 0; k < count; ++k) {
            const auto i = std::size_t(index[s.at[std::size_t(k)]]);
            const auto word = [&](int w) { return found[w * lanes + k]; };
            float* v = values.data() + i * kValues;
            std::int32_t* list = neighbors.data() + i * kMostSites;
            const std::int32_t own = types(std::size_t(s.at[std::size_t(k)]));
            unsigned same = 0;
            int empty = 0;
            bool two = true;
            std::int32_t other = own;
            std::fill(list + t.sites, list + kMostSites, -1);
            for (int b = 0; b < t.sites; ++b) {
                const int j = int(word(kFitValues + b));
                const std::int32_t place = j < 0 ? -1 : s.whose[std::size_t(k * kMostFitted + j)];
                list[b] = place < 0 ? -1 : index[place];
                if (place < 0) {
                    empty += b < t.first;
                    two = false;
                    continue;
                }
                const std::int32_t type = types(std::size_t(place));
                if (type == own) same |= 1u << b;
                else if (other == own) other = type;
                else two &= type == other;
            }
            v[kFitValues] = float(empty);
            order(i) = two ? order_of(kind, t.sites, same) : kNoOrder;
            const float sites = float(t.sites) - word(kFitMissing);
            const bool enough = sites >= 4.0f && 2.0f * sites >= float(t.sites);
            for (int w = 0; w < kFitValues; ++w) v[w] = enough || w >= kFitMissing ? word(w) : none;
        }
    };

    nb::gil_scoped_release free;
    in_shares(n, kShare, threads, [&](int thread, std::int64_t from, std::int64_t to) {
        State& s = states[std::size_t(thread)];
        for (int kind = 0; kind < kLatticeKinds; ++kind) {  // lanes of one lattice
            s.those.clear();
            for (std::int64_t i = from; i < to; ++i)
                if (kinds(std::size_t(i)) == kind) s.those.push_back(i);
            const auto count = std::int64_t(s.those.size());
            for (std::int64_t i = 0; i < count; i += isa.lanes)
                group(s, templates[std::size_t(kind)], kind, i, int(std::min<std::int64_t>(isa.lanes, count - i)));
        }
    });
}

// Orientations (atoms, 4) averaged over an atom and its like neighbours, whose kinds and quaternions are in
// `all` (points, 5), and the cosine of half of the angle to its own one (atoms, 5). Of its neighbours: how
// many were analysed (their kind is at least -1), are like it, and have that orientation (atoms, 3). `rows`
// (n) are the atoms, `neighbors` (atoms, most) the neighbours of all (-1: none).
void average_orientations(In<float, 2> all, In<std::int32_t, 1> rows, In<std::int32_t, 2> neighbors, double within,
                          Out<float, 2> out, Out<std::int32_t, 2> counts) {
    const std::size_t n = rows.shape(0), most = neighbors.shape(1);
    const std::size_t atoms = neighbors.shape(0);
    if (all.shape(1) != 5 || atoms > all.shape(0) || out.shape(0) != atoms || out.shape(1) != 5 ||
        counts.shape(0) != atoms || counts.shape(1) != 3 || most > kMostSites)
        throw std::invalid_argument("the arrays do not fit the atoms");
    const OrientationGroup cubic(all_templates()[kFcc]), hexagonal(all_templates()[kHcp]);
    const float near = float(std::cos(0.5 * within));
    nb::gil_scoped_release free;
    for (std::size_t row = 0; row < n; ++row) {
        const auto i = std::size_t(rows(row));
        const float* own = &all(i, 0);
        const int kind = int(own[0]);
        const OrientationGroup& g = kind == kHcp || kind == kHexagonalDiamond ? hexagonal : cubic;
        const float* q[kMostSites + 1];
        int count = 0;
        if (own[1] == own[1]) q[count++] = own + 1;
        int analysed = 0, like = 0;
        for (std::size_t k = 0; k < most; ++k) {
            if (neighbors(i, k) < 0) continue;
            const float* other = &all(std::size_t(neighbors(i, k)), 0);
            analysed += other[0] >= -1.0f;
            if (other[0] != own[0]) continue;
            ++like;
            if (other[1] == other[1]) q[count++] = other + 1;
        }
        counts(i, 0) = analysed;
        counts(i, 1) = like;
        counts(i, 2) = g.average(q, count, near, &out(i, 0));
        float turned[4];
        out(i, 4) = own[1] == own[1] ? g.nearest(&out(i, 0), own + 1, turned) : own[1];
    }
}

}  // namespace

void bind_lattice(nb::module_& m) {
    m.attr("LATTICE_VALUES") = kValues;
    m.def("fit_lattices", &fit_lattices, "cells"_a, "places"_a, "kinds"_a, "types"_a, "values"_a.noconvert(),
          "neighbors"_a.noconvert(), "order"_a.noconvert(), "guess"_a, "distance"_a, "cutoff"_a, "isa"_a = "", "threads"_a = 1);
    m.def("average_orientations", &average_orientations, "all"_a, "rows"_a, "neighbors"_a, "within"_a,
          "out"_a.noconvert(), "counts"_a.noconvert());
}

}  // namespace insitu
