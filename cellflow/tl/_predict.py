"""The population at any time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cellflow.adapter.decoding import asked_genes
from cellflow.adapter.fitted import read_fitted
from cellflow.adapter.keys import DEFAULT
from cellflow.adapter.moved import cell_bytes, moved_cells
from cellflow.adapter.selection import Selection
from cellflow.adapter.times import Time, is_label
from cellflow.analysis.observed import Observed, growth
from cellflow.core._arguments import check_arguments
from cellflow.core._numbers import as_count
from cellflow.core._random import as_seed, stream
from cellflow.core._settings import guarded
from cellflow.core._typing import RandomState
from cellflow.errors import naming_cells

if TYPE_CHECKING:
    from anndata import AnnData

    from cellflow.analysis.prediction import Source
    from cellflow.core.conditions import Condition

__all__ = ["predict"]

#: What to do about a time that is too far outside.
_REMEDY = "pass extrapolate=True; the descendants of chosen cells are cf.tl.push"


@guarded
def predict(
    adata: AnnData,
    *,
    time: Time,
    condition: Condition | None = None,
    n_obs: int | None = None,
    source: Source = "both",
    stochastic: bool = False,
    extrapolate: bool = False,
    genes: Selection | None = None,
    random_state: RandomState = 0,
    key: str = DEFAULT,
) -> AnnData:
    """Predict the population at a time, measured or not.

    Parameters
    ----------
    adata
        With a fit.
    time
        A number in the unit of the fit, or a label such as `"day 3"` or `"48h"`. At a snapshot's
        own time the prediction is made from its neighbours. Before the first or after the last
        time, of the fit or of the cells in `adata` (of that `condition`), it is an extrapolation;
        see `extrapolate`.
    condition
        Of a fit with conditions: a value for each column of `condition_key`, as a mapping, or alone
        where there is one column. Cells of that condition are moved. If the fit saw no cell of this
        combination, all cells of the sources are, as if they were of it, which the log and `uns`
        say. By default every cell is moved in its own condition.
    n_obs
        Cells to draw, in proportion to their weights; by default every cell of the sources comes
        back once, with its weight.
    source
        `"both"` moves the snapshot before forward and the one after backward, weighted by closeness
        in time; or `"earlier"`, `"later"`, or the time of a snapshot.
    stochastic
        Move cells by the diffusion with the same marginals instead of the flow; needs a fit with a
        score.
    extrapolate
        Answer at any distance outside the observed times. By default at most one mean interval
        between snapshots beyond them: farther out, the fitted field is arbitrary, and the states
        that it reaches grow without bound.
    genes
        Genes to decode: names, positions or a mask, returned in their order; all by default, none
        with `[]`.
    random_state
        Seed of the draw and of the diffusion.
    key
        Where the fit is.

    Returns
    -------
    A new AnnData: expression decoded to genes in `X`, how well each can be decoded in `var` (`cf_gene_r2` and
    `velocity_genes`, see `cf.tl.velocity`), states in `obsm` under the name of the representation,
    `obs["weight", "source_cell", "source_time"]`, and `uns["cf_prediction"]` with the time, the `source` (`"earlier"` or
    `"later"` where only cells of one side were there), the seed, and whether it is `extrapolated`; if so, its `growth`: how
    far its cells are from the mean of those in `adata`, relative to these. With a `condition`, its values and whether cells
    of it were measured (`condition_measured`).

    Raises
    ------
    InputError
        No fit, no such source, a condition that the fit does not know, a time that is no number or
        more than one mean interval outside without `extrapolate`, genes that the fit does not know,
        or a result above 2 GB.
    IntegrationError
        A state that stops being finite.

    Warns
    -----
    IntegrationWarning
        A time outside the observed ones.
    InputWarning
        Genes of `adata` that the fit has not seen.
    """
    check_arguments(predict, locals())
    from cellflow.analysis.prediction import of_condition, sources
    from cellflow.analysis.prediction import predict as predicted

    fitted = read_fitted(adata, key)
    seed = as_seed(random_state)
    at = fitted.time(time)
    source = fitted.time(source, "source") if is_label(source) else source
    n = None if n_obs is None else as_count("n_obs", n_obs, each=cell_bytes(fitted))
    asked = asked_genes(adata, fitted.flow.decoder, genes, key)
    snapshots = fitted.cells.snapshots()
    about = {}
    if condition is not None:
        features = fitted.asked(condition)
        snapshots, measured = of_condition(snapshots, features)
        about = {"condition": fitted.values(features), "condition_measured": measured}
    observed = Observed.by(fitted.flow, snapshots)
    observed.require_reached(at, extrapolate=extrapolate, remedy=_REMEDY)
    asked.require_room(n or sum(len(cells) for cells, _ in sources(snapshots, at, source)))
    with naming_cells(adata.obs_names):
        cells = predicted(
            fitted.flow,
            snapshots,
            at,
            n_obs=n,
            rng=stream(seed),
            source=source,
            seed=seed if stochastic else None,
            keys=fitted.noise_keys,
        )
    extrapolated = len(observed.outside(at)) > 0
    grown = growth(cells.x, fitted.x) if extrapolated else None
    provenance: dict[str, Any] = about | {
        "time": at,
        "source": float(source) if not isinstance(source, str) else cells.sides,
        "stochastic": stochastic,
        "random_state": seed,
        "extrapolated": extrapolated,
        **({} if grown is None else {"growth": grown}),
    }
    later = moved_cells(
        adata, fitted, asked, cells.x, cells.origin, {"weight": cells.weight}, provenance
    )
    observed.warn(at, grown)
    return later
