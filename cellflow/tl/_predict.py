"""The population at any time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cellflow._numbers import as_number
from cellflow._random import as_seed, stream
from cellflow._typing import RandomState
from cellflow.adapter.fitted import read_fitted
from cellflow.adapter.keys import DEFAULT
from cellflow.adapter.moved import moved_cells
from cellflow.tl._times import outside, warn_outside

if TYPE_CHECKING:
    from anndata import AnnData

    from cellflow.analysis.prediction import Source
    from cellflow.conditions import Condition

__all__ = ["predict"]


def predict(
    adata: AnnData,
    *,
    time: float,
    condition: Condition | None = None,
    n_obs: int | None = None,
    source: Source = "both",
    stochastic: bool = False,
    random_state: RandomState = 0,
    key: str = DEFAULT,
) -> AnnData:
    """Predict the population at a time, measured or not.

    Parameters
    ----------
    adata
        With a fit.
    time
        In the unit of the fit. At a snapshot's own time the prediction is made from its neighbours; beyond the observed times
        it is an extrapolation, which is allowed and said.
    condition
        Of a fit with conditions: a value for each column of `condition_key`, as a mapping, or alone where there is one column.
        Cells of that condition are moved. If the fit saw no cell of this combination, all cells of the sources are, as if they
        were of it, which the log and `uns` say. By default every cell is moved in its own condition.
    n_obs
        Cells to draw, in proportion to their weights; by default every cell of the sources comes back once, with its weight.
    source
        `"both"` moves the snapshot before forward and the one after backward, weighted by closeness in time; or `"earlier"`,
        `"later"`, or the time of a snapshot.
    stochastic
        Move cells by the diffusion with the same marginals instead of the flow; needs a fit with a score.
    random_state
        Seed of the draw and of the diffusion.
    key
        Where the fit is.

    Returns
    -------
    A new AnnData: expression decoded to genes in `X`, states in `obsm` under the name of the representation,
    `obs["weight", "source_cell", "source_time"]`, and `uns["cf_prediction"]` with the time, the source, the seed, and whether
    it is `extrapolated`; with a `condition`, its values and whether cells of it were measured (`condition_measured`).

    Raises
    ------
    InputError
        No fit, no such source, a condition that the fit does not know, a time that is no number, or a result above 2 GB.
    IntegrationError
        A state that stops being finite.

    Warns
    -----
    IntegrationWarning
        A time outside the observed ones.
    """
    from cellflow.analysis.prediction import of_condition
    from cellflow.analysis.prediction import predict as predicted

    at = as_number("time", time, remedy=" in the unit of the fit")
    fitted, seed = read_fitted(adata, key), as_seed(random_state)
    snapshots, about = fitted.cells.snapshots(), {}
    if condition is not None:
        features = fitted.asked(condition)
        snapshots, measured = of_condition(snapshots, features)
        about = {"condition": fitted.values(features), "condition_measured": measured}
    cells = predicted(
        fitted.flow,
        snapshots,
        at,
        n_obs=n_obs,
        rng=stream(seed),
        source=source,
        seed=seed if stochastic else None,
        keys=fitted.noise_keys,
    )
    provenance: dict[str, Any] = about | {
        "time": at,
        "source": source if isinstance(source, str) else float(source),
        "stochastic": stochastic,
        "random_state": seed,
        "extrapolated": bool(len(outside(fitted, at))),
    }
    later = moved_cells(adata, fitted, cells.x, cells.origin, {"weight": cells.weight}, provenance)
    warn_outside(fitted, at)
    return later
