"""Choose method, dimensions and widths of paths by hold-outs of the inner snapshots."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cellflow.adapter.cells import Cells
from cellflow.adapter.keys import Keys
from cellflow.adapter.places import require_free
from cellflow.adapter.read import read
from cellflow.adapter.reading import Reading
from cellflow.adapter.store import plain
from cellflow.adapter.write import write as write_slots
from cellflow.bench._recipes import COPY, SCALE_OF_TUNED
from cellflow.core._arguments import check_arguments
from cellflow.core._deprecated import accepts
from cellflow.core._random import as_seed
from cellflow.core._settings import guarded
from cellflow.core._typing import RandomState
from cellflow.core._version import __version__

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from cellflow.evaluation.selection import Selection
    from cellflow.model.recipes import Recipe

__all__ = ["tune"]

logger = logging.getLogger("cellflow")


@guarded
@accepts(copy=COPY, scale=SCALE_OF_TUNED)
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
    random_state: RandomState = 0,
    n_jobs: int | None = None,
    key_added: str = "cf_tune",
    overwrite: bool = False,
    progress: bool | None = None,
    write: bool = True,
) -> pd.DataFrame:
    """Choose the method, the dimensions and the width of paths that predict inner snapshots best.

    Every inner snapshot is held out in turn, fitted around and predicted; nothing else decides.
    Hold a snapshot out of `adata` first, if the choice itself is to be judged on it. How candidates
    are scored and compared across dimensions is documented at
    `cellflow.evaluation.selection.select`.

    Parameters
    ----------
    adata, time_key, use_rep, weight_key, force_rep
        As for `cf.tl.flow`. The representation stays as it is.
    n_dims
        Numbers of leading dimensions to choose from; all of them, if None.
    methods
        Names of recipes, or `cellflow.recipes.Recipe`s; if None,
        `cellflow.evaluation.candidates.METHODS`.
    smoothing, sigma
        Widths of paths to choose from, in model coordinates: of recipes with paths of constant
        width, and of bridges. The recipes' own, if None.
    budget
        Wall-clock time: `"10min"`, `"90s"`, or seconds. Candidates are tried in their order, and
        what was begun is finished.
    random_state
        Of the fits.
    n_jobs
        Inner times at once, as joblib counts; see `cf.bench.holdout`.
    key_added
        Where in `adata.uns` the result goes.
    overwrite
        Replace what another program wrote there.
    progress
        Whether to show a progress bar; None shows it on a terminal or in a notebook only.
    write
        Whether the result is written to `adata`. The table is returned in any case.

    Returns
    -------
    One row per candidate and round of training, in the order of the trials: `method`, `n_dims`,
    `smoothing` and `sigma` (where they were set), `steps`, `w1_ratio`, `energy_ratio`, their
    geometric mean `score` (below 1 is better than no model), `seconds`, `best` (whether it was
    chosen), `note` (why there is no score). `attrs["recipe"]` is the choice as plain values, for
    `cf.recipes.from_description`; `attrs["n_dims"]` and `attrs["best"]` are its number of
    dimensions and its name.

    Written is `uns["cf_tune"]`, a dict: `table`, the table; `recipe`, str, the choice as JSON;
    `best`, str, its name; `params`, dict of what the call was given; `kind` and `cellflow_version`,
    str.

    Raises
    ------
    InputError
        Fewer than three snapshots, and anything about the data or an argument that is not usable;
        nothing is written then.

    Examples
    --------
    >>> table = cf.bench.tune(adata, "hours", methods="ot-cfm", n_dims=[3, 5])
    >>> recipe = cf.recipes.from_description(table.attrs["recipe"])
    """
    check_arguments(tune, locals())
    from cellflow.evaluation.candidates import as_seconds, candidates
    from cellflow.evaluation.selection import select

    keys = Keys(key_added)
    seconds = as_seconds(budget)
    seed = as_seed(random_state)
    choices = candidates(methods, n_dims=n_dims, smoothing=smoothing, sigma=sigma)
    widest = max((c.n_dims for c in choices if c.n_dims is not None), default=None)
    reading = Reading(
        time_key, use_rep=use_rep, n_dims=widest, weight_key=weight_key, force_rep=force_rep
    )
    cells = read(adata, reading)
    if write:
        require_free(adata, keys, [("uns", keys.uns)], overwrite=overwrite, kind="choice")
    found = select(
        cells.snapshots(),
        choices,
        budget=seconds,
        random_state=seed,
        n_jobs=n_jobs,
        progress=progress,
    )
    record = _record(cells, found, {"budget": seconds, "random_state": seed})
    if write:
        write_slots(adata, {"uns": {keys.uns: record}})
    if found.untried:
        untried = ", ".join(candidate.name for candidate in found.untried)
        logger.info("no time was left for %s; raise budget=", untried)
    table: pd.DataFrame = record["table"].copy()
    table.attrs |= {
        "recipe": json.loads(record["recipe"]),
        "n_dims": int(record["params"]["n_dims"]),
        "best": record["best"],
    }
    return table


def _record(cells: Cells, found: Selection, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What is written: the table, the choice, and what both were made with."""
    from cellflow.evaluation.selection import curve
    from cellflow.model.recipes import describe

    n_dims = found.best.n_dims
    params = {
        **cells.reading.params,
        "n_dims": cells.x.shape[1] if n_dims is None else n_dims,
        "compared_in": found.n_dims,
        "times": list(found.times),
        "untried": [candidate.name for candidate in found.untried],
        **settings,
    }
    return {
        "cellflow_version": __version__,
        "kind": "choice",
        "table": curve(found),
        "recipe": json.dumps(describe(found.best.recipe)),
        "best": found.best.name,
        "params": plain(params),
    }
