"""Fates of blood progenitors beside what their clones became (LARRY, Weinreb et al. 2020).

    python benchmarks/larry_fates.py --out larry.jsonl

Data: the subset of 781 cells with clones that is CoSpar's test file, days 2 (34 cells), 4 (316) and
6 (431); log of counts per 10,000, all 2,481 genes of the file, 30 principal components of all
cells.

Split: the fit sees the positions and days of all cells, and no clone. Fates see the types of the
cells of day 6 too; "undiff" counts as no type. Clones are used for the measures only. Measured are
the cells of days 2 and 4 whose clone has at least one cell with a type at day 6.

- `r`: Pearson correlation of the neutrophil share of neutrophil and monocyte fates, predicted, with
  that of the clone's cells at day 6; cells whose clone has a neutrophil or a monocyte there.
- `auroc`: of the predicted share, for clones with more neutrophils than monocytes against clones
  with fewer; equal ones are left out.
- `accuracy`: share of cells whose most probable type is the most frequent one of the clone at day 6
  (any of several that are equally frequent).

Cells without either fate have the share of all cells of day 6. Intervals are of 95 %, by bootstrap
of clones: cells of one clone are drawn together. `gain` is the difference of `r` from that of
unmoved neighbours in the same draws.

Methods: nearest cells with a type at day 6, unmoved; the same after moving by the flow;
`cf.tl.fates`; the most frequent type; the fates of clones of the nearest early cells, their own
clone left out (uses clones of training cells, as methods "with labels" do); and one half of the
clone's cells at day 6 against the other half, the agreement of clones with themselves.

Published, on another split (Weinreb et al. 2020, all cells, day 2, held-out clones): r .197 (WOT),
.258 (FateID), .361 (neighbours with clones), .429 (clones among themselves).

Rows are appended to --out, and what is there is not computed again; `--table` only prints.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import records
import sets
from cellflow.evaluation.clones import measures as of_clones

FILE = sets.DATA / "larry_cospar" / "test_adata_preprocessed.h5ad"
#: Principal components.
N_DIMS = 30
#: Neighbours that vote.
N_NEIGHBORS = 20
N_BOOTSTRAP = 1000
#: Random halves of clones.
N_HALVES = 50
#: The last day, and the label of cells that have no type yet.
END = 6.0
NO_TYPE = "undiff"
PAIR = ("Neutrophil", "Monocyte")

Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Cells:
    """Cells with their clones.

    Parameters
    ----------
    x
        Positions `(n, d)`.
    day
        Days `(n,)`.
    type
        Types `(n,)`, "" for none.
    clone
        Number of each cell's clone, `(n,)`.
    """

    x: np.ndarray
    day: np.ndarray
    type: np.ndarray
    clone: np.ndarray

    @property
    def types(self) -> list[str]:
        """Types of the last day."""
        return sorted(set(self.type[self.day == END]) - {""})

    def clonal(self, rows: np.ndarray) -> np.ndarray:
        """Cells of each type among the given rows, by clone `(n_clones, n_types)`."""
        counts = np.zeros((self.clone.max() + 1, len(self.types)))
        for k, name in enumerate(self.types):
            here = rows[self.type[rows] == name]
            np.add.at(counts[:, k], self.clone[here], 1)
        return counts


def read() -> Any | None:
    """Return the AnnData with log expression and components; None if the file is absent."""
    import anndata as ad
    import scanpy as sc

    if not FILE.is_file():
        print(f"skipped, {FILE.name} is absent")
        return None
    adata = ad.read_h5ad(FILE)
    adata.uns.clear()
    sc.pp.log1p(adata)
    sc.pp.pca(adata, n_comps=N_DIMS, mask_var=None, random_state=0)
    adata.obs["day"] = adata.obs["time_info"].astype(str).astype(float)
    adata.obs["type"] = adata.obs["state_info"].astype(str).replace(NO_TYPE, np.nan)
    adata.obs["type"] = adata.obs["type"].astype("category")
    return adata


def cells_of(adata: Any) -> Cells:
    """The arrays of `read`."""
    clone = np.asarray(adata.obsm["X_clone"].argmax(axis=1)).ravel()
    kind = adata.obs["type"].astype(object).fillna("").to_numpy().astype(str)
    return Cells(adata.obsm["X_pca"].astype(np.float64), adata.obs["day"].to_numpy(), kind, clone)


def neighbours(x: np.ndarray, places: np.ndarray, votes: np.ndarray, k: int) -> np.ndarray:
    """Mean of the votes `(m, p)` of the `k` nearest places `(m, d)`, for each of `x` `(n, d)`."""
    from scipy.spatial import cKDTree

    rows = cKDTree(places).query(x, k=min(k, len(places)))[1]
    return np.asarray(votes[rows].mean(axis=1))


def by_labels(cells: Cells, x: np.ndarray) -> np.ndarray:
    """Types of the nearest cells of the last day that have one, `(n, n_types)`."""
    late = np.flatnonzero((cells.day == END) & (cells.type != ""))
    votes = cells.type[late][:, None] == np.array(cells.types)
    return neighbours(x, cells.x[late], votes.astype(float), N_NEIGHBORS)


def by_clones(cells: Cells, rows: np.ndarray) -> np.ndarray:
    """Fates of the clones of the nearest early cells of other clones, `(n, n_types)`."""
    counts = cells.clonal(np.flatnonzero(cells.day == END))[cells.clone]
    early = np.flatnonzero((cells.day < END) & (counts.sum(axis=1) > 0))
    shares = counts[early] / counts[early].sum(axis=1, keepdims=True)
    found = np.empty((len(rows), shares.shape[1]))
    for i, row in enumerate(rows):
        other = cells.clone[early] != cells.clone[row]
        found[i] = neighbours(
            cells.x[row : row + 1], cells.x[early[other]], shares[other], N_NEIGHBORS
        )
    return found


def bias(shares: np.ndarray, types: list[str], missing: float = np.nan) -> np.ndarray:
    """Neutrophils among neutrophils and monocytes `(n,)`, of shares `(n, n_types)`."""
    first, second = (types.index(name) for name in PAIR)
    return of_clones.bias_of(shares, (first, second), missing)


def measures(found: np.ndarray, counts: np.ndarray, types: list[str], common: np.ndarray) -> Row:
    """All measures of predicted shares `(n, n_types)` against counts of the clones.

    Cells without either fate have the bias of the common shares `(n_types,)`.
    """
    first, second = (types.index(name) for name in PAIR)
    each = np.arange(len(found))
    truth = of_clones.Truth(counts, (first, second), common, each)
    ones = np.ones((1, len(found)))
    return {
        name: float(of_clones.MEASURES[name].value(found, truth, ones)[0])
        for name in ("r", "auroc", "accuracy")
    }


def with_intervals(
    found: np.ndarray,
    base: np.ndarray,
    counts: np.ndarray,
    clone: np.ndarray,
    cells: Cells,
    seed: int = 0,
) -> Row:
    """Measures with bounds by bootstrap of clones, and the gain over the base in `r`."""
    common = cells.clonal(np.flatnonzero(cells.day == END)).sum(axis=0)
    pair = bias(counts, cells.types)
    row: Row = {
        "n": len(found),
        "n_pair": int((~np.isnan(pair)).sum()),
        "n_clones": len(np.unique(clone)),
        **measures(found, counts, cells.types, common),
    }
    row["gain"] = row["r"] - measures(base, counts, cells.types, common)["r"]
    rng = np.random.default_rng(seed)
    names, member = np.unique(clone, return_inverse=True)
    of_clone = [np.flatnonzero(member == k) for k in range(len(names))]
    drawn = []
    for _ in range(N_BOOTSTRAP):
        rows = np.concatenate([of_clone[k] for k in rng.integers(len(names), size=len(names))])
        one = measures(found[rows], counts[rows], cells.types, common)
        one["gain"] = one["r"] - measures(base[rows], counts[rows], cells.types, common)["r"]
        drawn.append(one)
    for name, values in pd.DataFrame(drawn).items():
        known = values.dropna()
        low, high = np.quantile(known, [0.025, 0.975]) if len(known) else (np.nan, np.nan)
        row |= {f"{name}_low": float(low), f"{name}_high": float(high)}
    return row


def halves(cells: Cells, rows: np.ndarray, seed: int = 0) -> Row:
    """One half of each clone's cells at the end against the other, for the clones of `rows`."""
    rng = np.random.default_rng(seed)
    late = np.flatnonzero((cells.day == END) & (cells.type != ""))
    common = cells.clonal(late).sum(axis=0)
    found = []
    for _ in range(N_HALVES):
        order = rng.permutation(late)
        place = pd.Series(cells.clone[order]).groupby(cells.clone[order]).cumcount().to_numpy()
        a = cells.clonal(order[place % 2 == 0])[cells.clone[rows]]
        b = cells.clonal(order[place % 2 == 1])[cells.clone[rows]]
        both = (a.sum(axis=1) > 0) & (b.sum(axis=1) > 0)
        pair = ~np.isnan(bias(a, cells.types)) & ~np.isnan(bias(b, cells.types))
        one = measures(a[pair], b[pair], cells.types, common)
        one["accuracy"] = measures(a[both], b[both], cells.types, common)["accuracy"]
        found.append(one | {"n": both.sum(), "n_pair": pair.sum()})
    mean = pd.DataFrame(found).mean()
    return {name: float(value) for name, value in mean.items()}


