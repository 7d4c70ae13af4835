# SPDX-License-Identifier: BSD-3-Clause
"""How ranks come about: those of LAMMPS, of a program that was started on several, and one alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from insitu.errors import DeckError, launched
from insitu.frame.ranks.reduce import Ranks

if TYPE_CHECKING:
    from concurrent.futures import Executor


@contextmanager
def workers() -> Iterator[Executor | None]:
    """Let the other ranks of a program that was started on several work for the first; collective.

    Yields an executor on rank 0 (of mpi4py.futures), whose tasks the other ranks carry out. These get
    None when rank 0 has left the context.

    Raises
    ------
    DeckError
        On all ranks: mpi4py is missing, or of another MPI than the launcher.
    """
    try:
        from mpi4py import MPI
        from mpi4py.futures import MPICommExecutor
    except (ImportError, RuntimeError) as error:
        raise DeckError(
            f"{launched()[0]} processes were started by {launched()[1]} and mpi4py cannot be used "
            f"({error}): pip install 'insitu[mpi]', or start one process"
        ) from None
    if MPI.COMM_WORLD.Get_size() == 1:
        raise DeckError(
            f"{launched()[0]} processes were started by {launched()[1]}, but mpi4py sees 1 rank: it is "
            f"bound to another MPI ({', '.join(mpi_libraries()) or 'none'}). Start with the mpiexec of "
            "that one, or with srun --mpi=pmi2 (MPICH), --mpi=pmix (Open MPI); `insitu doctor` lists both"
        )
    with MPICommExecutor(MPI.COMM_WORLD, root=0) as executor:
        pool: Any = executor  # it has the methods of concurrent.futures, and no type in common
        yield pool


def only_this_rank() -> Any:
    """Return the communicator of this rank alone, for a LAMMPS of its own; None without mpi4py."""
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError):
        return None
    return MPI.COMM_SELF


def mpi_libraries() -> list[str]:
    """Return the MPI libraries that this process has loaded (their real paths)."""
    try:
        maps = Path("/proc/self/maps").read_text()
    except OSError:
        return []
    return sorted(set(re.findall(r"(/\S*/libmpi(?:ch)?\.so[.\d]*)", maps)))


def lammps_ranks(fortran_comm: int, world_size: int, universe_size: int) -> Ranks:
    """Return the ranks of a LAMMPS instance from its communicator; the same on every rank.

    Parameters
    ----------
    fortran_comm
        ``lammps_get_mpi_comm()``: the instance's own communicator, right under ``-partition``.
    world_size, universe_size
        Ranks of the instance and of all its partitions, as LAMMPS counts them.

    Raises
    ------
    DeckError
        The launcher belongs to another MPI than LAMMPS, mpi4py is missing or bound to another
        MPI library.
    """
    before = mpi_libraries()
    try:
        import mpi4py

        mpi4py.rc.initialize = False
        mpi4py.rc.finalize = False
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        if world_size == 1:
            _check_launcher(universe_size)
            return Ranks()
        raise DeckError(
            f"LAMMPS runs on {world_size} ranks and mpi4py cannot be used ({error}); pip install "
            "'insitu[mpi]'"
        ) from None
    loaded = mpi_libraries()
    if len(loaded) > 1 or not MPI.Is_initialized():
        other = [p for p in loaded if p not in before] or [MPI.Get_library_version()[:40]]
        raise DeckError(
            f"two MPI libraries are in this process, which ends in crashes: LAMMPS uses "
            f"{', '.join(before) or 'one that is linked in'}, mpi4py {', '.join(other)}. Install "
            "mpi4py from its wheel, which takes LAMMPS' MPI (pip install --force-reinstall "
            "--no-cache-dir mpi4py), or build it with LAMMPS' mpicc; `insitu doctor` lists all"
        )
    # A communicator of one rank is a user's choice, a world of one is not.
    _check_launcher(max(universe_size, MPI.COMM_WORLD.Get_size()))
    return Ranks(MPI.Comm.f2py(fortran_comm))


def _check_launcher(world: int) -> None:
    started, launcher = launched()
    if started > 1 and world == 1:
        raise DeckError(
            f"{started} processes were started by {launcher}, but this LAMMPS sees 1 "
            f"rank: it was built with another MPI ({', '.join(mpi_libraries()) or 'none'}), and "
            "every process would simulate the whole system. Start it with the mpiexec of LAMMPS' "
            "own MPI (`insitu doctor` lists both), or with srun --mpi=pmi2 (MPICH), --mpi=pmix (Open MPI)"
        )
