// SPDX-License-Identifier: BSD-3-Clause
// What the files with Python bindings share.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstdint>
#include <stdexcept>
#include <utility>
#include <vector>

#include "../core/neighbors.hpp"

namespace insitu {

template <class T, int D>
using In = nanobind::ndarray<const T, nanobind::ndim<D>, nanobind::c_contig, nanobind::device::cpu>;
template <class T, int D>
using Out = nanobind::ndarray<T, nanobind::ndim<D>, nanobind::c_contig, nanobind::device::cpu>;

template <class T>
nanobind::ndarray<nanobind::numpy, T, nanobind::ndim<1>> give(std::vector<T>&& values) {
    auto* owned = new std::vector<T>(std::move(values));
    nanobind::capsule owner(owned, [](void* p) noexcept { delete static_cast<std::vector<T>*>(p); });
    return {owned->data(), {owned->size()}, owner};
}

// Throws unless there are such atoms among the positions (n, 3).
inline void check_atoms(const In<double, 2>& positions, std::int64_t first, std::int64_t last) {
    if (positions.shape(1) != 3 || first < 0 || first > last || last > std::int64_t(positions.shape(0)))
        throw std::invalid_argument("no such atoms");
}

struct Cells {
    CellList list;
    std::int64_t points = 0;
};

}  // namespace insitu
