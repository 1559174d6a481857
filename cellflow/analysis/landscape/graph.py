"""A graph of nearest neighbours, and potentials by integrals along its edges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from cellflow.core._neighbors import nearest
from cellflow.core._typing import FloatArray, IntArray
from cellflow.errors import IntegrationError

__all__ = ["Field", "Graph"]

#: `(x (m, d)) -> (m, d)`: velocities at positions, all at one time and of one condition.
Field: TypeAlias = Callable[[FloatArray], FloatArray]

#: Points of the Gauss-Legendre rule on an edge, as shares of it; each has half of the weight. The
#: rule is exact for cubic velocities.
_POINTS = (0.5 - 0.5 / np.sqrt(3.0), 0.5 + 0.5 / np.sqrt(3.0))
#: Edges that are evaluated together.
_CHUNK = 50_000
#: Residual of the linear solver, relative to the right-hand side. On 100,000 cells in two
#: dimensions the potential then has an error of 1e-6 of its standard deviation.
_TOLERANCE = 1e-6
#: Steps of the solver; 100,000 cells in two dimensions take 3,000.
_STEPS = 50_000
#: Weight that a cell has at least, relative to the mean, so that every edge counts.
_FLOOR = 1e-3


@dataclass(frozen=True, eq=False)
class Graph:
    """Nearest neighbours of different positions, each pair once.

    Parameters
    ----------
    x
        Positions, all different, shape `(n, d)`.
    i, j
        Ends of the edges, shape `(e,)`.
    mass
        Weight of the positions, positive, shape `(n,)`.
    weight
        Of the edges, shape `(e,)`.
    component
        Number of the component of each position, shape `(n,)`.
    """

    x: FloatArray
    i: IntArray
    j: IntArray
    mass: FloatArray
    weight: FloatArray
    component: IntArray

    @classmethod
    def of(cls, x: FloatArray, weight: FloatArray, n_neighbors: int) -> Graph:
        """Join each position with its nearest ones.

        An edge has the mean weight of its ends, divided by its squared length, so that all count by
        the velocity along them.
        """
        from scipy.sparse import coo_matrix
        from scipy.sparse.csgraph import connected_components

        n = len(x)
        _, rows = nearest(x, x, n_neighbors + 1)
        k = rows.shape[1]
        one = np.repeat(np.arange(n), k)
        other = rows.ravel()
        pairs = np.unique(np.minimum(one, other) * n + np.maximum(one, other))
        i = pairs // n
        j = pairs % n
        i, j = (ends[i != j] for ends in (i, j))
        length = ((x[j] - x[i]) ** 2).sum(axis=1)
        mass = np.maximum(weight, _FLOOR * weight.mean())
        joined = coo_matrix((np.ones(len(i)), (i, j)), (n, n))
        component = connected_components(joined, directed=False)[1]
        return cls(x, i, j, mass, 0.5 * (mass[i] + mass[j]) / length, component)

    @property
    def n_components(self) -> int:
        """Parts that no edge joins."""
        return int(self.component.max()) + 1

    def integrals(self, field: Field) -> FloatArray:
        r"""Integrals of a velocity along the edges, :math:`\int v \cdot dx`, shape `(e,)`."""
        found = np.zeros(len(self.i))
        for start in range(0, len(found), _CHUNK):
            part = slice(start, start + _CHUNK)
            here = self.x[self.i[part]]
            step = self.x[self.j[part]] - here
            for at in _POINTS:
                found[part] += 0.5 * np.einsum("ed,ed->e", field(here + at * step), step)
        return found

    def solve(self, integrals: FloatArray) -> FloatArray:
        r"""The :math:`U` of least :math:`\sum_e w_e (U_j - U_i + y_e)^2`, shape `(n,)`.

        Raises
        ------
        IntegrationError
            The solver does not converge.
        """
        from scipy.sparse import coo_matrix, diags
        from scipy.sparse.linalg import cg

        n = len(self.x)
        pulled = self.weight * integrals
        right = np.bincount(self.i, pulled, n) - np.bincount(self.j, pulled, n)
        ends = (np.append(self.i, self.j), np.append(self.j, self.i))
        joined: Any = coo_matrix((np.tile(self.weight, 2), ends), (n, n)).tocsr()
        degree = np.asarray(joined.sum(axis=1)).ravel()
        degree[degree == 0.0] = 1.0
        inverse = diags(1.0 / degree)
        found, failed = cg(
            diags(degree) - joined, right, rtol=_TOLERANCE, maxiter=_STEPS, M=inverse
        )
        if failed:
            msg = (
                f"The potential of {n} cells was not found in {_STEPS:,} steps of the solver."
                " Expected a better connected graph: pass a larger n_neighbors."
            )
            raise IntegrationError(msg)
        return np.asarray(found)

    def unexplained(self, integrals: FloatArray, value: FloatArray) -> tuple[float, float]:
        """Share of the squared integrals that a potential leaves, as it is and adjusted.

        The second is adjusted for the number of free values, as an adjusted R2 is; NaN without more
        edges than these.
        """
        left = self.weight @ (integrals + value[self.j] - value[self.i]) ** 2
        total = self.weight @ integrals**2
        free = len(self.i) - (len(self.x) - self.n_components)
        share = float(left / total) if total > 0.0 else 0.0
        adjusted = min(1.0, share * len(self.i) / free) if free > 0 else float("nan")
        return share, adjusted

    def centred(self, value: FloatArray) -> FloatArray:
        """Values less their weighted mean in each component, shape `(n,)`."""
        total = np.bincount(self.component, self.mass * value)
        mean = total / np.bincount(self.component, self.mass)
        return np.asarray(value - mean[self.component])
