"""Embryoid bodies beside the published rows: ours, no model, torchcfm in its own configuration.

    python benchmarks/literature.py --out literature.jsonl [--set eb] [--methods straight "torchcfm
    ot-cfm"] [--seeds 42] python benchmarks/literature.py --out literature.jsonl --table

Protocol of the published tables (P1): fit without snapshot t, push the real cells of the snapshot
before it, exact W1 against all held-out cells; P2 rolls out from the first snapshot. The
representation has seen the held-out cells, as published. Every fit runs in a process of its own
with one thread, so that seconds (plans included, imports not) and peak memory (before scoring; what
importing and loading alone take stands beside it) are its own. torchcfm's curve over steps is P1
without early stopping; its row is that of the weights with the best validation loss. `--set eb50s`
and others print the same for more dimensions, where nothing was published on these coordinates.
Results are appended to `--out` and not computed twice.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time as clock
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import methods
import records
import sets
from cellflow.core.population import Population
from cellflow.evaluation.sets import published
from cellflow.metrics import energy_distance, variance_ratio, wasserstein

#: Checkpoints of the curves.
STEPS = (500, 1000, 2000, 5000, 10_000)
#: Our names of methods with a published figure, and those of the published tables.
PUBLISHED = {
    "torchcfm i-cfm": "I-CFM",
    "torchcfm ot-cfm": "OT-CFM",
    "torchcfm sf2m": "SF2M-Exact",
    "straight": "OT interpolation, no model",
}
KEY = ("set", "time", "seed", "method", "configuration", "steps")


def memory() -> float:
    """Peak of this process so far, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def child(
    name: str, time: float, seed: int, method_name: str, steps: tuple[int, ...]
) -> dict[str, Any]:
    """Fit, predict and score one held-out time, in this process."""
    snapshots = sets.load(name)
    assert snapshots is not None
    rest = snapshots.without(time)
    held_out = snapshots.at(time)
    method = methods.named(method_name)
    imported = memory()
    start = clock.perf_counter()
    row: dict[str, Any] = {}
    curve: dict[str, Population] = {}
    if method_name.startswith("torchcfm"):
        course = method.course(rest, seed, checkpoints=steps)
        found = method.predict(course.stopped, rest, time, random_state=seed)
        seconds = course.stopped.seconds
        row = {"best_step": course.stopped.steps, "stop_step": course.stop}
        for step, peer in course.checkpoints.items():
            curve[str(step)] = method.predict(
                peer, rest, time, random_state=seed, protocols=("P1",)
            )["P1"]
        row["seconds_of_curve"] = {
            step: round(course.checkpoints[int(step)].seconds, 1) for step in curve
        }
    else:
        found = method(rest, time, random_state=seed)
        seconds = clock.perf_counter() - start
    peak = memory()
    row |= {"seconds": round(seconds, 1), "peak_mib": round(peak), "imports_mib": round(imported)}
    row["curve"] = {step: _w1(p, held_out) for step, p in curve.items()}
    for protocol, predicted in found.items():
        row[protocol] = _w1(predicted, held_out)
    push = found["P1"]
    weights = {"x_weight": found["P1"].weight, "y_weight": held_out.weight}
    row["energy"] = energy_distance(push.x, held_out.x, **weights)
    row["variance"] = variance_ratio(push.x, held_out.x, **weights)
    return row


def _w1(predicted: Population, held_out: Population) -> float:
    return wasserstein(predicted.x, held_out.x, x_weight=predicted.weight, y_weight=held_out.weight)


