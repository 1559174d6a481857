r"""Systems whose dynamics are known: populations at any time, and the truth about every cell.

A system is a frozen dataclass that draws snapshots, `sample(n_obs, times, rng)`, and that knows
some of

- `velocity(t, x)`, shape `(n, d)`: the field that carries the population,
  :math:`\partial_t p + \nabla \cdot (p v) = (g - \bar g)\,p`, where :math:`\bar g` is the mean of the growth over `p`;
- `drift(t, x)`, shape `(n, d)`: the mean motion of a single cell where cells diffuse, `dx = drift
  dt + sigma dW`;
- `growth(t, x)`, shape `(n,)`: the rate :math:`g` at which cells divide, per unit of time;
- `fates(t, x)`, shape `(n, k)`: probabilities of the ends that a cell can meet;
- `log_density(t, x)`, shape `(n,)`: the log-density of the population.

What a system does not know, it does not have. Snapshots are independent draws, as destructive
measurements are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from scipy.integrate import trapezoid
from scipy.interpolate import CubicSpline
from scipy.linalg import eigh_tridiagonal
from scipy.special import expit, logsumexp, softmax

from cellflow.core._numbers import LARGEST, ROUNDS
from cellflow.core._random import stream
from cellflow.core._settings import guarded
from cellflow.core._typing import FloatArray
from cellflow.core.population import Population, Snapshots
from cellflow.errors import InputError

__all__ = [
    "Bifurcation",
    "BranchingTree",
    "GaussianToGaussian",
    "GeneCircuit",
    "OrnsteinUhlenbeck",
    "Rotation",
    "System",
    "ToggleSwitch",
    "TwoWell",
    "truth",
]

#: What a system may know, in the order in which it is reported.
_TRUTHS = ("velocity", "drift", "growth", "fates", "log_density")


@runtime_checkable
class System(Protocol):
    """A population whose dynamics are known."""

    #: Times at which it is usually looked at.
    times: ClassVar[tuple[float, ...]]

    def sample(self, n_obs: int, times: Sequence[float], rng: np.random.Generator) -> Snapshots:
        """Draw `n_obs` cells at each of the strictly increasing times."""


@guarded
def truth(system: System, t: float, x: FloatArray) -> dict[str, FloatArray]:
    """Return everything that the system knows about cells `(n, d)` at time `t`, by name.

    Examples
    --------
    >>> {name: known.shape for name, known in truth(Rotation(), 0.0, np.zeros((5, 2))).items()}
    {'velocity': (5, 2), 'log_density': (5,)}
    """
    return {name: getattr(system, name)(t, x) for name in _TRUTHS if hasattr(system, name)}


# Gaussians ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class GaussianToGaussian:
    r"""Optimal transport between two Gaussians over the times 0 to 1.

    The second Gaussian is the first one moved by `shift` and stretched by `stretch` along each
    axis, so the optimal map is
    :math:`T(x) = m + A x` with diagonal :math:`A`, and cells move along straight lines,
    :math:`x_t = (1 - t) x_0 + t T(x_0)` (McCann 1997).

    Parameters
    ----------
    shift
        Mean of the second Gaussian, length `d`; the first is at the origin with unit covariance.
    stretch
        Standard deviations of the second Gaussian, length `d`, positive.
    """

    shift: tuple[float, ...] = (4.0, 2.0)
    stretch: tuple[float, ...] = (0.5, 2.0)
    times: ClassVar[tuple[float, ...]] = (0.0, 0.25, 0.5, 0.75, 1.0)

    def mean(self, t: float) -> FloatArray:
        """Mean at time `t`, shape `(d,)`."""
        return t * np.array(self.shift)

    def sd(self, t: float) -> FloatArray:
        """Standard deviations at time `t`, shape `(d,)`."""
        return (1 - t) + t * np.array(self.stretch)

    def sample(self, n_obs: int, times: Sequence[float], rng: np.random.Generator) -> Snapshots:
        """Draw snapshots; see `System.sample`."""
        d = len(self.shift)
        latest = max(map(float, times))
        with np.errstate(over="ignore"):
            wide = (self.sd(latest) > 0).all()
        if not wide:
            msg = (
                f"times: the Gaussian has no width at {latest:g}; expected times from 0 to 1. Pass"
                " earlier times."
            )
            raise InputError(msg)
        return _snapshots(
            times, lambda t: self.mean(t) + self.sd(t) * rng.standard_normal((n_obs, d))
        )

    def velocity(self, t: float, x: FloatArray) -> FloatArray:
        """Velocity of the displacement interpolation."""
        return np.array(self.shift) + (np.array(self.stretch) - 1) * (x - self.mean(t)) / self.sd(t)

    def log_density(self, t: float, x: FloatArray) -> FloatArray:
        """Log-density of the Gaussian at time `t`."""
        return _normal_log_density(x, self.mean(t), self.sd(t))


@dataclass(frozen=True)
class OrnsteinUhlenbeck:
    r"""Cells that relax to the origin under noise, :math:`dx = -\theta x\,dt + \sigma\,dW`, from a Gaussian.

    Mean and covariance stay Gaussian, with

    .. math:: m_t = e^{-\theta t} m_0, \qquad
        s_t^2 = \tfrac{\sigma^2}{2 \theta} + \big(s_0^2 - \tfrac{\sigma^2}{2 \theta}\big) e^{-2
        \theta t}.

    The velocity is that of the probability flow, :math:`-\theta x - \tfrac{\sigma^2}{2} \nabla \log
    p_t` (Song et al. 2021).

    Parameters
    ----------
    start
        Mean at time 0, length `d`.
    start_sd
        Standard deviation of every coordinate at time 0.
    theta
        Rate of relaxation.
    sigma
        Diffusion per square root of time.
    """

    start: tuple[float, ...] = (3.0, -1.0)
    start_sd: float = 0.3
    theta: float = 1.0
    sigma: float = 1.0
    times: ClassVar[tuple[float, ...]] = (0.0, 0.5, 1.0, 1.5, 2.0)

    def mean(self, t: float) -> FloatArray:
        """Mean at time `t`, shape `(d,)`."""
        return math.exp(-self.theta * t) * np.array(self.start)

    def sd(self, t: float) -> float:
        """Standard deviation of every coordinate at time `t`."""
        rest = self.sigma**2 / (2 * self.theta)
        return math.sqrt(rest + (self.start_sd**2 - rest) * math.exp(-2 * self.theta * t))

    def sample(self, n_obs: int, times: Sequence[float], rng: np.random.Generator) -> Snapshots:
        """Draw snapshots; see `System.sample`."""
        d = len(self.start)
        return _snapshots(
            times, lambda t: self.mean(t) + self.sd(t) * rng.standard_normal((n_obs, d))
        )

    def velocity(self, t: float, x: FloatArray) -> FloatArray:
        """Velocity of the probability flow."""
        return -self.theta * x + self.sigma**2 / 2 * (x - self.mean(t)) / self.sd(t) ** 2

    def drift(self, t: float, x: FloatArray) -> FloatArray:  # noqa: ARG002 - every truth has this signature
        """Relaxation to the origin, the same at all times."""
        return -self.theta * x

    def log_density(self, t: float, x: FloatArray) -> FloatArray:
        """Log-density of the Gaussian at time `t`."""
        return _normal_log_density(x, self.mean(t), np.full(len(self.start), self.sd(t)))


@dataclass(frozen=True)
class Rotation:
    r"""A cloud that turns about the origin, :math:`\dot x = \omega J x`: motion that the next snapshot alone cannot show.

    Parameters
    ----------
    omega
        Angle per unit of time, in radians.
    radius
        Distance of the cloud's mean from the origin.
    sd
        Standard deviations of the cloud at time 0, along and across the radius.
    """

    omega: float = math.pi / 4
    radius: float = 3.0
    sd: tuple[float, float] = (0.5, 0.25)
    times: ClassVar[tuple[float, ...]] = (0.0, 1.0, 2.0, 3.0, 4.0)

    def sample(self, n_obs: int, times: Sequence[float], rng: np.random.Generator) -> Snapshots:
        """Draw snapshots; see `System.sample`."""
        return _snapshots(times, lambda t: self._turned(self._start(n_obs, rng), t))

    def velocity(self, t: float, x: FloatArray) -> FloatArray:  # noqa: ARG002 - every truth has this signature
        """Velocity of the rotation, the same at all times."""
        return self.omega * np.stack([-x[:, 1], x[:, 0]], axis=1)

    def log_density(self, t: float, x: FloatArray) -> FloatArray:
        """Log-density of the turned Gaussian; a rotation keeps volumes."""
        return _normal_log_density(
            self._turned(x, -t), np.array([self.radius, 0.0]), np.array(self.sd)
        )

    def _start(self, n_obs: int, rng: np.random.Generator) -> FloatArray:
        return np.array([self.radius, 0.0]) + np.array(self.sd) * rng.standard_normal((n_obs, 2))

    def _turned(self, x: FloatArray, t: float) -> FloatArray:
        cos = math.cos(self.omega * t)
        sin = math.sin(self.omega * t)
        turned: FloatArray = x @ np.array([[cos, sin], [-sin, cos]])
        return turned


# Decisions ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bifurcation:
    r"""Cells that advance along one axis while the other one splits, :math:`\dot x = c,\ \dot y = r y - y^3`.

    The pitchfork has the solution :math:`y_t = y_0 e^{rt} / \sqrt{1 + y_0^2 (e^{2rt} - 1) / r}`;
    its two ends are
    :math:`\pm\sqrt r`, and the sign of `y` decides which.

    Parameters
    ----------
    speed
        Velocity :math:`c` along the first axis.
    rate
        Rate :math:`r` at which the undecided state is left, positive.
    sd
        Standard deviation of both coordinates at time 0, about the origin.
    """

    speed: float = 1.0
    rate: float = 1.5
    sd: float = 0.15
    times: ClassVar[tuple[float, ...]] = (0.0, 1.0, 2.0, 3.0, 4.0)

    def sample(self, n_obs: int, times: Sequence[float], rng: np.random.Generator) -> Snapshots:
        """Draw snapshots; see `System.sample`."""

        def cells(t: float) -> FloatArray:
            x, y = self.sd * rng.standard_normal((2, n_obs))
            return np.stack(
                [x + self.speed * t, y * math.exp(self.rate * t) / np.sqrt(self._squeeze(y, t))],
                axis=1,
            )

        return _snapshots(times, cells)

    def velocity(self, t: float, x: FloatArray) -> FloatArray:  # noqa: ARG002 - every truth has this signature
        """Velocity of the pitchfork, the same at all times."""
        return np.stack([np.full(len(x), self.speed), self.rate * x[:, 1] - x[:, 1] ** 3], axis=1)

    def fates(self, t: float, x: FloatArray) -> FloatArray:  # noqa: ARG002 - every truth has this signature
        """Probabilities of the lower and the upper branch: 0 or 1, and 1/2 on the line between them."""
        upper = np.heaviside(x[:, 1], 0.5)
        return np.stack([1 - upper, upper], axis=1)

    def log_density(self, t: float, x: FloatArray) -> FloatArray:
        """Log-density of the population; minus infinity where no cell can have come."""
        y = x[:, 1]
        squeeze = self._squeeze(y, -t)
        inside = squeeze > 0
        squeeze = np.where(inside, squeeze, 1.0)
        start = np.stack(
            [x[:, 0] - self.speed * t, y * math.exp(-self.rate * t) / np.sqrt(squeeze)], axis=1
        )
        # dy_0/dy_t of the pitchfork, from the solution run backwards.
        log_jacobian = -self.rate * t - 1.5 * np.log(squeeze)
        known = _normal_log_density(start, np.zeros(2), np.full(2, self.sd)) + log_jacobian
        return np.where(inside, known, -np.inf)

    def _squeeze(self, y: FloatArray, t: float) -> FloatArray:
        return 1 + y**2 * math.expm1(2 * self.rate * t) / self.rate


@dataclass(frozen=True)
class TwoWell:
    r"""Cells that fall from a ridge into one of two wells, :math:`dx = -\nabla V\,dt + \sigma\,dW`.

    :math:`V(x, y) = h\,(y^2 - 1)^2 + \tfrac12 x^2`: wells at :math:`y = \pm 1`, the ridge of height :math:`h` between them.
    The coordinates are independent. Along `x` the process is Ornstein-Uhlenbeck and starts at rest; along `y` its
    Fokker-Planck equation is solved on a grid, in the eigenfunctions of the symmetric generator. The velocity is that of the
    probability flow.

    Parameters
    ----------
    height
        :math:`h`, positive.
    sigma
        Diffusion per square root of time.
    start, start_sd
        Mean and standard deviation of `y` at time 0.
    """

    height: float = 1.0
    sigma: float = 0.7
    start: float = 0.0
    start_sd: float = 0.1
    times: ClassVar[tuple[float, ...]] = (0.0, 0.25, 0.5, 1.0, 2.0)

    #: Step of the stochastic simulation, and the grid on which the equation is solved.
    _DT: ClassVar[float] = 0.002
    _GRID: ClassVar[FloatArray] = np.linspace(-3.0, 3.0, 1201)

    def sample(self, n_obs: int, times: Sequence[float], rng: np.random.Generator) -> Snapshots:
        """Draw snapshots by Euler-Maruyama; see `System.sample`."""

        def cells(t: float) -> FloatArray:
            x = self.sigma / math.sqrt(2) * rng.standard_normal(n_obs)
            y = self.start + self.start_sd * rng.standard_normal(n_obs)
            return np.stack(
                [x, _diffused(lambda y: -self._slope(y), y, t, self.sigma, self._DT, rng)], axis=1
            )

        return _snapshots(times, cells)

    def velocity(self, t: float, x: FloatArray) -> FloatArray:
        """Velocity of the probability flow; along `x` there is none, the population is at rest."""
        along = -self._slope(x[:, 1]) - self.sigma**2 / 2 * self._log_marginal(t)(x[:, 1], 1)
        return np.stack([np.zeros(len(x)), along], axis=1)

    def drift(self, t: float, x: FloatArray) -> FloatArray:  # noqa: ARG002 - every truth has this signature
        """Descent of the potential, the same at all times."""
        return -np.stack([x[:, 0], self._slope(x[:, 1])], axis=1)

    def fates(self, t: float, x: FloatArray) -> FloatArray:  # noqa: ARG002 - every truth has this signature
        r"""Probabilities of meeting the bottom of the lower or the upper well first, the same at all times.

        The committor of the upper well is :math:`q(y) = \int_{-1}^y e^{2V/\sigma^2} / \int_{-1}^1
        e^{2V/\sigma^2}`.
        """
        grid = np.linspace(-1.0, 1.0, 2001)
        scale = CubicSpline(
            grid, np.exp(2 * self._potential(grid) / self.sigma**2)
        ).antiderivative()
        upper = np.clip(scale(np.clip(x[:, 1], -1, 1)) / scale(1.0), 0, 1)
        return np.stack([1 - upper, upper], axis=1)

    def log_density(self, t: float, x: FloatArray) -> FloatArray:
        """Log-density of the population."""
        along: FloatArray = self._log_marginal(t)(x[:, 1])
        return along + _normal_log_density(
            x[:, :1], np.zeros(1), np.array([self.sigma / math.sqrt(2)])
        )

    def _potential(self, y: FloatArray) -> FloatArray:
        return self.height * (y**2 - 1) ** 2

    def _slope(self, y: FloatArray) -> FloatArray:
        return 4 * self.height * y * (y**2 - 1)

    @cached_property
    def _modes(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Square root of the resting density, and the eigenvalues and eigenfunctions of the symmetric generator."""
        grid = self._GRID
        spacing = self._GRID[1] - self._GRID[0]
        half = self._potential(grid) / self.sigma**2
        rate = self.sigma**2 / 2 / spacing**2
        # Jumps to the neighbours with rates in detailed balance; symmetrised, every neighbour's
        # rate is the same.
        ahead = rate * np.exp(half[:-1] - half[1:])
        back = rate * np.exp(half[1:] - half[:-1])
        leaving = np.append(ahead, 0.0) + np.insert(back, 0, 0.0)
        values, functions = eigh_tridiagonal(-leaving, np.full(len(grid) - 1, rate))
        return np.exp(-half), values, functions

    def _log_marginal(self, t: float) -> CubicSpline:
        """Log-density along `y` at time `t`, as a spline."""
        rest, values, functions = self._modes
        start = np.exp(-0.5 * ((self._GRID - self.start) / self.start_sd) ** 2)
        ratio = functions @ (np.exp(values * t) * (functions.T @ (start / rest)))
        # Rounding of the sum: what is smaller than this is noise, and its sign means nothing.
        log_density = np.log(rest) + np.log(np.maximum(ratio, 1e-13 * ratio.max()))
        return CubicSpline(
            self._GRID, log_density - np.log(trapezoid(np.exp(log_density), self._GRID))
        )


