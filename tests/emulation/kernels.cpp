// SPDX-License-Identifier: BSD-3-Clause
// The device's kernels for a CPU that plays CUDA's threads; tests/emulated_device.py calls launch().
#include "threads.hpp"

#include "cuda/kernels.cu"

#define INSITU_ENTRY(kernel) \
    if (std::strcmp(name, #kernel) == 0) return emulation::launch(kernel, blocks, threads, args), 0

extern "C" int launch(const char* name, int blocks, int threads, int shared, int reversed, void** args) {
    if (std::size_t(shared) > sizeof(insitu_shared)) return 2;
    emulation::reversed = reversed != 0;
    INSITU_ENTRY(cell_keys);
    INSITU_ENTRY(cell_runs);
    INSITU_ENTRY(owned_places);
    INSITU_ENTRY(graph_balls);
    INSITU_ENTRY(graph_embed);
    INSITU_ENTRY(graph_convolve);
    INSITU_ENTRY(edge_balls);
    INSITU_ENTRY(edge_spectra);
    INSITU_ENTRY(edge_convolve);
    INSITU_ENTRY(neighbors_maps);
    INSITU_ENTRY(phase_labels);
    return 1;
}
