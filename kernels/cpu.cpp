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
    if (__builtin_cpu_supports("avx2")) found.push_back(&isa_avx2());
#endif
    found.push_back(&isa_plain());
    return found;
}

int bits_for(std::uint64_t value) {
    int bits = 0;
    for (; value; value >>= 1) ++bits;
    return bits;
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
      points_(points) {}

// Finds the neighbours of a centre and puts them into the order of the definition: rounded
// distance, then atom id, then periodic image (told apart by the displacement itself, which does
// not depend on how LAMMPS or we numbered the images).
int Describer::collect(std::int32_t at) {
    const double centre[3] = {cells_.x[std::size_t(at)], cells_.y[std::size_t(at)],
                              cells_.z[std::size_t(at)]};
    const double radius = search_radius(s_.cutoff);
    std::size_t capacity = 0;
    cells_.visit_around(centre, radius, [&](std::int32_t b, std::int32_t e) {
        capacity += std::size_t(e - b);
    });
    if (at_.size() < capacity + kPad) {
        const std::size_t size = 2 * capacity + kPad;
        at_.resize(size);
        d2_.resize(size);
        x_.resize(size);
        y_.resize(size);
        z_.resize(size);
    }
    const Found found{d2_.data(), at_.data()};
    int count = 0;
    cells_.visit_around(centre, radius, [&](std::int32_t b, std::int32_t e) {
        count = isa_.gather(cells_.x.data(), cells_.y.data(), cells_.z.data(), b, e, centre,
                            radius * radius, found, count);
    });
    int kept = 0;
    for (int i = 0; i < count; ++i) {  // the centre itself goes, the rest gets displacements
        if (at_[std::size_t(i)] == at) continue;
        const auto from = std::size_t(at_[std::size_t(i)]);
        at_[std::size_t(kept)] = at_[std::size_t(i)];
        d2_[std::size_t(kept)] = d2_[std::size_t(i)];
        x_[std::size_t(kept)] = cells_.x[from] - centre[0];
        y_[std::size_t(kept)] = cells_.y[from] - centre[1];
        z_[std::size_t(kept)] = cells_.z[from] - centre[2];
        ++kept;
    }
    count = kept;
    const auto n = std::size_t(count);
    if (place_.size() < n + kPad) {
        place_.resize(2 * n + kPad);
        q_.resize(2 * n + kPad);
        key_.resize(2 * n + kPad);
        position_.resize(2 * n + kPad);
        sorted2_.resize(2 * n + kPad);
    }
    length_ = s_.cutoff;
    if (s_.scale_free && count > 0) {
        std::copy(d2_.begin(), d2_.begin() + count, sorted2_.begin());
        const int nearest = std::min(s_.local, count);
        std::partial_sort(sorted2_.begin(), sorted2_.begin() + nearest, sorted2_.begin() + count);
        double sum = 0.0;
        for (int i = 0; i < nearest; ++i) sum += std::sqrt(sorted2_[std::size_t(i)]);
        length_ = std::max(sum / nearest, 1e-6);
    }
    const double inverse = 1.0 / (kTie * length_);
    std::uint32_t largest = 0;
    for (std::size_t i = 0; i < n; ++i) {
        const double q = std::sqrt(d2_[i]) * inverse + kRound;
        q_[i] = q < 4e9 ? std::uint32_t(q) : 4000000000u;
        largest = std::max(largest, q_[i]);
    }
    const int slot_bits = bits_for(n ? n - 1 : 0);
    if (bits_for(largest) + slot_bits <= 32) {
        for (std::size_t i = 0; i < n; ++i) key_[i] = q_[i] << slot_bits | std::uint32_t(i);
        isa_.order(key_.data(), count, position_.data(), place_.data());
    } else {
        std::iota(place_.begin(), place_.begin() + count, 0);
        std::sort(place_.begin(), place_.begin() + count, [&](int a, int b) {
            return q_[std::size_t(a)] != q_[std::size_t(b)] ? q_[std::size_t(a)] < q_[std::size_t(b)]
                                                            : a < b;
        });
    }
    sort_ties(count, inverse);
    found_ = count;
    if (s_.scale_free) count = std::min(count, s_.ball);
    for (int j = 0; j < count; ++j) sorted2_[std::size_t(j)] = d2_[std::size_t(place_[std::size_t(j)])];
    // Within a run of equal rounded distances the order is by id; the lengths stay ascending.
    std::sort(sorted2_.begin(), sorted2_.begin() + count);
    count_ = count;
    return count;
}

int Describer::nearest(int most, double radius, std::int32_t* places) const {
    int kept = 0;
    for (int j = 0; j < count_ && kept < most; ++j) {
        const auto i = std::size_t(place_[std::size_t(j)]);
        if (d2_[i] <= radius * radius) places[kept++] = at_[i];
    }
    return kept;
}

// Order of two neighbours at the same rounded distance.
bool Describer::before(int a, int b, double inverse) const {
    const auto i = std::size_t(a), j = std::size_t(b);
    const std::int64_t ia = cells_.id[std::size_t(at_[i])], ib = cells_.id[std::size_t(at_[j])];
    if (ia != ib) return ia < ib;
    const double da[3] = {x_[i], y_[i], z_[i]}, db[3] = {x_[j], y_[j], z_[j]};
    for (int c = 0; c < 3; ++c) {
        const double qa = std::floor(da[c] * inverse + kRound);
        const double qb = std::floor(db[c] * inverse + kRound);
        if (qa != qb) return qa < qb;
    }
    return false;
}

void Describer::sort_ties(int count, double inverse) {
    for (int begin = 0; begin < count;) {
        const std::uint32_t q = q_[std::size_t(place_[std::size_t(begin)])];
        int end = begin + 1;
        while (end < count && q_[std::size_t(place_[std::size_t(end)])] == q) ++end;
        if (end - begin > 1) std::sort(place_.begin() + begin, place_.begin() + end,
                      [&](int a, int b) { return before(a, b, inverse); });
        begin = end;
    }
}

int Describer::ball(std::int32_t at, std::vector<std::int32_t>& places,
                    std::vector<double>& length2) {
    const int count = collect(at);
    places.resize(std::size_t(count));
    length2.assign(sorted2_.begin(), sorted2_.begin() + count);
    for (int j = 0; j < count; ++j)
        places[std::size_t(j)] = at_[std::size_t(place_[std::size_t(j)])];
    return count;
}

int Describer::image(std::int32_t at, float* out) {
    const int count = collect(at);
    const int columns = count + 1;
    if (channels_ > 1 && columns > (1 << kRankBits))
        throw std::length_error("a ball of " + std::to_string(columns) +
                                " atoms is too large for more than one channel (at most 1024): " +
                                "reduce the cutoff");
    const auto padded = std::size_t(std::max(columns, s_.size) + 2 * kPad);
    if (px_.size() < padded) {
        px_.resize(2 * padded);
        py_.resize(2 * padded);
        pz_.resize(2 * padded);
    }
    a_.assign(padded, 0.0f);
    // Absolute maps keep the length unit, scale-free ones are measured in the local length.
    const double scale = s_.scale_free ? 1.0 / length_ : 1.0;
    px_[0] = py_[0] = pz_[0] = 0.0f;
    a_[0] = 1.0f;
    const float exponent = -0.5f / float(s_.beta);
    for (int j = 0; j < count; ++j) {
        const auto i = std::size_t(place_[std::size_t(j)]), p = std::size_t(j) + 1;
        px_[p] = float(x_[i] * scale);
        py_[p] = float(y_[i] * scale);
        pz_[p] = float(z_[i] * scale);
        if (j + 1 < s_.size)
            a_[p] = std::pow(std::max(float(sorted2_[std::size_t(j)] * scale * scale),
                                      kMinSquaredDistance),
                             exponent);
    }
    for (int p = columns; p < columns + kPad || p < s_.size + kPad; ++p)
        px_[std::size_t(p)] = py_[std::size_t(p)] = pz_[std::size_t(p)] = 0.0f;
    if (channels_ > 1) color(at, count);
    const std::size_t bytes = 4 * image_words(columns, s_.size) + 64;
    if (scratch_.size() < bytes) scratch_.resize(2 * bytes);
    auto* aligned = reinterpret_cast<unsigned char*>(
        (reinterpret_cast<std::uintptr_t>(scratch_.data()) + 63) & ~std::uintptr_t(63));
    const MapSettings settings{s_.size, channels_, float(s_.gamma),
                               float(kTie * length_ * scale)};
    const Ball ball{count,        px_.data(),   py_.data(), pz_.data(), a_.data(),
                    rank_.data(), w_.data(), 2 * columns};
    isa_.image(settings, ball, aligned, out);
    return s_.scale_free ? std::min(found_, std::max(s_.ball, s_.local)) : count;
}

// Colours of the ball, by point and by rank of (id, image), the order within equal distances.
void Describer::color(std::int32_t at, int count) {
    const auto columns = std::size_t(count) + 1;
    rank_.resize(columns);
    w_.resize(std::size_t(channels_) * 2 * columns);
    // The centre has displacement 0 and takes part in other rows' ties like every atom.
    const auto slot = std::size_t(at_.size()) - 1;
    at_[slot] = at;
    x_[slot] = y_[slot] = z_[slot] = 0.0;
    std::vector<int> by_id(columns);
    std::vector<int> saved(place_.begin(), place_.begin() + count);
    by_id[0] = int(slot);
    std::copy(saved.begin(), saved.end(), by_id.begin() + 1);
    std::vector<int> point(columns);
    std::iota(point.begin(), point.end(), 0);
    const double inverse = 1.0 / (kTie * length_);
    std::sort(point.begin(), point.end(), [&](int a, int b) {
        return before(by_id[std::size_t(a)], by_id[std::size_t(b)], inverse);
    });
    for (std::size_t r = 0; r < columns; ++r)
        rank_[std::size_t(point[r])] = std::uint32_t(r);
    for (int c = 0; c < channels_; ++c) {
        float* w = w_.data() + std::size_t(c) * 2 * columns;
        for (std::size_t p = 0; p < columns; ++p) {
            const auto who = std::size_t(cells_.index[std::size_t(at_[std::size_t(by_id[p])])]);
            w[p] = weights_[std::size_t(c) * std::size_t(points_) + who];
            w[columns + rank_[p]] = w[p];
        }
    }
}

}  // namespace insitu
