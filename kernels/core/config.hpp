// SPDX-License-Identifier: BSD-3-Clause
// What every kernel header shares: the host/device macro, and the constants of the definition
// that the CPU and the CUDA build must have in common.
#pragma once

#define INSITU_PRAGMA(words) _Pragma(#words)
#if defined(__CUDACC__) || defined(__CUDACC_RTC__)
#define INSITU_HD __device__ __forceinline__
#define INSITU_RARE static __device__ __noinline__  // keeps its registers to itself
#define INSITU_UNROLL(n) INSITU_PRAGMA(unroll n)
#else
#define INSITU_HD inline __attribute__((always_inline))
#define INSITU_RARE inline
#define INSITU_UNROLL(n) INSITU_PRAGMA(GCC unroll n)
#endif

#ifdef __CUDACC_RTC__  // the run-time compiler has no headers
namespace std {
using int32_t = int;
using uint32_t = unsigned int;
using int64_t = long long;
using uint64_t = unsigned long long;
}  // namespace std
#else
#include <cstdint>
#include <cstring>
#endif

namespace insitu {

using Size = decltype(sizeof(0));

// Distances that differ by less than this part of the local length count as equal: the order of a
// shell of equal distances is then decided by atom id, not by rounding noise, and so does not
// depend on the number of ranks.
constexpr double kTie = 1e-5;

// Where the grid of rounded distances lies: floor(d / quantum + kRound). Not 1/2: a lattice constant
// such as 3.00003 would then put whole shells on a limit between two grid points, for the rounding
// noise of their periodic images to take apart. No short decimal lies at a limit of this grid.
constexpr double kRound = 0.473906417;

// Squared distance at which a pixel stops growing (0.01 length units): two atoms on one spot, as in
// a random start, give a finite image.
constexpr float kMinSquaredDistance = 1e-4f;

// Widths of a network and lengths of arrays are padded to this many: the widest vector of floats.
constexpr int kMostLanes = 16;

// Where a point is that is nobody's neighbour; its square is finite.
constexpr float kNowhere = 1e18f;

// An atom, or a periodic image of one.
struct alignas(32) Point {
    double r[3];
    std::int64_t id;
};

}  // namespace insitu
