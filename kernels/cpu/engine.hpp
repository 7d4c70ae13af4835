// SPDX-License-Identifier: BSD-3-Clause
// What runs over all atoms of a rank: images, and the general model's network. OpenMP threads share the
// atoms; every atom's result is its own, so their number changes no bit.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cpu.hpp"

namespace insitu {

// Images of a frame's atoms, batch after batch; it keeps what it has gathered of the cell list.
class MapEngine {
  public:
    MapEngine(const CellList& cells, const DescriptorSettings& settings, const IsaTable& isa,
              int channels, const float* weights, std::int64_t points, int threads);

    MapEngine(const MapEngine&) = delete;
    MapEngine(MapEngine&&) = default;

    int channels() const { return channels_; }
    int size() const { return settings_.size; }

    // Images (n, channels, size, size) of some centres and the numbers of their neighbours.
    void images(const std::int32_t* places, std::int64_t count, float* out, std::int32_t* found);

  private:
    DescriptorSettings settings_;
    int channels_, lanes_;
    std::vector<Describer> describers_;  // one a thread
};

// Row of each place of the cell order: the owned points (caller's index under n_local) in that order; a
// ghost has the row of its owner, an owned point, or a row after those (n_local and above), or -1.
std::vector<std::int32_t> rows_of_places(const CellList& cells, std::int64_t n_local,
                                         const std::int32_t* owners);

// Owner of each ghost: the owned point of the same id, or n_local + k for the k-th of the `others`, the
// ids that none of the owned points has.
void owners_of_ghosts(const std::int64_t* ids, std::int64_t n_local, std::int64_t points,
                      std::vector<std::int32_t>& owners, std::vector<std::int64_t>& others);

// The network of the general model on one rank's atoms.
class GraphEngine {
  public:
    // `weights` holds the arrays of GraphNetwork one after the other, `widths` its first six
    // numbers and, where there are outputs beyond the classes, the number of outputs.
    GraphEngine(std::vector<float> weights, const std::vector<int>& widths, const IsaTable& isa);

    const GraphNetwork& network() const { return g_; }

    struct Search {
        DescriptorSettings settings;
        double near;  // radius of the graph's neighbours
        int most;     // and their number
    };

    // First features (n, features) and shared parts (n, message) of the atoms at some places, and the
    // rows of their nearest neighbours (n, most; -1: none). False if one has no row.
    bool embed(const CellList& cells, const Search& search, const std::int32_t* places,
               std::int64_t count, const std::int32_t* row_of_place, float* h,
               float* shared, std::int32_t* found, std::int32_t* rows, int threads) const;

    // One layer for atoms 0 … count: replaces their features and writes their next shared parts, or
    // class probabilities (n, classes) after the last layer.
    void convolve(int layer, const float* shared, const std::int32_t* rows, int most,
                  std::int64_t count, float* h, float* next, float* probabilities, int classes,
                  int threads) const;

  private:
    std::vector<float> weights_;
    const IsaTable& isa_;
    GraphNetwork g_{};
};

}  // namespace insitu
