# SPDX-License-Identifier: BSD-3-Clause
"""Threads of the kernels: as many as asked for, none beside one, the same results."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

import insitu
from insitu.descriptors.neighbors_map import NeighborsMap
from insitu.errors import SettingError
from insitu.frame.frame import Frame
from insitu.frame.neighbors.search import Neighbors
from insitu.frame.threads import thread_count
from insitu.pipeline.given_settings import make
from insitu.pipeline.settings import Settings
from insitu.testing import lattice

PROGRAM = """
import os, sys
import numpy as np
import insitu
from insitu.testing import lattice
r, cell = lattice("fcc", 4.05, (9, 9, 9))
r += 0.1 * np.random.default_rng(0).normal(size=r.shape)
before = len(os.listdir("/proc/self/task"))
threads = int(sys.argv[1]) or None
found = insitu.classify(r, cell, True, threads=threads)
after = len(os.listdir("/proc/self/task"))
print(after - before, len(os.sched_getaffinity(0)), found.probabilities.tobytes().hex()[:4000])
"""


def _run(threads: int, **environment: str) -> tuple[int, int, str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("OMP_")}
    result = subprocess.run(
        [sys.executable, "-P", "-c", PROGRAM, str(threads)],
        env=clean | environment, capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    made, usable, bits = result.stdout.split()
    return int(made), int(usable), bits


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc")
def test_one_thread_makes_none_and_more_give_the_same_bits() -> None:
    made, usable, bits = _run(1)
    assert made == 0
    more, after, again = _run(3)
    assert more == 2  # OpenMP's team has the caller in it
    assert again == bits
    assert after == usable  # affinity is left alone
    by_variable, _, again = _run(0, OMP_NUM_THREADS="2,1")
    assert by_variable == 1
    assert again == bits


def test_how_many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert thread_count(None) == 1
    assert thread_count(None, 6) == 6
    monkeypatch.setenv("OMP_NUM_THREADS", "4,2")
    assert thread_count(None, 6) == 4
    assert thread_count(3) == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    assert thread_count(None) == 1
    assert Settings().threads is None
    assert make(threads="2").threads == 2
    with pytest.raises(SettingError, match="threads=0 is not usable; give 1 … 1024"):
        make(threads="0")
    r, cell = lattice("fcc", 4.05, (3, 3, 3))
    monkeypatch.setenv("OMP_NUM_THREADS", "999999")
    assert thread_count(None, 2) == 2
    with pytest.raises(SettingError, match="threads=20000"):
        insitu.classify(r, cell, True, threads=20000)
    with pytest.raises(SettingError, match="threads=0"):
        insitu.classify(r, cell, True, threads=0)


@pytest.mark.parametrize("scale_free", [False, True])
def test_images_do_not_depend_on_threads_or_batch(scale_free: bool) -> None:
    r, cell = lattice("bcc", 2.9, (7, 7, 7))
    r += 0.1 * np.random.default_rng(1).normal(size=r.shape)
    frame = Frame.from_arrays(r, cell, True, reach=6.01)
    search = Neighbors(frame, 6.0)
    kind = NeighborsMap(scale_free=scale_free)
    found = []
    for threads, batch in ((1, 64), (2, 64), (3, 500), (1, 1)):
        out = np.zeros((len(r), 1, 32, 32), dtype=np.float32)
        for atoms, images, _ in kind.batches(search, threads=threads, batch=batch):
            out[atoms] = images
        found.append(out)
    assert all((f == found[0]).all() for f in found)
    assert found[0].std() > 0
