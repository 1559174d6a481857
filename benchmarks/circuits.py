"""Genes of a fit beside a circuit whose genes are known: velocity, growth, fates, knock-outs.

    python benchmarks/circuits.py --out circuits.jsonl [--sets small large] [--seeds 0 1 2]
    [--parts velocity growth held-out terminal knock-out regulation drivers] [--rep state]
    [--method "tau=3"] [--quick] [--table]

Every seed is a circuit of its own (`cellflow.synthetic.circuits`), measured at seven times, 400
cells each, of which one ensemble is fitted by `cf.tl.flow`, with the sizes of the populations. The
small set has 2, 3 or 4 genes in turn and two fates, the large one ten genes and four fates. Scores
are from 0 to 1, higher is better, beside a baseline without a model:

- velocity: cosine of the velocity of fresh cells and the drift of the circuit, weighted by the
  speed. Its noise is small: where cells move, the population moves by the drift. Baseline: all
  cells of a time move as their mean.
- growth: area under the precision-recall curve (AUPRC) of the genes that make cells divide, ordered
  by `cf.tl.jacobian(of="growth")`, signed. Baseline: correlation with the time.
- held-out: without each of three inner snapshots in turn, cells of the one before are moved to its
  time: (P - W) / (P - F), where W, P, F are the W1 of these, of the snapshot before and of another
  sample to a fresh sample, each summed over the times, cut to 0 and 1. Baseline: transport between
  the neighbours.
- terminal: half the agreement (1 - total variation) of the composition of the fates of the cells of
  the start with the true one, half the share of cells before the end whose most probable fate
  is the truly most probable one. Baseline: the composition of the end, for each cell.
- knock-out: each gene is held at zero from the start (`cf.tl.perturb`), beside the circuit with the
  gene held at zero. Half the F1 of the (gene, fate) pairs that change by at least 5 percentage
  points, half the share of right signs among those that truly do. Baseline: correlation of the gene
  with the fate at the end, a change where it is above .3.
- regulation: AUPRC of the pairs that regulate, ordered by the size of `cf.tl.jacobian`. Baseline:
  correlation of the genes.

`mean` is that of the six. The solver takes 8 steps per interval in place of 20, for the time that
takes; with 5, where cells arrive changes by less than .002. The part drivers counts confounders
among the three genes that `cf.tl.drivers` ranks first, beside a random order, correlation with the
time and with the fate at the end. The knock-out table has, over all pairs of all circuits, the
share of right signs where the true effect is at least 5 points, the share of intervals (90 %) that
hold the truth, and the share of pairs without an effect (below 1 point) among those with q <= .1 in
their circuit. Where all mass of a knock-out arrives away from measured cells, there is no answer,
and the pair counts as unchanged; `answered` has pairs with an answer only, `supported` those of
them whose states lie where cells were measured in a third of all times and cells or more.

Choices were made on seeds from 100 on; seeds 0 to 9 are reported. Rows are appended to --out, and
what is there is not computed again; `--table` only prints.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score, f1_score

import cellflow as cf
import methods
import records
from cellflow.analysis.comparison.resampling import adjusted
from cellflow.core.population import Snapshots
from cellflow.metrics import wasserstein
from cellflow.model import base
from cellflow.model.fitting import fit
from circuit_cases import N_FRESH, TIMES, Case, case
from circuit_tables import LEAST, TOP, report

#: Cells of the start whose true composition is simulated.
N_STARTS = 3000
#: Times that are held out.
HELD = (1.0, 2.0, 3.0)
#: Correlation with the fate at the end from which the baseline calls a change.
CORRELATED = 0.3
#: Cells whose sensitivities are computed, and cells that are edited.
DRIVER_CELLS = 100
EDITED_CELLS = 200
#: Fates whose drivers are asked about, at most.
N_DRIVEN = 2
#: Steps of the solver per mean interval: fewer than by default, for the time it takes.
STEPS = 8

Row = dict[str, Any]
#: Genes and fates of the circuit of a seed.
SETS: dict[str, Callable[[int], tuple[int, int]]] = {
    "small": lambda seed: (2 + seed % 3, 2),
    "large": lambda seed: (10, 4),  # noqa: ARG005 (one signature)
}


# Parts --------------------------------------------------------------------------------------------


def velocity(of: Case) -> Row:
    """Cosine of the velocity with the drift, weighted by the speed."""
    found = []
    for p in of.fresh.populations:
        known = of.circuit.drift(p.time, p.x)
        fitted = of.flow.velocity(of.placed(p.x), p.time) @ of.loadings.T
        at = TIMES.index(p.time)
        ends = [of.fresh[max(at - 1, 0)], of.fresh[min(at + 1, len(TIMES) - 1)]]
        mean = (ends[1].x.mean(axis=0) - ends[0].x.mean(axis=0)) + 0.0 * known
        found.append(np.stack([cosines(fitted, known), cosines(mean, known), speed(known)]))
    fitted, mean, weight = np.concatenate(found, axis=1)
    return {
        "score": float(np.average(fitted, weights=weight)),
        "baseline": float(np.average(mean, weights=weight)),
    }


def speed(v: np.ndarray) -> np.ndarray:
    """Lengths of vectors `(n, d)`."""
    return np.asarray(np.linalg.norm(v, axis=1))


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosines of the vectors of both, `(n,)`."""
    return np.asarray((a * b).sum(axis=1) / (speed(a) * speed(b)))


