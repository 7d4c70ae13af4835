// SPDX-License-Identifier: BSD-3-Clause
// Which neighbours a group of centres has, and in which order: by keys of single precision, and where
// these leave a doubt by distances of double precision. Equal ones are ordered in ties.cpp.
#include "cpu.hpp"

#include <cmath>

namespace insitu {

// A centre at a place of the cell order. Far from the block's origin (atoms beyond the rim of the cells)
// floats are too coarse.
void Describer::place_centre(Centre& c, std::int32_t at, int block) {
    const auto p = std::size_t(at);
    const Block& b = blocks_[std::size_t(block)];
    const double* r = cells_.points[p].r;
    c.keyed = b.padded <= kMostKeyed;
    for (int a = 0; a < 3; ++a) {
        c.r[a] = r[a];
        c.near[a] = float(r[a] - b.origin[a]);
        c.keyed &= std::fabs(r[a] - b.origin[a]) * cells_.inverse_side[a] <= 1.0;
    }
    c.block = block;
    c.self = b.own + at - b.first;
}

// The blocks that a group of centres lies in: a few; the last one of the group before is often the
// first.
void Describer::gather_blocks(const std::int32_t* at, int count) {
    const int last = used_ ? used_ - 1 : 0;
    if (last > 0) {
        std::swap(blocks_[0], blocks_[std::size_t(last)]);
        cells_of_[0] = cells_of_[std::size_t(last)];
    }
    used_ = std::min(used_, 1);
    int widest = 0;
    for (int k = 0; k < count; ++k) {
        const int cell = cells_.cell_of(cells_.points[std::size_t(at[k])].r);
        if (!used_ || cells_of_[std::size_t(used_) - 1] != cell) {
            if (blocks_.size() <= std::size_t(used_)) {
                blocks_.emplace_back();
                cells_of_.push_back(-1);
            }
            blocks_[std::size_t(used_)].around(cells_, cell, search_radius(s_.cutoff), isa_);
            cells_of_[std::size_t(used_++)] = cell;
        }
        place_centre(group_of_[k], at[k], used_ - 1);
        widest = std::max(widest, blocks_[std::size_t(used_) - 1].padded);
    }
    room(widest);
    slot_bits_ = 9;
    while (std::min(widest, kMostKeyed) > 1 << slot_bits_) ++slot_bits_;
}

void Describer::search(const std::int32_t* at, int count) {
    members_ = count;
    gather_blocks(at, count);
    // Coordinates up to side + radius, and their differences, are rounded to 6e-8 of themselves, so are
    // squares and sums. Twice as much is an upper bound with room to spare.
    const double radius = search_radius(s_.cutoff), side = 1.0 / cells_.inverse_side[0];
    noise_ = 1.2e-7 * radius * (4.0 * (side + radius) + 3.0 * radius);
    const double widened = radius * radius + noise_;
    int most = 0;
    bool keyed = true;
    for (int k = 0; k < count; ++k) {
        Centre& c = group_of_[k];
        c.keyed &= widened < 1e34;  // points that are nowhere are farther, and floats hold the square
        Block& block = blocks_[std::size_t(c.block)];
        c.count = c.keyed ? isa_.search(block.x.get(), block.y.get(), block.z.get(), block.padded,
                                        c.near, c.self, float(widened), slot_bits_, keys_of(k))
                          : search_exactly(c, keys_of(k));
        keyed &= c.keyed;
        most = std::max(most, c.count);
    }
    // Together, unless one has no keys, or that is more than what each alone would take.
    sorted_known_ = count > 1 && keyed && most <= 8 * kMostSorted;
    const Doubts doubts = order_together(widened, most);
    doubts_ = doubts.order | doubts.edge;
    for (int k = 0; doubts.edge && k < count; ++k) {
        Centre& c = group_of_[k];
        if (!(doubts.edge >> k & 1u) || !c.keyed) continue;
        c.keyed = false;
        c.count = search_exactly(c, keys_of(k));
    }
}

// Orders the group, if that is done together, and tells what floats do not.
Doubts Describer::order_together(double widened, int most) {
    const double radius = search_radius(s_.cutoff);
    const double slots = double(1u << slot_bits_);
    unit_ = widened / double(1u << (31 - slot_bits_));
    Margins margins{};
    // Keys are rounded, and so is their unit: by less than three. Nothing is sure in very large cells.
    margins.edge = std::uint32_t(std::max((radius * radius - noise_) / unit_ - 3.0, 0.0)) << slot_bits_;
    if (!s_.scale_free) {
        // Of two neighbours the farther one, at d, is so by a grid point of rounded distances if the
        // squares differ by 2 d quantum and the noise of both; 2 d <= radius + d^2 / radius.
        const double quantum = kTie * s_.cutoff;
        margins.rows = std::min(s_.size, kMostSorted);
        margins.gap = float(((2.0 * noise_ + quantum * radius) / unit_ + 3.0) * slots);
        margins.slope = float(quantum / radius);
    }
    Doubts doubts{0, ~0u};
    if (!sorted_known_) {
        for (int k = 0; k < members_; ++k)
            for (int i = 0; group_of_[k].keyed && i < group_of_[k].count; ++i)
                if (keys_of(k)[i] >= margins.edge) {
                    doubts.edge |= 1u << k;
                    break;
                }
        return doubts;
    }
    const int padded = std::max((most + kMostLanes - 1) / kMostLanes, 1) * kMostLanes;
    for (int k = 0; k < isa_.lanes; ++k)
        std::fill(keys_of(k) + (k < members_ ? group_of_[k].count : 0), keys_of(k) + padded, 0xffffffffu);
    float* column = column_.room(std::size_t(padded * isa_.lanes));
    float* sorted = sorted_.room(std::size_t(kMostSorted * isa_.lanes));
    return isa_.order_group(keys_.data(), stride_, padded, margins, reinterpret_cast<std::uint32_t*>(column),
                            reinterpret_cast<std::uint32_t*>(sorted));
}

void Describer::room(int points) {
    const auto size = std::size_t(std::max(points, s_.size) + 4 * kMostLanes);
    if (std::size_t(stride_) >= size) return;
    stride_ = int(2 * size) / kMostLanes * kMostLanes;
    const auto wide = std::size_t(stride_);
    for (auto* v : {&dx_, &dy_, &dz_, &distance_}) v->resize(wide);
    for (auto* v : {&q_, &key_, &position_, &mark_}) v->resize(wide);
    keys_.resize(wide * kMostLanes);
    slots_.resize(wide + 1);
    place_ = slots_.data() + 1;
}

// The neighbours of a centre of the group as points of the block: the first `many`, at least, in order
// of their keys, those after them in any. Returns their number.
int Describer::take(int k, int many) {
    const Centre& c = group_of_[k];
    centre_ = &c;
    block_ = &blocks_[std::size_t(c.block)];
    const std::uint32_t* keys = keys_of(k);
    if (!c.keyed) {
        for (int i = 0; i < c.count; ++i) place_[i] = int(keys[i]);
    } else if (sorted_known_ && many <= kMostSorted) {
        const auto* sorted = reinterpret_cast<const std::uint32_t*>(sorted_.get()) + k * kMostSorted;
        const std::uint32_t slot = (1u << slot_bits_) - 1u;
        for (int i = 0; i < kMostSorted; ++i) place_[i] = int(sorted[i] & slot);
        if (c.count > kMostSorted)
            isa_.above(keys, c.count, sorted[kMostSorted - 1], slot_bits_, place_ + kMostSorted);
    } else {
        isa_.order(keys, c.count, slot_bits_, position_.data(), place_);
    }
    std::fill(place_ + c.count, place_ + c.count + 8, block_->padded - 1);  // nowhere: read in eights
    return c.count;
}

int Describer::nearest_of(int k, int most, float* x, float* y, float* z) {
    const int padded = (most + kMostLanes - 1) / kMostLanes * kMostLanes;
    const int count = std::min(take(k, std::min(group_of_[k].count, padded)), most);
    std::fill(place_ + count, place_ + padded, block_->padded - 1);  // nowhere
    isa_.narrow(cells_.points.data(), block_->place.data(), centre_->r, place_, padded, 1.0, x, y, z);
    return count;
}

// Puts the first `keep` neighbours of a centre into the order of the definition: rounded distance, then
// what order_ties() says. Those after them follow in any order.
int Describer::collect(int k, int keep, bool by_geometry) {
    // A few more than asked for: an equal distance may come after the last.
    const int needed = std::max(keep, s_.scale_free ? s_.local : 0);
    int many = std::min(group_of_[k].count, (needed + 8) / 8 * 8);
    const int count = take(k, many);
    displace(0, many);
    measure(count);
    // Those not looked at are as far as the last one that was, but for the noise of both and the rounding
    // of keys.
    double unseen = many < count && group_of_[k].keyed ? distance_[std::size_t(many) - 1] : 1e150;
    unseen = unseen * unseen - 2.0 * noise_ - 3.0 * unit_;
    if (s_.scale_free && !nearest_known(many, unseen)) {
        sort_by_distance(count);
        many = count;
        unseen = 1e300;
        measure(count);
    }
    const double reach = many > needed ? distance_[std::size_t(needed) - 1] + 2.0 * kTie * length_ : 0.0;
    const double inverse = 1.0 / (kTie * length_);
    tied_ = isa_.rounded(distance_.data(), many, keep, inverse, q_.data()) || unseen < reach * reach;
    if (tied_) {
        displace(many, count);
        order_ties(count, inverse);
        displace(0, count);
        if (by_geometry) order_by_geometry(count, keep, inverse);
    }
    found_ = count;
    count_ = s_.scale_free ? std::min(count, s_.ball) : count;
    return count_;
}

// Whether the neighbours whose mean distance is the unit of length are known: keys tell distances apart,
// and those of the others are larger. Where they are equal, it does not matter.
bool Describer::nearest_known(int many, double unseen) const {
    const auto first = distance_.begin();
    if (many <= s_.local) return true;  // as they are all there are
    const double reach = *std::max_element(first, first + s_.local) - 1e-9;
    return reach * reach <= unseen && reach <= *std::min_element(first + s_.local, first + many);
}

// Where keys do not tell distances apart: a search far beyond the ball.
void Describer::sort_by_distance(int count) {
    displace(0, count);
    std::vector<double>& d = squares_;
    d.resize(std::size_t(block_->padded));
    for (int i = 0; i < count; ++i) d[std::size_t(place_[i])] = distance_[std::size_t(i)];
    std::sort(place_, place_ + count,
              [&](int a, int b) { return d[std::size_t(a)] < d[std::size_t(b)]; });
    displace(0, count);
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
    isa_.displace(cells_.points.data(), block_->place.data(), centre_->r, place_, first, last,
                  dx_.data(), dy_.data(), dz_.data(), distance_.data());
}

// In double precision: blocks of more points than keys can tell apart (large cutoffs, cells at the rim),
// atoms far from the others of their cell, and neighbours about as far as the radius.
int Describer::search_exactly(const Centre& c, std::uint32_t* points) {
    const Block& block = blocks_[std::size_t(c.block)];
    const double radius = search_radius(s_.cutoff);
    int count = 0;
    std::vector<double>& d2 = squares_;
    d2.resize(std::size_t(block.padded));
    for (int i = 0; i < block.count; ++i) {
        const double* r = cells_.points[std::size_t(block.place[std::size_t(i)])].r;
        const double dx = r[0] - c.r[0], dy = r[1] - c.r[1], dz = r[2] - c.r[2];
        d2[std::size_t(i)] = dx * dx + dy * dy + dz * dz;
        if (d2[std::size_t(i)] <= radius * radius && i != c.self) points[count++] = std::uint32_t(i);
    }
    std::sort(points, points + count, [&](std::uint32_t a, std::uint32_t b) {
        return d2[a] < d2[b];
    });
    return count;
}

}  // namespace insitu
