"""`cellflow diagnose`: whether the parts of a fit agree."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from cellflow.cli import _options as shared
from cellflow.cli._cells import changed
from cellflow.cli._options import named, option
from cellflow.cli._program import Command, Result

__all__ = ["diagnose"]

#: Options of `cf.tl.diagnose`.
_DIAGNOSE = [
    shared.CLUSTER_KEY,
    option("--n-cells", "Cells to use of each snapshot.", "N", type=int, default=1000),
    shared.KEY,
    shared.OVERWRITE,
]


def _run(options: Mapping[str, Any]) -> Result:
    from cellflow import get, tl

    with changed(options) as adata:
        tl.diagnose(adata, random_state=options["seed"], **named(options, _DIAGNOSE))
    table = get.diagnosis(adata, key=options["key"])
    verdict = table.attrs["verdict"]
    values = {
        "out": options["out"],
        "verdict": verdict,
        "table": json.loads(table.to_json(orient="records", double_precision=6)),
        "seed": options["seed"],
    }
    lines = table.T.to_string(header=False, na_rep="", float_format="{:.4g}".format)
    wrote = f"wrote {options['out']}: " if options["out"] else ""
    return Result(values, f"{wrote}{adata.n_obs:,} cells", f"{lines}\n\n{verdict}")


diagnose = Command(
    "diagnose",
    "Compare the parts of a fit with each other and with the cells, and print a verdict.",
    _run,
    [
        shared.FILE,
        *_DIAGNOSE,
        option("--out", "Write the cells with the result; may be the input file.", "OUT.h5ad"),
    ],
)
