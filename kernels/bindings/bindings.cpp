// SPDX-License-Identifier: BSD-3-Clause
// Python bindings only: shapes and limits are checked by insitu.frame.neighbors.search and insitu.descriptors.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <memory>
#include <stdexcept>
#include <utility>

#include "bindings.hpp"
#include "../core/shared_memory.hpp"
#include "../cpu/engine.hpp"
#include "../cpu/rows.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace insitu {
void bind_cnn(nb::module_& m);  // cnn.cpp
void bind_spatial(nb::module_& m);  // spatial.cpp
void bind_clusters(nb::module_& m);  // clusters.cpp
void bind_lattice(nb::module_& m);  // lattice.cpp
void bind_frame(nb::module_& m);  // frame.cpp
}

namespace {

using insitu::Cells;
using insitu::give;
using insitu::In;
using insitu::Out;

std::unique_ptr<Cells> make_cells(In<double, 2> positions, In<std::int64_t, 1> ids, double cutoff) {
    auto cells = std::make_unique<Cells>();
    cells->points = std::int64_t(positions.shape(0));
    std::int64_t bad;
    {
        nb::gil_scoped_release free;
        bad = cells->list.build(positions.data(), ids.data(), cells->points,
                                insitu::search_radius(cutoff));
    }
    if (bad >= 0) throw nb::index_error(std::to_string(bad).c_str());
    return cells;
}

// The first n_local points in cell order: places in that order, and the caller's indices.
nb::tuple owned(const Cells& cells, std::int64_t n_local) {
    std::vector<std::int32_t> place, index;
    place.reserve(std::size_t(n_local));
    index.reserve(std::size_t(n_local));
    for (std::size_t at = 0; at < cells.list.index.size(); ++at)
        if (cells.list.index[at] < n_local) {
            place.push_back(std::int32_t(at));
            index.push_back(cells.list.index[at]);
        }
    return nb::make_tuple(give(std::move(place)), give(std::move(index)));
}

insitu::DescriptorSettings settings(double cutoff, int size, double gamma, double beta,
                                    bool scale_free, int ball, int local) {
    insitu::DescriptorSettings s;
    s.cutoff = cutoff;
    s.size = size;
    s.gamma = gamma;
    s.beta = beta;
    s.scale_free = scale_free;
    s.ball = ball;
    s.local = local;
    return s;
}

void images(insitu::MapEngine& engine, In<std::int32_t, 1> places, Out<float, 4> out,
            Out<std::int32_t, 1> found) {
    const auto size = std::size_t(engine.size());
    if (out.shape(0) != places.shape(0) || found.shape(0) != places.shape(0) ||
        out.shape(1) != std::size_t(engine.channels()) || out.shape(2) != size ||
        out.shape(3) != size)
        throw std::invalid_argument("the arrays do not fit the descriptor");
    nb::gil_scoped_release free;
    engine.images(places.data(), std::int64_t(places.shape(0)), out.data(), found.data());
}

nb::ndarray<nb::numpy, std::int32_t, nb::ndim<1>> rows_of_places(const Cells& cells,
                                                                 std::int64_t n_local,
                                                                 In<std::int32_t, 1> owners) {
    if (cells.points != n_local + std::int64_t(owners.shape(0)))
        throw std::invalid_argument("there is not one owner for each ghost");
    return give(insitu::rows_of_places(cells.list, n_local, owners.data()));
}

nb::tuple owners_of_ghosts(In<std::int64_t, 1> ids, std::int64_t n_local) {
    const auto points = std::int64_t(ids.shape(0));
    if (n_local < 0 || n_local > points) throw std::invalid_argument("more atoms than ids");
    std::vector<std::int32_t> owners;
    std::vector<std::int64_t> others;
    {
        nb::gil_scoped_release free;
        insitu::owners_of_ghosts(ids.data(), n_local, points, owners, others);
    }
    return nb::make_tuple(give(std::move(owners)), give(std::move(others)));
}

// Rows of a text from an offset on: how many are complete, the bytes that they take, and the column of
// the next one in which something is wrong (-1: nothing is, it has not come yet).
nb::tuple read_rows(nb::bytes text, std::int64_t offset, In<std::uint8_t, 1> columns,
                    Out<double, 2> numbers, Out<std::uint8_t, 3> words) {
    insitu::RowsRead found;
    const char* from = text.c_str() + offset;
    const auto length = std::int64_t(text.size()) - offset;
    {
        nb::gil_scoped_release free;
        found = insitu::read_rows(from, length, std::int64_t(numbers.shape(0)),
                                  reinterpret_cast<const insitu::Column*>(columns.data()),
                                  int(columns.shape(0)), numbers.data(),
                                  reinterpret_cast<char*>(words.data()));
    }
    return nb::make_tuple(found.rows, found.bytes, found.column);
}

// Marks the rows from n_local on that are read.
void mark_read(In<std::int32_t, 2> rows, std::int64_t n_local, Out<std::uint8_t, 1> used) {
    const std::size_t words = rows.shape(0) * rows.shape(1), received = used.shape(0);
    for (std::size_t i = 0; i < words; ++i) {
        const auto at = std::size_t(rows.data()[i] - n_local);  // of others: a large number
        if (at < received) used.data()[at] = 1;
    }
}

bool embed(const insitu::GraphEngine& engine, const Cells& cells, In<std::int32_t, 1> places,
           In<std::int32_t, 1> row_of_place, Out<float, 2> features, Out<float, 2> shared,
           Out<std::int32_t, 1> found, Out<std::int32_t, 2> rows, double near, double cutoff,
           int size, double gamma, double beta, int ball, int local, int threads) {
    nb::gil_scoped_release free;
    return engine.embed(cells.list,
                        {settings(cutoff, size, gamma, beta, true, ball, local), near,
                         int(rows.shape(1))},
                        places.data(), std::int64_t(places.shape(0)), row_of_place.data(),
                        features.data(), shared.data(), found.data(), rows.data(), threads);
}

void convolve(const insitu::GraphEngine& engine, int layer, In<float, 2> shared,
              In<std::int32_t, 2> rows, Out<float, 2> features, Out<float, 2> next,
              Out<float, 2> probabilities, int threads) {
    nb::gil_scoped_release free;
    engine.convolve(layer, shared.data(), rows.data(), int(rows.shape(1)),
                    std::int64_t(rows.shape(0)), features.data(), next.data(), probabilities.data(),
                    int(probabilities.shape(1)), threads);
}

nb::tuple neighbor_lists(const Cells& cells, In<std::int32_t, 1> places, double cutoff,
                         bool scale_free, int ball, int local) {
    std::vector<std::int64_t> offsets{0};
    std::vector<std::int32_t> indices, one;
    {
        nb::gil_scoped_release free;
        insitu::Describer describer(cells.list,
                                    settings(cutoff, 32, 2.0, 3.0, scale_free, ball, local),
                                    insitu::isa_choose(""), 1, nullptr, 0);
        for (std::size_t i = 0; i < places.shape(0); ++i) {
            describer.ball(places.data()[i], one);
            for (std::int32_t at : one) indices.push_back(cells.list.index[std::size_t(at)]);
            offsets.push_back(std::int64_t(indices.size()));
        }
    }
    return nb::make_tuple(give(std::move(offsets)), give(std::move(indices)));
}

// Which places have a neighbour within a radius that may be far less than that of the search.
void has_within(const Cells& cells, In<std::int32_t, 1> places, double radius,
                Out<std::uint8_t, 1> has) {
    nb::gil_scoped_release free;
    const double within = insitu::search_radius(radius);
    for (std::size_t i = 0; i < places.shape(0); ++i)
        has.data()[i] = cells.list.has_within(places.data()[i], within);
}

// The first neighbours of scale-free balls as places in cell order (-1: none).
void nearest(const Cells& cells, In<std::int32_t, 1> places, Out<std::int32_t, 2> out, double near,
             double cutoff, int ball, int local, bool whole) {
    nb::gil_scoped_release free;
    insitu::Describer describer(cells.list, settings(cutoff, 2, 2.0, 3.0, true, ball, local),
                                insitu::isa_choose(""), 1, nullptr, 0);
    std::vector<std::int32_t> unused;
    const int most = int(out.shape(1));
    for (std::size_t i = 0; i < places.shape(0); ++i) {
        describer.ball(places.data()[i], unused);
        std::int32_t* list = out.data() + i * std::size_t(most);
        for (int k = describer.nearest(most, near, list, whole); k < most; ++k) list[k] = -1;
    }
}

}  // namespace

