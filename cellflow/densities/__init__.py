"""Log-densities of one population: normalizing flows, and references without a network."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

import numpy as np
import torch

from cellflow.core._arguments import check_arguments
from cellflow.core._drawing import Drawing
from cellflow.core._numbers import as_weights, shown
from cellflow.core._random import as_seed, stream
from cellflow.core._settings import guarded
from cellflow.core._stored import Stored
from cellflow.core._threads import torch_threads
from cellflow.core._typing import FloatArray, RandomState
from cellflow.densities._flow import Builder, NormalizingFlow
from cellflow.densities._likelihood import MaximumLikelihood
from cellflow.densities.base import Density, State, checked_rows, standardisation
from cellflow.densities.conditioned import Conditioned
from cellflow.densities.glow import Glow
from cellflow.densities.maf import MAF
from cellflow.densities.nsf import NSF
from cellflow.densities.realnvp import RealNVP
from cellflow.densities.reference import (
    GaussianMixture,
    KernelDensity,
    gaussian_mixture,
    kernel_density,
)
from cellflow.errors import InputError, ModelFileError, closest

__all__ = [
    "MAF",
    "NSF",
    "Builder",
    "Conditioned",
    "Density",
    "GaussianMixture",
    "Glow",
    "KernelDensity",
    "MaximumLikelihood",
    "Method",
    "NormalizingFlow",
    "RealNVP",
    "State",
    "fit_density",
    "from_state",
    "require_learnable",
]


def __dir__() -> list[str]:
    """Public names only."""
    return __all__


logger = logging.getLogger("cellflow")

Method = Literal["nsf", "maf", "realnvp", "glow", "gmm", "kde"]
_FLOWS: dict[str, Builder] = {"nsf": NSF, "maf": MAF, "realnvp": RealNVP, "glow": Glow}
_REFERENCES: dict[str, Callable[[FloatArray, FloatArray, int], Density]] = {
    "gmm": gaussian_mixture,
    "kde": kernel_density,
}
#: Below this many cells there is nothing to hold out and nothing to learn.
_LEAST_CELLS = 10


@guarded
def fit_density(
    x: FloatArray,
    *,
    method: Method | Builder = "nsf",
    weight: FloatArray | None = None,
    context: FloatArray | None = None,
    random_state: RandomState = 0,
    training: MaximumLikelihood | None = None,
    threads: int = 1,
) -> Density:
    """Learn the density of a population, or a conditional one.

    Parameters
    ----------
    x
        Cells, shape `(n, d)`, in any coordinates; the density answers in the same.
    method
        A flow, `"nsf"`, `"maf"`, `"realnvp"` or `"glow"`; a reference, `"gmm"` (Gaussian mixture)
        or `"kde"` (Gaussian kernels); or a class of flows with options, such as `partial(NSF,
        bins=16)`.
    weight
        Weight of each cell, shape `(n,)`; uniform by default. Cells of weight zero are left out.
    context
        Features of each cell that the density is conditional on (time, indicators of a condition),
        shape `(n, c)`; flows only.
    random_state
        Seed of initial weights, held-out cells and batches.
    training
        How a flow is trained; `MaximumLikelihood()` by default.
    threads
        Torch threads.

    Returns
    -------
    A `NormalizingFlow` in float64 (trained in float32), or a reference.

    Raises
    ------
    InputError
        Fewer than 10 cells, values that are not finite, a column that does not vary, or options
        that the method has not.
    TrainingError
        A likelihood that is not finite.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(200, 2))
    >>> density = cf.densities.fit_density(x, method="gmm")
    >>> density.sample(5, np.random.default_rng(1)).shape
    (5, 2)
    """
    check_arguments(fit_density, locals())
    seed = as_seed(random_state)
    x, share, context = _checked(x, weight, context)
    if isinstance(method, str) and method in _REFERENCES:
        for name, value in (("context", context), ("training", training)):
            if value is not None:
                msg = (
                    f"{name}= has no meaning for method={method!r}; leave it out, or use one of"
                    f" {list(_FLOWS)}."
                )
                raise InputError(msg)
        return _REFERENCES[method](x, share, seed)
    if not callable(method) and not (isinstance(method, str) and method in _FLOWS):
        hint = closest(method, get_args(Method))
        msg = (
            f"method={shown(method)} is not one of {list(get_args(Method))}, nor a class of"
            f" flows{hint}"
        )
        raise InputError(msg)
    build = _FLOWS[method] if isinstance(method, str) else method
    flow = _untrained(build, x, share, context, seed)
    with torch_threads(threads):
        (MaximumLikelihood() if training is None else training)(flow, x, share, context, seed)
    best = flow.history["val_nll"].argmin()
    step = flow.history["step"][best]
    nll = flow.history["val_nll"][best]
    logger.info(
        "density %s: held-out negative log-likelihood %.4g at step %d",
        type(flow).__name__,
        nll,
        step,
    )
    return flow.double().eval()


def _untrained(
    build: Builder, x: FloatArray, share: FloatArray, context: FloatArray | None, seed: int
) -> NormalizingFlow:
    """A new flow with the standardisation of the cells."""
    shift, scale = standardisation(x, share)
    with Drawing(int(stream(seed, 0).integers(2**63))):
        flow = build(x.shape[1], 0 if context is None else context.shape[1])
    with torch.no_grad():
        flow.shift.copy_(torch.from_numpy(shift))
        flow.scale.copy_(torch.from_numpy(scale))
        if context is not None:
            spread = context.std(axis=0)
            flow.context_shift.copy_(torch.from_numpy(context.mean(axis=0)))
            flow.context_scale.copy_(torch.from_numpy(np.where(spread > 0, spread, 1.0)))
    return flow


@guarded
def require_learnable(x: FloatArray, *, weight: FloatArray | None = None) -> None:
    """Check that a density can be learned from cells `(n, d)`.

    Raises
    ------
    InputError
        As `fit_density` would.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(200, 2))
    >>> cf.densities.require_learnable(x)
    """
    standardisation(*_checked(x, weight, None)[:2])


def _checked(
    x: FloatArray, weight: FloatArray | None, context: FloatArray | None
) -> tuple[FloatArray, FloatArray, FloatArray | None]:
    """Cells with a positive weight, their weights (which sum to one), and their context."""
    x = checked_rows("x", x)
    if len(x) == 0:
        msg = f"x has 0 cells with a positive weight; a density needs at least {_LEAST_CELLS}."
        raise InputError(msg)
    share = as_weights("weight", weight, len(x))
    if context is not None:
        context = checked_rows("context", context)
        if len(context) != len(x):
            msg = f"context has {len(context)} rows; expected {len(x)}, one per row of x."
            raise InputError(msg)
    alive = share > 0
    if alive.sum() < _LEAST_CELLS:
        msg = (
            f"x has {alive.sum()} cells with a positive weight; a density needs at least"
            f" {_LEAST_CELLS}. Pool snapshots."
        )
        raise InputError(msg)
    return x[alive], share[alive] / share[alive].sum(), None if context is None else context[alive]


@guarded
def from_state(config: Mapping[str, Any], arrays: Mapping[str, FloatArray]) -> Density:
    """Rebuild a density from its `state`.

    Raises
    ------
    ModelFileError
        A type that this version does not know, or arrays that do not fit.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(200, 2))
    >>> density = cf.densities.fit_density(x, method="gmm")
    >>> again = cf.densities.from_state(*density.state())
    >>> bool(np.allclose(again.log_prob(x), density.log_prob(x)))
    True
    """
    kinds = {
        kind.__name__: kind for kind in (NSF, MAF, RealNVP, Glow, GaussianMixture, KernelDensity)
    }
    name = Stored("density", config, {}).config.get("type")
    if name == Conditioned.__name__:
        return _conditioned(config, arrays)
    if name not in kinds:
        msg = (
            f"The density is of type {name!r}, which is not one of {sorted(kinds)}. Upgrade"
            " cellflow-trajectory."
        )
        raise ModelFileError(msg)
    density: Density = kinds[name].from_state(config, arrays)
    return density


def _conditioned(config: Mapping[str, Any], arrays: Mapping[str, FloatArray]) -> Conditioned:
    if "density" not in config or "context" not in arrays:
        msg = (
            "The conditioned density lacks its density or its context; fit it again or restore the"
            " file."
        )
        raise ModelFileError(msg)
    inner = {name: array for name, array in arrays.items() if name != "context"}
    stored = Stored("density", config, {"context": arrays["context"]})
    density = from_state(stored.mapping("density", config["density"]), inner)
    n_context = getattr(density, "n_context", None)
    return Conditioned(density, stored.array("context", (n_context,)))
