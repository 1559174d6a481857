"""Log-density of each cell under the fitted dynamics, and cells out of distribution."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.fitted import Fitted, read_fitted
from cellflow.adapter.keys import DEFAULT
from cellflow.adapter.places import require_free
from cellflow.adapter.reference import reference_cells
from cellflow.adapter.store import amended, sealed
from cellflow.adapter.write import target_of, write
from cellflow.analysis.conformal import as_level
from cellflow.analysis.density import EvolvingDensity, SourceKind
from cellflow.analysis.ordinary import Judged, judge
from cellflow.core._arguments import check_arguments
from cellflow.core._random import as_seed
from cellflow.core._settings import guarded
from cellflow.core._typing import RandomState
from cellflow.core.population import Population
from cellflow.errors import InputError, naming_cells

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["log_density"]

logger = logging.getLogger("cellflow")

#: Entries of `uns[key]`: the density of the first snapshot, and the comparison with the cells of
#: the fit.
_SOURCE = "source_density"
_ORDINARY = "ood"


@guarded
def log_density(
    adata: AnnData,
    *,
    source: SourceKind = "nsf",
    alpha: float = 0.01,
    random_state: RandomState = 0,
    key: str = DEFAULT,
    overwrite: bool = False,
    copy: bool = False,
) -> AnnData | None:
    r"""Write the log-density of every cell at its own time under the fitted dynamics.

    The density of the first snapshot is learned and carried along the flow (Chen et al. 2018),

    .. math:: \log p_t(x) = \log p_{t_0}\big(x(t_0)\big)
              - \int_{t_0}^t \nabla \cdot v\big(s, x(s)\big)\, ds .

    The divergence is exact up to 100 dimensions, and estimated above. `cf.tl.density` learns
    densities without dynamics; the difference of the two is a likelihood ratio. A low density does
    not prove that a cell is unusual: where the dynamics fits badly, it is low for ordinary cells.

    Out-of-distribution cells are therefore found without the density. Each cell is compared with
    the cells of the fit at its time, by its mean distance to the five nearest. Its p-value is the
    share of these cells that are at least as far from the others (conformal prediction, Vovk et al.
    2005). Of ordinary cells, new ones or those of the fit, at most a share of `alpha` is flagged,
    for any distribution, dimension and number. Small snapshots cannot flag: a p-value of 0.01 takes
    99 cells. Single cells are flagged; a warning says where a whole batch differs from the fit.

    The cost is one backward pass per dimension, four times per step of the solver: on one core
    about 6 seconds for each interval between 10,000 cells of 5 dimensions and the first snapshot,
    and ten times as much for 50 dimensions.

    Of an ensemble, the mean field is used, and no standard error is written.

    Parameters
    ----------
    adata
        Cells with a fit, those of the first snapshot among them.
    source
        How the density of the first snapshot is learned: `"nsf"`, `"maf"`, `"realnvp"` or `"glow"`,
        or `"gmm"` or `"kde"`.
    alpha
        Share of ordinary cells that may be flagged.
    random_state
        Seed of the density.
    key
        `key_added` of the fit.
    overwrite, copy
        See `cf.tl.flow`.

    Returns
    -------
    None, or the copy. Written are

    - `obs["cf_log_density"]`: float64, shape (n_obs,). In nats, in the coordinates of the
      representation; for a cell without a time, at its inferred time.
    - `obs["cf_ood"]`: bool, shape (n_obs,). Whether the p-value is at most `alpha`.
    - `obs["cf_ood_p"]`: float64, shape (n_obs,). The p-value: for a cell without a time the largest
      over the snapshots; for a cell between snapshots with respect to the population that the fit
      predicts there, for which `alpha` is not guaranteed.
    - `uns["cellflow"]["ood"]`: dict. By time `times`, `n_cells`, `n_flagged`; `n_reference`, the
      number of cells that they were compared with, and `measured`, whether these were measured at
      that time; `can_flag`, whether they are enough for `alpha`; and `alpha` and `kept`, whether
      the fit kept the cells of the comparison. (A fit of version 0.1.0 did not; then the cells of
      `adata` are compared with each other.)
    - `uns["cellflow"]["source_density"]`: dict. The density of the first snapshot.

    Raises
    ------
    InputError
        No fit, no cells of the first snapshot or fewer than 10, or times outside the observed ones;
        `adata` is unchanged.
    IntegrationError
        A state that is not finite.

    Warns
    -----
    InputWarning
        Of a time, many more cells are flagged than `alpha` and chance explain.

    References
    ----------
    Chen et al., Neural ordinary differential equations, NeurIPS 2018; Vovk et al., Algorithmic
    learning in a random world, Springer 2005.

    Examples
    --------
    >>> cf.tl.log_density(adata)
    >>> adata.obs[["cf_log_density", "cf_ood"]].shape
    (160, 2)
    """
    check_arguments(log_density, locals())
    fitted = read_fitted(adata, key)
    seed = as_seed(random_state)
    level = as_level(alpha)
    keys = fitted.keys
    times = fitted.starts
    names = (keys.log_density, keys.out_of_distribution, keys.out_of_distribution_p)
    places = [("obs", name) for name in names]
    require_free(adata, keys, places, overwrite=overwrite)
    fitted.observed.require(times, "the density")
    first = _first_snapshot(fitted)
    target = target_of(adata, copy=copy)
    density = EvolvingDensity.fitted(fitted.flow, first, source=source, random_state=seed)
    with naming_cells(adata.obs_names):
        log_p = density.log_prob(fitted.x, times)
    reference, kept = reference_cells(adata, fitted)
    judged = judge(fitted.flow, reference, fitted.x, fitted.cells.time, alpha=level)
    _log_small_snapshots(judged)
    more = {
        _SOURCE: sealed(*density.source.state()) | {"random_state": seed},
        _ORDINARY: _as_entry(judged, kept=kept),
    }
    judged.warn()  # before the writing: where warnings are errors, nothing is written
    columns = dict(zip(names, (log_p, judged.flagged, judged.p_value), strict=True))
    record = amended(adata, keys, places, more)
    write(target, {"obs": columns, "uns": {keys.uns: record}})
    return target if copy else None


def _first_snapshot(fitted: Fitted) -> Population:
    """Cells of the fit's first snapshot."""
    first = float(fitted.flow.times[0])
    snapshots = fitted.cells.snapshots() if fitted.cells.timed.any() else None
    if snapshots is None or snapshots.times[0] != first:
        msg = (
            f"None of these cells is of the first snapshot, at time {first:g}, whose density is"
            " carried along the flow. Pass an AnnData with them, or learn densities without the"
            " dynamics: cf.tl.density."
        )
        raise InputError(msg)
    return snapshots[0]


def _log_small_snapshots(judged: Judged) -> None:
    for time in judged.times[~judged.can_flag]:
        cells = "without a time" if np.isnan(time) else f"at time {time:g}"
        logger.info(
            "cf_ood: no cell %s can be flagged at alpha=%g; too few cells to compare with.",
            cells,
            judged.alpha,
        )


def _as_entry(judged: Judged, *, kept: bool) -> dict[str, Any]:
    """The comparison as plain values."""
    columns = ("times", "n_cells", "n_flagged", "n_reference", "measured", "can_flag")
    return {name: getattr(judged, name) for name in columns} | {"alpha": judged.alpha, "kept": kept}
