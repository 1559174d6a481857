"""Which velocity is meant: the flow of the population, or the drift of single cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellflow.adapter.fitted import Fitted
from cellflow.core._numbers import as_number
from cellflow.core._typing import FloatArray
from cellflow.errors import InputError

if TYPE_CHECKING:
    from cellflow.model.base import FittedDynamics

__all__ = ["moved_by", "width_of"]


def width_of(fitted: Fitted, kind: str, sigma: float | None) -> float | None:
    """The diffusion of the drift; None for the flow, which has none.

    Raises
    ------
    InputError
        Another `kind`, `sigma` for a flow, or a drift of a fit without a score.
    """
    if kind not in ("flow", "drift"):
        msg = (
            f"kind={kind!r}; expected 'flow' (how the population moves) or 'drift' (how single"
            " cells move)."
        )
        raise InputError(msg)
    if kind == "flow":
        if sigma is not None:
            msg = (
                f"sigma={sigma!r} with kind='flow', which has no diffusion; expected sigma=None,"
                " or kind='drift'."
            )
            raise InputError(msg)
        return None
    if "score" not in fitted.flow.heads:
        msg = (
            f"kind='drift', but the fit in adata.uns[{fitted.keys.uns!r}] (method"
            f" {fitted.params['method']!r}) has no score. Expected a fit by cf.tl.flow with"
            " score=True, or with method='sf2m'."
        )
        raise InputError(msg)
    return fitted.flow.sigma if sigma is None else as_number("sigma", sigma, above=0.0)


def moved_by(
    flow: FittedDynamics,
    x: FloatArray,
    t: float | FloatArray,
    width: float | None,
    context: FloatArray | None,
) -> FloatArray:
    """Velocity of the flow at positions, or with a width the drift, shape `(n, d)`."""
    if width is None:
        return flow.velocity(x, t, context=context)
    return flow.drift(x, t, sigma=width, context=context)
