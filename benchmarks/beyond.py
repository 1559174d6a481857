"""What might go beyond the paths of `curved-cfm`: four trials at path level, on sets other than the embryoid bodies.

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
its kinetic energy under
            the LAND metric of the pooled cells is least; plans are ours.
score       Steps along an estimated score after the path: kernel mean shift of the mixture of the
neighbouring snapshots,
            annealed, minus that of the moved cloud itself (so that the variance is kept), or
            rescaled to the variance before.
marginals   A network bends the path so that its curve, continued beyond the interval, meets the
neighbouring snapshots in
            energy distance, as gently as a penalty on the bend asks for.
constants   The limit of the Hermite path and the strengths of density correction and overlap
attraction, chosen inside.

Inner hold-outs see at most 250 cells of a snapshot. `--out` keeps the rows of what has been
computed; `--table` prints them.
"""

from __future__ import annotations

import argparse
import json
import time as clock
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

import across
import sets
from cellflow import recipes
from cellflow.core.population import Pairs, Population, Snapshots
from cellflow.evaluation.baselines import around
from cellflow.evaluation.interpolation import path_interpolation
from cellflow.model.fitting import Coupled, couple
from cellflow.paths import DensityCorrected, LimitedHermite, Linear, OverlapAttracted
from cellflow.paths._bent import bent
from cellflow.paths.base import Path as CellPath
from cellflow.paths.base import Wrapper
from cellflow.paths.chain import Chain, Pool

SETS = ("guo", "emt", "dyngen", "gene", "tigon", "larry", "myoblasts", "reprogramming")
#: Cells of the pool that a metric is made of, pairs of a batch, steps of Adam, and units of a
#: layer.
N_LANDMARKS = 512
BATCH = 128
STEPS = 150
WIDTH = 48
LEARNING_RATE = 5e-3
#: Of networks, their batches and their landmarks.
SEED = 0
#: Cells of a snapshot at most in inner hold-outs, which only rank candidates.
INNER_MOST = 250
#: A member replaces the default only where its inner W1 is less by this share ("inner, 2 %").
MARGIN = 0.02

# --- bends that a network learns ------------------------------------------------------------------------------------------


def _network(n_inputs: int, n_outputs: int) -> nn.Sequential:
    """A small network whose output is zero at first."""
    layers = nn.Sequential(
        nn.Linear(n_inputs, WIDTH),
        nn.SiLU(),
        nn.Linear(WIDTH, WIDTH),
        nn.SiLU(),
        nn.Linear(WIDTH, n_outputs),
    )
    nn.init.zeros_(layers[-1].weight)
    nn.init.zeros_(layers[-1].bias)
    return layers


def _rows(pairs: Pairs, rows: Tensor) -> Pairs:
    return Pairs(
        pairs.x0[rows], pairs.x1[rows], pairs.t0[rows], pairs.t1[rows], row=pairs.row[rows]
    )


def _trained(
    network: nn.Module, loss: Callable[[Tensor, torch.Generator], Tensor], n: int, seed: int
) -> None:
    """Adam with a cosine schedule on batches of rows."""
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
    for _ in range(STEPS):
        optimiser.zero_grad()
        loss(torch.randint(n, (BATCH,), generator=generator), generator).backward()
        optimiser.step()
        schedule.step()


