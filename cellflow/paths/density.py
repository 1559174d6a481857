r"""Paths through dense regions.

A prepared path is shifted sideways by the change of the mean shift along it; the formula is in
`DensityCorrected`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cellflow.core._numbers import as_number
from cellflow.paths._bent import across, bent, direction, middle, steady
from cellflow.paths.base import Path, Wrapper
from cellflow.paths.chain import Chain, Chains

__all__ = ["DensityCorrected"]

#: Cells of the pool for each neighbour of the kernel estimate.
_CELLS_PER_NEIGHBOR = 25
#: Smallest number of neighbours.
_FEWEST = 15
#: Largest number of neighbours.
_MOST = 100
#: A position lies in a void if its neighbours are this many times as far as those of the path's
#: ends.
_VOID = 3.0
#: Keeps divisions by lengths that may be zero finite.
_TINY = 1e-300


@dataclass(frozen=True)
class DensityCorrected(Wrapper):
    r"""A path that is shifted sideways to where the cells of all snapshots are dense.

    .. math::  N(s) = \alpha (I - u u^\top) \bigl[m(p(s)) - (1 - s)\, m(x_0) - s\, m(x_1)\bigr],
               \qquad u = D / |D|

    with :math:`m(x)` the mean shift of a kernel estimate of the pooled cells. Its values at the
    ends are subtracted, so that a cell which lies at the rim of its own population stays there and
    the variance is kept; the part along the path is left out, so that the speed is. Where a path
    crosses a void, where the nearest cells are several times as far as those around the path's
    ends, the part of the shift that would straighten the path is reduced.

    Parameters
    ----------
    path
        The path that is shifted.
    strength
        :math:`\alpha`.

    References
    ----------
    Mean shift: Fukunaga and Hostetler, IEEE Trans. Inf. Theory 1975. Paths that follow the data's
    density: Kapusniak et al., Metric flow matching, NeurIPS 2024.

    Examples
    --------
    >>> path = cf.paths.DensityCorrected(cf.paths.LimitedHermite())
    >>> path.path
    LimitedHermite(smoothing=0.1, limit=4.0, n_neighbors=100)
    """

    strength: float = 1.0

    def __post_init__(self) -> None:
        as_number("strength", self.strength, above=0.0)

    def prepared(self, chains: Chains) -> Path:
        """Find the shift of every pair at its middle."""
        inner = self.inner.prepared(chains)
        return bent(inner, torch.cat([self._shift(inner, chain) for chain in chains]))

    def _shift(self, path: Path, chain: Chain) -> Tensor:
        pool = chain.pool
        pairs = chain.pairs
        k = int(np.clip(len(pool) // _CELLS_PER_NEIGHBOR, _FEWEST, _MOST))
        cells = pool.near(k)
        place = middle(path, pairs)
        start, stop = chain.at_ends(torch.from_numpy(cells.shift))
        radius = chain.at_ends(torch.from_numpy(cells.radius))
        along = direction(pairs.x1 - pairs.x0)
        here = pool.near(k, place.numpy())
        shift = across(along, torch.from_numpy(here.shift) - 0.5 * (start + stop))
        # In a void, the nearest cells are those of the path's own ends: the shift would straighten
        # every curved path.
        bend = direction(across(along, place - 0.5 * (pairs.x0 + pairs.x1)))
        against = (shift * bend).sum(dim=1, keepdim=True).clamp_max(0.0) * bend
        near = _VOID * 0.5 * (radius[0] + radius[1])
        trust = (near / torch.from_numpy(here.radius).clamp_min(_TINY)).clamp_max(1.0).square()
        return steady(chain, self.strength * (shift - (1.0 - trust)[:, None] * against))
