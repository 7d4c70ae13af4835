// SPDX-License-Identifier: BSD-3-Clause
// CPU driver: neighbour search, ordering of the ball, and the image, for one centre after the other.
#pragma once

#include <algorithm>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "isa.hpp"
#include "neighbors.hpp"

namespace insitu {

struct DescriptorSettings {
    double cutoff = 6.0;      // radius of the ball, or of the search if scale_free
    int size = 32;
    double gamma = 2.0, beta = 3.0;
    bool scale_free = false;
    int ball = 32;            // neighbours in a scale-free ball
    int local = 14;           // nearest neighbours whose mean distance is the unit of length
};

std::vector<std::string> isa_available();
const IsaTable& isa_choose(const std::string& name);  // "" or "auto": the best; throws if absent

// Radius within which a neighbour is searched for: the ball up to the end of its last grid point.
inline double search_radius(double cutoff) { return cutoff * (1.0 + (1.0 - kRound) * kTie); }

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

  private:
    struct Free {
        void operator()(float* p) const { ::operator delete(p, std::align_val_t(64)); }
    };
    std::unique_ptr<float, Free> held_;
    std::size_t size_ = 0;
};

class Describer {
  public:
    Describer(const CellList& cells, const DescriptorSettings& settings, const IsaTable& isa,
              int channels, const float* weights, std::int64_t points);

    // Image of the centre at place `at` of the cell order; returns the number of its neighbours.
    // Scale-free: those found, up to the larger of `ball` and `local`, so that a caller can tell
    // whether the search was wide enough for both.
    int image(std::int32_t at, float* out);

    // The same for up to isa.lanes centres: images (size * size, isa.lanes) in an array that the
    // next call overwrites. `each(k, found)` is called behind each search, for nearest().
    template <class Each>
    const float* images(const std::int32_t* at, int count, Each&& each);

    // Places of the first `most` neighbours of the last centre that lie within `radius`;
    // returns their number.
    int nearest(int most, double radius, std::int32_t* places) const;

    // The ordered ball of a centre: places in cell order; returns their number.
    int ball(std::int32_t at, std::vector<std::int32_t>& places);

  private:
    int collect(std::int32_t at, int keep);
    void displace(int first, int last);
    int search_dense(double r2);
    int described() const {
        return s_.scale_free ? std::min(found_, std::max(s_.ball, s_.local)) : found_;
    }
    void order_ties(int count, double inverse_quantum);
    bool before(int a, int b, double inverse_quantum) const;
    void color(int count);

    const CellList& cells_;
    DescriptorSettings s_;
    const IsaTable& isa_;
    int channels_;
    const float* weights_;      // (channels, points), caller's order
    std::int64_t points_;
    GroupSettings group_;
    bool grouped_;
    Block block_;
    std::int64_t cell_ = -1;    // that the block belongs to
    double centre_[3] = {0, 0, 0};
    int self_ = 0;              // the centre's place in the block
    double length_ = 1.0;       // unit of length of the current ball
    int count_ = 0;             // neighbours in the current ball
    int found_ = 0;             // neighbours of the current centre, before a scale-free ball is cut
    std::vector<int> place_;    // the ball in order, as points of the block
    std::vector<double> dx_, dy_, dz_, distance_;  // of the ball's points, as far as they are known
    std::vector<std::uint32_t> q_, key_, position_, rank_;
    std::vector<float> px_, py_, pz_, a_, length2_, w_;
    Floats points_of_group_, images_of_group_, one_, scratch_;
};

template <class Each>
const float* Describer::images(const std::int32_t* at, int count, Each&& each) {
    const int lanes = isa_.lanes, pixels = s_.size * s_.size;
    const auto wide = std::size_t(lanes);
    float* out = images_of_group_.room(std::size_t(std::max(pixels, group_words(s_.size, s_.ball))) * wide);
    float* points = points_of_group_.room(3 * std::size_t(s_.ball + 1) * wide);
    std::uint32_t single = 0;  // lanes whose ball is not a whole one
    for (int k = 0; k < lanes; ++k) {
        const int found = collect(at[std::min(k, count - 1)], s_.ball);
        if (k < count) each(k, described());
        float* p = points + k;
        p[0] = p[lanes] = p[2 * lanes] = 0.0f;
        if (!grouped_ || found < s_.ball) single |= 1u << k;
        const double scale = 1.0 / length_;
        for (int j = 0; j < s_.ball; ++j) {
            p += 3 * lanes;
            const auto i = std::size_t(j);  // behind a ball that is too small: anything
            p[0] = float(dx_[i] * scale);
            p[lanes] = float(dy_[i] * scale);
            p[2 * lanes] = float(dz_[i] * scale);
        }
    }
    if (grouped_) isa_.group(group_, points, out);
    for (int k = 0; single && k < count; ++k) {
        if (!(single >> k & 1u)) continue;
        float* image_of = one_.room(std::size_t(pixels));
        image(at[k], image_of);
        for (int i = 0; i < pixels; ++i) out[i * lanes + k] = image_of[i];
    }
    return out;
}

}  // namespace insitu
