r"""How velocity, drift and growth depend on the state, on average over groups of cells.

Two averages of the derivative of a field :math:`f` over the cells of a group:

- by `"regression"`, the slope of a linear regression of :math:`f` on the state, over the cells of
  all times together, with a linear trend in time where there are enough times;
- by `"derivative"`, the mean of the exact Jacobian, :math:`\mathbb E[\partial f / \partial x]`.

Transport pairs the cells of two snapshots without crossing, so at a fixed time the velocity is
close to a gradient, and its Jacobian close to a symmetric matrix: it cannot tell a regulator from
its target. How velocities change along the course of time can. The regression sees both.

Rates of growth are regressed within snapshots, because where the sizes of populations are not known
they are relative to the growth of the whole at each time.

The velocity of a population that diffuses contains its spreading,
:math:`v = b - \tfrac{\sigma^2}{2} \nabla \log p_t` with the drift :math:`b` of single cells. The
drift is the same function of the state at all times, the spreading is not; that determines
:math:`\sigma` (`diffusion`).

References
----------
Matsumoto et al., SCODE: an efficient regulatory network inference algorithm from single-cell
RNA-seq during differentiation, Bioinformatics 2017 (linear regression of rates on expression); Guan
et al., Identifying drift, diffusion, and causal structure from temporal snapshots, 2024, arXiv
2410.22729 (when snapshots of a linear diffusion determine it).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from cellflow.core._typing import FloatArray, IntArray

if TYPE_CHECKING:
    from cellflow.model.derivatives import Derivatives

__all__ = ["By", "Cells", "Quantity", "derivatives", "diffusion", "variation", "within_snapshots"]

Quantity: TypeAlias = Literal["velocity", "drift", "growth"]
By: TypeAlias = Literal["regression", "derivative"]

#: Rows whose Jacobians are in memory at once; a matrix of every cell would take gigabytes.
_CHUNK = 1024
#: Relative size of a variance that is rounding.
_ROUNDING = 1e-10
#: Variance of a constant column, relative to its mean square: rounding of double precision.
_FLAT = 1e-24
#: Times from which a regression has a trend in time. With three it loses about as much as it gains,
#: with two it would leave nothing of the differences between them.
_TREND = 4


@dataclass(frozen=True, eq=False)
class Cells:
    """Cells in groups.

    Parameters
    ----------
    x, times
        Positions in data coordinates, shape `(n, d)`, and times `(n,)`.
    weight
        Of the cells, shape `(n,)`; those of weight zero are left out.
    group
        Number of the group of each cell, shape `(n,)`; -1 for none.
    n_groups
        Number of groups.
    context
        Features of their conditions, shape `(n, c)`, or None.
    are_whole
        Whether all cells of their snapshots are here, with more cells than dimensions each, and no
        group divides one: the score is then that of a normal population at each time, which the
        regression cannot distinguish from the exact one.
    """

    x: FloatArray
    times: FloatArray
    weight: FloatArray
    group: IntArray
    n_groups: int
    context: FloatArray | None = None
    are_whole: bool = False

    def rows(self, group: int) -> IntArray:
        """Rows of a group with a weight."""
        return np.flatnonzero((self.group == group) & (self.weight > 0))

    def shares(self, rows: IntArray) -> FloatArray:
        """Weights of these rows, of sum one."""
        return np.asarray(self.weight[rows] / self.weight[rows].sum())

    @cached_property
    def snapshots(self) -> tuple[IntArray, ...]:
        """Rows with a weight, by time and condition."""
        used = np.flatnonzero(self.weight > 0)
        columns = [self.times[used, None]]
        if self.context is not None:
            columns.append(self.context[used])
        found = np.unique(np.hstack(columns), axis=0, return_inverse=True)[1].reshape(-1)
        return tuple(used[found == number] for number in range(found.max() + 1))


def derivatives(
    flow: Derivatives, cells: Cells, of: Quantity, by: By, *, sigma: float | None = None
) -> FloatArray:
    """Mean derivative of a quantity by the state, for each group.

    Parameters
    ----------
    flow
        The fit, or a member of it.
    cells
        With groups; for the drift of a fit without a score, whole snapshots.
    of
        `"velocity"`, `"drift"` or `"growth"`.
    by
        `"regression"`, of groups with more cells than dimensions, or `"derivative"`, of the drift
        with a score only.
    sigma
        Of the drift, in model coordinates; by default that of `diffusion`.

    Returns
    -------
    Shape `(n_groups, k, d)`, with `k = d`, or `k = 1` of the growth rate.
    """
    if of == "drift" and sigma is None:
        sigma = diffusion(flow, cells)
    half = 0.5 * ((sigma or 0.0) * flow.frame.scale) ** 2
    if by == "derivative":
        mean = _mean_jacobian(flow, cells, "growth" if of == "growth" else "velocity")
        if of == "drift":
            mean = mean + half[:, None] * _mean_jacobian(flow, cells, "score")
        return mean
    if of == "growth":
        rate = flow.head("growth", cells.x, cells.times, context=cells.context)
        return _slopes(rate[:, None], cells, of)
    values = flow.velocity(cells.x, cells.times, context=cells.context)
    if of == "drift":
        values = values + half * _score(flow, cells)
    return _slopes(values, cells, of)


def variation(cells: Cells, of: Quantity) -> FloatArray:
    """Covariance of the state among the cells that a regression compares, `(n_groups, d, d)`.

    Of growth within snapshots; else around the trend in time, where there is one.
    """
    d = cells.x.shape[1]
    found = []
    for group in range(cells.n_groups):
        rows = cells.rows(group)
        known = _predictors(cells, rows, of)
        covariance = (known * cells.shares(rows)[:, None]).T @ known
        state = covariance[:d, :d]
        if known.shape[1] > d:
            across = covariance[:d, d]
            state = state - np.outer(across, across) / covariance[d, d]
        found.append(state)
    return np.stack(found)


def within_snapshots(values: FloatArray, cells: Cells, rows: IntArray) -> FloatArray:
    """Values `(n, k)` of some cells less their mean at the same time and condition, `(m, k)`."""
    found = np.zeros(values.shape)
    chosen = np.zeros(len(values), dtype=bool)
    chosen[rows] = True
    for snapshot in cells.snapshots:
        some = snapshot[chosen[snapshot]]
        if len(some):
            found[some] = values[some] - cells.shares(some) @ values[some]
    return found[rows]


def diffusion(flow: Derivatives, cells: Cells) -> float:
    r"""The diffusion with which the drift depends least on time.

    Of the model :math:`v = B x + a + c\,t - h\,s_t(x)`, with the score :math:`s_t`, least squares
    in model coordinates give :math:`h = \sigma^2 / 2`. It is determined because the score of a
    population that spreads or narrows changes with time. On simulated circuits it is 70 to 96 % of
    the true value.

    Parameters
    ----------
    flow
        The fit, or a member of it; with a score, unless the cells are whole snapshots.
    cells
        Of at least two times.

    Returns
    -------
    :math:`\sigma` in model coordinates; zero where no spreading is found, or at a single time.
    """
    used = np.flatnonzero(cells.weight > 0)
    scale = flow.frame.scale
    velocity = flow.velocity(cells.x, cells.times, context=cells.context)[used] / scale
    score = _score(flow, cells)[used] * scale
    share = cells.shares(used)
    both = np.hstack([velocity, score])
    known = _predictors(cells, used, "velocity")
    centred = both - share @ both
    rest = centred - known @ (_inverse(known, share) @ (known * share[:, None]).T @ centred)
    moved = rest[:, : velocity.shape[1]]
    spread = rest[:, velocity.shape[1] :]
    size = float(share @ (spread**2).sum(axis=1))
    if size <= _ROUNDING * float(share @ (score**2).sum(axis=1)):
        return 0.0
    half = -float(share @ (moved * spread).sum(axis=1)) / size
    return float(np.sqrt(2.0 * max(0.0, half)))


def _score(flow: Derivatives, cells: Cells) -> FloatArray:
    """Score of the cells in data coordinates, `(n, d)`; zero without a weight."""
    if not cells.are_whole:
        return flow.score(cells.x, cells.times, context=cells.context)
    found = np.zeros(cells.x.shape)
    for rows in cells.snapshots:
        share = cells.shares(rows)
        centred = cells.x[rows] - share @ cells.x[rows]
        found[rows] = -centred @ _inverse(centred, share)
    return found


def _predictors(cells: Cells, rows: IntArray, of: Quantity) -> FloatArray:
    """What a regression is on, centred: the state, and time where there are enough times."""
    share = cells.shares(rows)
    found = cells.x[rows]
    if of == "growth":
        found = within_snapshots(cells.x, cells, rows)
    elif len(np.unique(cells.times[rows])) >= _TREND:
        found = np.column_stack([found, cells.times[rows]])
    centred = found - share @ found
    size = np.concatenate([cells.x[rows], cells.times[rows, None]], axis=1)[:, : found.shape[1]]
    flat = share @ centred**2 <= _FLAT * (share @ size**2)
    return np.where(flat, 0.0, centred)


def _slopes(values: FloatArray, cells: Cells, of: Quantity) -> FloatArray:
    """Slopes of values `(n, k)` on positions, by least squares in each group, `(n_groups, k, d)`.

    Zero along directions in which the cells of a group do not vary.
    """
    d = cells.x.shape[1]
    found = []
    for group in range(cells.n_groups):
        rows = cells.rows(group)
        share = cells.shares(rows)
        known = _predictors(cells, rows, of)
        together = (values[rows] * share[:, None]).T @ known
        found.append((together @ _inverse(known, share))[:, :d])
    return np.stack(found)


def _inverse(centred: FloatArray, share: FloatArray) -> FloatArray:
    """Inverse of the covariance of centred columns, by that of their correlations."""
    covariance = (centred * share[:, None]).T @ centred
    variance = np.diag(covariance)
    sd = np.sqrt(np.where(variance > 0, variance, 1.0))
    correlation = covariance / np.outer(sd, sd)
    inverse = np.linalg.pinv(correlation, rcond=_ROUNDING, hermitian=True)
    return np.asarray(inverse / np.outer(sd, sd))


def _mean_jacobian(flow: Derivatives, cells: Cells, head: str) -> FloatArray:
    """Weighted mean of the Jacobian of each group, `(n_groups, k, d)`, some rows at a time."""
    k = 1 if head == "growth" else flow.n_dims
    total = np.zeros((cells.n_groups, k, flow.n_dims))
    for group in range(cells.n_groups):
        rows = cells.rows(group)
        share = cells.shares(rows)
        for start in range(0, len(rows), _CHUNK):
            part = slice(start, start + _CHUNK)
            some = rows[part]
            context = None if cells.context is None else cells.context[some]
            found = flow.jacobian(cells.x[some], cells.times[some], head=head, context=context)
            total[group] += np.tensordot(share[part], found.reshape(len(some), k, -1), axes=1)
    return total
