"""`cellflow bench`: held-out snapshots, or a table of the literature."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cellflow.cli import _options as shared
from cellflow.cli._cells import read_storable
from cellflow.cli._options import named, option, switch, to_seed, to_time
from cellflow.cli._program import Command, Result
from cellflow.errors import MissingKeyError, closest

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["bench"]

#: Options that both calls have.
_BOTH = [
    option("--methods", "Recipes; the default one by default.", "NAME", several=True),
    option(
        "--times", "Snapshots to hide; all inner ones by default.", "T", type=to_time, several=True
    ),
    option("--n-jobs", "Tasks at once, -1 for one per core; 1 by default.", "N", type=int),
    option("--cache", "Keep finished tasks here, so that a run can be resumed.", "FOLDER"),
]
#: Options of `cf.bench.holdout` alone, which are None where they are not given.
_OWN = [
    option("--time-key", "Column of obs with the times.", "COLUMN"),
    shared.N_DIMS,
    shared.LAYER,
    shared.WEIGHT_KEY,
    shared.MASS_KEY,
    option("--growth", "none, prior, learn or auto; none by default.", "NAME"),
    shared.GROWTH_KEY,
    shared.SAMPLE_KEY,
    shared.LINEAGE_KEY,
    shared.CLUSTER_KEY,
]
#: Where results of a hold-out go; None where they are not given.
_WHERE = [
    option("--key key_added", "Key in uns of the result; cf_holdout by default.", "NAME"),
    option("--out", "Write the cells with the result; may be the input file.", "OUT.h5ad"),
    option("--report", "Write the result as one page that explains itself.", "OUT.html"),
]
#: Options of `cf.bench.literature` alone.
_PUBLISHED = [
    option("--dims", "Principal components; 5 by default.", type=click.Choice(["5", "50", "100"])),
    option(
        "--protocol",
        "From the snapshot before, or from the first; P1 by default.",
        type=click.Choice(["P1", "P2"]),
    ),
    option("--data", "File or folder of the published set; fetched once by default.", "PATH"),
]
#: Seeds of the published tables.
_SEEDS = (42, 43, 44, 45, 46)


def _run(options: Mapping[str, Any]) -> Result:
    published = options["literature"] is not None
    for parameter in (_FILE, *_OWN, *_WHERE) if published else _PUBLISHED:
        if options[str(parameter.name)] is not None:
            other = "without" if published else "with"
            name = "an input file" if parameter is _FILE else parameter.opts[0]
            msg = f"{name} goes {other} --literature only"
            raise click.UsageError(msg, click.get_current_context())
    if not published and (options["file"] is None or options["time_key"] is None):
        msg = "give IN.h5ad and --time-key, or --literature"
        raise click.UsageError(msg, click.get_current_context())
    return _literature(options) if published else _holdout(options)


def _holdout(options: Mapping[str, Any]) -> Result:
    from cellflow import bench
    from cellflow.adapter.h5ad import write_h5ad
    from cellflow.core._paths import check_writable
    from cellflow.evaluation.table import LISTED

    cluster_key = options["cluster_key"]
    key = options["key_added"] or "cf_holdout"
    seeds = options["seeds"] or [options["seed"]]
    if options["report"] is not None:
        check_writable(options["report"], suffix=".html")
    adata = read_storable(options)
    if cluster_key is not None and cluster_key not in adata.obs:
        hint = closest(cluster_key, sorted(map(str, adata.obs)))
        msg = f"--cluster-key: adata.obs has no column {cluster_key!r}{hint}"
        raise MissingKeyError(msg)
    table = bench.holdout(
        adata,
        use_rep=options["use_rep"],
        force_rep=options["force_rep"],
        seeds=seeds,
        leak_free=not options["as_given"],
        key_added=key,
        **named(options, [*_BOTH, *_OWN]) | {"growth": options["growth"] or "none"},
    )
    if options["out"] is not None:
        write_h5ad(adata, options["out"])
    if options["report"] is not None:
        title = f"Held-out report: {Path(options['file']).name}"
        bench.report(adata, options["report"], key=key, cluster_key=cluster_key, title=title)
    about = "; ".join(dict.fromkeys(table["representation"]))
    return _result(table, table[list(LISTED)], about, seeds)


def _literature(options: Mapping[str, Any]) -> Result:
    from cellflow import bench

    seeds = options["seeds"] or list(_SEEDS)
    dims: Any = int(options["dims"] or 5)
    table = bench.literature(
        options["literature"],
        data=options["data"],
        dims=dims,
        protocol=options["protocol"] or "P1",
        seeds=seeds,
        **named(options, _BOTH),
    )
    shown = table.drop(columns=["n_predicted", "n_observed", "note"])
    return _result(table, shown, table.attrs["about"], seeds)


def _result(table: pd.DataFrame, shown: pd.DataFrame, about: str, seeds: Sequence[int]) -> Result:
    """A table with what it means."""
    verdict = table.attrs["verdict"]
    lines = shown.dropna(axis=1, how="all").to_string(
        index=False, na_rep="", float_format="{:.4g}".format
    )
    counts = table.loc[table["note"] != "", "note"].value_counts()
    notes = [f"note on rows, {n}: {note}" for note, n in counts.items()]
    values = {
        "about": about,
        "verdict": verdict,
        "table": json.loads(table.to_json(orient="records", double_precision=6)),
        "seeds": list(seeds),
    }
    return Result(values, about, "\n".join([lines, "", *notes, verdict]))


_FILE = click.Argument(["file"], metavar="[IN.h5ad]", required=False)
bench = Command(
    "bench",
    "Hide snapshots in turn, predict them, and compare; or run a table of the literature.",
    _run,
    [
        _FILE,
        *_OWN,
        shared.USE_REP,
        shared.FORCE_REP,
        *_BOTH,
        option(
            "--seeds",
            "Of the fits; --seed by default, 42 to 46 for the literature.",
            "N",
            type=to_seed,
            several=True,
        ),
        switch("--as-given", "Keep a representation that has seen the hidden cells."),
        option(
            "--literature",
            "Run the published protocol on a published set.",
            type=click.Choice(["eb", "cite", "multi"]),
        ),
        *_PUBLISHED,
        *_WHERE,
    ],
)
