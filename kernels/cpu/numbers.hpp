// SPDX-License-Identifier: BSD-3-Clause
// Decimal numbers in a text, correctly rounded and whatever the locale is: std::from_chars, which only libraries of
// GCC 11 and later have.
#pragma once

#include <cfloat>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <locale.h>
#include <string>

namespace insitu {

// digits times ten to the exponent, if that can be had at once.
inline bool exact_parts(std::uint64_t digits, int exponent, double& value) {
    static constexpr double tens[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                      1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    if (exponent < -22 || exponent > 22) return false;
    if (!(digits >> 53)) {  // both are doubles: one rounding
        const auto whole = static_cast<double>(digits);
        value = exponent < 0 ? whole / tens[-exponent] : whole * tens[exponent];
        return true;
    }
#if LDBL_MANT_DIG == 64
    // One rounding to 64 bits, and one to a double: another result than that of one rounding only where the bits
    // behind the double's lie in the middle.
    const auto whole = static_cast<long double>(digits);
    const long double result = exponent < 0 ? whole / tens[-exponent] : whole * tens[exponent];
    std::uint64_t bits;
    std::memcpy(&bits, &result, sizeof bits);
    const auto behind = bits & 0x7ff;
    if (behind < 0x3ff || behind > 0x401) {
        value = static_cast<double>(result);
        return true;
    }
#endif
    return false;
}

// Reads the number that begins at `at`; returns where it ends, or null if none begins there. What is too small or too
// large for a double is 0 or infinite, as strtod has it.
inline const char* read_number(const char* at, const char* stop, double& value) {
    const auto digit = [stop](const char* c) { return c < stop && unsigned(*c - '0') < 10; };
    const char* const first = at;
    const bool negative = at < stop && *at == '-';
    at += negative;
    const char* const whole = at;
    std::uint64_t digits = 0;
    while (at < stop && *at == '0') ++at;
    const char* from = at;  // the first digit that counts
    for (; digit(at); ++at) digits = digits * 10 + std::uint64_t(*at - '0');
    auto known = at - from;
    bool any = at > whole;
    int exponent = 0;
    if (at < stop && *at == '.') {
        const char* const point = ++at;
        if (!known)
            while (at < stop && *at == '0') ++at;
        from = at;
        for (; digit(at); ++at) digits = digits * 10 + std::uint64_t(*at - '0');
        known += at - from;
        any = any || at > point;
        exponent = int(point - at);
    }
    if (any && at < stop && (*at == 'e' || *at == 'E')) {
        const char* power = at + 1;
        const bool down = power < stop && *power == '-';
        power += power < stop && (*power == '-' || *power == '+');
        if (digit(power)) {
            int read = 0;
            for (; digit(power); ++power)
                if (read < 100000) read = read * 10 + (*power - '0');
            exponent += down ? -read : read;
            at = power;
        }
    }
    if (any && known <= 19 && exact_parts(digits, exponent, value)) {
        if (negative) value = -value;
        return at;
    }
    if (!any) {  // an infinite number, or none
        at = first + negative;
        if (at == stop || !std::strchr("iInN", *at)) return nullptr;
        at = stop;
    }
    static const locale_t point = newlocale(LC_NUMERIC_MASK, "C", nullptr);
    const std::string text(first, at);
    char* end;
    value = strtod_l(text.c_str(), &end, point);
    return end == text.c_str() ? nullptr : first + (end - text.c_str());
}

}  // namespace insitu
