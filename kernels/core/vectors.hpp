// SPDX-License-Identifier: BSD-3-Clause
// The vectors of the instruction set that a file is compiled for, in a namespace of its own: what two
// files compile differently must not have one name.
#pragma once

#include <cstdint>

#include "config.hpp"

#define INSITU_JOIN2(a, b) a##b
#define INSITU_JOIN(a, b) INSITU_JOIN2(a, b)
#define INSITU_NAMESPACE INSITU_JOIN(isa_of_, INSITU_ISA)
#define INSITU_TEXT2(isa) #isa
#define INSITU_TEXT(isa) INSITU_TEXT2(isa)

namespace insitu {
namespace INSITU_NAMESPACE {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX2__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif
static_assert(kLanes <= kMostLanes, "the caller pads for kMostLanes");
typedef float F __attribute__((vector_size(4 * kLanes)));
typedef std::uint32_t U __attribute__((vector_size(4 * kLanes)));

}  // namespace INSITU_NAMESPACE
}  // namespace insitu
