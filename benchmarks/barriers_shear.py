# SPDX-License-Identifier: BSD-3-Clause
"""Do low predicted barriers tell where a glass will yield? Shear of Cu64Zr36 glasses.

Glasses are molten and quenched with LAMMPS' CuZr_mm.eam.fs, or are the published ones relaxed in it
(--published), and are sheared at zero temperature in steps of 0.2 %, with a minimisation after each
(athermal, quasistatic). What `insitu.barriers` predicts for the unsheared glass is compared with D²min, the
non-affine displacements between the unsheared and the sheared glass; so are simpler quantities of the
unsheared glass, and barriers in random order. Predictions for a published glass are of a fit to the others.
--hot: predictions from positions at 300 K, averaged over time or minimised a little.

FOLDER receives the glasses and the sheared samples; what is there is not made again.

example:
  python benchmarks/barriers_shear.py FOLDER --make --glasses 1,2,3,4      # tens of minutes of one core
  python benchmarks/barriers_shear.py FOLDER --picture shear.png
  python benchmarks/barriers_shear.py FOLDER --hot
  python benchmarks/barriers_shear.py OTHER --make --glasses 6,2,3,4,0 --published GLASSES
  python benchmarks/barriers_shear.py OTHER --glasses 6,2,3,4,0 --published GLASSES
  python benchmarks/barriers_shear.py FOLDER --ovito                       # D²min against OVITO's

References
----------
M. L. Falk and J. S. Langer, Phys. Rev. E 57, 7192 (1998), doi:10.1103/PhysRevE.57.7192, for D²min;
M. I. Mendelev et al., J. Appl. Phys. 102, 043501 (2007), for the potential.
"""

from __future__ import annotations

import argparse
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import insitu
from insitu.frame.frame import Frame
from insitu.frame.neighbors.search import Neighbors
from insitu.models.barriers import load
from insitu.training.fit import barriers as fit
from insitu.training.fit.ridge import Sums
from insitu.training.runs import potentials_folder, run_lammps, write_data

Floats = NDArray[np.float64]

#: Neighbours of D²min, and those that are counted as coordination [Å].
NEAR, SHELL = 5.0, 4.0
#: Length of the Gaussian with which fields are smoothed [Å].
SMOOTH = 4.0
STEP, STEPS, EVERY = 0.002, 30, 5
STRAINS = (0.01, 0.02, 0.03, 0.04, 0.05, 0.06)
PLANES = {"xy": (1, 0), "xz": (2, 0), "yz": (2, 1)}

