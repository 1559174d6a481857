"""Training points from the cells of one population."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import count

import numpy as np
import torch

from cellflow.core._random import stream
from cellflow.core._typing import IntArray
from cellflow.core.population import Population
from cellflow.paths.base import PathSample
from cellflow.training.batches import VALIDATION_POINTS, refreshed

__all__ = ["PopulationStream"]

# First keys of the random streams.
_ASIDE = 0
_BLOCK = 1
_VALIDATION = 2


class PopulationStream:
    """The cells of one population, for a score that is learned from them alone.

    Batch `k` depends on the seed and on `k` only.

    Parameters
    ----------
    population
        In model coordinates.
    batch_size
        Cells per batch, drawn by weight with replacement.
    validation
        Share of the cells set aside, from 0 to 0.5.
    seed
        Of all draws.
    levels
        Whether the cells have a random number for a noise level.
    """

    def __init__(
        self,
        population: Population,
        *,
        batch_size: int,
        validation: float,
        seed: int,
        levels: bool = True,
    ) -> None:
        order = stream(seed, _ASIDE).permutation(np.flatnonzero(population.weight > 0))
        n_aside = round(validation * len(order))
        self._aside = order[:n_aside]
        self._kept = order[n_aside:]
        self._population = population
        self._batch_size = batch_size
        self._seed = seed
        self._levels = levels

    def _points(self, n: int, rows: IntArray, rng: np.random.Generator) -> PathSample:
        weight = self._population.weight[rows]
        chosen = rng.choice(rows, n, p=weight / weight.sum())
        x = torch.from_numpy(self._population.x[chosen].astype(np.float32))
        z = torch.from_numpy(rng.standard_normal(x.shape, dtype=np.float32))
        t = torch.full((n,), self._population.time, dtype=torch.float64)
        points = refreshed(PathSample(t, x, torch.zeros_like(x), std=torch.zeros(n), z=z), rng)
        return points if self._levels else replace(points, level=None)

    def batches(self, first: int = 0) -> Iterator[PathSample]:
        """Batches without end, from number `first` on."""
        for k in count(first):
            yield self._points(self._batch_size, self._kept, stream(self._seed, _BLOCK, k))

    def validation(self) -> PathSample | None:
        """The fixed validation points, or None where nothing was set aside."""
        if len(self._aside) == 0:
            return None
        return self._points(VALIDATION_POINTS, self._aside, stream(self._seed, _VALIDATION))
