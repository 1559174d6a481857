"""Held-out snapshots: predictions of methods and of baselines, compared with the hidden cells."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cellflow.adapter.cells import Cells
from cellflow.adapter.hashes import order_of
from cellflow.adapter.keys import Keys
from cellflow.adapter.places import require_free
from cellflow.adapter.read import read
from cellflow.adapter.reading import Reading
from cellflow.adapter.representation import LEAKY, seen_by
from cellflow.adapter.store import plain
from cellflow.adapter.units import Time
from cellflow.adapter.write import write as write_slots
from cellflow.bench._folds import folds
from cellflow.bench._recipes import COPY, SCALE_OF_RECIPES
from cellflow.core._arguments import check_arguments
from cellflow.core._deprecated import accepts
from cellflow.core._settings import guarded
from cellflow.core._version import __version__

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from cellflow.evaluation import HeldOut, Predictor
    from cellflow.model.recipes import Recipe

__all__ = ["holdout"]

logger = logging.getLogger("cellflow")


@guarded
@accepts(copy=COPY, scale=SCALE_OF_RECIPES)
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
    baselines: str | Sequence[str] | None = None,
    metrics: str | Sequence[str] | None = None,
    leak_free: bool = True,
    layer: str | None = None,
    weight_key: str | None = None,
    mass_key: str | None = None,
    growth: str | Sequence[str] = "none",
    growth_key: str | None = None,
    sample_key: str | None = None,
    align_samples: bool = True,
    lineage_key: str | None = None,
    cluster_key: str | None = None,
    force_rep: bool = False,
    n_splits: int = 3,
    n_jobs: int | None = None,
    cache: str | os.PathLike[str] | None = None,
    key_added: str = "cf_holdout",
    overwrite: bool = False,
    progress: bool | None = None,
    write: bool = True,
) -> pd.DataFrame:
    """Hide every inner snapshot in turn, let each method predict it, and compare with its cells.

    Beside each method stand baselines without a model: the snapshot before, the one after, their
    mixture by closeness in time, interpolation along exact optimal transport, interpolation between
    random pairs. The noise floor, one half of the hidden cells against the other half, is the least
    distance to be expected.

    Parameters
    ----------
    adata, time_key, use_rep, n_dims, weight_key, mass_key, growth_key, force_rep
        As for `cf.tl.flow`. Cells without a time take no part.
    methods
        Names of recipes, `cellflow.recipes.Recipe`s, or anything with a `name` that is called as
        `(rest, time, *, random_state)` with `cellflow.Snapshots` and returns a
        `cellflow.Population` by protocol. The default method alone, if None.
    growth
        What recipes assume about growth, see `cf.tl.flow`, or several values: every recipe is
        tried with each. `"auto"` and `"learn"` choose anew without each hidden snapshot.
    times
        Which of the inner times to hide, as numbers in the unit of the column or as labels; all by
        default.
    seeds
        Of the fits. Baselines are scored once.
    protocols
        `"P1"`: the real cells of the last snapshot before are pushed, as in the published tables.
        `"P2"`: the cells of the first snapshot are simulated. `"two-sided"`: the neighbours before
        and after together, weighted by closeness in time, which is what `cf.tl.predict` does.
    baselines
        Rows without a model, some of `cellflow.evaluation.BASELINES`; all by default. The skill and
        the verdict need `"OT interpolation"`. The noise floor is always there.
    metrics
        What is measured at full size, some of `cellflow.evaluation.METRICS`; all by default. W1
        between thousands of cells takes most of the time.
    leak_free
        Make the PCA again for every hidden snapshot, from the other cells only, and project the
        hidden cells. The representation has to be a PCA of the expression of these cells; it is
        compared with the PCA of all cells, by its values. For any other representation (corrected
        for batches, learned, of other cells) a warning says why it cannot be made again, and
        snapshots are held out in the coordinates as they are. False takes `use_rep` as it is, as
        the literature does. In both cases the verdict says that the coordinates have seen the
        hidden cells.
    layer
        Expression for that: by default the layer that scanpy recorded, else `adata.X`. Counts are
        normalised, logged and reduced to variable genes on the way; other values are taken as they
        are.
    sample_key
        Column of `adata.obs` with the sample (an animal, a dish, a donor) of each cell. Where a
        hidden time has at least two samples of 10 cells, its halves are made of whole samples: the
        noise floor contains the difference between replicates, and the intervals of `skill`, of the
        verdict and of the composition are by sample. At a time with one sample they are by cell, as
        without samples. The column `halves` and the verdict say which.
    align_samples
        Remove offsets of samples as `cf.tl.flow` does. They are estimated without the hidden cells,
        which lose the offsets of samples that are at other times too.
    lineage_key
        Barcodes, see `cf.tl.flow`. Every recipe is tried without and with those of other times.
    cluster_key
        Column of `adata.obs` with cell types. The verdict then counts them, too: every predicted
        cell takes the type that most of the 15 hidden cells nearest to it have, and the shares of
        types are compared with those of the hidden cells.
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
        Replace what another program wrote there.
    progress
        Whether to show a progress bar; None shows it on a terminal or in a notebook only.
    write
        Whether the result is written to `adata`. The table is returned in any case.

    Returns
    -------
    One row per time, method, protocol and seed, and in `attrs["verdict"]` a line for each method,
    which is also logged: whether it is better than interpolation without a model. The verdict
    judges the protocol of `cf.tl.predict` (`"two-sided"`), with P1 beside it. A method is better
    where W1 and the energy distance are both smaller beyond chance (95 % intervals of the
    differences on the same halves of the hidden cells) and neither the variance nor the shares of
    cell types are farther from the truth; where measures contradict each other, the line says so.
    Columns:

    - `time`, `method`, `protocol`, `seed`, `kind` (`"model"`, `"baseline"` or `"floor"`);
    - at full size: `w1` with its interval `w1_low` to `w1_high`, `w2`, `energy`, `mmd`,
      `sliced_w1`, `variance_ratio` (predicted over observed), `mean_error`, `c2st` (0.5 where a
      classifier cannot tell them apart), of `n_predicted` against `n_observed` cells, except that
      `mmd`, `sliced_w1` and `c2st` are of at most 2,000 cells a side, drawn by weight;
    - at one size `n_half` for all rows, since distances depend on it: `w1_half`, `energy_half`, and
      `skill = (OT interpolation - this) / (OT interpolation - noise floor)` with its interval
      `skill_low` to `skill_high`; `halves`, what the halves are made of: `"cells"`, or as
      `"3 samples"`;
    - `composition_error`, with `cluster_key` only: the share of the predicted cells in a wrong type
      (of the first seed);
    - `seconds` to predict, `representation` (whether it has seen the hidden cells), `note` (why
      something is missing).

    Written is `uns["cf_holdout"]`, a dict:

    - `table`: the table; `verdict`: str; `comparisons`: a table, what the verdict is made of;
    - `params`: dict of what the call was given; `kind`, `cellflow_version`: str;
    - `clouds`: by time and name, at most 2,000 cells of every population for pictures: `x`
      float32 `(n, d)`, `weight` float64 `(n,)`, and of measured cells `rows` int64 `(n,)`, their
      rows in `adata`;
    - `order`: str, a hash of the cells' names, by which `cf.bench.report` checks the rows.

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

    References
    ----------
    Tong et al., TrajectoryNet, ICML 2020 (leaving one snapshot out); Lopez-Paz and Oquab,
    Revisiting classifier two-sample tests, ICLR 2017 (`c2st`).

    Examples
    --------
    >>> table = cf.bench.holdout(adata, "hours", methods="ot-cfm", times=24)
    >>> verdict = table.attrs["verdict"]
    """
    check_arguments(holdout, locals())
    from cellflow.adapter.columns import read_labels
    from cellflow.evaluation import BASELINES, hold_out
    from cellflow.evaluation.growing import grown, informed
    from cellflow.model.recipes import DEFAULT

    reading = Reading(
        time_key, use_rep=use_rep, n_dims=n_dims, weight_key=weight_key, mass_key=mass_key,
        growth_key=growth_key, sample_key=sample_key, lineage_key=lineage_key,
        force_rep=force_rep, layer=layer,
    )  # fmt: skip
    cells = read(adata, reading, apart=[cluster_key] if cluster_key else [])
    keys = Keys(key_added)
    if cluster_key is not None:
        read_labels(adata, cluster_key)
    if write:
        require_free(adata, keys, [("uns", keys.uns)], overwrite=overwrite, kind="benchmark")
    found = hold_out(
        folds(adata, cells, times, leak_free=leak_free, align=align_samples),
        methods=grown(informed(DEFAULT if methods is None else methods, lineage_key), growth),
        seeds=seeds,
        protocols=protocols,
        baselines=BASELINES if baselines is None else baselines,
        metrics=metrics,
        n_splits=n_splits,
        n_jobs=n_jobs,
        cache=cache,
        progress=progress,
    )
    settings = {"leak_free": leak_free, "cluster_key": cluster_key, "align_samples": align_samples}
    record = _record(adata, cells, found, settings | {"n_splits": n_splits})
    if write:
        write_slots(adata, {"uns": {keys.uns: record}})
    return _table(record)


def _table(record: Mapping[str, Any]) -> pd.DataFrame:
    """The table of a record with its verdict, which is also logged."""
    logger.info(record["verdict"])
    table: pd.DataFrame = record["table"].copy()
    table.attrs["verdict"] = record["verdict"]
    return table


def _record(
    adata: AnnData, cells: Cells, found: HeldOut, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """What is written: the table, the verdict, and what both were made with and of."""
    from cellflow.report.judging import judged

    params = {
        **cells.reading.params,
        "time_unit": cells.unit,
        "times": list(dict.fromkeys(row.time for row in found.rows)),
        "methods": list(dict.fromkeys(row.method for row in found.rows if row.kind == "model")),
        "seeds": sorted({row.seed for row in found.rows if row.seed is not None}),
        "protocols": list(dict.fromkeys(row.protocol for row in found.rows if row.protocol)),
        **settings,
    }
    table, comparisons, verdict = judged(adata, found, params, settings["cluster_key"])
    if LEAKY in set(table["representation"]):
        verdict = f"{verdict}\n{seen_by(cells.use_rep)}"
    if cells.sample is not None and not any(row.n_samples for row in found.rows):
        verdict = (
            f"{verdict}\nIntervals and the noise floor are by cell: no held-out time has two"
            " samples."
        )
    clouds = {
        time: {name: dict(cloud) for name, cloud in named.items()}
        for time, named in found.clouds.items()
    }
    return {
        "cellflow_version": __version__,
        "kind": "benchmark",
        "table": table,
        "params": plain(params),
        "verdict": verdict,
        "comparisons": comparisons,
        "clouds": clouds,
        "order": order_of(adata.obs_names.to_numpy()),
    }
