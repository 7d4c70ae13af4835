// SPDX-License-Identifier: BSD-3-Clause
// Functions that libstdc++.so has since GCC 11, made of what it had before: a module that was built with a new compiler
// also loads where the library is that of GCC 8 (manylinux_2_28).
#include <exception>
#include <new>

#if defined(__GLIBCXX__) && _GLIBCXX_RELEASE >= 11
#define INSITU_NAMED(symbol) __asm__(symbol) __attribute__((visibility("hidden")))

// The end of a std::exception_ptr is an inline function by now; the library has it all the same. By its version, since
// an inline copy of it calls what is defined here.
__asm__(".symver insitu_library_end, _ZNSt15__exception_ptr13exception_ptrD1Ev@CXXABI_1.3.3");

extern "C" {

void insitu_library_end(void** of);
void insitu_library_make(void** to, void* exception) // exception_ptr(void*), which counts one more
    __asm__("_ZNSt15__exception_ptr13exception_ptrC1EPv");

void insitu_hold(void** of) INSITU_NAMED("_ZNSt15__exception_ptr13exception_ptr9_M_addrefEv");
void insitu_drop(void** of) INSITU_NAMED("_ZNSt15__exception_ptr13exception_ptr10_M_releaseEv");
[[noreturn]] void insitu_bad_length() INSITU_NAMED("_ZSt28__throw_bad_array_new_lengthv");

void insitu_hold(void** of) {
    void* counted;
    insitu_library_make(&counted, *of);
}

void insitu_drop(void** of) {
    insitu_library_end(of);
    *of = nullptr;
}

void insitu_bad_length() { throw std::bad_array_new_length(); }
}
#endif