HEAD = """\
suffix opt
units metal
boundary p p p
atom_style atomic
atom_modify map array
neigh_modify every 2 delay 4 check yes
"""
POTENTIAL = "pair_style eam/fs\npair_coeff * * {potential} Cu Zr\n"
#: 1e13 K/s through the glass transition, faster before and after it.
QUENCH = """\
lattice fcc 4.0
region box block 0 7 0 7 0 7
create_box 2 box
create_atoms 1 box
set type 1 type/subset 2 494 {seed}
""" + POTENTIAL + """\
timestep 0.004
thermo 1000
velocity all create 4000 {seed} mom yes rot no dist gaussian
fix n all npt temp 2000 2000 0.2 iso 0 0 1.0
run 1000
unfix n
fix n all npt temp 2000 1000 0.2 iso 0 0 1.0
run 1250
unfix n
fix n all npt temp 1000 600 0.2 iso 0 0 1.0
run 10000
unfix n
fix n all npt temp 600 1 0.2 iso 0 0 1.0
run 1500
unfix n
fix press all box/relax iso 0 vmax 0.001
minimize 0 1e-4 3000 10000
unfix press
minimize 0 1e-6 3000 10000
write_data glass{seed}.data nocoeff
"""  # fmt: skip
DUMP = "id type xu yu zu c_energy c_volume[1] modify sort id append yes format float %.10g"
SHEAR = "read_data glass{seed}.data\nchange_box all triclinic\n" + POTENTIAL + """\
compute energy all pe/atom
compute volume all voronoi/atom
compute sum all reduce sum c_energy c_volume[1]
thermo_style custom step pe pxy c_sum[1] c_sum[2]
thermo 1000
minimize 0 1e-2 2000 8000
run 0 post no
write_dump all custom {out} """ + DUMP + """
variable n loop {steps}
variable by equal {step}*ly
label shear
  change_box all {plane} delta $(v_by) remap units box
  minimize 0 1e-2 500 2000
  if "$(v_n%{every}) == 0" then "write_dump all custom {out} """ + DUMP + """"
next n
jump SELF shear
"""  # fmt: skip
#: A hot glass: positions averaged over windows that end at one step; that step's, minimised bit by bit.
HOT = "read_data glass{seed}.data\nchange_box all triclinic\n" + POTENTIAL + """\
timestep 0.004
thermo 1000
velocity all create 600 {seed} mom yes rot no dist gaussian
fix n all npt temp 300 300 0.2 iso 0 0 1.0
run 1250
unfix n
fix n all nvt temp 300 300 0.2
compute u all property/atom xu yu zu
fix a all ave/atom 1 25 2500 c_u[1] c_u[2] c_u[3]
fix b all ave/atom 1 125 2500 c_u[1] c_u[2] c_u[3]
fix c all ave/atom 5 125 2500 c_u[1] c_u[2] c_u[3]
fix d all ave/atom 10 250 2500 c_u[1] c_u[2] c_u[3]
reset_timestep 0
dump w all custom 2500 {out} id type xu yu zu f_a[1] f_a[2] f_a[3] f_b[1] f_b[2] f_b[3] &
  f_c[1] f_c[2] f_c[3] f_d[1] f_d[2] f_d[3]
dump_modify w sort id format float %.10g
run 2500
undump w
unfix n
unfix a
unfix b
unfix c
unfix d
min_style fire
"""  # fmt: skip
#: Evaluations of the forces in all after which the minimised positions are written; the last is the end.
QUENCHED = (5, 10, 20, 50, 100, 2000)


def make(folder: Path, seeds: list[int], published: Path | None) -> None:
    """Make what is missing: first one run of each glass, then the others."""
    folder.mkdir(parents=True, exist_ok=True)
    first, *others = PLANES
    for kinds in ((first,), ("hot",), others):
        for seed in seeds:
            data = folder / f"glass{seed}.data"
            if not data.exists() and published:
                with np.load(published / f"glass{seed}.npz") as z:
                    box = z["box"].astype(float)
                    positions = (z["positions"] + box / 2) % box
                    write_data(data, positions, np.diag(box), z["types"].astype(np.int64))
            elif not data.exists():
                values = {"seed": seed, "potential": potentials_folder() / "CuZr_mm.eam.fs"}
                run_lammps(folder, HEAD + QUENCH.format(**values))
                print(f"glass {seed}", flush=True)
            for kind in kinds:
                run(folder, seed, kind)


def run(folder: Path, seed: int, kind: str) -> None:
    """Shear a glass in a plane, or heat it; the file gets its name at the end, so that it is whole."""
    whole = folder / f"glass{seed}.{kind}.dump"
    if whole.exists():
        return
    part = whole.with_suffix(".part")
    part.unlink(missing_ok=True)
    deck = SHEAR
    if kind == "hot":
        deck = HOT
        for n in np.diff((0, *QUENCHED)).tolist():
            deck += f"minimize 0 1e-3 {n} {n}\n"
            deck += "write_dump all custom {out} id type xu yu zu modify sort id append yes &\n"
            deck += "  format float %.10g\n"
    deck = deck.format(
        seed=seed, potential=potentials_folder() / "CuZr_mm.eam.fs", plane=kind, steps=STEPS,
        step=STEP, every=EVERY, out=part.name,
    )  # fmt: skip
    run_lammps(folder, HEAD + deck)
    part.rename(whole)
    print(f"glass {seed}, {kind}", flush=True)


