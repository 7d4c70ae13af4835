# SPDX-License-Identifier: BSD-3-Clause
"""SymGNN's pass over a whole glass, cheap enough to train on one core.

The same function of the same weights as :class:`~insitu.models.networks.symgnn.SymGNN` (a test holds both
alike), evaluated in tiles of edges that fit into a cache and are computed again in the backward pass, with
sums over neighbours as products of sparse matrices. Per-edge features of all heads are never kept.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from insitu.models.networks.symgnn import (
    EdgeAttention,
    SymGNN,
    Symmetrisation,
    orthogonal,
    subgroup,
)
from insitu.training.fit.symgnn_graph import Graph

#: Edges of a tile: 2048 × 256 features of float32 are 2 MiB.
_TILE = 2048
#: Of EdgeAttention.
_SLOPE = 0.2


class _Edges(torch.autograd.Function):
    """``leaky(S[source] + T[target] + edges Wᵀ) P``, ``(e, columns of P)``, tile by tile."""

    @staticmethod
    def forward(
        ctx: Any, s: Tensor, t: Tensor, edges: Tensor, w: Tensor, p: Tensor, graph: Graph
    ) -> Tensor:
        ctx.graph = graph
        ctx.save_for_backward(s, t, edges, w, p)
        out = torch.empty(len(edges), p.shape[1])
        for a in range(0, len(edges), _TILE):
            b = min(a + _TILE, len(edges))
            torch.mm(_features(s, t, edges, w, graph, slice(a, b)), p, out=out[a:b])
        return out

    @staticmethod
    def backward(ctx: Any, *given: Tensor) -> tuple[Tensor | None, ...]:
        s, t, edges, w, p = ctx.saved_tensors
        g, (d,) = ctx.graph, given
        ds, dt, de = torch.zeros_like(s), torch.zeros_like(t), torch.empty_like(edges)
        dw, dp = torch.zeros_like(w), torch.zeros_like(p)
        for a in range(0, len(edges), _TILE):
            part = slice(a, min(a + _TILE, len(edges)))
            f = _features(s, t, edges, w, g, part)
            dp.addmm_(f.t(), d[part])
            df = torch.ops.aten.leaky_relu_backward(d[part] @ p.t(), f, _SLOPE, True)
            ds.index_add_(0, g.source[part], df)
            dt.index_add_(0, g.target[part], df)
            torch.mm(df, w, out=de[part])
            dw.addmm_(df.t(), edges[part])
        return ds, dt, de, dw, dp, None


def _features(s: Tensor, t: Tensor, edges: Tensor, w: Tensor, g: Graph, part: Any) -> Tensor:
    f = s.index_select(0, g.source[part])
    f.add_(t.index_select(0, g.target[part]))
    f.addmm_(edges[part], w.t())
    return torch.nn.functional.leaky_relu_(f, _SLOPE)


class _Sums(torch.autograd.Function):
    """Sums over an atom's neighbours of ``weight[e, h] · values[source, h]``, ``(h, n, columns)``."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, values: Tensor, graph: Graph) -> Tensor:
        ctx.graph = graph
        ctx.save_for_backward(weight, values)
        return torch.stack([graph.matrix(w) @ v for w, v in zip(weight, values, strict=True)])

    @staticmethod
    def backward(ctx: Any, *given: Tensor) -> tuple[Tensor | None, ...]:
        weight, values = ctx.saved_tensors
        g, (d,) = ctx.graph, given
        dv = torch.stack([g.matrix(w[g.back]) @ x for w, x in zip(weight, d, strict=True)])
        zero = g.matrix(torch.zeros(weight.shape[1]))
        dw = [
            torch.sparse.sampled_addmm(zero, x, v.t(), beta=0.0).values()
            for x, v in zip(d, values, strict=True)
        ]
        return torch.stack(dw), dv, None


def _sums(weight: Tensor, values: Tensor, graph: Graph) -> Tensor:
    found: Tensor = _Sums.apply(weight, values, graph)  # type: ignore[no-untyped-call]
    return found


