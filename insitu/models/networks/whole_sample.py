# SPDX-License-Identifier: BSD-3-Clause
"""Dynamic graph convolutional networks of atoms' positions, as torch modules."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from insitu.models.engines.spatial import SpatialSettings


def chebyshev(t: Tensor, n: int) -> list[Tensor]:
    """Return the Chebyshev polynomials T_0(t) … T_n(t), each of the shape of `t`."""
    found = [torch.ones_like(t), t]
    for _ in range(1, n):
        found.append(2.0 * t * found[-1] - found[-2])
    return found[: n + 1]


def harmonics(u: Tensor, degree: int) -> list[Tensor]:
    r"""Return the real spherical harmonics of unit vectors, by degree l = 0 … `degree`.

    Normalised such that :math:`\sum_m Y_{lm}(u) Y_{lm}(v) = P_l(u \cdot v)` (Racah's normalisation).

    Parameters
    ----------
    u
        ``(…, 3)``.
    degree
        The highest one.

    Returns
    -------
    list of Tensor
        ``(…, 2 l + 1)`` each, m = −l … l.
    """
    x, y, z = u[..., 0], u[..., 1], u[..., 2]
    # Re and Im of (x + i y)^m.
    real, imaginary = [torch.ones_like(x)], [torch.zeros_like(x)]
    for m in range(degree):
        real.append(x * real[m] - y * imaginary[m])
        imaginary.append(x * imaginary[m] + y * real[m])
    # Associated Legendre functions of z without their factor (1 - z²)^(m/2), by m.
    legendre: list[list[Tensor]] = []
    first = torch.ones_like(z)
    for m in range(degree + 1):
        column = [first, (2.0 * m + 1.0) * z * first]
        for k in range(m + 2, degree + 1):
            column.append(
                ((2.0 * k - 1.0) * z * column[-1] - (k + m - 1.0) * column[-2]) / float(k - m)
            )
        legendre.append(column)
        first = (2.0 * m + 1.0) * first
    found: list[Tensor] = []
    for k in range(degree + 1):
        parts = [legendre[0][k]]
        factor = 2.0
        for m in range(1, k + 1):
            factor = factor / float((k + m) * (k - m + 1))  # 2 (k - m)!/(k + m)!
            part = math.sqrt(factor) * legendre[m][k - m]
            parts.insert(0, part * imaginary[m])
            parts.append(part * real[m])
        found.append(torch.stack(parts, -1))
    return found


class WholeSampleGraph(nn.Module):
    r"""EdgeConv layers with distance-weighted messages on the graph of a whole sample.

    :math:`h_i' = \mathrm{ReLU}(A h_i + a + \max(0, \max_j s_{ij} (B h_j + C g_{ij})))`, over the K
    nearest neighbours *j* of atom *i*; :math:`g_{ij}` are the displacement in units of a local length
    and Chebyshev polynomials of the distance, :math:`s_{ij} = (1 - (d_{ij}/c_i)^2)^2` goes to 0 at the
    (K+1)-th neighbour. The outputs of all layers together give the class of every atom.

    With harmonics (`settings.degree` > 0) the displacement is left out of :math:`g_{ij}`, and the first
    layer adds :math:`P x_i` to :math:`A h_i + a`, where :math:`x_i` are the atom's standardised power
    spectra (:meth:`power_spectra`): no result depends on the sample's orientation or handedness.

    Parameters
    ----------
    n_classes
        Number of classes C.
    settings
        The graph and its edges' features.
    width, hidden
        Widths of the layers and of the head.

    References
    ----------
    Wang et al., ACM Trans. Graph. 38, 146 (2019), arXiv:1801.07829; Bartók, Kondor & Csányi,
    Phys. Rev. B 87, 184115 (2013), section IV, for the power spectra.
    """

    #: For TorchScript, which leaves out the branches of a constant that is false.
    __constants__ = ("described",)

    def __init__(
        self, n_classes: int, settings: SpatialSettings, width: int = 64, hidden: int = 64
    ) -> None:
        super().__init__()
        self.layers, self.width = settings.layers, width
        #: Atoms of which the messages are in memory at a time, when it does not learn.
        self.chunk = 256
        self.radial, self.extent = settings.radial, float(settings.range)
        self.species, self.kinds = settings.n_species, settings.kinds
        self.degree, self.moments = settings.degree, settings.moments
        #: Whether atoms are described by power spectra.
        self.described = settings.degree > 0
        inputs = [self.species] + [width] * (settings.layers - 1)
        features = settings.features
        self.own = nn.ModuleList([nn.Linear(k, width) for k in inputs])
        self.other = nn.ModuleList([nn.Linear(k, width, bias=False) for k in inputs])
        self.edge = nn.ModuleList([nn.Linear(features, width, bias=False) for _ in inputs])
        self.head = nn.Linear(settings.layers * width, hidden)
        self.last = nn.Linear(hidden, n_classes)
        if self.described:
            self.spectra = nn.Linear(settings.spectra, width, bias=False)
            # Mean and standard deviation of the spectra in training, ``(Q,)``.
            self.spectra_centre: Tensor
            self.spectra_scale: Tensor
            self.register_buffer("spectra_centre", torch.zeros(settings.spectra))
            self.register_buffer("spectra_scale", torch.ones(settings.spectra))

    def _edge(
        self, vectors: Tensor, cut: Tensor, unit: Tensor, rows: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return distance, its scaled value t in −1 … 1, and weight of the edges, ``(n, k)`` each."""
        distance = torch.linalg.vector_norm(vectors, dim=2)
        x = distance / cut.unsqueeze(1)
        weight = torch.relu(1.0 - x * x) ** 2 * (rows >= 0)
        t = torch.clamp(2.0 * distance / (self.extent * unit.unsqueeze(1)) - 1.0, max=1.0)
        return distance, t, weight

    def _by_kind(self, values: Tensor, rows: Tensor, species: Tensor) -> Tensor:
        """Return values ``(n, k, v)`` in their neighbour's block, ``(n, k, kinds v)``, 0 in others."""
        if self.kinds == 1:
            return values
        kind = torch.nn.functional.one_hot(species[rows.clamp(min=0)], self.kinds)
        return (kind.to(values.dtype).unsqueeze(3) * values.unsqueeze(2)).flatten(2)

    @torch.jit.export
    def edges(
        self, vectors: Tensor, cut: Tensor, unit: Tensor, rows: Tensor, species: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return features ``(n, k, E)`` and weights ``(n, k)`` of the edges.

        Parameters
        ----------
        vectors
            ``(n, k, 3)`` displacements of the neighbours.
        cut, unit
            ``(n,)`` cut-off and unit of length, in the vectors' unit.
        rows
            ``(n, k)`` int64 rows of the neighbours, −1 where there is none.
        species
            ``(m,)`` int64 of all rows.
        """
        _, t, weight = self._edge(vectors, cut, unit, rows)
        parts = [f.unsqueeze(2) for f in chebyshev(t, self.radial)[1:]]
        if not self.described:
            parts.insert(0, vectors / unit.view(-1, 1, 1))
        g = torch.cat(parts, 2) if len(parts) > 0 else vectors[:, :, :0]
        return self._by_kind(g, rows, species), weight

    @torch.jit.export
    def power_spectra(
        self, vectors: Tensor, cut: Tensor, unit: Tensor, rows: Tensor, species: Tensor
    ) -> Tensor:
        r"""Return the power spectra ``(n, Q)`` of the atoms' surroundings; parameters of :meth:`edges`.

        :math:`\sum_m c_{a,lm} c_{a',lm}` with :math:`c_{a,lm} = \sum_j s_{ij} T_n(t_{ij}) Y_{lm}`, the
        sum over neighbours of one kind; *a* counts kinds and, within one, n. Pairs a ≤ a' come in
        order of a, then a', and within a pair the degrees l.
        """
        distance, t, weight = self._edge(vectors, cut, unit, rows)
        direction = vectors / distance.clamp(min=1e-20).unsqueeze(2)
        functions = torch.stack(chebyshev(t, self.moments - 1), 2) * weight.unsqueeze(2)
        functions = self._by_kind(functions, rows, species).transpose(1, 2)
        f = functions.shape[1]
        pairs = torch.triu_indices(f, f, device=vectors.device)
        spectra: list[Tensor] = []
        for y in harmonics(direction, self.degree):
            c = torch.bmm(functions, y)
            spectra.append(torch.bmm(c, c.transpose(1, 2))[:, pairs[0], pairs[1]])
        return torch.stack(spectra, 2).flatten(1)

    def described_by(self, own: Tensor, spectra: Tensor | None) -> Tensor:
        """Return what the first layer adds to an atom's messages, with its power spectra in it."""
        if self.described:
            assert spectra is not None, "power spectra are needed"
            own = own + self.spectra((spectra - self.spectra_centre) / self.spectra_scale)
        return own

    @torch.jit.export
    def begin(self, species: Tensor) -> Tensor:
        """Return the first features ``(m, S)`` of atoms of some species ``(m,)``: one-hot."""
        return torch.nn.functional.one_hot(species, self.species).to(self.head.weight.dtype)

    @torch.jit.export
    def convolve(
        self, layer: int, h: Tensor, rows: Tensor, features: Tensor, weights: Tensor,
        spectra: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """Return the features ``(n, width)`` of the first n atoms after a layer.

        Parameters
        ----------
        layer
            Its number, from 0.
        h
            ``(m, w)`` of n atoms and, after them, of further neighbours.
        rows
            ``(n, k)`` int64 rows of the neighbours, −1 where there is none.
        features, weights
            Of the edges, from :meth:`edges`.
        spectra
            ``(n, Q)`` from :meth:`power_spectra`, for the first layer.
        """
        n, k_max = rows.shape[0], rows.shape[1]
        index = rows.clamp(min=0)
        # One matrix at a time of the messages of all atoms would not fit the processor's cache.
        step = n if self.training else self.chunk
        after = h
        # TorchScript takes a module out of a list by a constant only.
        for k, (own, other, edge) in enumerate(zip(self.own, self.other, self.edge)):  # noqa: B905
            if k == layer:
                mine, theirs = own(h[:n]), other(h)
                if layer == 0:
                    mine = self.described_by(mine, spectra)
                parts: list[Tensor] = []
                for at in range(0, n, max(step, 1)):
                    near = index[at : at + step]
                    far = theirs.index_select(0, near.flatten()).view(near.shape[0], k_max, -1)
                    far = far + edge(features[at : at + step])
                    pooled = torch.relu((weights[at : at + step].unsqueeze(2) * far).amax(1))
                    parts.append(torch.relu(mine[at : at + step] + pooled))
                after = torch.cat(parts) if len(parts) > 0 else mine
        return after

    def features_of(
        self, vectors: Tensor, cut: Tensor, unit: Tensor, rows: Tensor, species: Tensor
    ) -> Tensor:
        """Return all layers' features ``(n, layers width)`` side by side; parameters of :meth:`edges`."""
        g, s = self.edges(vectors, cut, unit, rows, species)
        spectra: Tensor | None = None
        if self.described:
            spectra = self.power_spectra(vectors, cut, unit, rows, species)
        h = self.begin(species)
        kept: list[Tensor] = []
        for layer in range(self.layers):
            h = self.convolve(layer, h, rows, g, s, spectra)
            kept.append(h)
        return torch.cat(kept, 1)

    def logits(
        self, vectors: Tensor, cut: Tensor, unit: Tensor, rows: Tensor, species: Tensor
    ) -> Tensor:
        """Return unnormalised class scores ``(n, C)`` of a whole sample; see :meth:`forward`."""
        h = self.features_of(vectors, cut, unit, rows, species)
        scores: Tensor = self.last(torch.relu(self.head(h)))
        return scores

    @torch.jit.export
    def probabilities(self, h: Tensor) -> Tensor:
        """Return the class probabilities ``(n, C)`` from all layers' features, side by side."""
        return torch.softmax(self.last(torch.relu(self.head(h))), dim=1)

    def forward(
        self, vectors: Tensor, cut: Tensor, unit: Tensor, rows: Tensor, species: Tensor
    ) -> Tensor:
        """Return the class probabilities ``(n, C)`` of a whole sample; parameters of :meth:`edges`."""
        return torch.softmax(self.logits(vectors, cut, unit, rows, species), dim=1)
