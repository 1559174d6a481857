"""Published tables by their own protocol, with the published rows beside ours."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

import numpy as np

from cellflow.adapter.read import require_anndata
from cellflow.bench._recipes import SCALE_OF_RECIPES
from cellflow.bench._sets import standardised
from cellflow.core._arguments import check_arguments
from cellflow.core._deprecated import accepts
from cellflow.core._settings import guarded
from cellflow.core._typing import FloatArray
from cellflow.core.population import Snapshots
from cellflow.errors import InputError, MissingKeyError, closest

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from cellflow.evaluation import Predictor
    from cellflow.evaluation.sets import Literature
    from cellflow.model.recipes import Recipe

__all__ = ["literature"]

logger = logging.getLogger("cellflow")

Data = Literal["eb", "cite", "multi"]
#: Seeds of the fits, as in the published tables.
_SEEDS = (42, 43, 44, 45, 46)
#: Metrics that the table shows.
_METRICS = ("w1", "energy", "variance_ratio")
#: What our rows have seen of the held-out snapshot.
_SEEN = "settings fixed beforehand; the representation has seen the held-out cells"
_DEVELOPED = "; parts of its paths were developed with those of this set in sight"
_SCALINGS = {True: "first {} PCs, standardised over all cells", False: "first {} PCs as stored"}


class _Cells(NamedTuple):
    """A published set: positions, times of the experiment, their ranks, and the unit of times."""

    x: FloatArray
    time: FloatArray
    rank: FloatArray
    unit: str


@guarded
@accepts(scale=SCALE_OF_RECIPES)
def literature(
    name: Data,
    *,
    data: str | os.PathLike[str] | AnnData | None = None,
    dims: Literal[5, 50, 100] = 5,
    protocol: Literal["P1", "P2"] = "P1",
    methods: str | Recipe | Predictor | Sequence[str | Recipe | Predictor] | None = None,
    times: float | Sequence[float] | None = None,
    seeds: int | Sequence[int] = _SEEDS,
    standardise: bool | None = None,
    clock: Literal["index", "real"] = "index",
    n_jobs: int | None = None,
    cache: str | os.PathLike[str] | None = None,
    progress: bool | None = None,
) -> pd.DataFrame:
    """Run "leave one time point out" on a published set as the papers do, beside their rows.

    The protocol: each inner snapshot is left out in turn; `"P1"` pushes the real
    cells of the last snapshot before it to its time (the tables of Tong et al. 2020 and after),
    `"P2"` simulates the cells of the first snapshot; exact W1 with Euclidean ground cost against
    all held-out cells; mean over times. The representation and its scaling have seen the held-out
    cells, as in every paper; `cf.bench.holdout` does without. W1 depends on the number of cells, so
    that only rows on all cells compare.

    Parameters
    ----------
    name
        `"eb"`: human embryoid bodies (Moon et al. 2019), five snapshots; `"cite"`, `"multi"`: blood
        progenitors of the NeurIPS 2022 challenge, donor 13176, days 2, 3, 4 and 7.
    data
        The set itself as an AnnData, or the file or folder that holds it; None fetches it once (see
        `cellflow.datasets`).
    dims
        Number of principal components.
    protocol
        `"P1"` or `"P2"`.
    methods
        As for `cf.bench.holdout`; the default method alone, if None.
    times
        Which of the inner times to leave out, by index; all by default.
    seeds
        Of the fits.
    standardise
        Every component to mean 0 and variance 1 over all cells, held-out ones included; by default
        in 5 dimensions, as in the papers, and not in 50 and 100, whose components are as stored.
    clock
        `"index"`: snapshots are at 0, 1, 2, ..., as in the papers, which for `"cite"` and `"multi"`
        makes day 4 the midpoint of days 3 and 7. `"real"`: days.
    n_jobs, cache, progress
        As for `cf.bench.holdout`.

    Returns
    -------
    One row per method, best first:

    - `method` (text), `w1` (float64, mean over times and seeds), `sd` (float64, over seeds of the
      mean over times, NaN for fewer than two; of a published row, as printed);
    - W1 of each time (float64; `"w1 at 1"`, with the day where that differs:
      `"w1 at 2 (day 4)"`);
    - `energy`, `variance_ratio`, `n_predicted`, `n_observed` (float64, means over times),
      `seconds` (float64, of the slowest fit), `note` (text, why a value is missing);
    - `source` (text, arXiv number or `"here"`), `selected` (text, what the held-out snapshot was
      used for: how the published row chose its model; of ours, that the representation has seen it,
      and that curved paths were developed with `"eb"` in sight), `mark` (text, `"s"`: quoted
      second-hand).

    `attrs` hold the `verdict` and a description of the set (`about`), both text.

    Raises
    ------
    InputError
        An unknown set, dimension, protocol or time; a file of another layout.
    MissingDataError
        The set is not there, and could not be fetched.

    References
    ----------
    Tong et al., TrajectoryNet, ICML 2020; Tong et al., Improving and generalizing flow-based
    generative models with minibatch optimal transport, TMLR 2024. The source of each published row
    is in the column `source`.

    Examples
    --------
    >>> # Downloads the cells, and fits them for minutes.
    >>> table = cf.bench.literature("eb", methods="ot-cfm")  # doctest: +SKIP
    """
    check_arguments(literature, locals())
    from cellflow.evaluation import hold_out
    from cellflow.evaluation.sets import SETS

    _one_of("name", name, get_args(Data))
    known = SETS[name].literature
    assert known is not None
    _one_of("dims", dims, known.dims)
    _one_of("protocol", protocol, ("P1", "P2"))
    _one_of("clock", clock, ("index", "real"))
    cells = _loaded(name, known, data, dims)
    standardise = dims in known.standardised if standardise is None else standardise
    x = _standardised(cells.x, name) if standardise else cells.x
    kept = times if times is None or clock == "index" else _real(cells, times)
    found = hold_out(
        Snapshots.from_arrays(x, cells.rank if clock == "index" else cells.time),
        methods=methods,
        times=kept,
        seeds=seeds,
        protocols=protocol,
        metrics=_METRICS,
        n_jobs=n_jobs,
        cache=cache,
        progress=progress,
    )
    about = (
        f"{name}, {_SCALINGS[bool(standardise)].format(dims)} (which have seen the held-out cells),"
        f" {len(x):,} cells, {protocol}, exact W1 on all cells, times by"
        f" {'index' if clock == 'index' else cells.unit}"
    )
    table = _summary(found.table(), cells, clock)
    table = _with_published(table, name, dims, protocol)
    logger.info("%s\n%s", about, found.verdict)
    table.attrs |= {"verdict": found.verdict, "about": about}
    return table


def _standardised(x: FloatArray, name: str) -> FloatArray:
    spread = x.std(axis=0)
    if (spread == 0.0).any():
        constant = np.flatnonzero(spread == 0.0).tolist()
        msg = (
            f"Components {constant} of {name!r} are constant, so they have no variance to be set to"
            " one; expected none such."
        )
        raise InputError(msg)
    return standardised(x)


def _one_of(argument: str, value: object, known: Sequence[object]) -> None:
    if value not in known or isinstance(value, bool):
        msg = f"{argument}={value!r} is none of {list(known)}{closest(value, map(str, known))}."
        raise InputError(msg)


def _loaded(
    name: str, known: Literature, data: str | os.PathLike[str] | AnnData | None, dims: int
) -> _Cells:
    """Read a published set."""
    from cellflow import datasets

    if data is None or isinstance(data, str | os.PathLike):
        adata = getattr(datasets, known.loader)(path=_found(known, data))
    else:
        require_anndata(data)
        adata = data
    column = "time" if "time" in adata.obs else "day"
    for key, place, where in ((column, adata.obs, "obs"), ("X_pca", adata.obsm, "obsm")):
        if key not in place:
            msg = (
                f"The AnnData of {name!r} has no {where}[{key!r}]; found {sorted(map(str, place))}."
                " Its layout: cf.datasets."
            )
            raise MissingKeyError(msg)
    if "donor" in adata.obs and known.donor:
        ours = adata.obs["donor"].astype(str).str.removesuffix(".0") == known.donor
        if not ours.any():
            donors = sorted(set(adata.obs["donor"].astype(str)))
            msg = (
                f"The AnnData of {name!r} has no cell of donor {known.donor}, which the published"
                f" tables are of; found {donors}."
            )
            raise InputError(msg)
        adata = adata[ours.to_numpy()]
    x = np.asarray(adata.obsm["X_pca"], dtype=np.float64)
    if x.shape[1] < dims:
        msg = (
            f"obsm['X_pca'] of {name!r} has {x.shape[1]} components; expected at least dims={dims}."
        )
        raise InputError(msg)
    time = adata.obs[column].astype(str).to_numpy(dtype=np.float64)
    rank = np.unique(time, return_inverse=True)[1].astype(np.float64)
    return _Cells(x[:, :dims], time, rank, known.unit)


def _found(known: Literature, data: str | os.PathLike[str] | None) -> str | os.PathLike[str] | None:
    """The file of a set in a folder: the first of its copies that is there."""
    if data is None or not Path(data).is_dir():
        return data
    copies = (Path(data) / copy for copy in known.copies)
    return next((copy for copy in copies if copy.is_file()), data)


def _real(cells: _Cells, times: float | Sequence[float]) -> list[float]:
    """Times of the experiment from their ranks."""
    known = np.unique(cells.time)
    asked = np.atleast_1d(np.asarray(times, dtype=np.float64))
    if not np.isin(asked, range(len(known))).all():
        msg = f"times={times!r}; expected indices of snapshots, 0 to {len(known) - 1}."
        raise InputError(msg)
    return [float(known[int(t)]) for t in asked]


def _summary(table: pd.DataFrame, cells: _Cells, clock: str) -> pd.DataFrame:
    """One row per method from one per time and seed."""
    import pandas as pd

    from cellflow.evaluation.metric import columns

    days = np.unique(cells.time)
    made = []
    for method, rows in table[table["kind"] != "floor"].groupby("method", sort=False):
        by_time = rows.groupby("time")["w1"].mean()
        per_seed = rows.groupby(rows["seed"].fillna(-1))["w1"].mean()
        sd = float(per_seed.std(ddof=0)) if len(per_seed) > 1 else np.nan
        row = {"method": method, "w1": by_time.mean(skipna=False), "sd": sd}
        for t, value in zip(by_time.index.to_numpy(dtype=np.float64), by_time, strict=True):
            index = int(t if clock == "index" else np.searchsorted(days, t))
            row[_label(index, float(days[index]), cells.unit)] = value
        shown = [*columns(_METRICS[1:]), "n_predicted", "n_observed"]
        means = rows[shown].groupby(rows["time"]).mean().mean().to_dict()
        note = "; ".join(dict.fromkeys(rows.loc[rows["w1"].isna(), "note"]))
        made.append(row | means | {"seconds": rows["seconds"].max(), "note": note})
    return pd.DataFrame(made)


def _label(index: int, day: float, unit: str) -> str:
    return f"w1 at {index}" if unit == "index" else f"w1 at {index} ({unit} {day:g})"


def _with_published(table: pd.DataFrame, name: str, dims: int, protocol: str) -> pd.DataFrame:
    import pandas as pd

    from cellflow.evaluation.sets import SETS, published

    known = SETS[name].literature
    assert known is not None
    selected = [
        _SEEN + (_DEVELOPED if known.developed and method.startswith(known.developed) else "")
        for method in table["method"]
    ]
    ours = table.assign(source="here", selected=selected, mark="")
    others = [asdict(figure) for figure in published(name, dims, protocol)]
    both = pd.DataFrame([*ours.to_dict("records"), *others], columns=list(ours.columns))
    both["note"] = both["note"].fillna("")
    return both.sort_values("w1", kind="stable", na_position="last").reset_index(drop=True)