NB_MODULE(_kernels, m) {
    // A LAMMPS that embeds Python never ends the interpreter: loaded models are alive at its exit.
    nb::set_leak_warnings(false);
    nb::class_<Cells>(m, "Cells")
        .def_ro("points", &Cells::points)
        .def_prop_ro("shape",
                     [](const Cells& c) {
                         return nb::make_tuple(c.list.n[0], c.list.n[1], c.list.n[2]);
                     })
        .def_prop_ro("memory", [](const Cells& c) {
            return c.list.start.capacity() * 4 + c.list.index.capacity() * 36;
        });
    m.def("make_cells", &make_cells, "positions"_a, "ids"_a, "cutoff"_a);
    m.def("owned", &owned, "cells"_a, "n_local"_a);
    nb::class_<insitu::MapEngine>(m, "MapEngine")
        .def("__init__",
             [](insitu::MapEngine* self, const Cells& cells, In<float, 2> weights, double cutoff,
                int size, double gamma, double beta, bool scale_free, int ball, int local,
                const std::string& isa, int threads) {
                 new (self) insitu::MapEngine(
                     cells.list, settings(cutoff, size, gamma, beta, scale_free, ball, local),
                     insitu::isa_choose(isa), int(weights.shape(0)), weights.data(),
                     std::int64_t(weights.shape(1)), threads);
             },
             // The cell list and the weights are read where they lie.
             nb::keep_alive<1, 2>(), nb::keep_alive<1, 3>(), "cells"_a, "weights"_a.noconvert(), "cutoff"_a,
             "size"_a, "gamma"_a, "beta"_a, "scale_free"_a, "ball"_a, "local"_a, "isa"_a = "",
             "threads"_a = 1)
        .def("images", &images, "places"_a, "out"_a.noconvert(), "found"_a.noconvert());
    m.def("neighbor_lists", &neighbor_lists, "cells"_a, "places"_a, "cutoff"_a,
          "scale_free"_a = false, "ball"_a = 32, "local"_a = 14);
    m.def("has_within", &has_within, "cells"_a, "places"_a, "radius"_a, "has"_a.noconvert());
    m.def("nearest", &nearest, "cells"_a, "places"_a, "out"_a.noconvert(), "near"_a, "cutoff"_a,
          "ball"_a, "local"_a, "whole"_a = true);
    m.def("rows_of_places", &rows_of_places, "cells"_a, "n_local"_a, "owners"_a);
    m.def("read_rows", &read_rows, "text"_a, "offset"_a, "columns"_a, "numbers"_a.noconvert(),
          "words"_a.noconvert());
    m.def("mark_read", &mark_read, "rows"_a, "n_local"_a, "used"_a.noconvert());
    m.def("owners_of_ghosts", &owners_of_ghosts, "ids"_a, "n_local"_a);
    nb::class_<insitu::GraphEngine>(m, "GraphEngine")
        .def("__init__",
             [](insitu::GraphEngine* self, In<float, 1> weights, const std::vector<int>& widths,
                const std::string& isa) {
                 new (self) insitu::GraphEngine(
                     std::vector<float>(weights.data(), weights.data() + weights.shape(0)), widths,
                     insitu::isa_choose(isa));
             },
             "weights"_a, "widths"_a, "isa"_a = "")
        .def_prop_ro("features",
                     [](const insitu::GraphEngine& e) { return e.network().features; })
        .def_prop_ro("shared_width",
                     [](const insitu::GraphEngine& e) { return e.network().message; })
        .def("tile_words",
             // Shared memory that an atom takes on a device, in the first layer and in a graph layer.
             [](const insitu::GraphEngine& e, int ball) {
                 return nb::make_tuple(insitu::embed_words(e.network().inputs, e.network().hidden, ball),
                                       insitu::graph_words(e.network()));
             },
             "ball"_a)
        .def("embed", &embed, "cells"_a, "places"_a, "row_of_place"_a, "features"_a.noconvert(),
             "shared"_a.noconvert(), "found"_a.noconvert(), "rows"_a.noconvert(), "near"_a, "cutoff"_a,
             "size"_a, "gamma"_a, "beta"_a, "ball"_a, "local"_a, "threads"_a = 1)
        .def("convolve", &convolve, "layer"_a, "shared"_a, "rows"_a, "features"_a.noconvert(),
             "next"_a.noconvert(), "probabilities"_a.noconvert(), "threads"_a = 1);
    insitu::bind_cnn(m);
    m.def("search_radius", &insitu::search_radius, "cutoff"_a);
    insitu::bind_spatial(m);
    insitu::bind_clusters(m);
    insitu::bind_lattice(m);
    insitu::bind_frame(m);
    // Shared memory of a device's warp [bytes]: an entry of its ball, of an image, and the image itself.
    m.attr("BALL_BYTES") = insitu::kBallBytes;
    m.attr("MAP_BYTES") = insitu::kMapBytes;
    m.attr("MAP_TILE_BYTES") = 4 * insitu::kTileWords;
    m.def("isa_available", &insitu::isa_available);
    m.def("isa_default", [] { return std::string(insitu::isa_choose("").name); });
}
