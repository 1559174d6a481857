"""Glow for vectors: normalisation, linear mixing, coupling (Kingma and Dhariwal, 2018)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from zuko.flows.coupling import GeneralCouplingTransform
from zuko.lazy import LazyTransform, UnconditionalTransform
from zuko.transforms import (
    DependentTransform,
    LULinearTransform,
    MonotonicAffineTransform,
    PermutationTransform,
)

from cellflow.core._numbers import as_count
from cellflow.densities._flow import LEAST_SCALE, NormalizingFlow, nonlinear

__all__ = ["ActNorm", "Glow"]


class ActNorm(LazyTransform):
    """A learned shift and scale per coordinate; the first points get mean 0 and variance 1."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(dim))
        self.log_scale = nn.Parameter(torch.zeros(dim))

    @torch.no_grad()
    def initialise(self, z: Tensor) -> None:
        """Take shift and scale from points `(n, d)`."""
        deviation = z.std(dim=0, correction=0).clamp_min(1e-3)
        self.log_scale.copy_(-deviation.log())
        affine = MonotonicAffineTransform(torch.zeros_like(self.shift), self.log_scale)
        self.shift.copy_(-affine(z).mean(dim=0))

    def forward(self, c: Tensor | None = None) -> DependentTransform:  # noqa: ARG002
        """Return the transform; it does not depend on the context."""
        return DependentTransform(MonotonicAffineTransform(self.shift, self.log_scale), 1)


class Glow(NormalizingFlow):
    """RealNVP with a learned invertible matrix before each coupling.

    A step is activation normalisation with data-dependent start, a matrix `L U P` (learned
    triangles, fixed random permutation), and an affine coupling with log-scales softly clipped to
    +-log(20).

    Parameters
    ----------
    dim, n_context
        Dimension, at least two, and number of context features.
    transforms
        Number of steps.
    hidden
        Widths of each coupling's network.

    References
    ----------
    Kingma, Dhariwal. Glow: generative flow with invertible 1x1 convolutions. NeurIPS 2018.
    https://arxiv.org/abs/1807.03039

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(200, 2))
    >>> training = cf.densities.MaximumLikelihood(steps=20)
    >>> density = cf.densities.fit_density(x, method="glow", training=training)
    >>> density.log_prob(x).shape
    (200,)
    """

    def __init__(
        self,
        dim: int,
        n_context: int = 0,
        *,
        transforms: int = 8,
        hidden: Sequence[int] = (128, 128),
    ) -> None:
        nonlinear(dim, "Glow", "a coupling needs two coordinates")
        transforms = as_count("transforms", transforms, most=1000)
        hidden = [
            as_count("hidden", width, most=10_000) for width in (hidden if len(hidden) else (0,))
        ]
        layers: list[LazyTransform] = []
        for k in range(transforms):
            order = torch.randperm(dim, generator=torch.Generator().manual_seed(k))
            layers += [
                ActNorm(dim),
                UnconditionalTransform(PermutationTransform, order=order, buffer=True),
                UnconditionalTransform(LULinearTransform, LU=torch.eye(dim)),
                GeneralCouplingTransform(
                    dim,
                    n_context,
                    univariate=partial(MonotonicAffineTransform, slope=LEAST_SCALE),
                    hidden_features=tuple(hidden),
                    activation=nn.SiLU,
                ),
            ]
        super().__init__(dim, n_context, layers, {"transforms": transforms, "hidden": hidden})

    @torch.no_grad()
    def initialise(self, z: Tensor, context: Tensor | None) -> None:
        """Start every normalisation from the points that it gets."""
        super().initialise(z, context)
        for layer in self.transform.transforms:
            if isinstance(layer, ActNorm):
                layer.initialise(z)
            z = layer(context)(z)
