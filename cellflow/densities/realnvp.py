"""RealNVP: affine coupling layers (Dinh et al., 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import nn
from zuko.flows.coupling import GeneralCouplingTransform
from zuko.transforms import MonotonicAffineTransform

from cellflow.core._numbers import as_count
from cellflow.densities._flow import LEAST_SCALE, NormalizingFlow, nonlinear

__all__ = ["RealNVP"]


class RealNVP(NormalizingFlow):
    """Couplings: half of the coordinates scale and shift the other half.

    The halves change from layer to layer.

    Log-scales are softly clipped to +-log(20). Both directions take one pass, so that sampling is
    the fastest of all families.

    Parameters
    ----------
    dim, n_context
        Dimension, at least two, and number of context features.
    transforms
        Number of couplings; their halves are random, each followed by its complement.
    hidden
        Widths of each coupling's network.

    References
    ----------
    Dinh, Sohl-Dickstein, Bengio. Density estimation using Real NVP. ICLR 2017.
    https://arxiv.org/abs/1605.08803

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(200, 2))
    >>> training = cf.densities.MaximumLikelihood(steps=20)
    >>> density = cf.densities.fit_density(x, method="realnvp", training=training)
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
        nonlinear(dim, "RealNVP", "a coupling needs two coordinates")
        transforms = as_count("transforms", transforms, most=1000)
        hidden = [
            as_count("hidden", width, most=10_000) for width in (hidden if len(hidden) else (0,))
        ]
        layers = []
        mask = torch.zeros(0)
        for k in range(transforms):
            half = torch.randperm(dim, generator=torch.Generator().manual_seed(k)) % 2 == 1
            mask = ~mask if k % 2 else half
            layers.append(
                GeneralCouplingTransform(
                    dim,
                    n_context,
                    mask=mask,
                    univariate=partial(MonotonicAffineTransform, slope=LEAST_SCALE),
                    hidden_features=tuple(hidden),
                    activation=nn.SiLU,
                )
            )
        super().__init__(dim, n_context, layers, {"transforms": transforms, "hidden": hidden})
