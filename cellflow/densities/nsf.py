"""Neural spline flow, autoregressive (Durkan et al., 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import nn
from zuko.flows.autoregressive import MaskedAutoregressiveTransform
from zuko.transforms import MonotonicRQSTransform

from cellflow.core._numbers import as_count
from cellflow.densities._flow import SPLINE_BOUND, NormalizingFlow

__all__ = ["NSF"]


class NSF(NormalizingFlow):
    """Monotonic rational-quadratic splines, each a function of the coordinates before.

    The splines are defined on [-5, 5] in standard deviations and are the identity outside, so far
    tails
    are Gaussian. One pass gives the density; sampling takes `dim` passes per layer. Works on
    one-dimensional data.

    Parameters
    ----------
    dim, n_context
        Dimension and number of context features.
    transforms
        Number of layers; the order of the coordinates is reversed from layer to layer.
    hidden
        Widths of each layer's masked network.
    bins
        Bins of each spline.

    References
    ----------
    Durkan, Bekasov, Murray, Papamakarios. Neural spline flows. NeurIPS 2019.
    https://arxiv.org/abs/1906.04032

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(200, 2))
    >>> training = cf.densities.MaximumLikelihood(steps=20)
    >>> density = cf.densities.fit_density(x, method="nsf", training=training)
    >>> density.log_prob(x).shape
    (200,)
    """

    def __init__(
        self,
        dim: int,
        n_context: int = 0,
        *,
        transforms: int = 3,
        hidden: Sequence[int] = (64, 64),
        bins: int = 8,
    ) -> None:
        transforms = as_count("transforms", transforms, most=1000)
        hidden = [
            as_count("hidden", width, most=10_000) for width in (hidden if len(hidden) else (0,))
        ]
        bins = as_count("bins", bins, least=2, most=1000)
        orders = torch.arange(dim), torch.arange(dim).flip(0)
        layers = [
            MaskedAutoregressiveTransform(
                dim,
                n_context,
                order=orders[k % 2],
                univariate=partial(MonotonicRQSTransform, bound=SPLINE_BOUND),
                shapes=[(bins,), (bins,), (bins - 1,)],
                hidden_features=tuple(hidden),
                activation=nn.SiLU,
            )
            for k in range(transforms)
        ]
        super().__init__(
            dim, n_context, layers, {"transforms": transforms, "hidden": hidden, "bins": bins}
        )
