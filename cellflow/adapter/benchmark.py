"""The record of a hold-out in an AnnData, read and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.places import kind_of
from cellflow.adapter.record import read_record
from cellflow.errors import InputError, MissingKeyError

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["Benchmark", "read_benchmark"]

#: What to do where there is no benchmark.
_AGAIN = "Run cf.bench.holdout(adata, time_key=...) first"
#: Columns that every version wrote.
_REQUIRED = {
    *("time", "method", "protocol", "kind", "n_predicted", "n_observed", "n_half", "seconds"),
    *("w1", "w1_low", "w1_high", "energy", "variance_ratio", "mean_error", "c2st"),
    *("w1_half", "skill", "skill_low", "skill_high"),
}


@dataclass(frozen=True, eq=False)
class Benchmark:
    """What `cf.bench.holdout` wrote.

    Parameters
    ----------
    table
        Every row, text and numbers in their types, whatever file it came from.
    params
        What it was made with.
    verdict
        In words.
    clouds
        By time, then by name.
    version
        Of the package that made it.
    order
        Hash of the names of the cells that rows are counted in, or empty where it was not kept.
    comparisons
        What the verdict was made of; None where it was not kept.
    """

    table: pd.DataFrame
    params: Mapping[str, Any]
    verdict: str
    clouds: Mapping[str, Mapping[str, Mapping[str, Any]]]
    version: str
    order: str = ""
    comparisons: pd.DataFrame | None = None


def read_benchmark(adata: AnnData, key: str) -> Benchmark:
    """Read the record at `adata.uns[key]`.

    Raises
    ------
    MissingKeyError
        There is none.
    InputError
        It is not what `cf.bench.holdout` writes.
    """
    from cellflow.evaluation.comparison import Comparison
    from cellflow.evaluation.table import NUMBERS

    if kind_of(adata, key) != "benchmark":
        found = [str(k) for k in adata.uns]
        others = [k for k in found if kind_of(adata, k) == "benchmark"]
        there = f"benchmarks are at {others}; pass key=" if others else f"found {found}"
        msg = f"No held-out benchmark in adata.uns[{key!r}]; {there}. {_AGAIN}."
        raise MissingKeyError(msg)
    record = read_record(adata, key, "benchmark")
    _require_columns(record["table"], f"{key!r}]['table'", _REQUIRED, set(NUMBERS))
    comparisons = record.get("comparisons")
    if comparisons is not None:
        names = {f.name for f in fields(Comparison)}
        numbers = names - {"method", "protocol", "measure"}
        names -= {"n_samples"}  # missing in older versions
        _require_columns(comparisons, f"{key!r}]['comparisons'", names, numbers)
    return Benchmark(
        _typed(record["table"]),
        {str(k): v for k, v in dict(record["params"]).items()},
        str(record["verdict"]),
        record["clouds"],
        str(record.get("cellflow_version", "unknown")),
        str(record.get("order", "")),
        comparisons,
    )


def _require_columns(table: pd.DataFrame, where: str, columns: set[str], numbers: set[str]) -> None:
    """Make sure that a table has all columns, and that those of numbers hold numbers."""
    missing = sorted(columns - set(table.columns))
    text = sorted(name for name in numbers & set(table.columns) if not _is_numeric(table[name]))
    if not len(table) or not (missing or text):
        return
    what = f"lacks the columns {missing}" if missing else f"has no numbers in the columns {text}"
    msg = (
        f"adata.uns[{where}] {what}, so it is damaged or of another version. Expected all that"
        f" cf.bench.holdout writes. {_AGAIN}, again."
    )
    raise InputError(msg)


def _is_numeric(column: Any) -> bool:
    from pandas.api.types import is_numeric_dtype

    return column.ndim == 1 and is_numeric_dtype(column)


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    """The table with numbers as float64 and text as text; missing columns are empty."""
    import pandas as pd

    from cellflow.evaluation.table import NUMBERS, TEXT

    columns: dict[str, Any] = {}
    for name in table.columns:
        if name in NUMBERS:
            columns[name] = table[name].to_numpy(dtype=np.float64, na_value=np.nan)
        else:
            columns[str(name)] = ["" if pd.isna(value) else str(value) for value in table[name]]
    for name in (*NUMBERS, *TEXT):
        columns.setdefault(
            name, np.full(len(table), np.nan) if name in NUMBERS else [""] * len(table)
        )
    return pd.DataFrame(columns)
