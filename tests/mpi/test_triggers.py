# SPDX-License-Identifier: BSD-3-Clause
"""Triggers in a run: the frames around a transition, across a restart, what LAMMPS is told; both hosts."""

import re
from pathlib import Path

import numpy as np
from conftest import Host

import insitu
from insitu.history.check import check_file

HEAD = """units metal
lattice fcc 4.05
region b prism 0 5 0 5 0 5 1.2 0.5 0.7 units lattice
create_box 1 b
create_atoms 1 box
mass 1 26.98
"""
FORCES = """pair_style soft 2.0
pair_coeff * * 1.0
comm_modify cutoff 7.2
neighbor 1.0 bin
fix move all nve
timestep 0.001
"""
DECK = HEAD + FORCES + "velocity all create 300 4711 loop geom\n"
#: The crystal melts at once, between two frames.
MELT = "displace_atoms all random 1.1 1.1 1.1 11 units box\n"
MELTED = "trigger name melt on disordered above 0.5 before 2 after 3"


def frames(path: Path) -> dict[int, np.ndarray]:
    """Return the rows of each frame of a text dump by id, by its step; the header is LAMMPS' own."""
    found: dict[int, np.ndarray] = {}
    for part in path.read_text().split("ITEM: TIMESTEP\n")[1:]:
        words, rows = part.split("ITEM: ATOMS", 1)
        lines = rows.splitlines()[1:]
        assert int(words.split("ITEM: NUMBER OF ATOMS\n")[1].split()[0]) == len(lines)
        table = np.array([line.split() for line in lines], dtype=float)
        assert int(words.split()[0]) not in found
        found[int(words.split()[0])] = table[np.argsort(table[:, 0])]
    return found


def test_the_frames_around_a_transition(host: Host, tmp_path: Path) -> None:
    for ranks in (1, 2, 3):
        folder = tmp_path / str(ranks)
        folder.mkdir()
        deck = DECK + host.monitor(5, file="a.h5", analyze=MELTED)
        deck += "dump d all custom 5 all.dump id type x y z\ndump_modify d format float %.9g\n"
        run = host.run(folder, deck + "run 20\n" + MELT + "run 40\n", ranks)
        assert run.code == 0, run.text[-2000:]
        assert "trigger melt: event 1 at step 25" in run.text
        assert "the 2 frames before an event are kept in memory" in run.text
        assert check_file(folder / "a.h5") == []
        history = insitu.open(folder / "a.h5")
        assert (history["fraction"].sel(phase="disordered", step=[20, 25]).values > 0.5).tolist() == [
            False, True,
        ]  # fmt: skip
        written, everything = frames(folder / "a.melt.1.dump"), frames(folder / "all.dump")
        assert list(written) == [15, 20, 25, 30, 35, 40]
        codes = history["code"].values
        for step, table in written.items():
            assert table.shape == (500, 6)
            assert np.abs(table[:, :5] - everything[step]).max() < 1e-5
            count = [(table[:, 5] == code).sum() for code in codes]
            assert count == history["count"].sel(step=step).values.tolist()
        events = history["melt_events"]
        assert events.values.tolist() == [0] * 4 + [1] * (events.sizes["step"] - 4)
        theirs = (folder / "all.dump").read_text().split("ITEM: ATOMS")[0].splitlines()[4:8]
        ours = (folder / "a.melt.1.dump").read_text().split("ITEM: ATOMS")[0].splitlines()[4:8]
        assert ours[0] == theirs[0]
        assert np.allclose(*[[list(map(float, x.split())) for x in w[1:]] for w in (ours, theirs)])
        assert not (folder / "a.melt.2.dump").exists()


def test_a_restart_within_an_event(host: Host, tmp_path: Path) -> None:
    """The run goes on beyond its restart file; what it wrote after that is replaced, not doubled."""
    monitor = host.monitor(5, file="a.h5", if_exists="append", analyze=MELTED)
    deck = DECK + monitor + "run 20\n" + MELT + "restart 30 at.*\nrun 15\n"
    run = host.run(tmp_path, deck, 2)
    assert run.code == 0, run.text[-2000:]
    path = tmp_path / "a.melt.1.dump"
    before = frames(path)
    assert list(before) == [15, 20, 25, 30, 35]
    with open(path, "a") as file:  # a kill in the middle of a frame
        file.write("ITEM: TIMESTEP\n40\nITEM: NUMBER OF ATOMS\n500\nITEM: BOX")
    deck = "units metal\nread_restart at.30\n" + FORCES + monitor + "run 30\n"
    run = host.run(tmp_path, deck, 3)
    assert run.code == 0, run.text[-2000:]
    after = frames(path)
    assert list(after) == [15, 20, 25, 30, 35, 40]
    for step in (15, 20, 25, 30):
        assert (after[step] == before[step]).all()
    assert np.abs(after[35] - before[35])[:, :5].max() < 1e-5
    assert "event 1" not in run.text
    history = insitu.open(tmp_path / "a.h5")
    assert history["step"].values.tolist() == list(range(5, 61, 5))
    assert history["melt_events"].values[-1] == 1
    # A new history beside files that are there.
    other = host.monitor(5, file="a.h5", if_exists="append", analyze=MELTED)
    (tmp_path / "a.h5").unlink()
    run = host.run(tmp_path, DECK + other + "run 5\n", 2)
    assert run.code != 0
    assert "a.melt.1.dump' exists, of an earlier run" in run.text
    assert list(frames(path)) == list(after)


