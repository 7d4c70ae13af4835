# SPDX-License-Identifier: BSD-3-Clause
"""Watching a run: what is seen before, while and after it writes, and that it is left alone."""

from __future__ import annotations

import io
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from histories import append, create, melting
from small_histories import spawn

from insitu.errors import HistoryError
from insitu.views.dashboard import View
from insitu.views.lammps_log import last_step, target_of
from insitu.views.progress import Look, look, seconds_per_frame, steps_per_second
from insitu.views.terminal import duration, sparkline, terminal
from insitu.views.watch import watch

ROOT = Path(__file__).parents[2]


def view(seen: Look, width: int, height: int, encoding: str = "utf-8") -> list[str]:
    """Return the lines of the view in a terminal of that size."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding)
    console = terminal(stream, width)
    console.height = height + 1
    console.print(View(seen))
    stream.flush()
    return stream.buffer.getvalue().decode(encoding).splitlines()


def test_states_from_before_the_run_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    assert look(path).state == "waiting"
    writer = create(path)
    seen = look(path)
    assert (seen.state, seen.data) == ("waiting", None)
    assert "has not reached its first analysed step" in " ".join(view(seen, 80, 30))
    for step in range(0, 110, 10):
        append(writer, step)
    assert look(path, target=200).state == "running"
    assert look(path, target=100).state == "finished"
    writer.note_disabled(110, "no ghosts")
    assert look(path).state == "disabled"
    writer.close()
    melting(tmp_path / "b.h5")
    os.utime(tmp_path / "b.h5", (0, 0))
    assert look(tmp_path / "b.h5").state == "ended"


def test_a_running_writer_is_seen_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    writer = spawn(path)
    assert writer.stdout is not None
    try:
        for _ in range(3):
            writer.stdout.readline()
        seen, held = [], []
        while not seen or seen[-1] <= 256:  # over replacements of the file, one every 64 frames
            now = look(path)
            assert now.data is not None
            seen.append(now.data.sizes["step"])
            held.append(now.written)
        assert writer.poll() is None
        assert seen == sorted(seen)
        assert sum(held) > len(held) / 2  # while it replaces the file the writer holds no lock
    finally:
        writer.kill()
        writer.communicate()
    assert not look(path).written
    writer = spawn(path)  # nothing of ours is in the way of the next one
    assert writer.stdout is not None
    assert writer.stdout.readline().startswith("ready")
    writer.kill()
    writer.communicate()


def test_rate_is_that_of_the_wall_times(tmp_path: Path) -> None:
    data = look(melting(tmp_path / "a.h5")).data
    assert data is not None
    assert seconds_per_frame(data) == pytest.approx(1.0)  # 0.8 s of LAMMPS, 0.2 s of ours
    assert steps_per_second(data) == pytest.approx(10.0)
    seen = Look(tmp_path / "a.h5", data, "", 4.0, True, 1400)
    assert "1 min left" not in (text := "\n".join(view(seen, 100, 40)))
    assert "96 s" not in text
    assert "2 min left" in text  # (1400 - 400) / 10 - 4 s
    assert "29 %" in text


@pytest.mark.parametrize("width", [40, 60, 80, 120])
@pytest.mark.parametrize("height", [12, 24, 50])
def test_the_view_fits(tmp_path: Path, width: int, height: int) -> None:
    path = melting(tmp_path / "a.h5")
    lines = view(look(path, target=4000), width, height)
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    assert "step 400 of 4,000" in text
    assert "running" in lines[0]
    if height > 12:
        (row,) = (line for line in lines if line.startswith("disordered"))
        assert row.endswith("98.9 %")
        assert "█" in row
    ascii_only = "\n".join(view(look(path), width, height, "ascii"))
    assert ascii_only.isascii()


def test_colours_are_for_terminals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    path = melting(tmp_path / "a.h5")
    for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    assert watch(path, once=True, out=(out := Terminal())) == 0
    assert "38;5;71" in out.getvalue()  # fcc
    monkeypatch.setenv("NO_COLOR", "1")
    assert watch(path, once=True, out=(out := Terminal())) == 0
    assert "38;5;" not in out.getvalue()
    monkeypatch.setenv("TERM", "dumb")  # an editor's window: lines, no second screen
    assert watch(path, out=(out := Terminal()), target=400) == 0
    assert "\x1b[?1049h" not in out.getvalue()
    assert "step 400" in out.getvalue().splitlines()[-1]


def test_a_view_follows_the_size_of_the_terminal(tmp_path: Path) -> None:
    seen = View(look(melting(tmp_path / "a.h5"), target=4000))
    console = terminal(io.StringIO())
    for width, height in ((120, 40), (50, 20)):
        console.size = console.size._replace(width=width, height=height)
        lines = console.render_lines(seen, console.options)
        assert len(lines) < height
        assert {sum(part.cell_length for part in line) for line in lines} == {width}


def test_sparklines() -> None:
    assert sparkline([0, 0.5, 1], 3, low=0, high=1) == [" ▅█"]
    assert sparkline([0, 0.5, 1], 3, low=0, high=1, rows=2) == [" ▁█", " ██"]
    assert sparkline([300, np.nan, 400], 3) == ["▁ █"]
    assert sparkline([7.0], 4) == ["▅▅▅▅"]
    assert sparkline([np.nan] * 3, 3) == ["   "]
    assert [duration(s) for s in (42, 700, 12000, 200000)] == [
        "42 s", "12 min", "3 h 20 min", "2 d 7 h",
    ]  # fmt: skip


LOG = "run ${{n}}\nrun 500\nPer MPI rank\n   Step  Temp\n       {}  300\n     100  300\n"


def test_last_step_of_a_log(tmp_path: Path) -> None:
    assert last_step(LOG.format(0).splitlines()) == 500
    assert last_step(LOG.format(2000).splitlines()) == 2500
    assert last_step([]) is None
    assert last_step(["run 500", "   Step  Temp"]) is None  # it has not printed where it begins
    two = LOG.format(0) + "Loop time of 1\nrun 300 upto\n   Step  Temp\n  100 300\n"
    assert last_step(two.splitlines()) == 300
    assert last_step((LOG.format(0) + "minimize 0 0 10 10\n").splitlines()) is None
    (tmp_path / "my.log").write_text(LOG.format(0))
    about = {"folder": str(tmp_path), "command": "lmp -in in.melt -log my.log"}
    assert target_of(about) == 500
    assert target_of({**about, "command": "lmp -in in.melt"}) is None
    path = melting(tmp_path / "a.h5", **about)
    assert look(path).target == 500
    path = melting(tmp_path / "b.h5", range(0, 610, 10), **about)
    assert look(path).target is None  # the log is not of this run: it is beyond


def test_once_and_lines_where_there_is_no_terminal(tmp_path: Path) -> None:
    out = io.StringIO()
    assert watch(tmp_path / "a.h5", once=True, out=out) == 1
    assert "does not exist yet" in out.getvalue()
    path = melting(tmp_path / "a.h5", range(0, 50, 10))
    out = io.StringIO()
    assert watch(path, once=True, out=out, width=70) == 0
    assert "\x1b" not in out.getvalue()
    out = io.StringIO()
    assert watch(path, out=out, target=40) == 0  # it has reached its end
    lines = out.getvalue().splitlines()
    assert len(lines) == 5
    assert re.match(r"step 40  0\.08 ps  380 K  .*fcc 98\.5 %  hcp 1\.0 %", lines[-1])


def test_a_file_that_is_no_history_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.h5").write_text("LAMMPS")
    with pytest.raises(HistoryError, match="not an HDF5 file"):
        watch(tmp_path / "a.h5", out=io.StringIO())


def test_on_a_terminal_until_ctrl_c(tmp_path: Path) -> None:
    """The file comes, grows, is replaced by another; Ctrl-C gives the terminal back."""
    path = tmp_path / "a.h5"
    main, side = pty.openpty()
    code = "import sys; from insitu.cli.command import main; sys.exit(main())"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "watch", str(path), "--seconds", "0.1"],
        stdin=side, stdout=side, stderr=side, cwd=ROOT, start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8", "TERM": "xterm"},
    )  # fmt: skip
    os.close(side)
    seen = ""

    def wait_for(words: str) -> None:
        nonlocal seen
        end = time.monotonic() + 30
        while words not in seen:
            assert time.monotonic() < end, f"no {words!r} in {seen[-2000:]!r}"
            if select.select([main], [], [], 0.5)[0]:
                seen += os.read(main, 65536).decode(errors="replace")

    try:
        wait_for("does not exist yet")
        writer = create(path)
        append(writer, 0)
        wait_for("1 frame ")
        append(writer, 10)
        wait_for("2 frames every 10 steps")
        writer.close()
        melting(tmp_path / "new.h5", range(0, 130, 10))
        os.replace(tmp_path / "new.h5", path)
        wait_for("13 frames")
        process.send_signal(signal.SIGINT)
        wait_for("\x1b[?1049l")
        assert process.wait(20) == 0
        assert "Traceback" not in seen
        assert seen.index("\x1b[?1049h") < seen.index("\x1b[?1049l")
    finally:
        process.kill()
        process.wait()
        os.close(main)
