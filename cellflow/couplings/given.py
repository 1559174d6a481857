"""Plans that another tool has computed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.core._neighbors import paired_squares
from cellflow.core._settings import guarded
from cellflow.core._typing import FloatArray, IntArray
from cellflow.core._warn import warn
from cellflow.core.plans import EdgePlan
from cellflow.core.population import Population
from cellflow.errors import CouplingError, CouplingWarning, InputError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["Given"]

#: Share of the mass of the cells that may go to cells which are not among the targets.
_LOST = 0.01


@dataclass(frozen=True, eq=False)
class Given:
    r"""Plans that are known beforehand, such as those of moscot or Waddington-OT.

    The positions and weights of the cells are not used: mass goes as the matrices say.

    Parameters
    ----------
    plans
        By the two times of an interval, a matrix :math:`\pi`, shape `(n, m)`, dense or sparse, of
        masses in units of the source population: a balanced plan sums to one.
    rows
        By time, which cell each row, or column, of the matrices is: its `Population.index`, in an
        AnnData its row. By default, rows are the cells of the population in their order.
    checksum
        Of the matrices. It stands for them in the record of a fit, which does not keep them.

    Raises
    ------
    InputError
        A matrix that is negative, not finite or without mass, or that does not fit to `rows`.
    CouplingError
        When it is called: no plan between two times, or cells that no plan is about.

    Warns
    -----
    CouplingWarning
        More than a hundredth of the mass goes to cells that are not among the targets.

    See Also
    --------
    cellflow.interop.from_moscot, cellflow.interop.from_wot

    Examples
    --------
    >>> cells = np.array([[0.0], [1.0]])
    >>> swap = Given({(0.0, 1.0): [[0.0, 0.5], [0.5, 0.0]]})
    >>> swap(Population(cells, 0.0), Population(cells, 1.0)).cost
    1.0
    """

    plans: Mapping[tuple[float, float], Any] = field(repr=False)
    rows: Mapping[float, IntArray] | None = field(default=None, repr=False)
    checksum: str = field(init=False)

    def __post_init__(self) -> None:
        if not self.plans:
            msg = "plans={}; expected a matrix for each interval, by its two times."
            raise InputError(msg)
        known = {float(time): np.asarray(of) for time, of in (self.rows or {}).items()}
        plans = {}
        for (start, stop), matrix in self.plans.items():
            times = (float(start), float(stop))
            plans[times] = _checked(matrix, times)
            for side, time in enumerate(times):
                found = known.setdefault(time, np.arange(plans[times].shape[side]))
                if len(found) != plans[times].shape[side]:
                    msg = (
                        f"The plan of the interval {times} has shape {plans[times].shape}, and"
                        f" there are {len(found):,} cells at time {time:g}. Expected a row for each"
                        " source cell and a column for each target cell."
                    )
                    raise InputError(msg)
        object.__setattr__(self, "plans", plans)
        object.__setattr__(self, "rows", known)
        object.__setattr__(self, "checksum", _checksum(plans))

    @guarded
    def __call__(self, source: Population, target: Population) -> EdgePlan:
        """Return the plan between the cells of two populations."""
        times = (source.time, target.time)
        if times not in self.plans:
            given = ", ".join(f"{a:g} to {b:g}" for a, b in sorted(self.plans))
            msg = (
                f"No plan is given from time {times[0]:g} to {times[1]:g}. Expected one for every"
                f" pair of consecutive times; given are {given}. A snapshot cannot be held out of"
                " given plans."
            )
            raise CouplingError(msg)
        here = self._places(source)
        there = self._places(target)
        leaving = self.plans[times][here]
        plan = leaving[:, there].tocoo()
        mass = float(plan.data.sum())
        before = float(leaving.sum())
        if not mass > 0:
            msg = (
                f"The plan given from time {times[0]:g} to {times[1]:g} has no mass between these"
                f" {len(source):,} and {len(target):,} cells. Expected the cells that it is about."
            )
            raise CouplingError(msg)
        if 1.0 - mass / before > _LOST:
            msg = (
                f"{1.0 - mass / before:.0%} of the mass that leaves these {len(source):,} cells at"
                f" time {times[0]:g} goes to cells at time {times[1]:g} that are not among the"
                f" {len(target):,} here, and is left out."
            )
            warn(msg, CouplingWarning)
        squares = paired_squares(source.x, target.x, plan.row, plan.col)
        cost = float(plan.data @ squares) / mass
        total = float(self.plans[times].sum())
        return EdgePlan(plan.shape, plan.row, plan.col, plan.data, cost, total=total)

    def _places(self, population: Population) -> IntArray:
        """Rows of the matrices that are the cells of a population."""
        assert self.rows is not None, "set when it is made"
        known = self.rows[population.time]
        order = np.argsort(known, kind="stable")
        place = np.searchsorted(known[order], population.index).clip(max=len(known) - 1)
        found: IntArray = order[place]
        unknown = int((known[found] != population.index).sum())
        if unknown:
            msg = (
                f"{unknown:,} of {len(population):,} cells at time {population.time:g} are not"
                f" among the {len(known):,} of the given plans. Expected plans of all cells that"
                " take part in the fit."
            )
            raise CouplingError(msg)
        return found


def _checked(matrix: Any, times: tuple[float, float]) -> csr_matrix:
    """A plan as a sparse matrix of masses."""
    from scipy.sparse import csr_matrix

    given = csr_matrix(matrix, dtype=np.float64)
    given.sum_duplicates()
    masses: FloatArray = given.data
    if not (np.isfinite(masses).all() and (masses >= 0).all() and masses.sum() > 0):
        msg = (
            f"The plan of the interval {times} has {int((masses < 0).sum())} negative masses,"
            f" {int((~np.isfinite(masses)).sum())} that are not finite, and a sum of"
            f" {masses.sum():g}. Expected masses of zero and more with a positive sum."
        )
        raise InputError(msg)
    return given


def _checksum(plans: Mapping[tuple[float, float], csr_matrix]) -> str:
    digest = hashlib.sha256()
    for times, matrix in sorted(plans.items()):
        for part in (np.array(times), matrix.indptr, matrix.indices, matrix.data):
            digest.update(np.ascontiguousarray(part).astype(np.float64).tobytes())
    return digest.hexdigest()[:16]
