// SPDX-License-Identifier: BSD-3-Clause
#include "cpu.hpp"

#include <numeric>
#include <stdexcept>

namespace insitu {

namespace {

constexpr int kRankBits = 10;

}  // namespace

Describer::Describer(const CellList& cells, const DescriptorSettings& settings, const IsaTable& isa,
                     int channels, const float* weights, std::int64_t points)
    : cells_(cells), s_(settings), isa_(isa), channels_(channels), weights_(weights),
      points_(points),
      group_{settings.size, settings.ball, float(settings.gamma), float(settings.beta)},
      grouped_(settings.scale_free && channels == 1 && grouped(group_)) {}

int Describer::nearest(int most, double radius, std::int32_t* places, bool whole) const {
    int kept = 0, last = std::min(most, count_);
    if (whole && tied_ && last < found_) {
        const auto behind = q_[std::size_t(last)];
        while (last > 0 && q_[std::size_t(last) - 1] == behind) --last;
    }
    for (int j = 0; j < last; ++j) {
        const auto i = std::size_t(j);
        if (distance_[i] <= radius) places[kept++] = place(j);
    }
    return kept;
}

int Describer::ball(std::int32_t at, std::vector<std::int32_t>& places) {
    search(&at, 1);
    collect(0, s_.scale_free ? s_.ball : 1 << 24, s_.scale_free);
    places.resize(std::size_t(count_));
    for (int j = 0; j < count_; ++j)
        places[std::size_t(j)] = place(j);
    return count_;
}

int Describer::image(int k, float* out) {
    const bool sure = !s_.scale_free && channels_ == 1 && s_.size <= kMostSorted && !(doubts_ >> k & 1u);
    if (sure) count_ = found_ = take(k, kMostSorted);
    const int count = sure ? count_ : collect(k, s_.scale_free ? s_.ball : s_.size - 1);
    const int columns = count + 1;
    if (channels_ > 1 && columns > (1 << kRankBits))
        throw std::length_error("a ball of " + std::to_string(columns) +
                                " atoms is too large for more than one channel (at most 1024): " +
                                "reduce the cutoff");
    // As many as an image reads: whole vectors of columns and rows, and two blocks at least.
    const int padded = (std::max({columns, s_.size, 2 * kBlock}) + kMostLanes - 1) / kMostLanes * kMostLanes;
    float* x = px_.room(std::size_t(padded));
    float* y = py_.room(std::size_t(padded));
    float* z = pz_.room(std::size_t(padded));
    float* weight = a_.room(std::size_t(padded));
    // Absolute maps keep the length unit, scale-free ones are measured in the local length.
    const double scale = s_.scale_free ? 1.0 / length_ : 1.0;
    slots_[0] = centre_->self;
    std::fill(place_ + count, place_ + padded - 1, block_->padded - 1);
    isa_.narrow(cells_.points.data(), block_->place.data(), centre_->r, slots_.data(), padded, scale, x,
                y, z);
    for (float* axis : {x, y, z}) std::fill(axis + columns, axis + padded, kNowhere);  // in any unit
    isa_.weigh(x, y, z, count, s_.size, float(s_.beta), weight);
    if (channels_ > 1) color(count);
    const MapSettings settings{s_.size, channels_, float(s_.gamma),
                               float(kTie * length_ * scale)};
    const Ball ball{count, x, y, z, weight, rank_.data(), w_.data(), 2 * columns};
    isa_.image(settings, ball, scratch_.room(image_words(columns, s_.size)), out);
    return described();
}

// Colours of the ball, by point and by rank, the order within equal distances: by the colours themselves.
void Describer::color(int count) {
    const auto columns = std::size_t(count) + 1;
    rank_.resize(columns);
    w_.resize(std::size_t(channels_) * 2 * columns);
    // The centre takes part in other rows' ties like every atom.
    std::vector<int> member(columns), point(columns);
    member[0] = centre_->self;
    for (int p = 1; p <= count; ++p) member[std::size_t(p)] = place_[p - 1];
    std::iota(point.begin(), point.end(), 0);
    const auto weight = [&](int p, int c) {
        const auto place = std::size_t(block_->place[std::size_t(member[std::size_t(p)])]);
        return weights_[std::size_t(c) * std::size_t(points_) + std::size_t(cells_.index[place])];
    };
    std::sort(point.begin(), point.end(), [&](int a, int b) {
        for (int c = 1; c < channels_; ++c)
            if (weight(a, c) != weight(b, c)) return weight(a, c) < weight(b, c);
        return a < b;
    });
    for (std::size_t r = 0; r < columns; ++r)
        rank_[std::size_t(point[r])] = std::uint32_t(r);
    for (int c = 0; c < channels_; ++c) {
        float* w = w_.data() + std::size_t(c) * 2 * columns;
        for (std::size_t p = 0; p < columns; ++p) {
            w[p] = weight(int(p), c);
            w[columns + rank_[p]] = w[p];
        }
    }
}

}  // namespace insitu
