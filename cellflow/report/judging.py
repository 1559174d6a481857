"""The verdict of a benchmark, cell types included, when it is made and when it is read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from cellflow.evaluation.celltypes import compare_types, errors_of_types
from cellflow.evaluation.comparison import Comparison
from cellflow.evaluation.metric import columns
from cellflow.evaluation.names import STRAIGHT, cloud_name
from cellflow.evaluation.table import COMPOSITION
from cellflow.evaluation.verdict import Verdict, judge
from cellflow.evaluation.words import sentence
from cellflow.report.celltypes import types_of_clouds
from cellflow.report.held import Held

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from cellflow.evaluation import HeldOut

__all__ = ["judged", "verdicts"]

#: Types of the fields of a comparison that are no float.
_TYPES = {"method": str, "protocol": str, "measure": str, "freedom": int, "n_samples": int}


def judged(
    adata: AnnData, found: HeldOut, params: Mapping[str, Any], cluster_key: str | None
) -> tuple[pd.DataFrame, pd.DataFrame, str]:
    """The table of a benchmark, what its methods are compared by, and the verdict in words."""
    import pandas as pd

    table = found.table()
    comparisons = found.comparisons
    if cluster_key is not None:
        held = Held(table, params, "", found.clouds, "")
        types = types_of_clouds(adata, held, cluster_key, [*held.models(), *held.without_model()])
        comparisons += compare_types(types, held.models())
        errors = errors_of_types(types)
        place = list(table.columns).index(columns()[-1]) + 1
        table.insert(place, COMPOSITION, _by_row(table, held, errors))
    lines = [sentence(verdict) for verdict in judge(comparisons, failures=found.failures)]
    return table, pd.DataFrame([asdict(c) for c in comparisons]), "\n".join(lines)


def _by_row(
    table: pd.DataFrame, held: Held, errors: Mapping[tuple[float, str], float]
) -> list[float]:
    """Errors of the rows whose cells were kept: baselines, and models of the first seed."""
    first = table["seed"].dropna().iloc[0] if table["seed"].notna().any() else None
    names = {pair: name for name, pair in held.models().items()}
    made = []
    for _, row in table.iterrows():
        model = row["kind"] == "model"
        name = names[row["method"], row["protocol"]] if model else cloud_name(row["method"])
        kept = row["seed"] == first if model else row["kind"] == "baseline"
        made.append(errors.get((float(row["time"]), name), math.nan) if kept else math.nan)
    return made


def verdicts(adata: AnnData, held: Held, cluster_key: str | None) -> tuple[Verdict, ...]:
    """The verdicts of a benchmark that was read back, with cell types if a column is given."""
    comparisons = _read(held.comparisons)
    if cluster_key is not None:
        comparisons = [c for c in comparisons if c.measure != "composition"]
        types = types_of_clouds(adata, held, cluster_key, [*held.models(), STRAIGHT])
        comparisons += compare_types(types, held.models())
    rows = held.table[(held.table["kind"] == "model") & held.table["w1_half"].isna()]
    failures = [(row["method"], row["note"]) for _, row in rows.iterrows() if row["note"]]
    return judge(comparisons, failures=failures)


def _read(table: pd.DataFrame | None) -> list[Comparison]:
    if table is None:
        return []
    # Tables of older versions lack the number of samples.
    names = [f.name for f in fields(Comparison) if f.name in table]
    types: dict[str, Any] = {name: _TYPES.get(name, float) for name in names}
    return [
        Comparison(**{name: kind(row[name]) for name, kind in types.items()})
        for _, row in table.iterrows()
    ]
