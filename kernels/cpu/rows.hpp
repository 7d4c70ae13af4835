// SPDX-License-Identifier: BSD-3-Clause
// Rows of columns in a text, as LAMMPS' dumps have them.
#pragma once

#include <cstdint>

namespace insitu {

enum class Column : std::uint8_t { skip = 0, number = 1, word = 2 };

// Characters of a word that are kept.
constexpr int word_width = 32;

struct RowsRead {
    std::int64_t rows = 0;   // complete ones: a row ends with its newline
    std::int64_t bytes = 0;  // that they take
    int column = -1;         // of the row behind them, in which something is wrong; -1: it is not there
};

// Reads at most `most` rows. `numbers` (most, columns of numbers) and `words` (most, columns of words,
// word_width), which are filled with zeros behind their ends.
RowsRead read_rows(const char* text, std::int64_t length, std::int64_t most, const Column* columns,
                   int n_columns, double* numbers, char* words);

}  // namespace insitu
