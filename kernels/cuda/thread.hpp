// SPDX-License-Identifier: BSD-3-Clause
// Which thread of a launch this is, and the shared memory of its block.
#pragma once

#include "../core/config.hpp"

extern __shared__ unsigned char insitu_shared[];  // of the size given at launch

namespace insitu {

INSITU_HD std::int64_t thread_number() {
    return std::int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
}

}  // namespace insitu
