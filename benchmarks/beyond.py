"""Alternatives to the paths of `curved-cfm`: four trials without a network, without EB.

    python benchmarks/beyond.py [--trials metric score marginals constants] [--sets guo emt ...]
    [--out beyond.jsonl]

Every inner snapshot is left out in turn; a candidate puts the pairs of the plan where its path is
at that time, without a network for the velocity. Both clouds are drawn to the smaller of the
snapshot before and the held-out one, at most `--most` points. Figures are ratios to the straight
path: of W1 the geometric mean over held-out times, of the energy distance without pairs of a cell
with itself the ratio of sums over times. "inner" candidates leave out each inner snapshot of those
that are visible, take the member of their family with the least W1 there, and keep the default
where there is none to leave out.

metric      Metric flow matching (Kapusniak et al., NeurIPS 2024): a network bends the path so that
            its kinetic energy under the LAND metric of the pooled cells is least; plans are ours.
score       Steps along an estimated score after the path: kernel mean shift of the mixture of the
            neighbouring snapshots, annealed, minus that of the moved cloud itself (so that the
            variance is kept), or rescaled to the variance before.
marginals   A network bends the path so that its curve, continued beyond the interval, meets the
            neighbouring snapshots in energy distance; a penalty on the bend limits it.
constants   Limit of the Hermite path and strengths of density correction and overlap attraction,
            chosen by inner hold-outs.

Inner hold-outs see at most 250 cells of a snapshot. `--out` keeps the rows of what has been
computed; `--table` prints them.
"""

from __future__ import annotations

import time as clock
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import torch

import across
import records
import sets
from bends import MarginalsMet, MetricBent, along_score
from cellflow import recipes
from cellflow.core.population import Population, Snapshots
from cellflow.evaluation.baselines import around
from cellflow.evaluation.interpolation import path_interpolation
from cellflow.model.fitting import Coupled, couple
from cellflow.paths import DensityCorrected, LimitedHermite, Linear, OverlapAttracted
from cellflow.paths.base import Path as CellPath

SETS = ("guo", "emt", "dyngen", "gene", "tigon", "larry", "myoblasts", "reprogramming")
#: Cells of a snapshot at most in inner hold-outs, which only rank candidates.
INNER_MOST = 250
#: A member replaces the default where its inner W1 is less by this share ("inner, 2 %").
MARGIN = 0.02


S = LimitedHermite()
FULL = OverlapAttracted(DensityCorrected(S))


def curved(inner: CellPath, density: float = 1.0, overlap: float = 0.5) -> CellPath:
    """Density correction and overlap attraction around a path, unless of strength 0."""
    path = DensityCorrected(inner, density) if density else inner
    return OverlapAttracted(path, overlap) if overlap else path


@dataclass(frozen=True)
class Candidate:
    """A path, and what is done to the cloud that it predicts."""

    path: CellPath
    after: Callable[[Population, Snapshots, float], Population] | None = None

    def __call__(self, rest: Snapshots, time: float, plans: Coupled) -> Population:
        """Predict the cells at `time`."""
        cloud = path_interpolation(
            rest, time, replace(recipes.curved_cfm(), path=self.path), plans=plans
        )
        return cloud if self.after is None else self.after(cloud, rest, time)


@dataclass(frozen=True)
class Family:
    """Candidates that stand for themselves, or of which one is chosen inside."""

    shown: dict[str, Candidate]
    choices: dict[str, dict[str, Candidate]] = field(default_factory=dict)


DEFAULT = "curved"
REFERENCE = {"S": Candidate(S), DEFAULT: Candidate(FULL)}


def metric() -> Family:
    """Metric flow matching alone, on the limited Hermite path, and inside or around all of ours."""
    return Family({
        "M": Candidate(MetricBent(Linear())),
        "M wide": Candidate(MetricBent(Linear(), width=2.0)),
        "S + M": Candidate(MetricBent(S)),
        "S + M + N + O": Candidate(curved(MetricBent(S))),
        "curved + M": Candidate(MetricBent(FULL)),
    })  # fmt: skip


