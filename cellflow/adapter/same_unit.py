"""Whether expression is still in the unit that a decoder was fitted to."""

from __future__ import annotations

import numpy as np

from cellflow.core._typing import FloatArray, IntArray
from cellflow.core.decoder import Decoder
from cellflow.errors import InputError

__all__ = ["require_same_unit", "well_decoded"]

#: Cells and genes from which the unit is checked, the least held-out R2 of these genes, and how
#: many are looked at.
_FEW_CELLS = 20
_FEW_GENES = 10
_WELL = 0.5
_MOST = 100
#: Relative size of a variance that is rounding.
_ROUNDING = 1e-10
#: A slope that differs from one by this factor and by so many standard errors is another unit.
_FACTOR = 2.0
_ERRORS = 4.0


def well_decoded(decoder: Decoder) -> IntArray:
    """Genes whose unit can be checked: the best decoded, where there are enough."""
    r2 = np.zeros(len(decoder.genes)) if decoder.gene_r2 is None else decoder.gene_r2
    best = np.argsort(-r2, kind="stable")[:_MOST]
    good = best[r2[best] >= _WELL]
    return good if len(good) >= _FEW_GENES else good[:0]


def require_same_unit(decoder: Decoder, x: FloatArray, values: FloatArray, where: str) -> None:
    """Refuse expression that was scaled or transformed after the fit.

    A decoder is a regression: over its cells, the slope of measured on decoded expression is about
    one, and the means are equal. Other cells may differ somewhat. If, of most genes, the slope is
    far from one or the means are, the unit is another.

    Parameters
    ----------
    decoder
        Of well decoded genes.
    x
        Positions of the cells, shape `(n, d)`.
    values
        Their measured expression, shape `(n, g)`.
    where
        What messages call it.

    Raises
    ------
    InputError
        Another unit.
    """
    if len(values) < _FEW_CELLS or len(decoder.genes) == 0:
        return
    mean, expected, slope, differs = _compared(decoder.positions(x), values)
    if differs.mean() <= 0.5:
        return
    g = int(np.flatnonzero(differs)[0])
    msg = (
        f"{where} is not the expression that the fit was made with: {str(decoder.genes[g])!r} has"
        f" the mean {mean[g]:.3g}, decoded {expected[g]:.3g}, and changes by {slope[g]:.3g} for one"
        " unit of what is decoded. Expected the same unit: put the expression of the fit back"
        " (keep scaled values in a layer), or fit again with cf.tl.flow."
    )
    raise InputError(msg)


def _compared(
    decoded: FloatArray, measured: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray, np.ndarray]:
    """Means of both, the slope of measured on decoded, and whether the unit differs, by gene."""
    d = decoded.astype(np.float64)
    mean = measured.mean(axis=0)
    expected = d.mean(axis=0)
    variance = measured.var(axis=0)
    spread = d.var(axis=0)
    varies = spread > _ROUNDING * (spread + expected**2)
    safe = np.where(varies, spread, 1.0)
    slope = ((d - expected) * (measured - mean)).mean(axis=0) / safe
    rest = np.maximum(variance - slope**2 * spread, 0.0)
    error = np.sqrt(rest / (len(d) * safe))
    far = (slope > _FACTOR) | (slope < 1 / _FACTOR)
    steep = varies & far & (np.abs(slope - 1) > _ERRORS * error)
    return (
        mean,
        expected,
        slope,
        steep | (np.abs(mean - expected) > np.sqrt(np.maximum(variance, spread))),
    )
