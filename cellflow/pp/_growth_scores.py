"""Growth rates of cells that are known before a fit, from the expression of marker genes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from cellflow.adapter.expression import examine_expression, expression, expression_at
from cellflow.adapter.findings import settle
from cellflow.adapter.keys import Keys
from cellflow.adapter.read import examine_column, require_anndata
from cellflow.adapter.scale import linear_scale
from cellflow.adapter.units import WORDS, TimeUnit
from cellflow.adapter.write import Staged, target_of, write
from cellflow.core._arguments import check_arguments
from cellflow.core._numbers import as_number, shown
from cellflow.core._settings import guarded
from cellflow.core._typing import FloatArray
from cellflow.core._version import __version__
from cellflow.errors import InputError
from cellflow.pp._genes import columns_of, lists_of, require_varying

if TYPE_CHECKING:
    from anndata import AnnData

    from cellflow.core._moments import Expression

__all__ = ["growth_scores"]

#: Days in a unit of time; a month is a twelfth of a Gregorian year.
_DAYS = {
    "seconds": 1.0 / 86_400.0,
    "minutes": 1.0 / 1_440.0,
    "hours": 1.0 / 24.0,
    "days": 1.0,
    "weeks": 7.0,
    "months": 365.2425 / 12.0,
    "years": 365.2425,
}


@guarded
def growth_scores(
    adata: AnnData,
    time_key: str | None = None,
    *,
    time_unit: str | None = None,
    organism: Literal["auto", "human", "mouse"] = "auto",
    birth: Sequence[str] | None = None,
    death: Sequence[str] | None = None,
    birth_rates: Sequence[float] = (0.3, 1.7),
    death_rates: Sequence[float] = (0.3, 1.7),
    layer: str | None = None,
    key_added: str = "cf_growth_prior",
    overwrite: bool = False,
    copy: bool = False,
) -> AnnData | None:
    r"""Write a growth rate of every cell from its expression of cell-cycle and apoptosis genes.

    The score of a list is the mean of the z-scores of its genes, each cut off at 5. A logistic
    function maps the scores to a rate of birth and a rate of death, as in Waddington-OT; their
    difference is the growth rate. The rates are an assumption: expression ranks cells by how much
    they divide, and the bounds say how much that is. `cf.tl.flow(growth="prior")` uses them as they
    are, `growth="auto"` only if they help to predict held-out snapshots.

    Parameters
    ----------
    adata
        Cells with log-normalised expression.
    time_key
        Column of `adata.obs` with the times, as for `cf.tl.flow`. Rates are written per unit of it,
        which its values or its name say: `"48h"`, `"day 3"`, `"E8.5"`, a column `"hours"`.
    time_unit
        Unit of time that rates are written per: `"hours"`, `"days"`, ... Needed where the column
        does not say it.
    organism
        Organism of the lists that come with the package. `"auto"` sees it from the capitals of the
        gene names.
    birth, death
        Lists of genes in place of these: the cell-cycle genes of Tirosh et al. 2016, and the
        hallmark set of apoptosis. Genes of both lists that come with the package count for birth
        only.
    birth_rates, death_rates
        Smallest and largest rate, per day, whatever the unit of time is. At 1.7 a day a population
        doubles in log(2) / 1.7 days, ten hours.
    layer
        Log-normalised expression; `adata.X` by default.
    key_added
        Column of the rates. The other names begin with it.
    overwrite
        Replace existing fields that this function did not write.
    copy
        Return a changed copy, and leave `adata` unchanged.

    Returns
    -------
    None, or the copy. Written are

    - `obs["cf_growth_prior"]`: float64, shape (n_obs,). Growth rate, birth less death, per unit of
      time.
    - `obs["cf_growth_prior_birth"]`: float64, shape (n_obs,). Score of the first list.
    - `obs["cf_growth_prior_death"]`: float64, shape (n_obs,). Score of the second list.
    - `uns["cf_growth_prior"]`: dict. The unit, the bounds, the genes, and their source.

    Raises
    ------
    InputError
        Expression that is missing, not finite, or not on a logarithmic scale; no gene of a list, as
        with Ensembl ids for names; an unknown unit of time, or bounds that do not increase; `adata`
        is unchanged.

    Warns
    -----
    InputWarning
        Few genes of a list.

    See Also
    --------
    cellflow.tl.flow, cellflow.tl.growth

    References
    ----------
    Schiebinger et al., Optimal-transport analysis of single-cell gene expression identifies
    developmental trajectories in reprogramming, Cell 2019 (the mapping and its bounds); Tirosh et
    al., Dissecting the multicellular ecosystem of metastatic melanoma by single-cell RNA-seq,
    Science 2016 (cell-cycle genes); Liberzon et al., The Molecular Signatures Database hallmark
    gene set collection, Cell Systems 2015 (apoptosis; CC BY 4.0).

    Examples
    --------
    >>> cf.pp.growth_scores(adata, "hours")
    >>> cf.tl.flow(adata, "hours", growth="auto")
    """
    check_arguments(growth_scores, locals())
    from cellflow.analysis.growth_prior import BIRTH, DEATH, mean_z_score

    require_anndata(adata)
    Keys(key_added)  # a name that a file can hold
    unit = _unit(adata, time_key, time_unit)
    bounds = {
        "birth_rates": _bounds("birth_rates", birth_rates),
        "death_rates": _bounds("death_rates", death_rates),
    }
    rows = _log_expression(adata, layer)
    lists, source = lists_of(adata, organism, birth, death)
    target = target_of(adata, copy=copy)
    scores: dict[str, FloatArray] = {}
    used: dict[str, Any] = {}
    for name, genes in lists.items():
        columns = columns_of(adata, name, genes)
        scores[name], varying = mean_z_score(rows, columns)
        require_varying(adata, name, varying, len(genes), expression_at(layer))
        used[f"{name}_genes"] = np.array(adata.var_names[varying], dtype=object)
    per_day = BIRTH.rate(scores["birth"], bounds["birth_rates"])
    per_day = per_day - DEATH.rate(scores["death"], bounds["death_rates"])
    record = {
        "cellflow_version": __version__,
        "time_unit": unit,
        "organism": source,
        **{name: np.array(pair) for name, pair in bounds.items()},
        **used,
    }
    staged: Staged = {
        "obs": {
            key_added: per_day * _DAYS[unit],
            f"{key_added}_birth": scores["birth"],
            f"{key_added}_death": scores["death"],
        },
        "uns": {key_added: record},
    }
    _require_free(adata, staged, key_added, overwrite=overwrite)
    write(target, staged)
    return target if copy else None


def _unit(adata: AnnData, time_key: str | None, time_unit: str | None) -> str:
    """Name of the unit of time that rates are written per."""
    if time_unit is not None:
        word = WORDS.get(time_unit.strip().casefold())
        if word is None or word.name not in _DAYS:
            msg = f"time_unit={shown(time_unit)}; expected one of {list(_DAYS)}."
            raise InputError(msg)
        return word.name
    found = ""
    if time_key is not None:
        parsed = settle(examine_column(adata, time_key))
        found = TimeUnit.of(parsed.unit, parsed.zero, time_key).name
    if found not in _DAYS:
        where = "No time_key=" if time_key is None else f"adata.obs[{time_key!r}] names no unit"
        msg = (
            f"{where}, so that the unit of time that rates are written per is not known. Expected"
            f" time_unit=, one of {list(_DAYS)}: the unit of the times of cf.tl.flow."
        )
        raise InputError(msg)
    return found


def _bounds(name: str, values: Sequence[float]) -> tuple[float, float]:
    """The smallest and the largest rate."""
    pair = tuple(values) if np.ndim(values) == 1 else ()
    if len(pair) != 2:
        msg = f"{name}={shown(values)}; expected two rates per day, the smallest and the largest."
        raise InputError(msg)
    low, high = (as_number(name, value, least=0.0) for value in pair)
    if low > high:
        msg = f"{name}={shown(values)}; expected the smallest rate first."
        raise InputError(msg)
    return low, high


def _log_expression(adata: AnnData, layer: str | None) -> Expression:
    """Expression by blocks of rows, finite and not on a linear scale."""
    rows = expression(adata, layer)
    if rows is None:
        msg = (
            f"{expression_at(layer)} holds no expression. Expected log-normalised expression: pass"
            " layer=, or cells with genes."
        )
        raise InputError(msg)
    for problem in examine_expression(adata, layer):
        raise problem.kind(problem.message)
    linear = linear_scale(rows)
    if linear:
        msg = (
            f"{expression_at(layer)} {linear}. Expected log-normalised expression. Run"
            " sc.pp.normalize_total and sc.pp.log1p, or pass layer=."
        )
        raise InputError(msg)
    return rows


def _require_free(adata: AnnData, staged: Staged, key: str, *, overwrite: bool) -> None:
    """Require that no field of another origin is replaced."""
    record = adata.uns.get(key)
    if overwrite or (isinstance(record, Mapping) and "birth_rates" in record):
        return
    for slot, values in staged.items():
        for name in values:
            if name in getattr(adata, slot):
                msg = (
                    f"adata.{slot}[{name!r}] exists and was not written by this function. Expected"
                    " a free name: pass another key_added=, or overwrite=True to replace it."
                )
                raise InputError(msg)
