// SPDX-License-Identifier: BSD-3-Clause
// The neighbours of one atom in the whole sample's graph: how they are searched for, and in which order.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "../core/edge_conv.hpp"
#include "cpu.hpp"

namespace insitu {

// How the neighbours of an atom are searched for.
struct NearSearch {
    double radius;  // of the search
    int most;       // neighbours, nearest first
    int local;      // whose mean distance is the unit of length; 0: it is `unit`
    double unit;
};

// One more than the neighbours: where it lies is the cut-off.
inline DescriptorSettings search_settings(const NearSearch& s) {
    DescriptorSettings d;
    d.cutoff = s.radius;
    d.scale_free = true;
    d.ball = s.most + 1;
    d.local = s.local > 0 ? s.local : s.most;
    return d;
}

// The neighbours of one atom, as single floats in padded arrays.
struct Near {
    explicit Near(int padded)
        : dx(std::size_t(padded)), dy(dx), dz(dx), d(dx), kind(dx), place(std::size_t(padded)) {}

    // The neighbours of an atom of the describer's group, nearest first.
    void take(Describer& describer, int k, const NearSearch& s) {
        find(describer, k, s);
        fill(describer, [](int i) { return i; });
    }

    // The same in order of their species, which kind_of(place) tells, and how many are of each.
    template <class Kind>
    void take_sorted(Describer& describer, int k, const NearSearch& s, int kinds, Kind&& kind_of, float* counts) {
        find(describer, k, s);
        int whose[kMostEdges], order[kMostEdges + 1], at = 0;
        for (int i = 0; i < count; ++i) whose[i] = kind_of(describer.place(i));
        for (int b = 0; b < kinds; ++b) {
            const int before = at;
            for (int i = 0; i < count; ++i) {  // without a branch that nobody can foresee
                order[at] = i;
                at += whose[i] == b;
            }
            counts[b] = float(at - before);
        }
        fill(describer, [&order](int i) { return order[i]; });
    }

    std::vector<float> dx, dy, dz, d, kind;
    std::vector<std::int32_t> place;
    int count = 0;
    float cut = 1.0f, unit = 1.0f;

  private:
    void find(Describer& describer, int k, const NearSearch& s) {
        const int known = describer.neighbors(k);
        count = std::min(known, s.most);
        cut = float(known > s.most ? std::min(describer.distances()[s.most], s.radius) : s.radius);
        unit = float(s.local > 0 && known ? describer.length() : s.unit);
    }

    // Neighbour order(i) of the describer comes i-th.
    template <class Order>
    void fill(Describer& describer, Order&& order) {
        for (int i = 0; i < int(dx.size()); ++i) {
            const bool there = i < count;
            const auto at = std::size_t(i);
            const int from = there ? order(i) : 0;
            dx[at] = there ? float(describer.displacement(0)[from]) : 0.0f;
            dy[at] = there ? float(describer.displacement(1)[from]) : 0.0f;
            dz[at] = there ? float(describer.displacement(2)[from]) : 0.0f;
            d[at] = there ? float(describer.distances()[from]) : cut;
            place[at] = there ? describer.place(from) : -1;
            kind[at] = 0.0f;
        }
    }
};

}  // namespace insitu
