# SPDX-License-Identifier: BSD-3-Clause
"""Trajectories and topologies that MDAnalysis reads, such as DCD, PDB, GRO: its home but for XTC and TRR.

DCD, XTC and TRR are read frame by frame, from the first to the last: no list of offsets is made, so nothing
is written beside the trajectory. MDAnalysis' guesses of elements, types and times are not taken.
"""

from __future__ import annotations

import re
import struct
import warnings
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insitu.errors import SettingError
from insitu.frame.species import ELEMENTS
from insitu.offline.readers import xtc_frames
from insitu.offline.readers.configuration import Configuration
from insitu.offline.readers.dump_frame import Tell, Wanted
from insitu.offline.readers.soundness import shown
from insitu.offline.readers.streams import Stream
from insitu.offline.readers.text_ends import check_pdb, cut_text

#: Endings of formats that are left to MDAnalysis; DCD, XTC and TRR are told by their first bytes.
_ENDINGS = (
    "pdb", "ent", "pdbqt", "pqr", "gro", "mol2", "crd", "txyz", "arc", "inpcrd", "restrt", "coor",
    "namdbin", "nc", "ncdf", "tng", "trz", "gsd", "mmtf", "dcd", "xtc", "trr",
)  # fmt: skip
#: Endings of files that have a topology and no positions.
_TOPOLOGIES = ("psf", "prmtop", "parm7", "top", "tpr", "itp")
#: Time [ps] of CHARMM's unit: Å (atomic mass unit / (kcal/mol))^(1/2).
_AKMA = 0.04888821
Frames = Generator[Configuration | None, None, None]
_EXTRA = "pip install 'insitu[mdanalysis]'"


def trajectory_kind(head: bytes) -> str:
    """Return ``dcd``, ``xtc`` or ``trr`` for a file that begins like one, else ``""``."""
    if head[:8] in (b"\x54\0\0\0CORD", b"\0\0\0\x54CORD"):  # 84 bytes follow, in either order
        return "dcd"
    magic = struct.unpack(">i", head[:4])[0] if len(head) >= 4 else 0
    return {1995: "xtc", 2023: "xtc", 1993: "trr"}.get(magic, "")


def is_for_mdanalysis(path: str, topology: bool = False) -> bool:
    """Return whether a file's ending is that of a format that MDAnalysis reads here.

    Parameters
    ----------
    path
        The file; it may also end in .gz or .bz2.
    topology
        Also those that have no positions.
    """
    ending = re.sub(r"\.(gz|bz2)$", "", path.lower()).rpartition(".")[2]
    return ending in _ENDINGS or (topology and ending in _TOPOLOGIES)


def by_mdanalysis(
    path: str, kind: str, wanted: Wanted, tell: Tell
) -> Iterator[Configuration | None]:
    """Yield the configurations of a file that MDAnalysis reads; None for one that is not wanted.

    Parameters
    ----------
    path
        The file.
    kind
        ``dcd``, ``xtc``, ``trr``; ``""``: by its ending.
    wanted
        Whether frame k is wanted.
    tell
        Is told of frames that were cut.

    Raises
    ------
    SettingError
        MDAnalysis is not installed, or cannot read the file.
    """
    _present(path)
    if re.search(r"\.(pdb|ent)$", path.lower()):
        if said := check_pdb(path):
            tell(said)
    elif path.lower().endswith(".gro") and (line := cut_text(path)):
        raise SettingError(f"'{path}' was cut in its last line, '{shown(line)}'; copy it anew")
    reader = {"dcd": _dcd, "xtc": _xtc, "trr": _trr}.get(kind, _universe)
    frames, number = reader(path, wanted), 0
    try:
        while True:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # of what it guesses, which is not taken
                    found = next(frames)
            except StopIteration:
                break
            except ImportError as error:  # of a library for one format
                raise SettingError(
                    f"'{path}' cannot be read by MDAnalysis: {_line(error)}"
                ) from None
            except Exception as error:  # each of its readers has errors of its own
                if number:
                    tell(
                        f"'{path}': frame {number} is cut or damaged ({_line(error)}) and left out, with "
                        "what follows it; the frames before it are complete"
                    )
                    return
                raise SettingError(
                    f"'{path}' cannot be read by MDAnalysis as {kind.upper() or 'its ending says'} "
                    f"({_line(error)}); copy it anew if it was cut, or write it as a LAMMPS dump or "
                    "extended XYZ"
                ) from None
            yield found
            number += 1
        if kind == "dcd" and (rest := _rest_of_dcd(path)):
            tell(
                f"'{path}': frame {number} is incomplete (the file ends {rest} bytes into it) and left "
                "out; the frames before it are complete"
            )
    finally:
        frames.close()


