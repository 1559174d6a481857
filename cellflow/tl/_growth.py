"""Growth rates of the cells, with their interval over assumptions."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cellflow.adapter.fitted import Fitted, read_fitted
from cellflow.adapter.keys import DEFAULT
from cellflow.adapter.places import require_free
from cellflow.adapter.record import record_of
from cellflow.adapter.store import amended
from cellflow.adapter.write import Staged, target_of, write
from cellflow.core._arguments import check_arguments
from cellflow.core._numbers import as_count
from cellflow.core._progress import is_shown
from cellflow.core._random import as_seed
from cellflow.core._settings import guarded
from cellflow.core._spread import spread
from cellflow.core._typing import FloatArray, RandomState
from cellflow.core._warn import warn
from cellflow.errors import InputError, InputWarning
from cellflow.tl._growth_words import assumptions

if TYPE_CHECKING:
    from anndata import AnnData

    from cellflow.core.population import Snapshots
    from cellflow.couplings import Lineage
    from cellflow.model.base import FittedDynamics

__all__ = ["growth"]

logger = logging.getLogger("cellflow")

#: Entry of the fit's record.
_ENTRY = "growth_assumptions"


@guarded
def growth(
    adata: AnnData,
    *,
    taus: float | Sequence[float] = (0.1, 0.3, 1.0, 3.0),
    n_neighbors: int = 30,
    max_cells: int = 2000,
    extrapolate: bool = False,
    key: str = DEFAULT,
    overwrite: bool = False,
    random_state: RandomState = 0,
    progress: bool | None = None,
    copy: bool = False,
) -> AnnData | None:
    r"""Write the growth rate of every cell at its own time, and its interval over assumptions.

    A rate :math:`g` is births less deaths per cell and unit of time: the mass of a cell's
    descendants grows as :math:`e^{g h}`, and doubles in :math:`\log(2) / g`.

    Snapshots do not determine rates. A type whose share falls may grow less than others, or turn
    into another type; and the number of sequenced cells says nothing about the size of a
    population. The fit makes one assumption about both. The interval shows what others would give:
    plans are solved again for each relaxation `tau` of the marginals, and for prior rates where the
    fit read some, and growth is read from each plan without a network. It ranges over these and the
    fit. It is an interval over assumptions, not over samples; standard errors of an ensemble are
    over samples. Where the fit had a `mass_key`, rates are absolute; without, all populations count
    as equally large, and rates are relative to the growth of the whole.

    Parameters
    ----------
    adata
        Cells with a fit that has a growth head.
    taus
        Relaxations that are assumed: small ones keep mass near, large ones keep the weights of the
        cells; see `cellflow.couplings.Unbalanced`.
    n_neighbors
        Rates of plans are means over so many nearest cells of the same snapshot and condition, at
        most a tenth of them.
    max_cells
        Cells of a snapshot that plans are solved for; of larger ones so many are drawn.
    extrapolate
        Allow cells of any time; see `cf.tl.push`.
    key
        `key_added` of the fit.
    overwrite
        Replace existing fields that were not written for this fit.
    random_state
        Seed of the draw of cells.
    progress
        Show a progress bar over the assumptions. None: only in a terminal or a notebook.
    copy
        Return a changed copy, and leave `adata` unchanged.

    Returns
    -------
    None, or the copy. Written are

    - `obs["cf_growth"]`: float64, shape (n_obs,). Rate of the fit, per unit of time.
    - `obs["cf_growth_low"]`: float64, shape (n_obs,). Smallest rate under the assumptions.
    - `obs["cf_growth_high"]`: float64, shape (n_obs,). Largest rate under the assumptions. Both
      are NaN where fewer than two snapshots of the fit are among the cells.
    - `obs["cf_growth_se"]`: float64, shape (n_obs,). Of an ensemble (`n_members=` of `cf.tl.flow`):
      standard error of the rate over the cells that might have been measured, under the assumption
      of the fit.
    - `obsm["cf_growth_members"]`: float32, shape (n_obs, n_members). Rates by each member of it;
      `cf.get.growth(interval=)` makes intervals of groups of them.
    - `uns["cellflow"]["growth_assumptions"]`: dict. What was assumed: in words, the sizes, the
      names of the assumptions, and the mean rate under each.

    Raises
    ------
    InputError
        No fit, one without a growth head, a relaxation that is not positive, or cells more than one
        mean interval outside the times of the fit without `extrapolate`; `adata` is unchanged.
    CouplingError
        A plan that cannot be solved.

    Warns
    -----
    InputWarning
        Fewer than two snapshots of the fit among the cells: no interval.
    IntegrationWarning
        Cells of a time outside the observed ones.

    See Also
    --------
    cellflow.get.growth, cellflow.pl.growth, cellflow.pp.growth_scores

    References
    ----------
    Chizat et al., Unbalanced optimal transport: dynamic and Kantorovich formulations, Journal of
    Functional Analysis 2018; Schiebinger et al., Optimal-transport analysis of single-cell gene
    expression identifies developmental trajectories in reprogramming, Cell 2019 (growth from
    plans); Weinreb et al., Fundamental limits on dynamic inference from single-cell snapshots, PNAS
    2018 (what snapshots do not determine).

    Examples
    --------
    >>> cf.tl.flow(adata, "hours", growth="learn")
    >>> cf.tl.growth(adata)
    >>> cf.get.growth(adata, "cell_type")["group"].tolist()
    ['mesenchymal', 'myoblast', 'myotube']
    """
    check_arguments(growth, locals())
    as_count("n_neighbors", n_neighbors)
    as_count("max_cells", max_cells, least=2)
    fitted = read_fitted(adata, key)
    _require_growth(fitted)
    fitted.observed.require_reached(fitted.times, extrapolate=extrapolate)
    names = fitted.keys
    places = [("obs", name) for name in (names.growth, names.growth_low, names.growth_high)]
    places += _sure_places(fitted)
    require_free(adata, names, places, overwrite=overwrite)
    target = target_of(adata, copy=copy)
    rate = _rate(fitted, fitted.flow)
    assumed = _assumed(
        fitted,
        [float(tau) for tau in np.atleast_1d(taus)],
        n_neighbors,
        max_cells,
        as_seed(random_state),
        progress=progress,
    )
    record = assumptions(record_of(adata, names), fitted, rate, assumed)
    low = high = np.full(adata.n_obs, np.nan)
    if assumed:
        all_rates = [rate, *assumed.values()]
        low = np.fmin.reduce(all_rates)
        high = np.fmax.reduce(all_rates)
    fitted.observed.warn(fitted.times)
    logger.info(record["words"])
    sure = _sure(fitted)
    obs = {names.growth: rate, names.growth_low: low, names.growth_high: high}
    record_of_fit = amended(adata, names, places, {_ENTRY: record})
    staged: Staged = {
        "obs": obs | sure.get("obs", {}),
        "obsm": sure.get("obsm", {}),
        "uns": {names.uns: record_of_fit},
    }
    write(target, staged)
    return target if copy else None


def _rate(fitted: Fitted, flow: FittedDynamics) -> FloatArray:
    """Rates of the cells by a flow, `(n,)`."""
    return flow.head("growth", fitted.x, fitted.times, context=fitted.cells.context)


def _sure_places(fitted: Fitted) -> list[tuple[str, str]]:
    """(slot, key) of what is written beside the rates of an ensemble."""
    places = [("obs", fitted.keys.se("growth")), ("obsm", fitted.keys.members("growth"))]
    return places if fitted.flow.members else []


def _sure(fitted: Fitted) -> Staged:
    """Standard errors of the rates, and the members' rates."""
    if not fitted.flow.members:
        return {}
    rates = np.stack([_rate(fitted, member) for member in fitted.flow.members])
    return {
        "obs": {fitted.keys.se("growth"): spread(rates).se},
        "obsm": {fitted.keys.members("growth"): rates.T.astype(np.float32)},
    }


