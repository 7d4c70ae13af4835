// SPDX-License-Identifier: BSD-3-Clause
// The network on the whole sample's graph over all atoms of a rank, and its Python class.
#include "spatial_isa.hpp"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

#include "../bindings/bindings.hpp"
#include "../core/shared_memory.hpp"
#include "cpu.hpp"
#include "near.hpp"
#include "shares.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace insitu {

const SpatialTable& spatial_choose(const std::string& isa) {
    const std::string name = isa_choose(isa).name;
#ifdef INSITU_X86
    if (name == "avx512") return spatial_avx512();
    if (name == "avx2") return spatial_avx2();
#endif
    return spatial_plain();
}

namespace {

class SpatialEngine {
  public:
    // `weights` holds the arrays of EdgeNetwork one after the other; `widths` are species, width,
    // layers, hidden, classes, neighbours, radial functions, kinds, and degree and moments of the power
    // spectra.
    SpatialEngine(In<float, 1> weights, const std::vector<int>& widths, double range,
                  const std::string& isa)
        : isa_(isa_choose(isa)), table_(spatial_choose(isa)) {
        if (widths.size() != 10) throw std::invalid_argument("a spatial network has ten widths");
        g_.species = widths[0];
        g_.width = widths[1];
        g_.layers = widths[2];
        g_.hidden = widths[3];
        g_.classes = widths[4];
        g_.edges = {widths[5], widths[6], widths[7], float(range), widths[8], widths[9]};
        const EdgeSettings& e = g_.edges;
        if (g_.species < 1 || g_.layers < 1 || g_.layers > kMostLayers || e.most < 1 ||
            e.most > kMostEdges || e.radial < 0 || e.radial > kMostRadial || e.kinds < 1 ||
            e.kinds > g_.species || !(range > 0) || e.degree < 0 || e.degree > kMostDegree ||
            (e.degree && (e.moments < 1 || e.moments > kMostMoments)))
            throw std::invalid_argument("the network's widths are out of range");
        for (int w : {g_.width, g_.hidden, g_.classes})
            if (w < 1 || w % kMostLanes)
                throw std::invalid_argument("a width of the network is not padded");
        std::size_t used = 0;
        float* held = held_.room(weights.shape(0) + std::size_t(g_.width));
        std::fill_n(held, g_.width, 0.0f);
        g_.zero = held;
        held += g_.width;
        std::copy_n(weights.data(), weights.shape(0), held);
        const auto take = [&](const float*& pointer, int rows, int columns) {
            pointer = held + used;
            used += std::size_t(rows) * std::size_t(columns);
        };
        for (int l = 0; l < g_.layers; ++l) {
            const int inputs = l ? g_.width : g_.species;
            take(g_.own[l], inputs, g_.width);
            take(g_.own_bias[l], 1, g_.width);
            take(g_.share[l], inputs, g_.width);
            take(g_.edge[l], e.features() * e.kinds, g_.width);
            if (l == 0) take(g_.spectra, e.spectra().values(), g_.width);
        }
        take(g_.w1, g_.layers * g_.width, g_.hidden);
        take(g_.b1, 1, g_.hidden);
        take(g_.w2, g_.hidden, g_.classes);
        take(g_.b2, 1, g_.classes);
        if (used != weights.shape(0))
            throw std::invalid_argument("the weights do not fit the network's widths");
    }
    SpatialEngine(const SpatialEngine&) = delete;

    const EdgeNetwork& network() const { return g_; }

