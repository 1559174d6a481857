"""Compare the conditions of one fit, with samples as replicates."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from cellflow.adapter.fitted import Fitted, read_fitted
from cellflow.adapter.keys import DEFAULT
from cellflow.adapter.places import require_free
from cellflow.adapter.store import amended, plain
from cellflow.adapter.write import target_of, write
from cellflow.core._arguments import check_arguments
from cellflow.core._numbers import as_count, as_number, shown
from cellflow.core._progress import is_shown
from cellflow.core._random import as_seed
from cellflow.core._settings import guarded
from cellflow.core._typing import FloatArray, RandomState
from cellflow.errors import InputError, closest
from cellflow.tl._compare_samples import read_kinds, read_units

if TYPE_CHECKING:
    from anndata import AnnData

    from cellflow.analysis.comparison import Asked, Compared, Groups
    from cellflow.analysis.comparison.plans import Moves
    from cellflow.couplings import Coupling
    from cellflow.tl._compare_course import CourseOf
    from cellflow.tl._compare_samples import Kinds, Units

__all__ = ["compare"]

logger = logging.getLogger("cellflow")

#: Entry of the fit's record.
_ENTRY = "comparison"


@guarded
def compare(
    adata: AnnData,
    condition_key: str,
    *,
    sample_key: str | None = None,
    groupby: str | None = None,
    reference: str | float | None = None,
    by: Literal["sample", "cell"] = "sample",
    n_perm: int = 999,
    level: float = 0.9,
    n_neighbors: int = 30,
    max_cells: int = 300,
    key: str = DEFAULT,
    overwrite: bool = False,
    random_state: RandomState = 0,
    progress: bool | None = None,
    copy: bool = False,
) -> AnnData | None:
    """Compare the conditions of a fit: speed, growth, fates, and when and where they diverge.

    Samples are the replicates: how much samples of one condition differ is what a difference
    between conditions is judged by. Each other condition is compared with the reference. Plans
    between all pairs of samples of consecutive times are solved with the coupling of the fit, and
    no network is trained. Compared are

    - `speed`: mean length of the local mean velocities, of all cells and of each group;
    - `growth`, where cells grow in the fit: the logarithm of the mass of the descendants of a
      group, relative to its own, by time;
    - `fate`: probabilities of the labels of the last time, for all cells of the first time and
      for each group of them; where the first time is shared, these are the same cells;
    - `distance`: energy distance of the populations at each time, less that between samples;
    - `divergence`: the first time at which it is more than chance;
    - velocities at single cells, relative to their variation between samples.

    Intervals are those of a jackknife over samples, with Student's t. p-values are by permutation
    of the labels of the samples among those that are measured at the same times; their statistic is
    the effect divided by its jackknife standard error. With three samples of either condition, the
    p-value of what depends on one time only cannot be below 0.1, and `p_t`, by Student's t,
    helps. p-values of distances are by an F distribution.

    Positions are those that were measured: a fit with a `sample_key` removes the offsets of its
    samples, and what is left would say too little about how much samples differ.

    The length of a mean velocity is too large by its variance, more so for fewer samples. Where one
    condition has many more samples than the other, its speeds seem lower than they are beside those
    of the other, and intervals of speeds cover less than they say.

    Effects are those under the assumption of the fit about growth. Balanced plans move mass
    between cell types wherever their shares differ between samples, which makes speeds uncertain;
    a fit with `growth="learn"` does not.

    Parameters
    ----------
    adata
        Cells with a fit that has conditions.
    condition_key
        Column of `obs` that the fit was made with. Other conditions of the fit must not vary.
    sample_key
        Column of `obs` with the sample (animal, dish, donor) of each cell; that of the fit by
        default. Each sample is of one condition, and may be measured at several times.
    groupby
        Column of `obs` with labels of cells, for groups and fates; without one, speeds of all cells
        and distances are compared.
    reference
        The condition that others are compared with; the first category by default.
    by
        `"cell"` divides the cells of each time and condition into five random parts in place of
        samples. Cells are no replicates; p-values are too small where samples differ.
    n_perm
        Permutations; all are taken where there are not more.
    level
        Of the intervals.
    n_neighbors
        Cells of one time, of all samples together, that a local velocity is a mean over; at most a
        tenth of them.
    max_cells
        Cells of a sample at one time; of larger ones so many are drawn.
    key
        `key_added` of the fit.
    overwrite
        Replace existing fields that were not written for this fit.
    random_state
        Seed of permutations and draws.
    progress
        Show a progress bar over the conditions. None: only in a terminal or a notebook.
    copy
        Return a changed copy, and leave `adata` unchanged.

    Returns
    -------
    None, or the copy. Written are

    - `uns["cellflow"]["comparison"]`: dict. The `table` of effects (see `cf.get.comparison`),
      `words` about what was compared, `conditions` (columns of the fields below), `reference`,
      and the arguments.
    - `obsm["cf_compare_difference"]`: float64, shape (n_obs, n_compared). Length of the difference
      of the local mean velocities at each cell, one column for each condition but the reference.
      NaN at the last time, and where one condition has no cells.
    - `obsm["cf_compare_p"]`: float64, shape (n_obs, n_compared). Its p-value by permutation,
      among the statistics of all reference cells of its interval. A cell has that of the nearest of
      up to 500 reference cells of its time.
    - `obsm["cf_compare_q"]`: float64, shape (n_obs, n_compared). The same, adjusted for the false
      discovery rate among all reference cells (Benjamini and Hochberg).

    Raises
    ------
    MissingKeyError
        No fit, or no such column or condition.
    InputError
        A fit without conditions, fewer than two of them, cells without a sample, a sample in two
        conditions, fewer than two samples of a condition, or conditions without a time in common;
        `adata` is unchanged.
    CouplingError
        A plan that cannot be solved.

    See Also
    --------
    cellflow.get.comparison, cellflow.tl.flow

    Notes
    -----
    A time that one of both conditions lacks, or has with one sample only, is left out for both,
    which the result says. Times up to `shared_until` of the fit belong to all conditions.

    References
    ----------
    Chung and Romano, Exact and asymptotically robust permutation tests, Annals of Statistics 2013;
    Satterthwaite, An approximate distribution of estimates of variance components, 1946; Szekely
    and Rizzo, Energy statistics, Journal of Statistical Planning and Inference 2013; Box, Some
    theorems on quadratic forms, Annals of Mathematical Statistics 1954; Squair et al., Confronting
    false discoveries in single-cell differential expression, Nature Communications 2021 (cells are
    no replicates).

    Examples
    --------
    >>> cf.tl.flow(adata, "hours", condition_key="drug", sample_key="dish", shared_until=0)
    >>> cf.tl.compare(adata, "drug")
    >>> cf.get.comparison(adata)["quantity"].unique().tolist()
    ['speed', 'distance', 'divergence']
    """
    check_arguments(compare, locals())
    seed = as_seed(random_state)
    _require_settings(by, n_perm, level, n_neighbors, max_cells)
    fitted = read_fitted(adata, key)
    kinds = read_kinds(adata, fitted, condition_key, reference)
    units = read_units(adata, fitted, kinds, sample_key, by, seed)
    names = fitted.keys
    fields = (names.compared("difference"), names.compared("p"), names.compared("q"))
    places = [("obsm", name) for name in fields]
    require_free(adata, names, places, overwrite=overwrite)
    target = target_of(adata, copy=copy)

    given: dict[str, Any] = {
        "condition_key": condition_key,
        "groupby": groupby,
        "by": by,
        "n_perm": n_perm,
    }
    given |= {"level": level, "n_neighbors": n_neighbors, "max_cells": max_cells}
    given |= {"sample_key": units.key or None, "random_state": seed}
    record, values = _compared(adata, fitted, kinds, units, given, progress=progress)
    logger.info(record["words"])
    write(
        target,
        {
            "obsm": dict(zip(fields, values, strict=True)),
            "uns": {names.uns: amended(adata, names, places, {_ENTRY: record})},
        },
    )
    return target if copy else None


def _require_settings(
    by: object, n_perm: int, level: float, n_neighbors: int, max_cells: int
) -> None:
    if by not in ("sample", "cell"):
        msg = f"by={shown(by)}; expected 'sample' or 'cell'{closest(by, ['sample', 'cell'])}."
        raise InputError(msg)
    as_count("n_perm", n_perm)
    as_count("n_neighbors", n_neighbors)
    as_count("max_cells", max_cells, least=20)
    if not 0.0 < as_number("level", level, above=0.0) < 1.0:
        msg = f"level={level}; expected a share between 0 and 1, such as 0.9."
        raise InputError(msg)


def _grows(fitted: Fitted, coupling: Coupling) -> bool:
    from cellflow.couplings import Unbalanced

    inner = getattr(coupling, "coupling", coupling)
    return "growth" in fitted.flow.heads or isinstance(inner, Unbalanced)


def _compared(
    adata: AnnData,
    fitted: Fitted,
    kinds: Kinds,
    units: Units,
    given: Mapping[str, Any],
    *,
    progress: bool | None,
) -> tuple[dict[str, Any], tuple[FloatArray, ...]]:
    """Compare every condition with the reference; return the record and the values of the cells."""
    from cellflow.analysis.comparison import Asked
    from cellflow.model.description import coupling_from
    from cellflow.tl._compare_course import course_of, groups_of
    from cellflow.tl._compare_table import of_cells, table_of, words_of

    coupling = coupling_from(fitted.flow.recipe)
    grows = _grows(fitted, coupling)
    asked = Asked(
        given["n_perm"],
        given["level"],
        given["n_neighbors"],
        grows=grows,
        seed=given["random_state"],
    )
    groups = groups_of(adata, given["groupby"])
    others = range(1, len(kinds.names))
    courses = [course_of(fitted, kinds, units, k, coupling, given["max_cells"]) for k in others]
    found = _each(courses, groups, fitted, asked, progress=progress)
    record = {
        "table": table_of(found, units),
        "words": words_of(found, kinds, units, grows=grows),
        "conditions": list(kinds.names[1:]),
        "reference": kinds.names[0],
    }
    return dict(plain({**record, **given})), of_cells(fitted, found)


def _each(
    courses: Sequence[CourseOf],
    groups: Groups,
    fitted: Fitted,
    asked: Asked,
    *,
    progress: bool | None,
) -> list[tuple[CourseOf, Compared]]:
    """Results of all conditions. Plans between samples of the reference are solved once."""
    from tqdm import tqdm

    from cellflow.analysis.comparison import compare as compared
    from cellflow.tl._compare_course import groups_at

    known: dict[tuple[int, int], Moves] = {}
    found = []
    bar = tqdm(courses, desc="compare", unit="condition", disable=not is_shown(progress))
    for each in bar:
        course = replace(each.course, known=known)
        ends = groups_at(groups, course, len(course.times) - 1) if groups.names else None
        scale = np.broadcast_to(fitted.flow.frame.scale, (fitted.x.shape[1],))
        found.append((each, compared(course, scale, groups, asked, ends)))
    return found
