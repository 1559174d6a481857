"""Transport on the matrix of all costs, by POT's network simplex."""

from __future__ import annotations

import numpy as np

from cellflow.core._typing import FloatArray
from cellflow.errors import CouplingError

__all__ = ["solve_dense"]

#: Limit of the pivots, far above what any solve needs. POT's default ends a few percent above the
#: optimum from a few thousand cells on.
_MAX_PIVOTS = 10**9


def solve_dense(
    a: FloatArray, b: FloatArray, costs: FloatArray
) -> tuple[FloatArray, float, FloatArray, FloatArray]:
    """Return an optimal plan `(n, m)`, its cost and its potentials `(n,)` and `(m,)`.

    Parameters
    ----------
    a, b
        Marginals, shapes `(n,)` and `(m,)`, of equal sum.
    costs
        Shape `(n, m)`. POT's tolerance is absolute, for costs of about one.

    Raises
    ------
    CouplingError
        The solver ended before the optimum.

    References
    ----------
    Flamary, R. et al. (2021). POT: Python Optimal Transport. JMLR 22.
    Bonneel, N. et al. (2011). Displacement interpolation using Lagrangian mass transport. ACM
    Trans. Graph. 30.
    """
    import ot

    try:
        plan, log = ot.emd(a, b, costs, numItermax=_MAX_PIVOTS, log=True)
        trouble = log["warning"]
    except UserWarning as warning:  # where warnings are errors; elsewhere the log says the same
        trouble = warning
    if trouble is None:
        found = (np.asarray(log["u"]), np.asarray(log["v"]))
        return np.asarray(plan), float(log["cost"]), *found
    msg = (
        f"Exact transport between {len(a):,} and {len(b):,} cells did not finish: POT's network"
        f" simplex says {str(trouble)!r}. Check the weights, or use couplings.Sparse()."
    )
    raise CouplingError(msg)
