"""`cellflow drivers`: genes that drive the decision for a fate."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import click

from cellflow.cli import _options as shared
from cellflow.cli._cells import changed
from cellflow.cli._options import named, option, to_time
from cellflow.cli._program import Command, Result

__all__ = ["drivers"]

#: Options of `cf.tl.drivers` that are passed on as they are.
_SAME = [
    option("--fate", "A fate that `cellflow fates` wrote.", "NAME", required=True),
    option(
        "--window", "First and last time of the cells; by default those before commitment.", "T",
        type=to_time, several=True,
    ),
    option("--genes", "Genes to test; all by default.", "NAME", several=True),
    option(
        "--response",
        "What changes with a gene: what varies together with it, or nothing else.",
        type=click.Choice(["auto", "covariance", "alone"]),
        default="auto",
    ),
    option("--max-cells", "Cells whose sensitivities are computed.", "N", type=int, default=1000),
    shared.KEY,
]  # fmt: skip
#: Columns of the table that is printed.
_SHOWN = ["gene", "rank", "score", "q", "q_matched", "association", "sensitivity", "velocity"]


def _run(options: Mapping[str, Any]) -> Result:
    from cellflow import get, tl

    with changed(options) as adata:
        tl.drivers(adata, **named(options, _SAME))
        table = get.drivers(adata, options["fate"], key=options["key"])
    words = table.attrs["words"][options["fate"]]
    top = table.head(options["top"])
    values = {
        "out": options["out"],
        "words": words,
        "table": json.loads(top.to_json(orient="records", double_precision=6)),
        "seed": options["seed"],
    }
    lines = top[[*_SHOWN, "marker_rank", "r2"]].to_string(
        index=False, na_rep="", float_format="{:.3g}".format
    )
    wrote = f"wrote {options['out']}: " if options["out"] else ""
    return Result(values, f"{wrote}{adata.n_obs:,} cells", f"{lines}\n\n{words}")


drivers = Command(
    "drivers",
    "Find genes that drive a fate of cells that `cellflow fates` wrote, and print the first.",
    _run,
    [
        shared.FILE,
        *_SAME,
        option("--top", "Genes that are printed.", "N", type=click.IntRange(1), default=20),
        option("--out", "Write the cells with the result; may be the input file.", "OUT.h5ad"),
    ],
)
