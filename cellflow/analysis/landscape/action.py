"""Paths of least action of a fitted dynamics, beside the straight line and the flow."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from cellflow.core._threads import torch_threads
from cellflow.core._typing import FloatArray
from cellflow.errors import IntegrationError
from cellflow.simulation import ActionPath, action_along, least_action

if TYPE_CHECKING:
    from cellflow.model.flow import Flow

__all__ = ["Asked", "Found", "member_path", "path_between"]

#: Durations that are tried for the best one, before it is refined between its neighbours.
_DURATIONS = 6
#: Paths that are computed to refine it.
_REFINEMENTS = 8


@dataclass(frozen=True, eq=False)
class Asked:
    """Which path is asked for.

    Parameters
    ----------
    source, target
        States at both ends, in data coordinates, shape `(d,)`.
    start, end
        Their times, the first below the second.
    best_end
        Whether any time between the two may be that of the target.
    n_steps
        Of the path.
    width
        Diffusion of the drift; None for the velocity of the flow.
    sigma
        Diffusion that actions are relative to, in model coordinates.
    context
        Features of the condition, shape `(c,)`, or None.
    """

    source: FloatArray
    target: FloatArray
    start: float
    end: float
    best_end: bool
    n_steps: int
    width: float | None
    sigma: float
    context: FloatArray | None


@dataclass(frozen=True, eq=False)
class Found:
    """A path of least action.

    Parameters
    ----------
    times
        Shape `(n_steps + 1,)`.
    path
        States in data coordinates, shape `(n_steps + 1, d)`.
    action
        From the start up to each time, shape `(n_steps + 1,)`.
    straight, flow
        Action of the straight line, and of the path that follows the velocity from the source and
        is bent to the target.
    miss
        Distance from the target of what follows the velocity from the source, in data coordinates.
    converged
        Whether the optimiser ended at a minimum.
    """

    times: FloatArray
    path: FloatArray
    action: FloatArray
    straight: float
    flow: float
    miss: float
    converged: bool

    @property
    def total(self) -> float:
        """Action of the whole path."""
        return float(self.action[-1])


def path_between(flow: Flow, asked: Asked) -> Found:
    r"""The path of least action between two states; see `cellflow.simulation.least_action`.

    It is optimised from the straight line, and from the paths that follow the velocity forward from
    the source and backward from the target, each bent to the other end.

    Raises
    ------
    IntegrationError
        The flow from the source stops being finite.
    """
    with torch_threads(flow.threads):
        problem = _Problem.of(flow, asked)
        if asked.best_end:
            return problem.found(_over_durations(problem))
        return problem.found(problem.best(asked.end, problem.paths(asked.end)))


def member_path(flow: Flow, asked: Asked, known: Found) -> Found:
    """The path of a member of an ensemble in the same time, from that of the mean field."""
    with torch_threads(flow.threads):
        problem = _Problem.of(flow, asked)
        end = float(known.times[-1])
        warm = torch.from_numpy(flow.frame.to_model(known.path))
        return problem.found(problem.best(end, [warm, *problem.paths(end)]))


@dataclass(frozen=True, eq=False)
class _Problem:
    """A path in model coordinates, with the networks in double precision."""

    flow: Flow
    asked: Asked
    dynamics: Any
    source: Tensor
    target: Tensor

    @classmethod
    def of(cls, flow: Flow, asked: Asked) -> _Problem:
        dynamics = copy.deepcopy(flow.dynamics).cpu().double().requires_grad_(requires_grad=False)
        source = torch.from_numpy(flow.frame.to_model(asked.source))
        target = torch.from_numpy(flow.frame.to_model(asked.target))
        return cls(flow, asked, dynamics, source, target)

    def drift(self, t: Tensor, z: Tensor) -> Tensor:
        """The velocity or the drift, in model coordinates."""
        context = None
        if self.asked.context is not None:
            context = torch.from_numpy(self.asked.context).double().expand(len(z), -1)
        if self.asked.width is None:
            found: Tensor = self.dynamics(t, z, context)
        else:
            found = self.dynamics.drift(t, z, context, sigma=self.asked.width)
        return found

    def paths(self, end: float) -> list[Tensor]:
        """Paths that arrive at a time: straight, along the velocity, and backward along it.

        The last one is left out where it stops being finite.

        Raises
        ------
        IntegrationError
            The velocity from the source leads to infinity.
        """
        times = self.times(end)
        ramp = torch.linspace(0.0, 1.0, len(times), dtype=torch.float64)[:, None]
        ahead = self.followed(self.source, times)
        behind = self.followed(self.target, times.flip(0)).flip(0)
        if not bool(ahead.isfinite().all()):
            msg = (
                f"The velocity from the source at {self.asked.start:g} leads to states that are"
                f" not finite before {end:g}. Expected a source among the cells of its time."
            )
            raise IntegrationError(msg)
        found = [
            torch.lerp(self.source[None], self.target[None], ramp),
            ahead + ramp * (self.target - ahead[-1]),
        ]
        if bool(behind.isfinite().all()):
            found.append(behind + (1.0 - ramp) * (self.source - behind[0]))
        return found

    def times(self, end: float) -> Tensor:
        """Even times up to an end, `(n_steps + 1,)`."""
        return torch.linspace(self.asked.start, end, self.asked.n_steps + 1, dtype=torch.float64)

    def best(self, end: float, starts: list[Tensor]) -> ActionPath:
        """The path of least action that arrives at a time."""
        return least_action(self.drift, self.times(end), starts, sigma=self.asked.sigma)

    def followed(self, z: Tensor, times: Tensor) -> Tensor:
        """States along the velocity at all times, `(m + 1, d)`, by the method of Runge and Kutta.

        They only are starts, so that their error is not estimated.
        """
        states = [z[None]]
        with torch.no_grad():
            for now, then in pairwise(times):
                step = then - now
                x = states[-1]
                k1 = self.drift(now, x)
                k2 = self.drift(now + step / 2, x + step / 2 * k1)
                k3 = self.drift(now + step / 2, x + step / 2 * k2)
                k4 = self.drift(then, x + step * k3)
                states.append(x + step / 6 * (k1 + 2 * k2 + 2 * k3 + k4))
        return torch.cat(states)

    def found(self, path: ActionPath) -> Found:
        """The path in data coordinates, beside the straight line and the flow."""
        frame = self.flow.frame
        line, bent = self.paths(float(path.times[-1]))[:2]
        arrived = self.followed(self.source, path.times)[-1]
        off = (arrived - self.target).numpy() * frame.scale
        sigma = self.asked.sigma
        with torch.no_grad():
            straight = action_along(self.drift, path.times, line, sigma)[-1]
            flow = action_along(self.drift, path.times, bent, sigma)[-1]
        return Found(
            path.times.numpy(),
            path=frame.to_data(path.x.numpy()),
            action=path.action.numpy(),
            straight=float(straight),
            flow=float(flow),
            miss=float(np.linalg.norm(off)),
            converged=path.converged,
        )


def _over_durations(problem: _Problem) -> ActionPath:
    """The path of the least action over all times of arrival, up to the last one."""
    from scipy.optimize import minimize_scalar

    asked = problem.asked
    ends = np.linspace(asked.start, asked.end, _DURATIONS + 1)[1:]
    found = [problem.best(float(end), problem.paths(float(end))) for end in ends]
    number = int(np.argmin([path.total for path in found]))
    low = ends[number - 1] if number else asked.start + 0.1 * (ends[0] - asked.start)
    high = ends[min(number + 1, len(ends) - 1)]
    known = found[number].x

    def again(end: float) -> float:
        found.append(problem.best(float(end), [known]))
        return found[-1].total

    options = {"maxiter": _REFINEMENTS}
    minimize_scalar(again, bounds=(float(low), float(high)), method="bounded", options=options)
    return min(found, key=lambda path: path.total)
