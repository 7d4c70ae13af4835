# SPDX-License-Identifier: BSD-3-Clause
"""Random decks run by LAMMPS, and what is compared: dump and history, offline analysis, plain NumPy."""

from __future__ import annotations

import re
import tempfile
import warnings
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import reference
from conftest import Host, Run
from numpy.typing import NDArray
from random_decks import CUTOFF, Array, Case

import insitu
from insitu.analyses.base import System
from insitu.analyses.phases.loading import load
from insitu.analyses.requests import requests
from insitu.analyses.steinhardt import Steinhardt, SteinhardtSettings
from insitu.frame.frame import Frame
from insitu.frame.neighbors.density import spacing
from insitu.frame.neighbors.search import Neighbors
from insitu.models.card import class_codes
from insitu.models.classifier import Classifier
from insitu.offline.files import classify_files
from insitu.offline.options import Options

#: What a run may be refused for, and must say so.
REFUSED = (
    "reach no further than the periodic box",  # comm_style tiled
    "cannot exceed periodic box length",  # LAMMPS itself, of a `comm_modify cutoff`
)
ADVICE = re.compile(r"^\s*(comm_modify cutoff \S+)\s*$", re.MULTILINE)


@dataclass
class Frames:
    """A frame of a dump [Å]."""

    step: int
    cell: Array
    origin: Array
    pbc: tuple[bool, bool, bool]
    columns: dict[str, Array]

    @property
    def r(self) -> Array:
        """Positions ``(n, 3)``."""
        return np.column_stack([self.columns[c] for c in "xyz"])


@dataclass
class Tally:
    """What was done with the cases."""

    counts: Counter[str] = field(default_factory=Counter)

    def add(self, what: str, n: int = 1) -> None:
        """Count."""
        self.counts[what] += n


def read_dump(path: Path, scale: float) -> list[Frames]:
    """Return the frames of a text dump, read without insitu."""
    found = []
    for part in path.read_text().split("ITEM: TIMESTEP\n")[1:]:
        head, rows = part.split("ITEM: ATOMS ")
        lines = head.splitlines()
        at = next(k for k, line in enumerate(lines) if line.startswith("ITEM: BOX"))
        words = lines[at].split()[3:]
        box = np.array([line.split() for line in lines[at + 1 : at + 4]], float)
        xy, xz, yz = box[:, 2] if box.shape[1] == 3 else (0.0, 0.0, 0.0)
        low, high = box[:, 0].copy(), box[:, 1].copy()
        low[0] -= min(0.0, xy, xz, xy + xz)
        high[0] -= max(0.0, xy, xz, xy + xz)
        low[1] -= min(0.0, yz)
        high[1] -= max(0.0, yz)
        cell = np.diag(high - low) + np.array([[0, 0, 0], [xy, 0, 0], [xz, yz, 0]])
        names, *table = rows.split("ITEM:")[0].splitlines()
        data = np.array([row.split() for row in table], float).reshape(-1, len(names.split()))
        data = data[np.argsort(data[:, 0])]
        columns = dict(zip(names.split(), data.T, strict=True))
        for c in "xyz":
            columns[c] = columns[c] * scale
        pbc = tuple(w == "pp" for w in words[-3:])
        found.append(Frames(int(lines[0]), cell * scale, low * scale, pbc, columns))  # type: ignore[arg-type]
    return found


def ghost_cutoff(case: Case) -> tuple[float, float]:
    """Return how far ghosts have to reach, with room for the events, and the shortest period [Å]."""
    c = Classifier(load(case.model))
    r, cell, origin = case.sample()
    pbc = [b == "p" for b in case.boundary]
    c.measure(spacing(Frame.from_arrays(r, cell, pbc, reach=0.0, origin=origin)))
    most = max(c.advised_cutoff, 1.8 * case.near)
    shortest = np.diag(cell)[pbc].min(initial=np.inf)
    return 1.1 * most + case.skin, float(shortest)


