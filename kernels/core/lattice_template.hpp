// SPDX-License-Identifier: BSD-3-Clause
// The ideal surroundings of an atom in each lattice, as polyhedral template matching has them (P. M. Larsen
// et al., Modelling Simul. Mater. Sci. Eng. 24, 055007 (2016)): the mean distance of the sites is 1.
#pragma once

#include <cmath>
#include <initializer_list>

#include "config.hpp"

namespace insitu {

enum LatticeKind : int { kFcc, kBcc, kHcp, kCubicDiamond, kHexagonalDiamond, kSc, kLatticeKinds };

constexpr int kMostSites = 16;
constexpr int kMostFitted = 24;   // neighbours that are looked at
constexpr int kMostTurns = 36;    // orientations that are tried
constexpr int kMostVariants = 4;

struct LatticeTemplate {
    int sites;           // neighbours of the ideal lattice, the first shell first
    int first;           // of them in the first shell
    int atoms;           // nearest neighbours among which theirs are looked for
    float shortest;      // distance of the first shell
    float within2;       // squared distance from its site beyond which a neighbour is none
    // Sum of the squared distances from the sites (each at most the limit) below which no other orientation
    // is tried. Turned by 60 degrees about a threefold axis half of the sites of the close-packed lattices
    // lose their neighbours (1.5 in all), those of bcc come within 0.3 of others (1.1).
    float sure;
    float site[kMostSites][3];
    float square[kMostSites];  // of their distance
    // Orientations that are tried: the nearest neighbour is on one of `bases` sites (one of each kind), and
    // the template turned about it by steps.
    int turns, bases, turned_sites, turned_atoms;
    int base_of[kMostTurns];
    float turned[kMostTurns][kMostSites][3];  // the sites in the frame of the nearest neighbour
    float turn[kMostTurns][9];                // from the template to that frame
    // Orientations that the first shell cannot tell apart: rotations of the template.
    int variants;
    float variant[kMostVariants][9];
    // Rotations of the lattice, rows of 9.
    int symmetries;
    float symmetry[24][9];
    // Of them those that do not leave the template as it is: the surroundings of the lattice's other sites.
    int others;
    float other[3][9];
};

namespace lattice {

inline void multiply(const double* a, const double* b, double* out) {
    for (int i = 0; i < 3; ++i)
        for (int k = 0; k < 3; ++k)
            out[3 * i + k] = a[3 * i] * b[k] + a[3 * i + 1] * b[3 + k] + a[3 * i + 2] * b[6 + k];
}

// Rotation about an axis of unit length.
inline void rotation(const double* axis, double angle, double* out) {
    const double c = std::cos(angle), s = std::sin(angle), x = axis[0], y = axis[1], z = axis[2];
    const double r[9] = {c + x * x * (1 - c),     x * y * (1 - c) - z * s, x * z * (1 - c) + y * s,
                         y * x * (1 - c) + z * s, c + y * y * (1 - c),     y * z * (1 - c) - x * s,
                         z * x * (1 - c) - y * s, z * y * (1 - c) + x * s, c + z * z * (1 - c)};
    for (int i = 0; i < 9; ++i) out[i] = r[i];
}

// All products of two rotations: 24 of the cube, 12 of the hexagonal prism.
inline int group(const double* a, const double* b, float (*out)[9]) {
    double held[24][9] = {{1, 0, 0, 0, 1, 0, 0, 0, 1}};
    int count = 1;
    for (int i = 0; i < count; ++i)
        for (const double* g : {a, b}) {
            double next[9];
            multiply(g, held[i], next);
            bool known = false;
            for (int k = 0; k < count && !known; ++k) {
                double apart = 0;
                for (int m = 0; m < 9; ++m) apart += std::fabs(next[m] - held[k][m]);
                known = apart < 1e-6;
            }
            if (!known && count < 24) {
                for (int m = 0; m < 9; ++m) held[count][m] = next[m];
                ++count;
            }
        }
    for (int i = 0; i < count; ++i)
        for (int m = 0; m < 9; ++m) out[i][m] = float(held[i][m]);
    return count;
}

constexpr double kPi = 3.14159265358979323846;

// Tries the nearest neighbour on a site: `steps` orientations over a part of the turn about it.
inline void scan(LatticeTemplate& t, const double (*sites)[3], int site, int steps, double range) {
    const double* a = sites[site];
    const double length = std::sqrt(a[0] * a[0] + a[1] * a[1] + a[2] * a[2]);
    // The axis is the first of the frame's vectors.
    double e[3][3];
    for (int i = 0; i < 3; ++i) e[0][i] = a[i] / length;
    int least = 0;
    for (int i = 1; i < 3; ++i)
        if (std::fabs(e[0][i]) < std::fabs(e[0][least])) least = i;
    double along = e[0][least], norm = 0;
    for (int i = 0; i < 3; ++i) e[1][i] = (i == least) - along * e[0][i];
    for (int i = 0; i < 3; ++i) norm += e[1][i] * e[1][i];
    for (int i = 0; i < 3; ++i) e[1][i] /= std::sqrt(norm);
    for (int i = 0; i < 3; ++i)
        e[2][i] = e[0][(i + 1) % 3] * e[1][(i + 2) % 3] - e[0][(i + 2) % 3] * e[1][(i + 1) % 3];
    const double x[3] = {1, 0, 0};
    for (int s = 0; s < steps; ++s, ++t.turns) {
        double about[9], turn[9];
        rotation(x, range * s / steps, about);
        multiply(about, &e[0][0], turn);
        for (int m = 0; m < 9; ++m) t.turn[t.turns][m] = float(turn[m]);
        t.base_of[t.turns] = t.bases;
        for (int b = 0; b < t.sites; ++b)
            for (int i = 0; i < 3; ++i) {
                double sum = 0;
                for (int k = 0; k < 3; ++k) sum += turn[3 * i + k] * sites[b][k];
                t.turned[t.turns][b][i] = float(sum);
            }
    }
    ++t.bases;
}

}  // namespace lattice

inline LatticeTemplate lattice_template(int kind) {
    using lattice::kPi;
    LatticeTemplate t{};
    double s[kMostSites][3];
    int n = 0;
    const auto add = [&](double x, double y, double z) {
        s[n][0] = x;
        s[n][1] = y;
        s[n++][2] = z;
    };
    const auto face_diagonals = [&](double d) {  // planes normal to z, y and x, four each
        for (int normal = 2; normal >= 0; --normal)
            for (double a : {-d, d})
                for (double b : {-d, d}) {
                    double v[3] = {0, 0, 0};
                    v[(normal + 1) % 3] = a;
                    v[(normal + 2) % 3] = b;
                    add(v[0], v[1], v[2]);
                }
    };
    const auto axes = [&](double d) {
        for (int i = 0; i < 3; ++i)
            for (double a : {-d, d}) add(i == 0 ? a : 0, i == 1 ? a : 0, i == 2 ? a : 0);
    };
    const auto ring = [&](int count, double radius, double z, double from) {
        for (int i = 0; i < count; ++i) {
            const double angle = from + 2 * kPi * i / count;
            add(radius * std::cos(angle), radius * std::sin(angle), z);
        }
    };
    const auto close_packed = [&](double d) {
        ring(6, d, 0, 0);
        ring(3, d / std::sqrt(3.0), d * std::sqrt(2.0 / 3.0), kPi / 6);
        ring(3, d / std::sqrt(3.0), -d * std::sqrt(2.0 / 3.0), kPi / 6);
    };
    const double k = 16 / (4 * std::sqrt(3.0) + 24 * std::sqrt(2.0));  // of the diamonds
    const double h = 14 / (8 * std::sqrt(3.0) + 12);                   // of bcc
    const double bond = std::sqrt(3.0) * k;
    switch (kind) {
        case kFcc:
            face_diagonals(std::sqrt(0.5));
            t.first = 12, t.atoms = 16;
            break;
        case kBcc:
            for (double x : {-h, h})
                for (double y : {-h, h})
                    for (double z : {-h, h}) add(x, y, z);
            axes(2 * h);
            t.first = 8, t.atoms = 20;
            break;
        case kHcp:
            close_packed(1);
            t.first = 12, t.atoms = 16;
            break;
        case kCubicDiamond:
            add(k, k, k), add(k, -k, -k), add(-k, k, -k), add(-k, -k, k);
            face_diagonals(2 * k);
            t.first = 4, t.atoms = 22;
            break;
        case kHexagonalDiamond:
            add(0, 0, bond);
            ring(3, bond * std::sqrt(8.0) / 3, -bond / 3, kPi / 6);
            close_packed(bond * std::sqrt(8.0 / 3.0));
            t.first = 4, t.atoms = 22;
            break;
        default:
            axes(1);
            t.first = 6, t.atoms = 12;
    }
    t.sites = n;
    for (int b = 0; b < n; ++b) {
        t.square[b] = 0;
        for (int i = 0; i < 3; ++i) {
            t.site[b][i] = float(s[b][i]);
            t.square[b] += float(s[b][i] * s[b][i]);
        }
    }
    t.shortest = std::sqrt(t.square[0]);
    t.turned_sites = n;
    t.turned_atoms = t.atoms;
    t.variants = 1;
    for (int m = 0; m < 9; ++m) t.variant[0][m] = float(m % 4 == 0);
    switch (kind) {
        case kFcc: lattice::scan(t, s, 0, 9, kPi); break;
        case kBcc:  // a hot neighbour of the second shell may be the nearest
            lattice::scan(t, s, 0, 8, 2 * kPi / 3);
            lattice::scan(t, s, 8, 6, kPi / 2);
            break;
        case kSc: lattice::scan(t, s, 0, 6, kPi / 2); break;
        case kHcp:
            lattice::scan(t, s, 0, 18, 2 * kPi);
            lattice::scan(t, s, 6, 18, 2 * kPi);
            break;
        default:  // the tetrahedron of the first shell, whose bonds are alike
            lattice::scan(t, s, 0, 8, 2 * kPi / 3);
            t.turned_sites = 4, t.turned_atoms = 6;
            if (kind == kHexagonalDiamond) {  // which of them is along the axis
                t.variants = 4;
                for (int v = 1; v < 4; ++v) {
                    // A half turn about what halves two bonds exchanges them, and the other two.
                    double axis[3], norm = 0, r[9];
                    for (int i = 0; i < 3; ++i) axis[i] = s[0][i] + s[v][i], norm += axis[i] * axis[i];
                    for (double& a : axis) a /= std::sqrt(norm);
                    lattice::rotation(axis, kPi, r);
                    for (int m = 0; m < 9; ++m) t.variant[v][m] = float(r[m]);
                }
            }
    }
    const double z[3] = {0, 0, 1}, x[3] = {1, 0, 0}, d[3] = {std::sqrt(1 / 3.0), std::sqrt(1 / 3.0), std::sqrt(1 / 3.0)};
    double a[9], b[9];
    if (kind == kHcp || kind == kHexagonalDiamond) {
        lattice::rotation(z, kPi / 3, a);
        lattice::rotation(x, kPi, b);
    } else {
        lattice::rotation(z, kPi / 2, a);
        lattice::rotation(d, 2 * kPi / 3, b);
    }
    t.symmetries = lattice::group(a, b, t.symmetry);
    double both[9];
    lattice::multiply(a, b, both);
    t.others = kind == kHexagonalDiamond ? 3 : kind == kHcp || kind == kCubicDiamond ? 1 : 0;
    for (int m = 0; m < 9; ++m) {
        t.other[0][m] = float(a[m]);
        t.other[1][m] = float(b[m]);
        t.other[2][m] = float(both[m]);
    }
    const double half = 0.5 * t.shortest;
    t.within2 = float(half * half);
    t.sure = kind == kBcc ? 0.35f : 0.28f * float(n) * t.within2;
    return t;
}

}  // namespace insitu
