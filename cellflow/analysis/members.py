"""What the members of an ensemble answer, and how sure the answer of the ensemble is."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from cellflow.core._spread import Spread, running_spread
from cellflow.core._typing import FloatArray

if TYPE_CHECKING:
    from cellflow.model.base import FittedDynamics

__all__ = ["confidence", "degrees_of", "spread_of"]


def degrees_of(flow: FittedDynamics) -> float:
    """Degrees of freedom between the members of a flow; zero of a single one."""
    return float(getattr(flow, "degrees", 0.0))


def spread_of(flow: FittedDynamics, ask: Callable[[FittedDynamics], FloatArray]) -> Spread | None:
    """Mean and standard error of an answer over the members; None of a single flow.

    Parameters
    ----------
    flow
        That may be an ensemble.
    ask
        A question to each member, `flow -> array`.
    """
    if not flow.members:
        return None
    return running_spread((ask(member) for member in flow.members), degrees_of(flow))


def confidence(velocity: FloatArray, se: FloatArray) -> FloatArray:
    r"""How well the direction of each velocity is known: its expected cosine with the true one.

    Errors across an estimate :math:`v` turn it, those along it do not. With the standard errors
    :math:`s` of its components, the squared error across is
    :math:`s_\perp^2 = \sum_i s_i^2 (1 - v_i^2 / \|v\|^2)`, and the cosine, to first order in it,

    .. math:: \sqrt{\max\bigl(0, 1 - s_\perp^2 / \|v\|^2\bigr)}

    Unlike the mean cosine between members it speaks of their mean, and it does not depend on their
    number.

    Parameters
    ----------
    velocity, se
        Shape `(n, d)`.

    Returns
    -------
    Shape `(n,)`, from 0 (the velocity is no larger than its error) to 1.
    """
    squared = np.square(velocity, dtype=np.float64)
    errors = np.square(se, dtype=np.float64)
    size = squared.sum(axis=1)
    along = np.divide((errors * squared).sum(axis=1), size, out=np.zeros(len(size)), where=size > 0)
    across = errors.sum(axis=1) - along
    share = np.divide(across, size, out=np.ones(len(size)), where=size > 0)
    return np.asarray(np.sqrt(np.clip(1.0 - share, 0.0, 1.0)))
