"""What a density is, and checks of what it is learned from."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np

from cellflow.core._numbers import as_array
from cellflow.core._stored import Stored
from cellflow.core._typing import FloatArray
from cellflow.errors import InputError

__all__ = ["Density", "State", "checked_rows", "standardisation", "stored_sizes"]

#: Configuration (JSON-able plain values) and arrays by name.
State: TypeAlias = "tuple[dict[str, Any], dict[str, FloatArray]]"


@runtime_checkable
class Density(Protocol):
    """The log-density of one population, in the coordinates of the cells it was fitted to.

    Examples
    --------
    >>> class Uniform:
    ...     def log_prob(self, x, context=None):
    ...         return np.where(((0 <= x) & (x <= 1)).all(axis=1), 0.0, -np.inf)
    ...     def sample(self, n, rng, context=None):
    ...         return rng.random((n, 2))
    ...     def state(self):
    ...         return {"type": "Uniform"}, {}
    >>> isinstance(Uniform(), cf.densities.Density)
    True
    """

    def log_prob(self, x: FloatArray, context: FloatArray | None = None) -> FloatArray:
        """Log-density in nats of positions `x (n, d)`, shape `(n,)`, float64."""

    def sample(
        self, n: int, rng: np.random.Generator, context: FloatArray | None = None
    ) -> FloatArray:
        """Draw `n` positions, shape `(n, d)`, float64."""

    def state(self) -> State:
        """Configuration and arrays: all that `cellflow.densities.from_state` needs."""


def checked_rows(name: str, x: FloatArray, n_columns: int | None = None) -> FloatArray:
    """Return a table as float64 `(n, n_columns)`; refuse another shape."""
    expected = f"(n, {'d' if n_columns is None else n_columns})"
    table = as_array(name, x, shape=expected)
    if table.shape[1] == 0 or (n_columns is not None and table.shape[1] != n_columns):
        msg = f"{name} has shape {table.shape}; expected {expected}."
        raise InputError(msg)
    return table.astype(np.float64)


def standardisation(x: FloatArray, weight: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Weighted mean and standard deviation of every column, `(d,)` each.

    Raises
    ------
    InputError
        For a column that does not vary.
    """
    shift = weight @ x
    scale = np.sqrt(weight @ (x - shift) ** 2)
    # Relative to the mean of the column, so that values around zero may be arbitrarily small.
    flat = np.flatnonzero(scale <= 1e-12 * np.abs(shift))
    if len(flat):
        msg = (
            f"Column {flat[0]} of x is {shift[flat[0]]:g} in every cell ({len(flat)} columns do not"
            " vary), so there is no density. Drop it: x[:, x.std(axis=0) > 0]."
        )
        raise InputError(msg)
    return shift, scale


def stored_sizes(stored: Stored) -> tuple[int, int, dict[str, Any]]:
    """Dimensions and options of a stored flow, limited by the size of its arrays."""
    n_weights = sum(array.size for array in stored.arrays.values())
    dim = stored.count("dim", stored.value("dim"), least=1, most=math.isqrt(n_weights))
    n_context = stored.count("n_context", stored.value("n_context"), most=n_weights)
    options = dict(stored.mapping("options", stored.value("options")))
    # The last layer of a network has this many numbers for each of its units.
    last = stored.count("options.bins", options.get("bins", 1), least=1, most=n_weights)
    for name, value in options.items():
        if name == "transforms":
            stored.count("options.transforms", value, least=1, most=len(stored.arrays))
        elif isinstance(value, list | tuple):
            widths = [
                stored.count(f"options.{name}", width, least=1, most=n_weights) for width in value
            ]
            for before, after in pairwise([1, *widths, last]):
                stored.count(
                    f"product of neighbours in options.{name}", before * after, most=n_weights
                )
        else:
            stored.count(f"options.{name}", value, most=n_weights)
    return dim, n_context, options
