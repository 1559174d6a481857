"""How much of a field is no gradient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cellflow.core._typing import FloatArray

if TYPE_CHECKING:
    from cellflow.model.derivatives import Derivatives

__all__ = ["Rotation", "rotation"]

#: Bytes of the Jacobians that are in memory at once.
_BLOCK = 64 * 1024**2


@dataclass(frozen=True, eq=False)
class Rotation:
    r"""Both parts of the Jacobian of a field at cells.

    Parameters
    ----------
    antisymmetric, symmetric
        Squared Frobenius norms of :math:`(J - J^\top) / 2` and :math:`(J + J^\top) / 2`, shape
        `(n,)`, per squared unit of time.
    signed
        :math:`\partial v_2 / \partial x_1 - \partial v_1 / \partial x_2` in two dimensions, else
        zero, shape `(n,)`, per unit of time.
    """

    antisymmetric: FloatArray
    symmetric: FloatArray
    signed: FloatArray

    @property
    def share(self) -> FloatArray:
        """Share of the squared norm that is antisymmetric, `(n,)`; zero where the field is flat."""
        total = self.antisymmetric + self.symmetric
        return np.divide(self.antisymmetric, total, out=np.zeros(len(total)), where=total > 0)

    @property
    def total_share(self) -> float:
        """That share of the sums over all cells."""
        total = float(self.antisymmetric.sum() + self.symmetric.sum())
        return float(self.antisymmetric.sum()) / total if total > 0 else 0.0


def rotation(
    flow: Derivatives, x: FloatArray, times: FloatArray, context: FloatArray | None = None
) -> Rotation:
    """Split the Jacobian of the velocity at cells.

    Parameters
    ----------
    flow
        The fit.
    x, times
        Positions in data coordinates, shape `(n, d)`, and times `(n,)`.
    context
        Features of the cells' conditions, shape `(n, c)`, or None.
    """
    n, d = x.shape
    parts = np.zeros((3, n))
    size = max(1, _BLOCK // (8 * d * d))
    for start in range(0, n, size):
        some = slice(start, start + size)
        features = None if context is None else context[some]
        found = flow.jacobian(x[some], times[some], context=features)
        across = found.transpose(0, 2, 1)
        parts[0, some] = (((found - across) / 2) ** 2).sum(axis=(1, 2))
        parts[1, some] = (((found + across) / 2) ** 2).sum(axis=(1, 2))
        if d == 2:
            parts[2, some] = found[:, 1, 0] - found[:, 0, 1]
    return Rotation(*parts)
