r"""Paths of least action between two states, for a diffusion with a known drift."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from cellflow.core._display import Compact
from cellflow.core._settings import guarded

__all__ = ["ActionPath", "Drift", "action_along", "least_action"]

#: `(t (m,), x (m, d)) -> (m, d)`, differentiable by torch.
Drift: TypeAlias = Callable[[Tensor, Tensor], Tensor]

#: Iterations of the optimiser from one start. Paths of 50 steps take 20 to 1,000.
_ITERATIONS = 2000
#: A path counts as found where no coordinate changes the action by more than this share of it.
_TOLERANCE = 1e-4


@dataclass(frozen=True, eq=False, repr=False)
class ActionPath(Compact):
    """A path and its action.

    Parameters
    ----------
    times
        Shape `(m + 1,)`.
    x
        States, shape `(m + 1, d)`.
    action
        From the start up to each time, shape `(m + 1,)`.
    converged
        Whether the optimiser ended at a minimum.

    Examples
    --------
    >>> import torch
    >>> times = torch.linspace(0.0, 1.0, 11, dtype=torch.float64)
    >>> line = times[:, None].repeat(1, 2)
    >>> found = cf.simulation.least_action(lambda t, x: 0 * x, times, [line], sigma=1.0)
    >>> found.converged
    True
    """

    times: Tensor
    x: Tensor
    action: Tensor
    converged: bool

    @property
    def total(self) -> float:
        """Action of the whole path."""
        return float(self.action[-1])


@guarded
def action_along(drift: Drift, times: Tensor, x: Tensor, sigma: float) -> Tensor:
    r"""Freidlin-Wentzell action of a path from its start up to each time.

    .. math:: \int \frac{\|\dot x - b(t, x)\|^2}{2 \sigma^2}\, dt

    by the midpoint rule: in a step the path is straight, and the drift is that of its middle. For a
    path that follows the drift, it is zero up to the fourth power of the step.

    Parameters
    ----------
    drift
        :math:`b`.
    times
        Increasing, shape `(m + 1,)`.
    x
        States, shape `(m + 1, d)`.
    sigma
        Diffusion per square root of time.

    Returns
    -------
    Shape `(m + 1,)`, zero at the start.

    Examples
    --------
    >>> import torch
    >>> times = torch.linspace(0.0, 1.0, 11, dtype=torch.float64)
    >>> x = times[:, None].repeat(1, 2)
    >>> action = cf.simulation.action_along(lambda t, x: 0 * x, times, x, 1.0)
    >>> round(float(action.sum()), 6)
    5.5
    """
    steps = times.diff()
    middle = 0.5 * (x[1:] + x[:-1])
    excess = x.diff(dim=0) / steps[:, None] - drift(0.5 * (times[1:] + times[:-1]), middle)
    each = 0.5 * (excess**2).sum(dim=1) * steps / sigma**2
    return torch.cat([torch.zeros_like(times[:1]), each.cumsum(dim=0)])


@guarded
def least_action(
    drift: Drift, times: Tensor, starts: Iterable[Tensor], *, sigma: float
) -> ActionPath:
    r"""The path of least action, which a diffusion takes if it connects two states in a given time.

    The states between the two ends are optimised by L-BFGS, from each of several paths; the best
    result is returned. A path may be a local minimum: other valleys are found only from a start
    that lies in them.

    Parameters
    ----------
    drift
        Of the diffusion.
    times
        Even steps, shape `(m + 1,)`.
    starts
        Paths between the same two states, each `(m + 1, d)`, float64.
    sigma
        Diffusion per square root of time.

    Returns
    -------
    The best path; with `converged` False where the optimiser stopped early.

    References
    ----------
    Freidlin and Wentzell, Random Perturbations of Dynamical Systems, Springer 1998; E, Ren and
    Vanden-Eijnden, Minimum action method for the study of rare events, Communications on Pure and
    Applied Mathematics 2004.

    Examples
    --------
    >>> times = torch.linspace(0.0, 2.0, 11, dtype=torch.float64)
    >>> line = torch.linspace(0.0, 3.0, 11, dtype=torch.float64)[:, None]
    >>> found = least_action(lambda t, x: torch.zeros_like(x), times, [line], sigma=0.5)
    >>> round(found.total, 6)  # 3^2 / (2 * 2 * 0.5^2)
    9.0
    """
    inverse = _inverse_root(len(times) - 2, times[1] - times[0], sigma).to(times)
    found = [_improved(drift, times, start, inverse, sigma) for start in starts]
    return min(found, key=lambda path: path.total)


def _inverse_root(n: int, step: Tensor, sigma: float) -> Tensor:
    r"""`R` with :math:`R R^\top` the inverse Hessian of the action without a drift, `(n, n)`.

    In the coordinates :math:`R^{-1} x` it is the identity, which L-BFGS takes few steps in, however
    many states a path has.
    """
    hessian = 2.0 * torch.eye(n, dtype=torch.float64)
    hessian = hessian - torch.diag(torch.ones(n - 1, dtype=torch.float64), 1)
    hessian = hessian - torch.diag(torch.ones(n - 1, dtype=torch.float64), -1)
    root = torch.linalg.cholesky(hessian / (float(step) * sigma**2))
    inverse: Tensor = torch.linalg.inv(root).T
    return inverse


def _improved(
    drift: Drift, times: Tensor, start: Tensor, inverse: Tensor, sigma: float
) -> ActionPath:
    """The local minimum that is reached from one path."""
    moved = torch.zeros_like(start[1:-1]).requires_grad_()
    optimiser = torch.optim.LBFGS(
        [moved],
        max_iter=_ITERATIONS,
        history_size=20,
        tolerance_grad=1e-7,
        tolerance_change=1e-10,
        line_search_fn="strong_wolfe",
    )

    def path() -> Tensor:
        return torch.cat([start[:1], start[1:-1] + inverse @ moved, start[-1:]])

    def closure() -> Tensor:
        optimiser.zero_grad()
        value = action_along(drift, times, path(), sigma)[-1]
        value.backward()
        return value

    with torch.enable_grad():
        optimiser.step(closure)
        total = closure()
    assert moved.grad is not None
    small = moved.grad.abs().max() <= _TOLERANCE * max(1.0, float(total.detach()))
    with torch.no_grad():
        x = path()
        return ActionPath(times, x, action_along(drift, times, x, sigma), bool(small))
