"""Columns of `obs`: weights and growth of cells, sizes of populations, cell types."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from cellflow.adapter.findings import Examination, Finding, settle
from cellflow.adapter.reading import Reading
from cellflow.core._numbers import shown
from cellflow.core._typing import FloatArray
from cellflow.errors import MissingKeyError, closest

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["column_of", "compared_sums", "growth_of", "masses_of", "read_labels", "weights_of"]

#: Descendants of one cell relative to another's of its snapshot, above which few cells have all.
_MOST_RELATIVE_GROWTH = 1e6


def column_of(adata: AnnData, key: object, argument: str) -> Examination[pd.Series | None]:
    """Check that `obs` has one column of this name, and return it."""
    known = list(map(str, adata.obs.columns))
    if not isinstance(key, str) or key not in adata.obs.columns:
        remedy = f"Pass {argument}= one of them{closest(key, known)}."
        at = f"adata.obs[{shown(key)}]"
        yield Finding(
            at, "is missing", f"one of {known}", remedy, kind=MissingKeyError, argument=argument
        )
        return None
    column: pd.Series = adata.obs[key]
    if column.ndim != 1:
        found = f"names {column.shape[1]} columns"
        remedy = "Drop or rename the others."
        yield Finding(f"adata.obs[{key!r}]", found, "one column of that name", remedy)
        return None
    return column


def weights_of(adata: AnnData, key: str, time: FloatArray | None) -> Examination[FloatArray | None]:
    """Check and read weights of cells, shape `(n,)`."""
    weight = yield from _numbers(adata, key, "weight_key")
    if weight is None or time is None:
        return None
    where = f"adata.obs[{key!r}]"
    timed = ~np.isnan(time)
    bad = np.flatnonzero(timed & ~((weight >= 0) & np.isfinite(weight)))
    if len(bad):
        found = (
            f"holds {len(bad)} unusable weights (first: cell {adata.obs_names[bad[0]]!r},"
            f" {weight[bad[0]]:g})"
        )
        remedy = "Fill or clip them; 0 leaves a cell out of the fit."
        yield Finding(where, found, "finite numbers of at least 0", remedy)
        return None
    empty = [t for t in np.unique(time[timed]) if weight[time == t].sum() == 0]
    if empty:
        found = f"is 0 for all cells at time {empty[0]:g}"
        yield Finding(where, found, "some weight at every time", "Leave that snapshot out.")
        return None
    return weight


def masses_of(
    adata: AnnData, key: str, time: FloatArray | None
) -> Examination[dict[float, float] | None]:
    """Check and read the size of the population at each time."""
    mass = yield from _numbers(adata, key, "mass_key")
    if mass is None or time is None:
        return None
    by_time = {float(t): np.unique(mass[time == t]) for t in np.unique(time[~np.isnan(time)])}
    for t, values in by_time.items():
        if len(values) != 1 or not (np.isfinite(values[0]) and values[0] > 0):
            shown = ", ".join(f"{v:g}" for v in values[:4])
            remedy = "Give the size of the whole population, the same for all cells of a snapshot."
            found = f"is {shown} at time {t:g}"
            yield Finding(f"adata.obs[{key!r}]", found, "one positive number per snapshot", remedy)
            return None
    return {t: float(values[0]) for t, values in by_time.items()}


def compared_sums(
    weight: FloatArray, mass: Mapping[float, float], time: FloatArray, reading: Reading
) -> Examination[None]:
    """Compare the sums of weights over snapshots with the sizes of the populations.

    Weights count within their snapshot. Sums that are neither equal, nor in proportion to the
    numbers of cells or to the sizes, may be sizes of another count; they are not used.
    """
    times = sorted(mass)
    total = np.array([weight[time == t].sum() for t in times])
    size = np.array([mass[t] for t in times])
    count = np.array([np.count_nonzero(time == t) for t in times])
    if any(np.ptp(total / of) <= 1e-6 * (total / of).max() for of in (1.0, count, size)):
        return
    found = f"has sums of {', '.join(f'{v:g}' for v in total[:4])} at times {times[0]:g}, ..."
    expected = f"equal sums, or sums in proportion to adata.obs[{reading.mass_key!r}]"
    remedy = (
        "Weights count within their snapshot only; sizes of populations are those of mass_key=."
    )
    yield Finding(f"adata.obs[{reading.weight_key!r}]", found, expected, remedy, "note")


def growth_of(adata: AnnData, key: str, time: FloatArray | None) -> Examination[FloatArray | None]:
    """Check and read growth rates of cells, shape `(n,)`."""
    growth = yield from _numbers(adata, key, "growth_key")
    if growth is None or time is None:
        return None
    where = f"adata.obs[{key!r}]"
    timed = ~np.isnan(time)
    bad = np.flatnonzero(timed & ~np.isfinite(growth))
    if len(bad):
        found = (
            f"holds {len(bad)} unusable growth rates (first: cell {adata.obs_names[bad[0]]!r},"
            f" {growth[bad[0]]:g})"
        )
        remedy = "Fill them; 0 is the rate of a cell that neither divides nor dies."
        yield Finding(where, found, "a finite rate for every cell with a time", remedy)
        return None
    for t, later in pairwise(np.unique(time[timed])):
        spread = float(np.ptp(growth[time == t])) * float(later - t)
        if spread > np.log(_MOST_RELATIVE_GROWTH):
            found = (
                f"gives some cells of time {t:g} exp({spread:.3g}) times as many descendants as"
                f" others at time {later:g}"
            )
            expected = f"at most {_MOST_RELATIVE_GROWTH:g} times as many"
            remedy = "Rates are per unit of the time column; convert rates of another unit."
            yield Finding(where, found, expected, remedy, "warning")
            break
    return growth


def read_labels(adata: AnnData, key: str, argument: str = "cluster_key") -> np.ndarray:
    """Return the label of every cell as text, shape `(n_obs,)`; None where it has none.

    `argument` is what messages call the column.

    Raises
    ------
    MissingKeyError
        No such column; the message lists those there are.
    InputError
        A column of numbers with fractions, without any value, or two columns of that name.
    """
    return settle(_labels(adata, key, argument))


def _labels(adata: AnnData, key: str, argument: str) -> Examination[np.ndarray | None]:
    column = yield from column_of(adata, key, argument)
    if column is None:
        return None
    import pandas as pd

    where = f"adata.obs[{key!r}]"
    values = column.dropna()
    if len(values) == 0:
        remedy = f"Fill it, or pass another {argument}=."
        yield Finding(where, "holds no value for any cell", "types of the cells", remedy)
        return None
    if pd.api.types.is_float_dtype(column) and (values % 1 != 0).any():
        remedy = f"Pass another {argument}=, or make groups of it with pandas.cut."
        yield Finding(where, "holds numbers with fractions", "types of the cells", remedy)
        return None
    labels = column.astype(str).to_numpy(dtype=object)
    labels[column.isna().to_numpy(dtype=bool)] = None
    return np.asarray(labels, dtype=object)


def _numbers(adata: AnnData, key: str, argument: str) -> Examination[FloatArray | None]:
    column = yield from column_of(adata, key, argument)
    if column is None:
        return None
    import pandas as pd

    if not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_complex_dtype(column):
        remedy = f"Convert it, or pass another {argument}=."
        yield Finding(
            f"adata.obs[{key!r}]", f"has dtype {column.dtype}", "numbers", remedy, argument=argument
        )
        return None
    return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan), dtype=np.float64)