    // Search, edges, and the first layer: rows of the neighbours (n, padded), edges (n, words), layer
    // outputs h (n, layers * width), what is shared in the second layer (n, width), neighbours in the
    // search found (n). `kinds` are the species of the rows. False if a neighbour has no row.
    bool begin(const Cells& cells, In<std::int32_t, 1> places, In<std::int32_t, 1> row_of_place,
               In<std::int32_t, 1> kinds, Out<std::int32_t, 2> rows, Out<float, 2> edges,
               Out<float, 2> h, Out<float, 2> next, Out<std::int32_t, 1> found,
               Out<float, 2> probabilities, double radius, int local, double unit,
               int threads) const {
        const EdgeSettings& e = g_.edges;
        const auto n = std::int64_t(places.shape(0));
        const int pad = e.padded(), lanes = isa_.lanes;
        fits(rows.shape(0) == places.shape(0) && int(rows.shape(1)) == pad &&
             edges.shape(0) == places.shape(0) && int(edges.shape(1)) == e.words() &&
             found.shape(0) == places.shape(0) && kinds.shape(0) >= places.shape(0));
        check(h, next, probabilities, 0, n);
        const NearSearch search{radius, e.most, local, unit};
        struct State {
            Describer describer;
            Near near;
            Floats scratch, directions, work, spectra;
            std::vector<std::int32_t> species;
        };
        std::vector<State> states;
        for (int t = 0; t < std::max(threads, 1); ++t)
            states.push_back({Describer(cells.list, search_settings(search), isa_, 1, nullptr, 0),
                              Near(pad), Floats(), Floats(), Floats(), Floats(),
                              std::vector<std::int32_t>(std::size_t(kMostLanes * pad))});
        const auto kind_of = [&](std::int32_t place) {
            const std::int32_t row = row_of_place(std::size_t(place));
            return row < 0 ? 0 : int(kinds(std::size_t(row)));
        };
        bool whole = true;
        nb::gil_scoped_release free;
        in_shares(n, kShare, threads, [&](int thread, std::int64_t from, std::int64_t to) {
            State& state = states[std::size_t(thread)];
            const int words = e.direction_words();
            float* directions = state.directions.room(std::size_t(lanes) * std::size_t(words));
            float* spectra = state.spectra.room(std::size_t(lanes) * std::size_t(e.spectra().values()));
            for (std::int64_t i = from; i < to; i += lanes) {
                const int group = int(std::min<std::int64_t>(lanes, to - i));
                state.describer.search(places.data() + i, group);
                for (int k = 0; k < group; ++k) {
                    Near& near = state.near;
                    float* described = edges.data() + (i + k) * e.words();
                    if (e.kinds > 1)
                        near.take_sorted(state.describer, k, search, e.kinds, kind_of, described + e.counts());
                    else
                        near.take(state.describer, k, search);
                    found(std::size_t(i + k)) = near.count;
                    std::int32_t* list = rows.data() + (i + k) * pad;
                    std::int32_t* species = state.species.data() + k * pad;
                    for (int j = 0; j < pad; ++j) {
                        list[j] = species[j] = -1;
                        if (j >= near.count) continue;
                        list[j] = row_of_place(std::size_t(near.place[std::size_t(j)]));
                        if (list[j] < 0) {
#pragma omp atomic write
                            whole = false;
                            species[j] = 0;
                            continue;
                        }
                        species[j] = kinds(std::size_t(list[j]));
                        near.kind[std::size_t(j)] = float(species[j]);
                    }
                    table_.describe(e, near.dx.data(), near.dy.data(), near.dz.data(),
                                    near.d.data(), near.kind.data(), near.cut, near.unit,
                                    described, directions + k * words);
                }
                if (e.degree)
                    table_.spectra(e, directions, group, state.work.room(spectra_words(e)), spectra);
                layer(0, g_.share[0], state.species.data(), edges, kinds, spectra, i, group, h,
                      state.scratch, next, probabilities);
            }
        });
        return whole;
    }

    // A further layer; what other ranks' atoms share is in `shared` (n + received, width) by then.
    void convolve(int number, In<float, 2> shared, In<std::int32_t, 2> rows, Out<float, 2> edges,
                  In<std::int32_t, 1> kinds, Out<float, 2> h, Out<float, 2> next,
                  Out<float, 2> probabilities, int threads) const {
        const auto n = std::int64_t(rows.shape(0));
        fits(number > 0 && number < g_.layers && int(shared.shape(1)) == g_.width);
        check(h, next, probabilities, number, n);
        constexpr int kAtoms = 16;  // whose intermediate results stay in the nearest cache
        const int pad = g_.edges.padded();
        std::vector<Floats> scratch(std::size_t(std::max(threads, 1)));
        nb::gil_scoped_release free;
        in_shares(n, kShare, threads, [&](int thread, std::int64_t from, std::int64_t to) {
            for (std::int64_t i = from; i < to; i += kAtoms) {
                const int group = int(std::min<std::int64_t>(kAtoms, to - i));
                fetch_ahead(shared.data(), rows.data() + (i + group) * pad,
                            int(std::min<std::int64_t>(kAtoms, n - i - group)));
                layer(number, shared.data(), rows.data() + i * pad, edges, kinds, nullptr, i, group, h,
                      scratch[std::size_t(thread)], next, probabilities);
            }
        });
    }

  private:
    static void fits(bool whether) {
        if (!whether) throw std::invalid_argument("the arrays do not fit the network");
    }

    void check(const Out<float, 2>& h, const Out<float, 2>& next, const Out<float, 2>& probabilities,
               int number, std::int64_t n) const {
        fits(std::int64_t(h.shape(0)) == n && int(h.shape(1)) == g_.layers * g_.width);
        if (number + 1 < g_.layers)
            fits(std::int64_t(next.shape(0)) >= n && int(next.shape(1)) == g_.width);
        else
            fits(std::int64_t(probabilities.shape(0)) == n &&
                 int(probabilities.shape(1)) <= g_.classes);
    }

