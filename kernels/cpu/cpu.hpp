// SPDX-License-Identifier: BSD-3-Clause
// CPU driver: neighbour search, order of the ball, and the image, for groups of centres.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "block.hpp"

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

class Describer {
  public:
    Describer(const CellList& cells, const DescriptorSettings& settings, const IsaTable& isa,
              int channels, const float* weights, std::int64_t points);

    // Finds the neighbours of a group of up to isa.lanes centres at places of the cell order, so
    // that image() can take them one by one, or images() all together.
    void search(const std::int32_t* at, int count);

    // Image of centre k of the group; returns the number of its neighbours. Scale-free: those found,
    // up to the larger of `ball` and `local`, so that a caller can tell whether the search was wide
    // enough for both.
    int image(int k, float* out);

    // Images (size * size, isa.lanes) of the group in an array that the next call overwrites.
    // `each(k, found)` is called while centre k is the last one, for nearest().
    template <class Each>
    const float* images(Each&& each);

    // Places of the first `most` neighbours of the last centre that lie within `radius`; returns their
    // number. `whole`: none of a shell of equal distances of which not all are among the first.
    int nearest(int most, double radius, std::int32_t* places, bool whole = true) const;

    // Neighbours of centre k of the group in order (equal distances by id), up to `ball`; returns their
    // number. Of them, until the next call: place, displacement and distance; and the unit of length.
    int neighbors(int k) { return collect(k, s_.ball, false); }
    std::int32_t place(int i) const {
        return block_->place[std::size_t(place_[i])];
    }
    const double* displacement(int axis) const {
        return (axis == 0 ? dx_ : axis == 1 ? dy_ : dz_).data();
    }
    const double* distances() const { return distance_.data(); }
    double length() const { return length_; }

    // The nearest neighbours of centre k of the group, up to `most` and kMostSorted, in single precision:
    // displacements, nowhere after the last up to a multiple of kMostLanes; equally far ones in any order.
    // Returns their number; place() tells which they are.
    int nearest_of(int k, int most, float* x, float* y, float* z);

    // The ordered ball of a centre: places in cell order; returns their number. Equal distances by id,
    // but if it is scale-free.
    int ball(std::int32_t at, std::vector<std::int32_t>& places);

  private:
    struct Centre {
        double r[3];
        float near[3];  // from the block's origin
        int self;       // its place in the block
        int block;      // of the group's blocks
        int count;
        bool keyed;     // whether its neighbours are keys, else points in order of distance
    };

    void place_centre(Centre& c, std::int32_t at, int block);
    void gather_blocks(const std::int32_t* at, int count);
    Doubts order_together(double widened, int most);
    int take(int k, int many);
    int collect(int k, int keep, bool by_geometry = true);
    void room(int points);
    void displace(int first, int last);
    void measure(int count);
    bool nearest_known(int many, double unseen) const;
    void sort_by_distance(int count);
    int search_exactly(const Centre& c, std::uint32_t* points);
    std::uint32_t* keys_of(int k) { return keys_.data() + std::size_t(k) * std::size_t(stride_); }
    int described() const {
        return s_.scale_free ? std::min(found_, std::max(s_.ball, s_.local)) : found_;
    }
    void order_ties(int count, double inverse_quantum);
    bool before(int a, int b, double inverse_quantum) const;
    void order_by_geometry(int count, int keep, double inverse_quantum);
    void end_ball(int count, double inverse_quantum);
    void permute(int first);
    void order_shell(int first, int last, int members, double inverse_quantum);
    void color(int count);

    const CellList& cells_;
    DescriptorSettings s_;
    const IsaTable& isa_;
    int channels_;
    const float* weights_;      // (channels, points), caller's order
    std::int64_t points_;
    GroupSettings group_;
    bool grouped_;
    std::vector<Block> blocks_;           // of the cells that the group's centres lie in
    std::vector<std::int64_t> cells_of_;  // and these cells
    int used_ = 0;                        // how many of them are
    Centre group_of_[kMostLanes];
    int members_ = 0;                     // centres of the group
    const Centre* centre_ = nullptr;      // the last one
    const Block* block_ = nullptr;        // and its block
    int stride_ = 0;                      // of the keys
    int slot_bits_ = 0;
    double noise_ = 0.0;                  // what a squared distance in floats is wrong by, at most
    double unit_ = 1.0;                   // of the keys' squared distances
    bool sorted_known_ = false;
    std::uint32_t doubts_ = ~0u;          // centres about whose ball floats leave a doubt
    double length_ = 1.0;       // unit of length of the current ball
    int count_ = 0;             // neighbours in the current ball
    int found_ = 0;             // neighbours of the current centre, before a scale-free ball is cut
    bool tied_ = false;         // whether equal distances may be among them; then q_ is known of all
    std::vector<int> slots_;    // the centre and the ball in order, as points of the block
    int* place_ = nullptr;      // the ball among them
    std::vector<double> squares_, dx_, dy_, dz_, distance_;  // of the ball's points, as far as they are known
    std::vector<std::uint32_t> q_, key_, position_, keys_, rank_, mark_;
    std::vector<std::uint32_t> between_;  // rounded distances of the ball's points to each other
    std::vector<std::uint64_t> tie_keys_;
    std::vector<std::uint32_t> seen_;
    std::vector<int> order_;
    std::vector<double> permuted_;
    std::vector<float> w_;
    Floats px_, py_, pz_, a_, points_of_group_, images_of_group_, one_, scratch_, column_, sorted_;
};

template <class Each>
const float* Describer::images(Each&& each) {
    const int lanes = isa_.lanes, pixels = s_.size * s_.size;
    const auto wide = std::size_t(lanes);
    float* out = images_of_group_.room(std::size_t(std::max(pixels, group_words(s_.size, s_.ball))) * wide);
    float* points = points_of_group_.room(3 * std::size_t(s_.ball + 1) * wide);
    std::uint32_t single = 0;  // lanes whose ball is not a whole one
    for (int k = 0; k < lanes; ++k) {
        float* p = points + k;
        p[0] = p[lanes] = p[2 * lanes] = 0.0f;
        double scale = 0.0;  // lanes without a centre: anything finite
        if (k < members_) {
            const int found = collect(k, s_.ball);
            each(k, described());
            if (!grouped_ || found < s_.ball) single |= 1u << k;
            else scale = 1.0 / length_;
        }
        for (int j = 0; j < s_.ball; ++j) {
            p += 3 * lanes;
            const auto i = std::size_t(j);
            p[0] = scale > 0.0 ? float(dx_[i] * scale) : 0.0f;
            p[lanes] = scale > 0.0 ? float(dy_[i] * scale) : 0.0f;
            p[2 * lanes] = scale > 0.0 ? float(dz_[i] * scale) : 0.0f;
        }
    }
    if (grouped_) isa_.group(group_, points, out);
    for (int k = 0; single && k < members_; ++k) {
        if (!(single >> k & 1u)) continue;
        float* image_of = one_.room(std::size_t(pixels));
        image(k, image_of);
        for (int i = 0; i < pixels; ++i) out[i * lanes + k] = image_of[i];
    }
    return out;
}

}  // namespace insitu
