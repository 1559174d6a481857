"""The main job on real cells: what `cellflow demo` runs, writes and reports."""

from __future__ import annotations

import io
import logging
import textwrap
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellflow.core._files import write_bytes, write_text
from cellflow.core._paths import check_writable, make_folder
from cellflow.core._warn import ignored

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes

__all__ = ["Demo", "demo"]

logger = logging.getLogger("cellflow")

TIME_KEY = "hours"
USE_REP = "X_pca"
HELD_OUT = (24.0, 48.0)
_N_GENES = 2000
_N_DIMS = 10
#: Columns of the report's running text.
_WIDTH = 100
#: The first paragraph of the report.
_ABOUT = (
    "How well can cells be predicted that the model has not seen? For each column, the cells of"
    " that time were hidden and the model was fitted to the others; W1 is how far its prediction"
    f" is from the hidden cells, in units of the {_N_DIMS} principal components (which were"
    " computed with all cells). Lower is better."
)
#: The paragraph below the table.
_ON_FLOOR = (
    "Few cells in many dimensions are far from each other even where nothing is wrong, so the goal"
    " is the noise floor and not zero. Its halves are smaller still, so a good prediction can come"
    " below it."
)


@dataclass(frozen=True, eq=False)
class Demo:
    """What the demo found.

    Parameters
    ----------
    table
        One row per method and one column per held-out time, W1 in units of the representation; then
        their mean.
    method
        The row of the model.
    judged
        The verdict of the benchmark, which compares W1, energy distance and variance.
    files
        Names of what was written, and what each holds.
    seconds
        Duration of the run.
    seed
        Of everything that is random.
    """

    table: pd.DataFrame
    method: str
    judged: str
    files: dict[str, str]
    seconds: float
    seed: int

    @property
    def verdict(self) -> str:
        """Whether the model is better than optimal transport without a model, in sentences."""
        return f"{self.judged} What the model adds is a velocity for every cell and every time."

    def report(self) -> str:
        """What was hidden, the table, the verdict, and what was written, as text for people."""
        from cellflow.evaluation.names import DEFAULT_PROTOCOL, FLOOR, PREVIOUS, STRAIGHT

        meaning = {
            PREVIOUS: "nothing happens: the snapshot before, as it is",
            STRAIGHT: "along the transport between both neighbours, no model",
            self.method: "the model, from the snapshot before",
            f"{self.method}, {DEFAULT_PROTOCOL}": "the model, from both neighbours",
            FLOOR: "real cells against real cells, half of them each",
        }
        head, *rows = self.table.to_string(float_format="{:.2f}".format).splitlines()
        lines = [
            f"{row}   {meaning[str(method)]}"
            for method, row in zip(self.table.index, rows, strict=True)
        ]
        width = max(map(len, self.files))
        files = [f"  {name:{width}}  {content}" for name, content in self.files.items()]
        about, floor, verdict = (
            textwrap.fill(text, _WIDTH) for text in (_ABOUT, _ON_FLOOR, self.verdict)
        )
        written = f"Written in {self.seconds:.0f} seconds:"
        return "\n".join([about, "", head, *lines, "", floor, "", verdict, "", written, *files])

    def values(self) -> dict[str, Any]:
        """Everything, as plain values."""
        table = {
            method: {str(k): float(v) for k, v in row.items()}
            for method, row in self.table.iterrows()
        }
        seconds = round(self.seconds, 1)
        return {
            "w1": table,
            "verdict": self.verdict,
            "files": list(self.files),
            "seconds": seconds,
            "seed": self.seed,
        }


