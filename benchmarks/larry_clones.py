"""Couplings informed by barcodes, judged by clones that they have not seen (LARRY subset).

    python benchmarks/larry_clones.py --out larry_clones.jsonl

Data: those of `larry_fates.py`, 781 cells of days 2, 4 and 6 in 339 clones, 30 principal components
of all genes; "undiff" counts as no type.

Split: `cf.bench.lineage` with five folds of clones, in five splits. All positions and days, and the
types of the cells of day 6, are seen by every method; the barcodes of a clone are seen by no
coupling, choice or neighbour that predicts its cells. Scored are the cells of days 2 and 4 whose
clone has a cell with a type at day 6. The bias is that of neutrophils against monocytes. Intervals
are of 95 %, by bootstrap of clones; gains are on the same draws.

Barcodes are seen at all days, or at days 2 and 4 only, where they inform the first plan alone. How
far they are trusted is chosen on the seen clones of each fold. `plans` chain the plans without a
network, `plans of the nearest cells` are their means over the nearest cells of the same day, `flow`
is the fitted flow, as in `cf.tl.fates`.

`--data fork` judges the same on a simulated fork whose ways cross: snapshots hardly show which cell
goes where, and barcodes do (`cellflow.synthetic.GrowingFork`; 750 cells at five times, 60 clones).
A weak marker in a third dimension keeps both ways apart; without it, no velocity of positions could
follow them.

Measures are means over five splits into folds (--repeats): one split of these few clones moves r of
methods with clones by a tenth. Networks are fitted for each fold of each split, 26 for a setting.

Rows are appended to --out, and what is there is not computed again; `--table` only prints.
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import pandas as pd

import larry_fates
import records

#: Trust in barcodes to choose from; see `cf.couplings.Lineage`.
STRENGTHS = [0.1, 0.3, 1.0, math.inf]
#: Last day of the barcodes that are seen, by name.
BARCODES = {"days 2, 4, 6": None, "days 2, 4": 4.0}
EVERY = {"all times": None}
#: Columns that tell settings apart.
KEY = ("fit", "growth", "barcodes", "seed", "network")
MEASURES = {
    "accuracy": "accuracy",
    "brier": "Brier",
    "brier_calibrated": "Brier, calibrated",
    "r": "r",
    "auroc": "AUROC",
}


def judged(
    adata: Any,
    method: str,
    growth: str,
    barcodes: str,
    seed: int,
    *,
    network: bool,
    repeats: int,
    fates: tuple[str, str] = larry_fates.PAIR,
) -> list[dict[str, Any]]:
    """Scores and differences of one setting, as rows of text and numbers."""
    import cellflow as cf

    begun = time.perf_counter()
    table = cf.bench.lineage(
        adata,
        "day",
        lineage_key="X_clone",
        cluster_key="type",
        fates=fates,
        methods=method,
        growth=growth,
        strength=STRENGTHS,
        until=BARCODES.get(barcodes),
        network=network,
        n_repeats=repeats,
        random_state=seed,
        progress=False,
        overwrite=True,
    )
    print(table.attrs["verdict"], f"({time.perf_counter() - begun:.0f} s)", sep="\n")
    about = {"fit": method, "growth": growth, "barcodes": barcodes, "seed": seed}
    about["network"] = network
    chosen = adata.uns["cf_lineage"]["strengths"]["strength"].tolist()
    parts = {"score": table, "gain": table.attrs["comparisons"]}
    return [
        {**about, "row": kind, "strengths": str(chosen), **row}
        for kind, part in parts.items()
        for row in part.to_dict("records")
    ]


def fork() -> Any:
    """A fork whose ways cross, with the names of columns of the other data."""
    import anndata as ad
    import numpy as np
    import scipy.sparse as sp

    import cellflow as cf
    from cellflow.synthetic import Experiment, GrowingFork

    system = GrowingFork(separation=-1.0, marker=0.6, n_dims=3)
    experiment = Experiment({"fork": system}, n_samples=1, shift=0.0, composition=0.0, n_clones=60)
    made = cf.datasets.simulate(experiment, n_obs=150, random_state=1)
    adata = ad.AnnData(made.X, obs=made.obs[["time", "cell_type", "clone"]])
    adata.obs = adata.obs.rename(columns={"time": "day", "cell_type": "type"})
    adata.obs.loc[adata.obs["type"] == "trunk", "type"] = np.nan
    adata.obsm["X_pca"] = made.obsm["X_state"]
    code = adata.obs["clone"].astype("category").cat.codes.to_numpy()
    adata.obsm["X_clone"] = sp.csr_matrix(code[:, None] == np.arange(code.max() + 1))
    return adata


def cell(value: float, low: float, high: float, *, signed: bool = False) -> str:
    """A value with its interval."""
    sign = "+" if signed else ""
    if math.isnan(value):
        return ""
    return f"{value:{sign}.2f} [{low:{sign}.2f}, {high:{sign}.2f}]"


def report(rows: pd.DataFrame) -> None:
    """Print all tables of all settings, in Markdown."""
    for (fit, growth, barcodes, seed, _), part in rows.groupby(list(KEY), sort=False):
        chosen = part["strengths"].iloc[0]
        print(f"\n{fit}, growth {growth}, barcodes of {barcodes}, seed {seed}, trust {chosen}\n")
        scores = part[part["row"] == "score"]
        for start, own in scores.groupby("start", sort=False):
            named = own.assign(name=[called(r) for r in own.itertuples()])
            n = f"{own['n_cells'].iloc[0]:.0f} cells of {own['n_clones'].iloc[0]:.0f} clones"
            days = "all days" if start == "all" else f"day {start}"
            print(f"\nFrom {days}, {n} (halves of clones: fewer)\n")
            shown = {
                label: {r.name: cell(r.value, r.low, r.high) for r in of.itertuples(index=False)}
                for measure, label in {**MEASURES, "precision": "mass in its clone"}.items()
                if len(of := named[named["measure"] == measure])
            }
            records.markdown(pd.DataFrame(shown).fillna(""))
        gains(part[part["row"] == "gain"])


def gains(rows: pd.DataFrame) -> None:
    """Print gains of the methods over all cells, and in mass that stays in its clone."""
    print("\nGains, from all days; of mass in its clone by day, in percent\n")
    made: dict[str, dict[str, str]] = {}
    for r in rows[rows["beside"] != "shares of all cells"].itertuples():
        name = f"{called(r)}, beside {r.beside}"
        if r.measure == "precision":
            made.setdefault(f"mass, day {r.start}", {})[name] = cell(
                100 * r.gain, 100 * r.low, 100 * r.high, signed=True
            )
        elif r.start == "all":
            column = made.setdefault(MEASURES[r.measure], {})
            column[name] = cell(r.gain, r.low, r.high, signed=True)
    records.markdown(pd.DataFrame(made).fillna(""))


def called(row: Any) -> str:
    """Name of a method with what it has seen."""
    return f"{row.method}, with clones" if row.clones else str(row.method)


def main() -> None:
    parser = records.parser(__doc__)
    parser.add_argument("--out", type=Path, help="file of rows; none is kept by default")
    parser.add_argument("--data", choices=["larry", "fork"], default="larry")
    parser.add_argument("--methods", nargs="+", default=["curved-cfm"])
    parser.add_argument("--growth", nargs="+", default=["none", "learn"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=5, help="splits into folds")
    parser.add_argument("--plans", action="store_true", help="plans alone, without networks")
    parser.add_argument("--table", action="store_true", help="only print what --out holds")
    arguments = parser.parse_args()
    kept = records.Records(arguments.out, KEY)
    larry = arguments.data == "larry"
    made = None
    if not arguments.table:
        made = larry_fates.read() if larry else fork()
    for method in arguments.methods if made is not None else ():
        for growth in arguments.growth:
            for barcodes in BARCODES if larry else EVERY:
                setting = (method, growth, barcodes, arguments.seed)
                if (*setting, not arguments.plans) not in kept:
                    fates = larry_fates.PAIR if larry else ("A", "B")
                    how = {"network": not arguments.plans, "repeats": arguments.repeats}
                    kept.add(*judged(made, *setting, **how, fates=fates))
    if kept.rows:
        report(kept.frame())


if __name__ == "__main__":
    main()
