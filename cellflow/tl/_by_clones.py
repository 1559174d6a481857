"""Calibration of fates by the later cells of clones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.keys import Keys
from cellflow.adapter.lineage import read_clones
from cellflow.adapter.places import kind_of
from cellflow.adapter.record import record_of
from cellflow.adapter.store import load_flow
from cellflow.analysis.calibration import (
    MOST_PROBABLE,
    Crossed,
    Judged,
    Reliability,
    by_clones,
    crossed,
    fitted,
    is_better,
    threshold,
)
from cellflow.errors import InputError
from cellflow.tl._calibration import Asked, Found, Source

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from scipy.sparse import csr_matrix

__all__ = ["by_lineage"]

#: Clones with a fate, below which the fate is mentioned as one that few clones have.
_FEW = 5


def by_lineage(adata: AnnData, source: Source, asked: Asked) -> Found:
    """Calibrate by the later cells of the clones of early cells.

    Raises
    ------
    MissingKeyError, InputError
        No clones, clones that the coupling has used, or fewer than two to compare with.
    """
    key = _lineage_key(source, asked)
    lineage = read_clones(adata, key)
    _require_kept_out(adata, source, lineage, key)
    judged = by_clones(
        source.probability, lineage, source.code, source.cells.time, source.weight, source.votes
    )
    _require_clones(judged, key)
    chosen = is_better(judged, asked.seed) if asked.offsets is None else asked.offsets
    fit = fitted(judged, offsets=chosen)
    outside = crossed(judged, asked.n_folds, asked.seed, offsets=asked.offsets)
    least = threshold(judged, outside.probability, asked.alpha)
    sets = source.sets(fit.scaling, least)
    low, high = fit.interval(asked.level)
    entry = {
        "lineage_key": key,
        "method": "temperature and offsets" if chosen else "temperature",
        "temperature": fit.scaling.temperature,
        "temperature_low": low,
        "temperature_high": high,
        "offsets": fit.scaling.offsets,
        "offsets_sd": fit.offsets_sd,
        "alpha": asked.alpha,
        "threshold": least,
        "set_size": float(sets[judged.rows].sum(axis=1).mean()),
        "unit": "clone",
        "n_cells": len(judged),
        "n_clones": judged.n_units,
        "n_clones_by_fate": judged.reached,
        "n_folds": min(asked.n_folds, judged.n_units),
    }
    entry |= _scored(judged, outside, asked, source.names)
    entry["words"] = _words(entry, source.names, asked.level)
    return Found(fit.scaling, sets, entry)


def _lineage_key(source: Source, asked: Asked) -> str:
    key = asked.lineage_key or source.record["params"].get("lineage_key")
    if key is None:
        msg = (
            "lineage_key=None, and the fit has none: no clones are known, and without them nothing"
            " says what single cells became. Expected a column of adata.obs with barcodes or a key"
            " of adata.obsm with clones; or pass by='composition', which corrects averages only."
        )
        raise InputError(msg)
    return str(key)


def _require_kept_out(adata: AnnData, source: Source, lineage: csr_matrix, key: str) -> None:
    """Require that no coupling of a fit that made the fates has used the clones."""
    for name in map(str, source.fates.about["ensemble"]):
        fit = Keys(name)
        if kind_of(adata, name) != "fit" or not _used_lineages(adata, fit):
            continue
        fitted_key = str(record_of(adata, fit)["params"]["lineage_key"])
        used = np.asarray(read_clones(adata, fitted_key).sum(axis=1)).ravel() > 0
        seen = np.asarray(lineage.T @ used.astype(np.float64)).ravel() > 0
        if seen.any():
            msg = (
                f"lineage_key={key!r}: {seen.sum()} of {len(seen)} clones have cells with barcodes"
                f" of {fitted_key!r}, which the coupling of the fit in adata.uns[{name!r}] has"
                " used. Such clones agree with the fates that they made. Expected clones that were"
                " kept out: fit with a column of obs in which their barcodes are NaN, and pass a"
                " column that has only theirs."
            )
            raise InputError(msg)


def _used_lineages(adata: AnnData, fit: Keys) -> bool:
    """Whether the plans of a fit depend on its lineages."""
    if record_of(adata, fit)["params"].get("lineage_key") is None:
        return False
    return "Lineage" in _types(load_flow(adata, fit).recipe.get("coupling"))


def _types(described: Any) -> Iterable[str]:
    """Names of all parts of a described coupling."""
    if isinstance(described, Mapping):
        yield str(described.get("type"))
        for inner in described.values():
            yield from _types(inner)


def _require_clones(judged: Judged, key: str) -> None:
    if judged.n_units >= 2:
        return
    found = "one clone has" if judged.n_units else "no clone has"
    msg = (
        f"lineage_key={key!r}: {found} cells before the end and labelled cells later. Expected at"
        " least two that have both: clones are the unit of replication. Clones that share a cell"
        " count as one. Pass another lineage_key=, or by='composition'."
    )
    raise InputError(msg)


def _scored(judged: Judged, outside: Crossed, asked: Asked, names: list[str]) -> dict[str, Any]:
    """Reliability and errors before calibration, and after it on clones that were kept out."""
    import pandas as pd

    tables = []
    errors = []
    for stage, probability in (("before", judged.predicted), ("after", outside.probability)):
        found = Reliability.of(judged, probability, asked.n_bins)
        table = found.table(names, asked.level)
        table.insert(0, "stage", stage)
        tables.append(table)
        errors.append(_errors(found, stage, names, asked))
    gain, error = outside.gain
    return {
        "table": pd.concat(tables, ignore_index=True),
        "errors": pd.concat(errors, ignore_index=True),
        "log_score_before": float(outside.weight @ outside.before),
        "log_score_after": float(outside.weight @ outside.after),
        "log_score_gain": gain,
        "log_score_gain_sd": error,
    }


def _errors(found: Reliability, stage: str, names: list[str], asked: Asked) -> pd.DataFrame:
    import pandas as pd

    rng = np.random.default_rng(asked.seed)
    low, high = found.ece_interval(asked.level, asked.n_boot, rng)
    return pd.DataFrame(
        {
            "stage": stage,
            "fate": found.groups(names),
            "ece": found.ece,
            "low": low,
            "high": high,
            "chance": found.chance,
        }
    )


def _words(entry: Mapping[str, Any], names: list[str], level: float) -> str:
    """What was found, in sentences."""
    low = entry["temperature_low"]
    high = entry["temperature_high"]
    if np.isnan(low):
        kind = "the limit: the fates do not tell clones apart, or tell them without an error"
    elif low > 1.0:
        kind = "probabilities were too certain"
    elif high < 1.0:
        kind = "probabilities were not certain enough"
    else:
        kind = "probabilities may be right"
    top = entry["errors"].groupby("fate").get_group(MOST_PROBABLE).set_index("stage")
    ece = {
        stage: "{ece:.3f} [{low:.3f}, {high:.3f}], {chance:.3f} by chance".format(**row)
        for stage, row in top.iterrows()
    }
    few = [
        f"{name} ({count})"
        for name, count in zip(names, entry["n_clones_by_fate"], strict=True)
        if count < _FEW
    ]
    return (
        f"{entry['n_cells']:,} cells beside later cells of their {entry['n_clones']:,} clones, the"
        f" unit of replication. Temperature {entry['temperature']:.2f} [{low:.2f}, {high:.2f}]:"
        f" {kind}. Calibration error of the most probable fate {ece['before']}; after calibration,"
        f" of clones that were kept out, {ece['after']}. Intervals of {level:.0%}."
        + (f" Few clones reach {', '.join(few)}." if few else "")
    )
