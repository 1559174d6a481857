"""The fitted module: velocity, and where it was learned the score."""

from __future__ import annotations

from torch import Tensor, nn

from cellflow.core.population import Clock
from cellflow.fields import Builder, NoiseConditional
from cellflow.fields.ladder import Ladder, Moments

__all__ = ["Dynamics"]


class Dynamics(nn.Module):
    r"""A dynamics in model coordinates: the probability flow :math:`\dot x = v(t, x)`, and diffusions of equal marginals.

    With a score :math:`s = \nabla \log p_t`, for any :math:`\sigma`,

    .. math::  dX = \big(v + \tfrac{\sigma^2}{2} s\big)\, dt + \sigma\, dW

    has the marginals of the probability flow, and so has, from the last time to the first, the
    diffusion with
    :math:`v - \tfrac{\sigma^2}{2} s`.

    Parameters
    ----------
    velocity
        The velocity field, `(t, x) -> (n, d)`; `(t, x, context)` for a conditional one.
    score
        The score at all noise levels, `(t, x, noise) -> (n, d)` (see
        `cellflow.fields.NoiseConditional`), or None.
    unit
        Natural unit of time (the clock's); losses are measured in it, so that they do not depend on
        hours or days.
    sigma
        Diffusion of the bridge that the velocity was learned from, per square root of time; zero
        for a deterministic one.

    References
    ----------
    Anderson, Reverse-time diffusion equation models, 1982; Tong et al., Simulation-free Schrödinger bridges via score and
    flow matching, AISTATS 2024, section 3.
    """

    def __init__(
        self,
        velocity: nn.Module,
        score: nn.Module | None = None,
        *,
        unit: float = 1.0,
        sigma: float = 0.0,
    ) -> None:
        super().__init__()
        self.velocity = velocity
        self.score = score
        self.unit = unit
        self.sigma = sigma

    @classmethod
    def built(
        cls,
        dim: int,
        clock: Clock,
        *,
        field: Builder,
        score: Builder | None = None,
        ladder: Ladder | None = None,
        moments: Moments | None = None,
        n_context: int = 0,
        sigma: float = 0.0,
    ) -> Dynamics:
        """Make the networks of a dynamics in `dim` dimensions; a score needs the levels of a ladder and the cells' moments."""
        velocity = field(dim, clock, **({"n_context": n_context} if n_context else {}))
        head = None
        if score is not None and ladder is not None and moments is not None:
            head = NoiseConditional(
                dim, clock, ladder=ladder, moments=moments, field=score, n_context=n_context
            )
        return cls(velocity, head, unit=clock.unit, sigma=sigma)

    def forward(self, t: Tensor, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Velocity at times `t` (scalar or `(n,)`), states `x (n, d)` and features `context (n, c)`."""
        return self.velocity(t, x) if context is None else self.velocity(t, x, context)  # type: ignore[no-any-return] # nn.Module returns Any

    def drift(
        self,
        t: Tensor,
        x: Tensor,
        context: Tensor | None = None,
        *,
        sigma: float,
        direction: int = 1,
    ) -> Tensor:
        """Drift of the diffusion of width `sigma`, forward (`direction=1`) or reversed in time (-1); see the class."""
        velocity = self(t, x, context)
        if sigma == 0.0:
            return velocity  # type: ignore[no-any-return] # nn.Module returns Any
        if self.score is None:
            msg = "The dynamics has no score; fit with score=True."
            raise TypeError(msg)
        return velocity + direction * 0.5 * sigma**2 * self.score(t, x, 0.0, context)  # type: ignore[no-any-return] # as above
