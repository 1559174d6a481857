"""Paths attracted by the cells that lie in both snapshots of their interval."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cellflow.core._neighbors import squared_distances
from cellflow.core._numbers import as_number
from cellflow.core._random import stream, systematic
from cellflow.core._typing import FloatArray
from cellflow.paths._bent import bent, middle, steady
from cellflow.paths.base import Path, Wrapper
from cellflow.paths.chain import Chain, Chains, Pool

__all__ = ["OverlapAttracted"]

#: Neighbours from which the posterior over snapshots is estimated.
_N_NEIGHBORS = 50
#: Two snapshots overlap fully from this mass of the product of both posteriors on; it is 0.5 for
#: identical snapshots.
_OVERLAP_OF_CLOUDS = 0.02
#: Smallest sample of the overlap.
_FEWEST = 200
#: Largest sample of the overlap.
_MOST = 1000
#: Entropic regularisation of the plan from paths to overlap, in units of the mean cost.
_EPSILON = 0.02
#: Relaxation of the plan's column masses, in the same unit.
_TAU = 0.1
#: Sinkhorn iterations of the plan.
_N_SCALINGS = 60
#: Largest number of paths in the Sinkhorn iterations; the column potential then serves all paths.
_MAX_ROWS = 16384
#: Paths in one block of the kernel, so that it stays in the cache.
_BLOCK = 256
#: Logarithm of the smallest kernel value; smaller ones are zero.
_LEAST = -69.0
#: Seed of the random streams.
_SEED = 0
#: First key of the random streams.
_OVERLAP = 1


@dataclass(frozen=True)
class OverlapAttracted(Wrapper):
    r"""A path that bends towards cells of the overlap of its two snapshots.

    Where both snapshots have cells, these are likely positions for the times between them. The
    middles of the paths are coupled to a sample of such cells by entropic transport that keeps the
    masses of the paths and relaxes those of the cells. Each path is shifted by

    .. math::  \beta \exp\bigl(-|e|^2 / (2 g^2 |D|^2)\bigr)\, (I - u u^\top)\, e, \qquad u = D / |D|

    where :math:`e` is the vector to its partner. The shift is small when the partner is further
    away than about `reach` times the length of the path. The part along the path is left out: it
    would make velocities too large at the snapshots and too small between them. If the snapshots
    overlap by less than two percent, the shift is reduced in proportion.

    Parameters
    ----------
    path
        The path that is bent.
    strength
        :math:`\beta`.
    reach
        :math:`g`.

    References
    ----------
    Semi-relaxed transport: Chizat et al., Scaling algorithms for unbalanced optimal transport
    problems, Math. Comp. 2018.

    Examples
    --------
    >>> path = cf.paths.OverlapAttracted(cf.paths.LimitedHermite())
    >>> path.path
    LimitedHermite(smoothing=0.1, limit=4.0, n_neighbors=100)
    """

    strength: float = 0.5
    reach: float = 0.33

    def __post_init__(self) -> None:
        as_number("strength", self.strength, above=0.0)
        as_number("reach", self.reach, above=0.0)

    def prepared(self, chains: Chains) -> Path:
        """Find the attraction of every pair at its middle."""
        inner = self.inner.prepared(chains)
        return bent(
            inner, torch.cat([self._pulls(inner, chain, c) for c, chain in enumerate(chains)])
        )

    def _pulls(self, path: Path, chain: Chain, number: int) -> Tensor:
        pairs = chain.pairs
        posterior = _posterior(chain.pool, len(chain.snapshots))
        length = (pairs.x1 - pairs.x0).norm(dim=1).numpy()
        points = middle(path, pairs).numpy()
        pulls = np.zeros_like(points)
        for k, rows in enumerate(chain.rows):
            shared = chain.pool.weight * posterior[:, k] * posterior[:, k + 1]
            # If two snapshots hardly overlap, the cells between them are outliers.
            strength = self.strength * min(1.0, float(shared.sum()) / _OVERLAP_OF_CLOUDS)
            if not strength > 0:
                continue
            rng = stream(_SEED, _OVERLAP, number, k)
            n = int(np.clip(rows.stop - rows.start, _FEWEST, _MOST))
            overlap = chain.pool.x[systematic(shared, n, rng)]
            away = _partners(points[rows], overlap, rng) - points[rows]
            # A path of length zero stays as it is.
            reach = np.maximum(self.reach * length[rows, None], np.finfo(float).tiny ** 0.25)
            with np.errstate(under="ignore"):
                pulls[rows] = (
                    strength * np.exp(-0.5 * (away**2).sum(axis=1, keepdims=True) / reach**2) * away
                )
        return steady(chain, torch.from_numpy(pulls))


def _posterior(pool: Pool, n_knots: int) -> FloatArray:
    """Posterior probability of each snapshot at each cell of the pool, shape `(n, n_knots)`."""
    near = pool.near(_N_NEIGHBORS)
    place = np.arange(len(pool))[:, None] * n_knots + pool.knot[near.rows]
    mass = np.bincount(place.ravel(), weights=near.share.ravel(), minlength=len(pool) * n_knots)
    return mass.astype(np.float64, copy=False).reshape(len(pool), n_knots)


def _partners(points: FloatArray, cells: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Draw a partner among the cells `(m, d)` for each point `(n, d)`, by the relaxed plan."""
    some = (
        points
        if len(points) <= _MAX_ROWS
        else points[np.sort(rng.permutation(len(points))[:_MAX_ROWS])]
    )
    cost = squared_distances(some, cells)
    unit = max(float(cost.mean()), np.finfo(float).tiny)
    kernel = _kernel(cost, unit)
    column: FloatArray = np.ones(len(cells), dtype=np.float32)
    for _ in range(_N_SCALINGS):
        reached = np.zeros_like(column)
        for rows in _blocks(len(some)):  # both products while the block is in the cache
            reached += (1.0 / (len(some) * (kernel[rows] @ column))) @ kernel[rows]
        column = (1.0 / (len(cells) * np.maximum(reached, np.finfo(np.float32).tiny))) ** (
            _TAU / (_TAU + _EPSILON)
        )
    chosen = np.empty(len(points), dtype=np.intp)
    for rows in _blocks(len(points)):
        part = (
            kernel[rows]
            if some is points
            else _kernel(squared_distances(points[rows], cells), unit)
        )
        ends = np.cumsum(part * column, axis=1, dtype=np.float64)
        place = rng.random(len(ends))[:, None] * ends[:, -1:]
        chosen[rows] = np.minimum((ends <= place).sum(axis=1), len(cells) - 1)
    return cells[chosen]


def _blocks(n: int) -> Iterator[slice]:
    return (slice(start, start + _BLOCK) for start in range(0, n, _BLOCK))


def _kernel(cost: FloatArray, unit: float) -> FloatArray:
    """Entropic kernel of costs `(n, m)`, each row divided by its largest entry."""
    exponent = ((cost.min(axis=1, keepdims=True) - cost) / (_EPSILON * unit)).astype(np.float32)
    # Subnormal numbers would take ten times as long, so very small values are set to zero.
    kernel: FloatArray = np.exp(np.maximum(exponent, _LEAST))
    kernel *= exponent > _LEAST
    return kernel
