"""Sampling with a score: Langevin dynamics at one noise level and down a ladder, and denoising."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from cellflow.core._deprecated import Renamed, accepts
from cellflow.core._numbers import ROUNDS, as_count, as_number
from cellflow.core._random import as_seed
from cellflow.core._rows import Rows
from cellflow.core._settings import guarded, offers
from cellflow.core._typing import FloatArray, RandomState
from cellflow.errors import InputError, IntegrationError
from cellflow.fields.ladder import Ladder
from cellflow.simulation._noise import Key, normal_steps

__all__ = ["LevelScore", "annealed_langevin", "denoise", "langevin", "relative_step"]

#: Score at a noise level, `(x, noise) -> (n, d)`: a score network with time and context fixed.
LevelScore = Callable[[Tensor, float], Tensor]
#: Steps of the denoising flow between two levels of the ladder.
_STEPS_PER_LEVEL = 4


@guarded
@accepts(seed=Renamed("random_state"))
def langevin(
    score: LevelScore,
    x: FloatArray,
    *,
    noise: float,
    step: float,
    n_steps: int,
    random_state: RandomState = 0,
    keys: Sequence[Key] | np.ndarray | None = None,
    device: torch.device | str = "cpu",
) -> FloatArray:
    r"""Cells moved by unadjusted Langevin dynamics at one noise level.

    .. math::  x \leftarrow x + \alpha\, s(x) + \sqrt{2 \alpha}\, z

    It is exact in the limit of a step :math:`\alpha` of zero. It passes slowly between modes that
    are far apart.

    Parameters
    ----------
    score
        `(x, noise) -> (n, d)`.
    x
        Positions at the start, shape `(n, d)`.
    noise
        Level of the score; 0 for the score of the population itself.
    step
        :math:`\alpha`, in squared units of `x`.
    n_steps
        Number of steps.
    random_state, keys
        Seed and keys of the noise; the keys are `(0,), (1,), ...` by default. A cell's result does
        not depend on the other cells.
    device
        Where states are computed.

    Returns
    -------
    Shape `(n, d)`.

    References
    ----------
    Roberts and Tweedie, Exponential convergence of Langevin distributions and their discrete
    approximations, 1996.

    Examples
    --------
    >>> x = 5.0 * np.random.default_rng(0).normal(size=(50, 2))
    >>> drawn = cf.simulation.langevin(lambda x, noise: -x, x, noise=0.0, step=0.05, n_steps=20)
    """
    as_number("step", step, above=0.0, remedy=", in squared units of the states")
    return _by_chunks(
        lambda y, z: _steps(score, y, noise, step, n_steps, z),
        x,
        as_seed(random_state),
        keys,
        n_steps,
        device,
    )


@guarded
@accepts(seed=Renamed("random_state"))
def annealed_langevin(
    score: LevelScore,
    ladder: Ladder,
    x: FloatArray,
    *,
    n_steps: int = 10,
    first: int = 0,
    predictor: bool = True,
    random_state: RandomState = 0,
    keys: Sequence[Key] | np.ndarray | None = None,
    device: torch.device | str = "cpu",
) -> FloatArray:
    r"""Cells sampled by Langevin dynamics down the ladder, with one last step without noise.

    At level :math:`\sigma_i` the step is :math:`\alpha_i = r \sigma_i^2`, with the same `r` at all
    levels (`relative_step`). From one level to the next, cells move along the probability flow of
    the ladder (see `denoise`). Langevin dynamics alone, the published method, passes too slowly
    between modes while they separate, and gives them wrong weights even with the exact score. The
    last step removes the noise of the smallest level, see `denoise`.

    Parameters
    ----------
    score
        `(x, noise) -> (n, d)`.
    ladder
        Its noise levels.
    x
        Positions at the start, shape `(n, d)`: any from the first level on; from a later level,
        cells with about the noise of level `first`.
    n_steps
        Steps per level.
    first
        Number of the first level.
    predictor
        Whether cells move along the probability flow between levels; False for the published
        method.
    random_state, keys, device
        As of `langevin`.

    Returns
    -------
    Shape `(n, d)`.

    References
    ----------
    Song and Ermon, Generative modeling by estimating gradients of the data distribution, NeurIPS
    2019, algorithm 1; Song et al., Score-based generative modeling through stochastic differential
    equations, ICLR 2021, algorithm 1 (the predictor).

    Examples
    --------
    >>> ladder = cf.Ladder.between(0.1, 5.0, n_dims=2)
    >>> x = 5.0 * np.random.default_rng(0).normal(size=(50, 2))
    >>> drawn = cf.simulation.annealed_langevin(lambda x, noise: -x / (1 + noise**2), ladder, x)
    """
    levels = _from(ladder, first)
    ratio = ladder.levels[0] / ladder.levels[1]
    relative = relative_step(ratio, n_steps)

    def sampled(y: Tensor, noise: Iterator[Tensor]) -> Tensor:
        for above, level in pairwise([levels[0], *levels]):
            y = _descended(score, y, above, level) if predictor and level < above else y
            y = _steps(score, y, level, relative * level**2, n_steps, noise)
        return _cleaned(score, y, levels[-1])

    seed = as_seed(random_state)
    return _by_chunks(sampled, x, seed, keys, n_steps * len(levels), device)


@guarded
def denoise(
    score: LevelScore,
    ladder: Ladder,
    x: FloatArray,
    *,
    noise: float,
    device: torch.device | str = "cpu",
) -> FloatArray:
    r"""Cells without their noise, by the probability flow of the ladder.

    Solves :math:`dx / d\sigma = -\sigma\, s(x, \sigma)` from the noise to zero by Heun's method, in
    four steps a level and one below the smallest, :math:`x + \tfrac12 \sigma_L^2 s(x, \sigma_L)`.
    A cell's result does not depend on the other cells. A population with this noise ends with the
    distribution of the data. (The mean of the data given a noisy state, :math:`x + \sigma_L^2 s`,
    is a common last step, but has less variance than the data.)

    Parameters
    ----------
    score, ladder
        As of `annealed_langevin`.
    x
        Shape `(n, d)`.
    noise
        Standard deviation of the cells' noise, up to the largest level.
    device
        As of `langevin`.

    Returns
    -------
    Shape `(n, d)`.

    References
    ----------
    Song, Sohl-Dickstein, Kingma, Kumar, Ermon, Poole, Score-based generative modeling through
    stochastic differential equations, ICLR 2021, section 4.3; Karras et al., Elucidating the design
    space of diffusion-based generative models, NeurIPS 2022.

    Examples
    --------
    >>> ladder = cf.Ladder.between(0.1, 5.0, n_dims=2)
    >>> x = 5.0 * np.random.default_rng(0).normal(size=(50, 2))
    >>> clean = cf.simulation.denoise(lambda x, noise: -x / (1 + noise**2), ladder, x, noise=1.0)
    """
    as_number("noise", noise, above=0.0, most=ladder.largest, remedy=", the largest level")
    levels = [noise, *(level for level in ladder.levels if level < noise)]

    def cleaned(y: Tensor, _: Iterator[Tensor]) -> Tensor:
        for above, level in pairwise(levels):
            y = _descended(score, y, above, level)
        return _cleaned(score, y, levels[-1])

    return _by_chunks(cleaned, x, 0, None, 0, device)


def relative_step(ratio: float, n_steps: int) -> float:
    r"""Step of annealed Langevin dynamics relative to the squared noise level.

    For data in one point, cells that come from the level above have variance :math:`\gamma^2
    \sigma_i^2`, with :math:`\gamma` the ratio of the levels. After `T = n_steps` steps,

    .. math::  \frac{v}{\sigma_i^2}
        = (1 - r)^{2T} \Big(\gamma^2 - \frac{2r}{1 - (1 - r)^2}\Big) + \frac{2r}{1 - (1 - r)^2}.

    The result is the `r` for which this is nearest to one.

    References
    ----------
    Song and Ermon, Improved techniques for training score-based generative models, NeurIPS 2020,
    proposition 3.
    """
    n_steps = as_count("n_steps", n_steps, most=ROUNDS)
    r = np.geomspace(1e-4, 1.0, 2000)
    still = 2.0 * r / (1.0 - (1.0 - r) ** 2)
    variance = (1.0 - r) ** (2 * n_steps) * (ratio**2 - still) + still
    return float(r[np.abs(variance - 1.0).argmin()])


def _from(ladder: Ladder, first: int) -> list[float]:
    if not 0 <= first < len(ladder.levels):
        msg = f"first={first!r}; the ladder has levels 0 to {len(ladder.levels) - 1}."
        raise InputError(msg)
    return list(ladder.levels[first:])


def _descended(score: LevelScore, x: Tensor, above: float, level: float) -> Tensor:
    """Cells moved from one level to the next along the probability flow, in equal ratios."""
    for a, b in pairwise(np.geomspace(above, level, _STEPS_PER_LEVEL + 1).tolist()):
        slope = -a * score(x, a)
        there = -b * score(x + (b - a) * slope, b)
        x = x + (b - a) * 0.5 * (slope + there)
    return x


def _cleaned(score: LevelScore, x: Tensor, level: float) -> Tensor:
    """Cells moved from a level to zero along the probability flow, in one step of Heun's method.

    The second slope of the step is zero, because the level there is zero.
    """
    return x + 0.5 * level**2 * score(x, level)


def _steps(
    score: LevelScore, x: Tensor, level: float, step: float, n_steps: int, noise: Iterator[Tensor]
) -> Tensor:
    for _ in range(n_steps):
        x = x + step * score(x, level) + (2.0 * step) ** 0.5 * next(noise).to(x)
    return x


def _by_chunks(
    function: Callable[[Tensor, Iterator[Tensor]], Tensor],
    x: FloatArray,
    seed: int,
    keys: Sequence[Key] | np.ndarray | None,
    n_steps: int,
    device: torch.device | str,
) -> FloatArray:
    """Values of a function of chunks of one width, each row with its own noise."""
    start = Rows.of(x).to(device, torch.float32)
    names = np.arange(len(start))[:, None] if keys is None else keys
    parts = []
    done = 0
    with torch.no_grad():
        for chunk, n in start.padded():
            noise = normal_steps(
                seed, names[done : done + n], len(chunk), n_steps, chunk.x.shape[1]
            )
            parts.append(function(chunk.x, noise)[:n].cpu())
            done += n
    out = torch.cat(parts).numpy()
    bad = np.flatnonzero(~np.isfinite(out).all(axis=1))
    if len(bad):
        smaller = "Pass a smaller `step`, or train" if offers("step") else "Train"
        msg = f"stops being finite during sampling with the score. {smaller} the score longer."
        raise IntegrationError(msg, cell=int(bad[0]))
    return np.asarray(out)
