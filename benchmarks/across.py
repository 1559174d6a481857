"""One default on all sets: every inner snapshot left out in turn, beside OT interpolation.

    python benchmarks/across.py --out across.jsonl [--methods ot-cfm torchcfm] [--sets guo ...]
    [--seeds 42] [--protocol P1] python benchmarks/across.py --out across.jsonl --table

Both clouds are drawn to one number of points, the smaller of the snapshot before and the held-out
one, the same for every method, because W1 and the energy distance depend on it; small clouds are
drawn several times and averaged. Figures are ratios to the straight path: geometric means over
held-out times and seeds, then over sets. The energy distance of few points is mostly that of cells
with themselves, in every method, so its ratio without those pairs stands beside it ("unbiased": of
sums over held-out times, because one may be negative). torchcfm sees coordinates that are centred
and scaled by one number, as our own frame does. Methods with growth, such as `curved-cfm+auto`, say
what they assumed in each fit. Results are appended to `--out`, a line each, and
not computed twice.
"""

from __future__ import annotations

import time as clock
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.spatial.distance import pdist

import methods
import records
import sets
from cellflow.core._random import stream, systematic
from cellflow.core.population import Population, Snapshots
from cellflow.evaluation import Predictor
from cellflow.evaluation.names import PROTOCOLS
from cellflow.metrics import energy_distance, wasserstein

#: Points that repeated draws should add up to, and the most draws.
POINTS = 1000
MOST_DRAWS = 10
#: Cells a time that a set needs to be among the large ones.
LARGE = 100
#: The bars of the project, for the judged sets.
BARS = {"w1": 0.90, "energy": 0.75}
#: Of an unbiased energy distance, which may be negative, in a geometric mean.
LEAST = 0.01
#: Fields by which a result is known, and those of a row.
DONE = ("set", "time", "seed", "method", "configuration")
KEY = (*DONE, "protocol")


def drawn(population: Population, n: int, rng: np.random.Generator) -> np.ndarray:
    """`n` points by systematic resampling, none twice as far as there are enough.

    Cells that count the same are drawn in random order. Edges of a plan are drawn in the order of
    their source cells, so that each of `n` source cells gives one point, as it does in a push.
    """
    order = (
        rng.permutation(len(population)) if population.is_uniform else np.arange(len(population))
    )
    return population.x[order[systematic(population.weight[order], n, rng)]]