def fates(adata: Any, cells: Cells, method: str, growth: str, seed: int) -> dict[str, np.ndarray]:
    """Predicted shares of all cells, by the flow and neighbours, and by `cf.tl.fates`."""
    import cellflow as cf

    cf.tl.flow(
        adata,
        "day",
        method=method,
        growth=growth,
        random_state=seed,
        progress=False,
        overwrite=True,
    )
    flow = cf.get.flow(adata)
    moved = cells.x.copy()
    for day in np.unique(cells.day[cells.day < END]):
        here = cells.day == day
        moved[here] = flow.simulate(cells.x[here], day, [END]).x[0]
    found = {"moved neighbours": by_labels(cells, moved)}
    cf.tl.fates(adata, "type", overwrite=True, progress=False)
    names = list(map(str, adata.uns["cellflow"]["fates"]["names"]))
    table = pd.DataFrame(adata.obsm["lineages_fwd"], columns=names)
    found["fates"] = table.reindex(columns=cells.types, fill_value=0.0).to_numpy()
    return found


def subsets(cells: Cells) -> dict[str, np.ndarray]:
    """Rows of early cells whose clone has a type at the end."""
    counts = cells.clonal(np.flatnonzero(cells.day == END))[cells.clone].sum(axis=1)
    known = (cells.day < END) & (counts > 0)
    parts = {
        "all early": known,
        "day 2": known & (cells.day == 2),
        "day 4": known & (cells.day == 4),
        "early, no type yet": known & (cells.type == ""),
    }
    return {name: np.flatnonzero(part) for name, part in parts.items()}


