"""Fits with growth where growth is known, and where cell types must stay in their lineages.

    python benchmarks/growth.py --out growth.jsonl [--parts circuits held-out worm]
    [--methods ot-cfm "ot-cfm+tau=1" curved-cfm curved-cfm+auto] [--seeds 0] [--table]

- circuits: two simulated gene circuits whose cells divide at a rate in proportion to
  h(x) = x_2^2 / (1 + x_2^2), at all times (Sha et al., Nat. Mach. Intell. 2024); numbers of cells
  are the sizes of the populations. All snapshots are fitted, and the cells of the first one are
  pushed to each later time, the setting of the published tables. W1 with the weights of the pushed
  cells; `mass` is |m - n| / n, with m the predicted and n the known size relative to the first
  snapshot; `r` the Pearson correlation of the fitted rate with h over all cells, `slope` the factor
  of h that fits best (without intercept).
- held-out: the same circuits, every inner snapshot left out in turn; cells of the snapshot before
  are pushed to its time.
- worm: neurons of the worm, 30 principal components. Cells pushed to 500 minutes take the most
  frequent type of the 15 nearest cells there; share in their own type or a descendant of it, of all
  and of the progenitors, beside cells that are not moved. W1, energy distance and composition error
  of the snapshot at 400 minutes that is left out, pushed from 300 minutes, with weights; distances
  at equal numbers of points (see `across.py`).

Names of methods are those of `methods.py`. Rows are appended to --out, and what is there is not
computed again; `--table` only prints.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import across
import methods
import records
import sets
import truth
from cellflow.core._neighbors import nearest
from cellflow.core.population import Population, Snapshots
from cellflow.metrics import composition_error, energy_distance, wasserstein
from cellflow.metrics._descent import allowed
from cellflow.model.flow import Flow

#: Sets whose true growth rate is known up to a factor.
CIRCUITS = ("gene", "tigon")
#: Number of the gene that makes cells divide, from zero.
DIVIDES = 1
#: Principal components of the worm.
N_WORM = 30
#: Cells around a pushed cell that vote on its type.
N_NEIGHBOURS = 15

Row = dict[str, Any]


def known_growth(x: np.ndarray) -> np.ndarray:
    """Rate at which cells of the circuits divide, up to its factor; states `(n, genes)`."""
    square = x[:, DIVIDES] ** 2
    return np.asarray(square / (1.0 + square))


def with_sizes(snapshots: Snapshots) -> Snapshots:
    """The snapshots, with their numbers of cells relative to the first one as masses."""
    first = len(snapshots[0])
    return Snapshots(tuple(replace(p, mass=len(p) / first) for p in snapshots.populations))


def pushed(flow: Flow, source: Population, at: float) -> Population:
    """Cells that were moved to a later time, with their masses."""
    moved = flow.simulate(source.x, source.time, [at])
    grown = source.weight * np.exp(moved.log_weight[0])
    return Population(moved.x[0], at, grown, mass=source.mass * float(grown.sum()))


def compared(found: Population, known: Population) -> Row:
    """Weighted distances, and the relative error of the size."""
    a = found.weight
    b = known.weight
    return {
        "w1": wasserstein(found.x, known.x, x_weight=a, y_weight=b),
        "energy": energy_distance(found.x, known.x, x_weight=a, y_weight=b),
        "mass": abs(found.mass / known.mass - 1.0),
    }


def rates(flow: Flow, snapshots: Snapshots) -> Row:
    """Fitted rates of growth of all cells beside the known ones; nothing of fits without growth."""
    if "growth" not in flow.recipe["heads"]:
        return {}
    found = np.concatenate([flow.head("growth", p.x, p.time) for p in snapshots.populations])
    known = np.concatenate([known_growth(p.x) for p in snapshots.populations])
    slope = float(found @ known / (known @ known))
    return {"r": float(np.corrcoef(found, known)[0, 1]), "slope": slope}


def circuits(method: methods.Fits, seed: int) -> Iterator[Row]:
    """All times trained, every later time predicted from the first one."""
    for name in CIRCUITS:
        given = sets.load(name)
        if given is None:
            continue
        snapshots = with_sizes(given)
        flow, assumption = method.fitted(snapshots, random_state=seed)
        base = {"part": "circuits", "set": name, "assumption": assumption}
        for target in snapshots.populations[1:]:
            found = pushed(flow, snapshots[0], target.time)
            yield {**base, "time": target.time, **compared(found, target), **rates(flow, snapshots)}


def held_out(method: methods.Fits, seed: int) -> Iterator[Row]:
    """Every inner snapshot of the circuits left out, predicted from the one before it."""
    for name in CIRCUITS:
        given = sets.load(name)
        if given is None:
            continue
        snapshots = with_sizes(given)
        for k in range(1, len(snapshots) - 1):
            target = snapshots[k]
            flow, assumption = method.fitted(snapshots.without(target.time), random_state=seed)
            base = {"part": "held-out", "set": name, "assumption": assumption}
            found = pushed(flow, snapshots[k - 1], target.time)
            yield {**base, "time": target.time, **compared(found, target), **rates(flow, snapshots)}


def worm(method: methods.Fits, seed: int) -> Iterator[Row]:
    """Lineages of pushed cells, and the snapshot that is left out."""
    given = load_worm()
    if given is None:
        return
    snapshots, types = given
    flow, assumption = method.fitted(snapshots, random_state=seed)
    base = {"part": "worm", "assumption": assumption}
    target = snapshots[2]
    for k in (0, 1):
        source = snapshots[k]
        moved = pushed(flow, source, target.time)
        for at, x in (("unmoved", source.x), ("moved", moved.x)):
            name = f"{source.time:g} to {target.time:g}"
            shares = own_lineage(x, types[k], target.x, types[2])
            yield {**base, "set": name, "at": at, **shares}
    rest = snapshots.without(snapshots[1].time)
    flow, assumption = method.fitted(rest, random_state=seed)
    found = pushed(flow, snapshots[0], snapshots[1].time)
    error = composition(found, rest, [types[0], types[2]], types[1])
    distances = across.scored(found, snapshots[1], min(len(found), len(snapshots[1])))
    row = {"set": "400 held out", "at": "moved", **distances, "composition": error}
    yield {**base, **row, "assumption": assumption}


def own_lineage(x: np.ndarray, own: np.ndarray, later: np.ndarray, theirs: np.ndarray) -> Row:
    """Share of cells in their own lineage, of all and of those whose type has descendants."""
    landed = majority(x, later, theirs)
    pairs = allowed(sorted({*own, *landed}), truth.LINEAGE)
    codes = {label: k for k, label in enumerate(sorted({*own, *landed}))}
    right = np.array([pairs[codes[a], codes[b]] for a, b in zip(own, landed, strict=True)])
    young = np.isin(own, [*truth.LINEAGE])
    return {"share": float(right.mean()), "progenitors": float(right[young].mean())}


def majority(x: np.ndarray, known: np.ndarray, label: np.ndarray) -> np.ndarray:
    """The most frequent label of the nearest known cells, `(n,)`; of equals, the first by name."""
    names, code = np.unique(label, return_inverse=True)
    votes = np.eye(len(names))[code[nearest(known, x, N_NEIGHBOURS)[1]]].sum(axis=1)
    return np.asarray(names[votes.argmax(axis=1)])


def composition(
    cloud: Population, rest: Snapshots, types: list[np.ndarray], known: np.ndarray
) -> float:
    """Share of mass in the wrong type; predicted cells have the type of the seen cells around."""
    seen = np.concatenate([p.x for p in rest.populations])
    label = majority(cloud.x, seen, np.concatenate(types))
    return float(composition_error(label, known, x_weight=cloud.weight).error)


def load_worm() -> tuple[Snapshots, list[np.ndarray]] | None:
    """Snapshots of the worm in 30 components, with types; None where its file is absent.

    Prepared with the default settings of scanpy, together with the cells that have no time.
    """
    import anndata as ad
    import scanpy as sc

    path = sets.DATA / sets.SETS["worm_sampled"].file
    if not path.exists():
        print(f"worm: skipped, {path} is absent")
        return None
    adata = ad.read_h5ad(path)
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    sc.pp.highly_variable_genes(adata, n_top_genes=1500)
    adata = adata[:, adata.var["highly_variable"]].copy()
    sc.pp.pca(adata, n_comps=N_WORM)
    adata = adata[adata.obs["time"].notna().to_numpy()]
    x = np.asarray(adata.obsm["X_pca"], dtype=np.float64)
    snapshots = Snapshots.from_arrays(x, adata.obs["time"].to_numpy(dtype=np.float64))
    types = adata.obs["cell_type"].to_numpy(dtype=str)
    return snapshots, [types[p.index] for p in snapshots.populations]


PARTS: dict[str, Callable[[methods.Fits, int], Iterator[Row]]] = {
    "circuits": circuits,
    "held-out": held_out,
    "worm": worm,
}


def report(rows: pd.DataFrame) -> None:
    """Print one table a part, in Markdown; means over times and seeds."""
    for part in ("circuits", "held-out"):
        of = rows[rows["part"] == part]
        if len(of):
            print(f"\n{part}: weighted W1, relative error of mass, r and factor of the growth rate")
            records.markdown(summary(of, ["w1", "mass", "r", "slope"], by=["set", "method"]))
    of = rows[rows["part"] == "worm"]
    if len(of):
        print("\nworm: share in the own lineage, of all and of progenitors")
        shares = of[of["set"] != "400 held out"]
        by = ["set", "at", "method"]
        records.markdown(summary(shares, ["share", "progenitors"], by=by))
        print("\nworm, 400 minutes left out: weighted W1, energy distance, composition error")
        left = of[of["set"] == "400 held out"]
        records.markdown(summary(left, ["w1", "energy", "composition"], by=["method"]))


def summary(rows: pd.DataFrame, columns: list[str], *, by: list[str]) -> pd.DataFrame:
    """Means over times and seeds, with the assumptions that were made."""
    present = [name for name in columns if name in rows]
    groups = rows.groupby(by, sort=False)
    means = groups[present].mean().map("{:.4f}".format)
    return means.assign(assumption=groups["assumption"].agg(lambda a: ", ".join(sorted(set(a)))))


def main() -> None:
    parser = records.parser(__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--methods",
        nargs="+",
        default=["ot-cfm", "ot-cfm+auto", "curved-cfm", "curved-cfm+auto"],
    )
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=list(PARTS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--table", action="store_true", help="only print what --out holds")
    arguments = parser.parse_args()
    kept = records.Records(arguments.out, ("part", "method", "seed"))
    for part in [] if arguments.table else arguments.parts:
        for name in arguments.methods:
            for seed in arguments.seeds:
                if (part, name, seed) in kept:
                    continue
                start = time.perf_counter()
                made = PARTS[part](methods.fits(name), seed)
                kept.add(*({"method": name, "seed": seed, **row} for row in made))
                seconds = time.perf_counter() - start
                print(f"{part}, {name}, seed {seed}: {seconds:.0f} s", flush=True)
                report(pd.DataFrame(kept.rows[-40:]).query("part == @part and method == @name"))
    report(kept.frame())


if __name__ == "__main__":
    main()
