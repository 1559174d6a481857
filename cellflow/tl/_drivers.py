"""Genes that drive the decision for a fate."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.decoding import Genes, asked_genes
from cellflow.adapter.fitted import Fitted, read_fitted
from cellflow.adapter.genes import gene_values
from cellflow.adapter.keys import DEFAULT
from cellflow.adapter.record import record_of
from cellflow.adapter.selection import Selection
from cellflow.adapter.store import amended
from cellflow.adapter.units import Time
from cellflow.adapter.write import target_of, write
from cellflow.core._arguments import check_arguments
from cellflow.core._numbers import as_count
from cellflow.core._settings import guarded
from cellflow.core._typing import FloatArray
from cellflow.errors import InputError, naming_cells
from cellflow.tl._drivers_table import place_of, table_of, words_of
from cellflow.tl._drivers_window import Window, read_window
from cellflow.tl._fate_question import fate_question

if TYPE_CHECKING:
    from anndata import AnnData

    from cellflow.analysis.genes.drivers import DriverGenes, Drivers
    from cellflow.analysis.genes.response import Kind

__all__ = ["drivers"]

logger = logging.getLogger("cellflow")

#: Entry of the fit's record.
_ENTRY = "drivers"


@guarded
def drivers(
    adata: AnnData,
    fate: str,
    *,
    window: tuple[Time, Time] | None = None,
    genes: Selection | None = None,
    response: Kind = "auto",
    max_cells: int = 1000,
    key: str = DEFAULT,
    copy: bool = False,
) -> AnnData | None:
    r"""Find the genes that go with, and drive, the decision of cells for a fate.

    Markers tell cells apart after they have decided. Here cells of the same time, and the same
    condition, are compared before they do. Three parts are computed:

    - `association`: partial rank correlation of the measured expression with the probability of the
      fate (`cf.tl.fates`), given the time. What only follows time has none. Where the fit has a
      `sample_key`, cells are compared within samples, and samples are the replicates;
    - `sensitivity`: by how much the log-odds of the fate change if the gene is raised by one
      standard deviation, by one adjoint pass through the simulation to the end, where a logistic
      regression on the labelled cells is the classifier. What the representation does not see of
      the gene changes nothing, and what else changes with it is said by `response`;
    - `velocity`: how much faster the gene rises in cells of this fate than in the others, in its
      standard deviations per unit of time.

    Standard deviations are those of the measured expression within a time.

    Two p-values answer two questions, each with a q-value over all genes that have it:

    - `p`: does the gene go with the fate by more than sampling? Of an ensemble, the part has to
      differ from zero by its standard error, over cells or samples and between the members. A
      single flow does not know its own error. Its fates are smooth in the state, and so is what
      the representation sees of a gene: they correlate without any relation, and a permutation of
      cells would make nearly every gene significant. So the part has to be larger than for a fate
      of any direction in which genes vary, which is cautious: fit with `n_members` for this
      question. Programmes of genes come as a whole.
    - `p_matched`: and by more than genes like it? It is compared with itself in other directions of
      the state, spread as those of the 200 genes that are nearest in mean and variance (by a
      median, which drivers hardly change while they are a minority; with fewer than 100 decodable
      genes, of all of them). Where a whole programme goes with the fate, few genes or none stand
      out: it is the stricter question.

    The `score` is the median of the three parts with their signs, each shrunk by its standard error
    and relative to its typical size among the genes, and genes are ranked by its size: at least two
    parts have to agree. A positive one is of genes that favour the fate. A marker in the making has
    a velocity, but hardly an association before. `p` and `p_matched` of the score say that at least
    two parts are there: twice the second smallest. See `cellflow.analysis.genes.nulls`.

    Snapshots show what precedes a fate, not what causes it. A gene that varies together with a
    driver cannot be separated from it, unless the representation resolves both (see `leverage`).

    Parameters
    ----------
    adata
        Cells with fates.
    fate
        A fate of `cf.tl.fates`.
    window
        First and last time of the cells, `(first, last)`. By default the cells whose commitment
        lies ahead (`obs["cf_commitment_time"]` is positive, or they are never committed), at times
        with at least 20 of them. Cells without a time of their own, and those with more than half
        of their mass undecided, are left out.
    genes
        Genes to test: names, positions or a mask; by default all that the fit has. They are
        compared with each other, so ask for all rather than for a few candidates.
    response
        What changes with a gene: `"covariance"`, what varies together with it among these cells;
        `"alone"`, nothing, as far as the representation can; `"auto"`, `"alone"` for genes with a
        leverage of at least 0.9.
    max_cells
        Cells whose sensitivities are computed, and averaged over.
    key
        `key_added` of the fit.
    copy
        Return a changed copy, and leave `adata` unchanged.

    Returns
    -------
    None, or the copy. Written is

    - `uns["cellflow"]["drivers"]`: dict. An entry for each fate that was asked for, with its
      `table` (see `cf.get.drivers`), `words` about it, the `window`, the times and numbers of its
      cells, and the arguments. New fates remove it.

    Raises
    ------
    MissingKeyError
        No fit, no fates (`cf.tl.fates` comes first), or no such gene.
    InputError
        No such fate, or one that no cell reaches; a window without cells, or outside of the times
        before the end; fewer than two fates; a fit without expression; `adata` is unchanged.

    Warns
    -----
    InputWarning
        Genes of `adata` that the fit has not seen, which are left out.

    See Also
    --------
    cellflow.get.drivers, cellflow.tl.fates

    Notes
    -----
    Fates of an absorbing group that is not measured at the end have no sensitivity. With fates of
    diffusions, the sensitivity is that of the flow.

    References
    ----------
    Lange et al., CellRank for directed single-cell fate mapping, Nature Methods 2022 (correlation
    with fate probabilities); Griewank and Walther, Evaluating Derivatives, 2008 (the adjoint
    method); Efron, Large-scale simultaneous hypothesis testing: the choice of a null hypothesis,
    JASA 2004; Smyth, Linear models and empirical Bayes methods for assessing differential
    expression, 2004 (variances between members or samples); Benjamini and Heller, Screening for
    partial conjunction hypotheses, Biometrics 2008 (two of three parts); Squair et al., Confronting
    false discoveries in single-cell differential expression, Nature Communications 2021 (samples as
    replicates).

    Examples
    --------
    >>> cf.tl.fates(adata, "cell_type")
    >>> cf.tl.drivers(adata, "myotube")
    >>> found = cf.get.drivers(adata, "myotube").query("q < 0.05")
    """
    check_arguments(drivers, locals())
    from cellflow.analysis.genes.drivers import drivers as find_drivers

    as_count("max_cells", max_cells, least=20)
    fitted = read_fitted(adata, key)
    asked = fate_question(adata, fitted)
    chosen = read_window(adata, fitted, asked, fate, window)
    found_genes, about = _genes(adata, fitted, genes)
    target = target_of(adata, copy=copy)
    with naming_cells(fitted.names):
        found = find_drivers(chosen.question, about, response=response, max_cells=int(max_cells))
    given = {"window": window, "response": response, "max_cells": int(max_cells)}
    entry = _entry(adata, fate, chosen, found_genes, about, found, given)
    logger.info(entry["words"])
    before = dict(record_of(adata, fitted.keys).get(_ENTRY, {}))
    every = before | {place_of(fate, before): entry}
    write(target, {"uns": {fitted.keys.uns: amended(adata, fitted.keys, [], {_ENTRY: every})}})
    return target if copy else None


def _genes(adata: AnnData, fitted: Fitted, genes: Selection | None) -> tuple[Genes, DriverGenes]:
    """The genes that are tested, and what the representation sees of them."""
    from cellflow.analysis.genes.drivers import DriverGenes
    from cellflow.analysis.genes.response import leverage

    every = fitted.flow.decoder
    found = asked_genes(adata, every, genes, fitted.keys.uns)
    if found.decoder is None or every is None:
        msg = (
            f"The fit in adata.uns[{fitted.keys.uns!r}] has no expression, or genes= chooses no"
            " gene. Expected genes: fit again with expression in adata.X, or pass others."
        )
        raise InputError(msg)
    decoder = found.decoder

    def expression(chunk: slice) -> FloatArray:
        return gene_values(adata, fitted, found.columns[chunk])

    r2 = np.full(len(decoder.genes), np.nan) if decoder.gene_r2 is None else decoder.gene_r2
    place = {name: k for k, name in enumerate(every.genes.tolist())}
    own = leverage(every.loadings)[[place[name] for name in decoder.genes.tolist()]]
    seen = (r2, decoder.decodable, own)
    return found, DriverGenes(decoder.loadings, every.loadings, *seen, expression)


def _entry(
    adata: AnnData,
    fate: str,
    chosen: Window,
    genes: Genes,
    about: DriverGenes,
    found: Drivers,
    given: dict[str, Any],
) -> dict[str, Any]:
    """What is stored of a fate."""
    names = adata.var_names.to_numpy(dtype=str)[genes.columns]
    entry = {
        "fate": fate,
        "table": table_of(names, about, found),
        "words": words_of(fate, chosen, found),
        "times": chosen.times,
        "n_cells": chosen.n_cells,
        "n_samples": found.n_samples,
        "against": found.against,
        "response": given["response"],
        "max_cells": given["max_cells"],
    }
    if given["window"] is not None:
        entry["window"] = np.array([chosen.times[0], chosen.times[-1]])
    return entry