def growth(of: Case) -> Row:
    """AUPRC of the genes that make cells divide."""
    known = np.isin(np.arange(len(of.genes)), of.circuit.growth_drivers)
    cf.tl.jacobian(of.adata, of.genes, of="growth")
    table = cf.get.jacobian(of.adata).set_index("regulator").loc[of.genes]
    with_time = np.abs(np.corrcoef(of.x.T, of.t)[-1, :-1])
    rates = np.concatenate(
        [of.flow.head("growth", of.placed(p.x), p.time) for p in of.fresh.populations]
    )
    truth = np.concatenate([of.circuit.growth(p.time, p.x) for p in of.fresh.populations])
    return {
        "score": average_precision_score(known, table["scaled"]),
        "baseline": average_precision_score(known, with_time),
        "r": float(np.corrcoef(rates, truth)[0, 1]),
    }


def held_out(of: Case) -> Row:
    """W1 between the noise floor and the snapshot before, with each inner snapshot left out."""
    sizes = of.adata.obs.groupby("time")["mass"].first()
    cells = Snapshots.from_arrays(of.placed(of.x), of.t)
    every = Snapshots(tuple(replace(p, mass=sizes[p.time]) for p in cells.populations))
    recipe = methods.fits(f"curved-cfm+{of.method}").recipe
    straight = methods.named("straight")
    sums = np.zeros(4)
    for at in HELD:
        rest = every.without(at)
        before = every[TIMES.index(at) - 1]
        flow = fit(rest, recipe, random_state=of.seed, progress=False)
        moved = flow.simulate(before.x, before.time, [at])
        weight = np.exp(moved.log_weight[0])
        line = straight(rest, at, random_state=0)["P1"]
        n = len(before.x)
        rng = np.random.default_rng([of.seed, 2])
        target, *others = (of.placed(of.circuit.sample(n, [at], rng)[0].x) for _ in range(4))
        sums += [
            wasserstein(moved.x[0], target, x_weight=weight / weight.sum()),
            wasserstein(line.x, target, x_weight=line.weight),
            wasserstein(before.x, target),
            float(np.mean([wasserstein(other, target) for other in others])),
        ]
    found = (sums[2] - sums[:2]) / (sums[2] - sums[3])
    return dict(zip(("score", "baseline"), np.clip(found, 0.0, 1.0).tolist(), strict=True))


