"""Constants of a score: the ladder of noise levels, and the moments of the cells by time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr

from cellflow.core._neighbors import nearest, squared_distances
from cellflow.core._random import stream
from cellflow.core._typing import FloatArray
from cellflow.core.population import Snapshots
from cellflow.errors import InputError

__all__ = ["Ladder", "Moments"]

#: Neighbouring levels differ by at most this factor: below some 18 dimensions the overlap alone
#: would allow far larger ones.
_LARGEST_RATIO = 2.0
#: Share of the probability that neighbouring levels should have in common.
_OVERLAP = 0.5
#: Cells of a snapshot whose nearest neighbours are looked up, and among which the two farthest
#: apart are sought.
_LOOKED_UP = 2000
_FARTHEST = 1000


@dataclass(frozen=True)
class Ladder:
    r"""Geometric noise levels :math:`\sigma_1 > \dots > \sigma_L`, in model coordinates.

    At the largest level the noise bridges any two cells, so that a score is defined everywhere; at
    the smallest it moves a cell about as far as its nearest neighbour is.

    Parameters
    ----------
    levels
        Standard deviations per coordinate, at least two, strictly decreasing.

    Raises
    ------
    InputError
        Fewer than two levels, or levels that are not positive, finite and strictly decreasing.

    References
    ----------
    Song and Ermon, Generative modeling by estimating gradients of the data distribution, NeurIPS
    2019; Song and Ermon, Improved techniques for training score-based generative models, NeurIPS
    2020 (techniques 1 and 2).

    Examples
    --------
    >>> ladder = cf.Ladder.between(0.1, 10.0, n_dims=2)
    >>> round(ladder.largest, 6), round(ladder.smallest, 6)
    (10.0, 0.1)
    """

    levels: tuple[float, ...]

    def __post_init__(self) -> None:
        levels = np.asarray(self.levels, dtype=np.float64)
        usable = (
            levels.ndim == 1
            and np.isfinite(levels).all()
            and (levels > 0).all()
            and (np.diff(levels) < 0).all()
        )
        if not usable or len(levels) < 2:
            msg = (
                f"levels={self.levels!r}; expected at least two positive, finite, strictly"
                " decreasing noise levels."
            )
            raise InputError(msg)
        object.__setattr__(self, "levels", tuple(levels.tolist()))

    @property
    def largest(self) -> float:
        """The first level."""
        return self.levels[0]

    @property
    def smallest(self) -> float:
        """The last level."""
        return self.levels[-1]

    @classmethod
    def fitted(cls, snapshots: Snapshots) -> Ladder:
        r"""Take the levels from the cells, each snapshot by itself.

        The largest level is the largest distance between two cells of a snapshot (of the 1,000
        farthest from its mean). The smallest is the median distance to the nearest distinct cell
        over :math:`\sqrt d`, because noise of standard deviation :math:`\sigma` moves a cell by
        about :math:`\sigma\sqrt d`.
        """
        n_dims = snapshots.n_dims
        clouds = [
            np.unique(np.asarray(p.x[p.weight > 0], dtype=np.float64), axis=0)
            for p in snapshots.populations
        ]
        clouds = [cloud for cloud in clouds if len(cloud) > 1]
        if not clouds:
            msg = (
                "No snapshot has two distinct cells, so there are no distances to take noise levels"
                " from; pass a Ladder."
            )
            raise InputError(msg)
        largest = max(_diameter(cloud) for cloud in clouds)
        between = np.concatenate([_to_nearest(cloud) for cloud in clouds])
        # The distance to the nearest of a few cells may be the largest distance.
        smallest = min(float(np.median(between)) / np.sqrt(n_dims), 0.5 * largest)
        return cls.between(smallest, largest, n_dims=n_dims)

    @classmethod
    def between(cls, smallest: float, largest: float, *, n_dims: int) -> Ladder:
        """Levels from `largest` to `smallest`; the noise of neighbours overlaps in `n_dims`."""
        if not 0 < smallest < largest < np.inf:
            msg = (
                f"Noise levels from {smallest!r} to {largest!r}; expected two finite numbers, 0 <"
                " smallest < largest."
            )
            raise InputError(msg)
        steps = max(
            1, int(np.ceil(np.log(largest / smallest) / np.log(overlapping_ratio(n_dims)) - 1e-9))
        )
        return cls(tuple(np.geomspace(largest, smallest, steps + 1).tolist()))


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean and variances of the cells at the times of the snapshots, in model coordinates.

    In between, they change linearly. For straight paths and Brownian bridges the mean does so
    exactly. Variances are taken along common axes, because the components of a representation
    differ in width by orders of magnitude. These are the principal axes of the covariance within
    snapshots.
    """

    times: FloatArray  # `(k,)`, increasing
    mean: FloatArray  # `(k, d)`
    axes: FloatArray  # orthonormal columns, `(d, d)`
    variance: FloatArray  # along the axes, `(k, d)`, positive

    @classmethod
    def fitted(cls, snapshots: Snapshots, *, noise: float) -> Moments:
        """Compute them from the cells under noise of a given variance.

        The variance is typically that of the paths between the cells, or of the ladder's end. With
        it, a direction in which no cell of a snapshot varies is not infinitely steep.
        """
        mean = np.array([p.weight @ p.x.astype(np.float64) for p in snapshots.populations])
        centred = [p.x - m for p, m in zip(snapshots.populations, mean, strict=True)]
        within = np.mean(
            [(c.T * p.weight) @ c for p, c in zip(snapshots.populations, centred, strict=True)],
            axis=0,
        )
        axes = np.linalg.eigh(within)[1]
        variance = np.array(
            [
                p.weight @ (c @ axes) ** 2
                for p, c in zip(snapshots.populations, centred, strict=True)
            ]
        )
        return cls(snapshots.times, mean, axes, variance + noise)

    @classmethod
    def blank(cls, n_times: int, n_dims: int) -> Moments:
        """Placeholders for `n_times` of them, to be replaced by those of a file."""
        return cls(
            np.zeros(n_times),
            np.zeros((n_times, n_dims)),
            np.eye(n_dims),
            np.ones((n_times, n_dims)),
        )


