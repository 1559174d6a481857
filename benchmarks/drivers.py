"""Drivers of fates where the answer is known: what is found where nothing drives, and power.

    python benchmarks/drivers.py --part null         # false positives without any driver
    python benchmarks/drivers.py --part power        # drivers that are found, beside markers
    python benchmarks/drivers.py --part null --members 6    # by an ensemble

How long they take is a part of `genes.py`.

Data are simulated: programs with sparse loadings vary among the cells of every time, one axis
follows the time, and one opens after half of it, to either side at random, or to the side of the
first program (`power`). Markers load on that axis only.

- null: share of p-values below .5, .05, .01 and .001, and false discoveries at q < .1, of genes
  that do not load on the axis that opens. `naive` is the association tested as if cells were
  independent evidence.
- power: how many of the genes that are found at q < .1 load on the program that drives; the area
  under the precision-recall curve of the size of each part for such genes, beside that of the
  marker; and of the ten first genes, those that do, and markers.
"""

from __future__ import annotations

import argparse
from itertools import product

import anndata as ad
import numpy as np
import pandas as pd
from scipy.stats import norm
from sklearn.decomposition import PCA
from sklearn.metrics import average_precision_score

import cellflow as cf
from cellflow.core._typing import BoolArray

PARTS = ("association", "sensitivity", "velocity")
N_PROGRAMS = 8


def branching(
    seed: int,
    *,
    n_cells: int = 300,
    n_times: int = 4,
    n_genes: int = 400,
    n_pcs: int = 10,
    driven: bool = False,
) -> ad.AnnData:
    """Cells that go to either side; `var["driver"]` and `var["marker"]` are the loadings."""
    rng = np.random.default_rng(seed)
    size = np.linspace(2.0, 0.5, N_PROGRAMS)
    # Programs, the axis of time, and the axis that opens.
    loadings = rng.normal(size=(n_genes, N_PROGRAMS + 2))
    loadings *= rng.random(loadings.shape) < 0.3
    markers = rng.random(n_genes) < 0.1
    loadings[:, -1] = np.where(markers, 1.5 * rng.normal(size=n_genes), 0.0)
    time = np.repeat(np.arange(n_times, dtype=float), n_cells)
    programs = rng.normal(size=(len(time), N_PROGRAMS)) * size
    noise = rng.normal(size=len(time))
    decided = programs[:, 0] / size[0] + 0.3 * noise if driven else noise
    opened = 4.0 * np.clip(2.0 * time / time.max() - 1.0, 0.0, None)
    axis = np.sign(decided) * opened + 0.1 * rng.normal(size=len(time))
    state = np.column_stack([programs, 1.5 * time + 0.2 * rng.normal(size=len(time)), axis])
    x = state @ loadings.T + 1.5 * rng.normal(size=(len(time), n_genes)) + 5.0
    end = time == time.max()
    kind = pd.Series(np.where(decided > 0, "up", "down")).where(end)
    adata = ad.AnnData(
        x.astype(np.float32),
        obs=pd.DataFrame({"time": time, "kind": kind.to_numpy()}).set_axis(
            [f"cell{i}" for i in range(len(time))]
        ),
        var=pd.DataFrame({"driver": loadings[:, 0], "marker": loadings[:, -1]}).set_axis(
            [f"gene{i}" for i in range(n_genes)]
        ),
    )
    model = PCA(n_pcs, random_state=0).fit(x)
    adata.obsm["X_pca"] = model.transform(x).astype(np.float32)
    adata.varm["PCs"] = model.components_.T
    return adata


def with_fates(adata: ad.AnnData, seed: int, n_members: int) -> ad.AnnData:
    """A fit by the default method, and its fates."""
    cf.tl.flow(adata, "time", random_state=seed, n_members=n_members)
    cf.tl.fates(adata, "kind")
    return adata


