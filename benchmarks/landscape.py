"""Potentials, pseudotimes and paths of least action where they are known.

    python benchmarks/landscape.py --part potential pseudotime action
    python benchmarks/landscape.py --part errors

- potential: the potential of known velocities at cells: its error, relative to its standard
  deviation, and the unexplained share beside the true one. No fit.
- pseudotime: fits of simulated snapshots, and new cells of times in between: rank correlation with
  the true time of the mean time and of the most likely one, and how often intervals of 90 %
  contain it.
- action: least actions of an Ornstein-Uhlenbeck process, and over a barrier. No fit.
- errors: ensembles of eight members on data sets of one Gaussian system: how often intervals of
  90 % contain the true potential of cells. Takes some minutes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.stats import spearmanr

import cellflow as cf
import records
from cellflow import synthetic
from cellflow.analysis.age import Course
from cellflow.analysis.landscape import potential
from cellflow.analysis.members import degrees_of
from cellflow.core._spread import spread
from cellflow.model.fitting import fit
from cellflow.simulation import least_action
from cellflow.training import Training

#: Cells of a population whose potential is computed.
N_CELLS = (50, 300, 3000)
DIMENSIONS = (2, 10, 30)
#: Systems of the pseudotimes; cells of a snapshot, times of new cells, and new cells of each.
SYSTEMS = (
    synthetic.Bifurcation(),
    synthetic.TwoWell(),
    synthetic.GaussianToGaussian(),
    synthetic.Rotation(),
    synthetic.BranchingTree(),
    synthetic.ToggleSwitch(),
    synthetic.OrnsteinUhlenbeck(),
    synthetic.GeneCircuit(),
)
SNAPSHOT = 300
N_TIMES = 40
N_NEW = 12
#: Data sets and members of the errors.
N_SETS = 8
N_MEMBERS = 8

Velocity = Callable[[np.ndarray], np.ndarray]


def fields(d: int, rng: np.random.Generator) -> Iterator[tuple[str, Any, Any, float]]:
    """Name, velocity, potential of its gradient part (or None), true unexplained share."""
    a = rng.standard_normal((d, d))
    b = rng.standard_normal((d, d))
    symmetric = -a @ a.T / np.linalg.norm(a @ a.T)
    turning = (b - b.T) / np.linalg.norm(b - b.T)

    def wells(x: np.ndarray) -> np.ndarray:
        slope = -x.copy()
        slope[:, 1] = -4 * x[:, 1] * (x[:, 1] ** 2 - 1)
        return slope

    def in_wells(x: np.ndarray) -> np.ndarray:
        return (x[:, 1] ** 2 - 1) ** 2 + 0.5 * (np.delete(x, 1, axis=1) ** 2).sum(axis=1)

    def quadratic(x: np.ndarray) -> np.ndarray:
        return -0.5 * np.einsum("nd,nd->n", x @ symmetric, x)

    yield "two wells", wells, in_wells, 0.0
    yield "gradient and rotation", lambda x: x @ (symmetric + turning).T, quadratic, 0.5
    yield "rotation", lambda x: x @ turning.T, None, 1.0


def potentials(seed: int) -> pd.DataFrame:
    """Errors and shares for cells of a standard normal distribution."""
    rng = np.random.default_rng(seed)
    rows = []
    for n in N_CELLS:
        for d in DIMENSIONS:
            x = rng.standard_normal((n, d))
            for name, velocity, known, share in fields(d, rng):
                found = potential(x, [velocity], np.ones(n))[0]
                error = math.nan
                if known is not None:
                    true = known(x) - known(x).mean()
                    error = float(np.sqrt(((found.value - true) ** 2).mean()) / true.std())
                row = {"velocity": name, "dimensions": d, "cells": n, "error": error}
                rows.append(row | {"unexplained": found.unexplained, "true": share})
    table = pd.DataFrame(rows).set_index(["velocity", "dimensions", "cells"])
    return table.round(4).sort_index()


def pseudotimes(seed: int) -> pd.DataFrame:
    """How well the time of new cells is found."""
    rows = []
    for number, system in enumerate(SYSTEMS):
        rng = np.random.default_rng([seed, number])
        first, last = system.times[0], system.times[-1]
        snapshots = system.sample(SNAPSHOT, system.times, rng)
        asked = system.sample(N_NEW, np.sort(rng.uniform(first, last, N_TIMES)), rng)
        truth = np.repeat(asked.times, N_NEW)
        recipe = cf.recipes.ot_cfm(training=Training(steps=400))
        flow = fit(snapshots, recipe, random_state=seed, progress=False)
        grid = np.union1d(np.linspace(first, last, 11), system.times)
        course = Course.of(flow, snapshots, grid)
        x = np.concatenate([p.x for p in asked.populations])
        known = course.posterior(x)
        low, high = known.interval(0.9)
        rows.append(
            {
                "system": type(system).__name__,
                "rank, mean time": spearmanr(course.typical_time(x), truth)[0],
                "rank, most likely": spearmanr(known.most_likely(), truth)[0],
                "covered at 90 %": ((low <= truth) & (truth <= high)).mean(),
                "length of the course": (high - low).mean() / (last - first),
                "uniqueness": known.uniqueness().mean(),
            }
        )
    table = pd.DataFrame(rows).set_index("system")
    table.loc["mean"] = table.mean()
    return table.round(3)


def actions() -> pd.DataFrame:
    """Least actions beside their closed forms."""
    rows = []
    for n in (20, 50, 100):
        ramp = torch.linspace(0.0, 1.0, n + 1, dtype=torch.float64)[:, None]
        start, end = torch.tensor([[1.0, -0.5]]).double(), torch.tensor([[-1.0, 2.0]]).double()
        times = 3.0 * ramp[:, 0]
        found = least_action(
            lambda _, x: -0.7 * x, times, [torch.lerp(start, end, ramp)], sigma=0.4
        )
        decay = math.exp(-2.1)
        known = 0.7 * float(((end - decay * start) ** 2).sum()) / (0.4**2 * (1 - decay**2))
        rows.append(
            {"path": "Ornstein-Uhlenbeck", "steps": n, "found": found.total, "known": known}
        )
        well = torch.lerp(torch.tensor([[0.0, -1.0]]), torch.tensor([[0.0, 1.0]]), ramp.float())
        found = least_action(_bent_wells, 10.0 * ramp[:, 0], [well.double()], sigma=0.5)
        rows.append({"path": "over a barrier", "steps": n, "found": found.total, "known": 8.0})
    return pd.DataFrame(rows).set_index(["path", "steps"]).sort_index().round(3)


def _bent_wells(_: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Descent of (y^2 - 1)^2 + 2 (x - 1.5 (1 - y^2))^2: a barrier of 1, at (1.5, 0)."""
    off = x[:, 0] - 1.5 * (1 - x[:, 1] ** 2)
    slope = 4 * x[:, 1] * (x[:, 1] ** 2 - 1) + 12 * off * x[:, 1]
    return -torch.stack([4 * off, slope], dim=1)


