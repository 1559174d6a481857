"""Trends of genes over time, by fate, group and condition."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.decoding import Genes
from cellflow.adapter.fitted import Fitted, read_fitted
from cellflow.adapter.genes import gene_values, seen_genes
from cellflow.adapter.keys import DEFAULT
from cellflow.adapter.places import require_free
from cellflow.adapter.selection import Selection
from cellflow.adapter.store import amended, plain
from cellflow.adapter.units import Time
from cellflow.adapter.write import target_of, write
from cellflow.core._arguments import check_arguments
from cellflow.core._numbers import as_count, as_number, shown
from cellflow.core._settings import guarded
from cellflow.core._typing import FloatArray
from cellflow.errors import InputError
from cellflow.tl._times import time_grid
from cellflow.tl._trends_asked import Kinds, kinds_of
from cellflow.tl._trends_found import Asked, Found, found

if TYPE_CHECKING:
    from anndata import AnnData

    from cellflow.core.conditions import Condition

__all__ = ["trends"]

logger = logging.getLogger("cellflow")

#: Entry of the fit's record.
_ENTRY = "trends"


@guarded
def trends(
    adata: AnnData,
    genes: Selection,
    *,
    fate: str | Sequence[str] | None = None,
    groupby: str | None = None,
    condition: Condition | Sequence[Condition] | None = None,
    start: Time | None = None,
    times: Sequence[Time] | FloatArray | None = None,
    n_times: int = 50,
    level: float = 0.9,
    min_cells: int = 10,
    key: str = DEFAULT,
    progress: bool | None = None,
    copy: bool = False,
) -> AnnData | None:
    r"""Compute the mean expression of genes over real time, along the paths of the fit.

    At the time of a snapshot, the population is its cells; between two snapshots it is the cells of
    the first, moved forward, and those of the second, moved backward, weighted by closeness in
    time. So errors of the motion do not add up, and cells that enter the population later count
    from then on. With the weight :math:`m_i(t)` of a moved cell (its own, times the growth of the
    fit), its probability :math:`p_i` of a fate, its measured expression :math:`y_i`, its position
    :math:`x_i(t)`, and the loadings :math:`w` of the gene, the trend is

    .. math::
        \frac{\sum_i m_i(t)\, p_i\, [\, y_i + w^T (x_i(t) - x_i) \,]}{\sum_i m_i(t)\, p_i}

    At the time of a snapshot it is the mean of the measured cells, for every gene; between two, the
    motion says how it changes. Any gene that can be decoded has a trend, also one that the
    representation was not made of. What the states alone are decoded to is `decoded` in the table.

    Of an ensemble, each member is asked with the half of the cells that it was fitted on. So
    standard errors cover both the fit and the cells that happened to be measured, and where samples
    are known, the samples. Differences are taken within members. They do not cover what happens
    between two snapshots and leaves no sign in either: of populations that were left out of a fit,
    intervals contain fewer means than they say.

    Parameters
    ----------
    adata
        Cells with a fit.
    genes
        Names, positions or a mask of genes that can be decoded.
    fate
        Fates that `cf.tl.fates` has found, one or several: a trend of the cells of each time by
        their probability of it, which may be `"undecided"`. None for all cells. Of fates along
        diffusions, a cell keeps its probability from its snapshot to the next.
    groupby
        Column of `obs` with groups of cells: a trend of the cells of each group at each time. With
        `start`, of the descendants (and ancestors) of the groups of that time.
    condition
        For a fit with conditions: one, or a list of several, with a trend for each; see
        `cf.tl.predict`. By default, all cells, each in its own condition. Cells that are asked for
        in another condition than their own have their fates computed there.
    start
        Follow the cells of this snapshot over all times, instead of the cells of every snapshot
        over the times near theirs.
    times
        Times of the trends, within those of the fit. By default `n_times` equal steps from the
        first to the last snapshot, and the times of the snapshots.
    n_times
        Number of these steps.
    level
        Of the intervals, between 0 and 1.
    min_cells
        Effective number of cells below which a time has no support.
    key
        `key_added` of the fit.
    progress
        Show a progress bar over the members of an ensemble. None: only in a terminal or a notebook.
    copy
        Return a changed copy, and leave `adata` unchanged.

    Returns
    -------
    None, or the copy. Written is

    - `uns["cellflow"]["trends"]`: dict. The `table` of the trends, `differences` and `parting` (of
      all pairs that differ in fate, group or condition), which `cf.get.trends` returns and
      explains, `words` about them, and the arguments.

    Raises
    ------
    MissingKeyError
        No fit, no such gene or column, or no fates where `fate` is given.
    InputError
        A gene that is named twice or cannot be decoded; a fate that does not exist, or that no cell
        reaches; a condition that the fit does not have; times outside those of the fit; a `start`
        without cells; tables above 2 GB; `adata` is unchanged.
    IntegrationError
        A state that is not finite.

    See Also
    --------
    cellflow.get.trends, cellflow.tl.fates

    Notes
    -----
    A time has no support, and its values are NaN, where the effective number of cells (Kish) is
    below `min_cells`, or where more than half of the mass is of cells whose path leads to where no
    cell was measured: farther from the cells of the next snapshot on the way than 99 of 100 of them
    are from each other.

    Halves are those of the fit where `adata` has its cells in their order. Of other cells, or in
    another order, they are drawn anew, and standard errors are somewhat larger.

    References
    ----------
    Lange et al., CellRank for directed single-cell fate mapping, Nature Methods 2022 (trends by
    fate probabilities, over a pseudotime); Kish, Survey Sampling, 1965 (the effective number);
    McCarthy, Pseudo-replication: half samples, 1969 (standard errors from halves).

    Examples
    --------
    >>> cf.tl.fates(adata, "cell_type")
    >>> cf.tl.trends(adata, ["TNNT2", "MYH3"], fate=["myotube", "myoblast"])
    >>> table = cf.get.trends(adata).query("gene == 'MYH3' and supported")
    """
    check_arguments(trends, locals())
    as_count("min_cells", min_cells)
    level = as_number("level", level, above=0.0, below=1.0)
    fitted = read_fitted(adata, key)
    chosen = seen_genes(adata, fitted, genes)
    grid = _grid(fitted, times, n_times)
    began = None if start is None else _start(fitted, start)
    kinds = kinds_of(adata, fitted, fate, groupby, condition, began)
    require_free(adata, fitted.keys, [], overwrite=False)
    target = target_of(adata, copy=copy)
    assert chosen.decoder is not None, "seen genes are decoded"
    asked = Asked(grid, began, chosen.decoder, level, min_cells)
    record = _record(adata, fitted, chosen, kinds, asked, progress=progress)
    given = {"groupby": groupby, "start": began, "level": level, "min_cells": min_cells}
    logger.info(record["words"])
    entry = dict(plain({**record, **given}))
    write(target, {"uns": {fitted.keys.uns: amended(adata, fitted.keys, [], {_ENTRY: entry})}})
    return target if copy else None


def _grid(fitted: Fitted, times: Sequence[Time] | FloatArray | None, n_times: int) -> FloatArray:
    grid = time_grid(fitted, times, n_times)
    if times is None:
        grid = np.union1d(grid, fitted.flow.times)
    fitted.observed.require(grid, "a trend")
    return grid


def _start(fitted: Fitted, start: Time) -> float:
    """The time of a snapshot."""
    at = fitted.time(start, "start")
    measured = fitted.cells.time
    if at not in measured:
        known = np.unique(measured[~np.isnan(measured)]).tolist()
        msg = (
            f"start={shown(start)}: no cell was measured at time {at:g}. Expected one of the times"
            f" of the cells, {known}."
        )
        raise InputError(msg)
    return at


def _record(
    adata: AnnData,
    fitted: Fitted,
    chosen: Genes,
    kinds: Kinds,
    asked: Asked,
    *,
    progress: bool | None,
) -> dict[str, Any]:
    """The tables, and what they are of."""
    from cellflow.tl._trends_table import differences, partings, require_small, table_of, words_of

    require_small(kinds, len(asked.grid), len(chosen.columns))
    expression = gene_values(adata, fitted, chosen.columns)
    result: Found = found(adata, fitted, kinds, asked, expression, progress=progress)
    several = {"differences": differences(result, kinds, asked)}
    several["parting"] = partings(result, kinds, asked)
    return {
        "table": table_of(result, kinds, asked),
        "words": words_of(result, kinds, asked, fitted),
        "fates": kinds.fates,
        "conditions": kinds.conditions,
        **({name: table for name, table in several.items() if len(table)}),
    }
