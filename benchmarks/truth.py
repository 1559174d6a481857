"""Recipes beside what is known: velocities, drifts, lineages, composition and held-out clouds.

    python benchmarks/truth.py --out truth.jsonl --methods curved-cfm ot-cfm sf2m

- velocities: fits to fresh snapshots of every system of `cellflow.synthetic` and of a population in
  uniform motion; at the snapshots and halfway between them, velocities of fresh cells beside the
  true ones. `size` is the slope of one on the other (1 is right), `cosine` the mean over cells,
  weighted by their true speed, since a cell at rest has no direction, `error` the root mean square
  difference over the root mean square velocity.
- drift: the same of single cells in systems with noise: by the flow, and, of a recipe with a score,
  by the drift with the fit's own sigma and with the true one.
- lineages: worm neurons, all snapshots fitted; cells pushed to a later snapshot take the type of
  the nearest cell there. Share in their own type or one that descends from it, beside cells that
  are not moved.
- hold-out: every inner snapshot left out in turn, protocol P1, equal clouds: W1, energy distance
  and variance ratio, and where types are known the error of composition by nearest cell; beside the
  straight path without a model.

Names of methods are those of `methods.py`, so that fits with growth stand beside those without:
`--methods curved-cfm curved-cfm+auto`; what was assumed about growth is counted below the tables.
Rows are appended to --out, and what is there is not computed again; `--table` only prints.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import methods
import records
import sets
from cellflow import synthetic
from cellflow.analysis.diagnosis import mean_cosine
from cellflow.analysis.prediction import predict
from cellflow.core.population import Population, Snapshots
from cellflow.metrics import (
    composition_error,
    energy_distance,
    lineage_consistency,
    variance_ratio,
    wasserstein,
)
from cellflow.model.flow import Flow

#: Cells per snapshot of a simulated system, and fresh cells that velocities are compared at.
N_CELLS = 400
N_FRESH = 400
#: Most points of a cloud that distances are taken of.
MOST = 1000

#: Three genes in a ring, each of which represses the next.
RING = synthetic.GeneCircuit(
    regulation=((0.0, 0.0, -8.0), (-8.0, 0.0, 0.0), (0.0, -8.0, 0.0)),
    basal=(3.0, 3.0, 3.0),
    start=(0.6, 0.4, 0.2),
)
#: Systems whose velocity is known.
SYSTEMS: dict[str, synthetic.System] = {
    "uniform motion": synthetic.GaussianToGaussian(shift=(8.0, 0.0, 0.0, 0.0), stretch=(1.0,) * 4),
    "slow uniform motion": synthetic.GaussianToGaussian(
        shift=(2.0,) + (0.0,) * 9, stretch=(1.0,) * 10
    ),
    "GaussianToGaussian": synthetic.GaussianToGaussian(),
    "OrnsteinUhlenbeck": synthetic.OrnsteinUhlenbeck(),
    "Rotation": synthetic.Rotation(),
    "Bifurcation": synthetic.Bifurcation(),
    "TwoWell": synthetic.TwoWell(),
    "BranchingTree": synthetic.BranchingTree(),
    "ToggleSwitch": synthetic.ToggleSwitch(),
}
#: Systems in which single cells move otherwise than the population.
NOISY: dict[str, Any] = {
    "OrnsteinUhlenbeck": SYSTEMS["OrnsteinUhlenbeck"],
    "TwoWell": SYSTEMS["TwoWell"],
    "toggle circuit": synthetic.GeneCircuit(),
    "ring circuit": RING,
}
#: Types of the worm's neurons and what they become, by the anatomy of the embryo.
LINEAGE = {
    "ADL_parent": ["ADL"],
    "Neuroblast_ASG_AWA": ["ASG_AWA"],
    "ASG_AWA": ["ASG", "AWA"],
    "AWC": ["AWC_ON"],
}

Row = dict[str, Any]


def compared(found: np.ndarray, known: np.ndarray) -> Row:
    """Size, cosine and error of velocities `(n, d)` beside the true ones."""
    size = float((found * known).sum() / (known**2).sum())
    error = float(np.sqrt(((found - known) ** 2).sum() / (known**2).sum()))
    speed = np.linalg.norm(known, axis=1)
    return {"size": size, "cosine": mean_cosine(found, known, weight=speed), "error": error}


def velocities(method: methods.Fits, seed: int) -> Iterator[Row]:
    """Velocities of fresh cells, at the snapshots and between them."""
    for name, system in SYSTEMS.items():
        flow, _, assumption = fitted(system, method, seed)
        times = np.asarray(system.times)
        for place, at in (("snapshots", times), ("between", (times[1:] + times[:-1]) / 2)):
            cells = system.sample(
                N_FRESH, at.tolist(), np.random.default_rng([seed, 1])
            ).populations
            known = np.concatenate([system.velocity(p.time, p.x) for p in cells])
            found = np.concatenate([flow.velocity(p.x, p.time) for p in cells])
            base = {"part": "velocities", "set": name, "at": place, "assumption": assumption}
            yield {**base, **compared(found, known)}


def drifts(method: methods.Fits, seed: int) -> Iterator[Row]:
    """Mean motion of single cells, at the snapshots."""
    for name, system in NOISY.items():
        flow, snapshots, assumption = fitted(system, method, seed)
        known = np.concatenate([system.drift(p.time, p.x) for p in snapshots.populations])
        asked: dict[str, Callable[[Population], np.ndarray]] = {
            "flow": lambda p, f=flow: f.velocity(p.x, p.time)
        }
        if "score" in method.recipe.heads:
            true = system.sigma / float(np.mean(flow.frame.scale))
            asked["drift"] = lambda p, f=flow: f.drift(p.x, p.time)
            asked["drift, true sigma"] = lambda p, f=flow, s=true: f.drift(p.x, p.time, sigma=s)
        for at, ask in asked.items():
            found = np.concatenate([ask(p) for p in snapshots.populations])
            base = {"part": "drift", "set": name, "at": at, "assumption": assumption}
            yield {**base, **compared(found, known)}


def fitted(
    system: synthetic.System, method: methods.Fits, seed: int
) -> tuple[Flow, Snapshots, str]:
    """A fit to fresh snapshots of a system, with what it assumes about growth."""
    snapshots = system.sample(N_CELLS, system.times, np.random.default_rng([seed, 0]))
    flow, assumption = method.fitted(snapshots, random_state=seed)
    return flow, snapshots, assumption


def lineages(method: methods.Fits, seed: int) -> Iterator[Row]:
    """Cells of the worm that end in their own lineage."""
    given = sets.load_types("worm_sampled")
    if given is None:
        return
    snapshots, types = given
    flow, assumption = method.fitted(snapshots, random_state=seed)
    for start, stop in combinations(range(len(snapshots)), 2):
        source = snapshots[start]
        target = snapshots[stop]
        moved = flow.simulate(source.x, source.time, [target.time]).x[0]
        for name, x in (("unmoved", source.x), ("moved", moved)):
            share = lineage_consistency(x, types[start], target.x, types[stop], lineage=LINEAGE)
            yield {
                "part": "lineages",
                "set": f"worm {source.time:g} to {target.time:g}",
                "at": name,
                "share": share,
                "assumption": assumption,
            }


def holdouts(method: methods.Fits, seed: int) -> Iterator[Row]:
    """Inner snapshots that were not seen."""
    simulated = {
        name: (system.sample(N_CELLS, system.times, np.random.default_rng([seed, 0])), None)
        for name, system in SYSTEMS.items()
        if name != "slow uniform motion"
    }
    worm = sets.load_types("worm_sampled")
    for name, (snapshots, types) in (simulated | ({} if worm is None else {"worm": worm})).items():
        for k in range(1, len(snapshots) - 1):
            target = snapshots[k]
            rest = snapshots.without(target.time)
            flow, assumption = method.fitted(rest, random_state=seed)
            ours = predict(flow, rest, target.time, source="earlier")
            clouds = {"model": Population(ours.x, target.time, ours.weight)}
            clouds["straight"] = methods.Straight()(rest, target.time, random_state=seed)["P1"]
            for at, cloud in clouds.items():
                row = {
                    "part": "hold-out",
                    "set": name,
                    "time": float(target.time),
                    "at": at,
                    "assumption": assumption,
                    **distances(cloud, target, seed),
                }
                if types is not None:
                    row["composition"] = composition(
                        cloud, rest, types[:k] + types[k + 1 :], types[k]
                    )
                yield row


def distances(cloud: Population, target: Population, seed: int) -> Row:
    """Distances of equal numbers of points."""
    n = min(len(cloud), len(target), MOST)
    rng = np.random.default_rng([seed, 2])
    x = cloud.x[rng.choice(len(cloud), n, replace=False, p=cloud.weight)]
    y = target.x[rng.choice(len(target), n, replace=False, p=target.weight)]
    return {
        "w1": wasserstein(x, y),
        "energy": energy_distance(x, y),
        "variance": float(variance_ratio(x, y)),
    }


def composition(
    cloud: Population, rest: Snapshots, types: list[np.ndarray], known: np.ndarray
) -> float:
    """Share of cells in the wrong type; predicted cells have the type of the nearest seen cell."""
    from scipy.spatial import cKDTree

    seen = np.concatenate([p.x for p in rest.populations])
    label = np.concatenate(types)[cKDTree(seen).query(cloud.x)[1]]
    return float(composition_error(label, known, x_weight=cloud.weight).error)


PARTS = {"velocities": velocities, "drift": drifts, "lineages": lineages, "hold-out": holdouts}


def report(rows: pd.DataFrame) -> None:
    """Print one table a part, in Markdown; means over seeds."""
    of = {part: rows[rows["part"] == part] for part in PARTS}
    for part in ("velocities", "drift"):
        if len(of[part]):
            print(f"\n{part}: size / cosine / error")
            mean = (
                of[part]
                .groupby(["set", "at", "method"], sort=False)[["size", "cosine", "error"]]
                .mean()
            )
            text = mean.apply(
                lambda r: f"{r['size']:.2f} / {r['cosine']:.2f} / {r['error']:.2f}", axis=1
            )
            records.markdown(text.unstack("method"))
    if len(of["lineages"]):
        print("\nlineages: share in the own lineage")
        share = of["lineages"].groupby(["set", "at", "method"], sort=False)["share"].mean()
        records.markdown(share.map("{:.2f}".format).unstack("method"))
    if len(of["hold-out"]):
        print(
            "\nhold-out, ratios to the straight path of W1 / energy; variance ratio; composition"
            " error (straight path's)"
        )
        records.markdown(ratios(of["hold-out"]))
    if "assumption" in rows:
        print("\ngrowth: number of fits by assumption")
        names = ("part", "set", "method", "seed", "time")  # only hold-outs have a time
        once = rows.drop_duplicates([name for name in names if name in rows])
        counts = once.groupby(["method", "assumption"]).size().unstack(fill_value=0)
        records.markdown(counts)


def ratios(rows: pd.DataFrame) -> pd.DataFrame:
    """Figures of the hold-outs by set and method: geometric means over times and seeds."""
    found: dict[str, dict[str, str]] = {}
    for (name, method), part in rows.groupby(["set", "method"], sort=False):
        model, straight = (
            part[part["at"] == at].set_index(["time", "seed"]) for at in ("model", "straight")
        )
        w1, energy = (np.exp(np.log(model[m] / straight[m]).mean()) for m in ("w1", "energy"))
        text = f"{w1:.3f} / {energy:.3f}; {model['variance'].mean():.2f}"
        if "composition" in part and part["composition"].notna().any():
            text += f"; {model['composition'].mean():.3f} ({straight['composition'].mean():.3f})"
        found.setdefault(str(name), {})[str(method)] = text
    return pd.DataFrame.from_dict(found, orient="index")


def main() -> None:
    parser = records.parser(__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--methods", nargs="+", default=["curved-cfm", "ot-cfm", "sf2m"])
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=list(PARTS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument(
        "--label",
        default="",
        help="added to the names of the methods, for a comparison of two versions",
    )
    parser.add_argument("--table", action="store_true", help="only print what --out holds")
    arguments = parser.parse_args()
    kept = records.Records(arguments.out, ("part", "method", "seed"))
    for part in [] if arguments.table else arguments.parts:
        for name in arguments.methods:
            for seed in arguments.seeds:
                method = f"{name}{arguments.label}"
                if (part, method, seed) in kept:
                    continue
                start = time.perf_counter()
                new = [
                    {"method": method, "seed": seed, **row}
                    for row in PARTS[part](methods.fits(name), seed)
                ]
                kept.add(*new)
                print(
                    f"{part}, {method}, seed {seed}: {len(new)} rows,"
                    f" {time.perf_counter() - start:.0f} s",
                    flush=True,
                )
    report(kept.frame())


if __name__ == "__main__":
    main()
