"""What all normalizing flows share."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, cast

import numpy as np
import torch
from torch import Tensor, nn
from zuko.lazy import LazyComposedTransform, LazyTransform, UnconditionalTransform
from zuko.transforms import LULinearTransform, MonotonicRQSTransform

from cellflow.core._drawing import Drawing
from cellflow.core._numbers import as_count
from cellflow.core._rows import Rows
from cellflow.core._settings import guarded
from cellflow.core._stored import Stored, require_weights
from cellflow.core._threads import torch_threads
from cellflow.core._typing import FloatArray
from cellflow.densities.base import State, checked_rows, stored_sizes
from cellflow.errors import InputError

__all__ = ["LEAST_SCALE", "SPLINE_BOUND", "Builder", "NormalizingFlow", "nonlinear"]

#: Splines are the identity outside [-5, 5], in standard deviations.
SPLINE_BOUND = 5.0
#: Bins of the splines of the marginals.
_BINS = 8
#: Scales of one affine layer are softly clipped to 1/20 ... 20. Steeper layers do not fit the
#: training cells better, and the log-density of single cells between clusters becomes too low by
#: hundreds of nats.
LEAST_SCALE = 0.05
#: Start of the names of stored records of training.
_HISTORY = "history."


def nonlinear(dim: int, method: str, reason: str) -> None:
    """Refuse one-dimensional data for a family whose members would all be Gaussian there."""
    if dim == 1:
        msg = f"{method} on one-dimensional data: {reason}. Use method='nsf', 'gmm' or 'kde'."
        raise InputError(msg)


def _start_from_identity(layer: LazyTransform) -> None:
    """Set the last layer of a transform's network, or its free parameters, to zero."""
    last = layer.hyper[-1] if hasattr(layer, "hyper") else getattr(layer, "phi", nn.Identity())
    for parameter in last.parameters():
        nn.init.zeros_(parameter)


