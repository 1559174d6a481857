"""Masked autoregressive flow (Papamakarios et al., 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import nn
from zuko.flows.autoregressive import MaskedAutoregressiveTransform
from zuko.transforms import MonotonicAffineTransform

from cellflow.core._numbers import as_count
from cellflow.densities._flow import LEAST_SCALE, NormalizingFlow, nonlinear

__all__ = ["MAF"]


class MAF(NormalizingFlow):
    """Every coordinate is scaled and shifted as a function of the coordinates before it.

    The order of the coordinates is reversed from layer to layer.

    Log-scales are softly clipped to +-log(20). One pass gives the density; sampling takes `dim`
    passes per layer.

    Parameters
    ----------
    dim, n_context
        Dimension, at least two, and number of context features.
    transforms
        Number of layers.
    hidden
        Widths of each layer's masked network.

    References
    ----------
    Papamakarios, Pavlakou, Murray. Masked autoregressive flow for density estimation. NeurIPS 2017.
    https://arxiv.org/abs/1705.07057

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(200, 2))
    >>> training = cf.densities.MaximumLikelihood(steps=20)
    >>> density = cf.densities.fit_density(x, method="maf", training=training)
    >>> density.log_prob(x).shape
    (200,)
    """

    def __init__(
        self,
        dim: int,
        n_context: int = 0,
        *,
        transforms: int = 10,
        hidden: Sequence[int] = (128, 128),
    ) -> None:
        nonlinear(dim, "MAF", "every masked affine flow is Gaussian there")
        transforms = as_count("transforms", transforms, most=1000)
        hidden = [
            as_count("hidden", width, most=10_000) for width in (hidden if len(hidden) else (0,))
        ]
        orders = torch.arange(dim), torch.arange(dim).flip(0)
        layers = [
            MaskedAutoregressiveTransform(
                dim,
                n_context,
                order=orders[k % 2],
                univariate=partial(MonotonicAffineTransform, slope=LEAST_SCALE),
                hidden_features=tuple(hidden),
                activation=nn.SiLU,
            )
            for k in range(transforms)
        ]
        super().__init__(dim, n_context, layers, {"transforms": transforms, "hidden": hidden})
