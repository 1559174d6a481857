"""Times of the cells of a prediction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cellflow.adapter.keys import Keys
from cellflow.adapter.read import require_anndata
from cellflow.adapter.times import parse_times
from cellflow.adapter.units import Time, TimeUnit
from cellflow.core._numbers import is_number, shown
from cellflow.core._typing import FloatArray
from cellflow.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["Source", "as_times", "predicted_times"]


class Source(NamedTuple):
    """The measured cells of a prediction: which fit, its column of times, and the times `(n,)`."""

    adata: AnnData
    keys: Keys
    time_key: str
    unit: TimeUnit
    times: FloatArray


def predicted_times(
    predicted: AnnData, source: Source, asked: Sequence[float] | None
) -> FloatArray:
    """Return the time of each cell of a prediction, shape `(m,)`.

    It is in the column of times, as `cf.tl.predict` writes it; else in the record of the
    prediction; else the one that is asked for.

    Parameters
    ----------
    predicted
        Computed cells.
    source
        Of the fit that computed them.
    asked
        What the caller says: the times that are wanted, one at least.

    Raises
    ------
    InputError
        The prediction has no time and `asked` not one; or it has other times than those asked for.
    """
    require_anndata(predicted)
    times = _carried(predicted, source)
    if times is None and (asked is None or len(asked) != 1):
        msg = (
            f"time={shown(asked)}, but predicted has no time in obs[{source.time_key!r}]. Expected"
            " the time that its cells are of: pass time=, one number or label."
        )
        raise InputError(msg)
    if times is None:
        return np.full(predicted.n_obs, float(asked[0]))  # type: ignore[index] # not None here
    known = np.unique(times[np.isfinite(times)])
    missing = [t for t in asked or () if not np.isclose(known, t, rtol=1e-9, atol=1e-12).any()]
    if missing or not len(known):
        msg = (
            f"time={shown(asked)}, but the cells of predicted are of the times {known.tolist()}."
            " Expected some of these: leave time= out for all of them."
        )
        raise InputError(msg)
    return times


def as_times(unit: TimeUnit, time: Time | Sequence[Time] | None) -> list[float] | None:
    """Times in the unit of the fit, increasing; None for None.

    Raises
    ------
    InputError
        An empty list, or what is no time.
    """
    if time is None:
        return None
    several = isinstance(time, Sequence | np.ndarray) and not isinstance(time, str)
    found = sorted({unit.number("time", t) for t in (time if several else [time])})  # type: ignore[union-attr]
    if not found:
        msg = f"time={shown(time)}; expected one time at least, or None for all of the prediction."
        raise InputError(msg)
    return found


def _carried(predicted: AnnData, source: Source) -> FloatArray | None:
    """Times that the prediction says itself."""
    for name in (source.keys.own("predicted_time"), source.keys.time):
        if name in predicted.obs:
            return np.asarray(predicted.obs[name].to_numpy(dtype=np.float64))
    if source.time_key in predicted.obs:
        return _of_column(predicted.obs[source.time_key], source)
    about: Any = predicted.uns.get(source.keys.own("prediction"), {})
    time = about.get("time") if hasattr(about, "get") else None
    return np.full(predicted.n_obs, float(time)) if is_number(time) else None


def _of_column(column: pd.Series, source: Source) -> FloatArray:
    """Times of a column of the same kind as that of the source."""
    import pandas as pd

    if source.time_key in source.adata.obs and _are_dates(column):
        return _of_dates(column, source)
    codes, distinct = pd.factorize(column)
    values = (source.unit.number(source.time_key, value) for value in distinct)
    numbers = np.array([*values, np.nan])
    return np.asarray(numbers[codes])  # code -1 is of no time


def _are_dates(column: pd.Series) -> bool:
    import pandas as pd

    values = column.dtype.categories.dtype if hasattr(column.dtype, "categories") else column.dtype
    return pd.api.types.is_datetime64_any_dtype(values) or isinstance(values, pd.PeriodDtype)


def _of_dates(column: pd.Series, source: Source) -> FloatArray:
    """Dates, which are counted from the first of the source, in its unit."""
    import pandas as pd

    known = source.adata.obs[source.time_key].astype(object)
    parsed = parse_times(pd.concat([known, column.astype(object)]).infer_objects()).values
    own = parsed[: len(known)]
    measured = np.flatnonzero(np.isfinite(own) & np.isfinite(source.times))
    first, last = measured[[np.argmin(own[measured]), np.argmax(own[measured])]]
    length = (source.times[last] - source.times[first]) / (own[last] - own[first])
    return np.asarray(source.times[first] + (parsed[len(known) :] - own[first]) * length)
