"""Whether a prediction has the right shares of cell types."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cellflow.core._display import Compact
from cellflow.core._numbers import as_weights
from cellflow.core._settings import guarded
from cellflow.core._typing import FloatArray
from cellflow.errors import InputError

__all__ = ["Composition", "composition_error"]


@dataclass(frozen=True, eq=False, repr=False)
class Composition(Compact):
    """Shares of labels in two populations.

    Parameters
    ----------
    error
        Total variation, half the sum of absolute differences: the share of cells that would have to
        change their label.
    labels
        Every label of either population, sorted.
    x, y
        Their shares, shape `(labels,)`, each of sum one.

    Examples
    --------
    >>> found = cf.metrics.composition_error(["a", "a", "b"], ["a", "b", "b"])
    >>> found.labels
    ('a', 'b')
    """

    error: float
    labels: tuple[str, ...]
    x: FloatArray
    y: FloatArray


@guarded
def composition_error(
    x_label: Sequence[object] | np.ndarray,
    y_label: Sequence[object] | np.ndarray,
    *,
    x_weight: FloatArray | None = None,
    y_weight: FloatArray | None = None,
) -> Composition:
    """Compare the shares of labels, such as cell types, in two weighted populations.

    Parameters
    ----------
    x_label, y_label
        One label per cell, `(n,)` and `(m,)`; compared as text. Categoricals are fine.
    x_weight, y_weight
        Shapes `(n,)` and `(m,)`, non-negative; normalised here. Uniform by default.

    Raises
    ------
    InputError
        No cells, missing labels, or weights that do not fit.

    Examples
    --------
    >>> composition_error(["a", "a", "b", "b"], ["a", "c"]).error
    0.5
    """
    x, a = _labelled("x", x_label, x_weight)
    y, b = _labelled("y", y_label, y_weight)
    labels, code = np.unique(np.concatenate([x, y]), return_inverse=True)
    in_x: FloatArray = np.bincount(code[: len(x)], a, len(labels)).astype(np.float64)
    in_y: FloatArray = np.bincount(code[len(x) :], b, len(labels)).astype(np.float64)
    return Composition(0.5 * float(np.abs(in_x - in_y).sum()), tuple(labels.tolist()), in_x, in_y)


def _labelled(
    name: str, label: Sequence[object] | np.ndarray, weight: FloatArray | None
) -> tuple[np.ndarray, FloatArray]:
    """Labels as text, and weights of sum one."""
    given = np.asarray(label, dtype=object)
    if given.ndim != 1 or len(given) == 0:
        msg = (
            f"`{name}_label` has shape {given.shape}; expected one label for each of at least one"
            " cell."
        )
        raise InputError(msg)
    # NaN is not itself.
    missing = [k for k, value in enumerate(given) if value is None or value != value]
    if missing:
        msg = (
            f"`{name}_label` has no label for cell {missing[0]} ({len(missing)} in all); leave such"
            " cells out."
        )
        raise InputError(msg)
    return given.astype(str), as_weights(f"`{name}_weight`", weight, len(given))
