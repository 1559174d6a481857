"""The quadratic potential of velocities, in closed form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cellflow.core._typing import FloatArray

__all__ = ["Quadratic"]

#: Penalties on the curvature, in units of the mean variance of the cells; the last one leaves a
#: linear potential.
_RIDGES = (0.0, 1e-3, 1e-2, 1e-1, 1.0, np.inf)
#: Parts of the cells that are kept out in turn.
_PARTS = 5


@dataclass(frozen=True, eq=False)
class Quadratic:
    r"""The quadratic potential that fits velocities best.

    .. math:: q(x) = -b \cdot (x - m) - \tfrac12 (x - m)^\top S (x - m)

    Its velocity is :math:`b + S (x - m)`. With the covariance :math:`C` of the cells and
    :math:`K = \mathbb{E}\, v (x - m)^\top`, the symmetric :math:`S` of least squares solves
    :math:`S C + C S + 2 \lambda S = K + K^\top`.

    Parameters
    ----------
    centre, slope
        :math:`m` and :math:`b`, shape `(d,)`.
    curvature
        :math:`S`, shape `(d, d)`.
    """

    centre: FloatArray
    slope: FloatArray
    curvature: FloatArray

    @classmethod
    def fitted(
        cls, x: FloatArray, velocity: FloatArray, weight: FloatArray
    ) -> tuple[Quadratic, float]:
        """The potential, and the share of the squared velocity that it leaves unexplained.

        The share is that on cells kept out, in five parts, and chooses the penalty.

        Parameters
        ----------
        x, velocity
            Shape `(n, d)`; positions in any order that does not depend on the velocities.
        weight
            Shape `(n,)`.
        """
        total = float(weight @ (velocity**2).sum(axis=1))
        if total == 0.0:
            return cls.of(x, velocity, weight, (np.inf,))[0], 0.0
        part = np.arange(len(x)) % _PARTS
        errors = np.zeros(len(_RIDGES))
        for number in np.unique(part):
            out = part == number
            for k, found in enumerate(cls.of(x[~out], velocity[~out], weight[~out], _RIDGES)):
                left = velocity[out] - found.velocity(x[out])
                errors[k] += weight[out] @ (left**2).sum(axis=1)
        best = int(np.argmin(errors))
        return cls.of(x, velocity, weight, (_RIDGES[best],))[0], min(1.0, errors[best] / total)

    @classmethod
    def of(
        cls, x: FloatArray, velocity: FloatArray, weight: FloatArray, ridges: tuple[float, ...]
    ) -> list[Quadratic]:
        """The potentials under several penalties."""
        share = weight / weight.sum()
        centre = share @ x
        slope = share @ velocity
        offset = (x - centre) * share[:, None]
        variance, axes = np.linalg.eigh(offset.T @ (x - centre))
        both = axes.T @ (velocity - slope).T @ offset @ axes
        sums = np.maximum(variance[:, None] + variance[None, :], 1e-12 * max(variance[-1], 1e-300))
        unit = 2.0 * variance.mean()
        found = []
        for ridge in ridges:
            inner = (both + both.T) / (sums + ridge * unit) if np.isfinite(ridge) else 0.0 * both
            found.append(cls(centre, slope, axes @ inner @ axes.T))
        return found

    def value(self, x: FloatArray) -> FloatArray:
        """The potential at positions `(n, d)`, shape `(n,)`."""
        offset = x - self.centre
        bent = np.einsum("nd,nd->n", offset @ self.curvature, offset)
        return np.asarray(-offset @ self.slope - 0.5 * bent)

    def velocity(self, x: FloatArray) -> FloatArray:
        """Its negative gradient, shape `(n, d)`."""
        return np.asarray(self.slope + (x - self.centre) @ self.curvature)
