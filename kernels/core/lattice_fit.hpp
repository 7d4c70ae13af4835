// SPDX-License-Identifier: BSD-3-Clause
// Fits the ideal lattice of its label to an atom's neighbours by least squares, without knowing which
// neighbour belongs to which site. Some orientations, in which the nearest neighbour is on a site, are
// scored; the best ones are refined: each site takes the nearest neighbour, then rotation (the polar
// factor of the covariance), scale and shift follow, and again. One atom a lane: F is a vector, or a float.
#pragma once

#include "lattice_match.hpp"

namespace insitu {

// What is found; lengths of the template but for `scale`.
template <class F>
struct LatticeFit {
    F rotation[9];     // from the template to the sample, before it is turned by a symmetry
    F scale;           // template lengths in a length of the sample
    F residual;        // root of the mean squared distance from the sites, the atom itself counted
    F deformation[9];  // the linear map of the template that fits best, in template lengths
    F lacking[3];      // sum of the sites without a neighbour
    F sites;           // that have one
    F whose[kMostSites];  // which of the neighbours is on a site, -1: none
};

// The best orientation of a scan: `from` are the nearest neighbours in template lengths.
template <class F, int Kept>
INSITU_HD void lattice_scan(const LatticeTemplate& t, const LatticeNeighbors<F>& v, F* score, F* turn,
                            F* frame) {
    const F zero = v.x[0] * 0.0f;
    // The frame of the nearest neighbour and of that of the next three which is most across.
    F e[9] = {zero, zero, zero, zero, zero, zero, zero, zero, zero};
    const F one = lattice_root<F>(2.0f * v.half[0] + 1e-30f);
    e[0] = v.x[0] / one, e[1] = v.y[0] / one, e[2] = v.z[0] / one;
    F across = zero - 1.0f;
    for (int j = 1; j < 4; ++j) {
        const F along = v.x[j] * e[0] + v.y[j] * e[1] + v.z[j] * e[2];
        const F px = v.x[j] - along * e[0], py = v.y[j] - along * e[1], pz = v.z[j] - along * e[2];
        const F p2 = px * px + py * py + pz * pz;
        // Relative to its distance: of several as far as each other the first one, nearly.
        const F much = p2 / (2.0f * v.half[j] + 1e-30f);
        const auto more = much > across + 0.25f;
        across = more ? much : across;
        const F unit = 1.0f / lattice_root<F>(p2 + 1e-30f);
        e[3] = more ? px * unit : e[3];
        e[4] = more ? py * unit : e[4];
        e[5] = more ? pz * unit : e[5];
    }
    e[6] = e[1] * e[5] - e[2] * e[4], e[7] = e[2] * e[3] - e[0] * e[5], e[8] = e[0] * e[4] - e[1] * e[3];
    for (int i = 0; i < 9; ++i) frame[i] = e[i];
    LatticeNeighbors<F> u;
    for (int j = 0; j < t.turned_atoms; ++j) {
        u.x[j] = v.x[j] * e[0] + v.y[j] * e[1] + v.z[j] * e[2];
        u.y[j] = v.x[j] * e[3] + v.y[j] * e[4] + v.z[j] * e[5];
        u.z[j] = v.x[j] * e[6] + v.y[j] * e[7] + v.z[j] * e[8];
    }
    for (int k = 0; k < Kept; ++k) score[k] = zero - 1e30f, turn[k] = zero;
    for (int s = 0; s < t.turns; ++s) {
        F sum = zero;
        for (int b = 0; b < t.turned_sites; ++b) {
            const float* w = t.turned[s][b];
            F best = zero + 0.5f * (t.square[b] - t.within2);
            for (int j = 0; j < t.turned_atoms; ++j) {
                const F near = w[0] * u.x[j] + (w[1] * u.y[j] + (w[2] * u.z[j] - v.half[j]));
                best = near > best ? near : best;
            }
            sum += best;
        }
        F which = zero + float(s);
        for (int k = 0; k < Kept; ++k) {  // into the list, best first
            const auto better = sum > score[k];
            const F s0 = score[k], t0 = turn[k];
            score[k] = better ? sum : s0;
            turn[k] = better ? which : t0;
            sum = better ? s0 : sum;
            which = better ? t0 : which;
        }
    }
}

// The rotations from the template to the sample that a scan found: the scanned turns, one a lane.
template <class F>
INSITU_HD void lattice_turned(const LatticeTemplate& t, F turn, const F* frame, F* r) {
    constexpr int lanes = int(sizeof(F) / sizeof(float));
    F chosen[9];
    float which[lanes];
    memcpy(which, &turn, sizeof(F));
    for (int m = 0; m < 9; ++m) {
        float v[lanes];
        for (int l = 0; l < lanes; ++l) v[l] = t.turn[int(which[l])][m];
        memcpy(&chosen[m], v, sizeof(F));
    }
    F back[9];  // frame^T chosen
    for (int i = 0; i < 3; ++i)
        for (int k = 0; k < 3; ++k) back[3 * i + k] = frame[3 * k + i];
    lattice_multiply(back, chosen, r);
}

constexpr int kLatticeKept = 6;         // orientations that are refined, at most
constexpr int kLatticeRefinements = 4;  // of the best one, at most

template <class F>
INSITU_HD bool lattice_any(F x) {
    constexpr int lanes = int(sizeof(F) / sizeof(float));
    float v[lanes];
    memcpy(v, &x, sizeof(F));
    float most = 0.0f;
    INSITU_UNROLL(16)
    for (int l = 0; l < lanes; ++l) most = v[l] > most ? v[l] : most;
    return most > 0.0f;
}

// An orientation, and where it puts the neighbours: at scale * displacement - shift.
template <class F>
struct LatticePose {
    F r[9], scale, shift[3], cost;