@dataclass(frozen=True)
class Sample:
    """One frame of a dump: cell vectors as rows [Å], and the columns by their names."""

    cell: Floats
    columns: dict[str, Floats]

    def positions(self, first: str = "xu") -> Floats:
        """Return ``(n, 3)`` positions from three columns, not brought back into the cell [Å]."""
        names = list(self.columns)
        at = names.index(first)
        return np.stack([self.columns[name] for name in names[at : at + 3]], axis=1)

    def fractions(self) -> Floats:
        return self.positions() @ np.linalg.inv(self.cell)

    @property
    def types(self) -> NDArray[np.int64]:
        return self.columns["type"].astype(np.int64)


def frames(path: Path) -> list[Sample]:
    """Return the frames of a text dump of a triclinic cell, sorted by id."""
    found, lines = [], path.read_text().splitlines()
    at = 0
    while at < len(lines):
        n = int(lines[at + 3])
        bounds = np.array([line.split() for line in lines[at + 5 : at + 8]], dtype=float)
        xy, xz, yz = bounds[:, 2]
        x = np.ptp(bounds[0, :2]) - (max(0.0, xy, xz, xy + xz) - min(0.0, xy, xz, xy + xz))
        y = np.ptp(bounds[1, :2]) - abs(yz)
        cell = np.array([[x, 0, 0], [xy, y, 0], [xz, yz, np.ptp(bounds[2, :2])]])
        names = lines[at + 8].split()[2:]
        rows = np.array([line.split() for line in lines[at + 9 : at + 9 + n]], dtype=float)
        found.append(Sample(cell, dict(zip(names, rows.T, strict=True))))
        at += 9 + n
    return found


