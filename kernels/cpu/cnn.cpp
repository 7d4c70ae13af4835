// SPDX-License-Identifier: BSD-3-Clause
// The paper's network over a batch of images, and its Python class.
#include "cnn.hpp"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#ifdef _OPENMP
#include <omp.h>
#else
static int omp_get_thread_num() { return 0; }
#endif

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <new>
#include <stdexcept>
#include <vector>

#include "cpu.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace insitu {

const CnnTable& cnn_choose(const std::string& isa) {
    const std::string name = isa_choose(isa).name;
#ifdef INSITU_X86
    if (__builtin_cpu_supports("fma")) {
        if (name == "avx512") return cnn_avx512();
        if (name == "avx2") return cnn_avx2();
    }
#endif
    return cnn_plain();
}

namespace {

struct Free {
    void operator()(float* p) const { std::free(p); }
};
using Aligned = std::unique_ptr<float, Free>;

Aligned zeros(std::size_t floats) {
    const std::size_t bytes = (4 * floats + 63) / 64 * 64;
    auto* p = static_cast<float*>(std::aligned_alloc(64, bytes));
    if (!p) throw std::bad_alloc();
    std::fill_n(p, bytes / 4, 0.0f);
    return Aligned(p);
}

class CnnEngine {
  public:
    using Weights = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
    using Images = nb::ndarray<const float, nb::ndim<4>, nb::c_contig, nb::device::cpu>;
    using Result = nb::ndarray<float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

    // `weights` holds the arrays of CnnWeights one after the other.
    CnnEngine(Weights weights, int channels, int classes, const std::string& isa)
        : held_(zeros(weights.shape(0))), table_(cnn_choose(isa)) {
        if (channels < 1 || classes < 1 || classes % kCnnClasses)
            throw std::invalid_argument("the network's classes are not padded, or it has no channel");
        std::copy_n(weights.data(), weights.shape(0), held_.get());
        w_.channels = channels;
        w_.classes = classes;
        std::size_t used = 0;
        const auto take = [&](const float*& pointer, int rows, int columns) {
            pointer = held_.get() + used;
            used += std::size_t(rows) * std::size_t(columns);
        };
        const int rows[] = {25 * channels, 36 * 16, 36 * 32, 9 * 16, 4 * 16, 512, kCnnHidden};
        const int columns[] = {16, 32, 16, 16, 32, kCnnHidden, classes};
        const float** layer[] = {&w_.w1, &w_.b1, &w_.w2, &w_.b2, &w_.w3, &w_.b3, &w_.w4,
                                 &w_.b4, &w_.w5, &w_.b5, &w_.w6, &w_.b6, &w_.w7, &w_.b7};
        for (int k = 0; k < 7; ++k) {
            take(*layer[2 * k], rows[k], columns[k]);
            take(*layer[2 * k + 1], 1, columns[k]);
        }
        if (used != weights.shape(0))
            throw std::invalid_argument("the weights do not fit the network");
    }

    const char* isa() const { return table_.name; }

    // Class probabilities (n, C) of images (n, channels, 32, 32). Images do not depend on each other:
    // the number of threads changes no bit.
    void probabilities(Images images, Result out, int threads) {
        if (int(images.shape(1)) != w_.channels || int(images.shape(2)) != kCnnSize ||
            int(images.shape(3)) != kCnnSize || images.shape(0) != out.shape(0) ||
            int(out.shape(1)) > w_.classes)
            throw std::invalid_argument("images or probabilities do not have the network's shape");
        const auto n = std::int64_t(images.shape(0));
        const auto groups = (n + kCnnGroup - 1) / kCnnGroup;
        const int used = int(std::max<std::int64_t>(1, std::min<std::int64_t>(threads, groups)));
        nb::gil_scoped_release free;
        const std::lock_guard<std::mutex> alone(busy_);  // the scratch is one call's
        const auto words = std::size_t(kCnnGroup) * std::size_t(w_.classes) +
                           cnn_scratch(w_.channels);  // scores, then what the layers need
        while (int(scratch_.size()) < used) scratch_.push_back(zeros(words));
        const auto group = [&](std::int64_t g, float* scratch) {
            const auto from = g * kCnnGroup;
            some(images.data(), from, int(std::min<std::int64_t>(kCnnGroup, n - from)), scratch,
                 out.data(), int(out.shape(1)));
        };
        if (used == 1) {  // no thread is made: LAMMPS may run one rank a core
            for (std::int64_t g = 0; g < groups; ++g) group(g, scratch_[0].get());
            return;
        }
#pragma omp parallel num_threads(used)
        {
            float* scratch = scratch_[std::size_t(omp_get_thread_num())].get();
#pragma omp for schedule(dynamic, 1)  // a thread whose core is taken does less
            for (std::int64_t g = 0; g < groups; ++g) group(g, scratch);
        }
    }

  private:
    void some(const float* images, std::int64_t from, int n, float* scratch, float* out,
              int classes) const {
        float* scores = scratch;
        scratch += kCnnGroup * w_.classes;
        table_.scores(w_, images + from * w_.channels * kCnnSize * kCnnSize, n, scratch, scores);
        for (int i = 0; i < n; ++i) {
            const float* s = scores + i * w_.classes;
            float* to = out + (from + i) * classes;
            const float top = *std::max_element(s, s + classes);
            float sum = 0.0f;
            for (int c = 0; c < classes; ++c) sum += to[c] = std::exp(s[c] - top);
            for (int c = 0; c < classes; ++c) to[c] /= sum;
        }
    }

    Aligned held_;
    const CnnTable& table_;
    CnnWeights w_{};
    std::vector<Aligned> scratch_;  // one a thread
    std::mutex busy_;
};

}  // namespace

void bind_cnn(nb::module_& m) {
    nb::class_<CnnEngine>(m, "CnnEngine")
        .def(nb::init<CnnEngine::Weights, int, int, const std::string&>(), "weights"_a, "channels"_a,
             "classes"_a, "isa"_a = "")
        .def_prop_ro("isa", &CnnEngine::isa)
        .def("probabilities", &CnnEngine::probabilities, "images"_a, "out"_a.noconvert(),
             "threads"_a = 1);
}

}  // namespace insitu
