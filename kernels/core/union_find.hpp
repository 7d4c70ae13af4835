// SPDX-License-Identifier: BSD-3-Clause
// Union-find over atoms that remembers, across periodic borders, by how many periods of the box an atom
// has to be moved to lie in one piece with the root of its tree.
#pragma once

#include <cstdint>

namespace insitu {

// Position of a node in the frame of its parent: its own, moved by `periods`.
struct Node {
    std::int32_t parent;
    std::int32_t periods[3];
};

struct Forest {
    Node* nodes;
    std::uint8_t* wraps;  // bits of the directions in which the tree of a root meets its own image

    // The root of a node, which afterwards hangs on it directly.
    std::int32_t find(std::int32_t x) const {
        std::int32_t root = x, sum[3] = {0, 0, 0};
        while (nodes[root].parent != root) {
            for (int a = 0; a < 3; ++a) sum[a] += nodes[root].periods[a];
            root = nodes[root].parent;
        }
        while (x != root) {
            Node& n = nodes[x];
            const std::int32_t next = n.parent;
            n.parent = root;
            for (int a = 0; a < 3; ++a) {
                const std::int32_t own = n.periods[a];
                n.periods[a] = sum[a];
                sum[a] -= own;
            }
            x = next;
        }
        return root;
    }

    // Joins a with that image of b that lies `periods` from where b is. The lower node is the root.
    void join(std::int32_t a, std::int32_t b, const std::int32_t* periods) const {
        const std::int32_t root = find(a), other = find(b);
        std::int32_t apart[3];
        for (int k = 0; k < 3; ++k)
            apart[k] = periods[k] + nodes[a].periods[k] - nodes[b].periods[k];
        if (root == other) {
            for (int k = 0; k < 3; ++k)
                if (apart[k]) wraps[root] = std::uint8_t(wraps[root] | 1u << k);
            return;
        }
        const bool lower = root < other;
        const std::int32_t top = lower ? root : other, below = lower ? other : root;
        nodes[below].parent = top;
        for (int k = 0; k < 3; ++k) nodes[below].periods[k] = lower ? apart[k] : -apart[k];
        wraps[top] = std::uint8_t(wraps[top] | wraps[below]);
    }
};

}  // namespace insitu
