"""Intervals of ensembles where the truth is known, and how often they cover it.

    python benchmarks/intervals.py --out intervals.jsonl [--parts velocities growth fates samples
    shared speed] [--seeds 100] [--members 5] [--cells 200] [--steps 400] [--table]

Every seed is a fresh data set and a fresh ensemble, trained for fewer steps than by default.
Intervals of 90 % are means over members plus and minus a t quantile of their standard error
(`cellflow.core._spread`).

- velocities: at fresh cells of the snapshots and halfway between them, every coordinate by itself;
  and their mean over the population. Systems with a smooth closed form.
- growth: two branches far apart that grow at rates .9 and .3, with the sizes of the populations
  known: mean rate in each branch halfway between the snapshots, and velocities. The fit has
  `tau=3`; smaller ones read movement as growth, and no interval over samples says so.
- fates: a population that forks. Probability of branch A, by votes of the nearest cells of the last
  snapshot, mean of all cells of the first and of the second snapshot.
- samples: the same fork, four samples a time, each shifted as a whole and with a composition of its
  own; velocities when members are halves of the samples, and when they are halves of the cells, as
  if cells were replicates.
- shared: the mean displacement of a population in uniform motion, by bootstrap weights of the cells
  on one plan that all draws share, without a network: why members have plans of their own.
- speed: seconds of one fit and of an ensemble, one after the other.

`covered` is the share of the intervals with the truth in them, `by_set` its standard error over
the data sets; `error` the root mean square error of the mean, `se` that of the standard errors.
Rows are appended to --out, and what is there is not computed again; `--table` only prints.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

import records
from cellflow import recipes, synthetic
from cellflow.analysis.fates import FateCells, Targets
from cellflow.analysis.fates import fates as find_fates
from cellflow.core._spread import Spread, spread
from cellflow.core._typing import FloatArray
from cellflow.core.population import Population, Snapshots
from cellflow.couplings import Sparse
from cellflow.model.base import FittedDynamics
from cellflow.model.fitting import fit
from cellflow.synthetic import Experiment, GrowingFork

#: Systems with smooth velocities.
SMOOTH: dict[str, Any] = {
    "uniform motion": synthetic.GaussianToGaussian(shift=(2.0, 0.0), stretch=(1.0, 1.0)),
    "OrnsteinUhlenbeck": synthetic.OrnsteinUhlenbeck(),
}
APART = GrowingFork(growths=(0.9, 0.3), separation=3.0, fork=0.0)
FORK = GrowingFork()
#: Halfway between snapshots behind the fork.
BETWEEN = (1.5, 2.5, 3.5)
LEVEL = 0.9
PARTS = ("velocities", "growth", "fates", "samples", "shared", "speed")

Row = dict[str, Any]


class Given(NamedTuple):
    """What a part is run with."""

    seed: int
    n_cells: int
    n_members: int
    steps: int

    def rng(self, *part: int) -> np.random.Generator:
        """Random numbers of a part."""
        return np.random.default_rng([self.seed, *part])

    def members(
        self, snapshots: Snapshots, recipe: recipes.Recipe | None = None
    ) -> tuple[FittedDynamics, ...]:
        """Flows of an ensemble that is fitted to snapshots."""
        recipe = recipes.by_name(recipes.DEFAULT) if recipe is None else recipe
        short = replace(recipe, training=replace(recipe.training, steps=self.steps))
        found = fit(snapshots, short, n_members=self.n_members, random_state=self.seed)
        return found.members


def judged(found: Spread, truth: FloatArray | float) -> Row:
    """How many intervals cover the truth, and how large errors and standard errors are."""
    low, high = found.interval(LEVEL)
    return {
        "covered": float(np.mean((low <= truth) & (truth <= high))),
        "error": float(np.mean(np.square(found.mean - truth))),
        "se": float(np.mean(np.square(found.se))),
    }


def of_velocities(
    members: tuple[FittedDynamics, ...], system: Any, x: FloatArray, t: float
) -> Iterator[Row]:
    """Velocities of cells, coordinate by coordinate, and their mean over the cells."""
    each = np.stack([member.velocity(x, t) for member in members])
    truth = system.velocity(t, x)
    yield {"quantity": "velocity of a cell"} | judged(spread(each), truth)
    yield {"quantity": "mean velocity"} | judged(spread(each.mean(axis=1)), truth.mean(axis=0))


def velocities(given: Given) -> Iterator[Row]:
    """The smooth systems."""
    for k, (name, system) in enumerate(SMOOTH.items()):
        rng = given.rng(1, k)
        members = given.members(system.sample(given.n_cells, system.times, rng))
        times = np.array(system.times)
        for t in [*times.tolist(), *(0.5 * (times[1:] + times[:-1])).tolist()]:
            x = system.sample(given.n_cells, [t], rng)[0].x
            for row in of_velocities(members, system, x, t):
                yield {"system": name, "time": t} | row


def growth(given: Given) -> Iterator[Row]:
    """Two branches that grow at different rates."""
    rng = given.rng(2)
    snapshots = APART.sample(given.n_cells, APART.times, rng)
    members = given.members(snapshots, recipes.uot_cfm(tau=3.0))
    for t in (0.5, *BETWEEN):
        about = {"system": "two branches", "time": t}
        for branch in (0, 1):
            x = APART.placed(t, np.full(given.n_cells, branch), rng)
            each = np.array([member.head("growth", x, t).mean() for member in members])
            row = judged(spread(each), APART.branch_growths(t)[branch])
            yield about | {"quantity": "growth of a branch"} | row
        x = APART.sample(given.n_cells, [t], rng)[0].x
        for row in of_velocities(members, APART, x, t):
            yield about | row


def fates(given: Given) -> Iterator[Row]:
    """Fates of a population that forks."""
    rng = given.rng(3)
    snapshots = FORK.sample(given.n_cells, FORK.times, rng)
    members = given.members(snapshots)
    shares = np.array([probability_of_a(member, snapshots) for member in members])
    for k, population in enumerate(snapshots.populations[:2]):
        truth = FORK.fates(population.time, population.x)[:, 0].mean()
        row = {"system": "fork", "time": population.time, "quantity": "fate of a group"}
        yield row | judged(spread(shares[:, k]), truth)


def probability_of_a(flow: FittedDynamics, snapshots: Snapshots) -> FloatArray:
    """Mean probability of branch A of the cells of the first two snapshots."""
    x = np.concatenate([p.x for p in snapshots.populations])
    at = np.repeat(snapshots.times, [len(p) for p in snapshots.populations])
    code = np.where(at == at.max(), (x[:, 1] < 0).astype(int), -1)
    cells = FateCells(x, at, at, np.ones(len(x)), np.arange(len(x)))
    found = find_fates(flow, cells, Targets(("A", "B"), code, float(at.max()), code >= 0))
    return np.array([found.probability[at == t, 0].mean() for t in snapshots.times[:2]])


def samples(given: Given) -> Iterator[Row]:
    """Halves of samples beside halves of cells, where samples differ."""
    rng = given.rng(4)
    experiment = Experiment({"control": FORK}, n_samples=4, shift=0.2, composition=0.2)
    taken = experiment.take(given.n_cells // 4, FORK.times, rng)
    whole: list[Population] = []
    for t in FORK.times:
        here = [sample for sample in taken if sample.time == t]
        number = np.repeat(np.arange(4) + 4 * len(whole), given.n_cells // 4)
        whole.append(Population(np.concatenate([s.x for s in here]), t, sample=number))
    by_sample = Snapshots(tuple(whole))
    by_cell = Snapshots(tuple(replace(p, sample=None) for p in whole))
    for name, snapshots in {"by sample": by_sample, "by cell": by_cell}.items():
        members = given.members(snapshots)
        for t in BETWEEN:
            x = FORK.sample(given.n_cells, [t], rng)[0].x
            for row in of_velocities(members, FORK, x, t):
                yield {"system": f"fork, {name}", "time": t} | row


def shared(given: Given) -> Iterator[Row]:
    """Bootstrap weights on one plan."""
    rng = given.rng(6)
    ends = [Population(rng.normal(size=(given.n_cells, 2)) + t, t) for t in (0.0, 1.0)]
    plan = Sparse()(*ends)
    i, j = plan.sample(50 * given.n_cells, rng)
    moved = ends[1].x[j] - ends[0].x[i]
    draws = []
    for _ in range(given.n_members):
        weights = rng.exponential(size=(2, given.n_cells))
        draws.append(np.average(moved, axis=0, weights=np.sqrt(weights[0, i] * weights[1, j])))
    row = {"system": "uniform motion", "quantity": "mean velocity, one plan for all"}
    yield row | judged(spread(np.array(draws)), 1.0)


def speed(given: Given) -> Iterator[Row]:
    """Seconds of one fit and of an ensemble."""
    rng = given.rng(5)
    for n, d in ((given.n_cells, 2), (500, 10), (3000, 50)):
        at = np.repeat(np.arange(4.0), n)
        snapshots = Snapshots.from_arrays(rng.standard_normal((4 * n, d)) + at[:, None], at)
        seconds = []
        for k in (1, given.n_members):
            start = time.perf_counter()
            fit(snapshots, n_members=k, random_state=given.seed)
            seconds.append(time.perf_counter() - start)
        yield {
            "system": f"4 x {n} cells, {d} dims",
            "quantity": f"{given.n_members} members beside one flow",
            "seconds_one": seconds[0],
            "seconds": seconds[1],
        }


def tables(frame: pd.DataFrame) -> None:
    """Print coverage by quantity, and times."""
    timed = frame[frame["part"] == "speed"]
    if len(timed):
        found = timed.groupby(["system", "quantity"])[["seconds_one", "seconds"]].median()
        found["times"] = found["seconds"] / found["seconds_one"]
        records.markdown(found.reset_index().round(2))
    rows = frame[frame["part"] != "speed"]
    if not len(rows):
        return
    by = ["part", "system", "quantity"]
    per_set = rows.groupby([*by, "seed"])["covered"].mean()
    means = rows.groupby(by)[["error", "se"]].mean() ** 0.5
    found = per_set.groupby(by).agg(["mean", "sem", "size"])
    found.columns = ["covered", "by_set", "sets"]
    records.markdown(found.join(means).reset_index().round(3))


def main() -> None:
    """Run what is missing, and print."""
    parser = records.parser(__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--members", type=int, default=5)
    parser.add_argument("--cells", type=int, default=200)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    kept = records.Records(options.out, ("part", *Given._fields))
    functions = {f.__name__: f for f in (velocities, growth, fates, samples, shared, speed)}
    last = options.first if options.table else options.first + options.seeds
    for seed in range(options.first, last):
        given = Given(seed, options.cells, options.members, options.steps)
        for part in options.parts:
            if (part, *given) not in kept:
                about = {"part": part} | given._asdict()
                kept.add(*[about | row for row in functions[part](given)])
    tables(kept.frame())


if __name__ == "__main__":
    main()
