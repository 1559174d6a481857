"""Plans from moscot, and to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.fitted import read_fitted
from cellflow.adapter.keys import DEFAULT
from cellflow.core._arguments import check_arguments
from cellflow.core._numbers import as_number
from cellflow.core._settings import guarded
from cellflow.core.decoder import require_room
from cellflow.errors import InputError
from cellflow.interop._named import Named, as_coupling, numeric
from cellflow.interop._plans import LEAST, plans_of

if TYPE_CHECKING:
    from anndata import AnnData

    from cellflow.couplings import Coupling, Given

__all__ = ["from_moscot", "to_moscot"]


@guarded
def from_moscot(adata: AnnData, problem: Any, *, least: float = LEAST) -> Given:
    """Return the plans of a solved problem of moscot as a coupling.

    Parameters
    ----------
    adata
        Cells that the problem was made of, in any order; their names say which is which.
    problem
        A `TemporalProblem` or `LineageProblem` after `.solve()`.
    least
        Leave out pairs with less than this share of the largest mass of their row; the row keeps
        its sum. Plans of moscot are dense.

    Returns
    -------
    `cellflow.couplings.Given`, for `method=` of `cf.tl.flow`, with the recipe's `coupling=`, and
    for `coupling=` of other calls here. Its `plans` are sparse matrices of mass by the two times.

    Raises
    ------
    InputError
        A problem without solutions or with times that are no numbers, or cells that are not in
        `adata`.

    References
    ----------
    Klein et al., Mapping cells through time and space with moscot, Nature 2025.

    Examples
    --------
    >>> # Needs moscot, which lives in an environment of its own.
    >>> problem = moscot.problems.time.TemporalProblem(adata)  # doctest: +SKIP
    >>> problem = problem.prepare(time_key="hours").solve()  # doctest: +SKIP
    >>> plans = cf.interop.from_moscot(adata, problem)  # doctest: +SKIP
    >>> method = cf.recipes.curved_cfm(coupling=plans)  # doctest: +SKIP
    >>> cf.tl.flow(adata, "hours", method=method)  # doctest: +SKIP
    """
    check_arguments(from_moscot, locals())
    least = as_number("least", least, least=0.0)
    solutions = getattr(problem, "solutions", None)
    if not isinstance(solutions, Mapping) or not solutions:
        msg = (
            f"problem is of type {type(problem).__name__} and has no solutions. Expected a problem"
            " of moscot after .prepare(time_key=...) and .solve()."
        )
        raise InputError(msg)
    found = []
    for pair, solution in solutions.items():
        part = problem[pair]
        start, stop = (numeric(time, "times of the problem") for time in pair)
        names = (part.adata_src.obs_names, part.adata_tgt.obs_names)
        matrix = solution.transport_matrix
        # Arrays of JAX are read through numpy.
        matrix = matrix if hasattr(matrix, "tocsr") else np.asarray(matrix)
        found.append(Named(start, stop, *names, matrix))
    return as_coupling(adata, found, "problem", least)


@guarded
def to_moscot(
    adata: AnnData,
    problem: Any,
    *,
    coupling: Coupling | None = None,
    least: float = LEAST,
    key: str = DEFAULT,
    overwrite: bool = False,
) -> Any:
    r"""Give the plans of a fit to a problem of moscot as its solutions.

    They are solved again. moscot's `push`, `pull`, `cell_transition`, `sankey` and the rest then
    work with the plans of the fit. moscot keeps plans as matrices :math:`\pi` of mass, whose rows
    sum to the weights of the source cells; divided by these, rows sum to one.

    Parameters
    ----------
    adata
        Cells with a fit.
    problem
        A `TemporalProblem` of the same cells after `.prepare(time_key=...)`, solved or not.
    coupling
        Plans in place of those of the fit.
    least
        Leave out pairs with less than this share of the largest mass of their row.
    key
        `key_added` of the fit.
    overwrite
        Replace solutions of the problem.

    Returns
    -------
    The problem, whose `problems` have solutions now.

    Raises
    ------
    MissingKeyError
        No fit.
    InputError
        A problem that is not prepared, that has other times or cells, or solutions without
        `overwrite`; a plan above 2 GB. The problem is unchanged.
    CouplingError
        A plan could not be computed.

    Warns
    -----
    InputWarning
        More than a tenth of the mass is lost.

    References
    ----------
    Klein et al., Mapping cells through time and space with moscot, Nature 2025.

    Examples
    --------
    >>> # Needs moscot, which lives in an environment of its own.
    >>> problem = moscot.problems.time.TemporalProblem(adata)  # doctest: +SKIP
    >>> problem = cf.interop.to_moscot(adata, problem.prepare(time_key="hours"))  # doctest: +SKIP
    >>> problem.cell_transition(0.0, 1.0, "cell_type", "cell_type")  # doctest: +SKIP
    """
    check_arguments(to_moscot, locals())
    import pandas as pd

    fitted = read_fitted(adata, key)
    parts = _parts(problem, overwrite=overwrite)
    ready = []
    for plan in plans_of(fitted, coupling, least):
        part = parts.get((plan.start, plan.stop))
        if part is None:
            continue
        n, m = plan.mass.shape
        require_room(n, m, "moscot takes dense plans.", bytes_per_value=8)
        names = (adata.obs_names[plan.rows], adata.obs_names[plan.columns])
        table = pd.DataFrame(plan.mass.toarray(), index=names[0], columns=names[1])
        wanted = (part.adata_src.obs_names, part.adata_tgt.obs_names)
        if not (set(names[0]) == set(wanted[0]) and set(names[1]) == set(wanted[1])):
            msg = (
                f"The problem is between {len(wanted[0]):,} and {len(wanted[1]):,} cells from time"
                f" {plan.start:g} to {plan.stop:g}, and the plan between other {len(names[0]):,}"
                f" and {len(names[1]):,}. Expected a problem of the cells of adata."
            )
            raise InputError(msg)
        ready.append((part, table.loc[wanted[0], wanted[1]]))
    if not ready:
        msg = (
            f"The problem is about the times {sorted(parts)}, and the fit about"
            f" {list(fitted.flow.times)}. Expected a problem of pairs of consecutive times of the"
            " fit."
        )
        raise InputError(msg)
    for part, table in ready:
        part.set_solution(table, overwrite=overwrite)
    return problem


def _parts(problem: Any, *, overwrite: bool) -> dict[tuple[float, float], Any]:
    """The problems between two snapshots, by their times."""
    found = getattr(problem, "problems", None)
    if not isinstance(found, Mapping) or not found:
        msg = (
            f"problem is of type {type(problem).__name__} and has no pairs of snapshots. Expected"
            " a problem of moscot after .prepare(time_key=...)."
        )
        raise InputError(msg)
    solved = [pair for pair, part in found.items() if part.solution is not None]
    if solved and not overwrite:
        msg = f"The problem has solutions for {solved}. Pass overwrite=True to replace them."
        raise InputError(msg)
    where = "times of the problem"
    return {(numeric(a, where), numeric(b, where)): part for (a, b), part in found.items()}
