// SPDX-License-Identifier: BSD-3-Clause
#include "cpu.hpp"

#include <cstdlib>
#include <cstring>
#include <numeric>
#include <stdexcept>

namespace insitu {

namespace {

std::vector<const IsaTable*> tables() {
    std::vector<const IsaTable*> found;
#ifdef INSITU_X86
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        found.push_back(&isa_avx512());
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) found.push_back(&isa_avx2());
#endif
    found.push_back(&isa_plain());
    return found;
}

constexpr int kRankBits = 10;
constexpr int kPad = kMostLanes;  // one vector of lanes

}  // namespace

std::vector<std::string> isa_available() {
    std::vector<std::string> names;
    for (const IsaTable* t : tables()) names.emplace_back(t->name);
    return names;
}

const IsaTable& isa_choose(const std::string& name) {
    std::string wanted = name;
    if (wanted.empty() || wanted == "auto") {
        const char* env = std::getenv("INSITU_ISA");
        wanted = env ? env : "";
    }
    const auto all = tables();
    if (wanted.empty() || wanted == "auto") return *all.front();
    std::string text;
    for (const IsaTable* t : all) {
        if (wanted == t->name) return *t;
        text += std::string(text.empty() ? "" : ", ") + t->name;
    }
    throw std::invalid_argument("instruction set '" + wanted + "' (argument isa or variable " +
                                "INSITU_ISA) is not available here; this machine has: " + text);
}

Describer::Describer(const CellList& cells, const DescriptorSettings& settings, const IsaTable& isa,
                     int channels, const float* weights, std::int64_t points)
    : cells_(cells), s_(settings), isa_(isa), channels_(channels), weights_(weights),
      points_(points),
      group_{settings.size, settings.ball, float(settings.gamma), float(settings.beta)},
      grouped_(settings.scale_free && channels == 1 && grouped(group_)) {}

// Finds the neighbours of a centre and puts the first `keep` into the order of the definition: rounded
// distance, then atom id, then periodic image (told apart by the displacement itself, which does
// not depend on how LAMMPS or we numbered the images). Those behind follow about in order.
int Describer::collect(std::int32_t at, int keep) {
    centre_[0] = cells_.x[std::size_t(at)];
    centre_[1] = cells_.y[std::size_t(at)];
    centre_[2] = cells_.z[std::size_t(at)];
    const double radius = search_radius(s_.cutoff);
    const int cell = cells_.cell_of(centre_);
    if (cell != cell_) {
        cells_.around(cell, radius, block_);
        cell_ = cell;
        const auto size = std::size_t(block_.padded + 4 * kPad);
        if (place_.size() < size) {
            for (auto* v : {&dx_, &dy_, &dz_, &distance_}) v->resize(2 * size);
            for (auto* v : {&q_, &key_, &position_}) v->resize(2 * size);
            place_.resize(2 * size);
        }
    }
    self_ = block_.own + at - block_.first;
    const double r2 = radius * radius;
    int slot_bits = 4, count;
    while (block_.padded > 1 << slot_bits) ++slot_bits;
    if (block_.padded <= kMostKeyed) {
        count = isa_.search(block_.x.data(), block_.y.data(), block_.z.data(), block_.padded,
                            centre_, self_, r2, slot_bits, key_.data());
        isa_.order(key_.data(), count, slot_bits, position_.data(), place_.data());
    } else {
        count = search_dense(r2);
    }
    // A few more than asked for: an equal distance may stand behind the last.
    const int least = std::max(keep + 1, s_.scale_free ? s_.local : 0);
    const int many = std::min(count, (least + 7) / 8 * 8);
    displace(0, many);
    length_ = s_.cutoff;
    if (s_.scale_free && count > 0) {
        const int nearest = std::min(s_.local, count);
        double sum = 0.0;
        for (int i = 0; i < nearest; ++i) sum += distance_[std::size_t(i)];
        length_ = std::max(sum / nearest, 1e-6);
    }
    const double inverse = 1.0 / (kTie * length_);
    if (isa_.rounded(distance_.data(), many, keep, inverse, q_.data())) {
        displace(many, count);
        order_ties(count, inverse);
        displace(0, count);
    }
    found_ = count;
    count_ = s_.scale_free ? std::min(count, s_.ball) : count;
    return count_;
}

void Describer::displace(int first, int last) {
    isa_.displace(block_.x.data(), block_.y.data(), block_.z.data(), centre_, place_.data(), first,
                  last, dx_.data(), dy_.data(), dz_.data(), distance_.data());
}

