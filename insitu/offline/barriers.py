# SPDX-License-Identifier: BSD-3-Clause
"""Energy barriers of the atoms of a glass, on a configuration in memory."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import ArrayLike, NDArray

from insitu.errors import SettingError
from insitu.frame.frame import Frame
from insitu.frame.neighbors.search import Neighbors
from insitu.models.barriers import load
from insitu.models.engines.barriers import BarrierSettings, Pairs

#: Atoms of a glass are further apart than this [Å].
_CLOSEST = 1.2


def barriers(
    positions: ArrayLike,
    cell: ArrayLike | None,
    pbc: ArrayLike | bool,
    species: ArrayLike | None,
    *,
    model: str = "cuzr-barriers",
) -> NDArray[np.float64]:
    """Return the mean energy barrier that each atom of a glass has to cross to rearrange.

    The positions have to be those of an inherent structure: quenched or minimised. Of thermal positions the
    barriers are wrong.

    Parameters
    ----------
    positions
        ``(n, 3)`` [Å].
    cell
        ``(3, 3)`` cell vectors as rows, or ``(3,)`` lengths [Å]; None if nothing is periodic.
    pbc
        One flag or three.
    species
        ``(n,)`` symbols (``"Cu"``), atomic numbers, or masses [g/mol].
    model
        Name of a shipped model of energy barriers, or path of an artefact.

    Returns
    -------
    barriers
        float64 ``(n,)`` [eV].

    Warns
    -----
    UserWarning
        Composition, surroundings of some atoms, or the mean barrier are outside of what the model was
        trained on.

    Raises
    ------
    ModelError
        The model is missing, damaged, or of another kind.
    SettingError
        A wrong shape, a foreign element, or a composition or density that the model knows nothing of.
    InsituError
        A position is not finite.

    References
    ----------
    Boattini, Smallenburg & Filion, Phys. Rev. Lett. 127, 088007 (2021), for averaged local densities;
    Cancès et al., J. Chem. Phys. 130, 114711 (2009), for the activation-relaxation technique that samples
    such barriers.
    """
    loaded = load(model)
    settings = loaded.card.settings
    frame = Frame.from_arrays(positions, cell, pbc, reach=settings.cutoff * (1 + 1e-4))
    kinds = loaded.kinds(species, frame.n_local)
    said = [loaded.check_composition(kinds)]
    search = Neighbors(frame, settings.cutoff)
    # Of some atoms first: lengths in nm would give each of them thousands of neighbours.
    some = search.lists(settings.cutoff, search.places[:: max(len(search.places) // 200, 1)])[0]
    if len(some) > 1:
        loaded.check_density(float(loaded.outside(np.diff(some)).mean()))
    atoms, pairs = whole(settings, search)
    if len(atoms):
        said.append(loaded.check_density(float(loaded.outside(np.diff(pairs.offsets)).mean())))
    found = np.empty(len(atoms))
    found[atoms] = loaded.network.whole(pairs, kinds[atoms])
    if len(atoms):
        said.append(loaded.check_level(float(found.mean())))
    for advice in filter(None, said):
        warnings.warn(f"insitu.barriers: {advice}", UserWarning, stacklevel=2)
    return found


def whole(settings: BarrierSettings, search: Neighbors) -> tuple[NDArray[np.int32], Pairs]:
    """Return the pairs of a sample that is here as a whole.

    Parameters
    ----------
    settings
        Of the model.
    search
        Over the sample with its periodic images, as far as the model's cutoff.

    Returns
    -------
    atoms
        ``(n,)`` atom of each row of the pairs.
    pairs
        Neighbours as rows, periodic images as the row of their atom.

    Raises
    ------
    SettingError
        Two atoms are at one place, or nearly.
    """
    frame, atoms = search.frame, search.atoms
    offsets, others, _, vectors = search.vectors(settings.cutoff, search.places, atoms)
    row = np.empty(frame.n_local, dtype=np.int64)
    row[atoms] = np.arange(frame.n_local)
    pairs = Pairs.make(settings, offsets, row[frame.ids[others] - 1], vectors)
    if (least := pairs.distance.min(initial=np.inf)) < _CLOSEST:
        raise SettingError(
            f"two atoms are {least:.3g} Å apart, which no glass has (lengths in Å? atoms created "
            "twice?); give a minimised sample"
        )
    return atoms, pairs
