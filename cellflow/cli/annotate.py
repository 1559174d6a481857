"""`cellflow annotate`: velocities and trajectories of fitted cells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cellflow.cli import _options as shared
from cellflow.cli._cells import as_genes, changed, wrote
from cellflow.cli._options import named, option
from cellflow.cli._program import Command, Result

__all__ = ["annotate"]

#: Options of both `cf.tl.velocity` and `cf.tl.trajectories`.
_BOTH = [shared.KEY, shared.OVERWRITE]


def _run(options: Mapping[str, Any]) -> Result:
    from cellflow import tl

    both = named(options, _BOTH)
    with changed(options) as adata:
        basis = options["basis"] or ("umap" if "X_umap" in adata.obsm else None)
        genes = as_genes(options["genes"], adata, options["key"])
        tl.velocity(adata, basis=basis, genes=genes, **both)
        tl.trajectories(adata, n_times=options["n_times"], **both)
    return wrote(options, adata, basis=basis)


annotate = Command(
    "annotate",
    "Add velocities and trajectories to cells that `cellflow fit` wrote.",
    _run,
    [
        shared.FILE,
        option("--basis", "Embedding for the velocities; umap by default, if present.", "NAME"),
        option("--n-times", "Points of each trajectory; 16 or more by default.", "N", type=int),
        option(
            "--genes",
            "Genes to write layers of: names, `decodable` for those that the representation can"
            " decode, or `all`; none by default.",
            "NAME",
            several=True,
        ),
        *_BOTH,
        shared.OUT,
    ],
)
