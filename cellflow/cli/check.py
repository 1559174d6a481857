"""`cellflow check`: what is wrong with the cells, before any work."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from cellflow.cli import _options as shared
from cellflow.cli._options import named
from cellflow.cli._program import Command, Result

__all__ = ["check"]

#: Options of `cf.pp.check`.
_CHECK = [
    shared.TIME_KEY,
    shared.USE_REP,
    shared.N_DIMS,
    shared.LAYER,
    shared.WEIGHT_KEY,
    shared.MASS_KEY,
    shared.GROWTH_KEY,
    shared.SAMPLE_KEY,
    shared.LINEAGE_KEY,
    shared.FORCE_REP,
]
#: The exit code of input that cannot be used.
_UNUSABLE = 4


def _run(options: Mapping[str, Any]) -> Result:
    from cellflow import pp
    from cellflow.adapter.read import read_h5ad

    table = pp.check(read_h5ad(options["file"]), **named(options, _CHECK))
    lines = [
        f"{row['severity']}: {row['key']} {row['found']}; expected {row['expected']}."
        f" {row['remedy']}"
        for _, row in table.iterrows()
    ]
    n_errors = int((table["severity"] == "error").sum())
    return Result(
        {"findings": json.loads(table.to_json(orient="records"))},
        f"{len(table)} findings, {n_errors} of them errors",
        "\n".join(lines) if lines else None,
        _UNUSABLE if n_errors else 0,
    )


check = Command(
    "check",
    "List what `cellflow fit` would stop at, warn of or note; exit code 4 where it would stop.",
    _run,
    [shared.FILE, *_CHECK],
)
