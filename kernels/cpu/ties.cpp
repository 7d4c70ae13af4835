// SPDX-License-Identifier: BSD-3-Clause
// The order of neighbours at equal distance: perfect crystals, and the few atoms of others that have two
// such neighbours by chance.
#include "cpu.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "../core/ties.hpp"

namespace insitu {

namespace {

int padded(int count) { return (count + kMostLanes - 1) / kMostLanes * kMostLanes; }

}  // namespace

// Order of two points of the block at the same rounded distance: atom id, then periodic image (told apart
// by the displacement itself, which does not depend on how LAMMPS or we numbered the images).
bool Describer::before(int a, int b, double inverse) const {
    const Point& i = cells_.points[std::size_t(block_->place[std::size_t(a)])];
    const Point& j = cells_.points[std::size_t(block_->place[std::size_t(b)])];
    if (i.id != j.id) return i.id < j.id;
    for (int c = 0; c < 3; ++c) {
        const double qa = std::floor((i.r[c] - centre_->r[c]) * inverse + kRound);
        const double qb = std::floor((j.r[c] - centre_->r[c]) * inverse + kRound);
        if (qa != qb) return qa < qb;
    }
    return false;
}

// All that were found, by rounded distance and before().
void Describer::order_ties(int count, double inverse) {
    isa_.rounded(distance_.data(), count, 0, inverse, q_.data());
    for (int i = 0; i < count; ++i)  // by point of the block, in the order's place
        key_[std::size_t(place_[i])] = q_[std::size_t(i)];
    std::sort(place_, place_ + count, [&](int a, int b) {
        const auto i = std::size_t(a), j = std::size_t(b);
        return key_[i] != key_[j] ? key_[i] < key_[j] : before(a, b, inverse);
    });
}

// Then equal distances in the order of the definition, which knows no ids: where a scale-free ball ends
// inside a shell, which points of it belong to the ball; and the rows of each shell by where the ball's
// other points lie. The order before decides between equivalent points only.
void Describer::order_by_geometry(int count, int keep, double inverse) {
    isa_.rounded(distance_.data(), count, 0, inverse, q_.data());
    for (int i = 0; i < count; ++i) mark_[std::size_t(i)] = tie_mark(q_[std::size_t(i)], 0);
    for (int i = 0; channels_ > 1 && i < count; ++i) {
        const auto who = std::size_t(cells_.index[std::size_t(place(i))]);
        mark_[std::size_t(i)] += tie_color(weights_ + who, channels_, std::size_t(points_));
    }
    int members = count;
    if (s_.scale_free && count > s_.ball) {
        members = s_.ball;
        if (q_[std::size_t(members) - 1] == q_[std::size_t(members)]) end_ball(count, inverse);
    }
    std::fill(mark_.begin() + members, mark_.begin() + padded(members), 0);
    for (int first = 0, last; first < members && first < keep; first = last) {
        last = first + 1;
        while (last < members && q_[std::size_t(last)] == q_[std::size_t(first)]) ++last;
        if (last > first + 1) order_shell(first, last, members, inverse);
    }
    if (s_.scale_free) displace(0, members);  // other balls are read by their places
}

// Chooses the points of a cut shell one by one: the next is the one whose distances to all points so far,
// those of whole shells, of this shell, and once more those chosen before, have the largest sum. That
// spreads them over the shell. Equal sums do not make points equivalent, where the sample has a surface
// or a defect: they are told apart by how the others see each of the points around them.
void Describer::end_ball(int count, double inverse) {
    const auto shell = q_[std::size_t(s_.ball)];
    int first = s_.ball - 1, last = s_.ball + 1;
    while (first > 0 && q_[std::size_t(first) - 1] == shell) --first;
    while (last < count && q_[std::size_t(last)] == shell) ++last;
    if (last > kMostTied) return;
    const int stride = padded(last);
    between_.resize(std::size_t(stride) * std::size_t(last));
    const std::uint32_t* q = between_.data();
    isa_.distances(dx_.data(), dy_.data(), dz_.data(), 0, last, last, inverse, between_.data(), stride);
    seen_.resize(4 * std::size_t(stride));
    std::uint32_t *seen = seen_.data(), *sum = seen + stride, *mixed = sum + stride, *next_seen = mixed + stride;
    std::copy_n(mark_.data(), last, seen);
    const auto refine = [&] {
        isa_.refine(q, stride, seen, last, sum, mixed, next_seen);
        std::swap(seen, next_seen);
    };
    for (int i = 0; i < 3; ++i) refine();
    // Points keep their places here; those of the shell come in a new order, the chosen first.
    order_.resize(std::size_t(last - first));
    std::iota(order_.begin(), order_.end(), first);
    std::vector<std::uint32_t> far(std::size_t(last), 0);  // from those chosen
    const auto end = order_.begin() + (s_.ball - first);
    for (auto next = order_.begin(); next < end; ++next) {
        const auto key = [&](int i) { return tie_key(sum[i] + far[std::size_t(i)], mixed[i]); };
        auto best = next;
        for (auto i = next; i < order_.end(); ++i)
            if (key(*i) > key(*best)) best = i;
        std::iter_swap(next, best);
        const int taken = *next;
        for (int i = first; i < last; ++i) far[std::size_t(i)] += q[taken * stride + i];
        seen[taken] += taken_mark(int(next - order_.begin()));
        if (last <= kMostRefined && next + 1 < end) refine();
    }
    permute(first);
}

// Puts the points from `first` on into the new order.
void Describer::permute(int first) {
    const auto apply = [&](auto* values) {
        permuted_.resize(order_.size());
        for (std::size_t i = 0; i < order_.size(); ++i) permuted_[i] = double(values[order_[i]]);
        std::copy(permuted_.begin(), permuted_.end(), values + first);
    };
    apply(place_);
    apply(mark_.data());
    for (auto* axis : {&dx_, &dy_, &dz_}) apply(axis->data());
}

// Rows of one shell, points first … last: the smallest sum of distances to the ball's points comes first.
void Describer::order_shell(int first, int last, int members, double inverse) {
    const int rows = last - first, stride = padded(members);
    between_.resize(std::size_t(rows) * std::size_t(stride));
    tie_keys_.resize(std::size_t(rows));
    std::uint64_t* keys = tie_keys_.data();
    isa_.distances(dx_.data(), dy_.data(), dz_.data(), first, last, members, inverse, between_.data(), stride);
    isa_.tie_keys(between_.data(), stride, mark_.data(), rows, keys);
    int* place = place_ + first;
    for (int i = 1; i < rows; ++i) {  // shells are small
        const std::uint64_t key = keys[i];
        const int point = place[i];
        int to = i;
        for (; to > 0 && keys[to - 1] > key; --to) {
            keys[to] = keys[to - 1];
            place[to] = place[to - 1];
        }
        keys[to] = key;
        place[to] = point;
    }
}

}  // namespace insitu
