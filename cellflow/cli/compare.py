"""`cellflow compare`: conditions of fitted cells, with samples as replicates."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import click

from cellflow.cli import _options as shared
from cellflow.cli._cells import changed
from cellflow.cli._options import named, option
from cellflow.cli._program import Command, Result

__all__ = ["compare"]

#: Options of `cf.tl.compare`.
_SAME = [
    option("--condition-key", "Column of obs with the conditions.", "COLUMN", required=True),
    option("--sample-key", "Column of obs with samples; that of the fit by default.", "COLUMN"),
    option("--groupby", "Column of obs with labels, for groups and fates.", "COLUMN"),
    option("--reference", "Condition that others are compared with.", "VALUE"),
    option(
        "--by",
        "What is a replicate; cells are none, and give p-values that are too small.",
        type=click.Choice(["sample", "cell"]),
        default="sample",
    ),
    option("--n-perm", "Permutations of the samples.", "N", type=int, default=999),
    option("--level", "Of the intervals.", "L", type=float, default=0.9),
    option("--n-neighbors", "Cells that a velocity is a mean over.", "N", type=int, default=30),
    option("--max-cells", "Cells of a sample at one time.", "N", type=int, default=300),
    shared.KEY,
    shared.OVERWRITE,
]
#: Columns of the table that is printed.
_SHOWN = ["quantity", "group", "fate", "time", "condition", "effect", "low", "high", "p", "q"]


def _run(options: Mapping[str, Any]) -> Result:
    from cellflow import get, tl

    with changed(options) as adata:
        tl.compare(adata, random_state=options["seed"], **named(options, _SAME))
        table = get.comparison(adata, key=options["key"])
    words = table.attrs["words"]
    values = {
        "out": options["out"],
        "words": words,
        "table": json.loads(table.to_json(orient="records", double_precision=6)),
        "seed": options["seed"],
    }
    lines = table[_SHOWN].to_string(index=False, na_rep="", float_format="{:.3g}".format)
    wrote = f"wrote {options['out']}: " if options["out"] else ""
    return Result(values, f"{wrote}{adata.n_obs:,} cells", f"{lines}\n\n{words}")


compare = Command(
    "compare",
    "Compare the conditions of cells that `cellflow fit` wrote, and print the effects.",
    _run,
    [
        shared.FILE,
        *_SAME,
        option("--out", "Write the cells with the result; may be the input file.", "OUT.h5ad"),
    ],
)
