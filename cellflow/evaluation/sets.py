"""Data sets on which methods are judged: files, coordinates, times, and published figures."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal, TypeAlias

from cellflow.evaluation.names import PROTOCOLS, Protocols

__all__ = ["JUDGED", "SETS", "DataSet", "Figure", "Literature", "Step", "published"]

#: From expression to coordinates: total counts to 10,000; log(1 + x); the 2,000 most variable
#: genes; principal components by scanpy, or by a full singular value decomposition.
Step: TypeAlias = Literal["total", "log", "genes", "pca", "svd"]

#: Mark of figures that were not read at their source; they are not shown.
_UNCHECKED = "m"


@dataclass(frozen=True)
class Literature:
    """How the published tables use a set.

    Parameters
    ----------
    loader
        Function of `cellflow.datasets` that fetches it.
    unit
        Of the times in the file: `"index"` or `"day"`.
    donor
        The donor of the published tables; empty where there is one only.
    copies
        Names of local copies, beside the name of the file that is fetched.
    developed
        A method that was developed with the held-out snapshots of this set in sight, if any.
    dims
        Numbers of principal components of the tables.
    standardised
        Those whose components have variance one over all cells, held-out cells included.
    """

    loader: str
    unit: Literal["index", "day"]
    donor: str = ""
    copies: tuple[str, ...] = ()
    developed: str = ""
    dims: tuple[int, ...] = (5, 50, 100)
    standardised: tuple[int, ...] = (5,)


@dataclass(frozen=True)
class DataSet:
    """A data set as snapshots; `cellflow.bench._sets` reads it.

    Every representation was made from all cells, held-out ones included, as in the literature.

    Parameters
    ----------
    name
        In tables and on the command line.
    about
        Cells, coordinates and times, in one sentence.
    file
        Path below a folder of data; empty for a set that the package ships.
    loader
        Function of `cellflow.datasets` that returns a shipped set.
    time
        Column or array with the times.
    mean_time
        Column whose mean over the cells of a time is that time; empty for the times as they are.
    types
        Column with cell types, if any.
    steps
        From expression to coordinates; empty for stored coordinates.
    n_dims
        Leading dimensions; all, if None.
    standardise
        Whether every coordinate has mean 0 and variance 1 over all cells.
    judged
        Whether the default method is judged on it.
    protocols
        How held-out snapshots are predicted; none where nothing can be held out.
    literature
        How the published tables use it, if they do.
    """

    name: str
    about: str
    file: str = ""
    loader: str = ""
    time: str = "time"
    mean_time: str = ""
    types: str = ""
    steps: tuple[Step, ...] = ()
    n_dims: int | None = None
    standardise: bool = False
    judged: bool = False
    protocols: tuple[Protocols, ...] = PROTOCOLS
    literature: Literature | None = None


@dataclass(frozen=True)
class Figure:
    """A published figure: mean W1 over held-out times, its standard deviation, and its source.

    Parameters
    ----------
    method
        As the source calls it.
    w1, sd
        NaN where it is not printed.
    source
        arXiv number, or empty.
    selected
        What the held-out snapshot was used for in the choice of the model.
    mark
        `"s"`: quoted second-hand.
    """

    method: str
    w1: float
    sd: float
    source: str
    selected: str
    mark: str


_EB = "eb/eb_pca100.h5ad"
_WORM = "worm_embryo/worm_embryo_counts.h5ad"
_COUNTS: tuple[Step, ...] = ("total", "log", "genes", "pca")
#: Donor of the published tables on blood progenitors.
_DONOR = "13176"


def _bodies(name: str, n_dims: int, *, standardise: bool = False) -> DataSet:
    scale = ", each standardised over all cells" if standardise else " as they are"
    about = f"Embryoid bodies, {n_dims} principal components{scale}."
    return DataSet(name, about, _EB, n_dims=n_dims, standardise=standardise)


def _progenitors(name: str, assay: str, file: str) -> DataSet:
    return DataSet(
        name,
        f"Blood progenitors by {assay}, donor {_DONOR}, 5 principal components, each standardised"
        " over all cells, days 2, 3, 4, 7.",
        f"{name}/{file}",
        time="day",
        n_dims=5,
        standardise=True,
        literature=Literature(name, "day", donor=_DONOR),
    )


_ALL = (
    DataSet(
        "eb",
        "Embryoid bodies, 5 whitened principal components, times 0 ... 4.",
        "eb/eb_pcs5_whitened.npy",
        time="eb_labels.npy",
        literature=Literature(
            "embryoid_body",
            "index",
            copies=("eb_velocity_v5.npz", "eb_pca100.h5ad"),
            developed="curved-cfm",
        ),
    ),
    _bodies("eb50", 50),
    _bodies("eb50s", 50, standardise=True),
    _bodies("eb100", 100),
    _bodies("eb100s", 100, standardise=True),
    DataSet(
        "guo",
        "Mouse embryo qPCR, 5 principal components, log2 of the number of cells.",
        "guo2010_embryo/guo_qpcr48.h5ad",
        steps=("svd",),
        n_dims=5,
        judged=True,
    ),
    DataSet(
        "emt",
        "A549 epithelial-mesenchymal transition, 10 latent dimensions, samples 0 ... 3 (0 h, 8 h,"
        " 1 d, 3 d and 7 d together).",
        "emt_a549/emt_10d.csv",
        time="samples",
        judged=True,
    ),
    DataSet(
        "larry",
        "Mouse haematopoiesis, 2-dimensional embedding, samples 0, 1, 2 (days 2, 4, 6).",
        "larry_ae2d/mouse_hematopoiesis.csv",
        time="samples",
        judged=True,
    ),
    DataSet(
        "dyngen",
        "Simulated bifurcation, 5 dimensions, samples 0 ... 4.",
        "simulated/dyngen_5d.csv",
        time="samples",
        judged=True,
    ),
    # Embryo time was estimated from these cells, so bins are smoother than real snapshots.
    DataSet(
        "worm",
        "Worm embryo neurons, 10 principal components of log counts, 8 bins of embryo time at their"
        " mean minutes.",
        _WORM,
        time="time_bin",
        mean_time="embryo_time",
        types="cell_type",
        steps=_COUNTS,
        n_dims=10,
        judged=True,
    ),
    DataSet(
        "gene",
        "Simulated gene circuit with growth and a bifurcation, 2 genes, samples 0 ... 4.",
        "simulated/simulation_gene_2d.csv",
        time="samples",
        judged=True,
    ),
    DataSet(
        "reprogramming",
        "Mouse reprogramming (moscot's test fixture), 10 principal components of log-normalised"
        " expression, days 10, 10.5, 11.",
        "peer_fixtures/moscot_temporal_tests.h5ad",
        time="day",
        steps=("svd",),
        n_dims=10,
        judged=True,
    ),
    DataSet(
        "myoblasts",
        "Human myoblasts, 5 principal components of log FPKM; ships with the package.",
        loader="myoblasts",
        time="hours",
        steps=("log", "genes", "pca"),
        n_dims=5,
        judged=True,
    ),
    DataSet(
        "tigon",
        "Simulated gene circuit with growth, 3 genes, times 0 ... 4.",
        "simulated/tigon_simulation_3d.npz",
    ),
    DataSet(
        "worm_sampled",
        "Worm embryo neurons, 10 principal components of log counts, minutes of sampling; mixed"
        " batches left out.",
        _WORM,
        types="cell_type",
        steps=_COUNTS,
        n_dims=10,
    ),
    DataSet(
        "cospar",
        "Mouse haematopoiesis (CoSpar's test fixture), 10 principal components of log normalised"
        " counts, days 2, 4, 6.",
        "larry_cospar/test_adata_preprocessed.h5ad",
        time="time_info",
        steps=("log", "svd"),
        n_dims=10,
    ),
    DataSet(
        "gaussian",
        "Simulated mixture of normals that grows, 10 dimensions, two snapshots only.",
        "simulated/gaussian_10d.csv",
        time="samples",
        protocols=(),
    ),
    _progenitors("cite", "CITE-seq", "op_cite_inputs_0.h5ad"),
    _progenitors("multi", "multiome", "op_train_multi_targets_0.h5ad"),
)

#: Data sets by name.
SETS: Mapping[str, DataSet] = {data.name: data for data in _ALL}
#: Names of the sets on which the default method is judged; the benchmark of record is not one.
JUDGED = tuple(data.name for data in _ALL if data.judged)


def published(name: str, dims: int, protocol: str) -> list[Figure]:
    """Return the published figures of a set, a number of dimensions and a protocol."""
    with files("cellflow.evaluation").joinpath("published.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [
        Figure(
            row["method"],
            float(row["w1"]),
            float(row["sd"] or math.nan),
            *(row[name] for name in ("source", "selected", "mark")),
        )
        for row in rows
        if (row["data"], int(row["dims"]), row["protocol"]) == (name, dims, protocol)
        and row["mark"] != _UNCHECKED
    ]