@dataclass(frozen=True)
class MetricBent(Wrapper):
    r"""A path plus :math:`s (1 - s)\, \varphi(x_0, x_1, s)` of least kinetic energy under the LAND metric of the cells.

    .. math::  E = \mathbb E \sum_k \dot x_k^2 / (h_k(x) + \epsilon), \qquad
               h_k(x) = \sum_i w_i (x_{ik} - x_k)^2 e^{-|x_i - x|^2 / 2 \sigma^2}

    with `h` in units of its median over the cells.

    Parameters
    ----------
    path
        What is bent.
    width
        :math:`\sigma`, in units of the median distance from a cell to the last of its 50 nearest.
    epsilon
        In units of the median of `h`: how much more a step costs where there are no cells.
    """

    width: float = 1.0
    epsilon: float = 0.03

    def prepared(self, chains: Sequence[Chain]) -> CellPath:
        """Train the network on the pairs of every chain."""
        inner = self.inner.prepared(chains)
        return bent(inner, torch.cat([self._bend(inner, chain) for chain in chains]))

    def _bend(self, path: CellPath, chain: Chain) -> Tensor:
        torch.manual_seed(SEED)
        pool = chain.pool
        pairs = chain.pairs
        some = np.random.default_rng(SEED).permutation(len(pool))[:N_LANDMARKS]
        cells = torch.from_numpy(pool.x[some]).float()
        weight = torch.from_numpy(pool.weight[some] / pool.weight[some].sum()).float()
        sigma = self.width * float(np.median(pool.near(50).radius))

        def spread(x: Tensor) -> Tensor:
            kernel = weight * torch.exp(-0.5 * torch.cdist(x, cells).square() / sigma**2)
            return (
                kernel @ cells.square()
                - 2 * x * (kernel @ cells)
                + x.square() * kernel.sum(dim=1, keepdim=True)
            )

        unit = spread(cells).median(dim=0).values
        network = _network(2 * cells.shape[1] + 1, cells.shape[1])

        def bend(some: Pairs, s: Tensor) -> Tensor:
            shift = network(torch.cat([some.x0.float(), some.x1.float(), s], dim=1))
            return s * (1 - s) * shift

        def loss(rows: Tensor, generator: torch.Generator) -> Tensor:
            some = _rows(pairs, rows)
            step = 0.02
            s = step + (1 - 2 * step) * torch.rand((len(rows), 1), generator=generator)
            times = [
                (s + k * step).double()[:, 0] * (some.t1 - some.t0) + some.t0 for k in (-1, 0, 1)
            ]
            before, here, after = (
                path.mean(t, some).float() + bend(some, s + k * step)
                for k, t in zip((-1, 0, 1), times, strict=True)
            )
            speed = (after - before) / (2 * step)
            return (speed.square() / (spread(here) / unit + self.epsilon)).sum(dim=1).mean()

        _trained(network, loss, len(pairs.x0), SEED)
        with torch.no_grad():
            return bend(pairs, torch.full((len(pairs.x0), 1), 0.5)).double()


@dataclass(frozen=True)
class MarginalsMet(CellPath):
    r"""Straight paths plus :math:`s (1 - s) [\alpha + (2 s - 1) \beta]`, which continued beyond meet the next snapshots.

    :math:`\alpha` and :math:`\beta` are functions of both ends, small networks; the loss is the energy distance of the
    continued curves to the populations a share `reach` of the way to the snapshots before and after (on straight paths of the
    neighbouring plans; 1 means the snapshots themselves), plus `penalty` times the mean square of both.

    Parameters
    ----------
    penalty
        Price of the bend.
    reach
        Share of the neighbouring interval that curves are continued for, 0 to 1.
    smoothing
        Width of the regression path.
    """

    penalty: float = 0.1
    reach: float = 0.5
    smoothing: float = 0.1

    @property
    def tabled(self) -> bool:
        """True."""
        return True

    def prepared(self, chains: Sequence[Chain]) -> CellPath:
        """Train the network on the pairs of every chain."""
        return bent(Linear(self.smoothing), torch.cat([self._bend(chain) for chain in chains]))

    def _bend(self, chain: Chain) -> Tensor:
        found = []
        times = chain.snapshots.times
        for k, rows in enumerate(chain.rows):
            number = torch.arange(rows.start, rows.stop)
            pairs = _rows(chain.pairs, number)
            h = times[k + 1] - times[k]
            targets = []
            if k > 0:
                here = (k - 1, 1 - self.reach)
                targets.append(
                    (-self.reach * (times[k] - times[k - 1]) / h, self._between(chain, *here))
                )
            if k + 2 < len(times):
                here = (k + 1, self.reach)
                targets.append(
                    (
                        1 + self.reach * (times[k + 2] - times[k + 1]) / h,
                        self._between(chain, *here),
                    )
                )
            found.append(
                self._fitted(pairs, targets, SEED) if targets else torch.zeros(pairs.x0.shape)
            )
        return torch.cat([f.double() for f in found])

    @staticmethod
    def _between(chain: Chain, interval: int, s: float) -> Tensor:
        """The population on the straight paths of another interval."""
        rows = chain.rows[interval]
        return ((1 - s) * chain.pairs.x0[rows] + s * chain.pairs.x1[rows]).float()

    def _fitted(self, pairs: Pairs, targets: list[tuple[float, Tensor]], seed: int) -> Tensor:
        torch.manual_seed(seed)
        x0 = pairs.x0.float()
        x1 = pairs.x1.float()
        d = x0.shape[1]
        network = _network(2 * d, 2 * d)

        def bend(both: Tensor, s: float) -> Tensor:
            return s * (1 - s) * (both[:, :d] + (2 * s - 1) * both[:, d:])

        def loss(rows: Tensor, generator: torch.Generator) -> Tensor:
            a = x0[rows]
            b = x1[rows]
            both = network(torch.cat([a, b], dim=1))
            total = self.penalty * both.square().sum(dim=1).mean()
            for s, cloud in targets:
                y = cloud[torch.randint(len(cloud), (BATCH,), generator=generator)]
                x = a + s * (b - a) + bend(both, s)
                total = total + 2 * torch.cdist(x, y).mean() - torch.pdist(x).mean()
            return total

        _trained(network, loss, len(x0), seed)
        with torch.no_grad():
            both = network(torch.cat([x0, x1], dim=1))
            return bend(both, 0.5)