def topology_of(path: str) -> Configuration:
    """Return ids, types and names of the atoms of a topology that MDAnalysis reads; positions are zero.

    Raises
    ------
    SettingError
        MDAnalysis is not installed, or cannot read the file.
    """
    _present(path)
    import MDAnalysis

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            atoms = MDAnalysis.Universe(path, to_guess=()).atoms
    except Exception as error:  # each of its parsers has errors of its own
        raise SettingError(
            f"--topology {path} cannot be read by MDAnalysis ({_line(error)}); give a LAMMPS data file, a "
            "dump, PSF, PDB, GRO or TPR"
        ) from None
    n = len(atoms)
    return Configuration(
        np.zeros((n, 3)), np.zeros((3, 3)), np.zeros(3), np.zeros(3, dtype=bool), **_identity(atoms)
    )


def _present(path: str) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of packages that it can do without
            import MDAnalysis  # noqa: F401
    except ImportError:
        raise SettingError(f"reading '{path}' needs MDAnalysis: {_EXTRA}") from None


def _line(error: BaseException) -> str:
    """Return the first line of an error."""
    return shown((str(error).strip().splitlines() or [type(error).__name__])[0], 160)


def _made(
    positions: NDArray[Any], cell: NDArray[Any] | None, step: int | None, time: float | None,
    units: str = "metal", **identity: Any,
) -> Configuration:  # fmt: skip
    """Return a configuration; it is periodic where there is a box: these formats do not say where."""
    box = np.zeros((3, 3)) if cell is None else np.asarray(cell, dtype=np.float64)
    periodic = bool(box.any())
    return Configuration(
        np.array(positions, dtype=np.float64), box, np.zeros(3), np.full(3, periodic), step, time, units,
        boundary_known=not periodic, **identity,
    )  # fmt: skip


def _decimal(value: float) -> float:
    """Return the shortest decimal number that is the same in single precision."""
    return float(str(np.float32(value)))


def _dcd(path: str, wanted: Wanted) -> Frames:
    """Yield the frames of a DCD file; LAMMPS writes its own units into it, others Å and AKMA times."""
    from MDAnalysis.lib.formats.libdcd import DCDFile
    from MDAnalysis.lib.mdamath import triclinic_vectors

    with DCDFile(path) as file:
        header = file.header
        lammps = "LAMMPS" in header["remarks"]
        first, every, delta = header["istart"], header["nsavc"], _decimal(header["delta"])
        length = delta if lammps else delta * _AKMA
        for k in range(len(file)):
            if not wanted(k):
                yield None
                continue
            file.seek(k)
            frame = file.read()
            cell = None
            if header["is_periodic"]:
                a, gamma, b, beta, alpha, c = frame.unitcell
                angles = np.array([alpha, beta, gamma])
                if (np.abs(angles) <= 1).all():  # cosines
                    angles = np.degrees(np.arccos(angles))
                cell = triclinic_vectors([a, b, c, *angles], dtype=np.float64)
            step = first + k * every
            time = step * length if delta > 0 else None
            yield _made(frame.xyz, cell, step, time, "" if lammps else "metal")


