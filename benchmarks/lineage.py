"""Couplings informed by barcodes: truth, real clones, and 100,000 cells.

    python benchmarks/lineage.py [--larry] [--sizes]

Without an option: populations whose cells' mean steps are known, 300 cells at two times, of which
about half have barcodes in clones of two cells at either time; means over eight draws. `cross`: two
streams change sides; `ring`: a ring turns by a third, so that the population does not change;
`fork`: cells go to one of two ends by their place, where optimal transport alone is right. With
`wrong` 0.3, that share of the early barcodes is replaced by random ones. Errors are mean squared
distances of the barycentres of cells from their true mean, divided by the mean squared step: of
cells without a barcode, of these after taking the mean over 20 neighbours (as a network does), and
of cells with one. `inside`: mass between cells of one clone.

- `transport`: exact, no barcodes;
- `fused L`: exact for the cost plus L times the mean cost for pairs that share no clone;
- `codes L`: that cost by random unit vectors for clones, of 32 dimensions, beside the positions;
- `lineage S`: `couplings.Lineage(strength=S)`; `unled`: without following neighbours.

`--larry`: the subset of 781 blood progenitors (see `larry_fates.py`), days 4 and 6. Clones of both
days are divided in two halves. In each, by five folds and four shufflings, plans see the clones of
the other folds (of the other half, too, in the second half), and are scored on the day-4 cells of
the hidden fold. The default strength was chosen by the first half; the second one is the report.
`log score`: mean logarithm of the probability of the clone's types at day 6, with types from the
plan's rows, averaged over the 20 nearest cells of day 4 and mixed with 5 % of a uniform one;
`match`: that probability; `r`: correlation of neutrophil and monocyte shares.

`--sizes`: 20,000 and 100,000 cells at either time, 50 dimensions, half of them in clones of five,
clusters that change places; time, certified gap and peak memory. Each row is its own process on one
thread.
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
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import ot
import pandas as pd
import scipy.sparse as sp

import larry_fates
import records
from cellflow.core._neighbors import nearest, squared_distances
from cellflow.core.plans import EdgePlan, Plan
from cellflow.core.population import Population
from cellflow.couplings import Auto, Exact, Lineage

N_DRAWS = 8
N_CELLS = 300
N_CLONES = 80
STRENGTHS = (0.3, 0.5, 1.0, 2.0, np.inf)
Coupled = Callable[[Population, Population], Plan]


def barcodes(label: np.ndarray, n_clones: int) -> sp.csr_matrix:
    """One clone a cell, -1 for none, as cells by clones."""
    rows = np.flatnonzero(label >= 0)
    return sp.csr_matrix((np.ones(len(rows)), (rows, label[rows])), shape=(len(label), n_clones))


def fused(strength: float) -> Coupled:
    """Exact transport on the matrix of the fused costs."""

    def couple(source: Population, target: Population) -> Plan:
        costs = squared_distances(source.x, target.x)
        costs /= costs.mean()
        costs -= strength * (source.lineage @ target.lineage.T).toarray()
        plan = ot.emd(source.weight, target.weight, costs - costs.min(), numItermax=10**8)
        i, j = np.nonzero(plan)
        return EdgePlan(plan.shape, i, j, plan[i, j], 0.0)

    return couple


def codes(strength: float, n_dims: int = 32) -> Coupled:
    """Exact transport of positions with a random unit vector for each clone beside them."""

    def couple(source: Population, target: Population) -> Plan:
        unit = squared_distances(source.x, target.x).mean()
        both = (source.lineage.getnnz(axis=0) > 0) & (target.lineage.getnnz(axis=0) > 0)
        code = np.random.default_rng(0).normal(size=(len(both), n_dims)) * both[:, None]
        code *= np.sqrt(strength * unit / 2) / np.linalg.norm(code, axis=1, keepdims=True).clip(
            1e-9
        )
        return Exact()(
            *(replace(p, x=np.hstack([p.x, p.lineage @ code])) for p in (source, target))
        )

    return couple


METHODS: dict[str, Coupled] = {
    "transport": Exact(),
    **{f"fused {s:g}": fused(s) for s in (0.3, 1.0, 3.0)},
    **{f"codes {s:g}": codes(s) for s in (0.3, 1.0, 3.0)},
    "lineage inf, unled": Lineage(Exact(), strength=np.inf, n_neighbors=0),
    **{f"lineage {s:g}": Lineage(Exact(), strength=s) for s in STRENGTHS},
}


def start(kind: str, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Positions `(n, 5)` of cells at first, and the stream that they are in."""
    x = 0.6 * rng.normal(size=(n, 5))
    stream = rng.choice([-1.0, 1.0], n)
    if kind == "cross":
        x[:, 1] = 2 * stream + 0.4 * rng.normal(size=n)
    if kind == "ring":
        angle = rng.uniform(0, 2 * np.pi, n)
        x[:, :2] += 2 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return x, stream