def null(n_seeds: int, n_members: int) -> pd.DataFrame:
    """False positives of genes that have nothing to do with a fate that chance decides."""
    rows = []
    for seed in range(n_seeds):
        adata = with_fates(branching(seed), seed, n_members)
        for window in (None, (0.0, 1.0)):
            cf.tl.drivers(adata, "up", window=window)
            table = cf.get.drivers(adata, "up").set_index("gene")
            table = table[(adata.var["marker"] == 0)[table.index]]
            table["naive_p"] = naive(adata, table)
            table["naive_q"] = adjusted(table["naive_p"])
            rows += [{"window": window or "default"} | row for row in shares(table)]
    found = pd.DataFrame(rows).astype({"window": str})
    return found.groupby(["window", "part"], sort=False).mean().reset_index()


def shares(table: pd.DataFrame) -> list[dict[str, object]]:
    """How many p-values of each part are small."""
    rows = []
    for part, end in [*product((*PARTS, ""), ("", "_matched")), ("naive", "")]:
        p = table[f"{part}_p{end}" if part else f"p{end}"].dropna()
        q = table[f"{part}_q{end}" if part else f"q{end}"].dropna()
        small = {f"p < {level}": (p < level).mean() for level in (0.5, 0.05, 0.01, 0.001)}
        rows.append(
            {
                "part": (part or "score") + end.replace("_", ", "),
                **small,
                "q < .1": (q < 0.1).sum(),
                "any": (q < 0.1).any(),
            }
        )
    return rows


def naive(adata: ad.AnnData, table: pd.DataFrame) -> np.ndarray:
    """p-values of associations as if cells were independent evidence."""
    n = adata.uns["cellflow"]["drivers"]["up"]["n_cells"].sum()
    z = np.arctanh(table["association"].clip(-0.999, 0.999)) * np.sqrt(n - 3)
    return 2.0 * norm.sf(np.abs(z))


def adjusted(p: pd.Series) -> np.ndarray:
    """Benjamini and Hochberg."""
    from scipy.stats import false_discovery_control

    return false_discovery_control(p.to_numpy())


def power(n_seeds: int, n_members: int) -> pd.DataFrame:
    """Genes of the program that drives, beside markers of the end."""
    rows = []
    for seed in range(n_seeds):
        adata = with_fates(branching(seed, driven=True), seed, n_members)
        cf.tl.drivers(adata, "up")
        table = cf.get.drivers(adata, "up").set_index("gene")
        true = (adata.var["driver"].abs() > 0.5)[table.index].to_numpy()
        marker = (adata.var["marker"] != 0)[table.index].to_numpy()
        for part in (*PARTS, "score", "marker"):
            size = table[part].abs().fillna(0.0).to_numpy()
            q = {"score": "q", "marker": None}.get(part, f"{part}_q")
            called = np.zeros(len(table), bool) if q is None else (table[q] < 0.1).to_numpy()
            more = called if q is None else (table[f"{q}_matched"] < 0.1).to_numpy()
            rows.append(
                {
                    "part": part,
                    "area": average_precision_score(true, size),
                    **first(size, true, marker),
                    "q < .1": called.sum(),
                    "drivers": (called & true).sum(),
                    "q_matched < .1": more.sum(),
                    "drivers matched": (more & true).sum(),
                }
            )
    return pd.DataFrame(rows).groupby("part", sort=False).mean().reset_index()


def first(size: np.ndarray, true: BoolArray, marker: BoolArray) -> dict[str, int]:
    """What the ten first genes are."""
    top = np.argsort(-size, kind="stable")[:10]
    return {"drivers of 10": int(true[top].sum()), "markers of 10": int(marker[top].sum())}


PARTS_OF_THE_BENCHMARK = {"null": null, "power": power}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", choices=PARTS_OF_THE_BENCHMARK, required=True)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--members", type=int, default=1, help="of an ensemble")
    given = parser.parse_args()
    table = PARTS_OF_THE_BENCHMARK[given.part](given.seeds, given.members)
    print(table.to_string(index=False, float_format="{:.3f}".format))


if __name__ == "__main__":
    main()