def overlapping_ratio(n_dims: int) -> float:
    r"""Ratio of neighbouring levels at which half of the noise of one may be noise of the other.

    The norm of :math:`d`-dimensional noise of level :math:`\sigma` is nearly normal,
    :math:`\mathcal N(\sqrt d\,\sigma, \sigma^2/2)`; the ratio :math:`\gamma` solves
    :math:`\Phi(\sqrt{2d}(\gamma - 1) + 3\gamma) - \Phi(\sqrt{2d}(\gamma - 1) - 3\gamma) = 1/2`. In
    few dimensions any ratio overlaps, and 2 is returned.
    """

    def excess(ratio: float) -> float:
        shift = np.sqrt(2.0 * n_dims) * (ratio - 1.0)
        return float(ndtr(shift + 3.0 * ratio) - ndtr(shift - 3.0 * ratio)) - _OVERLAP

    return (
        _LARGEST_RATIO
        if excess(_LARGEST_RATIO) >= 0
        else float(brentq(excess, 1.0, _LARGEST_RATIO))
    )


def _diameter(cloud: FloatArray) -> float:
    """Largest distance between two of the 1,000 cells that are farthest from the mean."""
    far = cloud[np.argsort(np.linalg.norm(cloud - cloud.mean(axis=0), axis=1))[-_FARTHEST:]]
    # Found by the products, measured by the difference, which loses no digits.
    i, j = np.unravel_index(squared_distances(far, far).argmax(), (len(far), len(far)))
    return float(np.linalg.norm(far[i] - far[j]))


def _to_nearest(cloud: FloatArray) -> FloatArray:
    """Distance of up to 2,000 cells to the nearest other one."""
    rows = stream(0).permutation(len(cloud))[:_LOOKED_UP]
    return nearest(cloud, cloud[rows], 2)[0][:, 1]
