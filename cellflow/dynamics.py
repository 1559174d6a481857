"""What has been learned: the velocity of every state at every time."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["Dynamics"]


class Dynamics(nn.Module):
    r"""The probability-flow dynamics :math:`\dot x = v(t, x)` in model coordinates.

    Parameters
    ----------
    velocity
        The velocity field, `(t, x) -> (n, d)`.
    unit
        Natural unit of time (the clock's); losses are measured in it, so that they do not depend on hours or days.
    sigma
        Diffusion of the bridge that the velocity was learned from, per square root of time; zero for a deterministic one.
    """

    def __init__(self, velocity: nn.Module, *, unit: float = 1.0, sigma: float = 0.0) -> None:
        super().__init__()
        self.velocity = velocity
        self.unit = unit
        self.sigma = sigma

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        """Velocity at times `t` (scalar or `(n,)`) and states `x (n, d)`."""
        return self.velocity(t, x)  # type: ignore[no-any-return] # nn.Module returns Any
