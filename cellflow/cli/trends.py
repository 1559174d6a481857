"""`cellflow trends`: expression of genes over time in fitted cells."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cellflow.cli import _options as shared
from cellflow.cli._cells import as_conditions, changed
from cellflow.cli._options import named, option, to_time
from cellflow.cli._program import Command, Result

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["trends"]

#: Options of `cf.tl.trends` that are passed on as they are.
_SAME = [
    option("--genes", "Names of genes.", "NAME", several=True, required=True),
    option("--fate", "Fates that `cellflow fates` found.", "FATE", several=True),
    option("--groupby", "Column of obs with groups of cells.", "COLUMN"),
    option("--start", "Follow the cells of this snapshot.", "T", type=to_time),
    option("--n-times", "Number of equal steps.", "N", type=int, default=50),
    option("--level", "Of the intervals.", "L", type=float, default=0.9),
    option("--min-cells", "Effective cells that a time needs.", "N", type=int, default=10),
    shared.KEY,
]
#: Columns of the table that is printed.
_SHOWN = ["gene", "fate", "group", "condition", "time", "mean", "low", "high", "measured", "n_eff"]


def _run(options: Mapping[str, Any]) -> Result:
    from cellflow import get, tl

    with changed(options) as adata:
        condition = as_conditions(options["condition"], adata, options["key"])
        tl.trends(adata, condition=condition, **named(options, _SAME))
        table = get.trends(adata, key=options["key"])
        several = "parting" in adata.uns[options["key"]]["trends"]
        parting = get.trends(adata, table="parting", key=options["key"]) if several else None
    words = table.attrs["words"]
    values = {"out": options["out"], "words": words, "table": _rows(table), "seed": options["seed"]}
    if parting is not None:
        values["parting"] = _rows(parting)
    at_snapshots = table[table["measured"].notna()]
    lines = at_snapshots[_SHOWN].to_string(index=False, na_rep="", float_format="{:.3g}".format)
    wrote = f"wrote {options['out']}: " if options["out"] else ""
    return Result(values, f"{wrote}{adata.n_obs:,} cells", f"{lines}\n\n{words}")


def _rows(table: pd.DataFrame) -> Any:
    return json.loads(table.to_json(orient="records", double_precision=6))


trends = Command(
    "trends",
    "Compute trends of genes over time in cells that `cellflow fit` wrote, and print them at the"
    " times of the snapshots.",
    _run,
    [
        shared.FILE,
        *_SAME,
        option(
            "--condition",
            "Conditions: values, or COLUMN=VALUE for each of several columns of one condition.",
            "VALUE",
            several=True,
        ),
        option("--out", "Write the cells with the result; may be the input file.", "OUT.h5ad"),
    ],
)
