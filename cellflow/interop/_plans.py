"""The plans of a fit between the cells of an AnnData."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cellflow.adapter.fitted import Fitted
from cellflow.core._numbers import as_number
from cellflow.core._typing import FloatArray, IntArray
from cellflow.core._warn import warn
from cellflow.errors import InputError, InputWarning

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from cellflow.couplings import Coupling

__all__ = ["LEAST", "Interval", "plans_of"]

logger = logging.getLogger("cellflow")

#: Default of `least=`: an entropic plan then has about as many entries as matter.
LEAST = 1e-4
#: Share of lost mass above which a warning is due.
_MUCH = 0.1


class Interval(NamedTuple):
    """A plan between two snapshots.

    Of a fit with growth, masses are those at the end: columns sum to the weights of the target
    cells, and rows to the mass of the descendants.
    """

    start: float
    stop: float
    rows: IntArray  # source cells in the AnnData, (n,)
    columns: IntArray  # target cells, (m,)
    mass: csr_matrix  # in units of a population, (n, m)
    weight: FloatArray  # of the source cells, (n,), of sum one
    lost: float  # share of a population whose cells lead nowhere, or are reached from nowhere

    @property
    def stochastic(self) -> csr_matrix:
        """The plan with rows of sum one, shape `(n, m)`.

        Rows of cells without mass are those of the whole target population.
        """
        from scipy.sparse import csr_matrix, diags

        sums = _sums(self.mass, 1)
        share = np.divide(1.0, sums, out=np.zeros_like(sums), where=sums > 0)
        matrix = csr_matrix(diags(share) @ self.mass)
        empty = np.flatnonzero(sums == 0)
        if len(empty):
            column = _sums(self.mass, 0)
            matrix = matrix.tolil()
            matrix[empty] = np.tile(column / column.sum(), (len(empty), 1))
            matrix = csr_matrix(matrix)
        return matrix


def plans_of(fitted: Fitted, coupling: Coupling | None, least: float) -> list[Interval]:
    """Solve the plans of a fit again, or those of another coupling, in time order.

    Parameters
    ----------
    fitted
        A fit and its cells.
    coupling
        In place of the one of the fit.
    least
        Leave out pairs with less than this share of the largest mass of their row.

    Raises
    ------
    InputError
        Fewer than two snapshots, or a fit that does not keep its coupling.
    CouplingError
        A plan could not be computed.

    Warns
    -----
    InputWarning
        More than a tenth of the mass is lost.
    """
    from cellflow.core.plans import plan_matrix
    from cellflow.core.population import Snapshots
    from cellflow.model.fitting import couple_again
    from cellflow.model.solving import solve_plans

    least = as_number("least", least, least=0.0)
    populations = fitted.cells.snapshots().populations if fitted.cells.timed.any() else ()
    snapshots = Snapshots(tuple(p for p in populations if p.time in fitted.flow.times))
    if len(snapshots) < 2:
        msg = (
            f"adata has cells at {len(snapshots)} of the times {list(fitted.flow.times)} of the"
            f" fit in adata.uns[{fitted.keys.uns!r}]. Expected two of them at least: pass the"
            " AnnData of the fit."
        )
        raise InputError(msg)
    if coupling is None:
        try:
            plans = couple_again(fitted.flow, snapshots)
        except InputError as cause:
            msg = f"The plans of this fit cannot be solved again. {cause} Pass it as coupling=."
            raise InputError(msg) from cause
    else:
        plans = solve_plans(fitted.flow.frame.snapshots_to_model(snapshots), coupling)[0]
    grows = coupling is None and "growth" in fitted.flow.heads
    found = []
    for plan, (source, target) in zip(plans, snapshots.intervals, strict=True):
        rows, columns, mass = _by_cell(plan_matrix(plan, least=least), source.index, target.index)
        weight = _weights(rows, source.index, source.weight)
        lost = float(np.maximum(weight - _sums(mass, 1), 0.0).sum())
        if grows:
            mass, lost = _at_target(mass, _weights(columns, target.index, target.weight))
        found.append(Interval(source.time, target.time, rows, columns, mass, weight, lost))
    _report(found)
    return found


def _weights(cells: IntArray, index: IntArray, weight: FloatArray) -> FloatArray:
    """Weight of each cell, of all of its entries in a population."""
    total = np.zeros(len(cells))
    np.add.at(total, np.searchsorted(cells, index), weight)
    return total


def _sums(mass: csr_matrix, axis: int) -> FloatArray:
    return np.asarray(mass.sum(axis=axis), dtype=np.float64).ravel()


def _at_target(mass: csr_matrix, weight: FloatArray) -> tuple[csr_matrix, float]:
    """Masses at the end of the interval, and the weight of target cells that none reaches.

    A plan that relaxes weights pairs cells. Each target cell has its own weight at the end, so that
    rows sum to the mass of the descendants (see `cellflow.core.plans.growing`).
    """
    from scipy.sparse import csr_matrix, diags

    column = _sums(mass, 0)
    factor = np.divide(weight, column, out=np.zeros_like(column), where=column > 0)
    return csr_matrix(mass @ diags(factor)), float(weight[column == 0].sum())


def _by_cell(
    mass: csr_matrix, source: IntArray, target: IntArray
) -> tuple[IntArray, IntArray, csr_matrix]:
    """Sum the entries of cells that take part several times, once in each condition."""
    from scipy.sparse import coo_matrix

    rows, i = np.unique(source, return_inverse=True)
    columns, j = np.unique(target, return_inverse=True)
    listed = mass.tocoo()
    entries = (listed.data, (i[listed.row], j[listed.col]))
    return rows, columns, coo_matrix(entries, shape=(len(rows), len(columns))).tocsr()


def _report(found: list[Interval]) -> None:
    """Log how much mass is lost, and warn where it is much."""
    for interval in found:
        empty = int(((_sums(interval.mass, 1) == 0) & (interval.weight > 0)).sum())
        where = f"from time {interval.start:g} to {interval.stop:g}"
        lost = interval.lost
        logger.info("plan %s: %.2g of the mass is lost, %d rows are empty", where, lost, empty)
        if lost > _MUCH:
            msg = (
                f"{lost:.0%} of the mass is lost {where}: the plan relaxes the weights of the"
                f" cells, and {empty:,} cells have no descendants. Rows of sum one do not show it."
            )
            warn(msg, InputWarning)
