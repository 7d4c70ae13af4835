// SPDX-License-Identifier: BSD-3-Clause
#include "rows.hpp"

#include <cstring>

#include "numbers.hpp"

namespace insitu {

namespace {

bool blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

}  // namespace

RowsRead read_rows(const char* text, std::int64_t length, std::int64_t most, const Column* columns,
                   int n_columns, double* numbers, char* words) {
    int n_numbers = 0, n_words = 0;
    for (int c = 0; c < n_columns; ++c) {
        n_numbers += columns[c] == Column::number;
        n_words += columns[c] == Column::word;
    }
    RowsRead found;
    const char* at = text;
    const char* const end = text + length;
    while (found.rows < most) {
        const auto* stop = static_cast<const char*>(std::memchr(at, '\n', std::size_t(end - at)));
        if (!stop) return found;  // the rest of this row has not come yet
        double* number = numbers + found.rows * n_numbers;
        char* word = words + found.rows * n_words * word_width;
        for (int c = 0; c < n_columns; ++c) {
            while (at < stop && blank(*at)) ++at;
            const char* const first = at;
            if (columns[c] == Column::number) {
                if (at + 1 < stop && *at == '+' && at[1] != '-') ++at;
                const char* const last = read_number(at, stop, *number);
                if (!last || (last != stop && !blank(*last))) {
                    found.column = c;
                    return found;
                }
                at = last;
                ++number;
                continue;
            }
            while (at < stop && !blank(*at)) ++at;
            if (at == first) {
                found.column = c;
                return found;
            }
            if (columns[c] == Column::word) {
                const auto size = std::size_t(at - first);
                if (size > std::size_t(word_width)) {
                    found.column = c;
                    return found;
                }
                std::memcpy(word, first, size);
                std::memset(word + size, 0, std::size_t(word_width) - size);
                word += word_width;
            }
        }
        while (at < stop && blank(*at)) ++at;
        if (at != stop) {
            found.column = n_columns;
            return found;
        }
        at = stop + 1;
        ++found.rows;
        found.bytes = at - text;
    }
    return found;
}

}  // namespace insitu
