"""Which method, how many dimensions, how wide: chosen on the cells themselves, by inner hold-outs only."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cellflow.adapter.keys import Keys, require_free
from cellflow.adapter.read import read
from cellflow.adapter.reading import Reading
from cellflow.adapter.store import plain
from cellflow.adapter.write import write
from cellflow.core._arguments import check_arguments
from cellflow.core._random import as_seed
from cellflow.core._settings import guarded
from cellflow.core._typing import RandomState
from cellflow.core._version import __version__
from cellflow.core.frame import Scale

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from cellflow.model.recipes import Recipe

__all__ = ["tune"]

logger = logging.getLogger("cellflow")


@guarded
def tune(
    adata: AnnData,
    time_key: str,
    *,
    use_rep: str = "X_pca",
    n_dims: int | Sequence[int] | None = None,
    methods: str | Recipe | Sequence[str | Recipe] | None = None,
    smoothing: float | Sequence[float] | None = None,
    sigma: float | Sequence[float] | None = None,
    budget: str | float = "10min",
    weight_key: str | None = None,
    force_rep: bool = False,
    scale: Scale = "joint",
    random_state: RandomState = 0,
    n_jobs: int | None = None,
    key_added: str = "cf_tune",
    overwrite: bool = False,
    progress: bool | None = None,
    copy: bool = False,
) -> pd.DataFrame:
    """Choose the method, the number of dimensions and the width of paths that predict inner snapshots best.

    Every inner snapshot is held out in turn, fitted around and predicted; nothing else decides.
    Hold a snapshot out of `adata` first, if the choice itself is to be judged on it. How candidates
    are scored, and compared across dimensions, is told at `cellflow.evaluation.selection.select`.

    Parameters
    ----------
    adata, time_key, use_rep, weight_key, force_rep
        As for `cf.tl.flow`. The representation stays as it is.
    n_dims
        Numbers of leading dimensions to choose from; all of them, if None.
    methods
        Names of recipes, or `cellflow.recipes.Recipe`s; `cellflow.evaluation.candidates.METHODS`, if
        None.
    smoothing, sigma
        Widths of paths to choose from, in model coordinates: of recipes with paths of constant
        width, and of bridges. The recipes' own, if None.
    budget
        Wall-clock time: `"10min"`, `"90s"`, or seconds. Candidates are tried in their order, and
        what was begun is finished.
    scale
        Of the model's frame.
    random_state
        Of the fits.
    n_jobs
        Inner times at once, as joblib counts; see `cf.bench.holdout`.
    key_added
        Where in `adata.uns` the result goes.
    overwrite
        Replace what somebody else wrote there.
    progress
        A progress bar; None shows it only to somebody who is watching.
    copy
        Leave `adata` alone; the table comes back all the same.

    Returns
    -------
    One row per candidate and round of training, in the order of the trials: `method`, `n_dims`, `smoothing` and `sigma` (where
    they were set), `steps`, `w1_ratio`, `energy_ratio`, their geometric mean `score` (below 1 is better than no model),
    `seconds`, `best` (the one that was chosen), `note` (why there is no score). `attrs["recipe"]` is the choice as plain
    values: `cf.tl.flow(..., method=cf.recipes.from_description(table.attrs["recipe"]), n_dims=table.attrs["n_dims"])`.

    Written is `uns["cf_tune"]`: this `table`, the `recipe` as JSON, and `params`.

    Raises
    ------
    InputError
        Fewer than three snapshots, and anything about the data or an argument that is not usable;
        nothing is written then.
    """
    check_arguments(tune, locals())
    from cellflow.evaluation.candidates import as_seconds, candidates
    from cellflow.evaluation.selection import curve, select
    from cellflow.model.recipes import describe

    keys = Keys(key_added)
    seconds = as_seconds(budget)
    seed = as_seed(random_state)
    choices = candidates(methods, n_dims=n_dims, smoothing=smoothing, sigma=sigma)
    widest = max((c.n_dims for c in choices if c.n_dims is not None), default=None)
    reading = Reading(
        time_key,
        use_rep=use_rep,
        n_dims=widest,
        weight_key=weight_key,
        force_rep=force_rep,
    )
    cells = read(adata, reading)
    require_free(adata, keys, [("uns", keys.uns)], overwrite=overwrite, kind="choice")
    found = select(
        cells.snapshots(),
        choices,
        budget=seconds,
        scale=scale,
        random_state=seed,
        n_jobs=n_jobs,
        progress=progress,
    )
    table = curve(found)
    recipe = describe(found.best.recipe)
    best_dims = cells.x.shape[1] if found.best.n_dims is None else found.best.n_dims
    if not copy:
        params = {
            **cells.reading.params,
            "n_dims": best_dims,
            "compared_in": found.n_dims,
            "times": list(found.times),
            "untried": [c.name for c in found.untried],
            "budget": seconds,
            "scale": scale,
            "random_state": seed,
        }
        record = {
            "cellflow_version": __version__,
            "kind": "choice",
            "table": table.copy(),
            "recipe": json.dumps(recipe),
            "best": found.best.name,
            "params": plain(params),
        }
        write(adata, {"uns": {keys.uns: record}})
    if found.untried:
        logger.info(
            "no time was left for %s; raise budget=", ", ".join(c.name for c in found.untried)
        )
    table.attrs |= {"recipe": recipe, "n_dims": best_dims, "best": found.best.name}
    return table
