# SPDX-License-Identifier: BSD-3-Clause
"""The network of energy barriers, as a torch module: local terms that spread over neighbours."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from insitu.models.engines.barriers import TERMS, BarrierSettings
from insitu.models.networks.whole_sample import harmonics


class BarrierNetwork(nn.Module):
    r"""Energy barriers of atoms from radial densities, by messages of one number an atom.

    :math:`x_i` are the radial densities :math:`\sum_j f(r_{ij}) \exp(-(r_{ij} - c_k)^2 / 2 \sigma^2)` of
    atom *i*, over its neighbours of each species; *f* falls to 0 at the cutoff. With ``settings.angular``
    there are power spectra :math:`\sum_{jk} R_a(r_{ij}) R_b(r_{ik}) P_l(\cos θ_{jik})` beside them, of
    coarser Gaussians *R* of each species. Five linear functions of all these, :math:`e_0 \dots e_4`,
    different for each species of the atom, make the barrier

    .. math:: y = e_0 + A (e_1 + A (e_2 + A^2 e_3)) + \sum_s S_s e_4,

    where *A* is the mean over an atom and its neighbours, weighted by :math:`f(r) \exp(-r/\xi)`, and
    :math:`S_s` the mean over the neighbours of species *s* in the first shell.

    Parameters
    ----------
    settings
        Radial densities and averages.

    References
    ----------
    Boattini, Smallenburg & Filion, Phys. Rev. Lett. 127, 088007 (2021), for averaged local densities.
    """

    def __init__(self, settings: BarrierSettings) -> None:
        super().__init__()
        self.width, self.decay = settings.width, settings.decay
        self.cutoff, self.taper = settings.cutoff, settings.taper
        self.inner, self.outer = settings.inner, settings.outer
        self.kinds = len(settings.species)
        self.centres: Tensor
        self.register_buffer("centres", torch.tensor(settings.centres, dtype=torch.float64))
        angular = settings.angular
        self.degree = angular.degree if angular else -1
        self.angular: Tensor
        centres = angular.centres if angular else ()
        self.register_buffer("angular", torch.tensor(centres, dtype=torch.float64))
        self.angular_width = angular.width if angular else 1.0
        self.angular_taper = angular.taper if angular else 0.0
        self.angular_cutoff = angular.cutoff if angular else 1.0
        #: ``(species, terms, features)``: the last feature is 1.
        weight = torch.zeros(self.kinds, TERMS, settings.features, dtype=torch.float64)
        self.weight = nn.Parameter(weight)

    @torch.jit.export
    def spectra(self, centre: Tensor, other: Tensor, vectors: Tensor, species: Tensor) -> Tensor:
        """Return the power spectra ``(n, …)``; parameters of :meth:`forward`."""
        distance = torch.linalg.vector_norm(vectors, dim=1)
        near = (distance < self.angular_cutoff).nonzero().squeeze(1)
        r, n, k = distance[near], species.shape[0], self.angular.shape[0]
        row = centre[near] * self.kinds + species[other[near]]
        radial = torch.exp(-0.5 * ((r.unsqueeze(1) - self.angular) / self.angular_width) ** 2)
        radial = radial * self._falling(r, self.angular_taper, self.angular_cutoff).unsqueeze(1)
        which = torch.triu_indices(self.kinds * k, self.kinds * k)
        found: list[Tensor] = []
        for y in harmonics(vectors[near] / r.unsqueeze(1), self.degree):
            parts: list[Tensor] = []
            for a in range(k):
                c = torch.zeros(n * self.kinds, y.shape[1], dtype=y.dtype, device=y.device)
                parts.append(c.index_add_(0, row, radial[:, a : a + 1] * y))
            expansion = torch.stack(parts, 1).view(n, self.kinds * k, y.shape[1])
            p = expansion @ expansion.transpose(1, 2)
            found.append(p[:, which[0], which[1]])
        return torch.cat(found, 1)

    @torch.jit.export
    def terms(self, centre: Tensor, other: Tensor, vectors: Tensor, species: Tensor) -> Tensor:
        """Return the local terms ``(n, 5)`` [eV]; parameters of :meth:`forward`."""
        n, distance = species.shape[0], torch.linalg.vector_norm(vectors, dim=1)
        density = torch.exp(-0.5 * ((distance.unsqueeze(1) - self.centres) / self.width) ** 2)
        density = density * self._falling(distance, self.taper, self.cutoff).unsqueeze(1)
        k = density.shape[1]
        x = torch.zeros(n * self.kinds, k, dtype=distance.dtype, device=distance.device)
        x.index_add_(0, centre * self.kinds + species[other], density)
        described = [x.view(n, -1)]
        if self.degree >= 0:
            described.append(self.spectra(centre, other, vectors, species))
        described.append(torch.ones(n, 1, dtype=x.dtype, device=x.device))
        x = torch.cat(described, 1)
        found = torch.zeros(n, self.weight.shape[1], dtype=x.dtype, device=x.device)
        for s in range(self.kinds):
            mine = (species == s).nonzero().squeeze(1)
            found = found.index_copy(0, mine, x[mine] @ self.weight[s].t())
        return found

    def _falling(self, distance: Tensor, inner: float, outer: float) -> Tensor:
        t = torch.clamp((distance - inner) / (outer - inner), min=0.0, max=1.0)
        return 0.5 * (1.0 + torch.cos(torch.pi * t))

    def _mean(
        self, values: Tensor, weight: Tensor, centre: Tensor, other: Tensor, own: float
    ) -> Tensor:
        """Return weighted means ``(n,)`` over neighbours, and the atom itself with the weight `own`."""
        total = own * values
        total = total.index_add(0, centre, weight * values[other])
        norm = torch.full_like(values, own).index_add(0, centre, weight)
        return total / norm.clamp(min=1e-9)

    def forward(self, centre: Tensor, other: Tensor, vectors: Tensor, species: Tensor) -> Tensor:
        """Return the barriers ``(n,)`` [eV] of a whole sample.

        Parameters
        ----------
        centre, other
            ``(e,)`` int64: each pair of an atom and a neighbour within the cutoff, in both directions; a
            periodic image has the number of its atom.
        vectors
            ``(e, 3)`` float64, from the atom to its neighbour [Å].
        species
            ``(n,)`` int64, from 0.
        """
        e = self.terms(centre, other, vectors, species)
        distance = torch.linalg.vector_norm(vectors, dim=1)
        weight = torch.exp(-distance / self.decay)
        weight = weight * self._falling(distance, self.taper, self.cutoff)
        z = self._mean(e[:, 3], weight, centre, other, 1.0)
        z = self._mean(z, weight, centre, other, 1.0)
        z = self._mean(z + e[:, 2], weight, centre, other, 1.0)
        z = self._mean(z + e[:, 1], weight, centre, other, 1.0)
        shell = self._falling(distance, self.inner, self.outer)
        y = e[:, 0] + z
        for s in range(self.kinds):
            y = y + self._mean(e[:, 4], shell * (species[other] == s), centre, other, 0.0)
        return y