def scored(predicted: Population, held_out: Population, n: int) -> dict[str, float]:
    """Distances at equal numbers of points, averaged over draws."""
    values = []
    for k in range(min(MOST_DRAWS, -(-POINTS // n))):
        x = drawn(predicted, n, stream(k, 0))
        y = drawn(held_out, n, stream(k, 1))
        energy = energy_distance(x, y)
        # Of the means within the clouds, which count pairs of a cell with itself.
        own = (mean_distance(x) + mean_distance(y)) / max(n - 1, 1)
        values.append((wasserstein(x, y), energy, energy - own))
    return dict(zip(("w1", "energy", "unbiased"), np.mean(values, axis=0).tolist(), strict=True))


def mean_distance(x: np.ndarray) -> float:
    """E|X - X'| over all pairs, a cell with itself included."""
    return 2 * float(pdist(x).sum()) / len(x) ** 2


def results(
    name: str,
    snapshots: Snapshots,
    method: Predictor,
    seed: int,
    done: Container[tuple[Any, ...]],
) -> Iterator[dict[str, Any]]:
    """Rows of one set, one method and one seed that are not there yet, one by one."""
    configuration = methods.configuration(method)
    sizes = [len(p) for p in snapshots.populations]
    for time in snapshots.times[1:-1]:
        if (name, time, seed, method.name, configuration) in done:
            continue
        rest = snapshots.without(time)
        held_out = snapshots.at(time)
        start = clock.perf_counter()
        assumption = ""
        if isinstance(method, methods.Fits):
            predictions, assumption = method.predicted(rest, float(time), random_state=seed)
        else:
            predictions = method(rest, float(time), random_state=seed)
        seconds = clock.perf_counter() - start
        n = min(len(rest[int(np.searchsorted(rest.times, time)) - 1]), len(held_out))
        for protocol, predicted in predictions.items():
            yield {
                **dict(
                    zip(
                        KEY,
                        (name, float(time), seed, method.name, configuration, protocol),
                        strict=True,
                    )
                ),
                **scored(predicted, held_out, n),
                "n": n,
                "assumption": assumption,
                "seconds": round(seconds, 2),
                "cells": sum(sizes),
                "least": min(sizes),
            }


def ratios(rows: pd.DataFrame, protocol: str) -> pd.DataFrame:
    """Ratios to the straight path, one row a set and method: geometric means; unbiased: of sums."""
    rows = rows.drop_duplicates(list(KEY), keep="last")
    straight = rows[(rows["method"] == "straight") & (rows["protocol"] == "P1")].set_index(
        ["set", "time"]
    )
    found = rows[(rows["method"] != "straight") & (rows["protocol"] == protocol)]
    found = found.join(
        straight[["w1", "energy", "unbiased"]], on=["set", "time"], rsuffix="_straight"
    )
    for metric in BARS:
        found[metric] = np.log(found[metric] / found[f"{metric}_straight"])
    table = found.groupby(["set", "method"], sort=False).agg(
        w1=("w1", "mean"),
        energy=("energy", "mean"),
        unbiased=("unbiased", "sum"),
        unbiased_straight=("unbiased_straight", "sum"),
        seconds=("seconds", "mean"),
        n=("n", "min"),
        cells=("cells", "first"),
        least=("least", "first"),
        fits=("w1", "size"),
    )
    unbiased = table["unbiased"] / table["unbiased_straight"]
    return table.assign(
        w1=np.exp(table["w1"]), energy=np.exp(table["energy"]), unbiased=unbiased
    ).reset_index()


def report(rows: pd.DataFrame, protocol: str) -> None:
    """Print one line a set, and the summary of each method."""
    table = ratios(rows, protocol)
    names = list(table["method"].unique())
    print(
        f"\nprotocol {protocol}; ratios to the straight path of W1, energy distance, and the latter"
        " without pairs of a cell"
    )
    print(
        "with itself; least: cells of the smallest snapshot; n: points of the smallest comparison"
    )
    print(
        f"{'set':15s}{'cells':>7s}{'least':>7s}{'n':>6s}"
        + "".join(f"{name:>27s}" for name in names)
    )
    for name, group in table.groupby("set", sort=False):
        by_method = group.set_index("method")
        cells = "".join(
            (
                "".join(f"{x:9.3f}" for x in by_method.loc[m, ["w1", "energy", "unbiased"]])
                if m in by_method.index
                else " " * 27
            )
            for m in names
        )
        sizes = f"{group['cells'].iloc[0]:7d}{group['least'].iloc[0]:7d}{group['n'].min():6d}"
        print(f"{name:15s}{sizes}{cells}")
    for name in names:
        summary(name, table)
    if "assumption" in rows:
        assumed(rows[rows["protocol"] == protocol])


def assumed(rows: pd.DataFrame) -> None:
    """Print how often each method assumed what about growth, by set."""
    grown = rows[rows["assumption"].fillna("").astype(bool)]
    for name, group in grown.groupby("method", sort=False):
        print(f"\n{name}: assumptions about growth, number of fits")
        counts = group.groupby(["set", "assumption"], sort=False).size().unstack(fill_value=0)
        counts.loc["all"] = counts.sum()
        records.markdown(counts)


def mean(ratio: pd.Series) -> float:
    """Geometric."""
    return float(np.exp(np.log(ratio).mean()))


def summary(name: str, table: pd.DataFrame) -> None:
    """Print one method's means over sets, its worst sets, and how it compares with torchcfm."""
    mine = table[table["method"] == name].set_index("set")
    judged = [s for s in sets.JUDGED if s in mine.index]
    large = list(mine.index[mine["least"] >= LARGE])
    print(f"\n{name}: {mine['fits'].sum()} fits, {mine['seconds'].mean():.1f} s each")
    for metric in (*BARS, "unbiased"):
        ratio = mine[metric].clip(lower=LEAST)
        bar = f" (bar {BARS[metric]:.2f})" if metric in BARS else ""
        parts = (
            [f"{mean(ratio[judged]):.3f} over {len(judged)} of {len(sets.JUDGED)} judged sets{bar}"]
            if judged
            else []
        )
        parts += [f"{mean(ratio):.3f} over all {len(ratio)}"]
        parts += (
            [f"worst of {len(large)} large sets {ratio[large].max():.3f} ({ratio[large].idxmax()})"]
            if large
            else []
        )
        print(
            f"  {metric:9s}"
            + "; ".join([*parts, f"worst of all {ratio.max():.3f} ({ratio.idxmax()})"])
        )
    if name.startswith("torchcfm"):
        return
    for other in table["method"].unique():
        peer = table[table["method"] == other].set_index("set")
        both = [s for s in judged if s in peer.index]
        if other.startswith("torchcfm") and both:
            shares = [mean((mine[metric] / peer[metric])[both]) for metric in BARS]
            print(
                f"  over {other} on {len(both)} judged sets: W1 {shares[0]:.3f}, energy distance"
                f" {shares[1]:.3f}"
            )


def main() -> None:
    parser = records.parser(__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--methods", nargs="+", default=["ot-cfm"])
    parser.add_argument("--sets", nargs="+", default=list(sets.JUDGED), choices=list(sets.SETS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[42])
    parser.add_argument("--protocol", default="P1", choices=PROTOCOLS)
    parser.add_argument("--table", action="store_true", help="only print what --out holds")
    arguments = parser.parse_args()
    kept = records.Records(arguments.out, DONE)
    for name in [] if arguments.table else arguments.sets:
        snapshots = sets.load(name)
        if snapshots is None or len(snapshots) < 3:
            print(f"{name}: no snapshot to leave out" if snapshots else "", flush=True)
            continue
        for method in [methods.named(m, scale="joint") for m in ["straight", *arguments.methods]]:
            for seed in methods.seeds(method.name, arguments.seeds):
                for row in results(name, snapshots, method, seed, kept):
                    kept.add(row)
                    if row["protocol"] == arguments.protocol:
                        print(said(row), flush=True)
    report(kept.frame(), arguments.protocol)


def said(row: records.Row) -> str:
    """A row in one line."""
    where = f"{row['set']} t={row['time']:g} seed {row['seed']} {row['method']}"
    distances = f"W1 {row['w1']:.4f}, energy {row['energy']:.4f}, n {row['n']}"
    return f"{where}: {distances}, {row['seconds']:.1f} s"


if __name__ == "__main__":
    main()
