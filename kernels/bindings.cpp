// SPDX-License-Identifier: BSD-3-Clause
// Python bindings only: shapes and limits are checked by insitu.neighbors and insitu.descriptors.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <memory>

#include "cpu.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

template <class T, int D>
using In = nb::ndarray<const T, nb::ndim<D>, nb::c_contig, nb::device::cpu>;
template <class T, int D>
using Out = nb::ndarray<T, nb::ndim<D>, nb::c_contig, nb::device::cpu>;

template <class T>
nb::ndarray<nb::numpy, T, nb::ndim<1>> give(std::vector<T>&& values) {
    auto* owned = new std::vector<T>(std::move(values));
    nb::capsule owner(owned, [](void* p) noexcept { delete static_cast<std::vector<T>*>(p); });
    return {owned->data(), {owned->size()}, owner};
}

struct Cells {
    insitu::CellList list;
    std::int64_t points = 0;
};

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

void neighbors_map(const Cells& cells, In<std::int32_t, 1> places, Out<float, 4> out,
                   Out<std::int32_t, 1> found, In<float, 2> weights, double cutoff, double gamma,
                   double beta, bool scale_free, int ball, int local, const std::string& isa) {
    const int channels = int(out.shape(1)), size = int(out.shape(2));
    const auto& table = insitu::isa_choose(isa);
    nb::gil_scoped_release free;
    insitu::Describer describer(
        cells.list, settings(cutoff, size, gamma, beta, scale_free, ball, local), table, channels,
        weights.data(), std::int64_t(weights.shape(1)));
    const std::size_t pixels = std::size_t(channels) * std::size_t(size) * std::size_t(size);
    for (std::size_t i = 0; i < places.shape(0); ++i)
        found.data()[i] = describer.image(places.data()[i], out.data() + i * pixels);
}

nb::tuple neighbor_lists(const Cells& cells, In<std::int32_t, 1> places, double cutoff,
                         bool scale_free, int ball, int local) {
    std::vector<std::int64_t> offsets{0};
    std::vector<std::int32_t> indices, one;
    std::vector<double> length2;
    {
        nb::gil_scoped_release free;
        insitu::Describer describer(cells.list,
                                    settings(cutoff, 32, 2.0, 3.0, scale_free, ball, local),
                                    insitu::isa_choose(""), 1, nullptr, 0);
        for (std::size_t i = 0; i < places.shape(0); ++i) {
            describer.ball(places.data()[i], one, length2);
            for (std::int32_t at : one) indices.push_back(cells.list.index[std::size_t(at)]);
            offsets.push_back(std::int64_t(indices.size()));
        }
    }
    return nb::make_tuple(give(std::move(offsets)), give(std::move(indices)));
}

}  // namespace

NB_MODULE(_kernels, m) {
    nb::class_<Cells>(m, "Cells")
        .def_ro("points", &Cells::points)
        .def_prop_ro("memory", [](const Cells& c) {
            return c.list.start.capacity() * 4 + c.list.index.capacity() * 36;
        });
    m.def("make_cells", &make_cells, "positions"_a, "ids"_a, "cutoff"_a);
    m.def("owned", &owned, "cells"_a, "n_local"_a);
    m.def("neighbors_map", &neighbors_map, "cells"_a, "places"_a, "out"_a.noconvert(),
          "found"_a.noconvert(), "weights"_a, "cutoff"_a, "gamma"_a, "beta"_a, "scale_free"_a,
          "ball"_a, "local"_a, "isa"_a = "");
    m.def("neighbor_lists", &neighbor_lists, "cells"_a, "places"_a, "cutoff"_a,
          "scale_free"_a = false, "ball"_a = 32, "local"_a = 14);
    m.def("isa_available", &insitu::isa_available);
    m.def("isa_default", [] { return std::string(insitu::isa_choose("").name); });
}
