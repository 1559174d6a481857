"""Embryoid bodies, 5 whitened dimensions, one snapshot left out: W1, skill and seconds.

    python benchmarks/eb.py [--method curved-cfm] [--seeds 42 43 44] [--times 1 2 3] [--full]
    [--n-jobs 2] [--cache FOLDER]

Protocol of the literature's tables: fit without snapshot t, push the real cells of the snapshot
before it, exact W1 against all held-out cells. The representation has seen the held-out cells (the
literature's way). `--full` measures everything that `cf.bench.holdout` does, on the same rows.
"""

from __future__ import annotations

import time as clock

from cellflow.recipes import DEFAULT

import records
import sets
from cellflow.evaluation import METRICS, hold_out


def main() -> None:
    parser = records.parser(__doc__)
    parser.add_argument("--method", default=DEFAULT)
    parser.add_argument("--seeds", type=int, nargs="+", default=[42, 43, 44])
    parser.add_argument("--times", type=float, nargs="+", default=[1.0, 2.0, 3.0])
    parser.add_argument("--full", action="store_true", help="all metrics, not W1 alone")
    parser.add_argument("--n-jobs", type=int)
    parser.add_argument("--cache")
    arguments = parser.parse_args()
    snapshots = sets.load("eb")
    if snapshots is None:
        return
    begun = clock.perf_counter()
    found = hold_out(
        snapshots,
        methods=arguments.method,
        times=arguments.times,
        seeds=arguments.seeds,
        metrics=None if arguments.full else "w1",
        n_jobs=arguments.n_jobs,
        cache=arguments.cache,
    )
    wall = clock.perf_counter() - begun
    table = found.table()
    table["method"] = table["method"].str.cat(table["protocol"], sep=" ").str.strip()
    w1 = table.pivot_table(index="method", columns="time", values="w1", aggfunc="mean")
    w1["mean"] = w1.mean(axis=1)
    per_seed = table.groupby(["method", table["seed"].fillna(-1)])["w1"].mean()
    if len(arguments.seeds) > 1:
        w1["sd over seeds"] = per_seed.groupby("method").std(ddof=0)
    for column in ("w1_half", "skill", *(name for name in METRICS if name != "w1")):
        w1[column] = table.groupby("method")[column].mean()
    w1["seconds, largest"] = table.groupby("method")["seconds"].max()
    print(w1.sort_values("mean", ascending=False).dropna(axis=1, how="all").round(4).to_string())
    print(found.verdict)
    print(f"{wall:.0f} s for {len(table)} rows, n_jobs={arguments.n_jobs}")


if __name__ == "__main__":
    main()
