// SPDX-License-Identifier: BSD-3-Clause
// Which atoms of one rank hang together: by a distance, or by pairs that the caller has chosen.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstdint>
#include <stdexcept>
#include <vector>

#include "../bindings/bindings.hpp"
#include "../core/union_find.hpp"
#include "cpu.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace insitu {

namespace {

Forest forest_of(Out<std::int32_t, 2>& nodes, Out<std::uint8_t, 1>& wraps) {
    if (nodes.shape(1) != 4 || nodes.shape(0) != wraps.shape(0))
        throw std::invalid_argument("nodes are (n, 4), one number of wraps each");
    return {reinterpret_cast<Node*>(nodes.data()), wraps.data()};
}

void check_nodes(const std::int32_t* node, std::size_t count, std::size_t nodes) {
    for (std::size_t i = 0; i < count; ++i)
        if (node[i] < 0 || std::size_t(node[i]) >= nodes) throw std::invalid_argument("no such node");
}

// Points (n, 3) that are atoms or ghosts of them: the node of each, its periods from the node's own
// position, and whether it is an atom of this rank. Pairs of two ghosts are other ranks' affair.
void join_within(Out<std::int32_t, 2> nodes, Out<std::uint8_t, 1> wraps, In<double, 2> points,
                 In<std::int32_t, 1> node, In<std::int32_t, 2> periods, In<std::uint8_t, 1> own,
                 double cutoff) {
    const Forest forest = forest_of(nodes, wraps);
    const std::size_t n = points.shape(0);
    if (points.shape(1) != 3 || node.shape(0) != n || periods.shape(0) != n ||
        periods.shape(1) != 3 || own.shape(0) != n)
        throw std::invalid_argument("there is not one node for each point");
    check_nodes(node.data(), n, nodes.shape(0));
    nb::gil_scoped_release free;
    const double radius = search_radius(cutoff), most = radius * radius;
    CellList list;
    const std::vector<std::int64_t> unused(n);
    if (list.build(points.data(), unused.data(), std::int64_t(n), radius) >= 0) return;
    // In the order of the cells, as the points are.
    std::vector<std::int32_t> node_at(n);
    std::vector<std::uint8_t> own_at(n);
    for (std::size_t p = 0; p < n; ++p) {
        node_at[p] = node.data()[list.index[p]];
        own_at[p] = own.data()[list.index[p]];
    }
    const auto pairs = [&](std::int32_t p, std::int32_t begin, std::int32_t end) {
        const double* a = list.points[std::size_t(p)].r;
        for (std::int32_t q = begin; q < end; ++q) {
            const double* b = list.points[std::size_t(q)].r;
            const double x = a[0] - b[0], y = a[1] - b[1], z = a[2] - b[2];
            if (x * x + y * y + z * z > most) continue;
            const bool first = own_at[std::size_t(p)], second = own_at[std::size_t(q)];
            if (!first && !second) continue;
            const std::int32_t whose = list.index[std::size_t(first ? q : p)];
            forest.join(node_at[std::size_t(first ? p : q)], node_at[std::size_t(first ? q : p)],
                        periods.data() + 3 * std::size_t(whose));
        }
    };
    // Every pair once: of the cells around only those after the cell in their order.
    int c[3];
    for (c[2] = 0; c[2] < list.n[2]; ++c[2])
        for (c[1] = 0; c[1] < list.n[1]; ++c[1])
            for (c[0] = 0; c[0] < list.n[0]; ++c[0]) {
                const int cell = (c[2] * list.n[1] + c[1]) * list.n[0] + c[0];
                const std::int32_t begin = list.start[std::size_t(cell)];
                const std::int32_t end = list.start[std::size_t(cell) + 1];
                if (begin == end) continue;
                int from[3], to[3];
                for (int k = 0; k < 3; ++k) {
                    from[k] = c[k] > 0 ? c[k] - 1 : 0;
                    to[k] = c[k] + 1 < list.n[k] ? c[k] + 1 : c[k];
                }
                list.visit(from, to, [&](std::int32_t first, std::int32_t last) {
                    for (std::int32_t p = begin; p < end; ++p)
                        pairs(p, first > p + 1 ? first : p + 1, last);
                });
            }
}

// Pairs of nodes: `second` lies, moved by `periods`, beside `first`.
void join_pairs(Out<std::int32_t, 2> nodes, Out<std::uint8_t, 1> wraps, In<std::int32_t, 1> first,
                In<std::int32_t, 1> second, In<std::int32_t, 2> periods) {
    const Forest forest = forest_of(nodes, wraps);
    const std::size_t n = first.shape(0);
    if (second.shape(0) != n || periods.shape(0) != n || periods.shape(1) != 3)
        throw std::invalid_argument("pairs are of equal number");
    check_nodes(first.data(), n, nodes.shape(0));
    check_nodes(second.data(), n, nodes.shape(0));
    nb::gil_scoped_release free;
    for (std::size_t i = 0; i < n; ++i)
        forest.join(first.data()[i], second.data()[i], periods.data() + 3 * i);
}

// Lets every node hang on its root.
void find_roots(Out<std::int32_t, 2> nodes, Out<std::uint8_t, 1> wraps) {
    const Forest forest = forest_of(nodes, wraps);
    for (std::size_t x = 0; x < nodes.shape(0); ++x) forest.find(std::int32_t(x));
}

}  // namespace

void bind_clusters(nb::module_& m) {
    m.def("join_within", &join_within, "nodes"_a.noconvert(), "wraps"_a.noconvert(), "points"_a,
          "node"_a, "periods"_a, "own"_a, "cutoff"_a);
    m.def("join_pairs", &join_pairs, "nodes"_a.noconvert(), "wraps"_a.noconvert(), "first"_a,
          "second"_a, "periods"_a);
    m.def("find_roots", &find_roots, "nodes"_a.noconvert(), "wraps"_a.noconvert());
}

}  // namespace insitu
