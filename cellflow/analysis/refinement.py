"""Pull a population back to where cells live, by the score of that time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from cellflow._random import stream
from cellflow._threads import torch_threads
from cellflow._typing import FloatArray
from cellflow.population import Population, Snapshots
from cellflow.simulation import denoise

if TYPE_CHECKING:
    from cellflow.flow import Flow

__all__ = ["noise_carried", "refine"]

#: Measured cells per snapshot that stand for what noise does to a score.
_REFERENCE = 1000


def noise_carried(flow: Flow, x: FloatArray, t: float, snapshots: Snapshots) -> float:
    r"""Estimate how far a population lies off the data: the standard deviation of the noise that it seems to carry.

    At the level of the noise that cells carry, the mean of :math:`\|\sigma\, s(x, \sigma)\|^2` is that of measured cells
    under noise of this level; at smaller levels it is larger, at larger ones smaller. The crossing is found on the ladder,
    between levels by interpolation of the logarithms.

    Parameters
    ----------
    flow
        With a score.
    x
        The population in data coordinates, shape `(n, d)`.
    t
        Its time.
    snapshots
        Measured cells; the snapshots around `t` are looked at, each at its own time.

    Returns
    -------
    Standard deviation per coordinate, in model coordinates; 0 for a population that lies on the data, to the smallest level.
    """
    levels = flow.score_network.ladder.levels
    cells = flow.frame.to_model(x)
    near = _around(snapshots, t)
    with torch_threads(flow.threads):
        excess = np.array([_log_norm(flow, cells, t, s) - np.mean([_noisy(flow, p, s) for p in near]) for s in levels])
    # From the smallest level up, as long as the cells look too noisy; far above, small errors of the score decide the sign.
    noisy = np.cumprod(excess[::-1] >= 0)[::-1]
    if not noisy[-1]:
        return 0.0
    k = int(noisy.argmax())
    if k == 0:
        return float(levels[0])
    # Between the level above, where the cells look too clean, and this one, where they look too noisy.
    share = excess[k] / (excess[k] - excess[k - 1])
    return float(np.exp((1 - share) * np.log(levels[k]) + share * np.log(levels[k - 1])))


def refine(flow: Flow, x: FloatArray, t: float, *, noise: float) -> FloatArray:
    """Take noise away from a population along the score of its time; see `cellflow.simulation.denoise`.

    Parameters
    ----------
    flow
        With a score.
    x
        In data coordinates, shape `(n, d)`.
    t
        Its time.
    noise
        What the cells carry, in model coordinates (see `noise_carried`); 0 leaves them as they are.

    Returns
    -------
    Shape `(n, d)`, every cell moved by itself.
    """
    if noise == 0.0:
        return np.asarray(x, dtype=np.float64)
    with torch_threads(flow.threads):
        clean = denoise(flow.at_level(t), flow.score_network.ladder, flow.frame.to_model(x), noise=noise, device=flow.device)
    return flow.frame.to_data(clean)


def _around(snapshots: Snapshots, t: float) -> list[Population]:
    """The snapshot at a time, or else the nearest ones before and after it."""
    at = [p for p in snapshots.populations if p.time == t]
    before = [p for p in snapshots.populations if p.time < t][-1:]
    return at or before + [p for p in snapshots.populations if p.time > t][:1]


def _noisy(flow: Flow, population: Population, noise: float) -> float:
    rng = stream(0)
    rows = rng.choice(len(population), min(_REFERENCE, len(population)), replace=False)
    cells = flow.frame.to_model(population.x[rows])
    return _log_norm(flow, cells + noise * rng.standard_normal(cells.shape), population.time, noise)


def _log_norm(flow: Flow, z: FloatArray, t: float, noise: float) -> float:
    """Logarithm of the mean squared score at a noise level, in units of the noise."""
    with torch.no_grad():
        score = flow.at_level(t)(torch.from_numpy(np.ascontiguousarray(z)).float().to(flow.device), noise)
    return float(np.log(noise**2 * score.square().sum(dim=1).mean().item()))
