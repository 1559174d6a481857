"""A conditional density at one context."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cellflow.core._display import Compact
from cellflow.core._typing import FloatArray
from cellflow.densities.base import Density, State
from cellflow.errors import InputError

__all__ = ["Conditioned"]


@dataclass(frozen=True, eq=False, repr=False)
class Conditioned(Compact):
    """Fix the context of a conditional density: takes a density and is a density.

    Parameters
    ----------
    density
        Conditional on `c` features.
    context
        Their values, shape `(c,)`.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(200, 2))
    >>> training = cf.densities.MaximumLikelihood(steps=20)
    >>> drug = (np.arange(200) % 2)[:, None].astype(float)
    >>> both = cf.densities.fit_density(x, context=drug, training=training)
    >>> treated = cf.densities.Conditioned(both, np.array([1.0]))
    >>> treated.log_prob(x).shape
    (200,)
    """

    density: Density
    context: FloatArray

    def log_prob(self, x: FloatArray, context: FloatArray | None = None) -> FloatArray:
        """Log-density in nats of positions `x (n, d)`, shape `(n,)`."""
        _require_none(context)
        return self.density.log_prob(x, self.context)

    def sample(
        self, n: int, rng: np.random.Generator, context: FloatArray | None = None
    ) -> FloatArray:
        """Draw `n` positions, shape `(n, d)`."""
        _require_none(context)
        return self.density.sample(n, rng, self.context)

    def state(self) -> State:
        """Configuration and arrays: all that `cellflow.densities.from_state` needs."""
        config, arrays = self.density.state()
        return {"type": type(self).__name__, "density": config}, {**arrays, "context": self.context}


def _require_none(context: FloatArray | None) -> None:
    if context is not None:
        msg = (
            "The context of this density is fixed; found context. Use the density that it wraps"
            " (`.density`) for another."
        )
        raise InputError(msg)
