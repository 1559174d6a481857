"""`cellflow screen`: genes whose edits change fates."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import click

from cellflow.cli import _options as shared
from cellflow.cli._cells import changed
from cellflow.cli._options import named, option
from cellflow.cli._program import Command, Result
from cellflow.cli.perturb import EDITED, value_of

__all__ = ["screen"]

#: Options of `cf.tl.screen` that are passed on as they are.
_SAME = [
    option("--genes", "Genes to edit; all that can be decoded by default.", "NAME", several=True),
    option("--fate", "A fate that `cellflow fates` wrote; all by default.", "NAME"),
    *EDITED,
    option("--n-simulated", "Genes that are simulated.", "N", type=int, default=20),
    option("--max-cells", "Cells at most.", "N", type=int, default=256),
]
#: Columns of the table that is printed.
_SHOWN = ["gene", "fate", "effect_pp", "low", "high", "p", "p_matched", "q", "on_manifold", "r2"]


def _run(options: Mapping[str, Any]) -> Result:
    from cellflow import get, tl

    with changed(options) as adata:
        tl.screen(adata, to=value_of(options["to"]), **named(options, _SAME))
        table = get.screen(adata, key=options["key"])
    words = table.attrs["words"]
    top = table.head(options["top"])
    values = {
        "out": options["out"],
        "words": words,
        "table": json.loads(top.to_json(orient="records", double_precision=6)),
        "seed": options["seed"],
    }
    lines = top[_SHOWN].to_string(index=False, na_rep="", float_format="{:.3g}".format)
    wrote = f"wrote {options['out']}: " if options["out"] else ""
    return Result(values, f"{wrote}{adata.n_obs:,} cells", f"{lines}\n\n{words}")


screen = Command(
    "screen",
    "Edit every gene of cells that `cellflow fates` wrote by itself, and print the first effects.",
    _run,
    [
        shared.FILE,
        *_SAME,
        option("--to", "Value of each gene: 0 for a knock-out, or -1sd.", "VALUE", default="0"),
        option("--top", "Rows that are printed.", "N", type=click.IntRange(1), default=20),
        option("--out", "Write the cells with the result; may be the input file.", "OUT.h5ad"),
    ],
)
