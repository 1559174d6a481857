"""Paths with a random progress for each cell: cells of one snapshot are not synchronous."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from cellflow.core._numbers import as_number
from cellflow.core.population import Pairs
from cellflow.paths.base import Path, Wrapper
from cellflow.paths.chain import Chains

__all__ = ["TimeWarped"]


@dataclass(frozen=True)
class TimeWarped(Wrapper):
    r"""A path on which each cell is ahead or late by a random amount.

    The position on the path at elapsed fraction :math:`u` is that of :math:`z = u + 2 \xi u (1 -
    u)`, where :math:`\xi` is drawn anew for every point, uniformly between `-width` and `width`.
    The ends stay where they are.

    Parameters
    ----------
    path
        The path that is warped.
    width
        Largest :math:`|\xi|`, below 0.5, so that time never runs backward.

    Examples
    --------
    >>> path = cf.paths.TimeWarped(cf.paths.LimitedHermite())
    >>> path.path
    LimitedHermite(smoothing=0.1, limit=4.0, n_neighbors=100)
    """

    width: float = 0.4

    def __post_init__(self) -> None:
        as_number("width", self.width, above=0.0, below=0.5, remedy=", such as 0.4")

    def prepared(self, chains: Chains) -> Path:
        """Prepare the path inside."""
        return _Warped(self.inner.prepared(chains), self.width)


@dataclass(frozen=True, eq=False)
class _Warped(Wrapper):
    """A prepared path, warped by `Pairs.warp`; None there means no warp."""

    width: float

    def _warped(self, t: Tensor, pairs: Pairs) -> Tensor:
        """The warped time."""
        if pairs.warp is None:
            return t
        u = (t - pairs.t0) / (pairs.t1 - pairs.t0)
        return t + 2 * self.width * pairs.warp * u * (1 - u) * (pairs.t1 - pairs.t0)

    def mean(self, t: Tensor, pairs: Pairs) -> Tensor:
        return self.path.mean(self._warped(t, pairs), pairs)

    def std(self, t: Tensor, pairs: Pairs) -> Tensor:
        return self.path.std(self._warped(t, pairs), pairs)
