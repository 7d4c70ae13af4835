// SPDX-License-Identifier: BSD-3-Clause
// The surroundings of one cell, in floats relative to a point of the cell: what a search reads.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <new>
#include <vector>

#include "isa.hpp"
#include "../core/neighbors.hpp"

namespace insitu {

// An array of floats aligned to a cache line, for whole vectors.
class Floats {
  public:
    float* room(std::size_t count) {  // content is lost if it has to grow
        if (count > size_) {
            size_ = 2 * count;
            held_.reset(static_cast<float*>(::operator new(4 * size_, std::align_val_t(64))));
        }
        return held_.get();
    }
    const float* get() const { return held_.get(); }
    float* get() { return held_.get(); }

  private:
    struct Free {
        void operator()(float* p) const { ::operator delete(p, std::align_val_t(64)); }
    };
    std::unique_ptr<float, Free> held_;
    std::size_t size_ = 0;
};

// The points that can be neighbours of one cell's points, side by side. Behind the last there is at
// least one that is nobody's neighbour.
struct Block {
    int count = 0, padded = 0;
    int own = 0;             // where the cell's own points begin
    std::int32_t first = 0;  // place of the first of them
    double origin[3] = {0, 0, 0};
    Floats x, y, z;
    std::vector<std::int32_t> place;  // in cell order

    // Takes the points within `radius` of any point of the cell, and some more.
    void around(const CellList& cells, int cell, double radius, const IsaTable& isa) {
        const int at[3] = {cell % cells.n[0], cell / cells.n[0] % cells.n[1],
                           cell / (cells.n[0] * cells.n[1])};
        int from[3], to[3];
        for (int a = 0; a < 3; ++a) {
            const double wide = std::min(std::ceil(radius * cells.inverse_side[a]), double(cells.n[a]));
            from[a] = std::max(at[a] - int(wide), 0);
            to[a] = std::min(at[a] + int(wide), cells.n[a] - 1);
        }
        count = 0;
        cells.visit(from, to, [&](std::int32_t b, std::int32_t e) { count += e - b; });
        padded = (count + kMostLanes) / kMostLanes * kMostLanes;
        const auto size = std::size_t(padded) + 8;  // written in eights
        float *px = x.room(size), *py = y.room(size), *pz = z.room(size);
        if (place.size() < size) place.resize(2 * size);
        first = cells.start[std::size_t(cell)];
        for (int a = 0; a < 3; ++a) origin[a] = cells.points[std::size_t(first)].r[a];
        int filled = 0;
        cells.visit(from, to, [&](std::int32_t b, std::int32_t e) {
            if (b <= first && first < e) own = filled + first - b;
            isa.lay_out(&cells.points[std::size_t(b)], e - b, origin, px + filled, py + filled, pz + filled);
            for (std::int32_t i = b; i < e; ++i) place[std::size_t(filled + i - b)] = i;
            filled += e - b;
        });
        for (; filled < padded; ++filled) {
            px[filled] = py[filled] = pz[filled] = kNowhere;
            place[std::size_t(filled)] = std::int32_t(cells.index.size());  // the point after the last
        }
    }
};

}  // namespace insitu