# --- steps along a score --------------------------------------------------------------------------------------------------

#: Neighbours of the mean shift, from coarse to fine.
ANNEALED = (100, 50, 25)


def along_score(
    cloud: Population, rest: Snapshots, time: float, *, strength: float, kind: str
) -> Population:
    """Move a predicted cloud towards where the mixture of the neighbouring snapshots is dense.

    Parameters
    ----------
    cloud
        Prediction.
    rest, time
        What is visible, and when the prediction is for.
    strength
        Sum of the steps, in mean shifts.
    kind
        `"ratio"`: the cloud's own mean shift is subtracted, which is a step along the score of the
        density ratio; `"centred"`: the same with the cloud's mean kept; `"rescaled"`: the mean
        shift, then the mean and the total variance of before.
    """
    a, b = around(rest, time)
    s = (time - a.time) / (b.time - a.time)
    both = Pool(
        np.concatenate([a.x, b.x]),
        np.concatenate([(1 - s) * a.weight, s * b.weight]),
        np.zeros(len(a) + len(b)),
    )
    x = cloud.x.copy()
    w = cloud.weight
    centre = w @ x
    spread = w @ (x - w @ x) ** 2
    for k in ANNEALED:
        k = int(np.clip(k, 5, max(5, len(both.x) // 8)))
        step = both.near(k, x).shift
        if kind != "rescaled":
            step = step - Pool(x, w, np.zeros(len(x))).near(k, x).shift
        x = x + strength / len(ANNEALED) * step
    if kind != "ratio":
        x = x - w @ x + centre
    if kind == "rescaled":
        x = centre + (x - centre) * np.sqrt(spread.sum() / (w @ (x - centre) ** 2).sum())
    return replace(cloud, x=x)


# --- candidates -----------------------------------------------------------------------------------------------------------

S = LimitedHermite()
FULL = OverlapAttracted(DensityCorrected(S))


def curved(inner: CellPath, density: float = 1.0, overlap: float = 0.5) -> CellPath:
    """Density correction and overlap attraction around a path; those of no strength are left out."""
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
    """Penalties in place of the limited Hermite path, alone and with the corrections, and the penalty chosen inside."""
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

# --- the judgement --------------------------------------------------------------------------------------------------------


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
            held_out, (before, _) = snapshots.at(time), around(rest, time)
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
        """Choose a member, or the default, by the snapshots that are left when the one at `time` is out."""
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
            for margin, told in ((0.0, ""), (MARGIN, f", {MARGIN:.0%}")):
                member = bench.chosen(time, choices, margin)
                members.append((label + told, member, {**REFERENCE, **choices}[member]))
        for label, member, candidate in members:
            found = bench.scored((time,), time, member, candidate)
            yield {
                "set": name, "time": time, "trial": trial, "candidate": label, "member": member, "w1": found["w1"],
                "unbiased": found["unbiased"], "w1_straight": straight["w1"], "unbiased_straight": straight["unbiased"],
            }  # fmt: skip


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
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
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
    rows: list[dict[str, object]] = []
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
            rows += found
            if arguments.out:
                with arguments.out.open("a") as file:
                    file.writelines(json.dumps(row) + "\n" for row in found)
    if arguments.out and arguments.out.exists():
        rows = [json.loads(line) for line in arguments.out.read_text().splitlines()]
    report(pd.DataFrame(rows).drop_duplicates(["set", "time", "trial", "candidate"], keep="last"))


if __name__ == "__main__":
    main()
