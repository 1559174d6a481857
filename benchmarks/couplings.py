"""Couplings of whole populations: time, certified gap and peak memory, beside POT's simplex.

    python benchmarks/couplings.py [--repeats 3] [--large] [--relaxed] [--sizes]

Embryoid bodies, standardised PCs. Real intervals as they are; larger populations by drawing the
cells of two snapshots again with Gaussian noise of 0.3 standard deviations (clumpier than real
cells, and harder for it). Each row is its own process on one thread: two small plans first
(imports, compiled code), then `--repeats` solves. The last rows need no data: `clusters`, ten of
them at other places on either side, `plane`, one Gaussian on either side, with equal sizes first
and unequal ones and weights as a ratio to them; and a `course` of 96,000 cells at three times,
whose row is the time of a whole fit by the default recipe. `--sizes` prints these only. `--large`
adds 50,000 cells. `--relaxed` puts plans with relaxed marginals beside balanced ones instead; draws
of pairs are timed apart, as an entropic plan computes its rows for them.
"""

from __future__ import annotations

import os

os.environ.update(
    dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
)

import json
import resource
import subprocess
import sys
import time
from argparse import SUPPRESS
from dataclasses import replace
from statistics import median
from typing import Any

import numpy as np
import pandas as pd

import records
import sets
from cellflow import couplings
from cellflow.bench._sets import read_set
from cellflow.core.population import Population, Snapshots
from cellflow.model.fitting import fit

#: Real cells: standardised principal components of embryoid bodies.
SET = sets.SETS["eb100s"]
#: Coupling and its arguments, cells of either side (0: the real ones of this interval), dimensions,
#: weighted.
CASES: list[tuple[str, dict[str, Any], int, int, int, bool, tuple[int, int] | str]] = [
    *(("Sparse", {}, 0, 0, 5, False, interval) for interval in ((0, 1), (1, 2), (2, 3), (3, 4))),
    ("Exact", {}, 0, 0, 5, False, (1, 2)),
    ("Entropic", {"sigma": 0.5}, 0, 0, 5, False, (1, 2)),
    ("Minibatch", {}, 0, 0, 5, False, (1, 2)),
    ("Sparse", {}, 0, 0, 50, False, (1, 2)),
    ("Sparse", {}, 5_000, 5_000, 50, False, (1, 2)),
    ("Exact", {}, 5_000, 5_000, 50, False, (1, 2)),
    ("Sparse", {"tol": 1e-6}, 5_000, 5_000, 50, False, (1, 2)),
    ("Sparse", {}, 5_000, 5_000, 50, True, (1, 2)),
    ("Sparse", {}, 20_000, 20_000, 50, False, (1, 2)),
    ("Sparse", {}, 20_000, 15_000, 50, False, (1, 2)),
    ("Sparse", {}, 20_000, 20_000, 50, True, (1, 2)),
    ("Sparse", {}, 20_000, 20_000, 10, False, (1, 2)),
    ("Sparse", {}, 20_000, 20_000, 5, True, (1, 2)),
    ("Sparse", {}, 20_000, 20_000, 2, False, (1, 2)),
]
#: Equal sizes first, which the others of this shape are divided by.
SIZES: list[tuple[str, dict[str, Any], int, int, int, bool, tuple[int, int] | str]] = [
    ("Sparse", {}, 10_000, 10_000, 2, False, "clusters"),
    ("Sparse", {}, 10_000, 10_001, 2, False, "clusters"),
    ("Sparse", {}, 10_000, 13_000, 2, False, "clusters"),
    ("Sparse", {}, 10_000, 10_000, 2, True, "clusters"),
    ("Sparse", {}, 20_000, 38_000, 2, False, "plane"),
    ("Sparse", {}, 20_000, 38_000, 2, False, "clusters"),
]
#: Cells at three times, and dimensions, of courses that are fitted.
COURSES = [((31_000, 32_000, 33_000), 2), ((31_000, 32_000, 33_000), 10)]
#: The same populations with kept and with relaxed marginals, one below the other.
RELAXED = [
    (name, {}, n, m, n_dims, weighted, (1, 2))
    for n, m, n_dims, weighted in (
        (20_000, 20_000, 50, False),
        (20_000, 15_000, 50, False),
        (20_000, 20_000, 50, True),
        (20_000, 20_000, 10, False),
        (20_000, 20_000, 2, False),
    )
    for name in ("Sparse", "Unbalanced")
]
LARGE = [
    ("Sparse", {}, 50_000, 50_000, 50, False, (1, 2)),
    ("Sparse", {}, 50_000, 50_000, 10, False, (1, 2)),
    ("Sparse", {}, 50_000, 50_000, 50, True, (1, 2)),
]


def population(
    day: int, n_obs: int, n_dims: int, rng: np.random.Generator, *, weighted: bool
) -> Population:
    x = read_set(replace(SET, n_dims=n_dims), sets.DATA).at(day).x
    if n_obs:
        x = x[rng.integers(len(x), size=n_obs)] + 0.3 * rng.normal(size=(n_obs, n_dims))
    return Population(x, float(day), rng.gamma(1.0, size=len(x)) if weighted else None)


