"""`cellflow fit`: a fit, stored with the cells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cellflow.cli import _options as shared
from cellflow.cli._cells import changed, wrote
from cellflow.cli._options import named, option, switch, to_time
from cellflow.cli._program import Command, Result

__all__ = ["fit"]

#: Options of `cf.tl.flow`.
_FLOW = [
    shared.TIME_KEY,
    shared.USE_REP,
    shared.N_DIMS,
    shared.METHOD,
    shared.LAYER,
    shared.WEIGHT_KEY,
    shared.MASS_KEY,
    option("--growth", "none, prior, learn or auto.", "NAME", default="none"),
    shared.GROWTH_KEY,
    shared.SAMPLE_KEY,
    shared.LINEAGE_KEY,
    option("--lineage-strength", "How far barcodes are trusted.", "S", type=float, default=1.0),
    option("--n-members", "Flows to fit; several give intervals.", "N", type=int, default=1),
    shared.FORCE_REP,
    switch("--score", "Learn the score too, for stochastic questions."),
    option(
        "--condition-key", "Columns of obs with conditions (drug, donor).", "COLUMN", several=True
    ),
    option("--shared-until", "Last time at which cells precede all conditions.", "T", type=to_time),
    shared.DEVICE,
    shared.KEY_ADDED,
    shared.OVERWRITE,
]


def _run(options: Mapping[str, Any]) -> Result:
    from cellflow import tl

    with changed(options) as adata:
        tl.flow(adata, random_state=options["seed"], **named(options, _FLOW))
    return wrote(options, adata, method=options["method"])


fit = Command(
    "fit",
    "Learn the dynamics of the cells in an h5ad file, and store it there.",
    _run,
    [shared.FILE, *_FLOW, shared.OUT],
)