def pairs_of(sample: Sample, cutoff: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return both atoms of each pair within a cutoff, in both orders."""
    positions = (sample.fractions() % 1.0) @ sample.cell
    frame = Frame.from_arrays(positions, sample.cell, True, reach=cutoff * (1 + 1e-4))
    search = Neighbors(frame, cutoff)
    offsets, others, *_ = search.vectors(cutoff, search.places, search.atoms)
    first = np.repeat(search.atoms.astype(np.int64), np.diff(offsets))
    return first, frame.ids[others].astype(np.int64) - 1


def vectors(sample: Sample, i: NDArray[np.int64], j: NDArray[np.int64]) -> Floats:
    s = sample.fractions()
    apart = s[j] - s[i]
    return np.asarray((apart - np.rint(apart)) @ sample.cell)


def d2min(before: Sample, after: Sample, i: NDArray[np.int64], j: NDArray[np.int64]) -> Floats:
    """Return Falk and Langer's D²min of each atom, summed over its neighbours before [Å²]."""
    n, a, b = len(before.types), vectors(before, i, j), vectors(after, i, j)
    x, y = np.zeros((n, 3, 3)), np.zeros((n, 3, 3))
    np.add.at(x, i, b[:, :, None] * a[:, None])
    np.add.at(y, i, a[:, :, None] * a[:, None])
    gradient = x @ np.linalg.inv(y)
    rest = b - np.einsum("pkl,pl->pk", gradient[i], a)
    return np.bincount(i, weights=(rest**2).sum(axis=1), minlength=n)


def barriers_of(sample: Sample, positions: Floats | None = None) -> Floats:
    x = sample.positions() if positions is None else positions
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # thermal positions and another potential: that is the question
        return insitu.barriers(x, sample.cell, True, np.array(["", "Cu", "Zr"])[sample.types])


def ranks(values: Floats, types: NDArray[np.int64] | None = None) -> Floats:
    """Return ranks from 0 to 1, among all atoms or among those of the same type."""
    from scipy.stats import rankdata

    if types is None:
        return np.asarray((rankdata(values) - 0.5) / len(values))
    found = np.empty(len(values))
    for kind in np.unique(types):
        found[types == kind] = ranks(values[types == kind])
    return found


class LeftOut:
    """Predictions for a published glass by a fit to those that are not related to it.

    Parameters
    ----------
    folder
        Of the published glasses.
    """

    def __init__(self, folder: Path) -> None:
        self._settings = load("cuzr-barriers").card.settings
        self._folder = folder
        self._glasses = [fit.read(folder, k) for k in fit.TRAINED]
        self._reduction = fit.Reduction.of(self._glasses, self._settings)
        penalty = load("cuzr-barriers").card.more["penalty"]
        self._penalties = self._reduction.penalties(*penalty)
        self._sums = [Sums(self._described(g), g.barriers, fit.errors_of(g)) for g in self._glasses]

    def _described(self, glass: fit.Glass) -> Floats:
        return fit.features(glass, self._settings, self._reduction)

    def sampled(self, number: int) -> Floats:
        """Return the published barriers of a glass [eV]."""
        return fit.read(self._folder, number).barriers

    def __call__(self, number: int, sample: Sample) -> Floats:
        """Return barriers of the atoms of a sample that was made of a glass [eV]."""
        it = fit.read(self._folder, number)
        others = [
            s for g, s in zip(self._glasses, self._sums, strict=True) if fit.related(g, it) >= 1.0
        ]
        weight, constant = Sums.of(others).fit(self._penalties)
        positions, box = (sample.fractions() % 1.0) @ sample.cell, np.diag(sample.cell)
        relaxed = fit.Glass(number, positions, box, sample.types - 1, it.barriers)
        found: Floats = self._described(relaxed) @ weight + constant
        print(
            f"glass {number}, relaxed in LAMMPS' potential: {len(others)} glasses trained on, "
            f"r of predicted and sampled barriers {correlation(found, it.barriers):.3f}"
        )
        return found


def softness(
    seed: int, sample: Sample, rng: np.random.Generator, published: LeftOut | None
) -> dict[str, Floats]:
    """Return fields of the unsheared glass that are expected to be high where it yields."""
    i, _ = pairs_of(sample, SHELL)
    barrier = published(seed, sample) if published else barriers_of(sample)
    sampled = {"sampled barrier": -published.sampled(seed)} if published else {}
    return {
        "barrier": -barrier,
        **sampled,
        "volume": sample.columns["c_volume[1]"],
        "energy": sample.columns["c_energy"],
        "coordination": -np.bincount(i, minlength=len(barrier)).astype(float),
        "shuffled": -rng.permutation(barrier),
    }


def smoothed(values: Floats, i: NDArray[np.int64], j: NDArray[np.int64], r2: Floats) -> Floats:
    weight = np.exp(-0.5 * r2 / SMOOTH**2)
    total = np.bincount(i, weights=weight * values[j], minlength=len(values)) + values
    return np.asarray(total / (np.bincount(i, weights=weight, minlength=len(values)) + 1.0))


def correlation(a: Floats, b: Floats) -> float:
    return float(np.corrcoef(a, b)[0, 1])


WAYS = ("all atoms", "within the species", "smoothed")


@dataclass
class Found:
    """Results of each glass, as ``(planes, strains)``: by what and field, and the samples of a picture."""

    values: dict[tuple[str, str], list[Floats]]
    #: Minus the predicted barriers of each glass.
    fields: dict[int, Floats]

    def add(self, what: str, field: str, values: Floats) -> None:
        self.values.setdefault((what, field), []).append(values)

    def mean(self, what: str, field: str) -> tuple[Floats, Floats]:
        """Return mean over the glasses, of the mean over the planes, and its standard error."""
        each = np.array([v.mean(axis=0) for v in self.values[what, field]])
        n = len(each)
        return each.mean(axis=0), each.std(axis=0, ddof=1) / n**0.5 if n > 1 else each[0] * np.nan


def compare(folder: Path, seeds: list[int], published: Path | None) -> Found:
    found, rng = Found({}, {}), np.random.default_rng(0)
    left_out = LeftOut(published) if published else None
    for seed in seeds:
        files = {p: folder / f"glass{seed}.{p}.dump" for p in PLANES}
        runs = {p: frames(file) for p, file in files.items() if file.exists()}
        before = next(iter(runs.values()))[0]
        fields = softness(seed, before, rng, left_out)
        found.fields[seed] = fields["barrier"]
        i, j = pairs_of(before, NEAR)
        far = pairs_of(before, 2.5 * SMOOTH)
        r2 = (vectors(before, *far) ** 2).sum(axis=1)
        kinds = before.types
        rows: dict[tuple[str, str], list[list[float]]] = {}
        for run in runs.values():
            moved = [d2min(before, after, i, j) for after in run[1:]]
            for name, field in fields.items():
                row: dict[str, list[float]] = {}
                wide = smoothed(field, *far, r2)
                for d in moved:
                    top = d >= np.quantile(d, 0.95)
                    row.setdefault(WAYS[0], []).append(correlation(ranks(field), ranks(d)))
                    row.setdefault(WAYS[1], []).append(
                        correlation(ranks(field, kinds), ranks(d, kinds))
                    )
                    row.setdefault(WAYS[2], []).append(
                        correlation(ranks(wide), ranks(smoothed(d, *far, r2)))
                    )
                    for part in (10, 20):
                        soft = ranks(field) > 1 - part / 100
                        row.setdefault(f"softest {part} %", []).append(float(soft[top].mean()))
                        soft = ranks(wide) > 1 - part / 100
                        row.setdefault(f"softest {part} %, smoothed", []).append(
                            float(soft[top].mean())
                        )
                for what, values in row.items():
                    rows.setdefault((what, name), []).append(values)
        for (what, name), values in rows.items():
            found.add(what, name, np.array(values))
        print(
            f"glass {seed}: barriers {-fields['barrier'].mean():.2f} ± {fields['barrier'].std():.2f} eV"
        )
    return found


def tables(found: Found) -> None:
    fields = [field for what, field in found.values if what == WAYS[0]]
    strains = STEP * EVERY * (1 + np.arange(len(found.mean(WAYS[0], "barrier")[0])))
    chosen = [int(np.argmin(np.abs(strains - s))) for s in STRAINS]
    for what in (*WAYS, *(f"softest {p} %{w}" for w in ("", ", smoothed") for p in (10, 20))):
        print(f"\n{what}\n| strain | " + " | ".join(fields) + " |\n|" + "---|" * (len(fields) + 1))
        for k in chosen:
            cells = []
            for field in fields:
                mean, error = found.mean(what, field)
                cells.append(f"{mean[k]:.2f} ± {error[k]:.2f}")
            print(f"| {100 * strains[k]:.0f} % | " + " | ".join(cells) + " |")


def picture(folder: Path, seed: int, found: Found, out: Path) -> None:
    """Draw the rank correlation against the strain, and a slice of the glass in the plane of shear."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 4.2), layout="constrained")
    fields = [field for what, field in found.values if what == WAYS[0]]
    styles = ("o-", "s--", "^-.", "v:", "D-", "x:")
    for field, style in zip(fields, styles, strict=False):
        mean, error = found.mean(WAYS[0], field)
        strains = 100 * STEP * EVERY * (1 + np.arange(len(mean)))
        left.errorbar(strains, mean, error, fmt=style, linewidth=1.1, markersize=4, label=field)
    left.axhline(0.0, color="#999999", linewidth=0.6)
    left.set(xlabel="Shear strain (%)", ylabel="Rank correlation with D²min")
    left.legend(frameon=False, fontsize=8)
    run = frames(folder / f"glass{seed}.xy.dump")
    last = min(round(0.05 / (STEP * EVERY)), len(run) - 1)
    d = d2min(run[0], run[last], *pairs_of(run[0], NEAR))
    barrier = -found.fields[seed]
    x, y, z = ((run[0].fractions() % 1.0) @ run[0].cell).T
    from_it = (z - z[d.argmax()]) / run[0].cell[2, 2]  # a slice through the largest D²min
    cut = np.abs(from_it - np.rint(from_it)) * run[0].cell[2, 2] < 3.0
    drawn = right.scatter(x[cut], y[cut], c=barrier[cut], s=14, cmap="viridis", linewidths=0,
                          vmin=np.quantile(barrier, 0.02), vmax=np.quantile(barrier, 0.98))  # fmt: skip
    top = cut & (d >= np.quantile(d, 0.95))
    right.scatter(x[top], y[top], s=42, facecolors="none", edgecolors="#d62728", linewidths=1.1)
    right.set(xlabel="x (Å)", ylabel="y (Å)", aspect="equal")
    figure.colorbar(drawn, ax=right, label="Predicted barrier before shear (eV)")
    right.set_title(
        f"rings: the 5 % of largest D²min at {100 * last * STEP * EVERY:.0f} %", fontsize=9
    )
    figure.savefig(out, dpi=100)


def hot(folder: Path, seeds: list[int]) -> None:
    """How far positions of 300 K do, averaged or minimised a little, against those that are minimised."""
    windows = {"xu": "one frame", "f_a[1]": "mean over 0.1 ps", "f_b[1]": "mean over 0.5 ps",
               "f_c[1]": "mean over 2.5 ps", "f_d[1]": "mean over 10 ps"}  # fmt: skip
    scores: dict[str, list[tuple[float, float, float]]] = {}
    for seed in seeds:
        run = frames(folder / f"glass{seed}.hot.dump")
        thermal, end = run[1], run[-1]
        true = barriers_of(end)
        named = {name: barriers_of(thermal, thermal.positions(c)) for c, name in windows.items()}
        named |= {
            f"minimised, {n} evaluations": barriers_of(s)
            for n, s in zip(QUENCHED[:-1], run[2:-1], strict=True)
        }
        for name, b in named.items():
            scores.setdefault(name, []).append(
                (correlation(b, true), correlation(ranks(b), ranks(true)), float((b - true).mean()))
            )
    print(
        "| positions at 300 K | r | rank correlation | change of the mean (eV) |\n|---|---|---|---|"
    )
    for name, each in scores.items():
        r, rank, bias = np.array(each).T
        error = r.std(ddof=1) / len(r) ** 0.5 if len(r) > 1 else float("nan")
        print(f"| {name} | {r.mean():.3f} ± {error:.3f} | {rank.mean():.3f} | {bias.mean():+.3f} |")


def against_ovito(folder: Path, seed: int) -> None:
    """D²min beside that of OVITO's modifier, for the last frame of a glass."""
    from ovito.data import DataCollection, Particles, SimulationCell
    from ovito.modifiers import AtomicStrainModifier
    from ovito.pipeline import Pipeline, StaticSource

    def collection(sample: Sample) -> DataCollection:
        data = DataCollection()
        cell = SimulationCell(pbc=(True, True, True))
        cell[:, :3] = sample.cell.T
        data.objects.append(cell)
        particles = Particles(count=len(sample.types))
        particles.create_property("Position", data=(sample.fractions() % 1.0) @ sample.cell)
        data.objects.append(particles)
        return data

    run = frames(folder / f"glass{seed}.xy.dump")
    pipeline = Pipeline(source=StaticSource(data=collection(run[-1])))
    strain = AtomicStrainModifier(cutoff=NEAR, output_nonaffine_squared_displacements=True)
    strain.reference = StaticSource(data=collection(run[0]))
    pipeline.modifiers.append(strain)
    theirs = np.array(pipeline.compute().particles["Nonaffine Squared Displacement"])
    ours = d2min(run[0], run[-1], *pairs_of(run[0], NEAR))
    print(
        f"D²min of {len(ours)} atoms: largest relative difference {np.abs(ours / theirs - 1).max():.1e}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--glasses", default="1,2,3,4", help="seeds (1,2,3,4)")
    parser.add_argument(
        "--make", action="store_true", help="melt, quench and shear what is missing"
    )
    parser.add_argument(
        "--published", type=Path, help="folder of the published glasses: shear these"
    )
    parser.add_argument("--picture", type=Path, metavar="PNG", help="draw it too")
    parser.add_argument("--hot", action="store_true", help="thermal positions instead of shear")
    parser.add_argument("--ovito", action="store_true", help="D²min against OVITO's instead")
    options = parser.parse_args()
    seeds = [int(s) for s in options.glasses.split(",")]
    if options.make:
        make(options.folder, seeds, options.published)
    elif options.ovito:
        against_ovito(options.folder, seeds[0])
    elif options.hot:
        hot(options.folder, seeds)
    else:
        found = compare(options.folder, seeds, options.published)
        tables(found)
        if options.picture:
            picture(options.folder, seeds[0], found, options.picture)


if __name__ == "__main__":
    main()
