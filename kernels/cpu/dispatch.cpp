// SPDX-License-Identifier: BSD-3-Clause
// Which instruction sets this processor has, and which one is used.
#include <cstdlib>
#include <stdexcept>

#include "cpu.hpp"

namespace insitu {

namespace {

std::vector<const IsaTable*> tables() {
    std::vector<const IsaTable*> found;
#ifdef INSITU_X86
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        found.push_back(&isa_avx512());
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) found.push_back(&isa_avx2());
#endif
    found.push_back(&isa_plain());
    return found;
}

}  // namespace

std::vector<std::string> isa_available() {
    std::vector<std::string> names;
    for (const IsaTable* t : tables()) names.emplace_back(t->name);
    return names;
}

const IsaTable& isa_choose(const std::string& name) {
    std::string wanted = name;
    if (wanted.empty() || wanted == "auto") {
        const char* env = std::getenv("INSITU_ISA");
        wanted = env ? env : "";
    }
    const auto all = tables();
    if (wanted.empty() || wanted == "auto") return *all.front();
    std::string text;
    for (const IsaTable* t : all) {
        if (wanted == t->name) return *t;
        text += std::string(text.empty() ? "" : ", ") + t->name;
    }
    throw std::invalid_argument("instruction set '" + wanted + "' (argument isa or variable " +
                                "INSITU_ISA) is not available here; this machine has: " + text);
}

}  // namespace insitu