def _statistics(norm: nn.BatchNorm1d, sample: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return factor and shift of a normalisation: of the sample in training, else of what it keeps."""
    if norm.training and sample is not None:
        var, mean = torch.var_mean(sample, dim=0, correction=0)
        with torch.no_grad():
            momentum = norm.momentum or 0.1
            norm.running_mean.lerp_(mean, momentum)  # type: ignore[union-attr]
            norm.running_var.lerp_(var, momentum)  # type: ignore[union-attr]
    else:
        mean, var = norm.running_mean, norm.running_var  # type: ignore[assignment]
    factor = norm.weight * torch.rsqrt(var + norm.eps)
    return factor, norm.bias - mean * factor


def _attended(
    layer: EdgeAttention, nodes: Tensor, edges: Tensor, graph: Graph, every: int, last: bool,
    mask: Tensor | None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Return nodes and edges after a layer; edges of the last one are used by nothing and left alone.

    A mask ``(e,)`` weakens messages after the attention is normalised, so that others do not grow.
    """
    heads, width = layer.heads, layer.width
    s, t = layer.source(nodes), layer.target(nodes) + layer.edge.bias
    w = layer.edge.weight
    eye = torch.eye(heads)
    p = (layer.attention.unsqueeze(2) * eye.unsqueeze(1)).reshape(heads * width, heads)
    shift: Tensor | None = None
    if not last:
        norm, linear = layer.edges_out
        assert isinstance(norm, nn.BatchNorm1d)
        assert isinstance(linear, nn.Linear)
        sample = None
        if norm.training:
            some = slice(None, None, every)
            sample = s[graph.source[some]] + t[graph.target[some]] + edges[some] @ w.t()
            sample = torch.nn.functional.leaky_relu(sample, _SLOPE)
        factor, rest = _statistics(norm, sample)
        p = torch.cat([p, (linear.weight * factor).t()], dim=1)
        shift = linear.weight @ rest + linear.bias
    found: Tensor = _Edges.apply(s, t, edges, w, p, graph)  # type: ignore[no-untyped-call]
    score = found[:, :heads]
    with torch.no_grad():
        largest = torch.segment_reduce(
            score.contiguous(), "max", offsets=graph.offsets, unsafe=True
        )
        largest = largest.index_select(0, graph.target)
    weight = torch.exp(score - largest).t().contiguous()
    values = layer.value(nodes).view(-1, heads, width).transpose(0, 1)
    ones = torch.ones(heads, len(nodes), 1)
    if mask is None:
        both = _sums(weight, torch.cat([values, ones], dim=2), graph)
        total, whole = both[:, :, :-1], both[:, :, -1:]
    else:
        total, whole = _sums(weight * mask, values, graph), _sums(weight, ones, graph)
    total = total / whole.clamp(min=1e-20)
    nodes = nodes + layer.dropout(layer.nodes_out(total.transpose(0, 1).flatten(1)))
    if shift is not None:
        edges = edges + layer.dropout(found[:, heads:] + shift)
    return nodes, edges


def _symmetrised(module: Symmetrisation, graph: Graph, samples: int, every: int) -> Tensor:
    """Return the edges' features, with up to `samples` transformations (0: all that the mode has).

    They are a :func:`subgroup` after one random transformation of the mode: each is as random as one drawn
    alone, and their mean is far nearer to that over all.
    """
    if module.mode == "distance":
        inputs = [torch.linalg.vector_norm(graph.vectors, dim=1, keepdim=True)]
    else:
        matrices = module.matrices
        if module.mode == "haar":
            part = subgroup(samples or module.samples)
            matrices = part @ orthogonal(1)
        elif module.mode == "none":
            matrices = torch.eye(3).unsqueeze(0)
        elif samples:
            part = subgroup(samples)
            matrices = part @ matrices[torch.randint(len(matrices), (1,))]
        inputs = [graph.vectors @ q.t() for q in matrices]
    one, first, _, two, second, _ = module.phi
    assert isinstance(one, nn.Linear)
    assert isinstance(two, nn.Linear)
    assert isinstance(first, nn.BatchNorm1d)
    assert isinstance(second, nn.BatchNorm1d)
    some = torch.cat([x[::every] for x in inputs]) if first.training else None
    factor, shift = _statistics(first, None if some is None else one(some))
    a, c = one.weight * factor.unsqueeze(1), one.bias * factor + shift
    if some is not None:
        some = two(torch.relu(torch.nn.functional.linear(some, a, c)))
    factor, shift = _statistics(second, some)
    again = module.normalise
    if some is not None and isinstance(again, nn.BatchNorm1d):
        some = torch.relu(some * factor + shift).view(len(inputs), -1, len(shift)).mean(0)
    b, d = two.weight * factor.unsqueeze(1), two.bias * factor + shift
    parts = []
    for at in range(0, len(graph.vectors), 16 * _TILE):
        total = torch.zeros(())
        for x in inputs:
            h = torch.relu(torch.nn.functional.linear(x[at : at + 16 * _TILE], a, c))
            total = total + torch.relu(torch.nn.functional.linear(h, b, d))
        parts.append(total / len(inputs))
    found = torch.cat(parts)
    if isinstance(again, nn.BatchNorm1d):
        factor, shift = _statistics(again, some)
        found = found * factor + shift
    return found


def passed(
    network: SymGNN, graph: Graph, samples: int = 0, every: int = 8, mask: Tensor | None = None
) -> Tensor:
    """Return the barriers ``(n,)`` [eV] of a graph.

    Parameters
    ----------
    network
        In training or not.
    graph
        The glass.
    samples
        Transformations of this pass; 0: the network's.
    every
        In training, normalisations of edges take their statistics from every so many of them.
    mask
        ``(e,)`` factors of the edges' messages; None: 1.
    """
    nodes = network.encode(graph.species)
    edges = _symmetrised(network.symmetrise, graph, samples, every)
    last = len(network.layers) - 1
    for k, layer in enumerate(network.layers):
        assert isinstance(layer, EdgeAttention)
        nodes, edges = _attended(layer, nodes, edges, graph, every, k == last, mask)
    barriers: Tensor = network.centre + network.scale * network.decode(nodes).squeeze(1)
    return barriers
