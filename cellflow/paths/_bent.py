"""A path with three sines on top: what corrections of a path at its quarters amount to."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from cellflow.paths.base import Path, elapsed, moved
from cellflow.population import Pairs

__all__ = ["QUARTERS", "Bent", "across", "at", "bent", "direction"]

#: Where corrections are evaluated.
QUARTERS = (0.25, 0.5, 0.75)
#: Keeps divisions by lengths that may be zero finite.
_TINY = 1e-300


def bent(path: Path, offsets: Tensor) -> Bent:
    r"""Add :math:`\sin(j \pi s)`, j = 1, 2, 3, such that the path is off by these `(3, N, d)` at the quarters."""
    s = torch.tensor(QUARTERS, dtype=offsets.dtype)
    values = torch.sin(math.pi * s[:, None] * torch.arange(1, 4, dtype=offsets.dtype))
    coefficients = torch.einsum("js,snd->jnd", torch.linalg.inv(values), offsets)
    return replace(path, coefficients=path.coefficients + coefficients) if isinstance(path, Bent) else Bent(path, coefficients)


def at(path: Path, s: float, pairs: Pairs) -> Tensor:
    """Positions on the paths when a fraction `s` of their intervals has passed, shape `(n, d)`."""
    return path.mean(pairs.t0 + s * (pairs.t1 - pairs.t0), pairs)


def direction(x: Tensor) -> Tensor:
    """Unit vectors `(n, d)`; zero where there is no direction."""
    length = x.norm(dim=1, keepdim=True)
    return torch.where(length > 0, x / length.clamp_min(_TINY), 0.0)


def across(unit: Tensor, x: Tensor) -> Tensor:
    """Vectors without their part along a unit vector, all `(n, d)`; nothing is removed where the unit vector is zero."""
    return x - (x * unit).sum(dim=1, keepdim=True) * unit


@dataclass(frozen=True, eq=False)
class Bent:
    r"""A prepared path plus :math:`\sum_j C_j \sin(j \pi s)`, which vanishes at both ends.

    Parameters
    ----------
    path
        What is bent.
    coefficients
        :math:`C_j` of every pair of the table, shape `(3, N, d)`.
    """

    path: Path
    coefficients: Tensor

    def mean(self, t: Tensor, pairs: Pairs) -> Tensor:
        """Centre, shape `(n, d)`."""
        angle = math.pi * elapsed(t, pairs)[:, None]
        x = self.path.mean(t, pairs)
        for j, coefficient in enumerate(self.coefficients, start=1):
            x = x + torch.sin(j * angle) * coefficient[pairs.row].to(angle.dtype)
        return x

    def std(self, t: Tensor, pairs: Pairs) -> Tensor:
        """Width, shape `(n,)`."""
        return self.path.std(t, pairs)

    def to(self, device: torch.device | str, dtype: torch.dtype) -> Bent:
        """The same path with its constants elsewhere."""
        return replace(self, path=moved(self.path, device, dtype), coefficients=self.coefficients.to(device, dtype))