def made(
    shape: str, side: int, n_obs: int, n_dims: int, rng: np.random.Generator, *, weighted: bool
) -> Population:
    places = np.random.default_rng(10 + side)
    x = rng.normal(size=(n_obs, n_dims))
    if shape == "plane":
        x = x * (1.0 + 0.5 * side) + side
    else:
        centres = 4.0 * (1.0 + 0.2 * side) * places.normal(size=(10, n_dims))
        share = places.dirichlet(np.full(10, 3.0))
        x = centres[places.choice(10, size=n_obs, p=share)] + 0.5 * x
    return Population(x, float(side), rng.gamma(1.0, size=n_obs) if weighted else None)


def course(sizes: list[int], n_dims: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    centres = 3.0 * rng.normal(size=(8, n_dims))
    cells = tuple(
        Population(
            centres[rng.integers(8, size=n)] * (1.0 + 0.2 * k) + rng.normal(size=(n, n_dims)),
            float(k),
        )
        for k, n in enumerate(sizes)
    )
    clock = time.perf_counter()
    processor = time.process_time()
    flow = fit(Snapshots(cells), progress=False)
    wall = time.perf_counter() - clock
    return {
        "coupling": "fit of a course",
        "cells": " + ".join(f"{n:,}" for n in sizes),
        "dims": n_dims,
        "weights": "uniform",
        "seconds, best": wall,
        "median": wall,
        "CPU, best": time.process_time() - processor,
        "certified gap": max(plan["gap"] for plan in flow.plans.values()),
        "peak GB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }


def solve(case: list[Any], repeats: int) -> dict[str, Any]:
    name, arguments, n, m, n_dims, weighted, days = case
    rng = np.random.default_rng(0)
    coupling = getattr(couplings, name)(**arguments)
    if isinstance(days, str):
        # The same clouds whatever the sizes and weights: each has its own stream.
        source = made(days, 0, n, n_dims, np.random.default_rng(1), weighted=weighted)
        target = made(days, 1, m, n_dims, np.random.default_rng(2), weighted=weighted)
    else:
        source = population(days[0], n, n_dims, rng, weighted=weighted)
        target = population(days[1], m, n_dims, rng, weighted=weighted)
    for _ in range(2):
        coupling(*(Population(p.x[:600], p.time) for p in (source, target)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wall = []
    cpu = []
    for _ in range(repeats):
        clock = time.perf_counter()
        processor = time.process_time()
        plan = coupling(source, target)
        wall.append(time.perf_counter() - clock)
        cpu.append(time.process_time() - processor)
    clock = time.perf_counter()
    plan.partners(np.arange(len(source)), rng, "source")
    plan.partners(np.arange(len(target)), rng, "target")
    draws = time.perf_counter() - clock
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "coupling": name
        + (f" {arguments}" if arguments else "")
        + (f", {days}" if isinstance(days, str) else ""),
        "cells": f"{len(source):,} x {len(target):,}",
        "dims": n_dims,
        "weights": "gamma" if weighted else "uniform",
        "seconds, best": min(wall),
        "median": median(wall),
        "CPU, best": min(cpu),
        "pairs from both sides": draws,
        "certified gap": plan.gap,
        "cost": plan.cost,
        "peak GB": peak / 2**20,
        "of it for the plan": (peak - before) / 2**20,
    }


def main() -> None:
    parser = records.parser(__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--relaxed", action="store_true")
    parser.add_argument("--sizes", action="store_true")
    parser.add_argument("--case", help=SUPPRESS)
    options = parser.parse_args()
    if options.case:
        case = json.loads(options.case)
        print(json.dumps(course(*case) if len(case) == 2 else solve(case, options.repeats)))
        return
    if not options.sizes and sets.load(SET.name) is None:
        return
    cases: list[Any] = [*SIZES, *COURSES]
    if options.relaxed:
        cases = RELAXED
    elif not options.sizes:
        cases = CASES + LARGE * options.large + cases
    rows = []
    equal: dict[str, float] = {}
    for case in cases:
        command = [
            sys.executable,
            __file__,
            "--repeats",
            str(options.repeats),
            "--case",
            json.dumps(case),
        ]
        row = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        if case in SIZES and case[2] == SIZES[0][2]:
            equal.setdefault(case[6], row["CPU, best"])
            row["ratio to equal"] = row["CPU, best"] / equal[case[6]]
        rows.append(row)
        print(row["coupling"], row["cells"], file=sys.stderr)
    shown = [
        {k: f"{v:.3g}" if isinstance(v, float) else "" if v is None else v for k, v in row.items()}
        for row in rows
    ]
    records.markdown(pd.DataFrame(shown).fillna("").set_index("coupling"))


if __name__ == "__main__":
    main()
