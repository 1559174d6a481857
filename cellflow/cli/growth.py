"""`cellflow growth`: growth rates of fitted cells."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from cellflow.cli import _options as shared
from cellflow.cli._cells import changed
from cellflow.cli._options import named, option, switch
from cellflow.cli._program import Command, Result

__all__ = ["growth"]

#: Options of `cf.tl.growth`.
_GROWTH = [
    option("--n-neighbors", "Cells that rates of plans are means over.", "N", type=int, default=30),
    option("--max-cells", "Cells of a snapshot in the plans.", "N", type=int, default=2000),
    shared.EXTRAPOLATE,
    shared.KEY,
    shared.OVERWRITE,
]
#: Options of `cf.get.growth`.
_TABLE = [
    option("--groupby", "Column of obs with groups, for the table.", "COLUMN", required=True),
    switch("--by-time", "One row per group and time."),
    shared.KEY,
]


def _run(options: Mapping[str, Any]) -> Result:
    from cellflow import get, tl

    with changed(options) as adata:
        tl.growth(adata, random_state=options["seed"], **named(options, _GROWTH))
        table = get.growth(adata, **named(options, _TABLE))
    words = table.attrs["assumptions"]
    values = {
        "out": options["out"],
        "assumptions": words,
        "table": json.loads(table.to_json(orient="records", double_precision=6)),
        "seed": options["seed"],
    }
    lines = table.to_string(index=False, na_rep="", float_format="{:.4g}".format)
    wrote = f"wrote {options['out']}: " if options["out"] else ""
    return Result(values, f"{wrote}{adata.n_obs:,} cells", f"{lines}\n\n{words}")


growth = Command(
    "growth",
    "Add growth rates to cells that `cellflow fit --growth` wrote, and print them by group.",
    _run,
    [
        shared.FILE,
        *_GROWTH,
        *_TABLE[:2],
        option("--out", "Write the cells with the result; may be the input file.", "OUT.h5ad"),
    ],
)