def _require_growth(fitted: Fitted) -> None:
    if "growth" in fitted.flow.heads:
        return
    msg = (
        f"The fit in adata.uns[{fitted.keys.uns!r}] (method {fitted.params['method']!r}) has no"
        " growth head: no cell grows in it. Expected a fit by cf.tl.flow with growth='learn',"
        " 'prior' or 'auto', or with method='uot-cfm'."
    )
    raise InputError(msg)


def _assumed(
    fitted: Fitted,
    taus: Sequence[float],
    n_neighbors: int,
    max_cells: int,
    seed: int,
    *,
    progress: bool | None,
) -> dict[str, FloatArray]:
    """Rates of the cells `(n,)` under each assumption, by its name; none without two snapshots."""
    from tqdm import tqdm

    from cellflow.analysis.growth import assumed_growth
    from cellflow.couplings import Unbalanced

    for tau in taus:
        Unbalanced(tau)  # raises for a strength that is none
    snapshots = _snapshots(fitted)
    if snapshots is None:
        msg = (
            "Fewer than two snapshots of the fit are among the cells of adata: no plan can be"
            f" solved, and {fitted.keys.growth_low} and {fitted.keys.growth_high} are NaN. Pass"
            " cells of several snapshots for an interval."
        )
        warn(msg, InputWarning)
        return {}
    inside = fitted.flow.frame.snapshots_to_model(snapshots)
    has_prior = all(p.growth is not None for p in inside.populations[:-1])
    if not (len(taus) or has_prior):
        msg = "taus=[] and no prior rates: nothing is assumed. Expected at least one relaxation."
        raise InputError(msg)
    x = fitted.flow.frame.to_model(fitted.x)
    fields = assumed_growth(
        inside, taus=taus, n_neighbors=n_neighbors, max_cells=max_cells, seed=seed,
        lineage=_lineage(fitted),
    )  # fmt: skip
    total = len(taus) + has_prior
    bar = tqdm(fields, desc="growth", unit="plan", total=total, disable=not is_shown(progress))
    return {name: field.at(x, fitted.times, fitted.cells.context) for name, field in bar}


def _lineage(fitted: Fitted) -> Lineage | None:
    """How barcodes informed the plans of the fit; None if they did not."""
    from cellflow.couplings import Lineage
    from cellflow.model.description import coupling_from

    if fitted.flow.recipe["coupling"]["type"] != "Lineage":
        return None
    coupling = coupling_from(fitted.flow.recipe)
    return coupling if isinstance(coupling, Lineage) else None


def _snapshots(fitted: Fitted) -> Snapshots | None:
    """The snapshots of the fit that are among the cells; None for fewer than two."""
    from cellflow.core.population import Snapshots

    if not fitted.cells.timed.any():
        return None
    found = [p for p in fitted.cells.snapshots().populations if p.time in fitted.flow.times]
    return Snapshots(tuple(found)) if len(found) > 1 else None
