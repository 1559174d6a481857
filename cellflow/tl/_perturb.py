"""Edit genes of cells, and find out what becomes of them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from cellflow.adapter.fitted import Fitted, read_fitted
from cellflow.adapter.genes import seen_genes
from cellflow.adapter.keys import DEFAULT
from cellflow.adapter.record import record_of
from cellflow.adapter.selection import Selection
from cellflow.adapter.store import amended, plain
from cellflow.adapter.units import Time
from cellflow.adapter.write import target_of, write
from cellflow.core._arguments import check_arguments
from cellflow.core._numbers import as_count, as_number, shown
from cellflow.core._progress import is_shown
from cellflow.core._settings import guarded
from cellflow.core._typing import IntArray
from cellflow.errors import InputError, naming_cells
from cellflow.tl._edited_cells import (
    edit_of,
    edited_cells,
    places,
    question_until,
    refined,
    require_score,
    seen_among,
)
from cellflow.tl._edits import Wanted, read_edits

if TYPE_CHECKING:
    from anndata import AnnData

    from cellflow.analysis.genes.edit import Edit
    from cellflow.analysis.genes.perturbation import Perturbation
    from cellflow.analysis.genes.seen import Seen

__all__ = ["perturb"]

logger = logging.getLogger("cellflow")

#: Entry of the fit's record.
_ENTRY = "perturbations"
_MAX_LENGTH = 200


@guarded
def perturb(
    adata: AnnData,
    edits: Mapping[str, float | str],
    *,
    cells: Selection | None = None,
    time: Time | None = None,
    until: Time | None = None,
    hold: bool = True,
    response: Literal["auto", "covariance", "alone"] = "auto",
    refine: bool = False,
    n_null: int = 99,
    max_cells: int = 1000,
    level: float = 0.9,
    name: str | None = None,
    key: str = DEFAULT,
    progress: bool | None = None,
    copy: bool = False,
) -> AnnData | None:
    r"""Edit genes of cells, and compare their fates with those of the same cells as they are.

    The genes get the values that are asked for in the decoded expression of each cell. With the
    loadings :math:`W` of the genes, the cell :math:`x` becomes :math:`x + R (y - m - W x)`, where
    :math:`R` says how the state follows a gene (`response`) and :math:`W R = 1`. Both, the edited
    cell and the cell as it is, are moved to the end of `cf.tl.fates`, with the same noise, and
    with the growth of the fit at the states that each passes. The fates are those of `cf.tl.fates`;
    the mass of the descendants weights the cells.

    With `hold`, the dynamics is that in which the edited genes keep their values:
    :math:`\dot x = v - R W v`. A state is then unlike all measured cells by these genes, so
    differences along their loadings do not count where it is compared with measured cells of the
    end.

    The fit knows cells as they were measured. What it says of edited cells is as good as two
    assumptions: that velocities depend on genes as they do among the measured cells (a gene that
    only follows another looks like a cause where both never part), and that edited cells stay near
    to measured ones, which `support` of `cf.get.perturbation` shows.

    Parameters
    ----------
    adata
        Cells with a fit, with fates (`cf.tl.fates`), and with expression.
    edits
        From gene to value: a number, the expression that it gets, in the unit of the layer of the
        fit (0.0 for a knock-out), or a shift of each cell such as `"+2sd"` or `"-0.5sd"`, in
        standard deviations of its decoded expression among the cells of that time. No shift goes
        below zero where no cell is measured below.
    cells
        The cells to edit, of one time: a mask, positions or names. All of `time` by default.
    time
        Time of the cells, by default that of `cells`, or the first.
    until
        The end: a time at which labelled cells were measured; that of `cf.tl.fates` by default.
    hold
        Whether the genes keep their values, or are edited at the start only.
    response
        How the state follows a gene: `"covariance"`, other genes change as they vary together among
        the cells of that time; `"alone"`, they stay as they are as far as the representation can;
        `"auto"`, `"alone"` if the representation can change each gene alone (leverage of 0.9), else
        `"covariance"`.
    refine
        Move edited cells back to where cells live by the score, and then to the values again; needs
        a score (`score=True`, or `method="sf2m"`).
    n_null
        Random genes, or sets of genes, that are edited by as many standard deviations; 0 for none.
    max_cells
        Cells at most; of more, so many are drawn.
    level
        Of the intervals.
    name
        Under which the result is kept; made of the edits by default. One of the same name is
        replaced.
    key
        `key_added` of the fit.
    progress
        Show progress bars. None: only in a terminal or a notebook.
    copy
        Return a changed copy, and leave `adata` unchanged.

    Returns
    -------
    None, or the copy. Written is

    - `uns["cellflow"]["perturbations"]`: dict. By the name of each: the `table` of effects, the
      tables `genes` and `support` (see `cf.get.perturbation`), `words` about what was done, and the
      arguments.

    Raises
    ------
    MissingKeyError
        No fit, no fates, or no such gene (the message has the closest name).
    InputError
        A gene that cannot be decoded; a value that is none, or is below zero where expression is
        not; cells of several times, or at the end or later; a time at which no cell was measured;
        genes that cannot be set independently; `refine` without a score; `adata` is unchanged.
    IntegrationError
        A state that is not finite.

    Warns
    -----
    InputWarning
        The value 0 where some cell is measured below it: 0 is no absence there.

    See Also
    --------
    cellflow.get.perturbation, cellflow.tl.screen, cellflow.tl.fates

    Notes
    -----
    Intervals and `p` are those of an ensemble (`n_members=` of `cf.tl.flow`): differences are
    paired within each member, and the sampling of the cells is added. They do not contain errors
    that all members share. `p_matched` is the rank among random genes that are matched in mean
    expression, R2 and leverage; few cells and one member are used for it.

    References
    ----------
    Kamimoto et al., Dissecting cell identity via network inference and in silico gene perturbation,
    Nature 2023 (the question); Phipson and Smyth, Permutation p-values should never be zero, 2010;
    Vovk et al., Algorithmic Learning in a Random World, 2005 (the support).

    Examples
    --------
    >>> cf.tl.fates(adata, "cell_type")
    >>> cf.tl.perturb(adata, {"MYH3": 0.0, "TNNT2": "+2sd"}, n_null=5)
    >>> effects = cf.get.perturbation(adata)
    """
    check_arguments(perturb, locals())
    wanted = read_edits(edits)
    as_count("n_null", n_null, least=0)
    as_count("max_cells", max_cells, least=2)
    as_number("level", level, above=0.0, below=1.0, remedy=", such as 0.9")
    called = _name(name, wanted)
    fitted = read_fitted(adata, key)
    columns = seen_genes(adata, fitted, list(wanted), argument="edits").columns
    question = question_until(adata, fitted, until)
    rows = edited_cells(adata, fitted, question, cells, time, max_cells)
    at = float(question.cells.start[rows[0]])
    seen = seen_among(adata, fitted, question, at, response)
    genes = places(adata, seen, columns)
    edit = edit_of(adata, fitted, seen, genes, wanted, columns, fitted.x[rows])
    if refine:
        require_score(fitted)
    target = target_of(adata, copy=copy)

    from cellflow.analysis.genes.perturbation import Perturbation

    asked = Perturbation(fitted.flow, question.cells, question.targets, rows, question.noise, hold)
    given: dict[str, Any] = {"time": at, "until": question.targets.at, "hold": hold}
    given |= {"level": level, "n_null": n_null, "n_cells": len(rows), "refined": refine}
    given["groupby"] = str(question.stored.about["groupby"])
    with naming_cells(adata.obs_names[rows]):
        result = _result(
            asked, fitted, seen, genes, edit, list(wanted.values()), given, progress=progress
        )
    logger.info(result["words"])
    every = dict(record_of(adata, fitted.keys).get(_ENTRY, {}))
    every.pop(called, None)  # the newest is the last
    every[called] = result
    record = amended(adata, fitted.keys, [], {_ENTRY: every})
    write(target, {"uns": {fitted.keys.uns: record}})
    return target if copy else None


def _name(name: str | None, wanted: Mapping[str, Wanted]) -> str:
    """Name that a file can hold."""
    if name is None:
        made = ", ".join(f"{gene}={value}" for gene, value in wanted.items())
        return made.replace("/", "_")[:_MAX_LENGTH]
    if not name.strip() or "/" in name or not name.isprintable() or len(name) > _MAX_LENGTH:
        msg = (
            f"name={shown(name)}; expected 1 to {_MAX_LENGTH} printable characters without '/',"
            " such as 'GATA1 off', because a file holds it as a group."
        )
        raise InputError(msg)
    return name


def _result(
    asked: Perturbation,
    fitted: Fitted,
    seen: Seen,
    genes: IntArray,
    edit: Edit,
    wanted: list[Wanted],
    given: Mapping[str, Any],
    *,
    progress: bool | None,
) -> dict[str, Any]:
    """Simulate, and make tables."""
    from tqdm import tqdm

    from cellflow.analysis.genes.perturbation import null_of, perturbed, supported
    from cellflow.tl import _perturb_table as tables

    def watch(parts: Iterable[Any], n: int) -> Iterable[Any]:
        bar: Iterable[Any] = tqdm(parts, total=n, desc="perturb", disable=not is_shown(progress))
        return bar

    before = np.asarray(fitted.x[asked.rows], dtype=np.float64)
    x = refined(fitted, edit, before, given["time"]) if given["refined"] else None
    found = perturbed(asked, edit, x, watch=watch)
    support = supported(asked, edit, x)
    null = null_of(asked, seen, genes, edit, given["n_null"], watch=watch)
    weight = asked.cells.weight[asked.rows]
    weight = weight / weight.sum()
    about = tables.genes_table(
        seen.only(genes), wanted, weight @ edit.decoded(before), weight @ edit.value
    )
    words = tables.words_of(
        about,
        support,
        null,
        hold=given["hold"],
        n=given["n_cells"],
        time=given["time"],
        end=given["until"],
        sure=bool(asked.flow.members),
        refined=given["refined"],
    )
    result = {
        "table": tables.effects_table(found, null, asked.targets.names, given["level"]),
        "genes": about,
        "support": tables.support_table(support),
        "words": words,
    }
    return dict(plain({**result, **given}))
