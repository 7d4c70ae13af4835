# SPDX-License-Identifier: BSD-3-Clause
"""Probabilities of extinction groups from a pattern and what indexing says about it."""

import torch
from torch import Tensor, nn

from insitu.models.networks.pattern_resnet import PatternResNet


class PowderSymmetry(nn.Module):
    """The crystal system from all there is, then the group within the system.

    What there is: the summary, what the residual network says of the systems, and how far the best group of
    each system is behind the best of all by its evidence.

    A group's evidence E (logarithms of probability ratios) counts by a power law of its distance to
    the best of
    its system, -a log(1 + (E_max - E) / b): a wrong lattice gives large wrong distances.

    Parameters
    ----------
    systems : list of int
        Crystal system (0–6) of each group.
    numbers : int
        Length of the summary of the lines.
    hidden : int
        Units of the layers that find the system.
    """

    def __init__(self, systems: list[int], numbers: int, hidden: int = 32) -> None:
        super().__init__()
        groups = len(systems)
        self.resnet = PatternResNet(groups + 1)
        members = torch.zeros(7, groups)
        members[torch.tensor(systems), torch.arange(groups)] = 1
        self.members: Tensor
        self.mean: Tensor
        self.scale: Tensor
        self.register_buffer("members", members)
        self.register_buffer("mean", torch.zeros(numbers))
        self.register_buffer("scale", torch.ones(numbers))
        self.system = nn.Sequential(
            nn.Linear(numbers + 15, hidden), nn.ReLU(), nn.Dropout(0.3),
            nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(0.3), nn.Linear(hidden, 8),
        )  # fmt: skip
        self.steep = nn.Parameter(torch.full((7,), 2.0))
        self.near = nn.Parameter(torch.full((7,), 1.0))
        self.absence = nn.Parameter(torch.full((7,), 1.0))
        self.image = nn.Parameter(torch.full((7,), 0.3))
        self.sharp = nn.Linear(numbers, 1)
        nn.init.zeros_(self.sharp.weight)
        nn.init.zeros_(self.sharp.bias)
        self.often = nn.Parameter(torch.zeros(groups))

    def forward(
        self, pattern: Tensor, observed: Tensor, missing: Tensor, summary: Tensor
    ) -> Tensor:
        """Logarithms of probabilities, shape (k, groups + 1), the last of no crystal.

        Shapes: pattern (k, 2, bins), observed and missing (k, groups), summary (k, numbers).
        """
        return self.combine(torch.log_softmax(self.resnet(pattern), 1), observed, missing, summary)

    @torch.jit.export
    def combine(self, image: Tensor, observed: Tensor, missing: Tensor, summary: Tensor) -> Tensor:
        """Return the same with what the residual network says, shape (k, groups + 1), given."""
        groups = image[:, :-1]
        hidden = torch.where(
            self.members[None] > 0, groups[:, None, :], torch.full_like(groups, -60.0)[:, None, :]
        )
        of_system = torch.logsumexp(hidden, 2)  # (k, 7)
        seen = torch.cat([of_system, image[:, -1:]], 1).clamp(min=-8.0)
        # Of the groups within a system the image may be wrong, not infinitely so.
        said = torch.log(torch.exp(groups - of_system @ self.members).clamp(max=1.0) + 0.02)
        absence = self.absence.abs() @ self.members
        total = observed + absence * missing
        hidden = torch.where(
            self.members[None] > 0, total[:, None, :], torch.full_like(total, -1e6)[:, None, :]
        )
        of_best = hidden.max(2)[0]  # (k, 7)
        behind = torch.log1p((of_best.max(1, keepdim=True)[0] - of_best) / 4.0)
        numbers = (summary - self.mean) / self.scale
        x = torch.cat([numbers, seen, behind.detach()], 1)
        systems = torch.log_softmax(self.system(x), 1)  # (k, 8)
        best = of_best @ self.members
        near, steep = self.near.abs() + 0.05, self.steep.abs()
        sharp = torch.exp(self.sharp(numbers).clamp(-1.0, 1.0))  # (k, 1)
        score = (
            -sharp * (steep @ self.members) * torch.log1p((best - total) / (near @ self.members))
        )
        score = score + (self.image.clamp(0.0, 0.5) @ self.members) * said + self.often
        hidden = torch.where(
            self.members[None] > 0, score[:, None, :], torch.full_like(score, -1e4)[:, None, :]
        )
        within = score - torch.logsumexp(hidden, 2) @ self.members
        return torch.cat([within + systems[:, :7] @ self.members, systems[:, 7:]], 1)