def terminal(of: Case) -> Row:
    """Composition of the fates of the start, and the most probable fate of each earlier cell."""
    names = list(of.circuit.ends)
    table = cf.get.fates(of.adata).pivot(index="cell", columns="fate", values="probability")
    decided = table.loc[of.adata.obs_names, names].to_numpy()
    first = of.t == TIMES[0]
    mass = of.adata.obs["cf_fate_mass"].to_numpy()[first]
    arrived = mass @ decided[first]
    known = of.circuit.composition(0.0, of.x[first])
    end = np.bincount(of.circuit.labels(of.x[of.t == TIMES[-1]]), minlength=len(names))
    right = []
    for at in TIMES[:-1]:
        rows = np.flatnonzero(of.t == at)[:N_FRESH]
        truth = of.circuit.fates(at, of.x[rows]).argmax(axis=1)
        settled = decided[rows].sum(axis=1) > 0.5
        right.append([settled & (decided[rows].argmax(axis=1) == truth), end.argmax() == truth])
    fitted, base = np.mean(right, axis=(0, 2))
    agreed = 1.0 - 0.5 * np.abs(arrived / arrived.sum() - known).sum()
    by_end = 1.0 - 0.5 * np.abs(end / end.sum() - known).sum()
    return {
        "score": (agreed + fitted) / 2,
        "baseline": (by_end + base) / 2,
        "composition": agreed,
        "cells": fitted,
    }


def knock_out(of: Case) -> Row:
    """Changes of the composition by each knock-out; `pairs` has every gene and fate."""
    names = list(of.circuit.ends)
    cells = of.circuit.starts(N_STARTS, np.random.default_rng([of.seed, 3]))
    before = of.circuit.composition(0.0, cells, n_rep=1, rng=np.random.default_rng(of.seed))
    rows = []
    for gene in of.genes:
        cf.tl.perturb(of.adata, {gene: 0.0}, n_null=0, max_cells=EDITED_CELLS, name=gene)
        table = cf.get.perturbation(of.adata, gene).query("quantity == 'fate'")
        support = cf.get.perturbation(of.adata, gene, table="support")["perturbed"].mean()
        out = of.circuit.knocked_out(gene)
        after = out.composition(0.0, cells, n_rep=1, rng=np.random.default_rng(of.seed))
        true = after - before
        rows.append(table.assign(gene=gene, support=support))
        rows[-1]["true"] = 100.0 * pd.Series(true, index=names)[table["fate"]].to_numpy()
    pairs = pd.concat(rows, ignore_index=True)
    pairs["q"] = adjusted(pairs["p"].to_numpy())
    pairs["correlated"] = [-end_correlations(of)[g, f] for g, f in pairs[["gene", "fate"]].values]
    changed = pairs["effect"].abs() >= LEAST
    called = pairs["correlated"].abs() >= CORRELATED
    kept = ["gene", "fate", "effect", "low", "high", "p", "q", "support", "true"]
    return {
        "score": changes_score(pairs, changed, pairs["effect"]),
        "baseline": changes_score(pairs, called, pairs["correlated"]),
        "pairs": pairs[kept].to_dict("records"),
    }


def changes_score(pairs: pd.DataFrame, changed: pd.Series, effect: pd.Series) -> float:
    """Half the F1 of the changes, half the share of right signs of true ones."""
    truly = pairs["true"].abs() >= LEAST
    signs = np.sign(effect[truly]) == np.sign(pairs["true"][truly])
    return float((f1_score(truly, changed) + signs.mean()) / 2)


def end_correlations(of: Case) -> dict[tuple[str, str], float]:
    """Correlation of each gene with each fate among the cells of the end."""
    x = of.x[of.t == TIMES[-1]]
    label = of.circuit.labels(x)
    fates = np.eye(len(of.circuit.ends))[label]
    r = np.corrcoef(x.T, fates.T)[: len(of.genes), len(of.genes) :]
    return {
        (gene, fate): float(r[g, f])
        for g, gene in enumerate(of.genes)
        for f, fate in enumerate(of.circuit.ends)
    }


