"""A plan as a sparse matrix, for other tools."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cellflow.core._typing import FloatArray
from cellflow.core.plans.base import Plan
from cellflow.core.plans.blocks import BlockPlan
from cellflow.core.plans.edges import EdgePlan
from cellflow.core.plans.mixed import MixedPlan
from cellflow.core.plans.potentials import PotentialPlan
from cellflow.core.plans.product import ProductPlan
from cellflow.errors import CouplingError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["plan_matrix", "without_small"]

#: Numbers in one dense block of rows (32 MiB).
_BLOCK = 2**22


def plan_matrix(plan: Plan, *, least: float = 0.0) -> csr_matrix:
    r"""Masses of a plan, :math:`\pi`, as a sparse matrix.

    Parameters
    ----------
    plan
        Of `n` source and `m` target cells.
    least
        Leave out pairs with less than this share of the largest mass of their row; see
        `without_small`. Plans that are dense are cut while they are computed.

    Returns
    -------
    Shape `(n, m)`, float64. Without `least`, it sums to `plan.total`.

    Raises
    ------
    CouplingError
        A plan of a class that is not cellflow's.

    Examples
    --------
    >>> plan = EdgePlan((2, 2), [0, 1], [1, 1], [1.0, 3.0], cost=0.0)
    >>> plan_matrix(plan).toarray()
    array([[0.  , 0.25],
           [0.  , 0.75]])
    """
    from scipy.sparse import csr_matrix, vstack

    if isinstance(plan, EdgePlan):
        return without_small(csr_matrix((plan.mass, (plan.i, plan.j)), shape=plan.shape), least)
    if isinstance(plan, PotentialPlan):
        return vstack([_sparse(mass, least) for _, mass, _ in plan.tiles()], format="csr")
    if isinstance(plan, ProductPlan):
        step = max(1, _BLOCK // plan.shape[1])
        share = plan.col_mass / plan.total
        blocks = (plan.row_mass[i : i + step] for i in range(0, plan.shape[0], step))
        return vstack([_sparse(np.outer(rows, share), least) for rows in blocks], format="csr")
    if isinstance(plan, MixedPlan):
        parts = zip(plan.shares, plan.plans, strict=True)
        return without_small(sum(s * plan_matrix(p, least=least) for s, p in parts), least)
    if isinstance(plan, BlockPlan):
        return _joined(plan, least)
    msg = (
        f"A plan of type {type(plan).__name__} cannot be written as a matrix. Expected one of"
        " cellflow.core.plans."
    )
    raise CouplingError(msg)


def without_small(matrix: csr_matrix, least: float) -> csr_matrix:
    """Leave out the small entries of every row, and keep the sum of the row.

    Parameters
    ----------
    matrix
        Non-negative masses, shape `(n, m)`.
    least
        Entries below this share of the largest of their row are left out.

    Examples
    --------
    >>> from scipy.sparse import csr_matrix
    >>> without_small(csr_matrix([[6.0, 3.0, 1.0]]), 0.4).toarray().round(3)
    array([[6.667, 3.333, 0.   ]])
    """
    from scipy.sparse import csr_matrix

    matrix = csr_matrix(matrix, dtype=np.float64, copy=True)
    matrix.sum_duplicates()
    if least > 0:
        row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
        before = np.bincount(row, matrix.data, matrix.shape[0])
        top = matrix.max(axis=1).toarray().ravel()
        matrix.data[matrix.data < least * top[row]] = 0.0
        after = np.bincount(row, matrix.data, matrix.shape[0])
        matrix.data *= np.divide(before, after, out=np.ones_like(after), where=after > 0)[row]
    matrix.eliminate_zeros()
    return matrix


def _sparse(rows: FloatArray, least: float) -> csr_matrix:
    """Rows of a dense plan, without their small entries."""
    from scipy.sparse import csr_matrix

    kept = np.where(rows >= least * rows.max(axis=1, keepdims=True), rows, 0.0)
    sums = kept.sum(axis=1, keepdims=True)
    kept *= np.divide(rows.sum(axis=1, keepdims=True), sums, out=np.ones_like(sums), where=sums > 0)
    return csr_matrix(kept)


def _joined(plan: BlockPlan, least: float) -> csr_matrix:
    """The matrices of the groups, each at its rows and columns."""
    from scipy.sparse import coo_matrix

    parts = [
        (rows[m.row], columns[m.col], share * m.data)
        for share, p, rows, columns in zip(
            plan.shares, plan.plans, plan.rows, plan.columns, strict=True
        )
        for m in [plan_matrix(p, least=least).tocoo()]
    ]
    i, j, mass = (np.concatenate(part) for part in zip(*parts, strict=True))
    return coo_matrix((mass, (i, j)), shape=plan.shape).tocsr()
