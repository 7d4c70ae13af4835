# SPDX-License-Identifier: BSD-3-Clause
"""Loaded by the Python inside LAMMPS when a test asks for it: faults, and a look at labels.

INSITU_TEST_FAULT="where:rank" makes one rank (or "all") fail there; INSITU_TEST_LABELS=folder has
each rank write labels and probabilities of its atoms.
"""

import os


def _mine(rank: str) -> bool:
    this = os.environ.get("OMPI_COMM_WORLD_RANK") or os.environ.get("PMI_RANK") or "0"
    return rank in ("all", this)


def _break(owner: object, name: str, at_call: int) -> None:
    original, calls = getattr(owner, name), [0]

    def broken(*arguments: object, **more: object) -> object:
        calls[0] += 1
        if calls[0] >= at_call:
            raise RuntimeError("injected fault")
        return original(*arguments, **more)

    setattr(owner, name, broken)


def _faults() -> None:
    where, rank = os.environ["INSITU_TEST_FAULT"].split(":")
    if not _mine(rank):
        return
    if where == "import":  # a broken file system on one node
        import sys

        class Broken:
            def find_spec(self, name: str, path: object = None, target: object = None) -> None:
                if name == "insitu.pipeline.pipeline":
                    raise RuntimeError("injected fault")

        sys.meta_path.insert(0, Broken())  # type: ignore[arg-type]
        return
    import insitu.frame.ranks.packing as packing
    import insitu.lammps.view as lammps_view
    import insitu.models.classifier as classifier
    import insitu.pipeline.build as requested

    if where == "load":
        _break(requested, "load", 1)
    elif where == "frame":
        original = lammps_view.LammpsView.frame

        def broken(self, *arguments, **more):  # type: ignore[no-untyped-def]
            if self.step >= 20:  # the second frame
                raise RuntimeError("injected fault")
            return original(self, *arguments, **more)

        lammps_view.LammpsView.frame = broken  # type: ignore[method-assign]
    elif where == "sigterm":
        import signal

        taken = lammps_view.LammpsView.frame

        def asked(self, *arguments, **more):  # type: ignore[no-untyped-def]
            if self.step == 20:
                os.kill(os.getpid(), signal.SIGTERM)
            return taken(self, *arguments, **more)

        lammps_view.LammpsView.frame = asked  # type: ignore[method-assign]
    elif where == "analysis":
        _break(classifier.Classifier, "probabilities", 2)
    elif where == "slow":  # beside the simulation, until LAMMPS has called four times or waits
        import threading
        import time

        import insitu.frame.ranks.relay as relay

        labels, advance, calls = classifier.Classifier.probabilities, relay.Beside.advance, [0]

        def called(self, wait):  # type: ignore[no-untyped-def]
            calls[0] += 100 if wait else 1
            return advance(self, wait)

        def slowly(self, neighbors):  # type: ignore[no-untyped-def]
            at = calls[0]
            while threading.current_thread() is not threading.main_thread() and calls[0] < at + 4:
                time.sleep(0.001)
            return labels(self, neighbors)

        relay.Beside.advance = called  # type: ignore[method-assign]
        classifier.Classifier.probabilities = slowly  # type: ignore[method-assign]
    elif where == "layer":  # between two layers of a graph, where ranks exchange features
        import insitu.frame.ghosts.halo as halo

        _break(halo.Halo, "fill", 4)
    elif where == "collective":
        _break(packing.Packing, "unpack", 2)
    elif where == "write":
        import insitu.history.writing.writer as series

        _break(series.Series, "append", 2)
    else:
        raise SystemExit(f"unknown fault {where}")


def _labels() -> None:
    import numpy as np

    import insitu.analyses.phases.analysis as phases
    import insitu.models.classifier as classifier

    original, calls = phases.Phases.__call__, [0]
    batches = classifier.Classifier.probabilities

    def probabilities(self, neighbors):  # type: ignore[no-untyped-def]
        n = neighbors.frame.n_local
        self.spied = np.zeros((n, len(self.model.card.classes)), dtype=np.float32)
        for atoms, batch, found in batches(self, neighbors):
            self.spied[atoms] = batch
            yield atoms, batch, found

    classifier.Classifier.probabilities = probabilities  # type: ignore[method-assign]

    def spied(self, frame, neighbors):  # type: ignore[no-untyped-def]
        sums = original(self, frame, neighbors)
        rank = os.environ.get("OMPI_COMM_WORLD_RANK") or os.environ.get("PMI_RANK") or "0"
        np.savez(
            os.path.join(os.environ["INSITU_TEST_LABELS"], f"labels.{calls[0]}.{rank}.npz"),
            ids=frame.ids[: frame.n_local].copy(),
            positions=frame.positions[: frame.n_local].copy(),
            labels=self.labels,
            confidence=self.confidence,
            probabilities=self.classifier.spied,
        )
        calls[0] += 1
        return sums

    phases.Phases.__call__ = spied  # type: ignore[method-assign]


if os.environ.get("INSITU_TEST_FAULT"):
    _faults()
if os.environ.get("INSITU_TEST_LABELS"):
    _labels()