def run_all(host: Host, ranks: int, cases: list[Case], tally: Tally) -> None:
    """Run decks in as few LAMMPS processes as possible, and judge each."""
    cases = list(cases)
    with tempfile.TemporaryDirectory(prefix="insitu-random-") as name:
        folder = Path(name)
        lines = {}
        for k, case in enumerate(cases):
            case.write(folder / f"data.{k}")
            cutoff, shortest = ghost_cutoff(case)
            lines[k] = "" if host.plugin else f"comm_modify cutoff {cutoff / case.scale!r}\n"
            if case.tiled and cutoff > shortest and case.seed % 8:  # LAMMPS cannot; seldom told so
                cases[k] = replace(case, tiled=False)
        left = list(range(len(cases)))
        while left:
            run = _run(
                host, folder, "".join(cases[k].deck(host, k, ranks, lines[k]) for k in left), ranks
            )
            reached = [int(m) for m in re.findall(r"^CASE (\d+)", run.text, re.MULTILINE)]
            done = left if run.code == 0 else left[: left.index(reached[-1])] if reached else []
            for k in done:
                try:
                    judge(host, folder, k, cases[k], tally)
                except BaseException as error:
                    error.add_note(f"{host.name}, {ranks} ranks: {cases[k]}")
                    raise
            left = left[len(done) :]
            if left:
                lines[left[0]] = _refusal(
                    host, folder, left[0], cases[left[0]], ranks, lines[left[0]], run, tally
                )
                if lines[left[0]] == "refused":
                    left = left[1:]


def _run(host: Host, folder: Path, deck: str, ranks: int) -> Run:
    for old in (*folder.glob("*.h5"), *folder.glob("*.dump")):
        old.unlink()
    return host.run(folder, deck, ranks, seconds=300)


def _refusal(
    host: Host, folder: Path, k: int, case: Case, ranks: int, line: str, run: Run, tally: Tally
) -> str:
    """Return the line that the message advises, or "refused" where the refusal is right."""
    about = f"{host.name}, {ranks} ranks: {case}\n{run.text[-3000:]}"
    assert "Traceback" not in run.text, about
    assert run.code > 0, about
    if any(text in run.text for text in REFUSED) and case.tiled:
        tally.add("refused: tiled")
        return "refused"
    if (advice := ADVICE.findall(run.text)) and advice[-1] not in line:
        tally.add("advice taken")
        return f"{advice[-1]}\n"
    plain = case.deck(host, k, ranks, line, analysed=False)
    assert _run(host, folder, plain, ranks).code != 0, about
    tally.add("LAMMPS refuses the deck")
    return "refused"


def judge(host: Host, folder: Path, k: int, case: Case, tally: Tally) -> None:
    """Compare the history and the columns of a run with the analysis of its dump."""
    begins = host.plugin and "first" in case.options
    frames: dict[int, Frames] = {}
    for dump in sorted(folder.glob(f"{k}.*.dump")):
        again = {f.step: f for f in read_dump(dump, case.scale)}
        frames = frames | again if begins else again | frames
    total = case.steps[0] + case.steps[1]
    starts = [0, case.steps[0]] if case.event == "restart" and case.steps[1] else [0]
    wanted = [s for s in range(1, total + 1) if s % case.every == 0]
    wanted = sorted({*wanted, *starts}) if begins else wanted
    tally.add("cases")
    if not wanted:
        assert not (folder / f"{k}.h5").exists()
        return
    history = insitu.open(str(folder / f"{k}.h5"))
    assert history["step"].values.tolist() == wanted
    model = load(case.model)
    codes = np.array(class_codes(model.card.classes))  # the last, -1: unknown
    comparable = True
    for at, step in enumerate(wanted):
        tally.add("frames")
        comparable &= _judge_frame(case, frames[step], history.isel(step=at), codes, tally)
    if comparable:
        _judge_history(folder, k, case, wanted, frames[min(frames)], tally)
    _judge_offline(case, frames[wanted[-1]], tally)