def spawned(*arguments: object) -> dict[str, Any]:
    """Run `child` in a process of its own, with one thread."""
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "NUMBA_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    command = [sys.executable, "-W", "ignore", __file__, "--child", json.dumps(arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def report(rows: pd.DataFrame, name: str) -> None:
    """Print the table and the curves of one set."""
    rows = rows[rows["set"] == name] if len(rows) else rows
    if rows.empty:
        print(f"{name}: nothing in the file")
        return
    rows = rows.assign(P2=rows["P2"] if "P2" in rows else float("nan"))
    times = sorted(rows["time"].unique())
    print(f"\n{name}: {sets.SETS[name].about} All cells; W1 of protocol P1, {len(rows)} fits")
    columns = [*(f"t={t:g}" for t in times), "mean", "sd", "P2", "energy", "variance", "s"]
    print(
        f"{'method':18s}"
        + "".join(f"{column:>9s}" for column in columns)
        + f"{'MiB (imports)':>15s}  published mean and sd over times"
    )
    for method, group in rows.groupby("method", sort=False):
        by_time = group.groupby("time")["P1"].mean().reindex(times)
        per_seed = group.groupby("seed")["P1"].mean()
        sd = per_seed.std(ddof=0) if len(per_seed) > 1 else float("nan")
        numbers = [*by_time, by_time.mean(), sd, *group[["P2", "energy", "variance"]].mean()]
        use = f"{group['peak_mib'].max():.0f} ({group['imports_mib'].max():.0f})"
        print(
            f"{method:18s}"
            + "".join(f"{x:9.3f}" for x in numbers)
            + f"{group['seconds'].mean():9.1f}{use:>15s}{beside(name, method, by_time.mean())}"
        )
    report_curves(rows[rows["curve"].map(bool)])


def beside(name: str, method: str, own: float) -> str:
    """The published figure of a method, and how far ours is from it."""
    figures = published(name, 5, "P1") if name == "eb" else []
    for figure in figures:
        if figure.method == PUBLISHED.get(method):
            source = f"arXiv {figure.source}" if figure.source else "second-hand"
            printed = f"{figure.w1:.3f} +- {figure.sd:.3f} ({source})"
            return f"  {printed}; ours differs by {own - figure.w1:+.3f}"
    return ""


def report_curves(curves: pd.DataFrame) -> None:
    """Print W1 over the steps of torchcfm's training."""
    if len(curves):
        print(
            "\nW1 over steps, without early stopping; seconds until then; best and last step of"
            " early stopping"
        )
    for (method, time), group in curves.groupby(["method", "time"], sort=False):
        steps = group["curve"].iloc[0].keys()
        values = [np.mean([c[s] for c in group["curve"]]) for s in steps]
        seconds = [np.mean([c[s] for c in group["seconds_of_curve"]]) for s in steps]
        points = ", ".join(
            f"{s}: {v:.3f} ({x:.0f} s)" for s, v, x in zip(steps, values, seconds, strict=True)
        )
        print(
            f"{method:18s}t={time:g}  {points}; {group['best_step'].mean():.0f},"
            f" {group['stop_step'].mean():.0f}"
        )


def main() -> None:
    parser = records.parser(__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--set", default="eb", choices=list(sets.SETS))
    parser.add_argument(
        "--methods", nargs="+", default=["previous", "straight", "ot-cfm", *list(PUBLISHED)[:3]]
    )
    parser.add_argument("--times", type=float, nargs="+", help="inner times; all by default")
    parser.add_argument("--seeds", type=int, nargs="+", default=[42])
    parser.add_argument(
        "--steps", type=int, nargs="*", default=list(STEPS), help="checkpoints of torchcfm's curve"
    )
    parser.add_argument("--table", action="store_true", help="only print what --out holds")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(child(*json.loads(arguments.child))))
        return
    if arguments.out is None:
        parser.error("--out is needed")
    kept = records.Records(arguments.out, KEY)
    snapshots = None if arguments.table else sets.load(arguments.set)
    if snapshots is not None:
        times = arguments.times or snapshots.times[1:-1].tolist()
        for name in arguments.methods:
            for key in keys(arguments, name, times):
                if key not in kept:
                    row = dict(zip(KEY, key, strict=True))
                    row |= spawned(arguments.set, row["time"], row["seed"], name, arguments.steps)
                    kept.add(row)
                    print(
                        f"{row['method']} t={row['time']:g} seed {row['seed']}: P1"
                        f" {row['P1']:.4f}, {row['seconds']:.1f} s",
                        flush=True,
                    )
    report(kept.frame(KEY), arguments.set)


def keys(
    arguments: argparse.Namespace, name: str, times: list[float]
) -> Iterator[tuple[object, ...]]:
    """What is to be computed of one method, in the fields `KEY`."""
    method = methods.named(name)
    steps = ",".join(map(str, arguments.steps)) if name.startswith("torchcfm") else ""
    if steps:
        print(f"{method.name}: {method}", flush=True)
    configuration = methods.configuration(method)
    for time in times:
        for seed in methods.seeds(name, arguments.seeds):
            yield arguments.set, time, seed, method.name, configuration, steps


if __name__ == "__main__":
    main()
