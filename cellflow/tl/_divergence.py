"""Divergence of the velocity at each cell."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from cellflow.adapter.fitted import Fitted, read_fitted
from cellflow.adapter.keys import DEFAULT
from cellflow.adapter.places import require_free
from cellflow.adapter.store import amended
from cellflow.adapter.write import target_of, write
from cellflow.analysis.members import spread_of
from cellflow.core._arguments import check_arguments
from cellflow.core._settings import guarded
from cellflow.core._typing import FloatArray

if TYPE_CHECKING:
    from anndata import AnnData

    from cellflow.model.base import FittedDynamics
    from cellflow.model.derivatives import Derivatives

__all__ = ["divergence"]


@guarded
def divergence(
    adata: AnnData,
    *,
    extrapolate: bool = False,
    key: str = DEFAULT,
    overwrite: bool = False,
    copy: bool = False,
) -> AnnData | None:
    r"""Write the divergence of the velocity at every cell and its own time.

    .. math::  \nabla \cdot v = \sum_a \frac{\partial v_a}{\partial x_a}

    Along the path of a cell, the density of the population changes by
    :math:`\mathrm d \log p / \mathrm d t = -\nabla \cdot v`, plus the growth rate less its mean
    where cells grow. So it is positive where cells spread, at forks and where variation arises, and
    negative where they come together, towards stable types. It describes the population, not single
    cells: noise spreads cells too.

    Parameters
    ----------
    adata
        Cells with a fit.
    extrapolate
        Allow cells of any time; see `cf.tl.push`.
    key
        `key_added` of the fit.
    overwrite
        Replace existing fields that were not written for this fit.
    copy
        Return a changed copy, and leave `adata` unchanged.

    Returns
    -------
    None, or the copy. Written are

    - `obs["cf_divergence"]`: float64, shape (n_obs,). Per unit of time, the same in any linear
      coordinates of the representation. Exact up to 100 dimensions, above them Hutchinson's
      estimate with ten random signs.
    - `obs["cf_divergence_se"]`: float64, shape (n_obs,). Of an ensemble (`n_members=` of
      `cf.tl.flow`): its standard error, over the cells that might have been measured.

    Raises
    ------
    InputError
        No fit, one that generates, a field that cannot be differentiated, or cells more than one
        mean interval outside the times of the fit without `extrapolate`; `adata` is unchanged.

    Warns
    -----
    IntegrationWarning
        Cells of a time outside the observed ones.

    See Also
    --------
    cellflow.tl.curl, cellflow.tl.jacobian

    Notes
    -----
    Directions in which cells hardly vary count as much as others, and the field is known least
    across them. With many dimensions, compare cells rather than read single values, and look at the
    standard errors.

    References
    ----------
    Chen et al., Neural ordinary differential equations, NeurIPS 2018 (change of the density);
    Grathwohl et al., FFJORD, ICLR 2019 (the estimate); Qiu et al., Mapping transcriptomic vector
    fields of single cells, Cell 2022 (divergence of fields of cells).

    Examples
    --------
    >>> cf.tl.divergence(adata)
    >>> means = adata.obs.groupby("cell_type", observed=True)["cf_divergence"].mean()
    """
    check_arguments(divergence, locals())
    fitted = read_fitted(adata, key)
    fitted.observed.require_reached(fitted.times, extrapolate=extrapolate)
    names = fitted.keys
    name = names.own("divergence")
    places = [("obs", name)]
    if fitted.flow.members:
        places.append(("obs", names.se("divergence")))
    require_free(adata, names, places, overwrite=overwrite)
    target = target_of(adata, copy=copy)
    columns = {name: _at_cells(fitted, fitted.flow)}
    sure = spread_of(fitted.flow, lambda flow: _at_cells(fitted, flow))
    if sure is not None:
        columns[names.se("divergence")] = sure.se
    fitted.observed.warn(fitted.times)
    write(target, {"obs": columns, "uns": {names.uns: amended(adata, names, places, {})}})
    return target if copy else None


def _at_cells(fitted: Fitted, flow: FittedDynamics) -> FloatArray:
    """Divergence at the cells by a flow, `(n_obs,)`."""
    known = cast("Derivatives", flow)  # of a fit, every member is a Flow
    return known.divergence(fitted.x, fitted.times, context=fitted.cells.context)
