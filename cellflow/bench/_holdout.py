"""Is the model any good on these cells? Snapshots that it has not seen, beside baselines."""

from __future__ import annotations

import datetime as dt
import logging
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.fingerprint import order_of
from cellflow.adapter.keys import Keys, require_free
from cellflow.adapter.read import Cells, read
from cellflow.adapter.reading import Reading
from cellflow.adapter.representation import LEAKY, refit_of, seen_by
from cellflow.adapter.store import plain
from cellflow.adapter.times import Time
from cellflow.adapter.write import write
from cellflow.core._arguments import check_arguments
from cellflow.core._settings import guarded
from cellflow.core._typing import FloatArray
from cellflow.core._version import __version__
from cellflow.core._warn import warn
from cellflow.core.frame import Scale
from cellflow.errors import InputWarning

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from cellflow.core.population import Snapshots
    from cellflow.evaluation import Fold, Predictor
    from cellflow.model.recipes import Recipe

__all__ = ["holdout"]

logger = logging.getLogger("cellflow")


@guarded
def holdout(
    adata: AnnData,
    time_key: str,
    *,
    use_rep: str = "X_pca",
    n_dims: int | None = None,
    methods: str | Recipe | Predictor | Sequence[str | Recipe | Predictor] | None = None,
    times: Time | Sequence[Time] | None = None,
    seeds: int | Sequence[int] = (0,),
    protocols: str | Sequence[str] = ("P1", "P2", "two-sided"),
    metrics: str | Sequence[str] | None = None,
    leak_free: bool = True,
    layer: str | None = None,
    weight_key: str | None = None,
    cluster_key: str | None = None,
    force_rep: bool = False,
    scale: Scale = "joint",
    n_splits: int = 3,
    n_jobs: int | None = None,
    cache: str | os.PathLike[str] | None = None,
    key_added: str = "cf_holdout",
    overwrite: bool = False,
    progress: bool | None = None,
    copy: bool = False,
) -> pd.DataFrame:
    """Hide every inner snapshot in turn, let each method predict it, and compare with its cells.

    Beside each method stand what it has to beat (the snapshot before, the one after, their mixture
    by closeness in time, interpolation along exact optimal transport without a model, interpolation
    between random pairs), and what nobody can: the noise floor, one half of the hidden cells
    against the other.

    Parameters
    ----------
    adata, time_key, use_rep, n_dims, weight_key, force_rep
        As for `cf.tl.flow`. Cells without a time take no part.
    methods
        Names of recipes, `cellflow.recipes.Recipe`s, or anything with a `name` that is called as
        `(rest, time, *, random_state)` with `cellflow.Snapshots` and returns a
        `cellflow.Population` by protocol. The default method alone, if None.
    times
        Which of the inner times to hide, as numbers in the unit of the column or as labels; all by
        default.
    seeds
        Of the fits. Baselines are scored once.
    protocols
        `"P1"`: the real cells of the last snapshot before are pushed, as in the published tables.
        `"P2"`: the cells of the first snapshot are rolled out. `"two-sided"`: the neighbours before
        and after together, weighted by closeness in time, which is what `cf.tl.predict` does.
    metrics
        What is measured at full size, some of `cellflow.evaluation.METRICS`; all by default. W1
        between thousands of cells is what takes the time.
    leak_free
        Make the PCA again for every hidden snapshot, from the other cells only, and project the
        hidden cells. That needs a representation that is a PCA of the expression of these cells,
        which its values tell, not its name: the PCA of all cells is compared with it. For any other
        representation (corrected for batches, learned, of other cells) it is impossible: a warning
        says why, and snapshots are held out in the coordinates as they are. False takes `use_rep`
        as it is, the literature's way. In both cases the verdict says that the coordinates have
        seen the hidden cells.
    layer
        Expression for that: by default the layer that scanpy recorded, else `adata.X`. Counts are
        normalised, logged and reduced to variable genes on the way; other values are taken as they
        are.
    cluster_key
        Column of `adata.obs` with cell types. The verdict then counts them, too: every predicted
        cell takes the type that most of the 15 hidden cells nearest to it have, and the shares of
        types are compared with those of the hidden cells.
    scale
        Of the model's frame; distances are in the coordinates of the representation whatever it is.
    n_splits
        Random halvings of the hidden cells that everything at the half size is averaged over.
    n_jobs
        Tasks at once, as joblib counts. None takes number and backend from a surrounding
        `joblib.parallel_config`, else 1.
    cache
        A folder for the results of finished tasks, so that an interrupted run can be resumed.
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
    One row per time, method, protocol and seed, with `attrs["verdict"]`, a line for each method that says whether it is
    better than interpolation without a model, which is also logged. It judges what `cf.tl.predict` does (`"two-sided"`), with
    P1 beside it, and a method is better where W1 and the energy distance are both smaller beyond chance (95 % intervals of the
    differences on the same halves of the hidden cells) and neither the variance nor the shares of cell types are farther from
    the truth; where measures contradict each other, the line says so. Columns:

    - `time`, `method`, `protocol`, `seed`, `kind` (`"model"`, `"baseline"` or `"floor"`);
    - at full size: `w1` with its interval `w1_low` to `w1_high`, `w2`, `energy`, `mmd`,
      `sliced_w1`, `variance_ratio` (predicted over observed), `mean_error`, `c2st` (0.5 where
      nobody can tell), of `n_predicted` against `n_observed` cells, except that `mmd`, `sliced_w1`
      and `c2st` are of at most 2,000 cells a side, drawn by weight;
    - at one size `n_half` for all rows, since distances depend on it: `w1_half`, `energy_half`, and
      `skill = (OT interpolation - this) / (OT interpolation - noise floor)` with its interval
      `skill_low` to `skill_high`;
    - `composition_error`, with `cluster_key` only: the share of the predicted cells in a wrong type
      (of the first seed);
    - `seconds` to predict, `representation` (whether it has seen the hidden cells), `note` (why
      something is missing).

    Written is `uns["cf_holdout"]`: this `table`, the `verdict`, the `comparisons` that it is made
    of, `params`, and `clouds`: by time and name, at most 2,000 cells of every population, for
    pictures, and of measured ones their rows in `adata`; `order` is a hash of the cells' names, by
    which `cf.bench.report` tells that rows are still theirs.

    Raises
    ------
    InputError
        Anything about the data or an argument that is not usable; two snapshots only; a time that
        is not an inner one. Nothing is written then. A fit that fails is a row without numbers.
    OutputError
        A cache that cannot be written.

    Warns
    -----
    InputWarning
        The representation cannot be made again, so that it has seen the hidden cells; and what
        `cf.pp.check` lists.
    """
    check_arguments(holdout, locals())
    from cellflow.adapter.labels import read_labels
    from cellflow.evaluation import hold_out
    from cellflow.evaluation.folds import inner_times
    from cellflow.report.judging import judged

    keys = Keys(key_added)
    reading = Reading(
        time_key,
        use_rep=use_rep,
        n_dims=n_dims,
        weight_key=weight_key,
        force_rep=force_rep,
        layer=layer,
    )
    cells = read(adata, reading)
    if cluster_key is not None:
        read_labels(adata, cluster_key)
    require_free(adata, keys, [("uns", keys.uns)], overwrite=overwrite, kind="benchmark")
    hidden = inner_times(cells.snapshots(), _as_numbers(cells, times))
    folds = _folds(adata, cells, hidden, leak_free=leak_free)
    found = hold_out(
        folds,
        methods=methods,
        seeds=seeds,
        protocols=protocols,
        metrics=metrics,
        n_splits=n_splits,
        scale=scale,
        n_jobs=n_jobs,
        cache=cache,
        progress=progress,
    )
    params = {
        **cells.reading.params,
        "time_unit": cells.unit,
        "methods": list(dict.fromkeys(row.method for row in found.rows if row.kind == "model")),
        "times": hidden,
        "seeds": sorted({row.seed for row in found.rows if row.seed is not None}),
        "protocols": list(dict.fromkeys(row.protocol for row in found.rows if row.protocol)),
        "leak_free": bool(leak_free),
        "cluster_key": cluster_key,
        "scale": scale,
        "n_splits": n_splits,
    }
    table, comparisons, verdict = judged(adata, found, params, cluster_key)
    if LEAKY in set(table["representation"]):
        verdict = f"{verdict}\n{seen_by(cells.use_rep)}"
    if not copy:
        record = {
            "cellflow_version": __version__,
            "kind": "benchmark",
            "table": table.copy(),
            "params": plain(params),
            "verdict": verdict,
            "comparisons": comparisons,
            "clouds": _plain_clouds(found.clouds),
            "order": order_of(adata.obs_names.to_numpy()),
        }
        write(adata, {"uns": {keys.uns: record}})
    logger.info(verdict)
    table.attrs["verdict"] = verdict
    return table