def errors(seed: int) -> pd.DataFrame:
    """Coverage of the intervals of an ensemble's potential."""
    system = synthetic.GaussianToGaussian()
    times = [0.0, 0.5, 1.0]
    rows = []
    for number in range(N_SETS):
        rng = np.random.default_rng([seed, number])
        snapshots = system.sample(200, times, rng)
        flow = fit(
            snapshots, cf.recipes.ot_cfm(), n_members=N_MEMBERS, random_state=number, progress=False
        )
        for time in times:
            x = system.sample(200, [time], np.random.default_rng(0))[0].x
            members = [_at(member, time) for member in flow.members]
            found, each = potential(x, members, np.ones(len(x)))
            true = potential(x, [lambda x, t=time: system.velocity(t, x)], np.ones(len(x)))[0].value
            known = replace(spread(each, degrees_of(flow)), mean=found.value)
            low, high = known.interval(0.9)
            row = {"set": number, "time": time, "covered": ((low <= true) & (true <= high)).mean()}
            row["error / se"] = np.sqrt(((found.value - true) ** 2).mean() / (known.se**2).mean())
            rows.append(row)
    table = pd.DataFrame(rows).drop(columns="set").groupby("time").mean()
    table.loc["all"] = table.mean()
    return table.round(3)


def _at(flow: Any, time: float) -> Velocity:
    return lambda x: flow.velocity(x, time)


def main() -> None:
    parser = records.parser(__doc__)
    parts = ["potential", "pseudotime", "action", "errors"]
    parser.add_argument("--part", nargs="+", choices=parts, default=parts[:3])
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    calls = {
        "potential": lambda: potentials(arguments.seed),
        "pseudotime": lambda: pseudotimes(arguments.seed),
        "action": actions,
        "errors": lambda: errors(arguments.seed),
    }
    for part in arguments.part:
        print(f"\n{part}\n")
        table = calls[part]().reset_index()
        records.markdown(table.set_index(table.columns[0]).astype(object))


if __name__ == "__main__":
    main()