def demo(folder: Path, *, seed: int = 0) -> Demo:
    """Prepare and fit the myoblasts, predict two snapshots that were left out, and write files.

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
    from cellflow.adapter.h5ad import write_h5ad
    from cellflow.datasets import myoblasts

    start = time.perf_counter()
    folder = make_folder(folder, argument="--out")
    check_writable(folder / "myoblasts.h5ad")

    adata = myoblasts()
    logger.info(
        "Preparing %d human myoblasts: log, %d variable genes, %d principal components, UMAP",
        len(adata),
        _N_GENES,
        _N_DIMS,
    )
    adata = prepare(adata, seed=seed)
    logger.info("Fitting all four snapshots")
    tl.flow(adata, TIME_KEY, use_rep=USE_REP, random_state=seed)
    tl.velocity(adata, basis="umap")
    tl.trajectories(adata)
    logger.info("Hiding 24 and 48 hours in turn, to see what a fit without them predicts")
    rest = {hidden: fitted_without(adata, hidden, seed=seed) for hidden in HELD_OUT}
    table, method, judged = held_out_table(adata, rest)
    write_h5ad(adata, folder / "myoblasts.h5ad", compression="gzip")
    write_text(table.to_csv(float_format="%.4f"), folder / "held_out.csv", suffix=".csv")
    logger.info("Drawing")
    files = {
        "myoblasts.h5ad": (
            "the cells with model, velocities and trajectories, for scanpy, scVelo and CellRank"
        ),
        "held_out.csv": "the table above",
        **draw(adata, rest[HELD_OUT[0]], folder, seed=seed),
    }
    return Demo(table, method, judged, files, time.perf_counter() - start, seed)


def prepare(adata: AnnData, *, seed: int) -> AnnData:
    """Prepare FPKM for a fit (log, variable genes, PCA) and for drawing (neighbours, UMAP)."""
    import scanpy as sc

    sc.pp.log1p(adata)
    sc.pp.highly_variable_genes(adata, n_top_genes=_N_GENES)
    adata = adata[:, adata.var["highly_variable"]].copy()
    sc.pp.pca(adata, n_comps=_N_DIMS, random_state=seed)
    sc.pp.neighbors(adata, random_state=seed)
    # umap-learn announces at import that an unused part of it needs TensorFlow.
    with ignored(ImportWarning, module="umap"):
        sc.tl.umap(adata, random_state=seed)
    return adata


def fitted_without(adata: AnnData, held_out: float, *, seed: int) -> AnnData:
    """Leave one snapshot out and fit the other cells."""
    from cellflow import tl

    rest = adata[adata.obs[TIME_KEY] != held_out].copy()
    tl.flow(rest, TIME_KEY, use_rep=USE_REP, random_state=seed)
    return rest


def held_out_table(adata: AnnData, rest: Mapping[float, AnnData]) -> tuple[pd.DataFrame, str, str]:
    """W1 by method and time, of the fits in `rest`; the name of the model; the verdict."""
    import pandas as pd

    from cellflow import get
    from cellflow.adapter.read import read
    from cellflow.adapter.reading import Reading
    from cellflow.evaluation import judge_held_out, score_held_out

    snapshots = read(adata, Reading(TIME_KEY, use_rep=USE_REP)).snapshots()
    flows = {t: get.flow(others) for t, others in rest.items()}
    scores = [score for t, flow in flows.items() for score in score_held_out(flow, snapshots, t)]
    rows = pd.DataFrame({"method": s.method, "time": f"{s.time:g} h", "w1": s.w1} for s in scores)
    table = rows.pivot_table(index="method", columns="time", values="w1", sort=False)
    table["mean"] = table.mean(axis=1)
    (method,) = {str(flow.recipe["name"]) for flow in flows.values()}
    return table.rename_axis(index=None, columns=None), method, judge_held_out(flows, snapshots)


def draw(adata: AnnData, rest: AnnData, folder: Path, *, seed: int) -> dict[str, str]:
    """Draw the flow, paths, a held-out population beside its prediction, and the training.

    Returns
    -------
    Titles by the names of the files.
    """
    from matplotlib import pyplot as plt

    from cellflow import pl, tl

    held_out = HELD_OUT[0]
    hidden = tl.predict(rest, time=held_out, random_state=seed)
    pictures = {
        "stream.png": ("Where the cells move: velocities on the UMAP", pl.stream(adata)),
        "trajectories.png": (
            "Paths of 40 cells; dots: where they were measured",
            pl.trajectories(adata, n_cells=40),
        ),
        f"held_out_{held_out:g}h.png": (
            f"The cells of {held_out:g} hours, predicted by a fit that has not seen them",
            pl.population(adata, hidden, time=held_out),
        ),
        "loss.png": (
            "Training; a rise of the loss on held-out pairs does not make predictions worse",
            pl.loss(adata),
        ),
    }
    try:
        for name, (title, drawn) in pictures.items():
            figure = _figure_of(drawn)
            figure.suptitle(title, x=0.02, ha="left", fontsize=11)
            with io.BytesIO() as image:
                figure.savefig(image, dpi=150)
                write_bytes(check_writable(folder / name, suffix=".png"), image.getvalue())
    finally:
        for _, drawn in pictures.values():
            plt.close(_figure_of(drawn))
    return {name: title for name, (title, _) in pictures.items()}


def _figure_of(drawn: Axes | list[Axes]) -> Any:
    """The figure of one Axes or of several."""
    return (drawn[0] if isinstance(drawn, list) else drawn).figure
