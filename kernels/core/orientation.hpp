// SPDX-License-Identifier: BSD-3-Clause
// Orientations of a lattice as unit quaternions (w, x, y, z): those that a rotation of the lattice turns into
// each other are the same.
#pragma once

#include <cmath>

#include "lattice_template.hpp"

namespace insitu {

// Rotation matrix of a unit quaternion.
INSITU_HD void rotation_of(const float* q, float* r) {
    const float w = q[0], x = q[1], y = q[2], z = q[3];
    const float m[9] = {1 - 2 * (y * y + z * z), 2 * (x * y - w * z),     2 * (x * z + w * y),
                        2 * (x * y + w * z),     1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
                        2 * (x * z - w * y),     2 * (y * z + w * x),     1 - 2 * (x * x + y * y)};
    for (int i = 0; i < 9; ++i) r[i] = m[i];
}

// Unit quaternion of a rotation matrix, w >= 0.
INSITU_HD void quaternion_of(const float* r, float* q) {
    // Squares of the components times four, less one: the largest is safe to divide by.
    const float s[4] = {r[0] + r[4] + r[8], r[0] - r[4] - r[8], r[4] - r[0] - r[8], r[8] - r[0] - r[4]};
    int k = 0;
    for (int i = 1; i < 4; ++i) k = s[i] > s[k] ? i : k;
    const float large = 0.5f * std::sqrt(1.0f + s[k]), rest = 0.25f / large;
    const float a = r[7] - r[5], b = r[2] - r[6], c = r[3] - r[1];
    const float d = r[1] + r[3], e = r[2] + r[6], f = r[5] + r[7];
    const float v[4][4] = {{large, a * rest, b * rest, c * rest},
                           {a * rest, large, d * rest, e * rest},
                           {b * rest, d * rest, large, f * rest},
                           {c * rest, e * rest, f * rest, large}};
    const float sign = v[k][0] < 0 ? -1.0f : 1.0f;
    for (int i = 0; i < 4; ++i) q[i] = sign * v[k][i];
}

struct OrientationGroup {
    int count = 0;
    float element[24][4];

    explicit OrientationGroup(const LatticeTemplate& t) : count(t.symmetries) {
        for (int k = 0; k < count; ++k) quaternion_of(t.symmetry[k], element[k]);
    }

    static void multiply(const float* a, const float* b, float* out) {
        const float q[4] = {a[0] * b[0] - a[1] * b[1] - a[2] * b[2] - a[3] * b[3],
                            a[0] * b[1] + a[1] * b[0] + a[2] * b[3] - a[3] * b[2],
                            a[0] * b[2] - a[1] * b[3] + a[2] * b[0] + a[3] * b[1],
                            a[0] * b[3] + a[1] * b[2] - a[2] * b[1] + a[3] * b[0]};
        for (int i = 0; i < 4; ++i) out[i] = q[i];
    }

    // The quaternion of the same orientation that is nearest to another; returns the cosine of half of the
    // angle between them.
    float nearest(const float* to, const float* q, float* out) const {
        float dot = to[0] * q[0] + to[1] * q[1] + to[2] * q[2] + to[3] * q[3];
        for (int i = 0; i < 4; ++i) out[i] = q[i];
        // Rotations of the lattice are 60 degrees and more: of two orientations within 30 this is it.
        if (std::fabs(dot) < 0.9659259f) {
            float best = std::fabs(dot), next[4];
            for (int k = 1; k < count; ++k) {
                multiply(q, element[k], next);
                const float other = to[0] * next[0] + to[1] * next[1] + to[2] * next[2] + to[3] * next[3];
                if (std::fabs(other) <= best) continue;
                best = std::fabs(other);
                dot = other;
                for (int i = 0; i < 4; ++i) out[i] = next[i];
            }
        }
        if (dot < 0)
            for (int i = 0; i < 4; ++i) out[i] = -out[i];
        return std::fabs(dot);
    }

    // Of the same orientation the quaternion of the smallest angle.
    void reduce(float* q) const {
        float best = -1.0f;
        int which = 0;
        for (int k = 0; k < count; ++k) {
            const float* g = element[k];
            const float w = std::fabs(q[0] * g[0] - q[1] * g[1] - q[2] * g[2] - q[3] * g[3]);
            if (w <= best + 1e-6f) continue;
            best = w;
            which = k;
        }
        float out[4];
        multiply(q, element[which], out);
        for (int i = 0; i < 4; ++i) q[i] = out[0] < 0 ? -out[i] : out[i];
    }

    // Mean of the orientations q[0] ... q[count - 1] that most of them share: are nearer than an angle
    // (cosine of its half). The first one has precedence if at least half of the others have its orientation.
    // Returns how many share it, the one that is shared not counted; NaN if there are none.
    int average(const float* const* q, int many, float near, float* mean) const {
        for (int i = 0; i < 4; ++i) mean[i] = std::nanf("");
        int most = -1;
        float score = -1.0f, sum[4] = {0, 0, 0, 0}, turned[4];
        for (int r = 0; r < many; ++r) {
            int votes = 0;
            float own = 0.0f, total[4] = {0, 0, 0, 0};
            for (int k = 0; k < many; ++k) {
                const float close = nearest(q[r], q[k], turned);
                if (close < near) continue;
                votes += k != r;
                own += 1.0f + close - near;
                for (int i = 0; i < 4; ++i) total[i] += turned[i];
            }
            if (own > score) {
                score = own;
                most = votes;
                for (int i = 0; i < 4; ++i) sum[i] = total[i];
            }
            if (r == 0 && 2 * votes >= many - 1) break;
        }
        if (most < 0) return 0;
        float length = 0.0f;
        for (float v : sum) length += v * v;
        length = 1.0f / std::sqrt(length);
        for (int i = 0; i < 4; ++i) mean[i] = sum[i] * length;
        reduce(mean);
        return most;
    }
};

}  // namespace insitu