    // Asks for what the next atoms' neighbours share, which lies anywhere, before it is needed.
    void fetch_ahead(const float* shared, const std::int32_t* rows, int atoms) const {
        const int pad = g_.edges.padded();
        for (int i = 0; i < atoms; ++i, rows += pad)
            for (int k = 0; k < pad && rows[k] >= 0; ++k)
                for (int at = 0; at < g_.width; at += kMostLanes)
                    __builtin_prefetch(shared + std::size_t(rows[k]) * std::size_t(g_.width) + at, 0, 2);
    }

    void layer(int number, const float* shared, const std::int32_t* rows, const Out<float, 2>& edges,
               const In<std::int32_t, 1>& kinds, const float* spectra, std::int64_t first, int count,
               const Out<float, 2>& h, Floats& scratch, const Out<float, 2>& next,
               const Out<float, 2>& probabilities) const {
        const auto classes = std::int64_t(probabilities.shape(1));
        table_.layer(g_, number, shared, rows, edges.data() + first * g_.edges.words(),
                     kinds.data() + first, spectra, count, h.data() + first * g_.layers * g_.width,
                     scratch.room(std::size_t(count) * std::size_t(edge_words(g_))),
                     next.data() + first * g_.width, probabilities.data() + first * classes,
                     int(classes));
    }

    Floats held_;
    const IsaTable& isa_;
    const SpatialTable& table_;
    EdgeNetwork g_{};
};

// The same neighbours for the TorchScript module: places (n, most; -1: none), displacements (n, most,
// 3), cut-off (n), unit of length (n) and their number (n).
void spatial_neighbors(const Cells& cells, In<std::int32_t, 1> places, Out<std::int32_t, 2> out,
                       Out<float, 3> vectors, Out<float, 1> cut, Out<float, 1> unit,
                       Out<std::int32_t, 1> found, double radius, int local, double length) {
    const NearSearch search{radius, int(out.shape(1)), local, length};
    const IsaTable& isa = isa_choose("");
    Describer describer(cells.list, search_settings(search), isa, 1, nullptr, 0);
    Near near(search.most);
    nb::gil_scoped_release free;
    const std::size_t n = places.shape(0), lanes = std::size_t(isa.lanes);
    for (std::size_t i = 0; i < n; i += lanes) {
        const int group = int(std::min(lanes, n - i));
        describer.search(places.data() + i, group);
        for (int k = 0; k < group; ++k) {
            near.take(describer, k, search);
            const std::size_t at = i + std::size_t(k);
            found(at) = near.count;
            cut(at) = near.cut;
            unit(at) = near.unit;
            for (std::size_t j = 0; j < std::size_t(search.most); ++j) {
                out(at, j) = near.place[j];
                vectors(at, j, 0) = near.dx[j];
                vectors(at, j, 1) = near.dy[j];
                vectors(at, j, 2) = near.dz[j];
            }
        }
    }
}

}  // namespace

void bind_spatial(nb::module_& m) {
    nb::class_<SpatialEngine>(m, "SpatialEngine")
        .def(nb::init<In<float, 1>, const std::vector<int>&, double, const std::string&>(),
             "weights"_a, "widths"_a, "range"_a, "isa"_a = "")
        .def_prop_ro("edge_words", [](const SpatialEngine& e) { return e.network().edges.words(); })
        .def_prop_ro("direction_words",
                     [](const SpatialEngine& e) { return e.network().edges.direction_words(); })
        .def_prop_ro("tile_words", [](const SpatialEngine& e) {
            // Shared memory that an atom takes on a device, in a layer and for its power spectra.
            return nb::make_tuple(edge_words(e.network()), spectra_tile_words(e.network().edges.spectra()));
        })
        .def_prop_ro("padded", [](const SpatialEngine& e) { return e.network().edges.padded(); })
        .def("begin", &SpatialEngine::begin, "cells"_a, "places"_a, "row_of_place"_a, "kinds"_a,
             "rows"_a.noconvert(), "edges"_a.noconvert(), "h"_a.noconvert(), "next"_a.noconvert(),
             "found"_a.noconvert(), "probabilities"_a.noconvert(), "radius"_a, "local"_a, "unit"_a,
             "threads"_a = 1)
        .def("convolve", &SpatialEngine::convolve, "number"_a, "shared"_a, "rows"_a, "edges"_a,
             "kinds"_a, "h"_a.noconvert(), "next"_a.noconvert(), "probabilities"_a.noconvert(),
             "threads"_a = 1);
    m.def("spatial_neighbors", &spatial_neighbors, "cells"_a, "places"_a, "out"_a.noconvert(),
          "vectors"_a.noconvert(), "cut"_a.noconvert(), "unit"_a.noconvert(),
          "found"_a.noconvert(), "radius"_a, "local"_a, "length"_a);
}

}  // namespace insitu
