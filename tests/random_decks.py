# SPDX-License-Identifier: BSD-3-Clause
"""Random decks: a sample, how LAMMPS keeps and moves it, and what the analysis is told."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from conftest import Host
from hypothesis import strategies as st
from numpy.typing import NDArray

from insitu.frame.units import ANGSTROM
from insitu.testing import lattice

Array = NDArray[np.float64]
#: Rows of a data file: what comes after id and type, and what before x, y, z. And zeros after velocities.
STYLES = {
    "atomic": ("{i} {t}", 0), "charge": ("{i} {t} 0.5", 0), "molecular": ("{i} 7 {t}", 0),
    "full": ("{i} 7 {t} -0.5", 0), "sphere": ("{i} {t} 1.0 1.0", 3),
}  # fmt: skip
#: Lattice constants for neighbours at a distance of 1; most repeats along a side.
NEAR = {
    "fcc": (2**0.5, 4), "bcc": (2 / 3**0.5, 5), "hcp": (1.0, 4), "sc": (1.0, 6),
    "cubic_diamond": (4 / 3**0.5, 3), "hexagonal_diamond": ((8 / 3) ** 0.5, 3),
}  # fmt: skip
#: Of the further analyses, and of the columns.
CUTOFF = 1.35


@dataclass(frozen=True)
class Case:
    """One deck; lengths in Å, or in the distance of neighbours (`near`) where that is said."""

    structure: str  # of NEAR, or "gas", "few"
    cells: tuple[int, int, int]
    near: float
    noise: float  # near
    vacancies: float
    seed: int
    tilt: tuple[float, float, float]  # xy, xz, yz, in lengths of the vectors
    boundary: tuple[str, str, str]
    vacuum: tuple[float, float, float]  # of the box's lengths
    origin: float
    types: int
    ids: str
    units: str
    style: str
    newton: str
    modify: str
    tiled: bool
    balance: bool
    grid: int  # which of the possible processor grids; 0: LAMMPS' choice
    skin: float
    pair: float  # Å; 0: none
    speed: float  # Å a step
    delay: str
    every: int
    steps: tuple[int, int]
    event: str
    model: str
    threshold: float | None
    group: str
    neighbors: str
    options: tuple[str, ...]

    @property
    def scale(self) -> float:
        """The deck's unit of length in Å."""
        return ANGSTROM[self.units]

    @property
    def species(self) -> tuple[str, ...]:
        """Elements of the types, where the model tells them apart."""
        known = {"vitrification-cuzr": ("Cu", "Zr"), "sio2": ("Si", "O")}.get(self.model, ())
        return tuple(known[k % 2] for k in range(self.types)) if known else ()

    def sample(self) -> tuple[Array, Array, Array]:
        """Return positions, cell and origin [Å]."""
        rng = np.random.default_rng(self.seed)
        if self.structure in NEAR:
            r, cell = lattice(self.structure, self.near * NEAR[self.structure][0], self.cells)
            s = r @ np.linalg.inv(cell)
            s = s[rng.random(len(s)) >= self.vacancies]
        else:
            n = 1 + self.seed % 5 if self.structure == "few" else 20 * int(np.prod(self.cells))
            wide = 1.0 if self.structure == "few" else 1.6
            side = wide * self.near * n ** (1 / 3)
            cell, s = np.diag(side * np.array([1.0, 1.2, 0.9])), rng.random((n, 3))
        free = [b != "p" for b in self.boundary]
        xy, xz, yz = (0.0 if free[a] else t for a, t in zip((1, 2, 2), self.tilt, strict=True))
        cell = cell + np.array(
            [[0, 0, 0], [xy * cell[0, 0], 0, 0], [xz * cell[0, 0], yz * cell[1, 1], 0]]
        )
        wider = cell * (1.0 + np.array(self.vacuum))[:, None]
        r = s @ cell + 0.5 * (np.diag(wider) - np.diag(cell)) * free
        r += self.noise * self.near * rng.normal(size=r.shape)
        s = r @ np.linalg.inv(wider)
        for axis in np.flatnonzero(free):
            s[:, axis] = np.clip(s[:, axis], 0.01, 0.99)
        return s @ wider + self.origin, wider, np.full(3, self.origin)

    def grids(self, ranks: int) -> list[tuple[int, int, int]]:
        """Return all grids of processors of so many ranks."""
        some = range(1, ranks + 1)
        return [g for g in itertools.product(some, repeat=3) if np.prod(g) == ranks]

    def write(self, path: Path) -> int:
        """Write the data file; return how many atoms it has."""
        rng = np.random.default_rng(self.seed + 1)
        r, cell, origin = (a / self.scale for a in self.sample())
        n = len(r)
        ids = np.arange(1, n + 1)
        if self.ids != "in order":
            ids = rng.permutation(n) + 1
        if self.ids == "gaps":
            ids = 3 * ids + rng.integers(0, 3, n)
        kinds = rng.integers(1, self.types + 1, n)
        v = rng.normal(size=r.shape) * self.speed / self.scale  # a step
        front, more = STYLES[self.style]
        rows = [
            f"{front.format(i=i, t=t)} {x!r} {y!r} {z!r}"
            for i, t, (x, y, z) in zip(ids, kinds, r.tolist(), strict=True)
        ]
        moves = [
            f"{i} {x!r} {y!r} {z!r}{' 0' * more}"
            for i, (x, y, z) in zip(ids, v.tolist(), strict=True)
        ]
        box = [
            f"{float(origin[k])!r} {float(origin[k] + cell[k, k])!r} {c}lo {c}hi"
            for k, c in enumerate("xyz")
        ]
        if cell[1, 0] or cell[2, 0] or cell[2, 1]:
            box.append(
                f"{float(cell[1, 0])!r} {float(cell[2, 0])!r} {float(cell[2, 1])!r} xy xz yz"
            )
        nl = "\n"
        path.write_text(
            f"sample\n\n{n} atoms\n{self.types} atom types\n\n{nl.join(box)}\n\n"
            f"Atoms # {self.style}\n\n{nl.join(rows)}\n\nVelocities\n\n{nl.join(moves)}\n"
        )
        return n

    def deck(self, host: Host, k: int, ranks: int, ghosts: str = "", analysed: bool = True) -> str:
        """Return the deck; its files begin with `k`.

        Parameters
        ----------
        ghosts
            Lines that set LAMMPS' ghost cutoff.
        analysed
            False: the same without the analysis.
        """
        u = self.scale
        head = f"print 'CASE {k}'\nclear\nunits {self.units}\n"
        if self.grid:
            grids = self.grids(ranks)
            head += "processors {} {} {}\n".format(*grids[self.grid % len(grids)])
        if self.tiled:
            head += "comm_style tiled\n"
        head += (
            f"boundary {' '.join(self.boundary)}\nnewton {self.newton}\natom_style {self.style}\n"
        )
        head += f"{self.modify}\nbox tilt large\n"
        columns = "fix columns all property/atom i_phase d_sure d_q6 d_cluster\n"
        masses = "mass * 27.0\n" if self.style != "sphere" else ""
        pair = f"pair_style zero {self.pair / u!r}\npair_coeff * *\n" if self.pair else ""
        forces = (
            f"{masses}{pair}neighbor {self.skin / u!r} bin\nneigh_modify {self.delay}\n{ghosts}"
            "thermo_modify lost ignore flush yes\n"
        )
        near = self.near / u
        groups = (
            f"group type1 type 1\ngroup low id <= {self._middle()}\n"
            f"region left block INF {(self.origin + self.near) / u!r} INF INF INF INF units box\n"
            "group left region left\n"
            f"variable mine atom gmask({self.group})\n"
            f"variable near atom gmask({self.neighbors if self.neighbors in ('low', 'left') else 'all'})\n"
        )
        move = "timestep 1.0\nfix move all nve\n"  # without forces: so far in a step as v says
        text = head + f"read_data data.{k}\n{columns}{forces}{groups}"
        if self.balance:
            text += f"balance 1.0 {'rcb' if self.tiled else 'shift xyz 5 1.01'}\n"
        first, then = self.steps
        text += (
            move + self._analysis(host, k, near, "refuse", analysed) + self._dump(k, 1, analysed)
        )
        text += f"run {first}\n"
        if self.event == "restart":
            text += f"write_restart {k}.restart\n{head}read_restart {k}.restart\n"
            text += f"{columns}{forces}{groups}{move}"
            text += self._analysis(host, k, near, "append", analysed)
            text += self._dump(k, 2, analysed)
        else:
            text += self._event(near)
        return text + (f"run {then}\n" if then else "")

    def _middle(self) -> int:
        return 20 + self.seed % 60

    def _event(self, near: float) -> str:
        periodic = [c for c, b in zip("xyz", self.boundary, strict=True) if b == "p"]
        tilted = self.boundary[1] == "p" and self.tilt[0] != 0
        match self.event:
            case "scale" if periodic:
                how = " ".join(f"{c} scale {1.03 - 0.02 * k}" for k, c in enumerate(periodic))
                return f"change_box all {how} remap units box\n"
            case "tilt" if tilted:
                return f"change_box all xy delta {0.1 * near!r} remap units box\n"
            case "move" if len(periodic) == 3:
                return f"displace_atoms all move {near!r} {-2.7 * near!r} 0.1 units box\n"
            case "delete":
                return "group gone id <= 9\ndelete_atoms group gone compress no\n"
            case "types" if self.types > 1:
                return f"set group all type/fraction 2 0.3 {self.seed + 1}\n"
            case "balance":
                return f"balance 1.0 {'rcb' if self.tiled else 'shift xyz 5 1.01'}\n"
            case _:
                return ""

    def told(self, host: Host, k: int) -> dict[str, Any]:
        """Return the settings of the analysis."""
        said: dict[str, Any] = {"model": self.model, "labels": "i_phase", "confidence": "d_sure"}
        if self.threshold is not None:
            said["threshold"] = self.threshold
        if self.neighbors:
            said["neighbors"] = self.neighbors
        if self.species:
            said["species"] = ",".join(self.species)
        options = set(self.options)
        if "types" in options:
            said["types"] = "yes" if host.plugin else True
        if "groups" in options:
            said["groups"] = "low,left"
        if "threads" in options:
            said["threads"] = 2
        if "first" in options and host.plugin:
            said["first"] = "yes"
        if words := [w for o in self.options if (w := self.words().get(o))]:
            said["analyze"] = " analyze ".join(words)
        return said

    def words(self) -> dict[str, str]:
        """Return the further analyses, in the words of a fix line."""
        cutoff = f"{CUTOFF * self.near:.6g}"
        phase = {"metals": "fcc,bcc,disordered", "crystals-cnn": "fcc,bcc"}.get(
            self.model, "amorphous"
        )
        return {
            "rdf": f"rdf cutoff {1.7 * self.near:.6g} bins 30",
            "profile": f"profile axis {'xyz'[self.seed % 3]} bins {3 + self.seed % 5}",
            "steinhardt": f"steinhardt cutoff {cutoff} columns q6=d_q6",
            "clusters": f"clusters phase {phase} cutoff {cutoff} columns id_with=d_cluster",
        }

    def _analysis(self, host: Host, k: int, near: float, exists: str, analysed: bool) -> str:
        if not analysed:
            return ""
        said = {"file": f"{k}.h5", "if_exists": exists, **self.told(host, k)}
        return host.monitor(self.every, self.group, **said)

    def _dump(self, k: int, part: int, analysed: bool) -> str:
        columns = "i_phase d_sure d_q6 d_cluster v_mine v_near"
        return (
            f"dump d all custom 1 {k}.{part}.dump id type x y z {columns}\n"
            "dump_modify d format float %.17g units yes time yes\n"
        )


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Decks of all kinds."""
    structure = draw(st.sampled_from([*NEAR, "gas", "few"]))
    most = NEAR[structure][1] if structure in NEAR else 2
    side = st.integers(1, most)
    boundary = st.sampled_from(["p", "p", "p", "f", "s", "m", "fs", "sm"])
    tilt = st.sampled_from([0.0, 0.0, 0.0, 0.2, -0.45, 0.5, 0.8])
    model = draw(st.sampled_from(["metals"] * 6 + ["crystals-cnn", "vitrification-cuzr"]))
    units = [u for u in ANGSTROM if model == "metals" or u != "lj"]
    types = draw(st.integers(1, 3))
    small = model != "metals"
    return Case(
        structure=structure,
        cells=draw(st.tuples(*[st.integers(1, 2) if small else side] * 3)),
        near=draw(st.sampled_from([2.2, 2.5, 2.86, 3.3, 4.4])),
        noise=draw(st.sampled_from([0.0, 0.02, 0.06, 0.15])),
        vacancies=draw(st.sampled_from([0.0, 0.0, 0.05, 0.4])),
        seed=draw(st.integers(0, 10_000)),
        tilt=draw(st.tuples(tilt, tilt, tilt)),
        boundary=draw(st.one_of(st.just(("p", "p", "p")), st.tuples(boundary, boundary, boundary))),
        vacuum=draw(st.tuples(*[st.sampled_from([0.0, 0.0, 0.3, 2.0])] * 3)),
        origin=draw(st.sampled_from([0.0, -7.3, 111.1])),
        types=types,
        ids=draw(st.sampled_from(["in order", "permuted", "gaps"])),
        units=draw(st.sampled_from(units)),
        style=draw(st.sampled_from(list(STYLES))),
        newton=draw(st.sampled_from(["on", "off", "on off", "off on"])),
        modify=draw(st.sampled_from([
            "atom_modify map yes", "atom_modify map hash", "atom_modify map array sort 0 0.0",
            "atom_modify map yes sort 1 0.0",
        ])),
        tiled=draw(st.booleans()) and draw(st.booleans()),
        balance=draw(st.booleans()),
        grid=draw(st.integers(0, 3)),
        skin=draw(st.sampled_from([0.3, 1.0, 2.0])),
        pair=draw(st.sampled_from([0.0, 3.0, 5.0, 7.0])),
        speed=draw(st.sampled_from([0.0, 0.01, 0.05])),
        delay=draw(st.sampled_from(["every 1 delay 0 check yes", "every 2 delay 0 check no"])),
        every=draw(st.integers(1, 3)),
        steps=(draw(st.integers(1, 4)), draw(st.integers(0, 4))),
        event=draw(st.sampled_from(["", "scale", "tilt", "move", "restart", "delete", "types", "balance"])),
        model=model,
        threshold=draw(st.sampled_from([None, None, 0.3, 0.95])),
        group=draw(st.sampled_from(["all", "all", "type1", "low", "left"])),
        neighbors=draw(st.sampled_from(["", "", "", "1", "low", "left"])),
        options=tuple(draw(st.lists(st.sampled_from(
            ["types", "groups", "threads", "first", "rdf", "profile", "steinhardt", "clusters"]
        ), unique=True, max_size=4))),
    )  # fmt: skip