def _rest_of_dcd(path: str) -> int:
    """Return the bytes that follow a DCD file's last complete frame."""
    from MDAnalysis.lib.formats.libdcd import DCDFile

    with DCDFile(path) as file:
        # Records have their length before and after them; all frames are alike.
        n, k = file.header["natoms"], len(file)
        frame = 3 * (4 * n + 8) + (56 if file.header["is_periodic"] else 0)
    with open(path, "rb") as raw:
        head = raw.read(1 << 16)
    order = "<" if struct.unpack("<i", head[:4])[0] == 84 else ">"
    at = 0
    for _ in range(3):  # header, title, number of atoms
        at += struct.unpack(order + "i", head[at : at + 4])[0] + 8
    rest: int = Path(path).stat().st_size - at - k * frame
    return max(rest, 0)


def _xtc(path: str, wanted: Wanted) -> Frames:
    for frame in xtc_frames.frames(path, "xtc", wanted):
        yield None if frame is None else _of_gromacs(frame)


def _trr(path: str, wanted: Wanted) -> Frames:
    for frame in xtc_frames.frames(path, "trr", wanted):
        yield None if frame is None else _of_gromacs(frame)


def _of_gromacs(frame: Any) -> Configuration:
    """Return a frame in nm and ps."""
    return _made(
        10.0 * np.asarray(frame.x, np.float64), 10.0 * np.asarray(frame.box, np.float64),
        int(frame.step), _decimal(frame.time),
    )  # fmt: skip


def _universe(path: str, wanted: Wanted) -> Frames:
    """Yield the frames of any other file, with what it says itself of its atoms."""
    import MDAnalysis
    from MDAnalysis.lib.mdamath import triclinic_vectors

    universe = MDAnalysis.Universe(path, to_guess=())
    trajectory, identity = universe.trajectory, _identity(universe.atoms)
    of_all = _header_of_pdb(path)
    for k in range(trajectory.n_frames):
        if not wanted(k):
            yield None
            continue
        now = trajectory[k]
        box = of_all if now.dimensions is None else now.dimensions
        cell = None
        # One Å in all directions is how a PDB file says that it has no box.
        if box is not None and np.all(box[:3]) and not np.allclose(box[:3], 1.0):
            cell = triclinic_vectors(box, dtype=np.float64)
        step, time = now.data.get("step"), now.data.get("time")
        yield _made(
            now.positions, cell, None if step is None else int(step),
            None if time is None else _decimal(time), **identity,
        )  # fmt: skip


def _header_of_pdb(path: str) -> list[float] | None:
    """Return lengths [Å] and angles of the box that stands above all models of a PDB file."""
    if not re.search(r"\.(pdb|ent)(\.(gz|bz2))?$", path.lower()):
        return None
    head = Stream(path).head().partition(b"\nATOM")[0].decode(errors="replace")
    found = re.search(
        r"^CRYST1([ \d.]{9})([ \d.]{9})([ \d.]{9})([ \d.]{7})([ \d.]{7})([ \d.]{7})", head, re.M
    )
    try:
        return [float(word) for word in found.groups()] if found else None
    except ValueError:
        return None


def _identity(atoms: Any) -> dict[str, Any]:
    """Return ids, types and elements of atoms, as far as their file has them.

    Types that are words become 1, 2, … in the order of the alphabet, as do names where there are no types.
    A name is not taken for an element: W may be water.
    """
    found: dict[str, Any] = {}
    if hasattr(atoms, "ids"):
        found["ids"] = np.asarray(atoms.ids, dtype=np.int64)
        if len(np.unique(found["ids"])) < len(atoms):  # GRO and PDB count to 99999 and begin anew
            found["ids"] = np.arange(1, len(atoms) + 1)
    elements = [str(e).capitalize() for e in getattr(atoms, "elements", ())]
    if elements and all(e in ELEMENTS for e in elements):
        found["names"] = np.array(elements)
    words = getattr(atoms, "types", None)
    if words is None or not all(str(w) for w in words):
        words = found.get("names", getattr(atoms, "names", None))
    if words is None or not len(words):
        return found
    try:
        found["types"] = np.asarray([int(w) for w in words], dtype=np.int32)
    except ValueError:
        kinds = np.asarray(words, dtype=str)
        found["types"] = np.unique(kinds, return_inverse=True)[1].astype(np.int32) + 1
    return found
