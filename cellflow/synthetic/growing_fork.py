"""A population that forks into two growing branches, with and without a treatment."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, NamedTuple

import numpy as np
from scipy.special import logsumexp, softmax

from cellflow.core._typing import FloatArray, IntArray
from cellflow.core.population import Snapshots
from cellflow.errors import InputError
from cellflow.synthetic.base import normal_log_density, snapshots

__all__ = ["Effects", "GrowingFork"]

#: Largest logarithm of a size that can be computed.
_MOST = 700.0
#: Angle of the branches with the first axis.
_ANGLE = math.pi / 4


class Effects(NamedTuple):
    """What a treatment changes, treated minus control: by branch, A and B, behind the fork."""

    #: Speed, shape `(2,)`; NaN for a branch that one of both does not have.
    speed: FloatArray
    #: Rate of division per unit of time, shape `(2,)`; NaN as above.
    growth: FloatArray
    #: Probability that a cell of time 0 ends in the branch, shape `(2,)`.
    fates: FloatArray
    #: Last time at which both are one population; infinite where they always are.
    divergence: float


@dataclass(frozen=True)
class GrowingFork:
    r"""Cells that advance together, fork into the branches A and B, and divide.

    A cell is of one of two kinds :math:`k`, moves with the mean :math:`m_k(t)` of its kind, keeps
    its own Gaussian offset, and divides at the rate :math:`g_k(t)`. Before the fork both means
    advance along the first axis, side by side; after it they part at a right angle. The population
    is a mixture in closed form, and what is known about a position is the mean under the posterior
    of the kind:

    .. math:: \pi_k(t) \propto w_k e^{G_k(t)}, \quad G_k(t) = \int_0^t g_k, \qquad
        p(t, x) = \sum_k \pi_k(t)\, N(x; m_k(t), \varsigma^2 I), \qquad
        v(t, x) = \sum_k P(k \mid t, x)\, \dot m_k(t)

    A treatment changes speed and growth of the branches from `onset` on, or takes one of the two
    ends from the cells: those of its kind move as those of the other kind do. It acts behind the
    fork only. Two systems that differ in it are one population until the later of `fork` and
    `onset`. `Population.mass` is the number of cells relative to time 0.

    Parameters
    ----------
    shares
        :math:`w_k`, shares of both kinds at time 0.
    speeds
        Of A and B behind the fork.
    growths
        Rates of division of A and B behind the fork, per unit of time.
    trunk_speed, trunk_growth
        The same before the fork, of all cells.
    fork
        Time of the fork.
    separation
        How far the mean of the kind of A is above that of B before the fork. Far above `sd`, a
        position tells the fate of its cells; with 0 it tells nothing; below 0, the ways to A and B
        cross behind the fork, which snapshots do not show and barcodes do.
    marker
        How far the mean of the kind of A is above that of B in the third dimension, at all times.
    sd
        :math:`\varsigma`, standard deviation of the offsets.
    n_dims
        Dimension, at least 2, or 3 with a marker; other dimensions have the offsets only.
    onset
        Time at which the treatment begins.
    speed_factors, growth_factors
        By which it multiplies the speeds and the growth rates of A and B.
    lost
        `"A"` or `"B"`, the fate that it takes; `""` for none. It begins before the fork then.

    Raises
    ------
    InputError
        Shares that are not positive, fewer than two dimensions, or a fate that is lost after the
        fork.

    Examples
    --------
    >>> control, treated = GrowingFork(), GrowingFork(onset=2.0, speed_factors=(1.3, 1.0))
    >>> treated.branch_speeds(1.5), treated.branch_speeds(3.0)
    (array([1., 1.]), array([1.3, 1. ]))
    """

    shares: tuple[float, float] = (0.5, 0.5)
    speeds: tuple[float, float] = (1.0, 1.0)
    growths: tuple[float, float] = (0.6, 0.6)
    trunk_speed: float = 1.0
    trunk_growth: float = 0.6
    fork: float = 1.0
    separation: float = 1.0
    marker: float = 0.0
    sd: float = 0.3
    n_dims: int = 2
    onset: float = 1.0
    speed_factors: tuple[float, float] = (1.0, 1.0)
    growth_factors: tuple[float, float] = (1.0, 1.0)
    lost: Literal["", "A", "B"] = ""
    times: ClassVar[tuple[float, ...]] = (0.0, 1.0, 2.0, 3.0, 4.0)
    #: Names of the fates, in the order of the columns of `fates`.
    ends: ClassVar[tuple[str, str]] = ("A", "B")

    def __post_init__(self) -> None:
        if min(self.shares) <= 0:
            msg = f"shares={self.shares}; expected two positive numbers."
            raise InputError(msg)
        if self.n_dims < 2 + bool(self.marker):
            msg = f"n_dims={self.n_dims}; expected at least 2, or 3 with a marker."
            raise InputError(msg)
        if self.lost not in {"", *self.ends}:
            msg = f"lost={self.lost!r}; expected '', 'A' or 'B'."
            raise InputError(msg)
        if self.lost and self.onset > self.fork:
            msg = (
                f"lost={self.lost!r} from onset={self.onset:g} on, after the fork at"
                f" {self.fork:g}; cells of the branch are there already. Pass an earlier onset."
            )
            raise InputError(msg)

    # The population ---------------------------------------------------------------------------

    def sample(self, n_obs: int, times: Sequence[float], rng: np.random.Generator) -> Snapshots:
        """Draw snapshots; see `System.sample`."""

        def cells(t: float) -> FloatArray:
            kind = rng.choice(2, size=n_obs, p=softmax(self.log_sizes(t)))
            return self.placed(t, kind, rng)

        return snapshots(times, cells, lambda t: math.exp(logsumexp(self.log_sizes(t))))

    def placed(self, t: float, kind: IntArray, rng: np.random.Generator) -> FloatArray:
        """Draw positions of cells of the kinds `(n,)` at a time, shape `(n, d)`."""
        offsets = self.sd * rng.standard_normal((len(kind), self.n_dims))
        placed: FloatArray = self._means(t)[kind] + offsets
        return placed

    def log_sizes(self, t: float) -> FloatArray:
        """Logarithms of the numbers of cells of both kinds, relative to all of time 0.

        Raises
        ------
        InputError
            A time at which a number is not finite.
        """
        share = np.array(self.shares) / sum(self.shares)
        behind = np.array(self.growths) * self._lasts(t, np.array(self.growth_factors))
        before = self.trunk_growth * min(t, self.fork)
        sizes: FloatArray = np.log(share) + before + behind[self._kind_ends]
        if not (np.abs(sizes) < _MOST).all():
            msg = f"At time {t:g} the size of the population is not finite; choose earlier times."
            raise InputError(msg)
        return sizes

    # What is known of a position --------------------------------------------------------------

    def velocity(self, t: float, x: FloatArray) -> FloatArray:
        """Mean velocity of the kinds, weighted by their posterior."""
        slope = self._directions * self.branch_speeds(t)[:, None]
        if t < self.fork:
            slope = np.tile(self.trunk_speed * np.eye(self.n_dims)[0], (2, 1))
        return self._posterior(t, x) @ slope[self._kind_ends]

    def growth(self, t: float, x: FloatArray) -> FloatArray:
        """Mean rate of division of the kinds, weighted by their posterior."""
        return self._posterior(t, x) @ self.branch_growths(t)[self._kind_ends]

    def fates(self, t: float, x: FloatArray) -> FloatArray:
        """Probabilities that a cell at a position ends in A and B."""
        return self._posterior(t, x) @ np.eye(2)[self._kind_ends]

    def log_density(self, t: float, x: FloatArray) -> FloatArray:
        """Log-density of the mixture."""
        mixed: FloatArray = logsumexp(self._log_joint(t, x), axis=1)
        return mixed

    # What is known of the branches ------------------------------------------------------------

    def branch_speeds(self, t: float) -> FloatArray:
        """Speeds of cells on the way to A and B at a time, shape `(2,)`."""
        return self._rates(t, self.speeds, self.speed_factors, self.trunk_speed)

    def branch_growths(self, t: float) -> FloatArray:
        """Rates of division of cells on the way to A and B at a time, shape `(2,)`."""
        return self._rates(t, self.growths, self.growth_factors, self.trunk_growth)

    def mean_growth(self, t: float) -> float:
        """Rate at which the whole population grows. Without sizes, rates are relative to it."""
        return float(softmax(self.log_sizes(t)) @ self.branch_growths(t)[self._kind_ends])

    def fate_shares(self) -> FloatArray:
        """Probabilities that a cell of time 0 ends in A and B, shape `(2,)`."""
        share: FloatArray = softmax(self.log_sizes(0.0)) @ np.eye(2)[self._kind_ends]
        return share

    def labels(self, t: float) -> tuple[str, str]:
        """Cell type of both kinds: `"trunk"` up to the fork, then the branch that they are in."""
        if t <= self.fork:
            return ("trunk", "trunk")
        first, second = self._kind_ends
        return (self.ends[first], self.ends[second])

    def effects(self, control: GrowingFork) -> Effects:
        """What the treatment changes beside a control."""
        here = np.isin([0, 1], self._kind_ends) & np.isin([0, 1], control._kind_ends)
        speed = self.branch_speeds(math.inf) - control.branch_speeds(math.inf)
        growth = self.branch_growths(math.inf) - control.branch_growths(math.inf)
        return Effects(
            np.where(here, speed, np.nan),
            np.where(here, growth, np.nan),
            self.fate_shares() - control.fate_shares(),
            self._divergence(control),
        )

    def _divergence(self, control: GrowingFork) -> float:
        if self._untreated != control._untreated:
            return 0.0
        treatments = [self._treatment, control._treatment]
        if treatments[0] == treatments[1]:
            return math.inf
        onsets = [treatment[0] for treatment in treatments if treatment]
        return max(self.fork, min(onsets))

    @property
    def _untreated(self) -> GrowingFork:
        return replace(self, onset=0.0, lost="", speed_factors=(1, 1), growth_factors=(1, 1))

    @property
    def _treatment(self) -> tuple[float, str, tuple[float, ...], tuple[float, ...]] | tuple[()]:
        """When it begins and what it changes; empty where it changes nothing."""
        if not self.lost and {*self.speed_factors, *self.growth_factors} == {1.0}:
            return ()
        return (self.onset, self.lost, self.speed_factors, self.growth_factors)

    # Formulas -----------------------------------------------------------------------------------

    @property
    def _kind_ends(self) -> list[int]:
        """Branch that the cells of each kind move into."""
        return {"": [0, 1], "A": [1, 1], "B": [0, 0]}[self.lost]

    @property
    def _directions(self) -> FloatArray:
        """Unit vectors along A and B, shape `(2, d)`."""
        directions = np.zeros((2, self.n_dims))
        directions[:, 0] = math.cos(_ANGLE)
        directions[:, 1] = math.sin(_ANGLE) * np.array([1.0, -1.0])
        return directions

    def _lasts(self, t: float, factor: FloatArray) -> FloatArray:
        """Time since the fork, of which that under treatment counts `factor` times."""
        begin = max(self.fork, self.onset)
        before = max(min(t, begin) - self.fork, 0.0)
        lasts: FloatArray = before + factor * max(t - begin, 0.0)
        return lasts

    def _rates(
        self, t: float, plain: tuple[float, ...], factor: tuple[float, ...], trunk: float
    ) -> FloatArray:
        if t < self.fork:
            return np.full(2, trunk)
        rates: FloatArray = np.array(plain) * (np.array(factor) if t >= self.onset else 1.0)
        return rates

    def _means(self, t: float) -> FloatArray:
        """Mean positions of both kinds, shape `(2, d)`."""
        along = np.array(self.speeds) * self._lasts(t, np.array(self.speed_factors))
        means = (along[:, None] * self._directions)[self._kind_ends]
        means[:, 0] += self.trunk_speed * min(t, self.fork)
        for axis, distance in ((1, self.separation), (2, self.marker)):
            means[:, axis : axis + 1] += np.array([[0.5], [-0.5]]) * distance
        return np.asarray(means)

    def _log_joint(self, t: float, x: FloatArray) -> FloatArray:
        """Logarithms of the density of each kind, times its share, shape `(n, 2)`."""
        sd = np.full(self.n_dims, self.sd)
        sizes = self.log_sizes(t)
        of_kind = [normal_log_density(x, mean, sd) for mean in self._means(t)]
        return np.asarray(np.stack(of_kind, axis=1) + sizes - logsumexp(sizes))

    def _posterior(self, t: float, x: FloatArray) -> FloatArray:
        """Probabilities of the kinds of a cell at a position, shape `(n, 2)`."""
        posterior: FloatArray = softmax(self._log_joint(t, x), axis=1)
        return posterior
