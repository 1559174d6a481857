"""Predicted or perturbed populations, moved back onto the data by the score."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.decoding import asked_genes
from cellflow.adapter.fitted import Fitted, read_fitted
from cellflow.adapter.fitted_columns import require_labels
from cellflow.adapter.keys import DEFAULT
from cellflow.adapter.moved import Part, cells_of_fit
from cellflow.adapter.positions import read_positions
from cellflow.adapter.read import require_anndata
from cellflow.adapter.selection import Selection
from cellflow.adapter.units import Time
from cellflow.core._arguments import check_arguments
from cellflow.core._numbers import is_number
from cellflow.core._random import as_seed
from cellflow.core._settings import guarded
from cellflow.core._typing import FloatArray, RandomState
from cellflow.core.population import Population
from cellflow.errors import InputError, naming_cells
from cellflow.tl._times import require_inside

if TYPE_CHECKING:
    from anndata import AnnData

    from cellflow.evaluation.refinement import RefinementScore

__all__ = ["refine"]

logger = logging.getLogger("cellflow")


@guarded
def refine(
    adata: AnnData,
    predicted: AnnData,
    *,
    time: Time | None = None,
    against: AnnData | None = None,
    check: bool = True,
    genes: Selection | None = None,
    cluster_key: str | None = None,
    random_state: RandomState = 0,
    key: str = DEFAULT,
) -> AnnData:
    """Move a predicted or perturbed population back onto the data, along the score of its time.

    The noise of the population is estimated by its distance from the cells of that time: measured
    ones or, between snapshots, cells that the flow moves there. A population that lies on the data
    is not moved. The noise is removed along the probability flow of the noise levels, so that every
    cell keeps its identity. Whether this helps is measured on cells that the model has not seen;
    where it does not, the states come back unchanged.

    Parameters
    ----------
    adata
        Cells with a fit that has a score (`score=True`, or `method="sf2m"`); it is not changed.
    predicted
        Cells in the same representation: a result of `cf.tl.predict` or `cf.tl.push`, or any
        others.
    time
        Time of the population; by default that in `predicted.uns["cf_prediction"]`.
    against
        Real cells of that time, in the same representation, that took no part in the fit. The
        populations before and after are compared with them.
    check
        Without `against`: leave out the inner snapshot nearest in time, fit again, add as much
        noise to its prediction as the population has, and measure whether refinement brings it
        nearer. Takes as long as a fit. With False, or with two snapshots, nothing is measured.
    random_state
        Seed of the second fit and of the classifier.
    genes, cluster_key, key
        See `cf.tl.push`.

    Returns
    -------
    A new AnnData with the cells of `predicted` in their order, and with their `obs`. Its fields are

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
    - `uns["cf_refinement"]`: dict. `time`, `random_state`; `noise`, the estimated standard
      deviation in model coordinates; `refined`, whether the states were moved; and where it was
      measured `judged_at`, `judged_noise`, `w1_before`, `w1_after`, `c2st_before`, `c2st_after`;
      `placed` and `gene_r2` as of `cf.tl.predict`; the fit's `key`, `time_unit` and `use_rep`, and
      `cellflow_version`.

    `uns["cf_prediction"]` of `predicted` is kept. Columns that a fit wrote about measured cells,
    such as `cf_time`, are not.

    Raises
    ------
    InputError
        No fit, a fit without a score or with conditions, no time, a time outside the observed ones,
        or another representation.

    References
    ----------
    Song et al., Score-based generative modeling through stochastic differential equations, ICLR
    2021.

    Examples
    --------
    >>> cf.tl.flow(adata, "hours", score=True)
    >>> later = cf.tl.predict(adata, time=36)
    >>> refined = cf.tl.refine(adata, later)
    >>> refined.shape == later.shape
    True
    """
    check_arguments(refine, locals())
    from cellflow.analysis.refinement import noise_carried
    from cellflow.analysis.refinement import refine as refine_cells

    fitted = read_fitted(adata, key)
    seed = as_seed(random_state)
    _require_one_condition(fitted)
    asked = asked_genes(adata, fitted.flow.decoder, genes, key)
    require_labels(adata, fitted, cluster_key)
    x = _states(fitted, predicted, "predicted")
    at = _time(fitted, predicted, time)
    asked.require_room(len(x))
    real = None if against is None else Population(_states(fitted, against, "against"), at)
    noise = noise_carried(fitted.flow, x, at, fitted.cells.snapshots())
    with naming_cells(predicted.obs_names):
        moved = refine_cells(fitted.flow, x, at, noise=noise)
    judged: RefinementScore | None = None
    if real is not None:
        judged = _compared(real, predicted, x, moved, noise, seed)
    elif check:
        judged = _held_out(fitted, at, noise, seed)
    helps = judged is None or judged.helps
    about = {
        "time": at,
        "noise": noise,
        "refined": bool(noise > 0 and helps),
        "random_state": seed,
        **_about_judgement(judged),
    }
    prediction = fitted.keys.own("prediction")
    before = {prediction: dict(predicted.uns[prediction])} if prediction in predicted.uns else {}
    states = moved if helps else x
    part = Part(np.full(len(x), at), states)
    record = (fitted.keys.own("refinement"), about)
    refined = cells_of_fit(adata, fitted, asked, [part], "", record, cluster_key=cluster_key)
    return _beside(predicted, refined, fitted, before)


def _beside(
    predicted: AnnData, refined: AnnData, fitted: Fitted, before: Mapping[str, Any]
) -> AnnData:
    """Refined cells with the names, columns and record of those that they were before.

    Columns that a fit has written about measured cells are left out.
    """
    kept = [name for name in predicted.obs if not fitted.keys.makes("obs", name)]
    fresh = refined.obs.set_axis(predicted.obs_names)
    refined.obs = predicted.obs[kept].assign(**dict(fresh.items()))
    refined.uns |= before
    return refined


def _require_one_condition(fitted: Fitted) -> None:
    if fitted.cells.conditions is not None:
        msg = (
            f"The fit in adata.uns[{fitted.keys.uns!r}] was made with the conditions"
            f" {fitted.cells.conditions.names}, and a population of several cannot be refined by"
            " one score. Expected a fit without conditions: fit the cells of one condition alone."
        )
        raise InputError(msg)


def _states(fitted: Fitted, cells: AnnData, argument: str) -> FloatArray:
    """States of other cells in the representation of the fit."""
    require_anndata(cells)
    use_rep = fitted.cells.use_rep
    if use_rep != "X" and use_rep not in cells.obsm:
        msg = (
            f"{argument}.obsm[{use_rep!r}] is missing, the representation of the fit; found"
            f" {sorted(cells.obsm)}."
        )
        raise InputError(msg)
    return np.asarray(
        read_positions(cells, use_rep=use_rep, n_dims=fitted.flow.n_dims), dtype=np.float64
    )


def _time(fitted: Fitted, predicted: AnnData, time: Time | None) -> float:
    if time is None:
        known = predicted.uns.get(fitted.keys.own("prediction"))
        time = known.get("time") if isinstance(known, Mapping) else None
        if not is_number(time):
            msg = (
                f"time=None, and predicted.uns[{fitted.keys.own('prediction')!r}] does not hold a"
                " time. Pass time=."
            )
            raise InputError(msg)
        time = float(time)
    return require_inside(fitted, time)


def _compared(
    real: Population,
    predicted: AnnData,
    before: FloatArray,
    after: FloatArray,
    noise: float,
    seed: int,
) -> RefinementScore:
    """Both populations against real cells."""
    from cellflow.evaluation.refinement import score_refinement

    weight = None
    if "weight" in predicted.obs:
        weight = predicted.obs["weight"].to_numpy(dtype=np.float64)
    return score_refinement(real, before, after, noise=noise, weight=weight, random_state=seed)


def _held_out(fitted: Fitted, at: float, noise: float, seed: int) -> RefinementScore | None:
    """Whether removing this noise helps the prediction of the nearest inner snapshot.

    The snapshot is left out of a second fit.
    """
    from cellflow.evaluation.refinement import held_out_refinement
    from cellflow.model.recipes import from_description

    inner = fitted.flow.times[1:-1]
    if len(inner) == 0:
        logger.info("refinement is not judged: of two snapshots, none can be held out")
        return None
    try:
        recipe = from_description(fitted.flow.recipe)
    except InputError as cause:
        msg = (
            f"check=True needs a second fit by the same recipe, which cannot be made: {cause} Pass"
            " check=False, or against=."
        )
        raise InputError(msg) from cause
    return held_out_refinement(
        fitted.cells.snapshots(),
        float(inner[np.abs(inner - at).argmin()]),
        noise=noise,
        recipe=recipe,
        scale=str(fitted.params["scale"]),  # type: ignore[arg-type] # as `tl.flow` took it
        random_state=seed,
        threads=fitted.flow.threads,
        progress=False,
    )


def _about_judgement(judged: RefinementScore | None) -> dict[str, Any]:
    """Entries of a record; the judgement is also logged."""
    if judged is None:
        return {}
    logger.info(
        "refinement judged at time %g: W1 %.4g -> %.4g, classifier %.3f -> %.3f%s",
        judged.time,
        judged.w1_before,
        judged.w1_after,
        judged.c2st_before,
        judged.c2st_after,
        "" if judged.helps else "; it does not help and is left out",
    )
    scores = asdict(judged)
    return {"judged_at": scores.pop("time"), "judged_noise": scores.pop("noise"), **scores}
