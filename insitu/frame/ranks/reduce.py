# SPDX-License-Identifier: BSD-3-Clause
"""Everything collective. How ranks come about is in :mod:`insitu.frame.ranks.launch`.

A rank that fails alone must not leave the others waiting. So every stage that can fail locally
ends in :meth:`Ranks.agree`, after which all ranks raise, or none.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from insitu.errors import InsituError, describe, say

if TYPE_CHECKING:
    pass

#: Of messages from rank to rank: LAMMPS uses the same communicator, with other tags. The two further ones
#: are those of :meth:`Ranks.deliver`, in turn.
_TAG = 1517


#: What launchers call a process' number on its node.
_LOCAL_RANKS = (
    "OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "PALS_LOCAL_RANKID", "MV2_COMM_WORLD_LOCAL_RANK",
    "SLURM_LOCALID",
)  # fmt: skip


#: Communicators of :meth:`Ranks.lasting` that are not used now.
_SPARE: list[Any] = []


class Ranks:
    """The MPI ranks of one LAMMPS instance, or the single rank of a serial one.

    Parameters
    ----------
    comm
        An mpi4py communicator; None for one rank without MPI.
    """

    def __init__(self, comm: Any = None) -> None:
        self._comm = comm
        self._delivered = 0
        #: Which ranks are near this one (:mod:`insitu.frame.ghosts.partners`), kept from frame to frame.
        self.partners: Any = None
        self.rank: int = comm.Get_rank() if comm is not None else 0
        self.size: int = comm.Get_size() if comm is not None else 1

    def lasting(self) -> Ranks:
        """Return the same ranks by a communicator that LAMMPS does not free at its end; collective.

        One that was given back is taken again: there are some thousand communicators at most, and a deck
        may define its fix in a loop.
        """
        if self._comm is None:
            return self
        from mpi4py import MPI

        same = (k for k, c in enumerate(_SPARE) if MPI.Comm.Compare(self._comm, c) == MPI.CONGRUENT)
        spare = next(same, None)
        if self.sum(np.array([float(spare is not None)]))[0] == self.size and spare is not None:
            return Ranks(_SPARE.pop(spare))
        return Ranks(self._comm.Dup())

    def give_back(self) -> None:
        """Keep a communicator of :meth:`lasting` for the next one; nothing uses these ranks any more."""
        if self._comm is not None:
            _SPARE.append(self._comm)

    def local_rank(self) -> int:
        """Return this process' number on its node; collective.

        From the launcher, which knows all partitions of a run; else among the ranks of this LAMMPS.
        """
        for name in _LOCAL_RANKS:
            if os.environ.get(name, "").isdecimal():
                return int(os.environ[name])
        if self._comm is None:
            return 0
        from mpi4py import MPI

        node = self._comm.Split_type(MPI.COMM_TYPE_SHARED)
        mine = int(node.Get_rank())
        node.Free()
        return mine

    def agree(self, problem: str | None) -> None:
        """Raise on all ranks if any rank has a problem; collective.

        Parameters
        ----------
        problem
            This rank's message, None if all is well.

        Raises
        ------
        InsituError
            With the message of the lowest rank that has one, and how many others there are.
        """
        if self._comm is None:
            problems = {0: problem} if problem else {}
        else:
            failed = self.sum(np.array([1.0 if problem else 0.0]))
            if not failed[0]:
                return
            problems = {r: p for r, p in enumerate(self._comm.allgather(problem)) if p}
        if problems:
            first, *others = problems.items()
            where = (
                f" (on {len(problems)} of {self.size} ranks)"
                if others
                else f" (on rank {first[0]})"
            )
            if self.size > 1 and "\n" in first[1]:  # its last line may be one to be pasted
                where = "\n" + where.strip()
            raise InsituError(first[1] + (where if self.size > 1 else ""))

    def sum(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the element-wise sum over the ranks, on every rank."""
        if self._comm is None or self.size == 1:
            return values
        total = np.empty_like(values)
        self._comm.Allreduce(np.ascontiguousarray(values), total)
        return total

    def largest(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the element-wise maximum over the ranks, on every rank."""
        if self._comm is None or self.size == 1:
            return values
        from mpi4py import MPI

        most = np.empty_like(values)
        self._comm.Allreduce(np.ascontiguousarray(values), most, op=MPI.MAX)
        return most

    def any(self, flag: bool) -> bool:
        """Return whether the flag is set on any rank; collective."""
        return bool(self.sum(np.array([float(flag)]))[0])

    def come(self, seconds: float) -> bool:
        """Return whether all ranks get here within a time, where one may have failed.

        Parameters
        ----------
        seconds
            That this rank waits for the others.
        """
        if self._comm is None:
            return True
        from mpi4py import MPI

        if MPI.Is_finalized():
            return False
        # Twice: one that comes late finds that the others were here, and not that they have left. Who has
        # left the first barrier does not come to the second.
        for _ in range(2):
            barrier, until = self._comm.Ibarrier(), time.monotonic() + seconds
            while not barrier.Test():
                if time.monotonic() > until:
                    return False
                time.sleep(1e-4)
        return True

    def from_first(self, texts: list[bytes]) -> list[bytes]:
        """Return what rank 0 has, on every rank; all have as many; collective."""
        here = self.rank == 0
        lengths = self.sum(np.array([len(t) * here for t in texts], dtype=np.float64))
        found = []
        for text, length in zip(texts, lengths, strict=True):
            one = np.zeros(int(length))
            if here:
                one[:] = np.frombuffer(text, dtype=np.uint8)
            found.append(self.sum(one).astype(np.uint8).tobytes())
        return found

    def gather(self, values: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        """Return every rank's table ``(k, width)`` on rank 0, nothing elsewhere; collective."""
        if self._comm is None:
            return [values]
        sizes = self._comm.gather(values.size)
        out = np.empty(sum(sizes)) if self.rank == 0 else None
        self._comm.Gatherv(np.ascontiguousarray(values), [out, sizes] if self.rank == 0 else None)
        if out is None:
            return []
        parts = np.split(out, np.cumsum(sizes)[:-1])
        return [part.reshape(-1, values.shape[1]) for part in parts]

    def everyones(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the rows ``(k, width)`` of all ranks, in their order, on every rank; collective."""
        if self._comm is None:
            return values
        sizes = self._comm.allgather(values.size)
        out = np.empty(sum(sizes))
        self._comm.Allgatherv(np.ascontiguousarray(values), [out, sizes])
        return out.reshape(-1, values.shape[1])

    def deliver(
        self, sent: Mapping[int, NDArray[Any]], dtype: type[Any]
    ) -> dict[int, NDArray[Any]]:
        """Send arrays to some ranks, which do not know that they will get one; collective.

        No rank does more than its own messages and a barrier ask for: the algorithm NBX of Hoefler,
        Siebert and Lumsdaine, PPoPP (2010), doi:10.1145/1693453.1693476.

        Parameters
        ----------
        sent
            An array, of one dimension and type `dtype`, for each rank that is to have one.
        dtype
            Of all arrays.

        Returns
        -------
        dict
            What came, by the rank that sent it; this rank's own included.
        """
        came = {r: np.asarray(a, dtype=dtype) for r, a in sent.items() if r == self.rank}
        if self._comm is None:
            return came
        try:
            return came | self._deliver(sent, dtype)
        except Exception as error:  # others wait for this rank's messages
            self.abort(f"the exchange between ranks failed: {describe(error)}")

    def _deliver(
        self, sent: Mapping[int, NDArray[Any]], dtype: type[Any]
    ) -> dict[int, NDArray[Any]]:
        from mpi4py import MPI

        # A rank that is done may begin the next delivery while another still listens to this one.
        self._delivered += 1
        tag = _TAG + 1 + self._delivered % 2
        held = [
            (r, np.ascontiguousarray(a, dtype=dtype)) for r, a in sent.items() if r != self.rank
        ]
        leaving = [self._comm.Issend([a, MPI.BYTE], dest=r, tag=tag) for r, a in held]
        came: dict[int, NDArray[Any]] = {}
        status, barrier = MPI.Status(), None
        while barrier is None or not barrier.Test():
            if self._comm.Iprobe(source=MPI.ANY_SOURCE, tag=tag, status=status):
                source = status.Get_source()
                one = np.empty(status.Get_count(MPI.BYTE) // np.dtype(dtype).itemsize, dtype)
                self._comm.Recv([one, MPI.BYTE], source=source, tag=tag)
                came[source] = one
            elif barrier is None and MPI.Request.Testall(leaving):
                barrier = self._comm.Ibarrier()  # all that was sent has arrived
            else:
                os.sched_yield()
        return came

    def between(
        self, sent: Mapping[int, NDArray[Any]], dtype: type[Any]
    ) -> dict[int, NDArray[Any]]:
        """Exchange arrays with some ranks that exchange with this one, too.

        Parameters
        ----------
        sent
            An array, of one dimension and type `dtype`, for each of them; its length is this rank's
            affair.
        dtype
            Of all arrays.
        """
        one = dict.fromkeys(sent, 1)
        lengths = self.trade({r: np.array([len(a)]) for r, a in sent.items()}, one, np.int64)
        return self.trade(sent, {r: int(n[0]) for r, n in lengths.items()}, dtype)

    def trade(
        self, sent: Mapping[int, NDArray[Any]], most: Mapping[int, int], dtype: type[Any]
    ) -> dict[int, NDArray[Any]]:
        """Send arrays to some ranks and receive from some, and from no others.

        Parameters
        ----------
        sent
            An array, of one dimension and type `dtype`, for each rank that awaits one.
        most
            For each rank that sends one, how many elements it can have.
        dtype
            Of all arrays.
        """
        if self._comm is None:
            return {}
        try:
            return self._trade(sent, most, dtype)
        except Exception as error:  # others wait for this rank's messages
            self.abort(f"the exchange of features failed: {describe(error)}")

    def _trade(
        self, sent: Mapping[int, NDArray[Any]], most: Mapping[int, int], dtype: type[Any]
    ) -> dict[int, NDArray[Any]]:
        from mpi4py import MPI

        came = {r: np.empty(n, dtype=dtype) for r, n in most.items()}
        awaited = [self._comm.Irecv([a, MPI.BYTE], source=r, tag=_TAG) for r, a in came.items()]
        held = [(r, np.ascontiguousarray(a, dtype=dtype)) for r, a in sent.items()]
        leaving = [self._comm.Isend([a, MPI.BYTE], dest=r, tag=_TAG) for r, a in held]
        status = [MPI.Status() for _ in awaited]
        MPI.Request.Waitall(awaited, status)
        MPI.Request.Waitall(leaving)
        width = np.dtype(dtype).itemsize
        return {
            r: a[: s.Get_count(MPI.BYTE) // width]
            for (r, a), s in zip(came.items(), status, strict=True)
        }

    def abort(self, message: str) -> NoReturn:
        """End the run at once: for a failure within a collective call, when ranks cannot agree."""
        say(f"rank {self.rank}: {message}")
        if self._comm is not None:
            self._comm.Abort(1)
        os._exit(1)
