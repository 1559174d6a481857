"""The divergence of a field, exact or estimated."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from cellflow.core._numbers import ROUNDS, as_count
from cellflow.core._random import as_seed, stream
from cellflow.core._typing import RandomState
from cellflow.errors import InputError
from cellflow.simulation._solution import System, shaped

__all__ = ["Divergence", "Exact", "Hutchinson", "chosen", "density_system", "products"]

#: Up to this many dimensions, the divergence is exact.
_EXACT_DIMS = 100


class Divergence(Protocol):
    """A rule for the trace of a Jacobian `J`: the sum of `e J e` over probe vectors `e`.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(5, 2))
    >>> zero = np.zeros(5)
    >>> moved, log_p = cf.simulation.push_with_log_prob(
    ...     lambda t, x: -x, x, zero, 0.0, [1.0], step=0.1, divergence=cf.simulation.Exact()
    ... )
    >>> log_p.shape
    (1, 5)
    """

    def probes(self, x: Tensor) -> Tensor:
        """Vectors for each row of `x (n, d)`, shape `(k, n, d)`; they depend on that row only."""


@dataclass(frozen=True)
class Exact:
    """The exact divergence, by one backward pass through the field for each dimension.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(5, 2))
    >>> def normal(x):
    ...     return -0.5 * (x**2).sum(axis=1) - np.log(2 * np.pi)
    >>> log_p = cf.simulation.log_likelihood(
    ...     lambda t, x: -x, x, 1.0, 0.0, normal, step=0.1, divergence=cf.simulation.Exact()
    ... )
    >>> log_p.shape
    (5,)
    """

    def probes(self, x: Tensor) -> Tensor:
        """Unit vectors, shape `(d, n, d)`."""
        return torch.eye(x.shape[1], dtype=x.dtype, device=x.device)[:, None].expand(-1, *x.shape)


@dataclass(frozen=True)
class Hutchinson:
    r"""An unbiased estimate: the mean of :math:`\epsilon^\top J \epsilon` over random signs.

    The signs of a cell are drawn from a generator keyed by its position at the start. They are the
    same during the whole solution, so that the integrand is smooth, and do not depend on other
    cells.

    Parameters
    ----------
    n_probes
        Backward passes per evaluation; the variance falls as one over their number.
    seed
        Of the signs.

    References
    ----------
    Grathwohl et al. FFJORD: free-form continuous dynamics for scalable reversible generative
    models. ICLR 2019. https://arxiv.org/abs/1810.01367

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(5, 2))
    >>> def normal(x):
    ...     return -0.5 * (x**2).sum(axis=1) - np.log(2 * np.pi)
    >>> probes = cf.simulation.Hutchinson(n_probes=5)
    >>> log_p = cf.simulation.log_likelihood(
    ...     lambda t, x: -x, x, 1.0, 0.0, normal, step=0.1, divergence=probes
    ... )
    >>> log_p.shape
    (5,)
    """

    n_probes: int = 10
    seed: RandomState = 0

    def __post_init__(self) -> None:
        as_count("n_probes", self.n_probes, most=ROUNDS)
        object.__setattr__(self, "seed", as_seed(self.seed))

    def probes(self, x: Tensor) -> Tensor:
        """Signs divided by the root of their number, shape `(n_probes, n, d)`."""
        bits = np.ascontiguousarray(x.detach().cpu().numpy()).view(np.uint32)
        # A chunk that is filled up repeats one row many times.
        keys, row = np.unique(bits, axis=0, return_inverse=True)
        drawn = [
            stream(as_seed(self.seed), *key).integers(2, size=(self.n_probes, x.shape[1]))
            for key in keys.tolist()
        ]
        signs = 2.0 * np.stack(drawn, axis=1)[:, row.reshape(-1)] - 1.0
        return torch.from_numpy(signs / np.sqrt(self.n_probes)).to(x)


def chosen(n_dims: int) -> Divergence:
    """The rule for fields of so many dimensions: exact up to 100, else estimated."""
    return Exact() if n_dims <= _EXACT_DIMS else Hutchinson()


def density_system(field: Callable[[Tensor, Tensor], Tensor], probes: Tensor) -> System:
    """Velocity of a field, and minus its divergence: the rate of the log-density along a path.

    Parameters
    ----------
    field
        `(t, x) -> (n, d)`, differentiable in `x`.
    probes
        Of the rows of `x`, shape `(k, n, d)`; see `Divergence`.
    """

    def system(t: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            state = x.detach().requires_grad_()
            velocity = shaped(field(t, state), state.shape, "field")
            divergence = sum(
                ((row * probe).sum(dim=1) for row, probe in products(velocity, state, probes)),
                start=torch.zeros_like(state[:, 0]),
            )
        return velocity.detach(), -divergence

    return system


def products(velocity: Tensor, state: Tensor, probes: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Products of each probe with the Jacobian, and the probe."""
    for k, probe in enumerate(probes):
        keep = k < len(probes) - 1
        row = None
        if velocity.requires_grad:
            (row,) = torch.autograd.grad(
                velocity, state, probe, retain_graph=keep, allow_unused=True
            )
        if row is None:
            msg = (
                "The field's value is not connected to the state by autograd, so its divergence is"
                " unknown. Compute it with torch, outside torch.no_grad(); a field that is constant"
                " in x may add 0 * x."
            )
            raise InputError(msg)
        yield row, probe
