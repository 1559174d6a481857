"""A binary tree of lineages: a mixture of moving Gaussians."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from scipy.special import logsumexp, softmax

from cellflow.core._random import stream
from cellflow.core._typing import FloatArray
from cellflow.core.population import Snapshots
from cellflow.synthetic.base import normal_log_density, snapshots

__all__ = ["BranchingTree"]


@dataclass(frozen=True)
class BranchingTree:
    r"""Cells that move along a binary tree in `d` dimensions, one level per unit of time.

    A cell moves towards one of :math:`2^{k}` leaves and keeps its own Gaussian offset from the
    branch, so the population is a mixture of Gaussians that move with their branches, and its
    velocity is the mean of theirs under the posterior of the leaf. The fates are that posterior.

    Parameters
    ----------
    n_dims
        Dimension :math:`d`.
    depth
        Levels :math:`k` at which branches fork; the trunk lasts for one unit of time before the
        first.
    length
        Length of an edge.
    sd
        Standard deviation of the offsets.
    seed
        Of the edges' directions.

    Examples
    --------
    >>> snapshots = cf.synthetic.BranchingTree().sample(50, [0.0, 1.0], np.random.default_rng(0))
    >>> snapshots.times, snapshots.n_dims
    (array([0., 1.]), 10)
    """

    n_dims: int = 10
    depth: int = 2
    length: float = 3.0
    sd: float = 0.5
    seed: int = 0
    times: ClassVar[tuple[float, ...]] = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0)

    def sample(self, n_obs: int, times: Sequence[float], rng: np.random.Generator) -> Snapshots:
        """Draw snapshots; see `System.sample`."""

        def cells(t: float) -> FloatArray:
            leaf = rng.integers(2**self.depth, size=n_obs)
            return self._positions(t)[leaf] + self.sd * rng.standard_normal((n_obs, self.n_dims))

        return snapshots(times, cells)

    def velocity(self, t: float, x: FloatArray) -> FloatArray:
        """Mean velocity of the branches, weighted by the posterior of the leaves."""
        return self.fates(t, x) @ self._edges[:, min(max(int(t), 0), self.depth)]

    def fates(self, t: float, x: FloatArray) -> FloatArray:
        """Probabilities of the leaves, shape `(n, 2**depth)`."""
        posterior: FloatArray = softmax(self._log_joint(t, x), axis=1)
        return posterior

    def log_density(self, t: float, x: FloatArray) -> FloatArray:
        """Log-density of the mixture."""
        mixed: FloatArray = logsumexp(self._log_joint(t, x), axis=1)
        return mixed

    @cached_property
    def _edges(self) -> FloatArray:
        """Edge of each level on the way to each leaf, shape `(leaves, levels, d)`."""
        rng = stream(self.seed)
        leaves = 2**self.depth
        levels = []
        for level in range(self.depth + 1):
            direction = rng.standard_normal((2**level, self.n_dims))
            direction *= self.length / np.linalg.norm(direction, axis=1, keepdims=True)
            levels.append(np.repeat(direction, leaves // 2**level, axis=0))
        return np.stack(levels, axis=1)

    def _positions(self, t: float) -> FloatArray:
        """Mean position of the cells of each leaf at time `t`, shape `(leaves, d)`."""
        level = min(max(int(t), 0), self.depth)
        fork: FloatArray = self._edges[:, :level].sum(axis=1)
        return fork + (t - level) * self._edges[:, level]

    def _log_joint(self, t: float, x: FloatArray) -> FloatArray:
        sd = np.full(self.n_dims, self.sd)
        per_leaf = [normal_log_density(x, mean, sd) for mean in self._positions(t)]
        return np.stack(per_leaf, axis=1) - self.depth * math.log(2)
