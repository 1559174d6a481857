"""`cellflow translate`: cells of one group as cells of another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cellflow.cli import _options as shared
from cellflow.cli._cells import as_genes, read_storable, wrote
from cellflow.cli._options import named, option
from cellflow.cli._program import Command, Result

__all__ = ["translate"]

#: Options of `cf.tl.translate`.
_TRANSLATE = [
    option("--groupby", "Column of obs with the groups.", "COLUMN", required=True),
    option("--source", "Group to translate.", "NAME", required=True),
    option("--target", "Group to translate into.", "NAME", required=True),
    shared.USE_REP,
    shared.N_DIMS,
    option("--method", "Recipe.", "NAME", default="ot-cfm"),
    shared.LAYER,
    shared.FORCE_REP,
    shared.CLUSTER_KEY,
    shared.DEVICE,
    shared.KEY_ADDED,
]


def _run(options: Mapping[str, Any]) -> Result:
    from cellflow import tl
    from cellflow.adapter.h5ad import write_h5ad

    adata = read_storable(options)
    made = tl.translate(
        adata,
        genes=as_genes(options["genes"], adata),
        random_state=options["seed"],
        **named(options, _TRANSLATE),
    )
    write_h5ad(made, options["out"])
    return wrote(options, made, source=options["source"], target=options["target"])


translate = Command(
    "translate",
    "Translate cells of one group into another: a healthy cell as it would be, had it been ill.",
    _run,
    [
        shared.FILE,
        *_TRANSLATE,
        option(
            "--genes", "Genes to write: names, or `none`; all by default.", "NAME", several=True
        ),
        shared.OUT,
    ],
)
