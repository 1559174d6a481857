"""An experiment with conditions, samples and barcodes, drawn from systems whose truth is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from scipy.special import softmax

from cellflow.core._typing import FloatArray, IntArray
from cellflow.errors import InputError
from cellflow.synthetic.base import System

__all__ = ["Branched", "Experiment", "Taken"]


@runtime_checkable
class Branched(System, Protocol):
    """A system whose cells are of two kinds (`GrowingFork`)."""

    def log_sizes(self, t: float) -> FloatArray:
        """Logarithms of the numbers of cells of both kinds, shape `(2,)`."""

    def placed(self, t: float, kind: IntArray, rng: np.random.Generator) -> FloatArray:
        """Draw positions of cells of the kinds `(n,)` at a time, shape `(n, d)`."""

    def labels(self, t: float) -> tuple[str, str]:
        """Cell type of both kinds at a time."""


class Taken(NamedTuple):
    """Cells of one sample."""

    time: float
    #: Name of the condition.
    condition: str
    #: Number of the replicate within its condition.
    replicate: int
    #: Positions as they are measured, shape `(n, d)`.
    x: FloatArray
    #: What the sample adds to the positions of all of its cells, shape `(d,)`.
    shift: FloatArray
    #: Kind of each cell, 0 or 1, shape `(n,)`.
    kind: IntArray
    #: Number of the clone of each cell, shape `(n,)`; -1 for no barcode.
    clone: IntArray


@dataclass(frozen=True)
class Experiment:
    r"""Samples of cells under several conditions, with sample effects and barcodes of known size.

    At each time one sample is taken of each replicate of each condition. A sample is not the
    population: all of its cells are shifted by one Gaussian vector, and the log-odds of its two
    kinds of cells by a Gaussian number. The truth about a condition is that of its system.

    Barcodes are static. Replicates of equal number descend from one pool of barcoded cells, which
    is divided among the conditions. A clone belongs to one of both kinds of cells, and has a size,
    which is exponentially distributed, as after a pure birth process. A cell of kind :math:`k` is
    of a clone of its kind with the probability `heritability`, otherwise of any clone, in
    proportion to the sizes:

    .. math:: P(c \mid k) = h\, \frac{s_c 1[k_c = k]}{\sum_{c'} s_{c'} 1[k_{c'} = k]}
        + (1 - h)\, \frac{s_c}{\sum_{c'} s_{c'}}

    So clones of a kind that divides faster have more cells at later times, and positions have the
    same law as without barcodes.

    Parameters
    ----------
    conditions
        A system for each name of a condition (`GrowingFork`); the first one is the control. Two
        equal systems are two conditions without a difference.
    n_samples
        Samples of each condition at each time.
    shift
        Standard deviation of the shift of a sample, in each dimension.
    composition
        Standard deviation of the log-odds of both kinds in a sample, about those of the population.
    treated_from
        First time at which conditions other than the first are sampled. Earlier cells precede all
        conditions and have the name of the first.
    n_clones
        Clones of each pool; 0 for no barcodes, else at least 2.
    heritability
        :math:`h`, from 0 to 1: with 1 all cells of a clone have one fate, with 0 barcodes tell
        nothing.
    barcoded
        Share of the cells whose barcode is found.

    Raises
    ------
    InputError
        No condition, no sample, one clone, or numbers out of their range.

    Examples
    --------
    >>> from cellflow.synthetic import GrowingFork
    >>> treated = GrowingFork(onset=2.0, growth_factors=(1.5, 1.0))
    >>> experiment = Experiment({"control": GrowingFork(), "treated": treated}, n_samples=2)
    >>> len(experiment.take(50, [0.0, 1.0, 2.0], np.random.default_rng(0)))
    12
    """

    conditions: Mapping[str, Branched]
    n_samples: int = 3
    shift: float = 0.1
    composition: float = 0.2
    treated_from: float = 0.0
    n_clones: int = 0
    heritability: float = 1.0
    barcoded: float = 1.0

    def __post_init__(self) -> None:
        if not self.conditions:
            msg = "conditions: there is none; expected a system for each name."
            raise InputError(msg)
        for name, system in self.conditions.items():
            if not isinstance(name, str) or "/" in name or not isinstance(system, Branched):
                msg = (
                    f"conditions: {name!r} is a {type(system).__name__}; expected a name without"
                    " '/' and a system of two kinds of cells, such as GrowingFork()."
                )
                raise InputError(msg)
        for name, least in {"n_samples": 1, "shift": 0.0, "composition": 0.0}.items():
            if not getattr(self, name) >= least:
                msg = f"{name}={getattr(self, name)}; expected at least {least}."
                raise InputError(msg)
        for name in ("heritability", "barcoded"):
            if not 0 <= getattr(self, name) <= 1:
                msg = f"{name}={getattr(self, name)}; expected a share, from 0 to 1."
                raise InputError(msg)
        if self.n_clones < 0 or self.n_clones == 1:
            msg = f"n_clones={self.n_clones}; expected 0, or at least one clone of each kind."
            raise InputError(msg)

    @property
    def times(self) -> tuple[float, ...]:
        """Times of the snapshots in examples and benchmarks, those of the first condition."""
        return next(iter(self.conditions.values())).times

    def take(self, n_obs: int, times: Sequence[float], rng: np.random.Generator) -> list[Taken]:
        """Draw samples of `n_obs` cells, by time, condition and replicate."""
        pools = [self._pool(rng) for _ in range(self.n_samples)]
        control = next(iter(self.conditions))
        return [
            self._sample(n_obs, float(t), name, replicate, pools[replicate], rng)
            for t in times
            for name in self.conditions
            if name == control or t >= self.treated_from
            for replicate in range(self.n_samples)
        ]

    def _sample(
        self,
        n: int,
        t: float,
        name: str,
        replicate: int,
        pool: FloatArray,
        rng: np.random.Generator,
    ) -> Taken:
        system = self.conditions[name]
        odds = self.composition * rng.standard_normal() * np.array([0.5, -0.5])
        kind = rng.choice(2, size=n, p=softmax(system.log_sizes(t) + odds))
        x = system.placed(t, kind, rng)
        shift = self.shift * rng.standard_normal((1, x.shape[1]))
        clone = np.full(n, -1)
        for k, share in enumerate(pool):
            rows = np.flatnonzero((kind == k) & (rng.random(n) < self.barcoded))
            clone[rows] = replicate * self.n_clones + rng.choice(len(share), len(rows), p=share)
        return Taken(t, name, replicate, x + shift, shift[0], kind, clone)

    def _pool(self, rng: np.random.Generator) -> FloatArray:
        """Probabilities of the clones of a pool for a cell of each kind, shape `(2, n_clones)`.

        Empty, shape `(0, 0)`, without barcodes.
        """
        if not self.n_clones:
            return np.zeros((0, 0))
        shares = softmax(next(iter(self.conditions.values())).log_sizes(0.0))
        # At least one clone of each kind.
        n_first = int(np.clip(round(self.n_clones * shares[0]), 1, self.n_clones - 1))
        of_first = rng.permutation(self.n_clones) < n_first
        size = rng.exponential(size=self.n_clones)
        own = size * np.array([of_first, ~of_first])
        pool: FloatArray = self.heritability * own / own.sum(axis=1, keepdims=True)
        pool += (1 - self.heritability) * size / size.sum()
        return pool
