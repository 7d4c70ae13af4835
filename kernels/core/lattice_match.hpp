// SPDX-License-Identifier: BSD-3-Clause
// Which neighbour is on which site of a rotated template, and the rotation, scale and shift that fit a
// match best: the parts of lattice_fit.hpp. One atom a lane.
#pragma once

#include "lattice_template.hpp"

namespace insitu {

template <class F>
INSITU_HD F lattice_root(F x) {
    constexpr int lanes = int(sizeof(F) / sizeof(float));
    float v[lanes];
    memcpy(v, &x, sizeof(F));
    INSITU_UNROLL(16)
    for (int l = 0; l < lanes; ++l) v[l] = __builtin_sqrtf(v[l]);
    memcpy(&x, v, sizeof(F));
    return x;
}

// out = a b, or a b^T.
template <class A, class B, class F>
INSITU_HD void lattice_multiply(const A* a, const B* b, F* out, bool transposed = false) {
    const int row = transposed ? 1 : 3, column = transposed ? 3 : 1;
    for (int i = 0; i < 3; ++i)
        for (int k = 0; k < 3; ++k)
            out[3 * i + k] = a[3 * i] * b[k * column] + a[3 * i + 1] * b[row + k * column] +
                             a[3 * i + 2] * b[2 * row + k * column];
}

// Cofactors of a matrix; returns its determinant.
template <class F>
INSITU_HD F lattice_cofactors(const F* m, F* c) {
    c[0] = m[4] * m[8] - m[5] * m[7], c[1] = m[5] * m[6] - m[3] * m[8], c[2] = m[3] * m[7] - m[4] * m[6];
    c[3] = m[2] * m[7] - m[1] * m[8], c[4] = m[0] * m[8] - m[2] * m[6], c[5] = m[1] * m[6] - m[0] * m[7];
    c[6] = m[1] * m[5] - m[2] * m[4], c[7] = m[2] * m[3] - m[0] * m[5], c[8] = m[0] * m[4] - m[1] * m[3];
    return m[0] * c[0] + m[1] * c[1] + m[2] * c[2];
}

// The rotation nearest to a matrix of positive determinant, by Newton's iteration (N. J. Higham, SIAM J.
// Sci. Stat. Comput. 7, 1160 (1986)). Where the determinant is not positive: no rotation at all.
template <class F>
INSITU_HD void lattice_polar(const F* h, F* x) {
    F square = h[0] * h[0];
    for (int m = 1; m < 9; ++m) square += h[m] * h[m];
    const F unit = 1.7320508f / lattice_root<F>(square + 1e-30f);
    for (int m = 0; m < 9; ++m) x[m] = h[m] * unit;
    for (int k = 0; k < 6; ++k) {
        F c[9];
        F det = lattice_cofactors(x, c);
        const F least = det * 0.0f + 1e-6f;
        det = det > least ? det : least;
        const F inverse = 1.0f / det;
        F own = x[0] * x[0], other = c[0] * c[0];
        for (int m = 1; m < 9; ++m) own += x[m] * x[m], other += c[m] * c[m];
        // zeta^2 = |x^-1| / |x|: brings the singular values to both sides of 1.
        const F zeta = k < 3 ? lattice_root<F>(lattice_root<F>(other / own) * inverse) : det * 0.0f + 1.0f;
        const F a = 0.5f * zeta, b = 0.5f * inverse / zeta;
        for (int m = 0; m < 9; ++m) x[m] = a * x[m] + b * c[m];
    }
}

// Neighbours of a lane's atom in template lengths: scaled and shifted.
template <class F>
struct LatticeNeighbors {
    F x[kMostFitted], y[kMostFitted], z[kMostFitted], half[kMostFitted];  // half of the squared distance

    // From displacements in the sample; x is `far` where there is no neighbour.
    INSITU_HD void place(const F* from, int atoms, F scale, const F* shift, float far) {
        for (int j = 0; j < atoms; ++j) {
            const F fx = from[3 * j], fy = from[3 * j + 1], fz = from[3 * j + 2];
            x[j] = fx * scale - shift[0];
            y[j] = fy * scale - shift[1];
            z[j] = fz * scale - shift[2];
            const F d = 0.5f * (x[j] * x[j] + y[j] * y[j] + z[j] * z[j]);
            const F there = fx * 0.0f + far;
            half[j] = fx < there ? d : d * 0.0f + 1e20f;
            x[j] = fx < there ? x[j] : fx * 0.0f;
        }
    }
};

// What the sites of a rotated template find.
template <class F>
struct LatticeMatch {
    F x[kMostSites], y[kMostSites], z[kMostSites];  // the neighbour of each site
    F there[kMostSites], whose[kMostSites];         // 1 if there is one; which
    F cost;                                         // sum of squared distances, each at most the limit
    F changed;                                      // not 0: other neighbours than before
};

template <class F>
INSITU_HD void lattice_match(const LatticeTemplate& t, const LatticeNeighbors<F>& v, const F* r,
                             LatticeMatch<F>& out) {
    const F zero = r[0] * 0.0f;
    out.cost = out.changed = zero;
    for (int b = 0; b < t.sites; ++b) {
        const float* w = t.site[b];
        const F px = r[0] * w[0] + r[1] * w[1] + r[2] * w[2];
        const F py = r[3] * w[0] + r[4] * w[1] + r[5] * w[2];
        const F pz = r[6] * w[0] + r[7] * w[1] + r[8] * w[2];
        F best = zero - 1e30f, x = zero, y = zero, z = zero, whose = zero - 1.0f;
        for (int j = 0; j < t.atoms; ++j) {
            const F near = px * v.x[j] + py * v.y[j] + pz * v.z[j] - v.half[j];
            const auto nearer = near > best;
            best = nearer ? near : best;
            x = nearer ? v.x[j] : x;
            y = nearer ? v.y[j] : y;
            z = nearer ? v.z[j] : z;
            whose = nearer ? zero + float(j) : whose;
        }
        const F d2 = t.square[b] - 2.0f * best;
        const F limit = zero + t.within2;
        const auto in = d2 < limit;
        out.x[b] = x;
        out.y[b] = y;
        out.z[b] = z;
        out.there[b] = in ? zero + 1.0f : zero;
        whose = in ? whose : zero - 1.0f;
        out.changed += whose == out.whose[b] ? zero : zero + 1.0f;
        out.whose[b] = whose;
        out.cost += in ? d2 : limit;
    }
}

// Rotation, factor of scale and means of the best fit to matched sites; the atom itself, at `self`, is on
// the origin of the template.
template <class F>
struct LatticeSolution {
    F r[9], scale, mean[3], site_mean[3], count, cross[9];

