"""The population at any time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.decoding import asked_genes
from cellflow.adapter.fitted import Fitted, read_fitted
from cellflow.adapter.fitted_columns import require_labels
from cellflow.adapter.keys import DEFAULT
from cellflow.adapter.moved import Part, about_extrapolation, cell_bytes, grown, moved_cells
from cellflow.adapter.selection import Selection
from cellflow.adapter.units import is_label
from cellflow.analysis.members import spread_of
from cellflow.analysis.observed import Observed
from cellflow.analysis.prediction import Prediction, Side, of_condition, sources
from cellflow.analysis.prediction import predict as predict_cells
from cellflow.core._arguments import check_arguments
from cellflow.core._numbers import as_count
from cellflow.core._random import as_seed, stream
from cellflow.core._settings import guarded
from cellflow.core._typing import RandomState
from cellflow.errors import naming_cells
from cellflow.tl._times import Times, asked_times

if TYPE_CHECKING:
    from anndata import AnnData

    from cellflow.core._spread import Spread
    from cellflow.core.conditions import Condition
    from cellflow.core.population import Snapshots
    from cellflow.model.base import FittedDynamics

__all__ = ["predict"]

#: What to do about a time that is too far outside.
_REMEDY = "pass extrapolate=True; the descendants of chosen cells are cf.tl.push"


@guarded
def predict(
    adata: AnnData,
    *,
    time: Times,
    condition: Condition | None = None,
    n_obs: int | None = None,
    source: Side = "both",
    stochastic: bool = False,
    extrapolate: bool = False,
    genes: Selection | None = None,
    cluster_key: str | None = None,
    random_state: RandomState = 0,
    key: str = DEFAULT,
) -> AnnData:
    """Predict the population at a time, measured or not, or at several.

    Parameters
    ----------
    adata
        Cells with a fit; it is not changed.
    time
        A number in the unit of the fit, or a label such as `"day 3"`, `"48h"` or `"E8.75"`; or a
        list of them, whose cells come one time after another, as from one call each. At the time of
        a snapshot the prediction is made from the snapshots before and after it. Before the first
        or after the last time, of the fit or of the cells in `adata` (of that `condition`), it is
        an extrapolation; see `extrapolate`.
    condition
        For a fit with conditions: a value for each column of `condition_key`, as a mapping, or the
        value alone where there is one column. Cells of that condition are moved. If the fit has no
        cell of it, all cells of the sources are moved as if they were of it; the log and
        `condition_measured` say so. By default each cell keeps its own condition.
    n_obs
        Number of cells to draw for each time, in proportion to their weights. By default each cell
        of the sources is moved once and keeps its weight.
    source
        `"both"`: the snapshot before the time, moved forward, and the one after it, moved backward,
        weighted by closeness in time. Or `"earlier"`, `"later"`, or the time of a snapshot.
    stochastic
        Move cells by the diffusion with the same marginals instead of the flow; needs a fit with a
        score.
    extrapolate
        Allow any time; see `cf.tl.push`. By default at most one mean interval outside the observed
        times.
    random_state
        Seed of the draw and of the diffusion.
    genes, cluster_key, key
        See `cf.tl.push`.

    Returns
    -------
    A new AnnData, one row per predicted cell. Its fields are

    - `X`: float32, shape (n_rows, n_genes). Expression decoded from the states.
    - `obsm["X_pca"]`: float32, shape (n_rows, d). States, under the name of the representation.
    - `obsm["X_umap"]`: float64, shape (n_rows, n_umap). Places in this and in every other embedding
      `X_...` of `adata`, in its type: exact where it is an affine function of the representation,
      else around the nearest cells.
    - `obs["cf_predicted"]`: bool, shape (n_rows,). True; `cf.tl.flow` writes False for its cells.
    - `obs["hours"]`: float64, shape (n_rows,). The time, under the name and in the form of the
      column that the fit read (numbers, labels such as `"E8.75"`, durations, dates).
    - `obs["cf_predicted_time"]`: float64, shape (n_rows,). The time as a number in the unit of the
      fit.
    - `obs["cf_label_confidence"]`: float64, shape (n_rows,). With `cluster_key`: the share of the
      votes for the label in the column of that name.
    - `obs["source_cell"]`: object, shape (n_rows,). Name of the measured cell that was moved.
    - `obs["source_time"]`: float64, shape (n_rows,). Its time.
    - `obs["weight"]`: float64, shape (n_rows,). Weights that sum to one.
    - `obsm["cf_state_se"]`: float32, shape (n_rows, d). Standard error of each state between the
      members of an ensemble (`n_members=` of `cf.tl.flow`), which move the same cells, with the
      same noise.
    - `obs["weight_se"]`: float64, shape (n_rows,). The same of each weight.
    - `uns["cf_prediction"]`: dict. `time`; `source`, which is `"earlier"` or `"later"` where only
      cells of one side were there; `stochastic`, `random_state`, `extrapolated`; where that is True
      `growth`, the mean distance of the states from the mean of the cells in `adata`, relative to
      that of these cells; with a condition `condition` and `condition_measured`, whether cells of
      it were measured; `placed`, the embeddings whose places are by neighbours; `gene_r2`, the
      held-out R2 of each gene in `var_names` (decodable are those of at least 0.1); the fit's
      `key`, `time_unit` and `use_rep`, and `cellflow_version`. For a list of times, entries that
      belong to one time are arrays.

    With conditions, or with a `sample_key` or `weight_key` in the fit, `obs` has these columns,
    too. So `anndata.concat([adata, later])` can be fitted again: a warning then says how many cells
    are predictions, which are no measurements. `var` holds what `adata.var` does.

    Raises
    ------
    InputError
        No fit, no such source, a condition that the fit does not have, no such time, or one more
        than one mean interval outside without `extrapolate`, genes that the fit does not have, or a
        result above 2 GB.
    IntegrationError
        A state that is not finite.

    Warns
    -----
    IntegrationWarning
        A time outside the observed ones.
    InputWarning
        Genes of `adata` that the fit does not have.

    References
    ----------
    Chen et al., Neural ordinary differential equations, NeurIPS 2018; stochastic: Tong et al.,
    Simulation-free Schrödinger bridges via score and flow matching, AISTATS 2024.

    Examples
    --------
    >>> later = cf.tl.predict(adata, time="36 hours", n_obs=100)
    >>> later.n_obs
    100
    """
    check_arguments(predict, locals())
    fitted = read_fitted(adata, key)
    seed = as_seed(random_state)
    times, several = asked_times(fitted, time)
    source = fitted.time(source, "source") if is_label(source) else source
    n = None if n_obs is None else as_count("n_obs", n_obs, each=cell_bytes(fitted))
    asked = asked_genes(adata, fitted.flow.decoder, genes, key)
    require_labels(adata, fitted, cluster_key)
    snapshots, about = _cells_to_move(fitted, condition)
    observed = Observed.by(fitted.flow, snapshots)
    observed.require_reached(times, extrapolate=extrapolate, remedy=_REMEDY)
    asked.require_room(sum(n or _n_moved(snapshots, at, source) for at in times))
    noise: dict[str, Any] = {"seed": seed if stochastic else None, "keys": fitted.noise_keys}

    def part(at: float) -> Part:
        def predicted(flow: FittedDynamics) -> Prediction:
            rng = stream(seed)
            return predict_cells(flow, snapshots, at, n_obs=n, rng=rng, source=source, **noise)

        with naming_cells(adata.obs_names):
            cells = predicted(fitted.flow)
            sure = spread_of(fitted.flow, lambda flow: predicted(flow).side_by_side)
        return _part(fitted, observed, at, cells, source, sure)

    parts = [part(float(at)) for at in times]
    about |= {"stochastic": stochastic, "random_state": seed}
    later = moved_cells(
        adata, fitted, asked, parts, about, several=several, cluster_key=cluster_key
    )
    observed.warn(times, grown(parts))
    return later


def _n_moved(snapshots: Snapshots, at: float, source: Side) -> int:
    """Number of cells that a prediction starts from."""
    return sum(len(cells) for cells, _ in sources(snapshots, at, source))


def _part(
    fitted: Fitted,
    observed: Observed,
    at: float,
    cells: Prediction,
    source: Side,
    sure: Spread | None,
) -> Part:
    """The predicted cells of one time."""
    about = {"time": at, "source": cells.sides if isinstance(source, str) else float(source)}
    return Part(
        np.full(len(cells.x), at),
        cells.x,
        {"weight": cells.weight},
        about | about_extrapolation(observed, at, cells.x, fitted.x),
        rows=cells.origin,
        features=cells.context,
        sure=sure,
    )


def _cells_to_move(fitted: Fitted, condition: Condition | None) -> tuple[Snapshots, dict[str, Any]]:
    """The snapshots that a prediction starts from, and what its record says of the condition."""
    snapshots = fitted.cells.snapshots()
    if condition is None:
        return snapshots, {}
    features = fitted.asked(condition)
    snapshots, measured = of_condition(snapshots, features)
    return snapshots, {"condition": fitted.values(features), "condition_measured": measured}
