"""Embryoid bodies, 5 whitened dimensions, leave one snapshot out: mean W1 over times and seeds, and the time of each fit.

    python benchmarks/eb.py [--method ot-cfm] [--seeds 42 43 44] [--times 1 2 3]

Protocol of the literature's tables: fit without snapshot t, push the real cells of the snapshot before it, exact W1 against
all held-out cells. The representation has seen the held-out cells (the literature's way).
"""

from __future__ import annotations

import argparse

import pandas as pd

import sets
from cellflow import recipes
from cellflow.benchmark import leave_one_out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--method", default="ot-cfm")
    parser.add_argument("--seeds", type=int, nargs="+", default=[42, 43, 44])
    parser.add_argument("--times", type=float, nargs="+", default=[1.0, 2.0, 3.0])
    arguments = parser.parse_args()
    snapshots = sets.load("eb")
    if snapshots is None:
        return
    rows = [
        {"seed": seed, **vars(score)}
        for time in arguments.times
        for seed in arguments.seeds
        for score in leave_one_out(snapshots, time, recipe=recipes.by_name(arguments.method), random_state=seed)
    ]
    table = pd.DataFrame(rows)
    w1 = table.pivot_table(index="method", columns="time", values="w1", aggfunc="mean")
    w1["mean"] = w1.mean(axis=1)
    per_seed = table.groupby(["method", "seed"])["w1"].mean()
    w1["sd over seeds"] = per_seed.groupby("method").std(ddof=0)
    w1["seconds, largest"] = table.groupby("method")["seconds"].max()
    print(w1.sort_values("mean", ascending=False).round(4).to_string())


if __name__ == "__main__":
    main()
