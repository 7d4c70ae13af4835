// SPDX-License-Identifier: BSD-3-Clause
// CUDA's thread layout on a CPU: blocks one after the other, each thread of a block a fibre that runs
// until it has to wait for others. A warp's collectives wait for the lanes of their mask, and end the
// program if the lanes stand at different ones, or if nobody can go on. Between two barriers the
// threads run in one order or its reverse, so that a barrier that is missing shows. Shared memory
// starts with rubbish in every block.
#pragma once

#include <csetjmp>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <tuple>
#include <ucontext.h>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __shared__

struct Index {
    unsigned x = 0, y = 0, z = 0;
};
inline Index threadIdx, blockIdx, blockDim, gridDim;
alignas(16) unsigned char insitu_shared[1 << 18];

namespace emulation {

constexpr int kLanes = 32;
constexpr std::size_t kStack = 1 << 16;

struct Fibre {
    ucontext_t first;
    jmp_buf at;
    bool started = false, done = false;
};

struct Warp {
    int arrived = 0, left = 0, what = 0;
    std::uint64_t value[kLanes];
};

inline std::vector<Fibre> fibres;
inline std::vector<Warp> warps;
inline std::vector<unsigned char> stacks;
inline jmp_buf scheduler;
inline int current = 0, alive = 0, waiting = 0, generation = 0;
inline std::uint64_t progress = 0;
inline bool reversed = false;
inline void (*body)(void*) = nullptr;
inline void* argument = nullptr;

[[noreturn]] inline void fail(const char* what) {
    std::fprintf(stderr, "emulation: block %u, thread %u: %s\n", blockIdx.x, threadIdx.x, what);
    std::abort();
}

inline void yield() {
    if (_setjmp(fibres[std::size_t(current)].at) == 0) _longjmp(scheduler, 1);
}

inline void begin() {
    body(argument);
    fibres[std::size_t(current)].done = true;
    --alive;
    ++progress;
    _longjmp(scheduler, 1);
}

// All lanes that live leave a value and go on when the last has.
inline Warp& gather(int what, unsigned mask, std::uint64_t value) {
    const int lane = int(threadIdx.x) % kLanes, lanes = __builtin_popcount(mask);
    Warp& w = warps[threadIdx.x / kLanes];
    if (!(mask >> lane & 1u)) fail("a lane outside of its own mask");
    while (w.left) yield();  // of the collective before
    if (w.arrived && w.what != what) fail("lanes of a warp stand at different collectives");
    w.what = what;
    w.value[lane] = value;
    ++progress;
    if (++w.arrived == lanes) {
        w.arrived = 0;
        w.left = lanes;
    } else {
        while (!w.left) yield();
    }
    return w;
}

inline void leave(Warp& w) {
    --w.left;
    ++progress;
}

template <class T>
T exchange(int what, unsigned mask, T value, int from) {
    std::uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof(T));
    Warp& w = gather(what, mask, bits);
    T other;
    std::memcpy(&other, &w.value[from & (kLanes - 1)], sizeof(T));
    leave(w);
    while (w.left) yield();  // the values are still read
    return other;
}

inline unsigned vote(int what, unsigned mask, bool in) {
    Warp& w = gather(what, mask, in);
    unsigned votes = 0;
    for (unsigned lane = 0; lane < unsigned(kLanes); ++lane)
        if (mask >> lane & 1u) votes |= unsigned(w.value[lane] != 0) << lane;
    leave(w);
    while (w.left) yield();
    return votes;
}

inline void run_block(int threads) {
    fibres.assign(std::size_t(threads), Fibre());
    warps.assign(std::size_t((threads + kLanes - 1) / kLanes), Warp());
    stacks.resize(std::size_t(threads) * kStack);
    std::memset(insitu_shared, 0xa5, sizeof(insitu_shared));
    alive = threads;
    waiting = 0;
    while (alive) {
        const std::uint64_t before = progress;
        for (int k = 0; k < threads; ++k) {
            current = reversed ? threads - 1 - k : k;
            Fibre& f = fibres[std::size_t(current)];
            if (f.done) continue;
            threadIdx.x = unsigned(current);
            if (_setjmp(scheduler) != 0) continue;
            if (f.started) _longjmp(f.at, 1);
            f.started = true;
            getcontext(&f.first);
            f.first.uc_stack.ss_sp = &stacks[std::size_t(current) * kStack];
            f.first.uc_stack.ss_size = kStack;
            f.first.uc_link = nullptr;
            makecontext(&f.first, begin, 0);
            setcontext(&f.first);
        }
        if (alive && waiting == alive) {  // all stand at __syncthreads
            waiting = 0;
            ++generation;
            ++progress;
        }
        if (progress == before) fail("no thread can go on: some wait at a barrier that others never reach");
    }
}

template <class... A, std::size_t... I>
void call(void (*kernel)(A...), void** args, std::index_sequence<I...>) {
    kernel(*static_cast<A*>(args[I])...);
}

// Calls kernel(*args...) for every thread; args are pointers as those of cudaLaunchKernel.
template <class... A>
void launch(void (*kernel)(A...), int blocks, int threads, void** args) {
    static std::tuple<void (*)(A...), void**> both;
    both = {kernel, args};
    argument = &both;
    body = [](void* given) {
        auto& [k, a] = *static_cast<std::tuple<void (*)(A...), void**>*>(given);
        call(k, a, std::index_sequence_for<A...>());
    };
    gridDim.x = unsigned(blocks);
    blockDim.x = unsigned(threads);
    for (int block = 0; block < blocks; ++block) {
        blockIdx.x = unsigned(block);
        run_block(threads);
    }
}

}  // namespace emulation

inline void __syncthreads() {
    const int mine = emulation::generation;
    ++emulation::waiting;
    ++emulation::progress;
    while (emulation::generation == mine) emulation::yield();
}
inline unsigned __ballot_sync(unsigned mask, bool in) { return emulation::vote(1, mask, in); }
inline int __any_sync(unsigned mask, bool in) { return emulation::vote(2, mask, in) != 0; }
inline void __syncwarp(unsigned mask = 0xffffffffu) { emulation::vote(3, mask, true); }
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int step) {
    return emulation::exchange(4, mask, value, (int(threadIdx.x) % emulation::kLanes) ^ step);
}
template <class T>
T __shfl_sync(unsigned mask, T value, int from) {
    return emulation::exchange(5, mask, value, from);
}
inline int __popc(unsigned v) { return __builtin_popcount(v); }
template <class T>
T atomicAdd(T* at, T value) {
    const T before = *at;
    *at += value;
    return before;
}
inline int atomicMax(int* at, int value) {
    const int before = *at;
    *at = before < value ? value : before;
    return before;
}
inline double __dadd_rn(double a, double b) { return a + b; }
inline double __dsub_rn(double a, double b) { return a - b; }
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __dsqrt_rn(double a) { return std::sqrt(a); }
inline float __fdividef(float a, float b) { return a / b; }
using std::floor;
