"""Kernels of CellRank from a fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from cellflow.adapter.bases import find_basis
from cellflow.adapter.fitted import Fitted, read_fitted
from cellflow.adapter.keys import DEFAULT
from cellflow.adapter.places import require_free
from cellflow.adapter.store import amended
from cellflow.adapter.write import write
from cellflow.core._arguments import check_arguments
from cellflow.core._settings import guarded
from cellflow.errors import InputError, MissingKeyError
from cellflow.interop._labels import whole_labels
from cellflow.interop._packages import load
from cellflow.interop._plans import LEAST, plans_of

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from cellflow.couplings import Coupling

__all__ = ["to_cellrank"]

_KERNELS = ("velocity", "precomputed", "realtime")


@guarded
def to_cellrank(
    adata: AnnData,
    kernel: Literal["velocity", "precomputed", "realtime"] = "velocity",
    *,
    basis: str | None = None,
    coupling: Coupling | None = None,
    least: float = LEAST,
    key: str = DEFAULT,
    overwrite: bool = False,
) -> Any:
    r"""Return a kernel of CellRank with its transition matrix, whose rows sum to one.

    - `"velocity"`: a `VelocityKernel` of the velocities that `cf.tl.velocity` wrote. It needs the
      neighbours of `sc.pp.neighbors`.
    - `"precomputed"`: a `PrecomputedKernel` of the transitions that `cf.get.transition_matrix`
      wrote: every cell leads to the cells of the next snapshot near to where the flow takes it.
    - `"realtime"`: a `RealTimeKernel` of the plans of the fit, which are solved again. It needs the
      neighbours too, for the last snapshot.

    The kernel holds `adata` itself, as those of CellRank do, and estimators write their results
    there. `cr.pl.circular_projection`, `aggregate_fate_probabilities`, `gene_trends` and `heatmap`
    draw the fates of `cf.tl.fates` without an estimator. Mass that a plan loses is logged, and
    more than a tenth of it is a warning.

    Parameters
    ----------
    adata
        Cells with a fit.
    kernel
        One of these.
    basis
        Of `"velocity"`: positions and velocities in `obsm`; the representation by default.
    coupling
        Of `"realtime"`: plans in place of those of the fit, such as `cf.interop.from_moscot`
        returns.
    least
        Of `"realtime"`: leave out pairs with less than this share of the largest mass of their
        row.
    key
        `key_added` of the fit.
    overwrite
        Replace a column of times that was not written for this fit.

    Returns
    -------
    The kernel. For `"realtime"`, `obs["cf_timepoint"]` is written: the time of each cell as an
    ordered categorical of numbers. Fates that no cell of `adata` ends in, which AnnData drops from
    `obs["term_states_fwd"]` when cells are chosen, become categories again, because CellRank names
    the columns of `obsm["lineages_fwd"]` by them.

    Raises
    ------
    SetupError
        CellRank is not installed.
    MissingKeyError
        No fit, no velocities, transitions, or neighbours.
    InputError
        An unknown kernel, an argument that it does not use, or cells without a time for
        `"realtime"`; `adata` is unchanged.
    CouplingError
        A plan could not be computed.

    Warns
    -----
    InputWarning
        More than a tenth of the mass is lost.

    References
    ----------
    Lange et al., CellRank for directed single-cell fate mapping, Nature Methods 2022; Weiler et
    al., CellRank 2: unified fate mapping in multiview single-cell data, Nature Methods 2024.

    Examples
    --------
    >>> # Needs CellRank, which lives in an environment of its own.
    >>> kernel = cf.interop.to_cellrank(adata)  # doctest: +SKIP
    >>> estimator = cr.estimators.GPCCA(kernel)  # doctest: +SKIP
    """
    check_arguments(to_cellrank, locals())
    _require_used(kernel, basis, coupling)
    fitted = read_fitted(adata, key)
    if kernel != "precomputed":
        _require_neighbors(adata, kernel)
    if kernel == "velocity":
        made = _by_velocity(adata, fitted, basis)
        write(adata, whole_labels(adata, fitted.keys))
        return made
    if kernel == "precomputed":
        made = _by_transitions(adata, fitted)
        write(adata, whole_labels(adata, fitted.keys))
        return made
    return _by_plans(adata, fitted, coupling, least, overwrite=overwrite)


def _require_used(kernel: str, basis: str | None, coupling: object) -> None:
    if kernel not in _KERNELS:
        msg = f"kernel={kernel!r}; expected one of {list(_KERNELS)}."
        raise InputError(msg)
    for name, value, use in (("basis", basis, "velocity"), ("coupling", coupling, "realtime")):
        if value is not None and kernel != use:
            msg = (
                f"{name}= with kernel={kernel!r}, which does not use it. Omit it, or pass"
                f" kernel={use!r}."
            )
            raise InputError(msg)


def _require_neighbors(adata: AnnData, kernel: str) -> None:
    """CellRank reads the graph of `sc.pp.neighbors`, and where it is from."""
    missing = [
        f"adata.{slot}[{name!r}]"
        for slot, name in (("uns", "neighbors"), ("obsp", "connectivities"))
        if name not in getattr(adata, slot)
    ]
    if missing:
        msg = (
            f"{' and '.join(missing)} missing, which kernel={kernel!r} needs. Expected neighbours"
            " of the cells: call sc.pp.neighbors(adata)."
        )
        raise MissingKeyError(msg)


def _by_velocity(adata: AnnData, fitted: Fitted, basis: str | None) -> Any:
    position = fitted.cells.use_rep if basis is None else find_basis(adata, basis)
    name = fitted.basis if basis is None else position.removeprefix("X_")
    velocity = fitted.keys.velocity(name)
    if velocity not in adata.obsm:
        also = "" if name == fitted.basis else f", basis={name!r}"
        msg = (
            f"adata.obsm[{velocity!r}] is missing. Expected velocities: call"
            f" cf.tl.velocity(adata{also}{fitted.keys.argument})."
        )
        raise MissingKeyError(msg)
    if position == "X":
        msg = (
            "The fit is in adata.X, and CellRank reads positions from obsm. Expected the same"
            " values there: fit with use_rep='X_genes' after adata.obsm['X_genes'] = adata.X."
        )
        raise InputError(msg)
    kernels = load("cellrank", "to_cellrank").kernels
    made = kernels.VelocityKernel(adata, attr="obsm", xkey=position, vkey=velocity)
    made.compute_transition_matrix(show_progress_bar=False)
    return made


def _by_transitions(adata: AnnData, fitted: Fitted) -> Any:
    name = fitted.keys.transitions
    if name not in adata.obsp:
        call = f"cf.get.transition_matrix(adata{fitted.keys.argument})"
        msg = f"adata.obsp[{name!r}] is missing. Expected transitions: call {call}."
        raise MissingKeyError(msg)
    kernels = load("cellrank", "to_cellrank").kernels
    return kernels.PrecomputedKernel(adata, obsp_key=name, backward=False)


def _by_plans(
    adata: AnnData, fitted: Fitted, coupling: Coupling | None, least: float, *, overwrite: bool
) -> Any:
    timepoint = _timepoints(fitted)
    place = ("obs", fitted.keys.timepoint)
    require_free(adata, fitted.keys, [place], overwrite=overwrite)
    kernels = load("cellrank", "to_cellrank").kernels
    couplings = {
        (plan.start, plan.stop): _as_coupling(adata, plan.stochastic, plan.rows, plan.columns)
        for plan in plans_of(fitted, coupling, least)
    }
    staged = whole_labels(adata, fitted.keys)
    staged.setdefault("obs", {})[place[1]] = timepoint
    staged.setdefault("uns", {})[fitted.keys.uns] = amended(adata, fitted.keys, [place], {})
    write(adata, staged)
    made = kernels.RealTimeKernel(adata, time_key=place[1], couplings=couplings)
    # A threshold looks at dense plans only, row by row.
    made.compute_transition_matrix(threshold=None)
    return made


def _timepoints(fitted: Fitted) -> pd.Categorical[float]:
    """The time of each cell as an ordered categorical of numbers."""
    import pandas as pd

    if fitted.cells.n_untimed:
        msg = (
            f"{fitted.cells.n_untimed:,} cells have no time, and CellRank's RealTimeKernel needs"
            " one for every cell. Expected cells with a time: pass"
            f" adata[~adata.obs[{fitted.keys.time_inferred!r}]].copy()."
        )
        raise InputError(msg)
    times = np.unique(fitted.cells.time)
    unseen = times[~np.isin(times, fitted.flow.times)]
    if len(unseen):
        msg = (
            f"adata has cells at the times {unseen.tolist()}, which the fit has not seen. Expected"
            f" those of the fit, {list(fitted.flow.times)}."
        )
        raise InputError(msg)
    return pd.Categorical(fitted.cells.time, categories=times, ordered=True)


def _as_coupling(adata: AnnData, matrix: Any, rows: Any, columns: Any) -> AnnData:
    """A plan with the names of its cells, which CellRank brings into the order of `adata`."""
    import anndata
    import pandas as pd

    names = adata.obs_names
    return anndata.AnnData(
        matrix, obs=pd.DataFrame(index=names[rows]), var=pd.DataFrame(index=names[columns])
    )