    INSITU_HD void start(const F* rotation, F unit) {
        for (int m = 0; m < 9; ++m) r[m] = rotation[m];
        for (F& s : shift) s = unit * 0.0f;
        scale = unit;
        cost = unit * 0.0f + 1e30f;
    }

    // Fits anew to the match found with it.
    INSITU_HD void fit(const LatticeTemplate& t, const LatticeMatch<F>& match) {
        F self[3];
        for (int i = 0; i < 3; ++i) self[i] = -shift[i];
        LatticeSolution<F> s;
        s.solve(t, match, self);
        // Displacements are (x + shift) / scale; the new positions are (x - mean) s.scale + R site_mean.
        for (int i = 0; i < 3; ++i)
            shift[i] = (shift[i] + s.mean[i]) * s.scale -
                       (s.r[3 * i] * s.site_mean[0] + s.r[3 * i + 1] * s.site_mean[1] + s.r[3 * i + 2] * s.site_mean[2]);
        scale *= s.scale;
        for (int m = 0; m < 9; ++m) r[m] = s.r[m];
    }

    INSITU_HD void match(const LatticeTemplate& t, const F* from, LatticeNeighbors<F>& v, float far,
                         LatticeMatch<F>& out) {
        v.place(from, t.atoms, scale, shift, far);
        lattice_match(t, v, r, out);
        cost = out.cost;
    }