def rows_of(cells: Cells, found: np.ndarray, label: Row) -> list[Row]:
    """Measures of predicted shares of all cells `(n, n_types)` in every subset."""
    counts = cells.clonal(np.flatnonzero(cells.day == END))[cells.clone]
    base = by_labels(cells, cells.x)
    return [
        {**label, "cells": name, **with_intervals(
            found[rows], base[rows], counts[rows], cells.clone[rows], cells
        )}
        for name, rows in subsets(cells).items()
    ]  # fmt: skip


def baselines(cells: Cells) -> list[Row]:
    """Rows of what needs no fit."""
    n = len(cells.x)
    late = cells.clonal(np.flatnonzero(cells.day == END)).sum(axis=0)
    clones = np.zeros((n, len(cells.types)))
    early = np.flatnonzero(cells.day < END)
    clones[early] = by_clones(cells, early)
    found = {
        "most frequent type": np.tile(late / late.sum(), (n, 1)),
        "unmoved neighbours": by_labels(cells, cells.x),
        "neighbours' clones": clones,
    }
    rows = [
        row
        for name, shares in found.items()
        for row in rows_of(cells, shares, {"method": name, "growth": "", "seed": 0})
    ]
    for name, part in subsets(cells).items():
        about = {"method": "half of the clone", "growth": "", "seed": 0, "cells": name}
        rows.append(about | halves(cells, part))
    return rows


def report(rows: pd.DataFrame) -> None:
    """Print one table for each subset, in Markdown; means over seeds."""
    for name, part in rows.groupby("cells", sort=False):
        numbers = part.select_dtypes("number").columns.drop("seed")
        mean = part.groupby(["method", "growth"], sort=False)[list(numbers)].mean()
        n = mean.iloc[0]
        print(f"\n{name}: {n['n']:.0f} cells ({n['n_pair']:.0f} for r), {n['n_clones']:.0f} clones")
        shown = pd.DataFrame(
            {
                column: [
                    f"{row[column]:.2f} [{row[f'{column}_low']:.2f}, {row[f'{column}_high']:.2f}]"
                    if f"{column}_low" in row and row[f"{column}_low"] == row[f"{column}_low"]
                    else f"{row[column]:.2f}"
                    for _, row in mean.iterrows()
                ]
                for column in ("r", "auroc", "accuracy", "gain")
            },
            index=mean.index,
        )
        records.markdown(shown)


def main() -> None:
    parser = records.parser(__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--methods", nargs="+", default=["curved-cfm"])
    parser.add_argument("--growth", nargs="+", default=["none", "learn", "auto"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--table", action="store_true", help="only print what --out holds")
    arguments = parser.parse_args()
    kept = records.Records(arguments.out, ("fit", "growth", "seed"))
    adata = None if arguments.table else read()
    if adata is not None:
        cells = cells_of(adata)
        if ("", "", 0) not in kept:
            kept.add(*({"fit": ""} | row for row in baselines(cells)))
        for method in arguments.methods:
            for growth in arguments.growth:
                for seed in arguments.seeds:
                    if (method, growth, seed) in kept:
                        continue
                    for name, shares in fates(adata, cells, method, growth, seed).items():
                        label = {"method": f"{method}, {name}", "growth": growth, "seed": seed}
                        kept.add(*({"fit": method} | row for row in rows_of(cells, shares, label)))
    report(kept.frame())


if __name__ == "__main__":
    main()