def test_what_lammps_is_told_and_frames_more_often(host: Host, tmp_path: Path) -> None:
    """A variable that dump_modify skip and fix halt read; a finer interval; the end of a run."""
    words = (
        "trigger name melt on fcc below 0.5 variable molten often 5 during 4 "
        "analyze trigger name last on melt/active above 0.5 hold 7 end yes"
    )
    deck = DECK + "variable molten string 0\nvariable solid equal 1-v_molten\n"
    deck += host.monitor(5, file="a.h5", every=20, analyze=words)
    skips = host.name != "debian"  # dump_modify skip came after LAMMPS of 2021
    deck += "dump d all atom 5 d.dump\ndump_modify d skip v_solid\n" if skips else ""
    deck += "thermo 5\nthermo_style custom step v_solid\nrun 40\n" + MELT + "run 200\n"
    deck += 'print "now $(step)"\nrun 20\nprint "then $(step)"\n'
    run = host.run(tmp_path, deck, 2)
    assert run.code == 0, run.text[-2000:]
    steps = [20, 40, 60, 65, 70, 75, 80, 100, 120]
    history = insitu.open(tmp_path / "a.h5")
    assert history["step"].values.tolist() == steps
    assert "now 120" in run.text
    assert "then 120" in run.text  # later runs are skipped
    assert "a trigger: the run ends at step 120" in run.text
    seen = dict(re.findall(r"^ +(\d+) +([01]) *$", run.text, re.M))
    assert [int(step) for step, solid in seen.items() if solid == "0"] == list(range(60, 121, 5))
    if skips:
        text = (tmp_path / "d.dump").read_text().split("TIMESTEP")[1:]
        assert [int(part.split()[0]) for part in text] == list(range(60, 121, 5))


def test_what_is_wrong_ends_the_run_before_it_begins(host: Host, tmp_path: Path) -> None:
    def text(words: str) -> str:
        deck = DECK + host.monitor(10, file="a.h5", analyze=words) + "run 10\n"
        run = host.run(tmp_path, deck, 2)
        assert run.code != 0
        assert "Loop time" not in run.text
        return run.text

    said = text("trigger on disordered above 0.5 before 10 memory 0.01")
    assert "frames before an event take" in said
    assert "memory=0.01 MB" in said
    assert "variable molten string 0" in text("trigger on fcc below 0.5 variable molten")
    assert "on=liquid is not known" in text("trigger on liquid above 0.5")
    assert "give `every`" in text("trigger on fcc below 0.5 often 5")
    # Itself, and one that is decided after it.
    assert "on=trigger/active is not known" in text("trigger on trigger/active above 0.5")
    (tmp_path / "a.trigger.1.dump").mkdir()
    said = text("trigger on fcc above 0.5 before 1")
    assert "a.trigger.1.dump' exists, of an earlier run" in said


def test_the_same_run_once_more(host: Host, tmp_path: Path) -> None:
    """All frames of the history are written anew, and so are those of the event."""
    words = "trigger on fcc above 0.5 after 2"
    deck = DECK + host.monitor(10, file="a.h5", if_exists="append", analyze=words) + "run 40\n"
    for _ in range(2):
        run = host.run(tmp_path, deck, 1)
        assert run.code == 0, run.text[-2000:]
        found = frames(tmp_path / "a.trigger.1.dump")
        assert list(found) == list(insitu.open(tmp_path / "a.h5")["step"].values[:3])