// A block of more points than keys can tell apart: large cutoffs, and cells at the rim.
int Describer::search_dense(double r2) {
    int count = 0;
    std::vector<double> d2(std::size_t(block_.count));
    for (int i = 0; i < block_.count; ++i) {
        const auto k = std::size_t(i);
        const double dx = block_.x[k] - centre_[0], dy = block_.y[k] - centre_[1],
                     dz = block_.z[k] - centre_[2];
        d2[k] = dx * dx + dy * dy + dz * dz;
        if (d2[k] <= r2 && i != self_) place_[std::size_t(count++)] = i;
    }
    std::sort(place_.begin(), place_.begin() + count, [&](int a, int b) {
        return d2[std::size_t(a)] < d2[std::size_t(b)];
    });
    return count;
}

int Describer::nearest(int most, double radius, std::int32_t* places) const {
    int kept = 0;
    for (int j = 0; j < count_ && kept < most; ++j) {
        const auto i = std::size_t(j);
        if (distance_[i] <= radius) places[kept++] = block_.place[std::size_t(place_[i])];
    }
    return kept;
}

// Order of two points of the block at the same rounded distance.
bool Describer::before(int a, int b, double inverse) const {
    const auto i = std::size_t(a), j = std::size_t(b);
    const std::int64_t ia = cells_.id[std::size_t(block_.place[i])];
    const std::int64_t ib = cells_.id[std::size_t(block_.place[j])];
    if (ia != ib) return ia < ib;
    const double da[3] = {block_.x[i] - centre_[0], block_.y[i] - centre_[1],
                          block_.z[i] - centre_[2]};
    const double db[3] = {block_.x[j] - centre_[0], block_.y[j] - centre_[1],
                          block_.z[j] - centre_[2]};
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
    collect(at, s_.scale_free ? s_.ball : 1 << 24);
    places.resize(std::size_t(count_));
    for (int j = 0; j < count_; ++j)
        places[std::size_t(j)] = block_.place[std::size_t(place_[std::size_t(j)])];
    return count_;
}

int Describer::image(std::int32_t at, float* out) {
    const int count = collect(at, s_.scale_free ? s_.ball : s_.size - 1);
    const int columns = count + 1;
    if (channels_ > 1 && columns > (1 << kRankBits))
        throw std::length_error("a ball of " + std::to_string(columns) +
                                " atoms is too large for more than one channel (at most 1024): " +
                                "reduce the cutoff");
    if (!s_.scale_free) displace(std::min(count, s_.size - 1), count);
    const auto padded = std::size_t(std::max(columns, s_.size) + 2 * kPad);
    if (px_.size() < padded)
        for (auto* v : {&px_, &py_, &pz_, &a_, &length2_}) v->resize(2 * padded);
    // Absolute maps keep the length unit, scale-free ones are measured in the local length.
    const double scale = s_.scale_free ? 1.0 / length_ : 1.0;
    px_[0] = py_[0] = pz_[0] = 0.0f;
    for (int j = 0; j < count; ++j) {
        const auto i = std::size_t(j), p = i + 1;
        px_[p] = float(dx_[i] * scale);
        py_[p] = float(dy_[i] * scale);
        pz_[p] = float(dz_[i] * scale);
    }
    const int rows = std::min(columns, s_.size);
    for (int p = columns; p < columns + kPad || p < s_.size + kPad; ++p)
        px_[std::size_t(p)] = py_[std::size_t(p)] = pz_[std::size_t(p)] = 0.0f;
    for (int p = 0; p < rows + kPad; ++p) {
        const auto k = std::size_t(p);
        length2_[k] = std::max(px_[k] * px_[k] + py_[k] * py_[k] + pz_[k] * pz_[k],
                               kMinSquaredDistance);
    }
    isa_.row_weights(length2_.data(), rows, float(s_.beta), a_.data());
    a_[0] = 1.0f;
    std::fill(a_.begin() + rows, a_.begin() + std::ptrdiff_t(padded), 0.0f);
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
    member[0] = self_;
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
            const auto place = std::size_t(block_.place[std::size_t(member[p])]);
            const auto who = std::size_t(cells_.index[place]);
            w[p] = weights_[std::size_t(c) * std::size_t(points_) + who];
            w[columns + rank_[p]] = w[p];
        }
    }
}

}  // namespace insitu
