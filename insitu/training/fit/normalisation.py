# SPDX-License-Identifier: BSD-3-Clause
"""The whole-sample network as it is trained: normalised layers, folded into plain ones after it."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from insitu.models.engines.spatial import SpatialSettings
from insitu.models.networks.whole_sample import WholeSampleGraph

#: Added to the variances of the standardised spectra's principal components before these are made 1.
_LEAST = 1e-3


class Normalised(WholeSampleGraph):
    """A :class:`WholeSampleGraph` whose layers are normalised over the atoms of a batch.

    Without it training stops at chance for most learning rates. The scale is 1/σ alone, which is
    positive, so it may be moved through the maximum: :meth:`folded` gives the same function without
    normalisation.
    """

    def __init__(
        self, n_classes: int, settings: SpatialSettings, width: int = 64, hidden: int = 64
    ) -> None:
        super().__init__(n_classes, settings, width, hidden)
        self.settings, self.hidden = settings, hidden
        self.norm = nn.ModuleList(
            [nn.BatchNorm1d(width, affine=False) for _ in range(settings.layers)]
        )
        self.shift = nn.ParameterList([torch.zeros(width) for _ in range(settings.layers)])
        self.head_norm = nn.BatchNorm1d(hidden)
        if self.described:
            self.whitening: Tensor
            self.register_buffer("whitening", torch.eye(settings.spectra))

    @torch.no_grad()
    def standardise(self, samples: Iterable[tuple[Tensor, ...]]) -> None:
        """Set the spectra's mean, deviation and whitening to samples': the arguments of `logits`.

        Spectra are strongly correlated, and what tells two stackings apart is a small part of them:
        training finds it where the network's inputs are not correlated. What is the same in all
        samples (a deviation of rounding errors) is left as it is.
        """
        q = len(self.spectra_centre)
        n, total = 0, torch.zeros(q, dtype=torch.float64)
        products = torch.zeros(q, q, dtype=torch.float64)
        for arguments in samples:
            p = self.power_spectra(*arguments).double()
            n, total, products = n + len(p), total + p.sum(0), products + p.t() @ p
        mean = total / n
        covariance = products / n - torch.outer(mean, mean)
        deviation = covariance.diagonal().clamp(min=0.0).sqrt()
        deviation = torch.where(deviation > 1e-4, deviation, torch.ones_like(deviation))
        values, axes = torch.linalg.eigh(covariance / torch.outer(deviation, deviation))
        self.spectra_centre.copy_(mean)
        self.spectra_scale.copy_(deviation)
        self.whitening.copy_(axes @ torch.diag((values.clamp(min=0.0) + _LEAST) ** -0.5) @ axes.t())

    def described_by(self, own: Tensor, spectra: Tensor | None) -> Tensor:
        """Return what the first layer adds to an atom's messages, with its power spectra in it."""
        if spectra is None:
            return own
        x = (spectra - self.spectra_centre) / self.spectra_scale
        mixed: Tensor = own + self.spectra(x @ self.whitening)
        return mixed

    def messages(self, layer: int, h: Tensor, rows: Tensor, features: Tensor) -> Tensor:
        """Return the messages ``(n, k, width)`` of the neighbours, not yet weighted."""
        n, k = rows.shape
        far = self.other[layer](h).index_select(0, rows.clamp(min=0).flatten()).view(n, k, -1)
        message: Tensor = far + self.edge[layer](features)
        return message

    def convolve(
        self, layer: int, h: Tensor, rows: Tensor, features: Tensor, weights: Tensor,
        spectra: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """Return the features of the first atoms after a layer; parameters of the base class."""
        weighted = weights.unsqueeze(2) * self.messages(layer, h, rows, features)
        own = self.own[layer](h[: rows.shape[0]])
        if layer == 0:
            own = self.described_by(own, spectra)
        y = own + torch.relu(weighted.amax(1))
        return torch.relu(self.norm[layer](y) + self.shift[layer])

    def logits(
        self, vectors: Tensor, cut: Tensor, unit: Tensor, rows: Tensor, species: Tensor
    ) -> Tensor:
        """Return unnormalised class scores ``(n, C)``; parameters of the base class."""
        h = self.features_of(vectors, cut, unit, rows, species)
        scores: Tensor = self.last(torch.relu(self.head_norm(self.head(h))))
        return scores

    @torch.no_grad()
    def folded(self) -> WholeSampleGraph:
        """Return the plain network with the same outputs as this one in evaluation mode."""
        plain = WholeSampleGraph(self.last.out_features, self.settings, self.width, self.hidden)
        own = self.state_dict()
        plain.load_state_dict({k: own[k] for k in plain.state_dict()})
        for k in range(self.layers):
            mean, variance = own[f"norm.{k}.running_mean"], own[f"norm.{k}.running_var"]
            scale = torch.rsqrt(variance + self.norm[k].eps)
            parts = [plain.own[k], plain.other[k], plain.edge[k]]
            if k == 0 and self.described:
                plain.spectra.weight.copy_(plain.spectra.weight @ self.whitening)
                parts.append(plain.spectra)
            for part in parts:
                part.weight.mul_(scale.unsqueeze(1))  # type: ignore[operator]
            bias = plain.own[k].bias
            bias.sub_(mean).mul_(scale).add_(self.shift[k])  # type: ignore[operator]
        norm = self.head_norm
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
        plain.head.weight.mul_(scale.unsqueeze(1))
        plain.head.bias.sub_(norm.running_mean).mul_(scale).add_(norm.bias)
        return plain.eval()