    INSITU_HD void solve(const LatticeTemplate& t, const LatticeMatch<F>& m, const F* self) {
        const F zero = self[0] * 0.0f;
        count = zero + 1.0f;
        F g = self[0] * self[0] + self[1] * self[1] + self[2] * self[2];
        for (int i = 0; i < 3; ++i) mean[i] = self[i], site_mean[i] = zero;
        for (int i = 0; i < 9; ++i) cross[i] = zero;
        for (int b = 0; b < t.sites; ++b) {
            const F w = m.there[b], x = w * m.x[b], y = w * m.y[b], z = w * m.z[b];
            count += w;
            mean[0] += x, mean[1] += y, mean[2] += z;
            g += x * m.x[b] + y * m.y[b] + z * m.z[b];
            for (int k = 0; k < 3; ++k) {
                const float s = t.site[b][k];
                site_mean[k] += w * s;
                cross[k] += x * s, cross[3 + k] += y * s, cross[6 + k] += z * s;
            }
        }
        const F inverse = 1.0f / count;
        for (int i = 0; i < 3; ++i) mean[i] *= inverse, site_mean[i] *= inverse;
        for (int i = 0; i < 3; ++i) {
            g -= count * mean[i] * mean[i];
            for (int k = 0; k < 3; ++k) cross[3 * i + k] -= count * mean[i] * site_mean[k];
        }
        lattice_polar(cross, r);
        F along = zero;
        for (int i = 0; i < 9; ++i) along += r[i] * cross[i];
        scale = along / (g + 1e-20f);
    }
};

// Lanes in which two sites have one neighbour share it out anew: the closest pairs first.
template <class F>
INSITU_RARE void lattice_share(const LatticeTemplate& t, const LatticeNeighbors<F>& v, const F* r,
                               LatticeMatch<F>& m) {
    constexpr int lanes = int(sizeof(F) / sizeof(float));
    const auto at = [](const F& f, int l) { return reinterpret_cast<const float*>(&f)[l]; };
    for (int l = 0; l < lanes; ++l) {
        unsigned used = 0;
        bool twice = false;
        for (int b = 0; b < t.sites; ++b) {
            const int j = int(at(m.whose[b], l));
            if (j < 0) continue;
            twice |= used >> j & 1u;
            used |= 1u << j;
        }
        if (!twice) continue;
        float rl[9], d2[kMostSites][kMostFitted];
        for (int i = 0; i < 9; ++i) rl[i] = at(r[i], l);
        for (int b = 0; b < t.sites; ++b) {
            const float* w = t.site[b];
            const float px = rl[0] * w[0] + rl[1] * w[1] + rl[2] * w[2];
            const float py = rl[3] * w[0] + rl[4] * w[1] + rl[5] * w[2];
            const float pz = rl[6] * w[0] + rl[7] * w[1] + rl[8] * w[2];
            for (int j = 0; j < t.atoms; ++j)
                d2[b][j] = t.square[b] - 2.0f * (px * at(v.x[j], l) + py * at(v.y[j], l) + pz * at(v.z[j], l) - at(v.half[j], l));
        }
        unsigned atoms = 0, sites = 0;
        int whose[kMostSites];
        for (int& j : whose) j = -1;
        for (int k = 0; k < t.sites; ++k) {
            float least = t.within2;
            int site = -1, atom = -1;
            for (int b = 0; b < t.sites; ++b) {
                if (sites >> b & 1u) continue;
                for (int j = 0; j < t.atoms; ++j)
                    if (!(atoms >> j & 1u) && d2[b][j] < least) least = d2[b][j], site = b, atom = j;
            }
            if (site < 0) break;
            sites |= 1u << site;
            atoms |= 1u << atom;
            whose[site] = atom;
        }
        const auto put = [l](F& f, float value) { reinterpret_cast<float*>(&f)[l] = value; };
        for (int b = 0; b < t.sites; ++b) {
            const int j = whose[b];
            put(m.whose[b], float(j));
            put(m.there[b], j < 0 ? 0.0f : 1.0f);
            put(m.x[b], j < 0 ? 0.0f : at(v.x[j], l));
            put(m.y[b], j < 0 ? 0.0f : at(v.y[j], l));
            put(m.z[b], j < 0 ? 0.0f : at(v.z[j], l));
        }
    }
}

}  // namespace insitu