def score() -> Family:
    """Every kind at a few strengths, and the strength chosen inside."""
    shown = {}
    choices = {}
    for kind in ("ratio", "centred", "rescaled"):
        members = {
            f"{kind} {strength:g}": Candidate(
                FULL, partial(along_score, strength=strength, kind=kind)
            )
            for strength in (0.25, 0.5, 1.0)
        }
        shown |= members
        choices[f"inner: {kind}"] = members
    return Family(shown, choices)


def marginals() -> Family:
    """Penalties, alone and with the corrections, and a penalty chosen by inner hold-outs."""
    shown = {f"F {p:g}": Candidate(MarginalsMet(p)) for p in (0.01, 0.1)}
    shown |= {f"F {p:g} + N + O": Candidate(curved(MarginalsMet(p))) for p in (0.01, 0.03, 0.1)}
    return Family(
        shown,
        {
            "inner: curved or F + N + O": {
                f"F {p:g} + N + O": shown[f"F {p:g} + N + O"] for p in (0.01, 0.1)
            }
        },
    )


def constants() -> Family:
    """The constants of the three parts."""
    members = {}
    for limit, density, overlap in product((0, 1, 4), (0.0, 0.5, 1.0), (0.0, 0.5)):
        inner = LimitedHermite(limit=float(limit)) if limit else Linear()
        members[f"limit {limit}, N {density:g}, O {overlap:g}"] = Candidate(
            curved(inner, density, overlap)
        )
    return Family({}, {"inner: constants": members})


TRIALS = {trial.__name__: trial for trial in (metric, score, marginals, constants)}


@dataclass
class Bench:
    """One set, with the plans and the scores of everything that has been left out so far."""

    snapshots: Snapshots
    most: int
    plans: dict[tuple[float, ...], Coupled] = field(default_factory=dict)
    clouds: dict[tuple[tuple[float, ...], float, str], Population] = field(default_factory=dict)
    scores: dict[tuple[tuple[float, ...], float, str], dict[str, float]] = field(
        default_factory=dict
    )

    @cached_property
    def few(self) -> Snapshots:
        """The set for inner hold-outs."""
        rng = np.random.default_rng(0)
        draws = [
            (p, np.sort(rng.permutation(len(p))[:INNER_MOST])) for p in self.snapshots.populations
        ]
        return Snapshots(tuple(p.part(rows) for p, rows in draws))

    def scored(
        self, out: tuple[float, ...], time: float, name: str, candidate: Candidate
    ) -> dict[str, float]:
        """Score a candidate at `time`, one of the times `out` that are left out."""
        key = (tuple(sorted(out)), time, name)
        if key not in self.scores:
            snapshots = self.snapshots if len(out) == 1 else self.few
            rest = Snapshots(tuple(p for p in snapshots.populations if p.time not in out))
            if key[0] not in self.plans:
                self.plans[key[0]] = couple(rest, "curved-cfm")
            held_out = snapshots.at(time)
            before, _ = around(rest, time)
            n = min(len(before), len(held_out), self.most)
            if candidate.after is None:
                cloud = candidate(rest, time, self.plans[key[0]])
            else:
                plain = (key[0], time, DEFAULT)
                if plain not in self.clouds:
                    self.clouds[plain] = replace(candidate, after=None)(
                        rest, time, self.plans[key[0]]
                    )
                cloud = candidate.after(self.clouds[plain], rest, time)
            self.scores[key] = across.scored(cloud, held_out, n)
        return self.scores[key]

    def ratio(self, out: tuple[float, ...], time: float, name: str, candidate: Candidate) -> float:
        """Logarithm of the W1 of a candidate over that of the straight path."""
        straight = self.scored(out, time, "straight", Candidate(Linear()))
        return float(np.log(self.scored(out, time, name, candidate)["w1"] / straight["w1"]))

    def chosen(self, time: float, members: dict[str, Candidate], margin: float) -> str:
        """Choose a member, or the default, by inner hold-outs without the snapshot at `time`."""
        inner = [float(t) for t in self.snapshots.without(time).times[1:-1]]
        if not inner:
            return DEFAULT
        means = {
            name: float(np.mean([self.ratio((time, t), t, name, c) for t in inner]))
            for name, c in {DEFAULT: REFERENCE[DEFAULT], **members}.items()
        }
        best = min(means, key=lambda name: means[name])
        return best if means[best] < means[DEFAULT] - margin else DEFAULT


