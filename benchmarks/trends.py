"""Trends of genes along two fates where the truth is known: intervals, and the time of parting.

    python benchmarks/trends.py --out trends.jsonl [--seeds 100] [--members 6] [--cells 150]
    [--steps 300] [--table]

Every seed is a fresh data set of four snapshots and a fresh ensemble. Cells are of two fates, which
lie apart from the start and share a uniform motion; from the second snapshot on, at time 1, they
move apart in one more direction. Half of the genes do not see the directions in which fates differ,
the other half sees the second one. Expression has noise of its own.

- interval: how often an interval of 90 % covers the true mean, at the snapshots and between them;
- difference: the same of the difference between the fates;
- parting: of genes that never part, the share with a time of parting; of those that part, the share
  with a time, with one before the true time, and the median of the times.

`by_set` is the standard error over the data sets. Rows are appended to --out, and what is there is
not computed again; `--table` only prints.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import anndata as ad
import numpy as np
import pandas as pd

import cellflow as cf
import records
from cellflow.core._typing import FloatArray
from cellflow.training import Training

#: Snapshots, and times of the trends.
TIMES = (0.0, 1.0, 2.0, 3.0)
GRID = np.arange(0.0, 3.01, 0.25)
#: When the fates part, and how fast.
PARTED = 1.0
SPEED = 1.0
#: Genes of each kind, and standard deviation of their noise.
GENES = 15
NOISE = 0.5
LEVEL = 0.9

Row = dict[str, Any]


class Given(NamedTuple):
    """What a data set is made with."""

    seed: int
    n_cells: int
    n_members: int
    steps: int


def loadings(rng: np.random.Generator) -> FloatArray:
    """Of genes that see the shared motion and the spread, then of those that see the parting."""
    found = rng.normal(size=(2 * GENES, 4))
    found[:, 0] = 0.0
    found[:GENES, 2] = 0.0
    return np.asarray(2.0 * found / np.linalg.norm(found, axis=1, keepdims=True))


def mean_state(fate: int, t: FloatArray) -> FloatArray:
    """Mean of the cells of a fate, `(n, 4)`."""
    sign = 2.0 * fate - 1.0
    apart = sign * SPEED * np.maximum(t - PARTED, 0.0)
    return np.column_stack([3.0 * sign + 0.0 * t, t, apart, 0.0 * t])


def cells_of(given: Given) -> tuple[ad.AnnData, FloatArray]:
    """Cells with their expression, and the loadings."""
    rng = np.random.default_rng(given.seed)
    axes = loadings(rng)
    time = np.repeat(TIMES, given.n_cells)
    fate = rng.integers(2, size=len(time))
    x = 0.5 * rng.normal(size=(len(time), 4))
    for kind in (0, 1):
        x[fate == kind] += mean_state(kind, time[fate == kind])
    expression = 5.0 + x @ axes.T + NOISE * rng.normal(size=(len(time), 2 * GENES))
    adata = ad.AnnData(expression.astype(np.float32))
    adata.obs_names = [f"cell{k}" for k in range(len(time))]
    adata.obs["time"] = time
    adata.obs["kind"] = np.array(["a", "b"])[fate]
    adata.obsm["X_state"] = x.astype(np.float32)
    return adata, axes


def rows_of(given: Given) -> Iterator[Row]:
    """Results on one data set."""
    adata, axes = cells_of(given)
    training = Training(steps=given.steps)
    method = cf.recipes.ot_cfm(training=training)
    how: dict[str, Any] = {"n_members": given.n_members, "random_state": given.seed}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cf.tl.flow(adata, "time", use_rep="X_state", method=method, progress=False, **how)
        cf.tl.fates(adata, "kind", progress=False)
        genes = list(adata.var_names)
        cf.tl.trends(adata, genes, fate=["a", "b"], times=GRID, level=LEVEL, progress=False)
    truth = {kind: 5.0 + mean_state(k, GRID) @ axes.T for k, kind in enumerate("ab")}
    table = cf.get.trends(adata)
    for kind in "ab":
        for time, rows in table[table["fate"] == kind].groupby("time"):
            about = {"quantity": "interval", "at": _at(float(time))}
            yield about | _judged(rows, rows["mean"], truth[kind][time == GRID][0])
    differ = cf.get.trends(adata, table="differences")
    for time, rows in differ.groupby("time"):
        wanted = (truth["a"] - truth["b"])[time == GRID][0]
        yield {"quantity": "difference", "at": _at(float(time))} | _judged(
            rows, rows["difference"], wanted
        )
    when = cf.get.trends(adata, table="parting")["time"].to_numpy()
    yield {"quantity": "never part", "found": float(np.isfinite(when[:GENES]).mean())}
    part = when[GENES:]
    yield {
        "quantity": "part",
        "found": float(np.isfinite(part).mean()),
        "early": float((part < PARTED).mean()),
        "median": float(np.nanmedian(part)),
    }


def _at(time: float) -> str:
    return "snapshots" if time in TIMES else "between"


def _judged(rows: pd.DataFrame, mean: pd.Series, truth: FloatArray) -> Row:
    """Share of the intervals that cover the truth, and squares of errors and standard errors."""
    low = rows["low"].to_numpy()
    high = rows["high"].to_numpy()
    return {
        "covered": float(np.mean((low <= truth) & (truth <= high))),
        "error": float(np.mean((mean.to_numpy() - truth) ** 2)),
        "se": float(np.mean(rows["se"] ** 2)),
    }


def tables(frame: pd.DataFrame) -> None:
    """Print coverage, and what is said about parting."""
    inside = frame[frame["quantity"].isin(["interval", "difference"])]
    by = ["quantity", "at"]
    per_set = inside.groupby([*by, "seed"])["covered"].mean()
    found = per_set.groupby(by).agg(["mean", "sem", "size"])
    found.columns = pd.Index(["covered", "by_set", "sets"])
    means = inside.groupby(by)[["error", "se"]].mean() ** 0.5
    records.markdown(found.join(means).reset_index().round(3))
    parting = frame[frame["quantity"].isin(["never part", "part"])].groupby("quantity")
    records.markdown(parting[["found", "early", "median"]].mean().round(3))
    print(parting["found"].sem().round(3).to_dict(), parting["early"].sem().round(3).to_dict())


def main() -> None:
    """Run what is missing, and print."""
    parser = records.parser(__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--members", type=int, default=6)
    parser.add_argument("--cells", type=int, default=150)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    kept = records.Records(options.out, Given._fields)
    for seed in range(0 if options.table else options.seeds):
        given = Given(seed, options.cells, options.members, options.steps)
        if tuple(given) not in kept:
            kept.add(*[given._asdict() | row for row in rows_of(given)])
    tables(kept.frame())


if __name__ == "__main__":
    main()
