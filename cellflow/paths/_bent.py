r"""A path plus :math:`C \sin^2(\pi s)`, which keeps the velocities at its ends."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from cellflow.core.population import Pairs
from cellflow.paths.base import Path, Wrapper, elapsed
from cellflow.paths.chain import Chain

__all__ = ["Bent", "across", "bent", "direction", "middle", "steady"]

#: Keeps divisions by lengths that may be zero finite.
_TINY = 1e-300


def bent(path: Path, offsets: Tensor) -> Bent:
    """Add a bend to a path, with these offsets `(N, d)` at its middle."""
    return (
        replace(path, amplitude=path.amplitude + offsets)
        if isinstance(path, Bent)
        else Bent(path, offsets)
    )


def steady(chain: Chain, offsets: Tensor) -> Tensor:
    """Remove from offsets `(n, d)` what would change the speed of cells or of the population.

    Each offset becomes orthogonal to its path, and the mean of the offsets over an interval
    orthogonal to the displacement of the population. The correction for the latter is in proportion
    to the lengths of the paths, so that a cell at rest stays at rest.
    """
    straight = chain.pairs.x1 - chain.pairs.x0
    along = direction(straight)
    kept = across(along, offsets)
    for rows in chain.rows:
        forward = direction(straight[rows].mean(dim=0, keepdim=True))
        sideways = straight[rows].norm(dim=1, keepdim=True) * across(
            along[rows], forward.expand_as(straight[rows])
        )
        reach = (sideways.mean(dim=0) @ forward[0]).clamp_min(_TINY)
        kept[rows] -= kept[rows].mean(dim=0) @ forward[0] / reach * sideways
    return kept


def middle(path: Path, pairs: Pairs) -> Tensor:
    """Positions at the middle of the intervals, shape `(n, d)`."""
    return path.mean(0.5 * (pairs.t0 + pairs.t1), pairs)


def direction(x: Tensor) -> Tensor:
    """Unit vectors `(n, d)`; zero where there is no direction."""
    length = x.norm(dim=1, keepdim=True)
    return torch.where(length > 0, x / length.clamp_min(_TINY), 0.0)


def across(unit: Tensor, x: Tensor) -> Tensor:
    """Part of the vectors `(n, d)` orthogonal to unit vectors `(n, d)`, which may be zero."""
    return x - (x * unit).sum(dim=1, keepdim=True) * unit


@dataclass(frozen=True, eq=False)
class Bent(Wrapper):
    r"""A prepared path plus :math:`C \sin^2(\pi s)`.

    The bend vanishes at both ends with its derivative, so that cells leave and reach the snapshots
    with the velocity of the path that is bent.
    """

    amplitude: Tensor  # `C` of every pair of the table, `(N, d)`

    def mean(self, t: Tensor, pairs: Pairs) -> Tensor:
        bend = torch.sin(math.pi * elapsed(t, pairs)[:, None]).square()
        return self.path.mean(t, pairs) + bend * self.amplitude[pairs.row].to(bend.dtype)
