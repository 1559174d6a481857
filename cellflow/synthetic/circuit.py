"""Stochastic gene circuits of growing cells that choose between several fates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

import numpy as np
from scipy.special import expit

from cellflow.core._random import shuffled, stream
from cellflow.core._typing import FloatArray, IntArray
from cellflow.core.population import Population, Snapshots
from cellflow.errors import InputError, closest
from cellflow.synthetic._circuit_parts import Parts, drawn
from cellflow.synthetic.base import n_steps

__all__ = ["Circuit", "circuits"]

#: Least share of the cells of the end in each fate.
_LEAST_SHARE = 0.12
#: Cells that are followed for the shares of a drawn circuit.
_N_TRIED = 2000


class _Followed(NamedTuple):
    """Positions of cells at the end, and the logarithm of the number of descendants of each."""

    x: FloatArray
    log_weight: FloatArray


@dataclass(frozen=True)
class Circuit:
    r"""Genes that regulate each other in cells that divide, with a known fate for every end.

    .. math:: dx_i = r\,\bigl(\phi((W x + b)_i) - x_i\bigr)\,dt + \sigma\,dW_i, \qquad
        g(x) = \gamma \sum_i c_i\,\phi\bigl(10\,(x_i - \tfrac12)\bigr)

    :math:`\phi` is the logistic function: gene `j` activates gene `i` where :math:`W_{ij} > 0` and
    represses it where :math:`W_{ij} < 0`. Expression is between about 0 and 1. A gene with a pace
    :math:`p_i` is a confounder: it follows the time alone, :math:`dx_i = (p_i + r\,(s_i + p_i t -
    x_i))\,dt + \sigma\,dW_i` with its mean :math:`s_i` at time 0, and regulates no gene. A knocked
    out gene stays at zero.

    The fates are the leaves of a tree of pairs of genes that repress each other; a cell goes to the
    side of the gene with more expression. Starts are drawn and followed by Euler-Maruyama, and
    cells are drawn in proportion to their descendants. `Population.mass` is the mean number of
    descendants of the same cells. The drift and the growth are known, and the fates by simulation;
    the velocity of the population is not: it is the drift less half of :math:`\sigma^2` times the
    score, which is small beside the drift wherever cells move.

    Parameters
    ----------
    parts
        Genes with their constants. `circuits` draws them.
    rate
        :math:`r`, decay of all products per unit of time.
    proliferation
        :math:`\gamma`, largest rate of division by one gene.
    sigma
        Diffusion per square root of time.
    start_sd
        Standard deviation of all genes at time 0.
    held
        Numbers of the genes that are knocked out.

    Examples
    --------
    >>> circuit = circuits(4, 2)
    >>> circuit.genes, circuit.growth_drivers, circuit.confounders
    (('R1', 'R2', 'D1', 'C1'), (2,), (3,))
    >>> cells = circuit.sample(100, [0.0, 4.0], np.random.default_rng(0))
    >>> np.bincount(circuit.labels(cells[1].x)).shape
    (2,)
    """

    parts: Parts
    rate: float = 2.0
    proliferation: float = 0.5
    sigma: float = 0.05
    start_sd: float = 0.08
    held: tuple[int, ...] = ()
    times: ClassVar[tuple[float, ...]] = (0.0, 1.0, 2.0, 3.0, 4.0)

    #: Step of the simulation.
    _DT: ClassVar[float] = 0.04
    #: Cells that are followed for each cell that is drawn.
    _SPARE: ClassVar[int] = 10
    #: Slope of the rate of division by the expression of a gene, at half of its largest rate.
    _STEEPNESS: ClassVar[float] = 10.0

    # The genes --------------------------------------------------------------------------------

    @property
    def genes(self) -> tuple[str, ...]:
        """Names: regulators of fates `R`, of division `D`, targets `T`, confounders `C`."""
        return self.parts.genes

    @property
    def regulation(self) -> FloatArray:
        """:math:`W`, shape `(d, d)`: effect of the gene of the column on that of the row."""
        return np.array(self.parts.regulation)

    @property
    def growth_drivers(self) -> tuple[int, ...]:
        """Numbers of the genes that make cells divide."""
        return tuple(np.flatnonzero(self.parts.division).tolist())

    @property
    def confounders(self) -> tuple[int, ...]:
        """Numbers of the genes that follow the time alone."""
        return tuple(np.flatnonzero(self.parts.pace).tolist())

    @property
    def ends(self) -> tuple[str, ...]:
        """Names of the fates, those of the genes that are on, in the order of `labels`."""
        return tuple(self.genes[g] for g in self.parts.leaves)

    def knocked_out(self, gene: int | str) -> Circuit:
        """The same circuit with a gene held at zero.

        Raises
        ------
        InputError
            A gene that there is not.
        """
        names = self.genes
        known = gene in names if isinstance(gene, str) else 0 <= gene < len(names)
        if not known:
            msg = f"gene={gene!r} is none of {list(names)}{closest(str(gene), names)}"
            raise InputError(msg)
        number = names.index(gene) if isinstance(gene, str) else int(gene)
        return replace(self, held=tuple(sorted({*self.held, number})))

    # The population ---------------------------------------------------------------------------

    def sample(self, n_obs: int, times: Sequence[float], rng: np.random.Generator) -> Snapshots:
        """Draw snapshots by Euler-Maruyama; see `System.sample`."""
        found = []
        for t in times:
            cells = self._followed(self.starts(self._SPARE * n_obs, rng), 0.0, float(t), rng)
            weight = np.exp(cells.log_weight)
            rows = shuffled(weight, n_obs, rng)
            found.append(Population(cells.x[rows], float(t), mass=float(weight.mean())))
        return Snapshots(tuple(found))

    def starts(self, n: int, rng: np.random.Generator) -> FloatArray:
        """Draw cells of time 0, shape `(n, d)`."""
        start = np.array(self.parts.start)
        cells: FloatArray = start + self.start_sd * rng.standard_normal((n, len(start)))
        return cells

    def _followed(self, x: FloatArray, t0: float, t1: float, rng: np.random.Generator) -> _Followed:
        """Cells `(n, d)` that are moved from one time to another."""
        free = np.ones(x.shape[1])
        free[list(self.held)] = 0.0
        x = free * x
        log_weight = np.zeros(len(x))
        steps = n_steps(t1 - t0, self._DT)
        for k in range(steps):
            dt = (t1 - t0) / steps
            t = t0 + k * dt
            log_weight += dt * self.growth(t, x)
            noise = self.sigma * math.sqrt(dt) * rng.standard_normal(x.shape)
            x = x + dt * self.drift(t, x) + free * noise
        return _Followed(x, log_weight)

    # What is known of a cell ------------------------------------------------------------------

    def drift(self, t: float, x: FloatArray) -> FloatArray:
        """Mean motion of single cells, shape `(n, d)`; zero for a gene that is knocked out."""
        x = np.asarray(x)
        pace = np.array(self.parts.pace)
        made = expit(x @ self.regulation.T + np.array(self.parts.basal))
        timed = np.array(self.parts.start) + pace * (t + 1.0 / self.rate)
        moved: FloatArray = self.rate * (np.where(pace != 0.0, timed, made) - x)
        moved[:, list(self.held)] = 0.0
        return moved

    def growth(self, t: float, x: FloatArray) -> FloatArray:  # noqa: ARG002
        """Rate of division, the same at all times, shape `(n,)`."""
        on = expit(self._STEEPNESS * (np.asarray(x) - 0.5))
        rate: FloatArray = self.proliferation * (on @ np.array(self.parts.division))
        return rate

    def jacobian(self, t: float, x: FloatArray) -> FloatArray:  # noqa: ARG002
        """Derivatives of the drift of the genes (rows) by the genes, shape `(n, d, d)`."""
        on = expit(np.asarray(x) @ self.regulation.T + np.array(self.parts.basal))
        slope = on * (1.0 - on)
        found: FloatArray = self.rate * (slope[:, :, None] * self.regulation - np.eye(x.shape[1]))
        found[:, list(self.held)] = 0.0
        return found

    def labels(self, x: FloatArray) -> IntArray:
        """Number of the fate on whose side of each pair of genes a cell is, shape `(n,)`.

        Of cells of the end this is the basin that they are in.
        """
        x = np.asarray(x)
        here = np.full(len(x), -1)
        for first, second, parent in self.parts.splits:
            inside = here == parent
            here[inside] = np.where(x[inside, first] >= x[inside, second], first, second)
        return np.searchsorted(self.parts.leaves, here)

    def descendants(
        self, t: float, x: FloatArray, *, n_rep: int = 20, rng: np.random.Generator | None = None
    ) -> FloatArray:
        """Mean number of descendants of each cell in each fate at the last time, `(n, k)`.

        Cells of that time or a later one are their own descendants.

        Parameters
        ----------
        t, x
            Time and states `(n, d)` of the cells.
        n_rep
            Simulations of each cell.
        rng
            Generator of the noise; one of a fixed seed by default.
        """
        rng = stream(0) if rng is None else rng
        moved = self._followed(np.repeat(x, n_rep, axis=0), t, max(t, self.times[-1]), rng)
        fate = np.eye(len(self.ends))[self.labels(moved.x)]
        each = fate * np.exp(moved.log_weight)[:, None]
        mean: FloatArray = each.reshape(len(x), n_rep, -1).mean(axis=1)
        return mean

    def fates(
        self, t: float, x: FloatArray, *, n_rep: int = 20, rng: np.random.Generator | None = None
    ) -> FloatArray:
        """Shares of the fates among the descendants of each cell, `(n, k)`; see `descendants`."""
        found = self.descendants(t, x, n_rep=n_rep, rng=rng)
        shares: FloatArray = found / found.sum(axis=1, keepdims=True)
        return shares

    def composition(
        self, t: float, x: FloatArray, *, n_rep: int = 20, rng: np.random.Generator | None = None
    ) -> FloatArray:
        """Shares of the fates among the descendants of all cells together, shape `(k,)`."""
        found = self.descendants(t, x, n_rep=n_rep, rng=rng).sum(axis=0)
        shares: FloatArray = found / found.sum()
        return shares


def circuits(n_genes: int = 10, n_fates: int = 4, seed: int = 0) -> Circuit:
    """Draw a circuit.

    Fates are the leaves of a tree of toggle switches: pairs of genes that activate themselves and
    repress each other, each but the first under a gene of another pair. Further genes are, in this
    order of need, a confounder, a gene that makes cells divide, more confounders, and targets
    downstream; without a gene of its own, a gene of the first pair makes cells divide. Strengths,
    thresholds and the places of the further genes are drawn, until each fate has at least an eighth
    of the cells of the end.

    Parameters
    ----------
    n_genes
        2 to 10, at least two for each fate but one.
    n_fates
        2 to 4.
    seed
        The same seed draws the same circuit.

    Raises
    ------
    InputError
        Numbers that are not allowed, or too few genes for the fates.

    Examples
    --------
    >>> circuits().genes
    ('R1', 'R2', 'R3', 'R4', 'R5', 'R6', 'D1', 'T1', 'C1', 'C2')
    """
    if n_fates not in (2, 3, 4):
        msg = f"n_fates={n_fates}; expected 2, 3 or 4."
        raise InputError(msg)
    least = 2 * (n_fates - 1)
    if not least <= n_genes <= 10:
        msg = f"n_genes={n_genes}; expected {least} to 10 with n_fates={n_fates}."
        raise InputError(msg)
    rng = stream(seed, n_genes, n_fates)
    while True:
        circuit = Circuit(drawn(n_genes, n_fates, rng))
        starts = circuit.starts(_N_TRIED, stream(seed, 0))
        shares = circuit.composition(0.0, starts, n_rep=1, rng=stream(seed, 1))
        if shares.min() >= _LEAST_SHARE:
            return circuit
