"""`cellflow fates`: what fitted cells become, or where they come from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from cellflow.cli import _options as shared
from cellflow.cli._cells import changed
from cellflow.cli._options import named, option, switch, to_time
from cellflow.cli._program import Command, Result

__all__ = ["fates"]

#: Options of `cf.tl.fates` that are passed on as they are.
_SAME = [
    option("--groupby", "Column of obs with labels.", "COLUMN", default="cell_type"),
    option("--absorb", "Groups that are terminal before the end, too.", "GROUP", several=True),
    switch("--stochastic", "Follow diffusions; needs a fit with a score."),
    option("--n-rep", "Diffusions of each cell.", "N", type=int, default=20),
    option("--ensemble", "Keys of other fits, to take the mean with.", "KEY", several=True),
    option("--threads", "Parts computed at the same time.", "N", type=int, default=1),
    shared.KEY,
    shared.OVERWRITE,
]


def _run(options: Mapping[str, Any]) -> Result:
    from cellflow import get, tl

    call = tl.ancestors if options["backward"] else tl.fates
    at = options["at"]
    if options["backward"] and at == "last":
        at = "first"
    with changed(options) as adata:
        call(adata, at=at, random_state=options["seed"], **named(options, _SAME))
    table = get.fates(
        adata, groupby=options["groupby"], backward=options["backward"], key=options["key"]
    )
    values = {
        "out": options["out"],
        "at": table.attrs["at"],
        "undecided": table.attrs["undecided"],
        "table": json.loads(table.to_json(orient="records", double_precision=6)),
        "seed": options["seed"],
    }
    wide = table.pivot_table("probability", "group", "fate", sort=False, observed=True)
    wrote = f"wrote {options['out']}: {adata.n_obs:,} cells"
    return Result(values, wrote, wide.to_string(float_format="{:.3f}".format))


def _to_end(value: object) -> float | str:
    """`"first"`, `"last"`, or a time. A type of click."""
    return str(value) if str(value) in {"first", "last"} else to_time(value)


fates = Command(
    "fates",
    "Compute fates of cells that `cellflow fit` wrote, and print their means by group.",
    _run,
    [
        shared.FILE,
        *_SAME,
        option(
            "--at", "Time at which fates are read: last, or as in 'day 5'.", "T",
            type=_to_end, default="last",
        ),
        switch("--backward", "Labels of ancestors instead; --at is the first time by default."),
        shared.OUT,
    ],
)  # fmt: skip