def moved(
    kind: str, x: np.ndarray, stream: np.ndarray, span: float, rng: np.random.Generator
) -> np.ndarray:
    """Positions after a time, with diffusion."""
    dt = span / 40
    for _ in range(40):
        velocity = np.zeros_like(x)
        if kind == "ring":
            velocity[:, 0] = -2.2 * x[:, 1]
            velocity[:, 1] = 2.2 * x[:, 0]
        else:
            velocity[:, 0] = 2.0
            velocity[:, 1] = -4 * stream if kind == "cross" else 3 * np.tanh(3 * x[:, 1])
        x = x + dt * velocity + 0.35 * np.sqrt(dt) * rng.normal(size=x.shape)
    return x


def world(
    kind: str, wrong: float, rng: np.random.Generator
) -> tuple[Population, Population, np.ndarray]:
    """Two populations with barcodes, and the true mean position of the early cells later."""
    founder, stream = start(kind, N_CLONES, rng)
    ends = []
    early = np.empty(0)
    for span in (0.15, 1.15):
        label = np.repeat(np.arange(N_CLONES), rng.poisson(2, N_CLONES))
        others = start(kind, N_CELLS - len(label), rng)
        x = np.concatenate([founder[label], others[0]])
        side = np.concatenate([stream[label], others[1]])
        label = np.concatenate([label, np.full(len(others[0]), -1)])
        if not ends:
            early = side
            mistaken = np.flatnonzero((label >= 0) & (rng.random(len(label)) < wrong))
            label[mistaken] = rng.integers(N_CLONES, size=len(mistaken))
        x = moved(kind, x, side, span, rng)
        ends.append(Population(x, span, lineage=barcodes(label, N_CLONES)))
    mean = np.mean([moved(kind, ends[0].x, early, 1.0, rng) for _ in range(30)], axis=0)
    return ends[0], ends[1], mean


def inside(plan: EdgePlan, source: Population, target: Population) -> float:
    """Mass between cells that share a clone."""
    kin = source.lineage[plan.i].multiply(target.lineage[plan.j]).sum(axis=1)
    return float(plan.mass[np.asarray(kin)[:, 0] > 0].sum())


def truth() -> None:
    """Print errors of plans where the truth is known."""
    rows = []
    for kind in ("cross", "ring", "fork"):
        for wrong in (0.0, 0.3):
            for draw in range(N_DRAWS):
                source, target, mean = world(kind, wrong, np.random.default_rng(1000 + draw))
                blind = source.lineage.getnnz(axis=1) == 0
                unit = ((mean - source.x) ** 2).sum(axis=1).mean()
                _, near = nearest(source.x, source.x, 20)
                for name, coupling in METHODS.items():
                    plan = coupling(source, target)
                    step = plan.barycentre(target.x) - source.x
                    off = [
                        ((source.x + s - mean) ** 2).sum(axis=1) / unit
                        for s in (step, step[near].mean(axis=1))
                    ]
                    row = {"population": kind, "wrong": wrong, "plan": name}
                    row |= {"no barcode": off[0][blind].mean(), "smoothed": off[1][blind].mean()}
                    row |= {"barcode": off[0][~blind].mean()}
                    rows.append(row | {"inside": inside(plan, source, target)})
    table = pd.DataFrame(rows)
    shown = table.groupby(["population", "wrong", "plan"], sort=False).mean().round(3)
    records.markdown(shown.reset_index().set_index("population"))


def larry() -> None:
    """Print scores of hidden clones, by halves."""
    adata = larry_fates.read()
    if adata is None:
        return
    cells = larry_fates.cells_of(adata)
    rows = [np.flatnonzero(cells.day == day) for day in (4.0, larry_fates.END)]
    own, later = (cells.clone[r] for r in rows)
    n_clones = int(cells.clone.max()) + 1
    types = (cells.type[rows[1]][:, None] == np.array(cells.types)).astype(float)
    counts = np.zeros((n_clones, types.shape[1]))
    np.add.at(counts, later, types)
    _, near = nearest(cells.x[rows[0]], cells.x[rows[0]], 20)
    rng = np.random.default_rng(0)
    halves = np.array_split(rng.permutation(np.intersect1d(own, later)), 2)
    found = []
    for half, name in enumerate(("choice", "report")):
        others = halves[0] if half else np.empty(0, dtype=int)
        for shuffle in range(4):
            order = rng.permutation(halves[half])
            for fold in range(5):
                hidden = order[fold::5]
                seen = np.concatenate([others, np.setdiff1d(order, hidden)])
                ends = [
                    Population(
                        cells.x[r],
                        float(k),
                        lineage=barcodes(np.where(np.isin(c, seen), c, -1), n_clones),
                    )
                    for k, (r, c) in enumerate(zip(rows, (own, later), strict=True))
                ]
                scored = np.flatnonzero(np.isin(own, hidden) & (counts[own].sum(axis=1) > 0))
                for method, coupling in METHODS.items():
                    plan = coupling(*ends)
                    row = {"half": name, "shuffle": shuffle, "plan": method}
                    row["inside"] = inside(plan, *ends)
                    fates = plan.barycentre(types)[near].mean(axis=1)
                    found += [
                        row | score
                        for score in _scores(fates[scored], counts[own[scored]], cells.types)
                    ]
    table = pd.DataFrame(found)
    by = ["half", "plan"]
    shown = table.groupby(by, sort=False)[["log score", "match", "inside"]].mean()
    shown["r"] = [
        group[["share", "known"]].dropna().corr().iloc[0, 1]
        for _, group in table.groupby(by, sort=False)
    ]
    records.markdown(shown.round(3).reset_index().set_index("half"))


