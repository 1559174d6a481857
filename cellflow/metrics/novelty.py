"""Whether generated cells are new, or copies of those that a model was trained on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cellflow.core._clouds import cloud, require_one_space
from cellflow.core._neighbors import nearest
from cellflow.core._settings import guarded
from cellflow.core._typing import FloatArray
from cellflow.errors import InputError

__all__ = ["Novelty", "nearest_neighbour_novelty"]

#: A copy lies so much nearer to one training cell than to any other.
_COPY = 1 / 3


@dataclass(frozen=True, eq=False)
class Novelty:
    """How near generated cells are to the training cells, compared with real cells.

    Parameters
    ----------
    ratio
        Distance of each generated cell to its nearest training cell, shape `(n,)`, over `typical`:
        0 for a copy, about 1 for a new cell of the same population, large where there are no
        training cells.
    real_ratio
        The same of real cells, shape `(m,)`: the held-out ones where given, else every training
        cell beside the others.
    copies
        Share of generated cells that lie at most a third as far from their nearest training cell as
        from the second.
    real_copies
        The same share of the real cells: what chance makes.
    nearer
        Probability that a generated cell is nearer to the training cells than a real one: 0.5 where
        they are alike, 1 where all are copies, 0 where all lie outside.
    typical
        Median distance between a training cell and its nearest other one, in the units of the
        positions.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(200, 2))
    >>> y = rng.normal(size=(200, 2)) + 1.0
    >>> found = cf.metrics.nearest_neighbour_novelty(x, y)
    >>> found.copies
    0.08
    """

    ratio: FloatArray
    real_ratio: FloatArray
    copies: float
    real_copies: float
    nearer: float
    typical: float


@guarded
def nearest_neighbour_novelty(
    generated: FloatArray, training: FloatArray, *, held_out: FloatArray | None = None
) -> Novelty:
    """Compare the distances of generated and of real cells to their nearest training cells.

    A model that returns its training cells scores perfectly in every distance between populations;
    this distinguishes it from one that has learned the population. Training cells at one position
    count once.

    Parameters
    ----------
    generated
        Positions, shape `(n, d)`.
    training
        What the model was trained on, shape `(k, d)`, at least three different cells.
    held_out
        Real cells that the model has not seen, shape `(m, d)`. Without them every training cell is
        compared with the others, which are one cell fewer.

    Returns
    -------
    `Novelty`.

    Raises
    ------
    InputError
        Clouds that are empty, not finite or of different dimensions, or fewer than three different
        training cells.

    References
    ----------
    The comparison with held-out cells: Meehan, Chaudhuri and Dasgupta, A non-parametric test to
    detect data-copying in generative models, AISTATS 2020. The share of copies: Yoon et al.,
    Diffusion probabilistic models generalize when they fail to memorize, ICML workshop 2023; by
    chance it is 3^-d, so it says little in one or two dimensions.

    Examples
    --------
    >>> training = np.random.default_rng(0).normal(size=(200, 2))
    >>> found = nearest_neighbour_novelty(training[:50], training)
    >>> found.copies, found.nearer
    (1.0, 1.0)
    """
    generated, _ = cloud("generated", generated)
    training, _ = cloud("training", training)
    require_one_space(training=training, generated=generated)
    training = np.unique(training, axis=0)
    if len(training) < 3:
        msg = (
            f"`training` has {len(training)} different cells; expected at least three, to know how"
            " far apart cells lie."
        )
        raise InputError(msg)
    apart = _distances(training, training, 3)[:, 1:]  # the nearest is the cell itself
    if held_out is None:
        real = apart
    else:
        held_out, _ = cloud("held_out", held_out)
        require_one_space(training=training, held_out=held_out)
        real = _distances(held_out, training, 2)
    new = _distances(generated, training, 2)
    typical = float(np.median(apart[:, 0]))
    return Novelty(
        ratio=new[:, 0] / typical,
        real_ratio=real[:, 0] / typical,
        copies=float((new[:, 0] <= _COPY * new[:, 1]).mean()),
        real_copies=float((real[:, 0] <= _COPY * real[:, 1]).mean()),
        nearer=_share_below(new[:, 0], real[:, 0]),
        typical=typical,
    )


def _distances(x: FloatArray, training: FloatArray, k: int) -> FloatArray:
    """Distances to the `k` nearest training cells, increasing, shape `(n, k)`."""
    # In many dimensions neighbours are found by products, which need the origin near and leave
    # copies at a distance of rounding; so distances are taken again by differences.
    centre = training.mean(axis=0)
    _, rows = nearest(training - centre, x - centre, k)
    found = np.stack(
        [np.linalg.norm(x - training[rows[:, j]], axis=1) for j in range(rows.shape[1])], axis=1
    )
    return np.sort(found, axis=1)


def _share_below(a: FloatArray, b: FloatArray) -> float:
    """Probability that a value of `a` is below one of `b`; ties count half (Mann, Whitney 1947)."""
    ordered = np.sort(b)
    above = len(b) - np.searchsorted(ordered, a, side="right")
    equal = np.searchsorted(ordered, a, side="right") - np.searchsorted(ordered, a, side="left")
    return float((above + 0.5 * equal).mean() / len(b))