def _judge_frame(case: Case, f: Frames, now: Any, codes: NDArray[np.int64], tally: Tally) -> bool:
    c, kinds = f.columns, f.columns["type"].astype(int)
    there = kinds == 1 if case.neighbors == "1" else c["v_near"] > 0
    mine = there & (c["v_mine"] > 0)
    numbers = None
    if case.species:
        numbers = np.array([0, *(_NUMBER[s] for s in case.species)])[kinds]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        found = insitu.classify(
            f.r - f.origin,  # of few atoms the density depends a bit on where its grid begins
            f.cell, f.pbc, numbers, model=case.model, neighbors=there, threshold=case.threshold,
            device="cpu", threads=1,
        )  # fmt: skip
    odd = np.flatnonzero(c["i_phase"] != np.where(mine, codes[found.labels], -1))
    if len(odd):
        # Atoms at one place are unknown. A run looks for them at one atom of 16 only.
        assert (found.labels[odd] == -1).all()
        assert all(_is_at_another(f, i) for i in odd)
        tally.add("atoms at one place that the run has not looked at", len(odd))
        return False
    assert np.abs(c["d_sure"] - np.where(mine, found.confidence, 0.0)).max(initial=0.0) < 1e-5
    counts = np.bincount(found.labels[mine] % len(codes), minlength=len(codes))
    assert (now["count"].values == counts).all()
    assert int(now["atoms"]) == len(c["id"])
    tally.add("atoms", int(mine.sum()))
    tally.add(f"labels {len(np.unique(found.labels[mine]))}")
    if "steinhardt" in case.options and there.any():
        cutoff = float(f"{CUTOFF * case.near:.6g}")
        alone = Frame.from_arrays(f.r[there], f.cell, f.pbc, reach=cutoff * 1.01, origin=f.origin)
        order = Steinhardt(SteinhardtSettings(cutoff), System())(alone, Neighbors(alone, cutoff))[
            "q6"
        ]
        want = np.full(len(there), np.nan)
        want[there] = order
        want[~mine] = np.nan
        np.testing.assert_allclose(c["d_q6"], want, atol=1e-5)
    if "clusters" in case.options:
        _clusters(case, f, there, np.where(mine, found.labels, _LEFT_OUT), found.classes)
    return True


def _is_at_another(f: Frames, i: np.intp) -> bool:
    return len(reference.images_around(int(i), f.r, f.cell, f.pbc, 0.5)[0]) > 0


_LEFT_OUT = -9
_NUMBER = {"Cu": 29, "Zr": 40, "Si": 14, "O": 8}


def _clusters(
    case: Case, f: Frames, there: NDArray[np.bool_], labels: NDArray[np.int64], classes: list[str]
) -> None:
    """Clusters with unknown atoms, joined one bond after the other."""
    words = case.words()["clusters"].split()
    phases, cutoff = words[2].split(","), float(words[4])
    chosen = {classes.index(p) for p in phases}
    member = there & np.isin(labels, [*chosen, -1])
    root = np.arange(len(member))

    def top(i: int) -> int:
        while root[i] != i:
            i = root[i]
        return i

    for i in np.flatnonzero(member):
        _, owners, _ = reference.images_around(i, f.r, f.cell, f.pbc, cutoff)
        for j in owners[member[owners]]:
            a, b = top(i), top(j)
            root[max(a, b)] = min(a, b)  # rows are in the order of the ids
    roots = np.array([top(i) for i in range(len(root))])
    solid = {top(i) for i in np.flatnonzero(member) if labels[i] in chosen}
    ids = f.columns["id"]
    want = np.where(member & np.isin(roots, list(solid)), ids[roots] if len(ids) else ids, 0.0)
    want[labels == _LEFT_OUT] = np.nan
    np.testing.assert_array_equal(f.columns["d_cluster"], want)


