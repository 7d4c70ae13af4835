// SPDX-License-Identifier: BSD-3-Clause
// What the device's kernels need of a block's shared memory: counted here, once, for the kernels and for
// whoever launches them (the module `_kernels` tells Python).
#pragma once

#include "edge_conv.hpp"
#include "graph.hpp"

namespace insitu {

// Of a warp, for each entry of its ball: distance, key and two places; with an image, also three
// coordinates and two ranks. And the image on its way out, without bank conflicts [floats].
constexpr int kBallBytes = 8 + 4 + 2 * 4;
constexpr int kMapBytes = 3 * 4 + 2 * 4;
constexpr int kWarpRows = 32;  // of an image that a warp makes: a lane has one
constexpr int kTileWords = kWarpRows * (kWarpRows + 1);

// Of a tile, for each atom [floats]: an image's row without bank conflicts,
INSITU_HD constexpr int image_stride(int pixels) { return pixels | 1; }
// a ball with its centre, then the hidden layer in its place,
INSITU_HD constexpr int ball_words(int ball) { return 3 * (ball + 1); }
INSITU_HD constexpr int embed_words(int pixels, int hidden, int ball) {
    return image_stride(pixels) + (hidden > ball_words(ball) ? hidden : ball_words(ball));
}
// and the power spectra with their work. In a layer it is graph_words() and edge_words().
INSITU_HD int spectra_tile_words(const Spectra& s) { return s.values() + s.words(); }

}  // namespace insitu
