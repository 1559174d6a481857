"""Positions that are unusable or odd: not finite, constant, too coarse, far from all others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from cellflow.adapter.findings import Finding, Severity
from cellflow.core._typing import FloatArray

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["examine_distances", "not_finite", "oddities"]

#: Distance of a cell from which it is pointed out, and from which it is refused; see
#: `examine_distances`.
_FAR = 30.0
_HOPELESS = 1e6
#: Rounding by float32 that is pointed out, and that leaves nothing, in standard deviations of the
#: column.
_COARSE = 1e-2
_LOST = 1.0


def examine_distances(
    x: FloatArray, time: FloatArray, where: str, names: pd.Index
) -> Iterator[Finding]:
    """Look for single cells that are extremely far from the others of their time.

    A distance is from the median of the snapshot, in units of the 90th percentile there; of tight
    snapshots, of that of a typical one. On measured sets the largest is below 15.

    Parameters
    ----------
    x
        Positions, shape `(n, d)`.
    time
        Shape `(n,)`; cells without a time are passed over.
    where
        What messages call the positions.
    names
        Of the cells.
    """
    groups = [np.flatnonzero(time == t) for t in np.unique(time[~np.isnan(time)])]
    away = np.zeros(len(x))
    widths = np.zeros(len(groups))
    for k, rows in enumerate(groups):
        positions = x[rows].astype(np.float64)
        away[rows] = np.linalg.norm(positions - np.median(positions, axis=0), axis=1)
        widths[k] = np.percentile(away[rows], 90, method="lower")
    typical = float(np.median(widths[widths > 0])) if (widths > 0).any() else 0.0
    if typical == 0.0:
        return
    for rows, width in zip(groups, widths, strict=True):
        away[rows] /= max(width, typical)
    far = np.flatnonzero(away > _FAR)
    if len(far) == 0:
        return
    worst = far[np.argmax(away[far])]
    found = (
        f"has {len(far)} cells that are extremely far from the others of their time (first:"
        f" {names[far[0]]!r}; worst: {names[worst]!r}, {away[worst]:.3g} times as far as nine"
        " tenths of them)"
    )
    expected = f"cells within {_FAR:g} times that distance"
    remedy = (
        "Remove such cells, if they are debris or doublets: they stretch the coordinates that the"
        " others are learned in."
    )
    if away[worst] > _HOPELESS:
        remedy = "Remove these cells: beside them, all others are one point in single precision."
    yield Finding(where, found, expected, remedy, "error" if away[worst] > _HOPELESS else "warning")


def not_finite(
    x: FloatArray, raw: np.ndarray, where: str, adata: AnnData, columns: pd.Index | None
) -> Iterator[Finding]:
    """One problem for each kind of value that is no usable number."""
    if np.isfinite(x).all():
        return
    nan = np.isnan(x)
    infinite = (
        np.isinf(raw.astype(np.float64))
        if raw.dtype.kind in "fV"
        else np.zeros(x.shape, dtype=bool)
    )
    kinds = (
        ("NaN", nan, f"np.isnan({where})"),
        ("infinite values", infinite, f"np.isinf({where})"),
        (
            "values above the float32 maximum of 3.4e38",
            np.isinf(x) & ~infinite,
            f"(abs({where}) > 3.4e38)",
        ),
    )
    for name, bad, test in kinds:
        if bad.any():
            row, column = np.argwhere(bad)[0]
            label = int(column) if columns is None else columns[column]
            found = (
                f"has {bad.sum()} {name} (first: cell {adata.obs_names[row]!r}, column {label!r})"
            )
            yield Finding(where, found, "finite numbers", f"Remove: adata[~{test}.any(1)].copy()")


def oddities(x: FloatArray, raw: np.ndarray, where: str) -> Iterator[Finding]:
    """Look for constant dimensions, and for digits that float32 loses."""
    if len(x) < 2:
        return
    varies = np.ptp(raw.astype(np.float64), axis=0) > 0
    constant = np.flatnonzero(~varies)
    if len(constant):
        found = (
            f"has {len(constant)} of {x.shape[1]} dimensions that are constant (first: column"
            f" {constant[0]})"
        )
        severity: Severity = "warning" if varies.any() else "error"
        remedy = "Compute the representation again, or remove them; they carry no information."
        yield Finding(where, found, "dimensions that vary", remedy, severity)
    lost = np.zeros(x.shape[1])
    for k in np.flatnonzero(varies):
        column = raw[:, k].astype(np.float64)
        lost[k] = np.abs(column - x[:, k]).max() / column.std()
    coarse = np.flatnonzero(lost > _COARSE)
    if len(coarse):
        worst = coarse[np.argmax(lost[coarse])]
        found = (
            f"loses precision in float32 in {len(coarse)} of {x.shape[1]} dimensions (worst: column"
            f" {worst}, rounded by up to {lost[worst]:.2g} of its standard deviation)"
        )
        remedy = f"Centre and scale it first: x = {where}; {where} = (x - x.mean(0)) / x.std()."
        severity = "error" if lost[worst] > _LOST else "warning"
        expected = "values near zero, of a size that single precision holds"
        yield Finding(where, found, expected, remedy, severity)
