"""Numbers and parameters as text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["digits", "number", "plain", "with_interval"]


def digits(columns: Sequence[pd.Series]) -> int:
    """Decimals of columns: none for counts, three around one, enough to show the median."""
    parts = [c.to_numpy(dtype=np.float64, na_value=np.nan) for c in columns]
    values = np.abs(np.concatenate(parts))
    values = values[np.isfinite(values)]
    if not len(values) or (values == np.round(values)).all():
        return 0
    middle = float(np.median(values[values > 0]))
    return 1 if middle >= 100.0 else 2 if middle >= 10.0 else 3 if middle >= 0.01 else 4


def number(value: Any, decimals: int) -> str:
    """One number; a dash where there is none."""
    given = float(value)
    # Adding zero removes the sign of a rounded zero.
    return f"{round(given, decimals) + 0.0:,.{decimals}f}" if math.isfinite(given) else "–"


def with_interval(row: pd.Series, column: str, decimals: int) -> str:
    """One number of a row, with its interval where the row has one."""
    said = number(row[column], decimals)
    low, high = (float(row.get(f"{column}_{end}", math.nan)) for end in ("low", "high"))
    if math.isfinite(float(row[column])) and math.isfinite(low) and math.isfinite(high):
        said += f" ({number(low, decimals)} to {number(high, decimals)})"
    return said


def plain(value: Any) -> str:
    """A parameter."""
    if isinstance(value, Mapping):
        named = ", ".join(
            f"{name}={plain(v)}" for name, v in sorted(value.items()) if name != "type"
        )
        return f"{value['type']}({named})" if "type" in value else named
    if isinstance(value, np.ndarray | list | tuple):
        return ", ".join(plain(v) for v in np.asarray(value, dtype=object).ravel())
    if isinstance(value, float | np.floating):
        return f"{value:.6g}"
    return str(value) or "–"
