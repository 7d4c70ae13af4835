// SPDX-License-Identifier: BSD-3-Clause
// CPU driver: neighbour search, ordering of the ball, and the image, for a batch of centres.
#pragma once

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

class Describer {
  public:
    Describer(const CellList& cells, const DescriptorSettings& settings, const IsaTable& isa,
              int channels, const float* weights, std::int64_t points);

    // Image of the centre at place `at` of the cell order; returns the number of its neighbours.
    // Scale-free: those found, up to the larger of `ball` and `local`, so that a caller can tell
    // whether the search was wide enough for both.
    int image(std::int32_t at, float* out);

    // Places of the first `most` neighbours of the last image's centre that lie within `radius`;
    // returns their number.
    int nearest(int most, double radius, std::int32_t* places) const;

    // The ordered ball of that centre: places in cell order; returns their number.
    int ball(std::int32_t at, std::vector<std::int32_t>& places, std::vector<double>& length2);

  private:
    int collect(std::int32_t at);
    void sort_ties(int count, double inverse_quantum);
    bool before(int a, int b, double inverse_quantum) const;
    void color(std::int32_t at, int count);

    const CellList& cells_;
    DescriptorSettings s_;
    const IsaTable& isa_;
    int channels_;
    const float* weights_;      // (channels, points), caller's order
    std::int64_t points_;
    double length_ = 1.0;       // unit of length of the current ball
    int count_ = 0;             // neighbours in the current ball
    int found_ = 0;             // neighbours of the current centre, before a scale-free ball is cut
    std::vector<double> x_, y_, z_, d2_, sorted2_;
    std::vector<std::int32_t> at_;
    std::vector<std::uint32_t> q_, key_, position_, rank_;
    std::vector<int> place_;    // order of the ball, into the arrays above
    std::vector<float> px_, py_, pz_, a_, w_;
    std::vector<unsigned char> scratch_;
};

}  // namespace insitu