def regulation(of: Case) -> Row:
    """AUPRC of the pairs that regulate each other, by size."""
    apart = ~np.eye(len(of.genes), dtype=bool)
    known = (of.circuit.regulation != 0)[apart]
    cf.tl.jacobian(of.adata, of.genes)
    table = cf.get.jacobian(of.adata)
    wide = table.pivot(index="target", columns="regulator", values="scaled")
    found = wide.loc[of.genes, of.genes].to_numpy()
    signs = np.sign(found[apart]) == np.sign(of.circuit.regulation[apart])
    return {
        "score": average_precision_score(known, np.abs(found[apart])),
        "baseline": average_precision_score(known, np.abs(np.corrcoef(of.x.T)[apart])),
        "signs": float(signs[known].mean()),
    }


def drivers(of: Case) -> Row:
    """Confounders among the genes that are ranked first, mean over two fates."""
    if not of.circuit.confounders or len(of.genes) <= TOP:
        return {}
    confounders = {of.genes[g] for g in of.circuit.confounders}
    chance = TOP * len(confounders) / len(of.genes)
    with_time = np.abs(np.corrcoef(of.x.T, of.t)[-1, :-1])
    by_time = {of.genes[g] for g in np.argsort(-with_time)[:TOP]}
    found = []
    for fate in of.circuit.ends[:N_DRIVEN]:
        cf.tl.drivers(of.adata, fate, max_cells=DRIVER_CELLS)
        table = cf.get.drivers(of.adata, fate).sort_values("rank")
        top = set(table["gene"][:TOP])
        markers = set(table.sort_values("marker_rank")["gene"][:TOP])
        significant = set(table["gene"][table["q"] <= 0.05])
        found.append([len(genes & confounders) for genes in (top, markers, significant)])
    mean = np.mean(found, axis=0)
    return {
        "top": mean[0],
        "markers": mean[1],
        "time": len(by_time & confounders),
        "chance": chance,
        "significant": mean[2],
        "confounders": len(confounders),
    }


PARTS: dict[str, Callable[[Case], Row]] = {
    "velocity": velocity,
    "growth": growth,
    "held-out": held_out,
    "terminal": terminal,
    "knock-out": knock_out,
    "regulation": regulation,
    "drivers": drivers,
}


def plain(row: Row) -> Row:
    """Numbers that a line of JSON can hold."""
    return {k: v.item() if isinstance(v, np.generic) else v for k, v in row.items()}


def main() -> None:
    parser = records.parser(__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(10)))
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=list(PARTS))
    parser.add_argument("--rep", default="state", choices=["state", "pca"])
    parser.add_argument("--method", default="tau=3", help="what is assumed about growth")
    parser.add_argument("--quick", action="store_true", help="fewer cells and members")
    parser.add_argument("--table", action="store_true", help="only print what --out holds")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    base._STEPS_PER_UNIT = STEPS  # noqa: SLF001 (no user chooses it)
    kept = records.Records(arguments.out, ("set", "seed", "part"))
    for seed in [] if arguments.table else arguments.seeds:
        for name in arguments.sets:
            asked = [part for part in arguments.parts if (name, seed, part) not in kept]
            if not asked:
                continue
            start = time.process_time()
            sizes = SETS[name](seed)
            of = case(
                *sizes, seed, method=arguments.method, rep=arguments.rep, quick=arguments.quick
            )
            seconds = {"fit": time.process_time() - start}
            for part in asked:
                start = time.process_time()
                row = plain(PARTS[part](of))
                kept.add({"set": name, "seed": seed, "part": part, **row})
                seconds[part] = time.process_time() - start
                short = {k: round(v, 3) for k, v in row.items() if isinstance(v, float)}
                print(f"{name} {seed} {part}: {short}", flush=True)
            print({part: round(s, 1) for part, s in seconds.items()}, flush=True)
    report(kept.frame())


if __name__ == "__main__":
    main()
