"""Conditions compared by sample where the truth is known: coverage, level, power.

    python benchmarks/compare.py --out compare.jsonl [--parts null cells speed growth lost]
    [--seeds 100] [--samples 4] [--cells 40] [--populations] [--table]

Every seed is a fresh experiment with a fork (`cellflow.synthetic.GrowingFork`): samples of two
conditions at the times 1, 2, 3, each shifted as a whole (standard deviation .1 in each of two
dimensions) and with a composition of its own (.2 in the log-odds). The fork is at time 1, whose
cells are of the trunk, and at time 0 for speed and growth, so that all cells are of a branch.
Plans are those of `couplings.Unbalanced`, the coupling of a fit with `growth="learn"`.

- null: both conditions are the same system; samples are the units.
- cells: the same, with random fifths of the cells of a time and condition in place of samples.
- speed: branch A is 1.3 times as fast in one condition, from time 1 on.
- growth: branch A grows 1.5 times as fast, from time 1 on.
- lost: cells of branch B become A instead.

`covered` is the share of the intervals of 90 % with the truth in them; `rejected` the share of
p-values of at most .05 by permutation, `rejected_t` by Student's t: the level where `true` is 0,
else the power. Of distances, p-values are by the F distribution. `diverged` is the share of the
sets in which the populations are said to diverge, `in_time` that in which they are said to do so by
the first snapshot after they truly have, or by the one behind it, `too_early` before that.
`cells_p` and `cells_q` are the shares of the reference cells with p or q of at most .05,
`cells_any` the share of the sets with any q of that size. With `--populations`, distances and times
of divergence alone are computed, which needs no plan.
Rows are appended to --out, and what is there is not computed again; `--table` only prints.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import records
from cellflow.analysis.comparison import Asked, Block, Course, Divergence, Effect, Groups, compare
from cellflow.analysis.comparison.cells import Differences
from cellflow.analysis.comparison.divergence import divergence
from cellflow.core.frame import Frame
from cellflow.core.population import Population, Snapshots
from cellflow.couplings import Unbalanced
from cellflow.synthetic import Experiment, GrowingFork

Row = dict[str, Any]

TIMES = (1.0, 2.0, 3.0)
#: Strength of the marginals, as for `intervals.py`: smaller ones read movement as growth.
TAU = 3.0
#: By part, the control and the treated system.
SYSTEMS = {
    "null": (GrowingFork(), GrowingFork()),
    "cells": (GrowingFork(), GrowingFork()),
    "speed": (GrowingFork(fork=0.0), GrowingFork(fork=0.0, speed_factors=(1.3, 1.0))),
    "growth": (GrowingFork(fork=0.0), GrowingFork(fork=0.0, growth_factors=(1.5, 1.0))),
    "lost": (GrowingFork(), GrowingFork(lost="B")),
}
LABELS = ("A", "B", "trunk")
#: Columns that rows of populations alone do not have.
COLUMNS = ("true", "effect", "low", "high", "p_t", "cells_p", "cells_q", "cells_any", "seconds")


def drawn(part: str, seed: int, n_samples: int, n_cells: int) -> tuple[Course, np.ndarray, Groups]:
    """The course of one experiment, the scale of its coordinates, and the labels of its cells."""
    systems = dict(zip(("control", "treated"), SYSTEMS[part], strict=True))
    made = Experiment(systems, n_samples=n_samples, shift=0.1, composition=0.2)
    rng = np.random.default_rng(seed)
    taken = [(s.time, s.condition, s.x, s.kind) for s in made.take(n_cells, TIMES, rng)]
    if part == "cells":
        taken = divided(taken, rng)
    everything = np.concatenate([s[2] for s in taken])
    at = np.concatenate([np.full(len(s[2]), s[0]) for s in taken])
    frame = Frame.fitted(Snapshots.from_arrays(everything, at))
    blocks = []
    code = []
    first = 0
    for unit, (t, name, x, kind) in enumerate(taken):
        rows = np.arange(first, first + len(x))
        first += len(x)
        blocks.append(Block(Population(frame.to_model(x), t, index=rows), unit, TIMES.index(t)))
        labels = systems[name].labels(t)
        code.append(np.array([LABELS.index(label) for label in labels])[kind])
    condition = np.array([int(name == "treated") for _, name, _, _ in taken])
    course = Course(
        tuple(blocks), np.array(TIMES), condition, np.zeros(len(TIMES), bool), Unbalanced(TAU)
    )
    return course, frame.scale, Groups(LABELS, np.concatenate(code))


def divided(taken: list[Any], rng: np.random.Generator) -> list[Any]:
    """Random fifths of all cells of each time and condition."""
    found = []
    for name in dict.fromkeys((s[0], s[1]) for s in taken):
        mine = [s for s in taken if (s[0], s[1]) == name]
        x = np.concatenate([s[2] for s in mine])
        kind = np.concatenate([s[3] for s in mine])
        part = rng.permutation(len(x)) % 5
        found += [(*name, x[part == k], kind[part == k]) for k in range(5)]
    return found


def truth(part: str, effect: Effect) -> float:
    """The true effect; NaN for rows without a closed form."""
    if part in {"null", "cells"}:
        return 0.0
    control, treated = SYSTEMS[part]
    if effect.quantity == "fate":
        if effect.group != "all":
            return np.nan
        found = [shares(s, TIMES[-1])["AB".index(effect.fate)] for s in (control, treated)]
        return float(found[1] - found[0])
    if effect.group == "all" or part == "lost":
        return np.nan
    k = "AB".index(effect.group)
    if effect.quantity == "speed":
        return float(treated.branch_speeds(2.0)[k] - control.branch_speeds(2.0)[k])
    start = effect.time if np.isfinite(effect.time) else TIMES[0]
    stop = start + 1.0 if np.isfinite(effect.time) else TIMES[-1]
    rate = [np.log(shares(s, stop)[k] / shares(s, start)[k]) for s in (control, treated)]
    return float((rate[1] - rate[0]) / (stop - start))


def shares(system: GrowingFork, t: float) -> np.ndarray:
    """Shares of cells in A and B at a time behind the fork."""
    size = np.exp(system.log_sizes(t))
    size /= size.sum()
    label = system.labels(t)
    return np.array([size[[name == branch for name in label]].sum() for branch in "AB"])


def measured(part: str, seed: int, n_samples: int, n_cells: int) -> list[Row]:
    """Rows of one experiment."""
    start = time.perf_counter()
    course, scale, groups = drawn(part, seed, n_samples, n_cells)
    ends = Groups(("A", "B"), np.where(groups.code < 2, groups.code, -1))
    asked = Asked(n_perm=199, n_cells=100, grows=True, seed=seed)
    found = compare(course, scale, groups, asked, ends)
    seconds = time.perf_counter() - start
    about = {"part": part, "seed": seed, "samples": n_samples, "cells": n_cells}
    rows = [
        about
        | {
            "quantity": e.quantity,
            "group": e.group,
            "fate": e.fate,
            "time": e.time,
            "true": truth(part, e),
            "effect": e.effect,
            "low": e.low,
            "high": e.high,
            "p": e.p,
            "p_t": e.p_t,
        }
        for e in found.effects
        # Of two fates, one says it all.
        if e.fate != "B"
    ]
    rows += [about | row for row in of_populations(part, found.divergence)]
    return [*rows, about | of_cells(found.cells, seconds)]


def parted(part: str, seed: int, n_samples: int, n_cells: int) -> list[Row]:
    """Rows of the populations of one experiment alone."""
    course, _, _ = drawn(part, seed, n_samples, n_cells)
    about = {"part": part, "seed": seed, "samples": n_samples, "cells": n_cells}
    return [about | row for row in of_populations(part, divergence(course))]


def of_populations(part: str, at: Divergence) -> list[Row]:
    """Rows of distances and of the divergence."""
    rows: list[Row] = [
        {"quantity": "distance", "group": "all", "fate": "", "time": float(t), "p": float(p)}
        for t, p in zip(at.times, at.p, strict=True)
    ]
    control, treated = SYSTEMS[part]
    last = treated.effects(control).divergence
    rows.append(
        {
            "quantity": "divergence",
            "first": at.first,
            "last_before": at.last_before,
            "too_early": bool(at.first <= last),
            "in_time": bool(last < at.first <= last + 2.0),
        }
    )
    return rows


def of_cells(found: Differences, seconds: float) -> Row:
    """The row of single cells."""
    known = np.isfinite(found.p)
    return {
        "quantity": "cells",
        "cells_p": float((found.p[known] <= 0.05).mean()),
        "cells_q": float((found.q[known] <= 0.05).mean()),
        "cells_any": bool((found.q[known] <= 0.05).any()),
        "seconds": seconds,
    }


def tables(rows: pd.DataFrame) -> None:
    """Print coverage, level and power."""
    rows = rows.reindex(columns=sorted({*rows.columns, *COLUMNS}))
    rows = rows.assign(
        covered=((rows["low"] <= rows["true"]) & (rows["true"] <= rows["high"])).where(
            rows["low"].notna() & rows["true"].notna()
        ),
        rejected=(rows["p"] <= 0.05).where(rows["p"].notna()),
        rejected_t=(rows["p_t"] <= 0.05).where(rows["p_t"].notna()),
    )
    by = ["part", "samples", "cells", "quantity", "group", "fate", "time"]
    effects = rows[rows["quantity"].isin(["speed", "growth", "fate", "distance"])]
    # Where a group is there in one interval only, the mean over intervals says the same again.
    effects = effects[~effects["group"].eq("trunk") | effects["effect"].isna()]
    same = ["part", "seed", "samples", "cells", "quantity", "group", "fate", "effect"]
    effects = effects[~effects.duplicated(same, keep="last") | effects["effect"].isna()]
    columns = ["true", "effect", "covered", "rejected", "rejected_t"]
    numbers = effects.groupby(by, sort=False, dropna=False)[columns]
    table = numbers.agg(lambda v: pd.to_numeric(v).mean()).reset_index()
    table["sets"] = numbers.size().to_numpy()
    records.markdown(table.round(3))
    whole = effects[effects["quantity"] != "distance"]
    pooled = whole.groupby(["part", "samples", "quantity"], sort=False)[columns[2:]]
    records.markdown(pooled.agg(lambda v: pd.to_numeric(v).mean()).reset_index().round(3))
    others = rows[rows["quantity"].isin(["divergence", "cells"])].copy()
    others["diverged"] = others["first"].notna().where(others["quantity"] == "divergence")
    columns = ["diverged", "too_early", "in_time", "cells_p", "cells_q", "cells_any", "seconds"]
    found = others.groupby(["part", "samples", "cells"], sort=False)[columns]
    records.markdown(found.agg(lambda v: pd.to_numeric(v).mean()).reset_index().round(3))


def main() -> None:
    parser = records.parser(__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--parts", nargs="+", choices=list(SYSTEMS), default=list(SYSTEMS))
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--cells", type=int, default=40)
    parser.add_argument("--populations", action="store_true")
    parser.add_argument("--table", action="store_true")
    args = parser.parse_args()
    kept = records.Records(args.out, ("part", "seed", "samples", "cells"))
    for seed in range(0 if args.table else args.seeds):
        for part in args.parts:
            if (part, seed, args.samples, args.cells) not in kept:
                rows = parted if args.populations else measured
                kept.add(*rows(part, seed, args.samples, args.cells))
    tables(kept.frame())


if __name__ == "__main__":
    main()
