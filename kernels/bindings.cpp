// SPDX-License-Identifier: BSD-3-Clause
// Python bindings only: shapes and limits are checked by insitu.neighbors and insitu.descriptors.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <stdexcept>
#include <utility>

#include "cpu.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace insitu {
void bind_cnn(nb::module_& m);  // cnn.cpp
}

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

// The network of the general model on this rank's atoms. `weights` holds the arrays of GraphNetwork
// one behind the other, `widths` its six numbers.
class GraphEngine {
  public:
    GraphEngine(In<float, 1> weights, std::vector<int> widths, const std::string& isa)
        : weights_(weights.data(), weights.data() + weights.shape(0)), isa_(insitu::isa_choose(isa)) {
        if (widths.size() != 6 || widths[5] < 1 || widths[5] > insitu::kMostLayers)
            throw std::invalid_argument("a graph network has six widths and 1 … 4 layers");
        g_.inputs = widths[0];
        g_.hidden = widths[1];
        g_.features = widths[2];
        g_.message = widths[3];
        g_.classes = widths[4];
        g_.layers = widths[5];
        for (int w : {g_.inputs, g_.hidden, g_.features, g_.message, g_.classes})
            if (w < 1 || (w % insitu::kMostLanes && w != g_.inputs))
                throw std::invalid_argument("a width of the network is not padded");
        std::size_t used = 0;
        const auto take = [&](const float*& pointer, int rows, int columns) {
            pointer = weights_.data() + used;
            used += std::size_t(rows) * std::size_t(columns);
        };
        take(g_.w1, g_.inputs, g_.hidden);
        take(g_.b1, 1, g_.hidden);
        take(g_.w2, g_.hidden, g_.features);
        take(g_.b2, 1, g_.features);
        for (int l = 0; l < g_.layers; ++l) {
            take(g_.node[l], g_.features, g_.node_width());
            take(g_.node_bias[l], 1, g_.node_width());
            take(g_.gather[l], g_.message, g_.features);
        }
        take(g_.w3, g_.features, g_.classes);
        take(g_.b3, 1, g_.classes);
        if (used != weights_.size())
            throw std::invalid_argument("the weights do not fit the network's widths");
    }

    int node_width() const { return g_.node_width(); }
    int shared_width() const { return g_.message; }  // the part that neighbours read: B h

    // First nodes of some atoms, and their nearest neighbours as places in cell order (-1: none).
    void embed(const Cells& cells, In<std::int32_t, 1> places, Out<float, 2> nodes, Out<std::int32_t, 1> found, Out<std::int32_t, 2> nearest,
               double near, double cutoff, int size, double gamma, double beta, int ball,
               int local) const {
        nb::gil_scoped_release free;
        insitu::Describer describer(cells.list,
                                    settings(cutoff, size, gamma, beta, true, ball, local), isa_, 1,
                                    nullptr, 0);
        std::vector<float> map(std::size_t(size) * std::size_t(size));
        std::vector<float> scratch(std::size_t(g_.hidden + g_.features));
        const auto width = std::size_t(g_.node_width());
        const int most = int(nearest.shape(1));
        for (std::size_t i = 0; i < places.shape(0); ++i) {
            found.data()[i] = describer.image(places.data()[i], map.data());
            isa_.embed(g_, map.data(), scratch.data(), nodes.data() + i * width);
            std::int32_t* list = nearest.data() + i * std::size_t(most);
            for (int k = describer.nearest(most, near, list); k < most; ++k) list[k] = -1;
        }
    }

    // One layer for the atoms of rows 0 … n; `neighbors` are rows of nodes (-1: none). Writes their
    // next nodes, or class probabilities behind the last layer.
    void convolve(int layer, In<float, 2> nodes, In<std::int32_t, 2> neighbors,
                  Out<float, 2> out) const {
        nb::gil_scoped_release free;
        const int most = int(neighbors.shape(1)), columns = int(out.shape(1));
        const bool last = layer + 1 == g_.layers;
        std::vector<float> scratch(std::size_t(g_.message + g_.features));
        std::vector<float> score(static_cast<std::size_t>(g_.classes));
        for (std::size_t i = 0; i < neighbors.shape(0); ++i) {
            const std::int32_t* list = neighbors.data() + i * std::size_t(most);
            int count = 0;
            while (count < most && list[count] >= 0) ++count;
            float* to = out.data() + i * std::size_t(columns);
            isa_.convolve(g_, layer, nodes.data(), int(i), list, count, scratch.data(),
                          last ? score.data() : to);
            if (last) softmax(score.data(), columns, to);
        }
    }

  private:
    static void softmax(const float* score, int classes, float* out) {
        const float top = *std::max_element(score, score + classes);
        float sum = 0.0f;
        for (int c = 0; c < classes; ++c) sum += out[c] = std::exp(score[c] - top);
        for (int c = 0; c < classes; ++c) out[c] /= sum;
    }

    std::vector<float> weights_;
    const insitu::IsaTable& isa_;
    insitu::GraphNetwork g_{};
};

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

// The first neighbours of scale-free balls as places in cell order (-1: none).
void nearest(const Cells& cells, In<std::int32_t, 1> places, Out<std::int32_t, 2> out, double near,
             double cutoff, int ball, int local) {
    nb::gil_scoped_release free;
    insitu::Describer describer(cells.list, settings(cutoff, 2, 2.0, 3.0, true, ball, local),
                                insitu::isa_choose(""), 1, nullptr, 0);
    std::vector<std::int32_t> unused;
    std::vector<double> length2;
    const int most = int(out.shape(1));
    for (std::size_t i = 0; i < places.shape(0); ++i) {
        describer.ball(places.data()[i], unused, length2);
        std::int32_t* list = out.data() + i * std::size_t(most);
        for (int k = describer.nearest(most, near, list); k < most; ++k) list[k] = -1;
    }
}

}  // namespace

NB_MODULE(_kernels, m) {
    // A LAMMPS that embeds Python never ends the interpreter: loaded models are alive at its exit.
    nb::set_leak_warnings(false);
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
    m.def("nearest", &nearest, "cells"_a, "places"_a, "out"_a.noconvert(), "near"_a, "cutoff"_a,
          "ball"_a, "local"_a);
    nb::class_<GraphEngine>(m, "GraphEngine")
        .def(nb::init<In<float, 1>, std::vector<int>, const std::string&>(), "weights"_a,
             "widths"_a, "isa"_a = "")
        .def_prop_ro("node_width", &GraphEngine::node_width)
        .def_prop_ro("shared_width", &GraphEngine::shared_width)
        .def("embed", &GraphEngine::embed, "cells"_a, "places"_a, "nodes"_a.noconvert(),
             "found"_a.noconvert(), "nearest"_a.noconvert(), "near"_a, "cutoff"_a, "size"_a,
             "gamma"_a, "beta"_a, "ball"_a, "local"_a)
        .def("convolve", &GraphEngine::convolve, "layer"_a, "nodes"_a, "neighbors"_a,
             "out"_a.noconvert());
    insitu::bind_cnn(m);
    m.def("isa_available", &insitu::isa_available);
    m.def("isa_default", [] { return std::string(insitu::isa_choose("").name); });
}