class NormalizingFlow(nn.Module):
    r"""A density that an invertible map transforms to the standard normal density.

    .. math:: \log p(x \mid c) = \log \mathcal N\big(f_c(z)\big)
              + \log |\det \partial_z f_c(z)| - \sum \log s, \quad z = (x - m) / s

    The standardisation :math:`(m, s)` belongs to the flow: positions are in the caller's
    coordinates.

    In every family, :math:`f` begins with one monotone spline per coordinate and one triangular
    matrix, which start as the inverse Cholesky factor of the covariance. The layers of the family
    start as the identity. So training starts from the normal distribution of the data. The splines
    fit marginals that are skewed or heavy-tailed, and the networks fit the dependence that differs
    from a normal copula.

    Parameters
    ----------
    dim
        Dimension `d`.
    n_context
        Number of context features `c`, e.g. time and indicators of a condition; 0 for none.
    transforms
        Invertible layers from data to noise.
    options
        Arguments of the family's constructor other than the two sizes, as plain values.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(200, 2))
    >>> training = cf.densities.MaximumLikelihood(steps=20)
    >>> flow = cf.densities.fit_density(x, method="nsf", training=training)
    >>> isinstance(flow, cf.densities.NormalizingFlow)
    True
    """

    shift: Tensor
    scale: Tensor
    context_shift: Tensor
    context_scale: Tensor

    def __init__(
        self,
        dim: int,
        n_context: int,
        transforms: Sequence[LazyTransform],
        options: Mapping[str, Any],
    ) -> None:
        super().__init__()
        self.dim = dim
        self.n_context = n_context
        self.options = dict(options)
        for layer in transforms:
            _start_from_identity(layer)
        marginals = UnconditionalTransform(
            MonotonicRQSTransform,
            widths=torch.zeros(dim, _BINS),
            heights=torch.zeros(dim, _BINS),
            derivatives=torch.zeros(dim, _BINS - 1),
            bound=SPLINE_BOUND,
        )
        correlation = UnconditionalTransform(LULinearTransform, LU=torch.eye(dim))
        self.transform = LazyComposedTransform(marginals, correlation, *transforms)
        self.register_buffer("shift", torch.zeros(dim, dtype=torch.float64))
        self.register_buffer("scale", torch.ones(dim, dtype=torch.float64))
        self.register_buffer("context_shift", torch.zeros(n_context, dtype=torch.float64))
        self.register_buffer("context_scale", torch.ones(n_context, dtype=torch.float64))
        #: What training did: `step`, `nll`, `val_nll` (nats, standardised coordinates).
        self.history: dict[str, FloatArray] = {}

    def __repr__(self) -> str:
        n = sum(p.numel() for p in self.parameters())
        beside = f", {self.n_context} context features" if self.n_context else ""
        return f"{type(self).__name__}({self.dim} dimensions{beside}, {n:,} parameters)"

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the network."""
        return next(self.parameters()).dtype

    @guarded
    @torch.no_grad()
    def initialise(self, z: Tensor, context: Tensor | None) -> None:  # noqa: ARG002
        """Start from the normal distribution of the points `z (n, d)`."""
        n, d = z.shape
        # With shrinkage, the factor exists also for few cells and for linearly dependent columns.
        covariance = (z.mT.double() @ z.double() + d * torch.eye(d)) / (n + d)
        _, correlation, *_ = self.transform.transforms
        correlation.LU.copy_(torch.linalg.inv(torch.linalg.cholesky(covariance)))

    def standardised(self, x: Tensor) -> Tensor:
        """Positions `(n, d)` in the network's coordinates."""
        return ((x.double() - self.shift) / self.scale).to(self.dtype)

    def scaled(self, context: Tensor | None) -> Tensor | None:
        """Context features `(n, c)` on the network's scale."""
        return (
            None
            if context is None
            else ((context.double() - self.context_shift) / self.context_scale).to(self.dtype)
        )

    def standard_log_prob(self, z: Tensor, context: Tensor | None) -> Tensor:
        """Log-density of standardised positions `(n, d)` for scaled context, shape `(n,)`."""
        noise, log_det = cast("tuple[Tensor, Tensor]", self.transform(context).call_and_ladj(z))
        return log_det - 0.5 * (noise * noise).sum(dim=1) - 0.5 * self.dim * math.log(2.0 * math.pi)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Log-density of positions `x (n, d)`, shape `(n,)`, differentiable in all inputs."""
        log_volume = self.scale.log().sum()
        return (
            self.standard_log_prob(self.standardised(x), self.scaled(context)).double() - log_volume
        )

    @guarded
    @torch.no_grad()
    def log_prob(self, x: FloatArray, context: FloatArray | None = None) -> FloatArray:
        """Log-density in nats of positions.

        Parameters
        ----------
        x
            Shape `(n, d)`.
        context
            Features of each position, `(n, c)`, or of all of them, `(c,)`; required by a
            conditional flow.

        Returns
        -------
        Shape `(n,)`, float64. A cell's value does not depend on the other cells.
        """
        x = checked_rows("x", x, self.dim)
        with torch_threads():
            return self._by_chunks(lambda part, c: self(part, c), x, self._context(context, len(x)))

    @guarded
    @torch.no_grad()
    def sample(
        self, n: int, rng: np.random.Generator, context: FloatArray | None = None
    ) -> FloatArray:
        """Draw positions.

        Parameters
        ----------
        n
            Number of draws.
        rng
            Generator of the noise.
        context
            Features of each draw, `(n, c)`, or of all of them, `(c,)`; required by a conditional
            flow.

        Returns
        -------
        Shape `(n, d)`, float64.
        """
        as_count("n", n, least=0, each=16 * self.dim)
        noise = rng.standard_normal((n, self.dim))
        with torch_threads():
            return self._by_chunks(self._from_noise, noise, self._context(context, n))

    def _from_noise(self, noise: Tensor, context: Tensor | None) -> Tensor:
        z = cast("Tensor", self.transform(self.scaled(context)).inv(noise.to(self.dtype)))
        return z.double() * self.scale + self.shift

    def _context(self, context: FloatArray | None, n: int) -> FloatArray:
        """Context as `(n, c)`; `(n, 0)` for a flow without."""
        if (context is None) != (self.n_context == 0):
            found = "no context" if context is None else "context"
            msg = f"The density was fitted with {self.n_context} context features; found {found}."
            raise InputError(msg)
        if context is None:
            return np.empty((n, 0))
        context = np.asarray(context)
        context = checked_rows(
            "context", np.tile(context, (n, 1)) if context.ndim == 1 else context, self.n_context
        )
        if len(context) != n:
            msg = f"context has {len(context)} rows; expected {n}, one per position."
            raise InputError(msg)
        return context

    def _by_chunks(
        self,
        function: Callable[[Tensor, Tensor | None], Tensor],
        x: FloatArray,
        context: FloatArray,
    ) -> FloatArray:
        """Values of a function, chunk by chunk; see `Rows`."""
        features = context if self.n_context else None
        rows = Rows.of(x, features).to(self.shift.device, torch.float64)
        parts = rows.evaluate(lambda chunk: function(chunk.x, chunk.context))
        return np.asarray(parts.numpy())

    def state(self) -> State:
        """Configuration (plain values for JSON) and arrays by name, for `from_state`."""
        config = {
            "type": type(self).__name__,
            "dim": self.dim,
            "n_context": self.n_context,
            "options": self.options,
        }
        arrays = {name: value.detach().cpu().numpy() for name, value in self.state_dict().items()}
        return config, {
            **arrays,
            **{_HISTORY + name: value for name, value in self.history.items()},
        }

    @classmethod
    @guarded
    def from_state(
        cls, config: Mapping[str, Any], arrays: Mapping[str, FloatArray]
    ) -> NormalizingFlow:
        """Rebuild a flow from its `state`.

        Raises
        ------
        ModelFileError
            Configuration and arrays that do not fit together.
        """
        stored = Stored("density", config, arrays)
        dim, n_context, options = stored_sizes(stored)
        try:
            with Drawing(0):  # initial weights are overwritten
                build: Builder = cls
                flow = build(dim, n_context, **options).double()
        except (InputError, TypeError, ValueError, RuntimeError) as cause:
            stored.fail(cause)
        history = stored.under(_HISTORY)
        names = [name for name in stored.arrays if not name.startswith(_HISTORY)]
        require_weights(
            stored,
            "",
            {k: (tuple(v.shape), v.is_floating_point()) for k, v in flow.state_dict().items()},
            names,
        )
        for name, length in (("scale", dim), ("context_scale", n_context)):
            stored.array(name, (length,), positive=True)
        flow.load_state_dict({name: torch.from_numpy(stored.arrays[name]) for name in names})
        flow.history = {
            name: stored.array(_HISTORY + name, (found.size,), finite=False)
            for name, found in history.items()
        }
        return flow.eval()


#: Makes an untrained flow, `(dim, n_context) -> NormalizingFlow`: a class of this family, or
#: `functools.partial` of one with its options.
Builder: TypeAlias = Callable[..., NormalizingFlow]
