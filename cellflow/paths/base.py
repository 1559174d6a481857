"""A path is two formulas, mean and standard deviation; velocity and score follow from them."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Literal, NoReturn, Protocol, cast, runtime_checkable

import torch
from torch import Tensor

from cellflow.core._display import Compact
from cellflow.core._numbers import as_number
from cellflow.core.population import Clock, Pairs
from cellflow.errors import InputError, InputTypeError
from cellflow.paths.chain import Chains

__all__ = [
    "Path",
    "PathSample",
    "Smoothed",
    "Wrapper",
    "as_path",
    "elapsed",
    "sample",
    "unprepared",
]


@runtime_checkable
class Path(Protocol):
    r"""A Gaussian path between two given cells: :math:`x_t \sim \mathcal N(\mu_t, \sigma_t^2 I)`.

    A path of your own inherits the rest, or has the two formulas alone (see `as_path`).

    Examples
    --------
    >>> class Straight(cf.paths.Path):
    ...     def mean(self, t, pairs):
    ...         share = (t - pairs.t0) / (pairs.t1 - pairs.t0)
    ...         return pairs.x0 + share[:, None] * (pairs.x1 - pairs.x0)
    ...     def std(self, t, pairs):
    ...         return 0.1 + 0 * t
    >>> recipe = cf.recipes.Recipe("mine", cf.couplings.Auto(), Straight())
    """

    def mean(self, t: Tensor, pairs: Pairs) -> Tensor:
        """Centre of the path at times `t (n,)`, shape `(n, d)`, smooth in `t`."""

    def std(self, t: Tensor, pairs: Pairs) -> Tensor:
        """Width of the path at times `t (n,)`, shape `(n,)`."""

    @property
    def sigma(self) -> float | Literal["auto"]:
        """Diffusion per square root of time, in model coordinates; 0 for a deterministic path."""
        return 0.0

    @property
    def generates(self) -> bool:
        """Whether the path goes from noise to a cell in an artificial time (generation)."""
        return False

    @property
    def tabled(self) -> bool:
        """Whether the path has constants for each pair, so that pairs come from `Chains.tables`."""
        return False

    def resolved(self, clock: Clock) -> Path:  # noqa: ARG002 (for those with a `sigma`)
        """Return the path with the number that `sigma="auto"` stands for in an experiment."""
        return self

    def prepared(self, chains: Chains) -> Path:  # noqa: ARG002 (for those that need it)
        """Return the path with everything that it takes from the snapshots and their plans."""
        return self

    def to(self, device: torch.device | str, dtype: torch.dtype) -> Path:  # noqa: ARG002 (as above)
        """Return the path with its constants on another device and in another precision."""
        return self


@dataclass(frozen=True, eq=False)
class Wrapper(Path):
    """A correction of another path, with constants for each pair of a table.

    Parameters
    ----------
    path
        What is corrected.
    """

    path: Path

    @property
    def inner(self) -> Path:
        """The path that is corrected, with all methods of one."""
        return as_path(self.path)

    @property
    def sigma(self) -> float | Literal["auto"]:
        """That of the inner path."""
        return self.inner.sigma

    @property
    def generates(self) -> bool:
        """That of the inner path."""
        return self.inner.generates

    @property
    def tabled(self) -> bool:
        return True

    def mean(self, t: Tensor, pairs: Pairs) -> Tensor:  # noqa: ARG002 (the protocol of every path)
        unprepared(self)

    def std(self, t: Tensor, pairs: Pairs) -> Tensor:
        return self.path.std(t, pairs)

    def resolved(self, clock: Clock) -> Path:
        """Return the same correction of the resolved inner path."""
        return replace(self, path=self.inner.resolved(clock))

    def to(self, device: torch.device | str, dtype: torch.dtype) -> Path:
        given = {f.name: getattr(self, f.name) for f in fields(self)} | {"path": self.inner}
        moved: Any = {
            k: v.to(device, dtype) for k, v in given.items() if isinstance(v, Tensor | Path)
        }
        return replace(self, **moved)


@dataclass(frozen=True)
class Smoothed(Path):
    """A path of constant width.

    Parameters
    ----------
    smoothing
        Constant width of the regression path, in model coordinates (about one standard deviation of
        the data = 1); not a diffusion.
    """

    smoothing: float = 0.1

    def __post_init__(self) -> None:
        as_number("smoothing", self.smoothing, least=0.0)

    def std(self, t: Tensor, pairs: Pairs) -> Tensor:  # noqa: ARG002 (the protocol of every path)
        return torch.full_like(t, self.smoothing)


@dataclass(frozen=True)
class Formulas(Path):
    """A path whose object has the two formulas only.

    Parameters
    ----------
    path
        With `mean` and `std`.
    """

    path: Path

    def mean(self, t: Tensor, pairs: Pairs) -> Tensor:
        return self.path.mean(t, pairs)

    def std(self, t: Tensor, pairs: Pairs) -> Tensor:
        return self.path.std(t, pairs)


def as_path(path: object) -> Path:
    """Return a path with all methods of `Path`; `mean` and `std` are enough in an object.

    Raises
    ------
    InputTypeError
        An object without them.
    """
    if isinstance(path, Path):
        return path
    if all(callable(getattr(path, name, None)) for name in ("mean", "std")):
        return Formulas(cast("Path", path))
    msg = (
        f"path={path!r} is of type {type(path).__name__}; expected a path of cellflow.paths, or an"
        " object with mean(t, pairs) and std(t, pairs)."
    )
    raise InputTypeError(msg)


def unprepared(path: Path) -> NoReturn:
    """Refuse to evaluate a path that depends on the snapshots before it is prepared."""
    msg = (
        f"{type(path).__name__} depends on the snapshots and their plans; expected the path that"
        " its `prepared` returns, which cf.fit calls."
    )
    raise InputError(msg)


@dataclass(frozen=True, eq=False, repr=False)
class PathSample(Compact):
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
        Weight of each row in the loss, shape `(n,)`, or None for equal weights: the mass of its
        pair, where pairs carry mass that grows.
    growth
        Rate at which the logarithm of the pair's mass grows per unit of time, shape `(n,)`, or
        None.
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
    growth: Tensor | None = None
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
    """Elapsed fraction of each pair's interval at `t`, shape `(n,)`, in the states' precision."""
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

    Examples
    --------
    >>> import torch
    >>> from cellflow.core.population import Pairs
    >>> ends = Pairs(torch.zeros(1, 2), torch.ones(1, 2), torch.zeros(1), torch.full((1,), 2.0))
    >>> point = cf.paths.sample(cf.paths.Linear(), torch.ones(1), ends, torch.zeros(1, 2))
    >>> point.x, point.velocity
    (tensor([[0.5000, 0.5000]]), tensor([[0.5000, 0.5000]]))
    """
    (mean, std), (mean_rate, std_rate) = torch.autograd.functional.jvp(
        lambda s: (path.mean(s, pairs), path.std(s, pairs)), (t,), (torch.ones_like(t),)
    )
    # Times may be float64 beside float32 states, whose precision all results have.
    mean = mean.to(z.dtype)
    std = std.to(z.dtype)
    std_rate = std_rate.to(z.dtype)
    mean_rate = mean_rate.to(z.dtype)
    x = mean + std[:, None] * z
    velocity = mean_rate + std_rate[:, None] * z
    score = -z / std[:, None] if bool((std > 0).all()) else None
    return PathSample(t, x, velocity, score, std, z, context=pairs.context)