    // Takes another pose in the lanes of a mask (not 0).
    INSITU_HD void take(const LatticePose& other, F mask) {
        const auto those = mask > mask * 0.0f;
        for (int m = 0; m < 9; ++m) r[m] = those ? other.r[m] : r[m];
        for (int m = 0; m < 3; ++m) shift[m] = those ? other.shift[m] : shift[m];
        scale = those ? other.scale : scale;
        cost = those ? other.cost : cost;
    }
};

// The unit of length: the mean distance of the nearest ones, in a full first shell.
template <class F>
INSITU_HD F lattice_unit(const LatticeTemplate& t, const F* from, float far) {
    const F zero = from[0] * 0.0f;
    F sum = zero, count = zero;
    for (int j = 0; j < t.first; ++j) {
        const F* p = from + 3 * j;
        const auto there = p[0] < zero + far;
        sum += there ? lattice_root<F>(p[0] * p[0] + p[1] * p[1] + p[2] * p[2]) : zero;
        count += there ? zero + 1.0f : zero;
    }
    return t.shortest * count / (sum + 1e-20f);
}

// Scans orientations and refines the best ones until no other can be better; `match` is that of the pose.
// No lane's result depends on the others': one that is sure takes no other orientation.
template <class F>
INSITU_HD void lattice_search(const LatticeTemplate& t, const F* from, float far, F unit, LatticeNeighbors<F>& v,
                              LatticePose<F>& best, LatticeMatch<F>& match) {
    const F zero = unit * 0.0f, shift[3] = {zero, zero, zero};
    v.place(from, t.atoms, unit, shift, far);
    F score[kLatticeKept], turn[kLatticeKept], frame[9];
    lattice_scan<F, kLatticeKept>(t, v, score, turn, frame);
    const F sure = zero + t.sure;
    F changed = zero;  // whether the fit of the best one changed its match
    LatticePose<F> trial;
    best.start(frame, unit);
    const bool variants = t.variants > 1;
    const int trials = variants ? t.variants : kLatticeKept;
    for (int k = 0; k < trials; ++k) {
        F r[9], turned[9];
        lattice_turned(t, turn[variants ? 0 : k], frame, turned);
        lattice_multiply(turned, t.variant[variants ? k : 0], r);
        trial.start(r, unit);
        trial.match(t, from, v, far, match);
        trial.fit(t, match);
        trial.match(t, from, v, far, match);
        const F better = trial.cost < best.cost ? zero + 1.0f : zero, taken = best.cost > sure ? better : zero;
        changed = taken > zero ? match.changed : changed;
        best.take(trial, taken);
        const bool open = variants || lattice_any<F>(best.cost > sure ? zero + 1.0f : zero);
        if (open && k + 1 < trials) continue;
        if (k > 0) best.match(t, from, v, far, match);
        match.changed = changed;  // not against the last trial, which depends on the other lanes
        break;
    }
}

// from: displacements (atoms, 3) of the neighbours, nearest first, `far` or more where there is none. guess:
// a rotation to start from instead of a search, or null.
template <class F>
INSITU_HD void lattice_fit(const LatticeTemplate& t, const F* from, float far, const F* guess, LatticeFit<F>& out) {
    const F zero = from[0] * 0.0f, unit = lattice_unit(t, from, far);
    LatticeNeighbors<F> v;
    LatticePose<F> best, trial;
    LatticeMatch<F> match;
    for (F& w : match.whose) w = zero - 2.0f;
    if (guess) {
        best.start(guess, unit);
        for (int k = 0; k <= t.others; ++k) {
            F r[9];
            lattice_multiply(guess, k ? t.other[k - 1] : t.symmetry[0], r);
            trial.start(r, unit);
            trial.match(t, from, v, far, match);
            best.take(trial, trial.cost < best.cost ? zero + 1.0f : zero);
        }
        best.match(t, from, v, far, match);
        match.changed = zero + 1.0f;
    } else {
        lattice_search(t, from, far, unit, v, best, match);
    }
    F open = match.changed;
    for (int k = 0; k < kLatticeRefinements && lattice_any<F>(open); ++k) {
        trial = best;
        trial.fit(t, match);
        best.take(trial, open);
        best.match(t, from, v, far, match);
        open = open > zero ? match.changed : zero;
    }
    lattice_share(t, v, best.r, match);
    F self[3];
    for (int i = 0; i < 3; ++i) self[i] = -best.shift[i];
    LatticeSolution<F> s;
    s.solve(t, match, self);
    // Residual, site by site: a difference of sums would lose the digits of a perfect crystal.
    F squares = zero, moments[6] = {zero, zero, zero, zero, zero, zero};
    for (int i = 0; i < 3; ++i) out.lacking[i] = zero;
    for (int b = -1; b < t.sites; ++b) {
        F w = zero + 1.0f, q[3], p[3] = {self[0] - s.mean[0], self[1] - s.mean[1], self[2] - s.mean[2]};
        for (int i = 0; i < 3; ++i) q[i] = -s.site_mean[i];
        if (b >= 0) {
            w = match.there[b];
            p[0] = match.x[b] - s.mean[0];
            p[1] = match.y[b] - s.mean[1];
            p[2] = match.z[b] - s.mean[2];
            for (int i = 0; i < 3; ++i) {
                q[i] += t.site[b][i];
                out.lacking[i] += (1.0f - w) * t.site[b][i];
            }
            out.whose[b] = match.whose[b];
        }
        for (int i = 0; i < 3; ++i) {
            const F apart = p[i] * s.scale - (s.r[3 * i] * q[0] + s.r[3 * i + 1] * q[1] + s.r[3 * i + 2] * q[2]);
            squares += w * apart * apart;
        }
        moments[0] += w * q[0] * q[0], moments[1] += w * q[1] * q[1], moments[2] += w * q[2] * q[2];
        moments[3] += w * q[0] * q[1], moments[4] += w * q[0] * q[2], moments[5] += w * q[1] * q[2];
    }
    out.residual = lattice_root<F>(squares / s.count);
    out.scale = best.scale * s.scale;
    out.sites = s.count - 1.0f;
    for (int m = 0; m < 9; ++m) out.rotation[m] = s.r[m];
    const F full[9] = {moments[0], moments[3], moments[4], moments[3], moments[1],
                       moments[5], moments[4], moments[5], moments[2]};
    F cofactors[9];
    const F det = lattice_cofactors(full, cofactors);
    F map[9];
    lattice_multiply(s.cross, cofactors, map);
    for (int m = 0; m < 9; ++m) out.deformation[m] = map[m] * s.scale / (det + 1e-20f);
}

// Turns the template by a symmetry of the lattice so that the rotation to the sample is the smallest: the
// unit quaternion (w, x, y, z), w > 0, of the fundamental zone; the deformation is turned with it.
template <class F>
INSITU_HD void lattice_reduce(const LatticeTemplate& t, LatticeFit<F>& fit, F* quaternion) {
    const F zero = fit.scale * 0.0f;
    F most = zero - 4.0f, g[9];
    for (F& v : g) v = zero;
    for (int k = 0; k < t.symmetries; ++k) {
        const float* s = t.symmetry[k];
        F trace = zero;
        for (int i = 0; i < 3; ++i)
            for (int m = 0; m < 3; ++m) trace += fit.rotation[3 * i + m] * s[3 * m + i];
        const auto more = trace > most + 1e-6f;
        most = more ? trace : most;
        for (int m = 0; m < 9; ++m) g[m] = more ? zero + s[m] : g[m];
    }
    F r[9], f[9];
    lattice_multiply(fit.rotation, g, r);
    lattice_multiply(fit.deformation, g, f);
    for (int m = 0; m < 9; ++m) fit.rotation[m] = r[m], fit.deformation[m] = f[m];
    const F w = 0.5f * lattice_root<F>(1.0f + r[0] + r[4] + r[8]);  // the angle is at most 94 degrees
    const F quarter = 0.25f / w;
    quaternion[0] = w;
    quaternion[1] = (r[7] - r[5]) * quarter;
    quaternion[2] = (r[2] - r[6]) * quarter;
    quaternion[3] = (r[3] - r[1]) * quarter;
}

// Euler-Almansi strain (xx, yy, zz, xy, xz, yz) in the sample's axes and its von Mises shear, of a deformation
// whose lengths are multiplied by `stretch`; 0: so that the volume stays.
template <class F>
INSITU_HD void lattice_strain(const F* f, F stretch, F* strain, F* shear) {
    const F zero = f[0] * 0.0f;
    F c[9];
    const F det = lattice_cofactors(f, c);
    F volume = zero + 1.0f;  // the inverse cube root of the determinant, by Newton's method
    for (int k = 0; k < 8; ++k) volume *= (4.0f - det * volume * volume * volume) * 0.33333333f;
    const F by = stretch > zero ? stretch : volume;
    // Of the inverse of f f^T: cofactors are those of the transposed inverse.
    const F inverse = 1.0f / (det * by);
    for (int m = 0; m < 9; ++m) c[m] *= inverse;
    const auto along = [&](int i, int k) { return c[3 * i] * c[3 * k] + c[3 * i + 1] * c[3 * k + 1] + c[3 * i + 2] * c[3 * k + 2]; };
    for (int i = 0; i < 3; ++i) strain[i] = 0.5f * (1.0f - along(i, i));
    strain[3] = -0.5f * along(0, 1), strain[4] = -0.5f * along(0, 2), strain[5] = -0.5f * along(1, 2);
    const F a = strain[0] - strain[1], b = strain[0] - strain[2], d = strain[1] - strain[2];
    *shear = lattice_root<F>(strain[3] * strain[3] + strain[4] * strain[4] + strain[5] * strain[5] +
                             (a * a + b * b + d * d) * 0.16666667f);
}

}  // namespace insitu