def test_the_frames_before_an_event_outlive_a_restart(host: Host, tmp_path: Path) -> None:
    """As in a run in one piece: by the file of a restart in the middle of a run, and of one at its end."""
    words = MELTED.replace("before 2", "before 4") + " restart 20"
    monitor = host.monitor(5, file="a.h5", if_exists="append", analyze=words)
    melt, after = MELT + "run 30\n", "units metal\nread_restart at.{}\n" + FORCES + monitor
    whole = host.run(tmp_path, DECK + monitor + "run 30\n" + melt, 2)
    assert whole.code == 0, whole.text[-2000:]
    expected = frames(tmp_path / "a.melt.1.dump")
    assert list(expected) == [15, 20, 25, 30, 35, 40, 45, 50]
    for step, ranks in ((20, 3), (30, 1)):
        folder = tmp_path / str(step)
        folder.mkdir()
        deck = DECK + monitor + "restart 20 at.*\nrun 30\nwrite_restart at.30\n"
        # The first one ends without a word between two frames after its restart file.
        killed = "run 22\nshell kill -9 $PPID\n" if step == 20 else ""
        deck = deck.replace("run 30\n", killed) if killed else deck
        run = host.run(folder, deck, 2)
        assert (run.code == 0) == (step == 30), run.text[-2000:]
        kept = frames(folder / "a.before.dump")
        assert list(kept) == list(range(step - 15, step + 5, 5))
        rest = "run 10\n" if step == 20 else ""
        run = host.run(folder, after.format(step) + rest + melt, ranks)
        assert run.code == 0, run.text[-2000:]
        assert "event 1 at step 35" in run.text
        assert "not taken up" not in run.text
        found = frames(folder / "a.melt.1.dump")
        assert list(found) == list(expected)
        for at in set(found) & set(kept):  # the very bits, in another text
            single = [float(f"{x:.8g}") for x in kept[at][:, 2:5].astype(np.float32).flat]
            assert (found[at][:, 2:5].ravel() == single).all()
            assert (found[at][:, [0, 1, 5]] == kept[at][:, [0, 1, 5]]).all()
        cell = 4.05 * np.array([[5, 0, 0], [1.2, 5, 0], [0.5, 0.7, 5]])
        for at, table in list(found.items())[:4]:  # but for the images of atoms at the faces
            assert (table[:, [0, 1, 5]] == expected[at][:, [0, 1, 5]]).all()
            apart = (table - expected[at])[:, 2:5] @ np.linalg.inv(cell)
            assert np.abs(apart - apart.round()).max() < 1e-6, at
    # A history that is ahead of the file: its frames are not taken for those before the event.
    (folder / "a.melt.1.dump").unlink()
    text = (folder / "a.before.dump").read_text()
    (folder / "a.before.dump").write_text(text[: text.rindex("ITEM: TIMESTEP")])
    (folder / "a.before.old.dump").unlink()
    run = host.run(folder, after.format(30) + melt, 2)
    assert run.code == 0, run.text[-2000:]
    assert "are not taken up from" in run.text
    assert list(frames(folder / "a.melt.1.dump")) == [35, 40, 45, 50]


def test_a_restart_file_before_the_last_one(host: Host, tmp_path: Path) -> None:
    """A run that ended after its last restart file, or within that file: all frames are there as well."""
    words = MELTED.replace("before 2", "before 4") + " restart 20"
    monitor = host.monitor(5, file="a.h5", if_exists="append", analyze=words)
    run = host.run(tmp_path, DECK + monitor + "restart 20 at.*\nrun 60\nrun 15\nrun 3\n", 2)
    assert run.code == 0, run.text[-2000:]
    assert list(frames(tmp_path / "a.before.dump")) == [60, 65, 70, 75]
    assert list(frames(tmp_path / "a.before.old.dump")) == [45, 50, 55, 60]
    go_on = "units metal\nread_restart at.{}\n" + FORCES + monitor + "{}run 20\n"
    run = host.run(tmp_path, go_on.format(60, MELT), 3)
    assert run.code == 0, run.text[-2000:]
    assert "not taken up" not in run.text
    assert list(frames(tmp_path / "a.melt.1.dump")) == [45, 50, 55, 60, 65, 70, 75, 80]
    # From far before: no frame of the first course of the run is left to be found.
    (tmp_path / "a.melt.1.dump").unlink()
    run = host.run(tmp_path, go_on.format(20, "").replace("restart 20", "restart 40"), 1)
    assert run.code == 0, run.text[-2000:]
    assert "has no frame from before the restart" in run.text
    assert list(frames(tmp_path / "a.before.dump")) == [25, 30, 35, 40]
    assert not list(frames(tmp_path / "a.before.old.dump"))


def test_restart_files_between_frames_and_two_kills(host: Host, tmp_path: Path) -> None:
    """Frames every 7 steps, a restart file at 20, from which the run begins twice: none is lost."""
    words = "trigger name hot on temperature above 0 hold 3 before 2 after 1 restart 20"
    monitor = host.monitor(7, file="a.h5", if_exists="append", analyze=words)
    # An error in the middle of a run, after the frame at step 21.
    killed = "variable die equal 1/(24-step)\nthermo 1\nthermo_style custom step v_die\nrun 60\n"
    host.run(tmp_path, DECK + monitor + "restart 20 at.*\n" + killed, 2)
    assert list(frames(tmp_path / "a.before.dump")) == [7, 14]
    again = "units metal\nread_restart at.20\n" + FORCES + monitor
    host.run(tmp_path, again + killed, 1)
    assert list(frames(tmp_path / "a.before.dump")) == [7, 14]
    run = host.run(tmp_path, again + "run 12\n", 2)
    assert run.code == 0, run.text[-2000:]
    assert "not taken up" not in run.text
    assert list(frames(tmp_path / "a.hot.1.dump")) == [7, 14, 21, 28]
    assert list(frames(tmp_path / "a.before.dump")) == [21, 28]
    # What is in its way is named, also where it may be replaced.
    (tmp_path / "a.before.dump").unlink()
    (tmp_path / "a.before.dump").mkdir()
    over = host.monitor(7, file="a.h5", if_exists="overwrite", analyze=words)
    run = host.run(tmp_path, DECK + over + "run 7\n", 2)
    assert run.code != 0
    assert re.search(
        r"analyze hot: '\S*a\.before\.dump' is in the way .*; remove it or rename it", run.text
    )
