// SPDX-License-Identifier: BSD-3-Clause
// The convolutional network of the Neighbors Map paper (Allera et al., arXiv:2307.00978, appendix A)
// for 32 x 32 images, in fp32. Its second and third layer, four fifths of the work, are computed by
// Winograd's minimal filtering F(4x4, 3x3) (Lavin and Gray, arXiv:1509.09308): a quarter of the
// multiplications, at a rounding of about 1e-5 of a feature.
//
// Compiled once for each instruction set and chosen at run time, like isa.hpp. Multiply and add are
// fused where the processor can, so the sets differ by rounding.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace insitu {

constexpr int kCnnSize = 32;     // rows and columns of an image
constexpr int kCnnHidden = 32;   // the dense layer's 24 features, padded
constexpr int kCnnClasses = 16;  // the classes are padded to a multiple of this
constexpr int kCnnGroup = 4;     // images that share one pass over the dense layer's weights

// Weights, a row of outputs for each input: (kernel row, kernel column, channel) x outputs. Winograd
// layers have their kernels transformed and their outputs in blocks: (block, 36, channels, 16). insitu/models/engines/cnn.py writes them.
struct CnnWeights {
    int channels = 1, classes = kCnnClasses;  // of an image; padded
    const float *w1, *b1;                     // (25 * channels, 16)
    const float *w2, *b2;                     // (2, 36, 16, 16)
    const float *w3, *b3;                     // (1, 36, 32, 16)
    const float *w4, *b4;                     // (9 * 16, 16)
    const float *w5, *b5;                     // (4 * 16, 32)
    const float *w6, *b6;                     // (512, 32), inputs as (row, column, channel)
    const float *w7, *b7;                     // (32, classes), batch norm folded in
};

// Floats that one thread needs, aligned to 64 bytes.
std::size_t cnn_scratch(int channels);

struct CnnTable {
    const char* name;
    // Unnormalised scores (n, classes) of n <= kCnnGroup images (n, channels, 32, 32). The scratch
    // is zero before its first use and keeps its zero borders.
    void (*scores)(const CnnWeights& weights, const float* images, int n, float* scratch,
                   float* out);
};

const CnnTable& cnn_plain();
#ifdef INSITU_X86
const CnnTable& cnn_avx2();
const CnnTable& cnn_avx512();
#endif
const CnnTable& cnn_choose(const std::string& isa);  // names as of isa_choose()

}  // namespace insitu