@dataclass(frozen=True)
class BranchingTree:
    r"""Cells that climb a binary tree in `d` dimensions, one level per unit of time.

    A cell is bound for one of :math:`2^{k}` leaves and keeps its own Gaussian offset from the
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

        return _snapshots(times, cells)

    def velocity(self, t: float, x: FloatArray) -> FloatArray:
        """Mean velocity of the branches that a cell may be on."""
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
        """Where the branch towards each leaf is at time `t`, shape `(leaves, d)`; the last edge goes on for ever."""
        level = min(max(int(t), 0), self.depth)
        fork: FloatArray = self._edges[:, :level].sum(axis=1)
        return fork + (t - level) * self._edges[:, level]

    def _log_joint(self, t: float, x: FloatArray) -> FloatArray:
        sd = np.full(self.n_dims, self.sd)
        per_leaf = [_normal_log_density(x, mean, sd) for mean in self._positions(t)]
        return np.stack(per_leaf, axis=1) - self.depth * math.log(2)


@dataclass(frozen=True)
class GeneCircuit:
    r"""Genes that regulate each other under noise, :math:`dx = (a\,\phi(W x + b) - x)\,dt + \sigma\,dW`.

    :math:`\phi` is the logistic function: gene `j` activates gene `i` where :math:`W_{ij} > 0` and represses it where
    :math:`W_{ij} < 0`. Every product decays at unit rate. Cells start near one state and are followed by Euler-Maruyama. The
    drift of single cells is known; the velocity of the population is not.

    Parameters
    ----------
    regulation
        :math:`W`, `d` rows of `d` numbers. By default two genes that repress each other and activate themselves, each with a
        target downstream.
    basal
        :math:`b`, length `d`.
    production
        :math:`a`, the largest rate of production.
    sigma
        Diffusion per square root of time.
    start, start_sd
        Mean of each gene at time 0, length `d`, and the standard deviation of all.
    """

    regulation: tuple[tuple[float, ...], ...] = (
        (3.0, -6.0, 0.0, 0.0),
        (-6.0, 3.0, 0.0, 0.0),
        (6.0, 0.0, 0.0, 0.0),
        (0.0, 6.0, 0.0, 0.0),
    )
    basal: tuple[float, ...] = (1.5, 1.5, -3.0, -3.0)
    production: float = 1.0
    sigma: float = 0.3
    start: tuple[float, ...] = (0.5, 0.5, 0.2, 0.2)
    start_sd: float = 0.1
    times: ClassVar[tuple[float, ...]] = (0.0, 0.5, 1.0, 2.0, 4.0)

    #: Step of the simulation.
    _DT: ClassVar[float] = 0.01

    def sample(self, n_obs: int, times: Sequence[float], rng: np.random.Generator) -> Snapshots:
        """Draw snapshots by Euler-Maruyama; see `System.sample`."""

        def cells(t: float) -> FloatArray:
            x = np.array(self.start) + self.start_sd * rng.standard_normal((n_obs, len(self.start)))
            return _diffused(lambda x: self.drift(t, x), x, t, self.sigma, self._DT, rng)

        return _snapshots(times, cells)

    def drift(self, t: float, x: FloatArray) -> FloatArray:  # noqa: ARG002 - every truth has this signature
        """Production less decay, the same at all times."""
        made: FloatArray = self.production * expit(
            x @ np.array(self.regulation).T + np.array(self.basal)
        )
        return made - x


# Growth -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ToggleSwitch:
    r"""Two genes that repress each other, in cells that divide while the first one is on.

    .. math:: \dot x_1 = \frac{a}{1 + x_2^4} - x_1, \quad \dot x_2 = \frac{a}{1 + x_1^4} - x_2, \quad
        g(x) = \gamma \frac{x_1^4}{1 + x_1^4}.

    Cells start with a little of both, and are drawn to one of two ends; the diagonal divides their
    basins. What a snapshot shows is the living descendants: starts are drawn, followed, and kept in
    proportion to the descendants that they have. `Population.mass` is the number of cells relative
    to time 0.

    Parameters
    ----------
    production
        :math:`a`; there are two stable ends above :math:`4 / 3^{5/4} = 1.01`.
    proliferation
        :math:`\gamma`, divisions per unit of time of a cell whose first gene is fully on.
    start, start_sd
        Mean and standard deviation of both genes at time 0.
    """

    production: float = 2.0
    proliferation: float = 0.5
    start: float = 0.5
    start_sd: float = 0.1
    times: ClassVar[tuple[float, ...]] = (0.0, 1.0, 2.0, 3.0, 4.0)

    #: Step of the integration, how many there may be, and the least share of drawn cells that is
    #: kept.
    _DT: ClassVar[float] = 0.025
    _MAX_STEPS: ClassVar[int] = 2_000
    _LEAST_SHARE: ClassVar[float] = 0.02

    def sample(self, n_obs: int, times: Sequence[float], rng: np.random.Generator) -> Snapshots:
        """Draw snapshots; see `System.sample`."""

        def cells(t: float) -> FloatArray:
            share = math.exp(self._log_mass(t) - self.proliferation * t)
            if share < self._LEAST_SHARE:
                msg = (
                    f"times: at {t:g}, {share:.2g} of the cells that are drawn would be kept;"
                    f" expected at least {self._LEAST_SHARE}. Pass earlier times."
                )
                raise InputError(msg)
            kept: list[FloatArray] = []
            while sum(map(len, kept)) < n_obs:
                x, log_weight, _ = self._followed(
                    self.start + self.start_sd * rng.standard_normal((n_obs, 2)), 0.0, t
                )
                # No line grows faster than a cell that divides at the full rate all the time.
                kept.append(x[np.log(rng.random(n_obs)) < log_weight - self.proliferation * t])
            return np.concatenate(kept)[:n_obs]

        return _snapshots(times, cells, lambda t: math.exp(self._log_mass(t)))

    def velocity(self, t: float, x: FloatArray) -> FloatArray:  # noqa: ARG002 - every truth has this signature
        """Rates of expression, the same at all times."""
        return self.production / (1 + x[:, ::-1] ** 4) - x

    def growth(self, t: float, x: FloatArray) -> FloatArray:  # noqa: ARG002 - every truth has this signature
        """Rate of division, the same at all times."""
        on = x[:, 0] ** 4
        return self.proliferation * on / (1 + on)

    def fates(self, t: float, x: FloatArray) -> FloatArray:  # noqa: ARG002 - every truth has this signature
        """Probabilities of ending with the first or the second gene on: 0 or 1, and 1/2 on the diagonal."""
        first = np.heaviside(x[:, 0] - x[:, 1], 0.5)
        return np.stack([first, 1 - first], axis=1)

    def log_density(self, t: float, x: FloatArray) -> FloatArray:
        """Log-density of the living cells, followed back to their starts."""
        start, log_weight, log_volume = self._followed(x, t, 0.0)
        before = _normal_log_density(start, np.full(2, self.start), np.full(2, self.start_sd))
        return before - log_weight + log_volume - self._log_mass(t)

    def _followed(
        self, x: FloatArray, t0: float, t1: float
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Follow cells by RK4: where they go, and the growth and the divergence that they collect on the way."""
        steps = _n_steps(abs(t1 - t0), self._DT, self._MAX_STEPS)

        def rate(state: FloatArray) -> FloatArray:
            x = state[:, :2]
            # Each gene decays at unit rate and is made at a rate that its own level does not enter:
            # the divergence is -2.
            return np.column_stack(
                [self.velocity(t0, x), self.growth(t0, x), np.full(len(x), -2.0)]
            )

        state = np.column_stack([x, np.zeros((len(x), 2))])
        for _ in range(steps):
            state = _rk4(rate, state, (t1 - t0) / steps)
        return state[:, :2], state[:, 2], state[:, 3]

    def _log_mass(self, t: float) -> float:
        """Log of the mean number of descendants at time `t` of a cell of time 0, by Gauss-Hermite quadrature."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(50)
        grid = np.stack(np.meshgrid(nodes, nodes), axis=-1).reshape(-1, 2)
        log_weight = self._followed(self.start + self.start_sd * grid, 0.0, t)[1]
        return float(
            np.log(np.exp(log_weight) @ np.outer(weights, weights).ravel() / (2 * math.pi))
        )


# Shared -------------------------------------------------------------------------------------------------------------


def _snapshots(
    times: Sequence[float],
    cells: Callable[[float], FloatArray],
    mass: Callable[[float], float] = lambda _: 1.0,
) -> Snapshots:
    return Snapshots(
        tuple(Population(_positions(cells, float(t)), float(t), mass=mass(float(t))) for t in times)
    )


def _positions(cells: Callable[[float], FloatArray], t: float) -> FloatArray:
    """Positions of the cells at a time.

    Raises
    ------
    InputError
        A time at which they are no numbers to compute with.
    """
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            x = cells(t)
    except OverflowError:
        x = np.full((1, 1), np.inf)
    if not (np.abs(x) <= LARGEST).all():
        msg = f"times: at {t:g}, positions are above {LARGEST:g} or overflow. Pass earlier times."
        raise InputError(msg)
    return x


def _n_steps(time: float, dt: float, most: int = ROUNDS) -> int:
    """Number of steps of at most `dt`; a time that takes too many is refused."""
    if time / dt > most:
        msg = (
            f"Time {time:g} takes {time / dt:.3g} steps of {dt:g}; expected at most {most:,}, times"
            f" up to {most * dt:g}."
        )
        raise InputError(msg)
    return math.ceil(time / dt)


def _diffused(
    drift: Callable[[FloatArray], FloatArray],
    x: FloatArray,
    t: float,
    sigma: float,
    largest: float,
    rng: np.random.Generator,
) -> FloatArray:
    """Follow cells from time 0 to `t` by Euler-Maruyama, in steps of at most `largest`."""
    steps = _n_steps(t, largest)
    for _ in range(steps):
        dt = t / steps
        x = x + drift(x) * dt + sigma * math.sqrt(dt) * rng.standard_normal(x.shape)
    return x


def _normal_log_density(x: FloatArray, mean: FloatArray, sd: FloatArray) -> FloatArray:
    """Log-density of a Gaussian with independent coordinates."""
    distance: FloatArray = (((x - mean) / sd) ** 2).sum(axis=1)
    return -0.5 * distance - float(np.log(sd).sum()) - 0.5 * len(sd) * math.log(2 * math.pi)


def _rk4(rate: Callable[[FloatArray], FloatArray], x: FloatArray, dt: float) -> FloatArray:
    k1 = rate(x)
    k2 = rate(x + dt / 2 * k1)
    k3 = rate(x + dt / 2 * k2)
    k4 = rate(x + dt * k3)
    return x + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