def _scores(fates: np.ndarray, counts: np.ndarray, types: list[str]) -> list[dict[str, float]]:
    """Scores of each cell, from fates and counts of types of its clone `(n, n_types)`."""
    known = counts / counts.sum(axis=1, keepdims=True)
    fates = fates / fates.sum(axis=1, keepdims=True).clip(1e-12)
    match = (fates * known).sum(axis=1)
    pair = [types.index(name) for name in larry_fates.PAIR]
    with np.errstate(invalid="ignore", divide="ignore"):
        share = fates[:, pair[0]] / fates[:, pair].sum(axis=1)
        right = counts[:, pair[0]] / counts[:, pair].sum(axis=1)
    logs = np.log(0.95 * match + 0.05 / len(types))
    columns = {"log score": logs, "match": match, "share": share, "known": right}
    return [{name: float(values[k]) for name, values in columns.items()} for k in range(len(fates))]


def large(n: int, n_dims: int, time_: float) -> tuple[Population, np.ndarray]:
    """Clusters that change places, half of the cells in clones of five; and their clusters."""
    rng = np.random.default_rng(0)
    centres = 1.5 * rng.normal(size=(8, n_dims)) / np.sqrt(n_dims) * 3
    n_clones = n // 10
    cluster = rng.integers(8, size=n_clones)
    founder = 0.5 * rng.normal(size=(n_clones, n_dims))
    own = np.random.default_rng(1 + int(time_))
    label = np.where(own.random(n) < 0.5, own.integers(n_clones, size=n), -1)
    kind = np.where(label >= 0, cluster[label], own.integers(8, size=n))
    x = np.where((label >= 0)[:, None], founder[label], 0.5 * own.normal(size=(n, n_dims)))
    x += centres[(kind + int(time_)) % 8] + 0.5 * own.normal(size=(n, n_dims))
    return Population(x, time_, lineage=barcodes(label, n_clones)), kind


def size(name: str, n: int) -> dict[str, Any]:
    """One row: time and memory of one plan."""
    source, kind = large(n, 50, 0.0)
    target, later = large(n, 50, 1.0)
    coupling = {"Auto": Auto(), "Lineage": Lineage()}[name]
    few = np.arange(600)
    coupling(source.part(few), target.part(few))
    wall = time.perf_counter()
    cpu = time.process_time()
    plan = coupling(source, target)
    blind = source.lineage.getnnz(axis=1)[plan.i] == 0
    wrong = kind[plan.i] != later[plan.j]
    return {
        "coupling": name,
        "cells": f"{n:,} x {n:,}",
        "seconds": time.perf_counter() - wall,
        "CPU": time.process_time() - cpu,
        "certified gap": plan.gap,
        "peak GB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "inside clones": inside(plan, source, target),
        "wrong cluster, no barcode": plan.mass[blind & wrong].sum() / plan.mass[blind].sum(),
        "wrong cluster, barcode": plan.mass[~blind & wrong].sum() / plan.mass[~blind].sum(),
        "cost": plan.cost,
    }


def main() -> None:
    parser = records.parser(__doc__)
    parser.add_argument("--larry", action="store_true")
    parser.add_argument("--sizes", action="store_true")
    parser.add_argument("--case", help=SUPPRESS)
    options = parser.parse_args()
    if options.case:
        print(json.dumps(size(*json.loads(options.case))))
    elif options.sizes:
        rows = []
        for case in [(name, n) for n in (20_000, 100_000) for name in ("Auto", "Lineage")]:
            command = [sys.executable, __file__, "--case", json.dumps(case)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            rows.append(json.loads(done.stdout))
            print(rows[-1], file=sys.stderr)
        shown = pd.DataFrame(rows).set_index("coupling")
        records.markdown(shown.map(lambda v: f"{v:.3g}" if isinstance(v, float) else v))
    elif options.larry:
        larry()
    else:
        truth()


if __name__ == "__main__":
    main()
