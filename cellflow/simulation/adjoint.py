"""How what becomes of a cell depends on where it starts: gradients through a solution."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from cellflow.core._numbers import as_array, as_number
from cellflow.core._rows import Rows
from cellflow.core._settings import guarded
from cellflow.core._typing import FloatArray
from cellflow.errors import InputError, IntegrationError
from cellflow.simulation._solution import Rate, System, require_few_steps, shaped
from cellflow.simulation.ode import Solver, grid

__all__ = ["Value", "sensitivity"]

#: Rows of the largest chunk; the smallest has one more than `_SMALLEST`.
_LARGEST = 1024
_SMALLEST = 31
#: Functions `(x_end (n, d), along) -> (n, k)` of the states at the end and of the quantities along
#: the paths, `(n,)` by name.
Value: TypeAlias = Callable[[Tensor, Mapping[str, Tensor]], Tensor]


@guarded
def sensitivity(
    field: Callable[..., Tensor],
    x: FloatArray,
    t0: float,
    end: float,
    value: Value,
    *,
    step: float,
    along: Mapping[str, Rate] | None = None,
    context: FloatArray | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> tuple[FloatArray, FloatArray]:
    r"""Functions of the end of a path, and their gradients by its start.

    The discrete adjoint method: the states at the ends of all steps are kept, and the gradient goes
    back through one step after the other, each computed again. So the gradient is that of the
    numerical solution, and the memory does not depend on how the steps are computed.

    Parameters
    ----------
    field, x, t0, step, along, context, device, dtype
        As of `integrate`, whose method `"rk4"` is used.
    end
        Time of the end, before or after `t0`.
    value
        `(x_end, along) -> (n, k)`, differentiable by torch.

    Returns
    -------
    Values, shape `(n, k)`, and their gradients :math:`\partial f_k / \partial x(t_0)`, shape
    `(n, k, d)`, in float64.

    Raises
    ------
    InputError
        A value of another shape, or so many steps that a unit of time must be wrong.
    IntegrationError
        A gradient that is not finite.

    References
    ----------
    Griewank and Walther, Evaluating Derivatives, 2008, chapter 12 (recomputing the steps).

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(5, 2))
    >>> end, gradient = cf.simulation.sensitivity(
    ...     lambda t, x: -x, x, 0.0, 1.0, lambda x, along: x, step=0.1
    ... )
    >>> bool(np.allclose(gradient[0], np.exp(-1.0) * np.eye(2), atol=1e-4))
    True
    """
    x = as_array("x", x, shape="(n, d)", least=1)
    t0 = as_number("t0", t0)
    end = as_number("end", end)
    require_few_steps(min(t0, end), max(t0, end), step)
    rates = {} if along is None else dict(along)
    solver = Solver(step)
    ends = grid(torch.tensor([0.0, end - t0], dtype=torch.float64), step) if end != t0 else None
    found = []
    for chunk, n in Rows.of(x, context).to(device, dtype).padded(_width(len(x))):
        velocity = chunk.bound(field)
        bound = {name: chunk.bound(rate) for name, rate in rates.items()}
        path = _Path(solver, _system(velocity, bound), t0, ends, list(bound))
        found.append([part[:n].double().cpu().numpy() for part in path.pulled_back(chunk.x, value)])
    values, gradients = (np.concatenate(parts) for parts in zip(*found, strict=True))
    _require_finite(gradients, t0)
    return values, gradients


def _width(n: int) -> int:
    """Rows of a chunk: a power of two, so that few cells do not take the time of many."""
    return min(_LARGEST, 1 << max(_SMALLEST, n - 1).bit_length())


def _system(velocity: Callable[..., Tensor], rates: Mapping[str, Rate]) -> System:
    """Right-hand side of states and quantities."""
    return lambda t, y: (
        shaped(velocity(t, y), y.shape, "field"),
        *(shaped(rate(t, y), y.shape[:1], name) for name, rate in rates.items()),
    )


class _Path:
    """The steps of a chunk of cells from `t0` on; `ends` are distances from it, or None."""

    def __init__(
        self, solver: Solver, system: System, t0: float, ends: Tensor | None, names: list[str]
    ) -> None:
        self.solver = solver
        self.system = system
        self.t0 = t0
        self.ends = [] if ends is None else ends.tolist()
        self.names = names

    def pulled_back(self, x: Tensor, value: Value) -> tuple[Tensor, Tensor]:
        """Values `(n, k)` at the end, and their gradients `(n, k, d)` by the start."""
        state = (x, *(x.new_zeros(len(x)) for _ in self.names))
        kept = [state]
        with torch.no_grad():
            for k in range(len(self.ends) - 1):
                state = self._step(k, state)
                kept.append(state)
        values, cotangents = self._at_end(kept.pop(), value)
        for k in range(len(kept) - 1, -1, -1):
            start = tuple(part.requires_grad_() for part in kept.pop())
            with torch.enable_grad():
                reached = self._step(k, start)
            cotangents = [_product(reached, start, of_one) for of_one in cotangents]
        gradients = [of_one[0] for of_one in cotangents]
        return values.detach(), torch.stack(gradients, dim=1)

    def _at_end(
        self, state: tuple[Tensor, ...], value: Value
    ) -> tuple[Tensor, list[tuple[Tensor, ...]]]:
        """Values, and the gradient of each by the state at the end."""
        end = tuple(part.requires_grad_() for part in state)
        with torch.enable_grad():
            values = value(end[0], dict(zip(self.names, end[1:], strict=True)))
        if values.ndim != 2 or len(values) != len(end[0]):
            msg = (
                f"value returned shape {tuple(values.shape)}; expected ({len(end[0])}, k), k"
                " numbers for each path."
            )
            raise InputError(msg)
        return values, [
            _product((values,), end, (_column(values, k),)) for k in range(values.shape[1])
        ]

    def _step(self, k: int, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Go from the end of one step to that of the next; quantities are added up."""
        a = self.ends[k]
        span = torch.tensor(
            [0.0, self.ends[k + 1] - a], dtype=torch.float64, device=state[0].device
        )
        zero = tuple(torch.zeros_like(part) for part in state[1:])
        moved = self.solver.one_way(self.system, (state[0], *zero), self.t0 + a, span)
        added = (part[1] + before for part, before in zip(moved[1:], state[1:], strict=True))
        return (moved[0][1], *added)


def _column(values: Tensor, k: int) -> Tensor:
    """Ones in one column."""
    ones = torch.zeros_like(values)
    ones[:, k] = 1.0
    return ones


def _product(
    outputs: tuple[Tensor, ...], inputs: tuple[Tensor, ...], cotangent: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    """Pull a cotangent of the outputs back to the inputs; zero where they are not connected."""
    pairs = [(o, c) for o, c in zip(outputs, cotangent, strict=True) if o.requires_grad]
    if not pairs:
        return tuple(torch.zeros_like(part) for part in inputs)
    tensors, weights = zip(*pairs, strict=True)
    found = torch.autograd.grad(tensors, inputs, weights, retain_graph=True, allow_unused=True)
    return tuple(
        torch.zeros_like(part) if gradient is None else gradient
        for part, gradient in zip(inputs, found, strict=True)
    )


def _require_finite(gradients: FloatArray, t0: float) -> None:
    bad = np.flatnonzero(~np.isfinite(gradients).all(axis=(1, 2)))
    if len(bad):
        msg = "has a gradient that is not finite. Ask for an end nearer to its time."
        raise IntegrationError(msg, cell=int(bad[0]), time=t0)