def _judge_history(
    folder: Path, k: int, case: Case, wanted: list[int], first: Frames, tally: Tally
) -> None:
    """Compare every observable with that of `insitu classify --out` on the dump."""
    if case.neighbors not in ("", "1"):
        return
    kinds = first.columns["type"]
    if case.neighbors == "1":
        kinds = kinds[kinds == 1]
    if kinds.max(initial=0) < case.types:  # a dump does not say how many types there are
        return
    names = {*case.options} - {"types", "groups", "threads", "first"}
    words = " analyze ".join(
        re.sub(r" columns \S+", "", w) for n, w in case.words().items() if n in names
    )
    out = folder / f"{k}.offline.h5"
    files = [str(p) for p in sorted(folder.glob(f"{k}.*.dump"))]
    if len(files) > 1:  # of the restarted run, whose first frame is the last one of the run before
        tally.add("restarts")
    options = Options(
        model=case.model, threshold=case.threshold, out=str(out), species=case.species,
        types="types" in case.options, group=None if case.group == "all" else "v_mine > 0",
        neighbors=("1",) if case.neighbors == "1" else (), workers=1,
        analyze=requests(words) if words else (),
        index=f"{wanted[0]}:",  # the run's first frame: bins along an open axis are of that one's box
    )  # fmt: skip
    told: list[str] = []
    list(classify_files(files, options, tell=told.append))
    with h5py.File(folder / f"{k}.h5") as run, h5py.File(out) as file:
        a, b = _observables(run), _observables(file)
        there = file["observables/phases/fraction/step"][:].tolist()
        rows = [there.index(s) for s in wanted]
        common = sorted(a.keys() & b.keys())
        tally.add("observables", len(common))
        assert "phases/count" in common
        for n in names:
            assert any(n in c for c in common), n
        for name in common:
            x, y = a[name], b[name][rows]
            if name.startswith("clusters"):  # identities depend on the frames before
                continue
            np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6, err_msg=name)


def _observables(file: h5py.File) -> dict[str, Array]:
    found: dict[str, Array] = {}

    def take(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and name.endswith("/value"):
            found[name.removesuffix("/value")] = item[:]

    file["observables"].visititems(take)
    return {n: v for n, v in found.items() if not n.startswith(("timing", "thermo", "budget"))}


def _judge_offline(case: Case, f: Frames, tally: Tally) -> None:
    """Compare search and images of some atoms with plain NumPy."""
    r, n = f.r, len(f.r)
    if not n:
        return
    rng = np.random.default_rng(case.seed)
    ids = f.columns["id"].astype(np.int64)
    cutoff = case.near * float(rng.uniform(0.9, 2.5))
    frame = Frame.from_arrays(r, f.cell, f.pbc, reach=cutoff * 1.0001, origin=f.origin, ids=ids)
    search = Neighbors(frame, cutoff)
    offsets, others, rows, vectors = search.vectors(cutoff, search.places, search.atoms)
    assert sorted(search.atoms.tolist()) == list(range(n))
    home = frame.positions[:n]  # wrapped; a vector does not depend on it
    for row in rng.permutation(n)[:12]:
        i = int(search.atoms[row])
        v, owner, d = reference.images_around(i, home, f.cell, f.pbc, cutoff)
        if len(d) and np.abs(d - cutoff).min() < 1e-4:
            continue
        mine = slice(offsets[row], offsets[row + 1])
        assert (rows[mine] == row).all()
        have = np.column_stack([frame.ids[others[mine]], vectors[mine]])
        want = np.column_stack([ids[owner], v])
        tally.add("neighbours", len(want))
        assert len(have) == len(want)
        have, want = (a[np.lexsort((np.round(a, 6) + 0.0).T)] for a in (have, want))
        np.testing.assert_allclose(have, want, atol=1e-8)
    chosen = rng.permutation(n)[:2]
    for settings in (
        {"scale_free": True, "size": 18, "ball": 18, "local": 14},
        {"cutoff": 1.9 * case.near, "size": 16},
    ):
        if settings.get("scale_free") and not any(f.pbc) and n < 20:
            continue
        weights = np.where(f.columns["type"] == 1, 1.0, -0.5) if case.types > 1 else None
        if n == 1 and not any(f.pbc):
            continue
        images = insitu.neighbors_map(r, f.cell, f.pbc, indices=chosen, weights=weights, **settings)  # type: ignore[arg-type]
        want = reference.neighbors_map(
            r,
            f.cell,
            f.pbc,
            indices=chosen,
            weights=weights,
            ids=np.arange(1, n + 1),
            **settings,  # type: ignore[arg-type]
        )
        ok = ~want.fragile
        scale = np.where(want.images == 0, 1.0, np.abs(want.images))
        error = np.abs(images - want.images) / scale
        assert not images[ok][want.images[ok] == 0].any()
        assert (error[ok, 0] <= 2e-5).all(), f"{settings}: {error[ok, 0].max():.2e}"
        beyond = (error[ok, 1:] > 2e-5) & ~want.blurred[ok][:, None]
        assert not beyond.any(), settings
        tally.add("images", int(ok.sum()))