def _as_numbers(cells: Cells, times: object) -> object:
    """Labels of times, one or several, as numbers in the unit of the column; others as they are."""
    if isinstance(times, str | dt.timedelta | np.timedelta64):
        return cells.time_unit.number("times", times)
    if isinstance(times, Sequence | np.ndarray):
        return [
            cells.time_unit.number("times", time) if isinstance(time, str | dt.timedelta) else time
            for time in times
        ]
    return times


def _folds(adata: AnnData, cells: Cells, times: Sequence[float], *, leak_free: bool) -> list[Fold]:
    """What to hold out, each in the coordinates that it is judged in."""
    from cellflow.evaluation import Fold

    snapshots = cells.snapshots()
    if cells.use_rep == "X":
        return [Fold(snapshots, t, "X: nothing is fitted") for t in times]
    if not leak_free:
        return [Fold(snapshots, t, LEAKY) for t in times]
    refit, reason = refit_of(
        adata, use_rep=cells.use_rep, n_dims=cells.x.shape[1], layer=cells.reading.layer
    )
    if refit is None:
        msg = (
            f"leak_free=True, but {reason}. Snapshots are held out in these coordinates as they"
            " are, which have seen the held-out cells, so that distances are no test of what is"
            " new. Pass leak_free=False to say so yourself, layer= with the expression that the"
            " PCA was made of, or a PCA of the expression as use_rep=."
        )
        warn(msg, InputWarning)
        return [Fold(snapshots, t, LEAKY) for t in times]
    made = []
    for t in times:
        positions = refit.coordinates(np.flatnonzero(cells.timed & (cells.time != t)))
        made.append(Fold(_moved(snapshots, positions), t, refit.label))
    return made


def _moved(snapshots: Snapshots, positions: FloatArray) -> Snapshots:
    return snapshots.moved([positions[p.index] for p in snapshots.populations])


def _plain_clouds(clouds: Mapping[str, Mapping[str, Mapping[str, FloatArray]]]) -> dict[str, Any]:
    return {
        time: {name: dict(cloud) for name, cloud in named.items()} for time, named in clouds.items()
    }
