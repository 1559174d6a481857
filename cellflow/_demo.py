"""The main job on real cells: what `cellflow demo` runs, writes and reports."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellflow.errors import OutputError

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["Demo", "demo"]

TIME_KEY, USE_REP = "hours", "X_pca"
HELD_OUT = (24.0, 48.0)
_N_GENES, _N_DIMS = 2000, 10
_BASELINE = "OT interpolation"


@dataclass(frozen=True, eq=False)
class Demo:
    """What came of it.

    Parameters
    ----------
    table
        One row per method and one column per held-out time, W1 in units of the representation; then their mean.
    method
        The row of the model.
    files
        Names of what was written.
    seconds, seed
        Of the run.
    """

    table: pd.DataFrame
    method: str
    files: tuple[str, ...]
    seconds: float
    seed: int

    @property
    def verdict(self) -> str:
        """How the model compares with optimal transport that uses no model, in a plain sentence."""
        mean = self.table["mean"]
        change = mean[self.method] / mean[_BASELINE] - 1.0
        if abs(change) < 0.01:
            compared = "does as well as interpolating along optimal transport without a model"
        else:
            word = "better" if change < 0 else "worse"
            compared = f"does {abs(change):.0%} {word} than interpolating along optimal transport without a model"
        gain = 1.0 - mean[self.method] / mean["previous snapshot"]
        against = f"{gain:.0%} better" if gain > 0 else f"{-gain:.0%} worse"
        return (
            f"On held-out snapshots of these {_N_DIMS} dimensions the model {compared}, and {against} than "
            "the snapshot before. What it adds is a velocity for every cell and every time."
        )

    def report(self) -> str:
        """The table and the verdict, as text."""
        title = f"W1 to the held-out cells, in {_N_DIMS} principal components (which have seen them); lower is better"
        floor = "noise floor: one half of the held-out cells against the other; so few cells are far from each other"
        return f"{title}\n\n{self.table.to_string(float_format='{:.2f}'.format)}\n\n{floor}\n\n{self.verdict}"

    def values(self) -> dict[str, Any]:
        """Everything, as plain values."""
        table = {method: {str(k): float(v) for k, v in row.items()} for method, row in self.table.iterrows()}
        seconds = round(self.seconds, 1)
        return {"w1": table, "verdict": self.verdict, "files": list(self.files), "seconds": seconds, "seed": self.seed}


def demo(folder: Path, *, seed: int = 0) -> Demo:
    """Prepare the myoblasts, fit, predict two snapshots that were left out, and write an h5ad, figures and a table.

    Parameters
    ----------
    folder
        Where to write; made where missing.
    seed
        Of everything that is random.

    Raises
    ------
    OutputError
        The folder cannot be made or written to.
    """
    from cellflow import tl
    from cellflow.adapter.write import check_writable, write_h5ad
    from cellflow.datasets import myoblasts

    start = time.perf_counter()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as cause:
        msg = f"The folder {folder} cannot be made ({cause.strerror}); choose another with --out."
        raise OutputError(msg) from cause
    check_writable(folder / "myoblasts.h5ad")

    adata = prepare(myoblasts(), seed=seed)
    tl.flow(adata, TIME_KEY, use_rep=USE_REP, random_state=seed)
    tl.velocity(adata, basis="umap")
    tl.trajectories(adata)
    table, method = held_out_table(adata, seed=seed)
    write_h5ad(adata, folder / "myoblasts.h5ad", compression="gzip")
    table.to_csv(folder / "held_out.csv", float_format="%.4f")
    figures = draw(adata, folder, seed=seed)
    return Demo(table, method, ("myoblasts.h5ad", "held_out.csv", *figures), time.perf_counter() - start, seed)


def prepare(adata: AnnData, *, seed: int) -> AnnData:
    """Take FPKM to what the dynamics lives in: log, variable genes, PCA; and to a picture: neighbours, UMAP."""
    import scanpy as sc

    sc.pp.log1p(adata)
    sc.pp.highly_variable_genes(adata, n_top_genes=_N_GENES)
    adata = adata[:, adata.var["highly_variable"]].copy()
    sc.pp.pca(adata, n_comps=_N_DIMS, random_state=seed)
    sc.pp.neighbors(adata, random_state=seed)
    with warnings.catch_warnings():
        # umap-learn announces at import that a part of it which nobody asked for needs TensorFlow.
        warnings.filterwarnings("ignore", category=ImportWarning, module="umap")
        sc.tl.umap(adata, random_state=seed)
    return adata


def held_out_table(adata: AnnData, *, seed: int) -> tuple[pd.DataFrame, str]:
    """Leave each inner snapshot out in turn; W1 by method and time, and the name of the model's row."""
    import pandas as pd

    from cellflow.adapter.read import read
    from cellflow.benchmark import leave_one_out
    from cellflow.recipes import ot_cfm

    cells = read(adata, time_key=TIME_KEY, use_rep=USE_REP)
    scores = [score for t in HELD_OUT for score in leave_one_out(cells.snapshots(), t, random_state=seed)]
    rows = pd.DataFrame({"method": s.method, "time": f"{s.time:g} {cells.unit}".strip(), "w1": s.w1} for s in scores)
    table = rows.pivot_table(index="method", columns="time", values="w1", sort=False)
    table["mean"] = table.mean(axis=1)
    return table.rename_axis(index=None, columns=None), ot_cfm().name


def draw(adata: AnnData, folder: Path, *, seed: int) -> list[str]:
    """Draw the flow, the paths, a held-out population beside its prediction, and the training; returns the files' names."""
    from matplotlib import pyplot as plt

    from cellflow import pl

    held_out = HELD_OUT[0]
    pictures = {
        "stream": pl.stream(adata),
        "trajectories": pl.trajectories(adata),
        f"held_out_{held_out:g}h": pl.population(adata, unseen(adata, held_out, seed=seed), time=held_out),
        "loss": pl.loss(adata),
    }
    for name, ax in pictures.items():
        plt.sca(ax)
        plt.savefig(folder / f"{name}.png", dpi=150)
        plt.close()
    return [f"{name}.png" for name in pictures]


def unseen(adata: AnnData, held_out: float, *, seed: int) -> AnnData:
    """Predict a snapshot by a fit that has not seen it."""
    from cellflow import tl

    rest = adata[adata.obs[TIME_KEY] != held_out].copy()
    tl.flow(rest, TIME_KEY, use_rep=USE_REP, random_state=seed)
    return tl.predict(rest, time=held_out, random_state=seed)
