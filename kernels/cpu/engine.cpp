// SPDX-License-Identifier: BSD-3-Clause
#include "engine.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "shares.hpp"

namespace insitu {

MapEngine::MapEngine(const CellList& cells, const DescriptorSettings& settings, const IsaTable& isa,
                     int channels, const float* weights, std::int64_t points, int threads)
    : settings_(settings), channels_(channels), lanes_(isa.lanes) {
    for (int t = 0; t < std::max(threads, 1); ++t)
        describers_.emplace_back(cells, settings, isa, channels, weights, points);
}

void MapEngine::images(const std::int32_t* places, std::int64_t count, float* out,
                       std::int32_t* found) {
    const std::int64_t pixels = std::int64_t(channels_) * settings_.size * settings_.size;
    const int threads = int(describers_.size());
    in_shares(count, lanes_, threads,
              [&](int thread, std::int64_t begin, std::int64_t end) {
                  Describer& describer = describers_[std::size_t(thread)];
                  for (std::int64_t i = begin; i < end; i += lanes_) {
                      const int group = int(std::min<std::int64_t>(lanes_, end - i));
                      describer.search(places + i, group);
                      for (int k = 0; k < group; ++k)
                          found[i + k] = describer.image(k, out + (i + k) * pixels);
                  }
              });
}

std::vector<std::int32_t> rows_of_places(const CellList& cells, std::int64_t n_local,
                                         const std::int32_t* owners) {
    const std::size_t points = cells.index.size();
    std::vector<std::int32_t> rows(points, -1), row_of(static_cast<std::size_t>(n_local));
    std::int32_t row = 0;
    for (std::size_t at = 0; at < points; ++at)
        if (cells.index[at] < n_local) {
            row_of[std::size_t(cells.index[at])] = row;
            rows[at] = row++;
        }
    for (std::size_t at = 0; at < points; ++at) {
        const std::int64_t ghost = cells.index[at] - n_local;
        if (ghost < 0) continue;
        const std::int32_t owner = owners[ghost];
        rows[at] = owner >= 0 && owner < n_local ? row_of[std::size_t(owner)] : owner;
    }
    return rows;
}

void owners_of_ghosts(const std::int64_t* ids, std::int64_t n_local, std::int64_t points,
                      std::vector<std::int32_t>& owners, std::vector<std::int64_t>& others) {
    owners.resize(std::size_t(points - n_local));
    others.clear();
    if (owners.empty()) return;
    const auto [least, most] = std::minmax_element(ids, ids + points);
    if (*least >= 0 && *most <= 8 * points) {  // ids hardly apart, of most of a sample: a table by id
        std::vector<std::int32_t> owner_of(std::size_t(*most) + 1, -1);
        for (std::int64_t i = 0; i < n_local; ++i) owner_of[std::size_t(ids[i])] = std::int32_t(i);
        for (std::int64_t i = n_local; i < points; ++i) {
            std::int32_t& owner = owner_of[std::size_t(ids[i])];
            if (owner < 0) {
                owner = std::int32_t(n_local + std::int64_t(others.size()));
                others.push_back(ids[i]);
            }
            owners[std::size_t(i - n_local)] = owner;
        }
        return;
    }
    // Open addressing: id -> owned atom, or place among the others.
    std::size_t size = 16;
    while (size < 2 * std::size_t(points)) size *= 2;
    struct Slot {
        std::int64_t id;
        std::int32_t owner;
    };
    std::vector<Slot> table(size, Slot{0, -1});
    const auto slot_of = [&](std::int64_t id) {
        auto at = std::size_t(std::uint64_t(id) * 0x9e3779b97f4a7c15u >> 20) & (size - 1);
        while (table[at].owner >= 0 && table[at].id != id) at = (at + 1) & (size - 1);
        return at;
    };
    for (std::int64_t i = 0; i < n_local; ++i) table[slot_of(ids[i])] = {ids[i], std::int32_t(i)};
    for (std::int64_t i = n_local; i < points; ++i) {
        Slot& slot = table[slot_of(ids[i])];
        if (slot.owner < 0) {
            slot = {ids[i], std::int32_t(n_local + std::int64_t(others.size()))};
            others.push_back(ids[i]);
        }
        owners[std::size_t(i - n_local)] = slot.owner;
    }
}

GraphEngine::GraphEngine(std::vector<float> weights, const std::vector<int>& widths,
                         const IsaTable& isa)
    : weights_(std::move(weights)), isa_(isa) {
    if (widths.size() < 6 || widths.size() > 7 || widths[5] < 1 || widths[5] > kMostLayers)
        throw std::invalid_argument("a graph network has six or seven widths and 1 … 4 layers");
    g_.inputs = widths[0];
    g_.hidden = widths[1];
    g_.features = widths[2];
    g_.message = widths[3];
    g_.classes = widths[4];
    g_.layers = widths[5];
    g_.outputs = widths.size() > 6 ? widths[6] : 0;
    if (g_.outputs < 0 || g_.outputs > g_.classes)
        throw std::invalid_argument("the network has more outputs than its last layer");
    for (int w : {g_.inputs, g_.hidden, g_.features, g_.message, g_.classes})
        if (w < 1 || (w % kMostLanes && w != g_.inputs))
            throw std::invalid_argument("a width of the network is not padded");
    const std::vector<float> given = std::move(weights_);
    std::size_t used = 0;
    // Stored as (inputs, outputs); the columns first … first + wide of `stride` are copied.
    std::vector<std::pair<const float**, std::size_t>> parts;
    const auto keep = [&](const float*& pointer, int rows, int stride, int first, int wide) {
        if (used + std::size_t(rows) * std::size_t(stride) > given.size())
            throw std::invalid_argument("the weights do not fit the network's widths");
        parts.emplace_back(&pointer, weights_.size());
        for (int r = 0; r < rows; ++r) {
            const float* from = given.data() + used + std::size_t(r) * std::size_t(stride) + first;
            weights_.insert(weights_.end(), from, from + wide);
        }
    };
    const auto take = [&](const float*& pointer, int rows, int columns) {
        keep(pointer, rows, columns, 0, columns);
        used += std::size_t(rows) * std::size_t(columns);
    };
    take(g_.w1, g_.inputs, g_.hidden);
    take(g_.b1, 1, g_.hidden);
    take(g_.w2, g_.hidden, g_.features);
    take(g_.b2, 1, g_.features);
    const int node = g_.message + g_.own_width();
    for (int l = 0; l < g_.layers; ++l) {
        keep(g_.share[l], g_.features, node, 0, g_.message);
        keep(g_.own[l], g_.features, node, g_.message, g_.own_width());
        used += std::size_t(g_.features) * std::size_t(node);
        keep(g_.share_bias[l], 1, node, 0, g_.message);
        keep(g_.own_bias[l], 1, node, g_.message, g_.own_width());
        used += std::size_t(node);
        take(g_.gather[l], g_.message, g_.features);
    }
    take(g_.w3, g_.features, g_.classes);
    take(g_.b3, 1, g_.classes);
    if (used != given.size())
        throw std::invalid_argument("the weights do not fit the network's widths");
    for (auto& [pointer, at] : parts) *pointer = weights_.data() + at;
}

bool GraphEngine::embed(const CellList& cells, const Search& search, const std::int32_t* places,
                        std::int64_t count, const std::int32_t* row_of_place,
                        float* h, float* shared, std::int32_t* found, std::int32_t* rows,
                        int threads) const {
    struct State {
        Describer describer;
        Floats scratch;
        std::vector<std::int32_t> near;
    };
    const int lanes = isa_.lanes, most = search.most;
    bool whole = true;
    std::vector<State> states;
    for (int t = 0; t < std::max(threads, 1); ++t)
        states.push_back({Describer(cells, search.settings, isa_, 1, nullptr, 0), Floats(),
                          std::vector<std::int32_t>(std::size_t(most))});
    in_shares(
        count, kShare, threads,
        [&](int thread, std::int64_t begin, std::int64_t end) {
            State& state = states[std::size_t(thread)];
            float* scratch = state.scratch.room(std::size_t(lanes * g_.hidden));
            for (std::int64_t i = begin; i < end; i += lanes) {
                const int group = int(std::min<std::int64_t>(lanes, end - i));
                state.describer.search(places + i, group);
                const float* maps = state.describer.images([&](int k, int many) {
                    found[i + k] = many;
                    std::int32_t* list = rows + (i + k) * most;
                    const int n = state.describer.nearest(most, search.near, state.near.data());
                    for (int j = 0; j < n; ++j) {
                        list[j] = row_of_place[state.near[std::size_t(j)]];
                        if (list[j] < 0) {
#pragma omp atomic write
                            whole = false;
                        }
                    }
                    std::fill(list + n, list + most, -1);
                });
                isa_.embed(g_, maps, scratch, h + i * g_.features, shared + i * g_.message, group);
            }
        });
    return whole;
}

void GraphEngine::convolve(int layer, const float* shared, const std::int32_t* rows, int most,
                           std::int64_t count, float* h, float* next, float* probabilities,
                           int classes, int threads) const {
    constexpr int kAtoms = 16;  // whose intermediate results stay in the nearest cache
    const auto words = std::size_t(kAtoms) * std::size_t(graph_words(g_));
    std::vector<Floats> held(std::size_t(std::max(threads, 1)));
    in_shares(
        count, kShare, threads, [&](int thread, std::int64_t begin, std::int64_t end) {
            float* scratch = held[std::size_t(thread)].room(words);
            for (std::int64_t i = begin; i < end; i += kAtoms)
                isa_.convolve(g_, layer, shared, rows + i * most, most,
                              int(std::min<std::int64_t>(kAtoms, end - i)),
                              int(std::min<std::int64_t>(kAtoms, count - i - kAtoms)),
                              h + i * g_.features, scratch, next + i * g_.message,
                              probabilities + i * classes, classes);
        });
}

}  // namespace insitu
