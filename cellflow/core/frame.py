"""Change of coordinates between data and model, with the chain rule for velocities and scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from cellflow.core._display import Compact
from cellflow.core._typing import FloatArray
from cellflow.core.population import Snapshots
from cellflow.errors import InputError, closest

__all__ = ["Frame", "Scale"]

Scale = Literal["joint", "each", "none"]


@dataclass(frozen=True, eq=False, repr=False)
class Frame(Compact):
    r"""The affine map :math:`z = (x - m) / s` from data to model coordinates.

    Velocities transform as :math:`\dot z = \dot x / s`, scores as :math:`\nabla_z \log p = s
    \nabla_x \log p`, log-densities as :math:`\log p_z = \log p_x + \sum \log s`.

    Parameters
    ----------
    shift, scale
        :math:`m` and :math:`s`, shape `(d,)`; the scale is positive.
    """

    shift: FloatArray
    scale: FloatArray

    @classmethod
    def fitted(cls, snapshots: Snapshots, scale: Scale = "joint") -> Frame:
        """Compute shift and scale from the training cells, with equal weight for each snapshot.

        Parameters
        ----------
        snapshots
            The training cells in data coordinates.
        scale
            `"joint"`: one number for all dimensions, the root mean variance; distances keep their
            proportions. One where nothing varies. `"each"`: one per dimension (whitening); a
            dimension that does not vary gets the scale of `"joint"`. `"none"`: data coordinates as
            they are.
        """
        if scale not in get_args(Scale):
            msg = (
                f"scale={scale!r} is not one of"
                f" {list(get_args(Scale))}{closest(scale, get_args(Scale))}"
            )
            raise InputError(msg)
        d = snapshots.n_dims
        if scale == "none":
            return cls(np.zeros(d), np.ones(d))
        means = [p.weight @ p.x.astype(np.float64) for p in snapshots.populations]
        shift = np.mean(means, axis=0)
        variance = np.mean(
            [p.weight @ (p.x.astype(np.float64) - shift) ** 2 for p in snapshots.populations],
            axis=0,
        )
        # Variation at the level of rounding errors is no scale. The threshold is relative, so that
        # data in other units give the same model coordinates.
        varies = variance > (1e-12 * shift) ** 2
        joint = np.where(varies, variance, 0.0).mean() if varies.any() else 1.0
        return cls(shift, np.sqrt(np.where(varies & (scale == "each"), variance, joint)))

    def to_model(self, x: FloatArray) -> FloatArray:
        """Move positions `(..., d)` into model coordinates."""
        return (np.asarray(x, dtype=np.float64) - self.shift) / self.scale

    def snapshots_to_model(self, snapshots: Snapshots) -> Snapshots:
        """The same snapshots in model coordinates."""
        return snapshots.moved([self.to_model(p.x) for p in snapshots.populations])

    def to_data(self, z: FloatArray) -> FloatArray:
        """Move positions `(..., d)` back into data coordinates."""
        return np.asarray(z, dtype=np.float64) * self.scale + self.shift

    def velocity_to_data(self, velocity: FloatArray) -> FloatArray:
        """Chain rule for velocities `(..., d)`, model to data."""
        return np.asarray(velocity, dtype=np.float64) * self.scale

    def score_to_data(self, score: FloatArray) -> FloatArray:
        """Chain rule for scores `(..., d)`, model to data."""
        return np.asarray(score, dtype=np.float64) / self.scale

    def log_density_to_data(self, log_density: FloatArray) -> FloatArray:
        """Chain rule for log-densities `(...)`, model to data."""
        shifted: FloatArray = np.asarray(log_density, dtype=np.float64) - np.log(self.scale).sum()
        return shifted
