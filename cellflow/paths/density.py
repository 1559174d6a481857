"""Paths that keep to where cells are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cellflow._numbers import as_number
from cellflow.chain import Chain
from cellflow.paths._bent import QUARTERS, Bent, at, sines
from cellflow.paths.base import Path, Surveyed, prepared

__all__ = ["DensityCorrected"]

#: One neighbour for so many cells of the pool, within these limits.
_CELLS_PER_NEIGHBOR, _FEWEST, _MOST = 25, 15, 100
#: A place whose neighbours are so many times as far as those of the path's ends lies in a void.
_VOID = 3.0


@dataclass(frozen=True)
class DensityCorrected:
    r"""A path that is shifted sideways to where the cells of all snapshots are dense.

    .. math::  N(s) = \alpha (I - u u^\top) \bigl[m(p(s)) - (1 - s)\, m(x_0) - s\, m(x_1)\bigr], \qquad u = D / |D|

    with :math:`m(x)` the mean shift of a kernel estimate of the pooled cells. Its values at the ends are subtracted, so that a
    cell which lies at the rim of its own population stays there and the variance is kept; the part along the path is left
    out, so that the speed is. Where a path crosses a void, whose nearest cells are several times as far as those around the
    path's ends, the shift fades: there they are the ends themselves, and would straighten every bend.

    Parameters
    ----------
    path
        What is shifted.
    strength
        :math:`\alpha`.

    References
    ----------
    Mean shift: Fukunaga and Hostetler, IEEE Trans. Inf. Theory 1975. Paths that follow the data's density: Kapusniak et al.,
    Metric flow matching, NeurIPS 2024.
    """

    path: Path | Surveyed
    strength: float = 1.0

    def __post_init__(self) -> None:
        as_number("strength", self.strength, above=0.0)

    def prepared(self, chains: Sequence[Chain]) -> Path:
        """Find the shift of every pair at its quarters."""
        inner = prepared(self.path, chains)
        return Bent(inner, sines(torch.cat([self._shift(inner, chain) for chain in chains], dim=1)))

    def _shift(self, path: Path, chain: Chain) -> Tensor:
        pool, pairs = chain.pool, chain.pairs
        k = int(np.clip(len(pool) // _CELLS_PER_NEIGHBOR, _FEWEST, _MOST))
        cells = pool.near(k)
        shift = chain.at_ends(torch.from_numpy(cells.shift))
        radius = chain.at_ends(torch.from_numpy(cells.radius))
        straight = pairs.x1 - pairs.x0
        length = straight.norm(dim=1, keepdim=True)
        along = torch.where(length > 0, straight / length.clamp_min(torch.finfo(length.dtype).tiny), 0.0)
        found = []
        for s in QUARTERS:
            here = pool.near(k, at(path, s, pairs).numpy())
            sideways = torch.from_numpy(here.shift) - (1 - s) * shift[0] - s * shift[1]
            sideways -= (sideways * along).sum(dim=1, keepdim=True) * along
            # No larger than neighbourhoods where cells are: in a void between snapshots, the nearest cells say nothing.
            near = _VOID * ((1 - s) * radius[0] + s * radius[1])
            trust = (near / torch.from_numpy(here.radius).clamp_min(torch.finfo(near.dtype).tiny)).clamp_max(1.0).square()
            found.append(self.strength * trust[:, None] * sideways)
        return torch.stack(found)
