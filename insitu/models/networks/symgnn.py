# SPDX-License-Identifier: BSD-3-Clause
"""SymGNN: graph attention with edge features that are symmetrised over orthogonal transformations."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from insitu.errors import one_of

#: How the edges' features are made independent of the orientation.
MODES = ("haar", "octahedral", "distance", "none")


def orthogonal(k: int) -> Tensor:
    """Return random orthogonal matrices ``(k, 3, 3)``, uniform over O(3) by the Haar measure.

    References
    ----------
    Mezzadri, Notices of the AMS 54, 592 (2007), arXiv:math-ph/0609050.
    """
    q, r = torch.linalg.qr(torch.randn(k, 3, 3))
    uniform: Tensor = q * torch.sign(torch.diagonal(r, dim1=1, dim2=2)).unsqueeze(1)
    return uniform


def octahedral() -> Tensor:
    """Return the 48 signed permutation matrices ``(48, 3, 3)``: all symmetries of a cube."""
    found = []
    for axes in itertools.permutations(range(3)):
        for signs in itertools.product((1.0, -1.0), repeat=3):
            matrix = torch.zeros(3, 3)
            for row, (axis, sign) in enumerate(zip(axes, signs, strict=True)):
                matrix[row, axis] = sign
            found.append(matrix)
    return torch.stack(found)


def subgroup(most: int) -> Tensor:
    """Return a subgroup ``(k, 3, 3)`` of :func:`octahedral` with at most `most` elements.

    It has 1, 4, 12, 24 or 48: the rotations by half a turn about the axes, with those about the diagonals
    (tetrahedral), with the inversion, all. A mean over 12 has no harmonics of degrees 1 and 2 left, which
    are most of what depends on the orientation in a mean over transformations that are drawn alone.
    """
    q = octahedral()
    entries = q.abs()
    diagonal = entries.diagonal(dim1=1, dim2=2).sum(1) == 3
    cyclic = diagonal | (entries.diagonal(dim1=1, dim2=2).sum(1) == 0)
    even = q.sum((1, 2)).remainder(4) == 3  # an even number of signs
    for found in (q, q[cyclic], q[cyclic & even], q[diagonal & even]):
        if len(found) <= most:
            return found
    return torch.eye(3).unsqueeze(0)


class Symmetrisation(nn.Module):
    r"""Features of edges, :math:`h = \frac{1}{K} \sum_k \varphi(Q_k x)` with orthogonal :math:`Q_k`.

    A mean over many transformations varies by a quarter of what one of them does, so that it is normalised
    again: without that the network hardly sees it in the beginning (not in the published specification).

    Parameters
    ----------
    mode
        ``"haar"``: `samples` random matrices, new ones in each pass, so that features are invariant in
        expectation; ``"octahedral"``: all 48 signed permutations, exactly invariant under them;
        ``"distance"``: φ of the distance alone, invariant under any transformation.
    width
        Of the features.
    samples
        Number of random matrices.

    Raises
    ------
    SettingError
        No such mode.
    """

    def __init__(self, mode: str = "octahedral", width: int = 32, samples: int = 8) -> None:
        super().__init__()
        one_of("mode", mode, MODES)
        self.mode, self.samples = mode, samples
        self.matrices: Tensor
        self.register_buffer("matrices", octahedral())
        self.phi = nn.Sequential(
            nn.Linear(1 if mode == "distance" else 3, width), nn.BatchNorm1d(width), nn.ReLU(),
            nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU(),
        )  # fmt: skip
        averages = mode in ("haar", "octahedral")
        self.normalise: nn.Module = nn.BatchNorm1d(width) if averages else nn.Identity()

    def forward(self, vectors: Tensor) -> Tensor:
        """Return the features ``(e, width)`` of edges with displacements ``(e, 3)`` [Å]."""
        if self.mode == "distance":
            h: Tensor = self.phi(torch.linalg.vector_norm(vectors, dim=1, keepdim=True))
            return h
        q = self.matrices
        if self.mode == "haar":
            q = orthogonal(self.samples).to(vectors)
        elif self.mode == "none":
            q = torch.eye(3).to(vectors).unsqueeze(0)
        total: Tensor = self.phi(vectors @ q[0].t())
        for k in range(1, q.shape[0]):
            total = total + self.phi(vectors @ q[k].t())
        normalised: Tensor = self.normalise(total / q.shape[0])
        return normalised


class EdgeAttention(nn.Module):
    """Attention over an atom's edges, with features of nodes and edges, and a residual.

    Parameters
    ----------
    width, heads
        Features, and number of heads, each of that width.
    dropout
        Share of the features that are left out in training.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.width, self.heads = width, heads
        inner = width * heads
        self.source = nn.Linear(width, inner, bias=False)
        self.target = nn.Linear(width, inner, bias=False)
        self.edge = nn.Linear(width, inner)
        self.value = nn.Linear(width, inner, bias=False)
        self.attention = nn.Parameter(torch.randn(heads, width) / width**0.5)
        self.nodes_out = nn.Sequential(nn.BatchNorm1d(inner), nn.Linear(inner, width))
        self.edges_out = nn.Sequential(nn.BatchNorm1d(inner), nn.Linear(inner, width))
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, nodes: Tensor, edges: Tensor, source: Tensor, target: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return features of nodes ``(n, width)`` and edges ``(e, width)``.

        Parameters
        ----------
        nodes, edges
            ``(n, width)``, ``(e, width)``.
        source, target
            ``(e,)`` int64: messages go from `source` to `target`.
        """
        n, e = nodes.shape[0], edges.shape[0]
        f = self.source(nodes)[source] + self.target(nodes)[target] + self.edge(edges)
        f = torch.nn.functional.leaky_relu(f, 0.2)
        score = (f.view(e, self.heads, self.width) * self.attention).sum(2)
        index = target.unsqueeze(1).expand(e, self.heads)
        largest = torch.full((n, self.heads), -torch.inf, dtype=score.dtype, device=score.device)
        largest = largest.scatter_reduce(0, index, score.detach(), "amax")
        weight = torch.exp(score - largest[target])
        norm = torch.zeros(n, self.heads, dtype=score.dtype, device=score.device)
        norm = norm.index_add(0, target, weight)
        weight = weight / norm[target].clamp(min=1e-20)
        message = self.value(nodes)[source].view(e, self.heads, self.width) * weight.unsqueeze(2)
        total = torch.zeros(n, self.heads * self.width, dtype=f.dtype, device=f.device)
        total = total.index_add(0, target, message.flatten(1))
        nodes = nodes + self.dropout(self.nodes_out(total))
        return nodes, edges + self.dropout(self.edges_out(f))


class SymGNN(nn.Module):
    """Energy barriers of atoms by graph attention with symmetrised edges.

    Barriers come in units of the training's standard deviation, from its mean: [eV] after ``scale`` and
    ``centre`` are applied, which :meth:`forward` does.

    Parameters
    ----------
    species
        Number of species.
    mode, samples
        Of the :class:`Symmetrisation`.
    width, heads
        Of the attention layers.
    dropout
        In training.
    centre, scale
        Mean and standard deviation of the barriers in training [eV].

    References
    ----------
    Zhang, Li, Tang, Bauchy & Sun, "Predicting and interpreting energy barriers of metallic glasses with
    graph neural networks" (SymGNN).
    """

    def __init__(
        self, species: int = 2, mode: str = "octahedral", samples: int = 8, width: int = 32,
        heads: tuple[int, ...] = (8, 4, 2, 1), dropout: float = 0.25, centre: float = 1.6346,
        scale: float = 0.3104,
    ) -> None:  # fmt: skip
        super().__init__()
        self.centre, self.scale = centre, scale
        self.symmetrise = Symmetrisation(mode, width, samples)
        self.encode = nn.Sequential(
            nn.Embedding(species, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, width),
            nn.BatchNorm1d(width), nn.ReLU(),
        )  # fmt: skip
        self.layers = nn.ModuleList([EdgeAttention(width, h, dropout) for h in heads])
        decoder: list[nn.Module] = []
        for _ in range(4):
            decoder += [nn.Linear(width, width), nn.BatchNorm1d(width), nn.PReLU()]
        self.decode = nn.Sequential(*decoder, nn.Linear(width, 1))

    def forward(self, source: Tensor, target: Tensor, vectors: Tensor, species: Tensor) -> Tensor:
        """Return the barriers ``(n,)`` [eV].

        Parameters
        ----------
        source, target
            ``(e,)`` int64: edges from a neighbour to an atom, of all pairs within 5 Å, in both directions.
        vectors
            ``(e, 3)`` displacements from target to source [Å].
        species
            ``(n,)`` int64, from 0.
        """
        nodes, edges = self.encode(species), self.symmetrise(vectors)
        for layer in self.layers:
            nodes, edges = layer(nodes, edges, source, target)
        barriers: Tensor = self.centre + self.scale * self.decode(nodes).squeeze(1)
        return barriers
