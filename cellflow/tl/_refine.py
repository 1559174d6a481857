"""Predicted or perturbed populations, pulled back to where cells live at their time."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.decoding import asked_genes
from cellflow.adapter.fitted import Fitted, read_fitted
from cellflow.adapter.keys import DEFAULT
from cellflow.adapter.moved import cells_of_fit
from cellflow.adapter.positions import read_positions
from cellflow.adapter.read import require_anndata
from cellflow.adapter.selection import Selection
from cellflow.adapter.times import Time
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
    random_state: RandomState = 0,
    key: str = DEFAULT,
) -> AnnData:
    """Pull a predicted or perturbed population back to where cells live at its time, along the score.

    How much noise the population carries is estimated by its distance from the cells that live at
    that time, measured ones or, between snapshots, what the flow makes of these; a population that
    lies on the data is left alone. The noise is taken away along the probability flow of the
    ladder, so that every cell keeps its identity. Whether this helps is measured on cells that the
    model has not seen, and where it does not, the states come back as they were.

    Parameters
    ----------
    adata
        With a fit that has a score (`score=True`, or `method="sf2m"`).
    predicted
        Cells in the same representation: what `cf.tl.predict` or `cf.tl.push` returned, or any
        others.
    time
        Of the population; by default the one that `predicted.uns["cf_prediction"]` holds.
    against
        Real cells of that time, in the same representation, that took no part in the fit; the
        populations before and after are compared with these.
    check
        Without `against`, leave out the inner snapshot nearest in time, fit again, and see whether
        refinement brings its prediction nearer, made as noisy as the population was found to be.
        Takes as long as a fit. With False, or with two snapshots only, nothing is measured.
    genes
        Genes to decode: names, positions or a mask, returned in their order; all by default, none
        with `[]`.
    random_state
        Seed of the second fit and of the classifier.
    key
        Where the fit is.

    Returns
    -------
    A new AnnData with the cells of `predicted` in their order: expression decoded to genes in `X`, how well each can be
    decoded in `var` (`cf_gene_r2` and `velocity_genes`, see `cf.tl.velocity`), states in `obsm`, `obs` as it was, and
    `uns["cf_refinement"]` with the `noise` found (model coordinates), whether states were `refined`, and where it was measured
    `w1_before`, `w1_after`, `c2st_before`, `c2st_after` and the time `judged_at`.

    Raises
    ------
    InputError
        No fit, a fit without a score or with conditions, no time, a time outside the observed ones,
        or another representation.

    References
    ----------
    Song et al., Score-based generative modeling through stochastic differential equations, ICLR 2021.
    """
    check_arguments(refine, locals())
    from cellflow.analysis.refinement import noise_carried
    from cellflow.analysis.refinement import refine as refined

    fitted = read_fitted(adata, key)
    seed = as_seed(random_state)
    if fitted.cells.conditions is not None:
        msg = (
            f"The fit in adata.uns[{key!r}] was made with the conditions"
            f" {fitted.cells.conditions.names}, and a population of several cannot be refined by"
            " one score. Expected a fit without: fit the cells of one condition by themselves."
        )
        raise InputError(msg)
    asked = asked_genes(adata, fitted.flow.decoder, genes, key)
    x = _states(fitted, predicted, "predicted")
    at = _time(fitted, predicted, time)
    asked.require_room(len(x))
    real = None if against is None else Population(_states(fitted, against, "against"), at)
    snapshots = fitted.cells.snapshots()
    noise = noise_carried(fitted.flow, x, at, snapshots)
    with naming_cells(predicted.obs_names):
        moved = refined(fitted.flow, x, at, noise=noise)
    weight = (
        predicted.obs["weight"].to_numpy(dtype=np.float64) if "weight" in predicted.obs else None
    )
    if real is not None:
        from cellflow.evaluation.refinement import score_refinement

        judged: RefinementScore | None = score_refinement(
            real, x, moved, noise=noise, weight=weight, seed=seed
        )
    else:
        judged = _held_out(fitted, at, noise, seed) if check else None
    helps = judged is None or judged.helps
    provenance: dict[str, Any] = {
        "time": at,
        "noise": noise,
        "refined": bool(noise > 0 and helps),
        "random_state": seed,
    }
    if judged is not None:
        scores = asdict(judged)
        provenance |= {
            "judged_at": scores.pop("time"),
            "judged_noise": scores.pop("noise"),
            **scores,
        }
        logger.info(
            "refinement judged at time %g: W1 %.4g -> %.4g, classifier %.3f -> %.3f%s",
            judged.time, judged.w1_before, judged.w1_after, judged.c2st_before, judged.c2st_after,
            "" if helps else "; it does not help and is left out",
        )  # fmt: skip
    before = {
        str(name): dict(value)
        for name, value in predicted.uns.items()
        if name == fitted.keys.own("prediction")
    }
    return cells_of_fit(
        adata,
        fitted,
        asked,
        moved if helps else x,
        predicted.obs.copy(),
        before | {fitted.keys.own("refinement"): provenance},
    )


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


def _held_out(fitted: Fitted, at: float, noise: float, seed: int) -> RefinementScore | None:
    """Whether taking as much noise away helps the prediction of the nearest inner snapshot, held out of a second fit."""
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
