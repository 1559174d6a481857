"""Fates and couplings judged by held-out clones."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from cellflow.adapter.cells import Cells
from cellflow.adapter.keys import Keys
from cellflow.adapter.places import require_free
from cellflow.adapter.read import read
from cellflow.adapter.reading import Reading
from cellflow.adapter.store import plain
from cellflow.adapter.units import Time
from cellflow.adapter.write import write as write_slots
from cellflow.bench._clones import clonal_cells, known_until, settings_of, warn_of_few
from cellflow.core._arguments import check_arguments
from cellflow.core._random import as_seed
from cellflow.core._settings import guarded
from cellflow.core._typing import RandomState
from cellflow.core._version import __version__

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from cellflow.evaluation.clones.benchmark import ClonalBenchmark
    from cellflow.model.recipes import Recipe

__all__ = ["lineage"]

logger = logging.getLogger("cellflow")


@guarded
def lineage(
    adata: AnnData,
    time_key: str,
    *,
    lineage_key: str,
    cluster_key: str = "cell_type",
    use_rep: str = "X_pca",
    n_dims: int | None = None,
    methods: str | Recipe | Sequence[str | Recipe] | None = None,
    strength: float | Sequence[float] | None = None,
    until: Time | None = None,
    growth: Literal["none", "prior", "learn", "auto"] = "none",
    growth_key: str | None = None,
    fates: Sequence[str] | None = None,
    network: bool = True,
    n_splits: int = 5,
    n_repeats: int = 1,
    n_neighbors: int | None = None,
    n_bootstrap: int = 1000,
    weight_key: str | None = None,
    mass_key: str | None = None,
    force_rep: bool = False,
    random_state: RandomState = 0,
    key_added: str = "cf_lineage",
    overwrite: bool = False,
    progress: bool | None = None,
    write: bool = True,
) -> pd.DataFrame:
    r"""Judge predicted fates and couplings by what became of clones that were not used for them.

    Clones are split into folds. For each fold, couplings are informed by the clones of the other
    folds (see `cf.couplings.Lineage`), and the fates that they predict for the cells of its clones
    are compared with the labels of these clones at the last time. So each clone is hidden once in
    each split, and a clone that was used in a coupling is never scored by it. Clones that share a
    cell are hidden together. Beside each method stand the same method without clones, and
    predictions without any coupling.

    Rows are

    - of each method, without and with the clones of the other folds: `"<method>: plans"`, the
      labels that chained plans reach from a cell, without a network; `"<method>: plans of the
      nearest cells"`, the mean of that over the nearest cells of the same time, by which a cell of
      an unseen clone learns from seen ones; `"<method>: flow"`, where the fitted flow moves the
      cell to, as `cf.tl.fates`;
    - `"nearest labelled cells"`: labels of the cells of the last time that are nearest to the
      cell where it was measured;
    - `"clones of the nearest cells"`: labels that the clones of the nearest cells before the last
      time have at the end, without those of the fold;
    - `"shares of all cells"`: of the last time, for every cell; its label is the most frequent one;
    - `"half of the clone"`: random halves of each clone's labelled cells at the last time against
      the other halves, a ceiling; of clones with at least two such cells only;
    - `"independent pairs"`: a plan that pairs cells by chance, for `precision`.

    Parameters
    ----------
    adata, time_key, use_rep, n_dims, weight_key, mass_key, growth_key, force_rep
        As for `cf.tl.flow`. Cells without a time take no part.
    lineage_key
        Static barcodes: a column of `adata.obs` with one for each cell, missing or empty for none;
        or a key of `adata.obsm` with a matrix of cells by clones, 0 or 1, such as `"X_clone"`.
    cluster_key
        Column of `adata.obs` with labels. Those of the last time are the fates; a missing label is
        none, so that types which are still undecided are best set to missing.
    methods
        Names of recipes, or `cellflow.recipes.Recipe` objects; the default method alone, if None.
    strength
        How far barcodes are trusted, see `couplings.Lineage`; `inf` trusts all. None takes that of
        `Recipe.with_lineage`, or of a method whose coupling is a `Lineage` already. Of several,
        each fold takes the one with the smallest calibrated Brier score on the clones that it sees,
        a third of which is hidden in turn.
    until
        Last time at which barcodes are known to couplings, as a number or a label; all times if
        None. Scores and the baselines use the clones of all times.
    growth
        What methods assume about growth, see `cf.tl.flow`; chosen without any clone.
    fates
        The two labels whose ratio is the bias; the two most frequent ones of the last time if None.
    network
        Whether flows are fitted, which takes `n_repeats * n_splits + 1` fits for each method;
        otherwise plans alone are judged.
    n_splits
        Folds of clones.
    n_repeats
        Splits into folds. Measures are means over them; with few clones, those of methods with
        clones depend much on the split.
    n_neighbors
        Cells that vote where the nearest ones do; the square root of the number of cells to choose
        from if None.
    n_bootstrap
        Draws of clones behind the intervals.
    random_state
        Of folds, fits and draws.
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
    One row per time of the cells, method and measure, and in `attrs["verdict"]` a line for each
    method, which is also logged; `attrs["comparisons"]` is the second table below. A method is
    better than another one where one measure at least is better beyond chance (at a level at which
    all hold together in 95 % of cases) and none is worse; `brier` is not counted. Columns:

    - `start`: time of the cells as text, or `"all"` for all times before the last one;
    - `method`, `kind` (`"model"`, `"baseline"` or `"ceiling"`), `clones` (whether the model has
      seen the clones of other folds);
    - `measure`: `accuracy`, share of the cells whose most probable label is the most frequent one
      of their clone; `brier`, the mean of :math:`\sum_l (p_l - q_l)^2` over predicted shares
      :math:`p` and those of the clone :math:`q`, smaller is better; `brier_calibrated`, the same
      after mixing :math:`p` with the shares of all cells as suits the clones of the other folds,
      because how decided a prediction is depends on how many cells vote for it; `r` and `auroc`,
      Pearson's correlation of the predicted bias between the two `fates` with that of the clone,
      and the area under the ROC curve for clones with more of the first against those with more of
      the second;
      `precision`, the share of the mass from a cell that reaches its own clone at the next time, of
      cells whose clone has a cell there;
    - `value`, `low`, `high`: with its 95 % interval, by bootstrap of clones;
    - `n_cells`, `n_clones`: cells that are scored, and clones (those with common cells count as
      one).

    Written is `uns["cf_lineage"]`, a dict:

    - `table`: the table; `verdict`: str;
    - `comparisons`: a table of differences from the baselines and, with clones, from the same
      method without, on the same draws of clones: `start`, `method`, `clones`, `beside` (what it is
      compared with), `measure`, `gain` (positive where the method is better), `low`, `high` (95 %)
      and `outcome` (at the level of all measures together);
    - `folds`: int64, shape (n_repeats, n_clones), the fold in which each clone was hidden;
      `strengths`: a table with the strength of each method, split and fold;
    - `params`: dict of what the call was given; `kind`, `cellflow_version`: str.

    Raises
    ------
    MissingKeyError
        No such column or representation.
    InputError
        Labels that are missing at the last time, or a single one; no clone that is shared by the
        last time and an earlier one, or fewer of them than folds; anything about the data or an
        argument that is not usable. Nothing is written then.

    Warns
    -----
    InputWarning
        Fewer than 20 clones are scored, so that intervals are too narrow.

    References
    ----------
    Weinreb et al., Lineage tracing on transcriptional landscapes links state to fate during
    differentiation, Science 2020 (clonal bias as the truth, held-out clones, neighbours as the
    baseline); Brier, Verification of forecasts expressed in terms of probability, 1950.

    Examples
    --------
    >>> table = cf.bench.lineage(
    ...     adata, "hours", lineage_key="clone", cluster_key="cell_type", n_splits=2
    ... )
    >>> verdict = table.attrs["verdict"]
    """
    check_arguments(lineage, locals())
    from cellflow.evaluation.clones.benchmark import judge_by_clones, pair_of
    from cellflow.evaluation.clones.words import verdict

    keys = Keys(key_added)
    reading = Reading(
        time_key,
        use_rep=use_rep,
        n_dims=n_dims,
        weight_key=weight_key,
        mass_key=mass_key,
        growth_key=growth_key,
        lineage_key=lineage_key,
        force_rep=force_rep,
    )
    seed = as_seed(random_state)
    cells = read(adata, reading)
    if write:
        require_free(adata, keys, [("uns", keys.uns)], overwrite=overwrite, kind="clones")
    clonal = clonal_cells(adata, cells, cluster_key)
    pair = pair_of(clonal, fates)
    informed_until = known_until(cells, until)
    settings = settings_of(methods, strength, growth, n_neighbors, informed_until, network, seed)
    found = judge_by_clones(
        clonal, settings, pair=pair, n_splits=n_splits, n_repeats=n_repeats,
        n_bootstrap=n_bootstrap, seed=seed, progress=progress,
    )  # fmt: skip
    warn_of_few(found)
    record = _record(cells, found, verdict(found), {
        "cluster_key": cluster_key, "methods": list(settings), "until": informed_until,
        "growth": growth, "fates": list(pair), "network": network, "n_splits": n_splits,
        "n_repeats": n_repeats,
        "n_neighbors": n_neighbors, "n_bootstrap": n_bootstrap, "random_state": seed,
    })  # fmt: skip
    if write:
        write_slots(adata, {"uns": {keys.uns: record}})
    return _table(record)


def _table(record: Mapping[str, Any]) -> pd.DataFrame:
    """The table of a record with its verdict, which is also logged."""
    logger.info(record["verdict"])
    table: pd.DataFrame = record["table"].copy()
    table.attrs |= {"verdict": record["verdict"], "comparisons": record["comparisons"].copy()}
    return table


def _record(
    cells: Cells, found: ClonalBenchmark, verdict: str, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """What is written: the tables, the verdict, and what all were made with."""
    import pandas as pd

    strengths = pd.DataFrame(
        {"method": name, "split": split, "fold": fold, "strength": value}
        for name, splits in found.strengths.items()
        for split, values in enumerate(splits)
        for fold, value in enumerate(values)
    )
    return {
        "cellflow_version": __version__,
        "kind": "clones",
        "table": found.table,
        "params": plain({**cells.reading.params, "time_unit": cells.unit, **settings}),
        "verdict": verdict,
        "comparisons": found.comparisons,
        "folds": found.fold,
        "strengths": strengths,
    }
