r"""How velocity, drift and growth depend on the state, on average over groups of cells.

Two averages of the derivative of a field :math:`f` over the cells of a group:

- by `"regression"`, the slope of a linear regression of :math:`f` on the state,
  :math:`B = \mathrm{Cov}(f, x)\,\mathrm{Cov}(x)^{-1}`, over the cells of all times together;
- by `"derivative"`, the mean of the exact Jacobian, :math:`\mathbb E[\partial f / \partial x]`.

Transport pairs the cells of two snapshots without crossing, so at a fixed time the velocity is
close to a gradient, and its Jacobian close to a symmetric matrix: it cannot tell a regulator from
its target. How velocities change along the course of time can. The regression sees both, and the
steps that matter are those between populations, not the directions in which cells hardly vary.

For the drift :math:`v + \tfrac{\sigma^2}{2} \nabla \log p_t`, integration by parts gives
:math:`\mathbb E[\nabla \log p_t(x)\, x^\top] = -1` at each time, so the regression over whole
snapshots needs no score:

.. math::  B = \bigl(\mathrm{Cov}(v, x) - \tfrac{\sigma^2}{2}\bigr)\,\mathrm{Cov}(x)^{-1}

References
----------
Stein, Estimation of the mean of a multivariate normal distribution, Annals of Statistics 1981 (the
integration by parts); Matsumoto et al., SCODE: an efficient regulatory network inference algorithm
from single-cell RNA-seq during differentiation, Bioinformatics 2017 (linear regression of rates on
expression); Lavenant et al., Towards a mathematical theory of trajectory inference, Annals of
Applied Probability 2024 (drift and flow).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from cellflow.core._typing import FloatArray, IntArray

if TYPE_CHECKING:
    from cellflow.model.derivatives import Derivatives

__all__ = ["By", "Cells", "Quantity", "derivatives"]

Quantity: TypeAlias = Literal["velocity", "drift", "growth"]
By: TypeAlias = Literal["regression", "derivative"]

#: Rows whose Jacobians are in memory at once; a matrix of every cell would take gigabytes.
_CHUNK = 1024
#: Relative size of a variance that is rounding.
_ROUNDING = 1e-10


@dataclass(frozen=True, eq=False)
class Cells:
    """Cells in groups.

    Parameters
    ----------
    x, times
        Positions in data coordinates, shape `(n, d)`, and times `(n,)`.
    weight
        Of the cells, shape `(n,)`.
    group
        Number of the group of each cell, shape `(n,)`; -1 for none.
    n_groups
        Number of groups.
    context
        Features of their conditions, shape `(n, c)`, or None.
    """

    x: FloatArray
    times: FloatArray
    weight: FloatArray
    group: IntArray
    n_groups: int
    context: FloatArray | None = None

    def rows(self, group: int) -> IntArray:
        """Rows of a group with a weight."""
        return np.flatnonzero((self.group == group) & (self.weight > 0))

    def shares(self, rows: IntArray) -> FloatArray:
        """Weights of these rows, of sum one."""
        return np.asarray(self.weight[rows] / self.weight[rows].sum())


def derivatives(
    flow: Derivatives, cells: Cells, of: Quantity, by: By, *, sigma: float | None = None
) -> FloatArray:
    """Mean derivative of a quantity by the state, for each group.

    Parameters
    ----------
    flow
        The fit, or a member of it.
    cells
        With groups. For the drift of a fit without a score, each group is of whole snapshots.
    of
        `"velocity"`, `"drift"` or `"growth"`.
    by
        `"regression"`, of groups with more cells than dimensions, or `"derivative"`.
    sigma
        Of the drift, in model coordinates; that of the flow by default.

    Returns
    -------
    Shape `(n_groups, k, d)`, with `k = d`, or `k = 1` of the growth rate.

    Raises
    ------
    InputError
        Growth of a fit without it; the mean derivative of the drift of a fit without a score.
    """
    width = flow.sigma if sigma is None else sigma
    if by == "derivative":
        mean = _mean_jacobian(flow, cells, "growth" if of == "growth" else "velocity")
        if of == "drift":
            score = _mean_jacobian(flow, cells, "score")
            mean = mean + _diffusion(flow, width)[:, None] * score
        return mean
    slopes = _slopes(_values(flow, cells, of, width), cells)
    if of == "drift" and "score" not in flow.heads:
        inverse = np.stack([_inverse(cells, group) for group in range(cells.n_groups)])
        return slopes - _diffusion(flow, width)[:, None] * inverse
    return slopes


def _values(flow: Derivatives, cells: Cells, of: Quantity, sigma: float) -> FloatArray:
    """The quantity of each cell, `(n, k)`; of the drift without a score, the velocity."""
    if of == "growth":
        return flow.head("growth", cells.x, cells.times, context=cells.context)[:, None]
    if of == "drift" and "score" in flow.heads:
        return flow.drift(cells.x, cells.times, sigma=sigma, context=cells.context)
    return flow.velocity(cells.x, cells.times, context=cells.context)


def _diffusion(flow: Derivatives, sigma: float) -> FloatArray:
    """Half the squared diffusion of each data coordinate per unit of time, `(d,)`."""
    scale = np.broadcast_to(flow.frame.scale, (flow.n_dims,))
    return np.asarray(0.5 * (sigma * scale) ** 2)


def _slopes(values: FloatArray, cells: Cells) -> FloatArray:
    """Slopes of values `(n, k)` on positions, by least squares in each group, `(n_groups, k, d)`.

    Zero along directions in which the cells of a group do not vary.
    """
    found = []
    for group in range(cells.n_groups):
        rows = cells.rows(group)
        share = cells.shares(rows)
        centred = cells.x[rows] - share @ cells.x[rows]
        together = (values[rows] * share[:, None]).T @ centred
        found.append(together @ _inverse(cells, group))
    return np.stack(found)


def _inverse(cells: Cells, group: int) -> FloatArray:
    """Inverse of the covariance of a group's cells, `(d, d)`, by that of their correlations."""
    from cellflow.analysis.genes.response import covariance_of

    rows = cells.rows(group)
    covariance = covariance_of(cells.x[rows], cells.weight[rows])
    variance = np.diag(covariance)
    varies = variance > _ROUNDING * variance.max()
    sd = np.sqrt(np.where(varies, variance, 1.0))
    correlation = covariance / np.outer(sd, sd) * np.outer(varies, varies)
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
