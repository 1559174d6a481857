"""A path is two formulas; its velocity is their time derivative, its score follows from the same noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from cellflow.core.population import Pairs, Snapshots
from cellflow.paths.chain import Chain

__all__ = [
    "Centred",
    "Path",
    "PathSample",
    "Surveyed",
    "elapsed",
    "innermost",
    "moved",
    "prepared",
    "sample",
]


@runtime_checkable
class Path(Protocol):
    r"""A Gaussian path between two given cells: :math:`x_t \sim \mathcal N(\mu_t, \sigma_t^2 I)`."""

    def mean(self, t: Tensor, pairs: Pairs) -> Tensor:
        """Centre of the path at times `t (n,)`, shape `(n, d)`; row by row, so that it can be differentiated by `t`."""

    def std(self, t: Tensor, pairs: Pairs) -> Tensor:
        """Width of the path at times `t (n,)`, shape `(n,)`."""


@runtime_checkable
class Surveyed(Protocol):
    """A path that looks at the snapshots and their plans first: what it finds, it keeps as constants of every pair."""

    def prepared(self, chains: Sequence[Chain]) -> Path:
        """Return the path of the pairs of these chains; it finds their constants by `Pairs.row`."""


@runtime_checkable
class Centred(Protocol):
    """A path whose formulas need the means of the snapshots."""

    def centred(self, snapshots: Snapshots) -> Path:
        """Return the path between these snapshots."""


def prepared(path: Path | Surveyed, chains: Sequence[Chain]) -> Path:
    """Prepare a path that has to see the snapshots; any other is ready."""
    return path.prepared(chains) if isinstance(path, Surveyed) else path


def moved(path: Path, device: torch.device | str, dtype: torch.dtype) -> Path:
    """Return the path with its constants on another device and in another precision."""
    return path.to(device, dtype) if hasattr(path, "to") else path


def innermost(path: Path | Surveyed) -> Path | Surveyed:
    """Return the path inside all wrappers."""
    while hasattr(path, "path"):
        path = path.path
    return path


@dataclass(frozen=True, eq=False)
class PathSample:
    """Points on paths and what is regressed on there.

    Parameters
    ----------
    t
        Times, shape `(n,)`.
    x
        States, shape `(n, d)`.
    velocity
        Time derivative of the path that the state lies on, shape `(n, d)`.
    score
        Gradient of the log-density of the path's Gaussian, shape `(n, d)`; None where a path has no
        width.
    std
        Width of the path, shape `(n,)`, and `z`, the standard normal noise that the state was drawn
        with, shape `(n, d)`.
    weight
        Weight of each row in the loss, shape `(n,)`, or None for equal weights.
    context
        Features of each row's condition, shape `(n, c)`, or None.
    level, probe
        Fresh randomness for objectives that need their own: uniform on [0, 1), shape `(n,)`, and
        standard normal, shape `(n, d)`; None unless requested.
    observed
        As many cells of the snapshots themselves, at their own times, for objectives that are
        defined there; None unless requested.
    """

    t: Tensor
    x: Tensor
    velocity: Tensor
    score: Tensor | None = None
    std: Tensor | None = None
    z: Tensor | None = None
    weight: Tensor | None = None
    context: Tensor | None = None
    level: Tensor | None = None
    probe: Tensor | None = None
    observed: PathSample | None = None

    def rows(self, start: int, stop: int) -> PathSample:
        """Rows `start ... stop - 1`."""
        given = {
            f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) is not None
        }
        observed = given.pop("observed", None)
        rows = {name: value[start:stop] for name, value in given.items()}
        return PathSample(**rows, observed=None if observed is None else observed.rows(start, stop))


def elapsed(t: Tensor, pairs: Pairs) -> Tensor:
    """Fraction of each pair's own interval that has passed at `t`, shape `(n,)`, in the states' precision."""
    return ((t - pairs.t0) / (pairs.t1 - pairs.t0)).to(pairs.x0.dtype)


def sample(path: Path, t: Tensor, pairs: Pairs, z: Tensor) -> PathSample:
    r"""Evaluate a path with its regression targets.

    .. math::  x_t = \mu_t + \sigma_t z, \qquad \dot x_t = \dot\mu_t + \dot\sigma_t z, \qquad
               \nabla \log p_t(x_t) = -z / \sigma_t.

    The derivatives are exact. A call costs about a millisecond whatever its size, so it is made on
    blocks worth many batches. (`torch.autograd.functional.jvp` differentiates twice in reverse; on
    these formulas it is as fast as `torch.func.jvp`, whose first call in a process loads
    decompositions for two seconds.)

    Parameters
    ----------
    path
        The two formulas.
    t
        Times strictly inside each pair's interval, shape `(n,)`.
    pairs
        Ends of the paths, `n` rows.
    z
        Standard Gaussian noise, shape `(n, d)`.
    """
    (mean, std), (mean_rate, std_rate) = torch.autograd.functional.jvp(
        lambda s: (path.mean(s, pairs), path.std(s, pairs)), (t,), (torch.ones_like(t),)
    )
    # Times may be float64 beside float32 states; what depends on them is brought back to the
    # states' precision.
    std = std.to(z.dtype)
    std_rate = std_rate.to(z.dtype)
    mean_rate = mean_rate.to(z.dtype)
    x = mean + std[:, None] * z
    velocity = mean_rate + std_rate[:, None] * z
    score = -z / std[:, None] if bool((std > 0).all()) else None
    return PathSample(t, x, velocity, score, std, z, context=pairs.context)