def rows_of(name: str, bench: Bench, trial: str) -> Iterator[dict[str, object]]:
    """One row for each held-out time and candidate of a trial; of the reference, for no trial."""
    family = TRIALS[trial]() if trial else Family(REFERENCE)
    for time in map(float, bench.snapshots.times[1:-1]):
        straight = bench.scored((time,), time, "straight", Candidate(Linear()))
        members = [(label, label, candidate) for label, candidate in family.shown.items()]
        for label, choices in family.choices.items():
            for margin, suffix in ((0.0, ""), (MARGIN, f", {MARGIN:.0%}")):
                member = bench.chosen(time, choices, margin)
                members.append((label + suffix, member, {**REFERENCE, **choices}[member]))
        for label, member, candidate in members:
            found = bench.scored((time,), time, member, candidate)
            yield {
                "set": name,
                "time": time,
                "trial": trial,
                "candidate": label,
                "member": member,
                "w1": found["w1"],
                "unbiased": found["unbiased"],
                "w1_straight": straight["w1"],
                "unbiased_straight": straight["unbiased"],
            }


def report(rows: pd.DataFrame) -> None:
    """Print ratios to the straight path, a line for each candidate."""
    rows = rows.assign(log=np.log(rows["w1"] / rows["w1_straight"]))
    table = rows.groupby(["trial", "candidate", "set"], sort=False).agg(
        w1=("log", "mean"), own=("unbiased", "sum"), straight=("unbiased_straight", "sum")
    )
    table = table.assign(
        w1=np.exp(table["w1"]), energy=(table["own"] / table["straight"]).clip(lower=across.LEAST)
    )
    names = list(dict.fromkeys(rows["set"]))
    print("\nratios to the straight path: W1 / energy distance without pairs of a cell with itself")
    print(f"{'':47s}" + "".join(f"{name[:12]:>14s}" for name in [*names, "mean"]))
    for (trial, label), group in table.groupby(level=[0, 1], sort=False):
        found = group.droplevel([0, 1]).reindex(names)
        mean = np.exp(np.log(found[["w1", "energy"]]).mean(skipna=False))
        pairs = [*zip(found["w1"], found["energy"], strict=True), (mean["w1"], mean["energy"])]
        print(f"{trial:10s}{label:37.37s}" + "".join(f"{w:8.3f}/{e:5.3f}" for w, e in pairs))
    for label, group in rows[rows["candidate"].str.startswith("inner")].groupby(
        "candidate", sort=False
    ):
        counts = group["member"].value_counts()
        print(f"{label}: " + ", ".join(f"{member} x {count}" for member, count in counts.items()))


def main() -> None:
    parser = records.parser(__doc__)
    parser.add_argument("--trials", nargs="+", default=list(TRIALS), choices=list(TRIALS))
    parser.add_argument(
        "--sets",
        nargs="+",
        default=list(SETS),
        choices=[s for s in sets.SETS if not s.startswith("eb")],
    )
    parser.add_argument("--most", type=int, default=1000, help="points of a comparison, at most")
    parser.add_argument(
        "--out", type=Path, help="append the rows to this file, and print the table of all of it"
    )
    parser.add_argument("--table", action="store_true", help="only print what --out holds")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    kept = records.Records(arguments.out)
    for name in [] if arguments.table else arguments.sets:
        snapshots = sets.load(name)
        if snapshots is None:
            continue
        bench = Bench(snapshots, arguments.most)
        for trial in ["", *arguments.trials]:
            begun = clock.process_time()
            found = list(rows_of(name, bench, trial))
            print(
                f"{name}, {trial or 'reference'}: {clock.process_time() - begun:.0f} s of CPU",
                flush=True,
            )
            kept.add(*found)
    report(kept.frame(["set", "time", "trial", "candidate"]))


if __name__ == "__main__":
    main()
