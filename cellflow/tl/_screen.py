"""Edit every gene by itself, and find those that change fates."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from cellflow.adapter.fitted import Fitted, read_fitted
from cellflow.adapter.genes import seen_genes
from cellflow.adapter.keys import DEFAULT
from cellflow.adapter.selection import Selection
from cellflow.adapter.store import amended, plain
from cellflow.adapter.units import Time
from cellflow.adapter.write import target_of, write
from cellflow.core._arguments import check_arguments
from cellflow.core._numbers import as_count, as_number
from cellflow.core._progress import is_shown
from cellflow.core._settings import guarded
from cellflow.core._typing import FloatArray, IntArray
from cellflow.errors import InputError, naming_cells
from cellflow.tl._edited_cells import (
    edited_cells,
    floors,
    places,
    question_until,
    seen_among,
    warn_of_centred,
)
from cellflow.tl._edits import Wanted, read_value

if TYPE_CHECKING:
    from anndata import AnnData

    from cellflow.analysis.genes.perturbation import Perturbation
    from cellflow.analysis.genes.seen import Seen
    from cellflow.tl._fate_question import FateQuestion

__all__ = ["screen"]

logger = logging.getLogger("cellflow")

#: Entry of the fit's record.
_ENTRY = "screen"


@guarded
def screen(
    adata: AnnData,
    genes: Selection | None = None,
    *,
    fate: str | None = None,
    to: float | str = 0.0,
    cells: Selection | None = None,
    time: Time | None = None,
    until: Time | None = None,
    hold: bool = True,
    response: Literal["auto", "covariance", "alone"] = "auto",
    n_simulated: int = 20,
    max_cells: int = 256,
    level: float = 0.9,
    key: str = DEFAULT,
    progress: bool | None = None,
    copy: bool = False,
) -> AnnData | None:
    r"""Edit each gene by itself, and find those that change the fates of cells.

    Each gene is edited as by `cf.tl.perturb`. First, the effects of all genes on the log-odds of
    fates are found to first order in the change of the gene, from the gradients of the log-odds
    along the paths of the cells (see Notes), by a smooth classifier of the labels at the end. Then
    the genes with the largest ones are simulated, where a change of more than three standard
    deviations of the decoded gene counts as one of three. False discovery rates are those among all
    genes and fates.

    A knock-out of a gene that is expressed in all cells, or is decoded in small part, is such a
    large change (`change_sd`), and its effect an extrapolation. `to="-1sd"` asks all genes the same
    question within the data.

    Parameters
    ----------
    adata
        Cells with a fit, with fates (`cf.tl.fates`), and with expression.
    genes
        Names, positions or a mask; all that can be decoded by default.
    fate
        The fate that is asked for; all by default.
    to
        What each gene gets, as a value of `cf.tl.perturb`: 0.0, a knock-out, or a shift such as
        `"-1sd"`.
    cells, time, until, hold, response
        See `cf.tl.perturb`.
    n_simulated
        Genes that are simulated; 0 for none.
    max_cells
        Cells at most; of more, so many are drawn.
    level
        Of the intervals.
    key
        `key_added` of the fit.
    progress
        Show progress bars. None: only in a terminal or a notebook.
    copy
        Return a changed copy, and leave `adata` unchanged.

    Returns
    -------
    None, or the copy. Written is

    - `uns["cellflow"]["screen"]`: dict. The `table` of genes (see `cf.get.screen`), `words` about
      what was done, and the arguments.

    Raises
    ------
    MissingKeyError
        No fit, no fates, or no such gene.
    InputError
        A gene that is named twice or cannot be decoded; a value as of `cf.tl.perturb`; a fate that
        there is not, that no cell reaches, or that no cell of the end has; cells as of
        `cf.tl.perturb`; `adata` is unchanged.
    IntegrationError
        A state that is not finite.

    Warns
    -----
    InputWarning
        The value 0 where some cell is measured below it: 0 is no absence there.

    See Also
    --------
    cellflow.get.screen, cellflow.tl.perturb, cellflow.tl.drivers

    Notes
    -----
    Let :math:`\lambda(t)` be the gradient of the log-odds of a fate among the descendants by the
    state at time :math:`t`, :math:`w` the loadings of a gene, :math:`r` the response of the state
    to it, :math:`J` the Jacobian of the velocity, and :math:`\Delta(t)` how much the edited gene
    differs from what it is along the path. To first order, the log-odds change by
    :math:`\lambda(0) \cdot r \Delta(0)` if the gene is edited at the start only, and by
    :math:`\int (-\dot\lambda \cdot r - (\lambda \cdot r)(w^\top J r)) \Delta\,dt` if it is held,
    without what other genes do to it. First-order effects are those of the flow, also where fates
    are those of diffusions, and do not know of absorbing groups.

    p-values are those between the members of an ensemble, with the sampling of the cells added. Of
    a single flow there are none, and `q` is NaN. They do not contain errors that
    all members share: a gene that only follows another may look like a cause. Intervals of effects
    of first order do not contain what a large edit does beyond the first order either.

    References
    ----------
    Benjamini and Hochberg, Controlling the false discovery rate, JRSS B 1995; Pontryagin et al.,
    The Mathematical Theory of Optimal Processes, 1962 (the gradient).

    Examples
    --------
    >>> cf.tl.fates(adata, "cell_type")
    >>> cf.tl.screen(adata, fate="myotube", n_simulated=5)
    >>> strong = cf.get.screen(adata).query("q < 0.1")
    """
    check_arguments(screen, locals())
    wanted = read_value("to", to)
    as_count("n_simulated", n_simulated, least=0)
    as_count("max_cells", max_cells, least=2)
    as_number("level", level, above=0.0, below=1.0, remedy=", such as 0.9")
    fitted = read_fitted(adata, key)
    columns = seen_genes(adata, fitted, genes).columns
    question = question_until(adata, fitted, until)
    fates = _fates(question, fate)
    rows = edited_cells(adata, fitted, question, cells, time, max_cells)
    at = float(question.cells.start[rows[0]])
    seen = seen_among(adata, fitted, question, at, response)
    seen = seen.only(places(adata, seen, columns))
    value = _value(adata, fitted, seen, wanted, columns)
    target = target_of(adata, copy=copy)

    from cellflow.analysis.genes.perturbation import Perturbation

    asked = Perturbation(fitted.flow, question.cells, question.targets, rows, question.noise, hold)
    given: dict[str, Any] = {"to": str(wanted), "time": at, "until": question.targets.at}
    given |= {"hold": hold, "level": level, "n_cells": len(rows), "n_simulated": n_simulated}
    given |= {"groupby": str(question.stored.about["groupby"])}
    with naming_cells(adata.obs_names[rows]):
        result = _result(asked, seen, value, fates, given, progress=progress)
    logger.info(result["words"])
    record = amended(adata, fitted.keys, [], {_ENTRY: result})
    write(target, {"uns": {fitted.keys.uns: record}})
    return target if copy else None


def _fates(question: FateQuestion, fate: str | None) -> IntArray:
    """Numbers of the fates that are asked for, all of which some cell of the end has."""
    targets = question.targets
    there = (question.cells.measured == targets.at) & (question.cells.weight > 0)
    known = np.unique(targets.code[there & (targets.code >= 0)])
    if fate is None:
        return known
    number = question.number(fate)
    if number not in known:
        ends = [targets.names[k] for k in known]
        msg = (
            f"fate={fate!r}: no cell of the end, time {targets.at:g}, has it. Expected one of"
            f" {ends}: effects of first order are those on labels of the end."
        )
        raise InputError(msg)
    return np.array([number])


def _value(
    adata: AnnData, fitted: Fitted, seen: Seen, wanted: Wanted, columns: IntArray
) -> Callable[[FloatArray], FloatArray]:
    """Expression after the edit, from that before, each `(n, g)`."""
    lowers = (wanted.level if wanted.level is not None else wanted.shift or 0.0) <= 0
    floor = floors(adata, fitted, columns) if lowers else np.full(len(columns), -np.inf)
    if wanted.level is not None and (wanted.level < floor).any():
        first = str(seen.decoder.genes[np.flatnonzero(wanted.level < floor)[0]])
        msg = (
            f"to={wanted.level:g}: expression of {first!r} is never below zero in the layer of the"
            " fit. Expected a value of at least 0, or a shift such as '-1sd'."
        )
        raise InputError(msg)
    if wanted.level == 0.0:
        warn_of_centred(seen.decoder.genes.tolist(), floor)
    return lambda before: wanted.of(before, seen.sd, floor)


def _result(
    asked: Perturbation,
    seen: Seen,
    value: Callable[[FloatArray], FloatArray],
    fates: IntArray,
    given: Mapping[str, Any],
    *,
    progress: bool | None,
) -> dict[str, Any]:
    """Find effects of first order, simulate the largest, and make a table."""
    from tqdm import tqdm

    from cellflow.analysis.genes.first_order import first_order
    from cellflow.analysis.genes.simulated import simulated
    from cellflow.tl._screen_table import FAR, screen_table, words_of

    def watch(parts: Iterable[Any], n: int) -> Iterable[Any]:
        bar: Iterable[Any] = tqdm(parts, total=n, desc="screen", disable=not is_shown(progress))
        return bar

    found = first_order(asked, seen, value, fates, watch=watch)
    sizes = np.abs(found.log_odds.value).reshape(len(fates), -1).max(axis=0)
    # An effect of first order of a change that few cells show is an extrapolation: it counts as
    # that of the largest change that they do show.
    sizes *= FAR / np.maximum(found.size, FAR)
    largest = np.argsort(-np.nan_to_num(sizes), kind="stable")[: given["n_simulated"]]
    largest = largest[np.isfinite(sizes[largest])]  # a gene that does not vary cannot be edited
    x = asked.question.x
    edits = []
    for gene in largest:
        one = seen.only(np.array([gene]))
        edits.append(one.edit(value(seen.decoded(x))[:, [gene]]))
    names = [asked.targets.names[k] for k in fates]
    results = simulated(asked, edits, watch=watch)
    table = screen_table(found, seen, fates, names, largest, results, given["level"])
    words = words_of(table, given, sure=bool(asked.flow.members))
    return dict(plain({"table": table, "words": words, **given}))
