"""A path with a bend on top: what a correction of its middle amounts to."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from cellflow.core.population import Pairs
from cellflow.paths.base import Path, elapsed, moved
from cellflow.paths.chain import Chain

__all__ = ["Bent", "across", "bent", "direction", "middle", "steady"]

#: Keeps divisions by lengths that may be zero finite.
_TINY = 1e-300


def bent(path: Path, offsets: Tensor) -> Bent:
    """Bend a path such that it is off by these `(N, d)` at its middle."""
    return (
        replace(path, amplitude=path.amplitude + offsets)
        if isinstance(path, Bent)
        else Bent(path, offsets)
    )


def steady(chain: Chain, offsets: Tensor) -> Tensor:
    """Offsets `(n, d)` of the pairs of a chain, without what would change the speed of cells or of the population.

    Each is at right angles to its path, and their mean over an interval to the displacement of the
    population. What has to be added for the latter is in proportion to the lengths of the paths: a
    cell at rest stays there.
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
    """Positions on the paths when half of their intervals has passed, shape `(n, d)`."""
    return path.mean(0.5 * (pairs.t0 + pairs.t1), pairs)


def direction(x: Tensor) -> Tensor:
    """Unit vectors `(n, d)`; zero where there is no direction."""
    length = x.norm(dim=1, keepdim=True)
    return torch.where(length > 0, x / length.clamp_min(_TINY), 0.0)


def across(unit: Tensor, x: Tensor) -> Tensor:
    """Vectors without their part along a unit vector, all `(n, d)`; nothing is removed where the unit vector is zero."""
    return x - (x * unit).sum(dim=1, keepdim=True) * unit


@dataclass(frozen=True, eq=False)
class Bent:
    r"""A prepared path plus :math:`C \sin^2(\pi s)`.

    The bend vanishes at both ends with its derivative, so that cells leave and reach the snapshots
    with the velocity of the path that is bent.

    Parameters
    ----------
    path
        What is bent.
    amplitude
        :math:`C` of every pair of the table, shape `(N, d)`.
    """

    path: Path
    amplitude: Tensor

    def mean(self, t: Tensor, pairs: Pairs) -> Tensor:
        """Centre, shape `(n, d)`."""
        bend = torch.sin(math.pi * elapsed(t, pairs)[:, None]).square()
        return self.path.mean(t, pairs) + bend * self.amplitude[pairs.row].to(bend.dtype)

    def std(self, t: Tensor, pairs: Pairs) -> Tensor:
        """Width, shape `(n,)`."""
        return self.path.std(t, pairs)

    def to(self, device: torch.device | str, dtype: torch.dtype) -> Bent:
        """The same path with its constants elsewhere."""
        return replace(
            self, path=moved(self.path, device, dtype), amplitude=self.amplitude.to(device, dtype)
        )
