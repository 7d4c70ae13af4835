// SPDX-License-Identifier: BSD-3-Clause
#include "cpu.hpp"

#include <cstring>
#include <numeric>
#include <stdexcept>

namespace insitu {

namespace {

constexpr int kRankBits = 10;
constexpr int kPad = kMostLanes;  // one vector of lanes

}  // namespace

Describer::Describer(const CellList& cells, const DescriptorSettings& settings, const IsaTable& isa,
                     int channels, const float* weights, std::int64_t points)
    : cells_(cells), s_(settings), isa_(isa), channels_(channels), weights_(weights),
      points_(points),
      group_{settings.size, settings.ball, float(settings.gamma), float(settings.beta)},
      grouped_(settings.scale_free && channels == 1 && grouped(group_)) {}

void Describer::search(const std::int32_t* at, int count) {
    const double radius = search_radius(s_.cutoff), r2 = radius * radius;
    members_ = count;
    // The group's centres lie in a few cells; the last block of the group before is often the first.
    int last = used_ ? used_ - 1 : 0;
    if (last > 0) {
        std::swap(blocks_[0], blocks_[std::size_t(last)]);
        cells_of_[0] = cells_of_[std::size_t(last)];
    }
    used_ = std::min(used_, 1);
    int widest = 0;
    for (int k = 0; k < count; ++k) {
        Centre& c = group_of_[k];
        const auto p = std::size_t(at[k]);
        c.r[0] = cells_.x[p];
        c.r[1] = cells_.y[p];
        c.r[2] = cells_.z[p];
        const int cell = cells_.cell_of(c.r);
        if (!used_ || cells_of_[std::size_t(used_) - 1] != cell) {
            if (blocks_.size() <= std::size_t(used_)) {
                blocks_.emplace_back();
                cells_of_.push_back(-1);
            }
            cells_.around(cell, radius, blocks_[std::size_t(used_)]);
            cells_of_[std::size_t(used_++)] = cell;
        }
        c.block = used_ - 1;
        const Block& block = blocks_[std::size_t(c.block)];
        c.self = block.own + at[k] - block.first;
        c.keyed = block.padded <= kMostKeyed;
        widest = std::max(widest, block.padded);
    }
    room(widest);
    int most = 0;
    bool keyed = true;
    for (int k = 0; k < count; ++k) {
        Centre& c = group_of_[k];
        const Block& block = blocks_[std::size_t(c.block)];
        std::uint32_t* keys = keys_.data() + std::size_t(k) * std::size_t(stride_);
        c.slot_bits = 4;
        while (c.keyed && block.padded > 1 << c.slot_bits) ++c.slot_bits;
        c.count = c.keyed ? isa_.search(block.x.data(), block.y.data(), block.z.data(),
                                        block.padded, c.r, c.self, r2, c.slot_bits, keys)
                          : search_dense(c, block, r2, keys);
        keyed &= c.keyed;
        most = std::max(most, c.count);
    }
    // Together, unless one has no keys, or that is more than what each alone would take.
    sorted_known_ = count > 1 && keyed && most <= 8 * kMostSorted;
    if (!sorted_known_) return;
    const int padded = std::max((most + kPad - 1) / kPad, 1) * kPad;
    for (int k = 0; k < isa_.lanes; ++k) {
        std::uint32_t* keys = keys_.data() + std::size_t(k) * std::size_t(stride_);
        const int mine = k < count ? group_of_[k].count : 0;
        std::fill(keys + mine, keys + padded, 0xffffffffu);
    }
    isa_.order_group(keys_.data(), stride_, padded,
                     reinterpret_cast<std::uint32_t*>(column_.room(std::size_t(padded * isa_.lanes))),
                     reinterpret_cast<std::uint32_t*>(
                         sorted_.room(std::size_t(kMostSorted * isa_.lanes))));
}

void Describer::room(int points) {
    const auto size = std::size_t(points + 4 * kPad);
    if (std::size_t(stride_) >= size) return;
    stride_ = int(2 * size) / kPad * kPad;
    const auto wide = std::size_t(stride_);
    for (auto* v : {&dx_, &dy_, &dz_, &distance_}) v->resize(wide);
    for (auto* v : {&q_, &key_, &position_}) v->resize(wide);
    keys_.resize(wide * kMostLanes);
    place_.resize(wide);
}

// Puts the first `keep` neighbours of a centre into the order of the definition: rounded distance,
// then atom id, then periodic image (told apart by the displacement itself, which does not depend
// on how LAMMPS or we numbered the images). Those behind follow in any order.
int Describer::collect(int k, int keep) {
    const Centre& c = group_of_[k];
    centre_ = &c;
    block_ = &blocks_[std::size_t(c.block)];
    const std::uint32_t* keys = keys_.data() + std::size_t(k) * std::size_t(stride_);
    const int count = c.count;
    // A few more than asked for: an equal distance may stand behind the last.
    const int least = std::max(keep + 1, s_.scale_free ? s_.local : 0);
    const int many = std::min(count, (least + 7) / 8 * 8);
    if (!c.keyed) {
        for (int i = 0; i < count; ++i)
            place_[std::size_t(i)] = int(keys[i]);
    } else if (sorted_known_ && many <= kMostSorted) {
        const auto* sorted = reinterpret_cast<const std::uint32_t*>(sorted_.get());
        const std::uint32_t slot = (1u << c.slot_bits) - 1u;
        const int known = std::min(count, kMostSorted), lanes = isa_.lanes;
        for (int i = 0; i < known; ++i)
            place_[std::size_t(i)] = int(sorted[i * lanes + k] & slot);
        if (count > known)
            isa_.above(keys, count, sorted[(known - 1) * lanes + k], c.slot_bits,
                       place_.data() + known);
    } else {
        isa_.order(keys, count, c.slot_bits, position_.data(), place_.data());
    }
    displace(0, many);
    known_ = many;
    measure(count);
    // A search far beyond the ball: keys do not tell its distances apart.
    const double radius = search_radius(s_.cutoff);
    if (c.keyed && radius * radius > 2e-6 * length_ * length_ * double(1u << (31 - c.slot_bits))) {
        displace(0, count);
        std::vector<double>& d = dense_;
        d.resize(std::size_t(block_->padded));
        for (int i = 0; i < count; ++i) d[std::size_t(place_[std::size_t(i)])] = distance_[std::size_t(i)];
        std::sort(place_.begin(), place_.begin() + count,
                  [&](int a, int b) { return d[std::size_t(a)] < d[std::size_t(b)]; });
        displace(0, count);
        known_ = count;
        measure(count);
    }
    const double inverse = 1.0 / (kTie * length_);
    if (isa_.rounded(distance_.data(), many, keep, inverse, q_.data())) {
        displace(many, count);
        order_ties(count, inverse);
        displace(0, count);
        known_ = count;
    }
    found_ = count;
    count_ = s_.scale_free ? std::min(count, s_.ball) : count;
    return count_;
}

// The unit of length of the ball in order.
void Describer::measure(int count) {
    length_ = s_.cutoff;
    if (!s_.scale_free || count == 0) return;
    const int nearest = std::min(s_.local, count);
    double sum = 0.0;
    for (int i = 0; i < nearest; ++i) sum += distance_[std::size_t(i)];
    length_ = std::max(sum / nearest, 1e-6);
}

void Describer::displace(int first, int last) {
    isa_.displace(block_->x.data(), block_->y.data(), block_->z.data(), centre_->r, place_.data(),
                  first, last, dx_.data(), dy_.data(), dz_.data(), distance_.data());
}

// A block of more points than keys can tell apart: large cutoffs, and cells at the rim.
int Describer::search_dense(const Centre& c, const Block& block, double r2,
                            std::uint32_t* points) {
    int count = 0;
    std::vector<double>& d2 = dense_;
    d2.resize(std::size_t(block.count));
    for (int i = 0; i < block.count; ++i) {
        const auto p = std::size_t(i);
        const double dx = block.x[p] - c.r[0], dy = block.y[p] - c.r[1], dz = block.z[p] - c.r[2];
        d2[p] = dx * dx + dy * dy + dz * dz;
        if (d2[p] <= r2 && i != c.self) points[count++] = std::uint32_t(i);
    }
    std::sort(points, points + count, [&](std::uint32_t a, std::uint32_t b) {
        return d2[a] < d2[b];
    });
    return count;
}

int Describer::nearest(int most, double radius, std::int32_t* places) const {
    int kept = 0;
    for (int j = 0; j < count_ && kept < most; ++j) {
        const auto i = std::size_t(j);
        if (distance_[i] <= radius) places[kept++] = block_->place[std::size_t(place_[i])];
    }
    return kept;
}

// Order of two points of the block at the same rounded distance.
bool Describer::before(int a, int b, double inverse) const {
    const auto i = std::size_t(a), j = std::size_t(b);
    const std::int64_t ia = cells_.id[std::size_t(block_->place[i])];
    const std::int64_t ib = cells_.id[std::size_t(block_->place[j])];
    if (ia != ib) return ia < ib;
    const double da[3] = {block_->x[i] - centre_->r[0], block_->y[i] - centre_->r[1],
                          block_->z[i] - centre_->r[2]};
    const double db[3] = {block_->x[j] - centre_->r[0], block_->y[j] - centre_->r[1],
                          block_->z[j] - centre_->r[2]};
    for (int c = 0; c < 3; ++c) {
        const double qa = std::floor(da[c] * inverse + kRound);
        const double qb = std::floor(db[c] * inverse + kRound);
        if (qa != qb) return qa < qb;
    }
    return false;
}

// The whole ball in the order of the definition: for the few atoms with equal distances, and crystals
// without thermal motion.
void Describer::order_ties(int count, double inverse) {
    isa_.rounded(distance_.data(), count, 0, inverse, q_.data());
    for (int i = 0; i < count; ++i) {  // by point of the block, in the order's place
        const auto k = std::size_t(i);
        key_[std::size_t(place_[k])] = q_[k];
    }
    std::sort(place_.begin(), place_.begin() + count, [&](int a, int b) {
        const auto i = std::size_t(a), j = std::size_t(b);
        return key_[i] != key_[j] ? key_[i] < key_[j] : before(a, b, inverse);
    });
}

int Describer::ball(std::int32_t at, std::vector<std::int32_t>& places) {
    search(&at, 1);
    collect(0, s_.scale_free ? s_.ball : 1 << 24);
    places.resize(std::size_t(count_));
    for (int j = 0; j < count_; ++j)
        places[std::size_t(j)] = block_->place[std::size_t(place_[std::size_t(j)])];
    return count_;
}

int Describer::image(int k, float* out) {
    const int count = collect(k, s_.scale_free ? s_.ball : s_.size - 1);
    const int columns = count + 1;
    known_ = std::min(known_, count);
    if (channels_ > 1 && columns > (1 << kRankBits))
        throw std::length_error("a ball of " + std::to_string(columns) +
                                " atoms is too large for more than one channel (at most 1024): " +
                                "reduce the cutoff");
    const auto padded = std::size_t(std::max(columns, s_.size) + 2 * kPad + 1);
    if (px_.size() < padded)
        for (auto* v : {&px_, &py_, &pz_, &a_}) v->resize(2 * padded);
    // Absolute maps keep the length unit, scale-free ones are measured in the local length.
    const double scale = s_.scale_free ? 1.0 / length_ : 1.0;
    isa_.narrow(block_->x.data(), block_->y.data(), block_->z.data(), centre_->r, place_.data(), count,
                dx_.data(), dy_.data(), dz_.data(), known_, scale, s_.size, float(s_.beta),
                px_.data(), py_.data(), pz_.data(), a_.data());
    if (channels_ > 1) color(count);
    const MapSettings settings{s_.size, channels_, float(s_.gamma),
                               float(kTie * length_ * scale)};
    const Ball ball{count,        px_.data(),   py_.data(), pz_.data(), a_.data(),
                    rank_.data(), w_.data(), 2 * columns};
    isa_.image(settings, ball, scratch_.room(image_words(columns, s_.size)), out);
    return described();
}

// Colours of the ball, by point and by rank of (id, image), the order within equal distances.
void Describer::color(int count) {
    const auto columns = std::size_t(count) + 1;
    rank_.resize(columns);
    w_.resize(std::size_t(channels_) * 2 * columns);
    // The centre has displacement 0 and takes part in other rows' ties like every atom.
    std::vector<int> member(columns), point(columns);
    member[0] = centre_->self;
    for (std::size_t p = 1; p < columns; ++p) member[p] = place_[p - 1];
    std::iota(point.begin(), point.end(), 0);
    const double inverse = 1.0 / (kTie * length_);
    std::sort(point.begin(), point.end(), [&](int a, int b) {
        return before(member[std::size_t(a)], member[std::size_t(b)], inverse);
    });
    for (std::size_t r = 0; r < columns; ++r)
        rank_[std::size_t(point[r])] = std::uint32_t(r);
    for (int c = 0; c < channels_; ++c) {
        float* w = w_.data() + std::size_t(c) * 2 * columns;
        for (std::size_t p = 0; p < columns; ++p) {
            const auto place = std::size_t(block_->place[std::size_t(member[p])]);
            const auto who = std::size_t(cells_.index[place]);
            w[p] = weights_[std::size_t(c) * std::size_t(points_) + who];
            w[columns + rank_[p]] = w[p];
        }
    }
}

}  // namespace insitu
