r"""Local mean velocities of a condition, and speeds.

At a reference cell :math:`r`, with the kernel :math:`K_r` of the cells near it and the displacement
:math:`D_{ab}(i)` of cell :math:`i` of sample :math:`a` in its plan to sample :math:`b`,

.. math::  v(r) = \frac{1}{h} \frac{\sum_{ab} u_a u_b \sum_{i \in a} K_r(i) w_i D_{ab}(i)}
                                   {\sum_{ab} u_a u_b \sum_{i \in a} K_r(i) w_i}

where :math:`u` says which samples count. A labelling of the samples changes only :math:`u`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from cellflow.analysis.comparison.course import Course, Groups, Interval
from cellflow.analysis.comparison.resampling import Resampling
from cellflow.core._neighbors import nearest
from cellflow.core._random import systematic
from cellflow.core._typing import FloatArray, IntArray

__all__ = ["Local", "chunks", "local_moves", "normalised", "speeds"]

#: Velocities are means over at most this share of the cells of a time.
_SHARE = 0.1
#: Numbers that one chunk of labellings may fill (160 MB).
_CHUNK = 20_000_000


@dataclass(frozen=True, eq=False)
class Local:
    """Sums over the cells near the reference cells of one interval, for each pair of samples.

    Parameters
    ----------
    interval
        The times.
    step, mass
        Sums of displacements in data coordinates, `(a, b, r, d)`, and of weights, `(a, b, r)`.
    block, rows, weight
        Of each reference cell: number of its block, its row, its share of its sample; `(r,)`.
    """

    interval: Interval
    step: FloatArray
    mass: FloatArray
    block: IntArray
    rows: IntArray
    weight: FloatArray

    @property
    def blocks(self) -> IntArray:
        """Numbers of the blocks that velocities depend on: sources, then targets."""
        return np.concatenate([self.interval.source, self.interval.target])

    def part(self, cells: slice) -> Local:
        """The same for some of the reference cells."""
        return replace(
            self,
            step=self.step[:, :, cells],
            mass=self.mass[:, :, cells],
            block=self.block[cells],
            rows=self.rows[cells],
            weight=self.weight[cells],
        )

    def velocities(self, counts: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Velocities `(u, r, d)` for weights of the blocks `(u, b)`, and what they rest on.

        The second is the mass of the kernel, `(u, r)`. Velocities are 0 where it is 0.
        """
        n_a, n_b, n_r, d = self.step.shape
        source = normalised(counts[:, :n_a])
        target = normalised(counts[:, n_a:])
        pairs = (source[:, :, None] * target[:, None, :]).reshape(len(counts), -1)
        pairs = pairs.astype(self.step.dtype)
        total = pairs @ self.step.reshape(n_a * n_b, n_r * d)
        mass = pairs @ self.mass.reshape(n_a * n_b, n_r)
        safe = np.where(mass > 0, mass, 1.0)[:, :, None]
        return total.reshape(-1, n_r, d) / safe / self.interval.length, mass


def normalised(counts: FloatArray) -> FloatArray:
    """Rows scaled to sum to one; rows of zeros stay."""
    total = counts.sum(axis=-1, keepdims=True)
    return np.asarray(counts / np.where(total > 0, total, 1.0))


def chunks(n: int, size: int) -> Iterator[slice]:
    """Slices of labellings that fill at most one chunk, of `size` numbers each."""
    step = max(1, _CHUNK // max(size, 1))
    yield from (slice(start, start + step) for start in range(0, n, step))


def local_moves(
    course: Course,
    interval: Interval,
    scale: FloatArray,
    *,
    n_neighbors: int,
    n_cells: int,
    rng: np.random.Generator,
) -> Local:
    """Choose reference cells and sum the displacements near to them.

    Parameters
    ----------
    course, interval
        The cells.
    scale
        Of the data in model coordinates, shape `(d,)`.
    n_neighbors
        Cells of all samples together that a velocity is a mean over, at most a tenth.
    n_cells
        Reference cells at most; every sample gives as many.
    rng
        Draws them.
    """
    sources = [course.blocks[a] for a in interval.source]
    places = [np.arange(len(s)) for s in sources]
    few = max(1, n_cells // len(sources))
    places = [
        p if len(p) <= few else np.unique(systematic(s.population.weight, few, rng))
        for p, s in zip(places, sources, strict=True)
    ]
    at = np.concatenate([s.population.x[p] for s, p in zip(sources, places, strict=True)])
    kernel = _kernel(np.concatenate([s.population.x for s in sources]), at, n_neighbors)
    ends = np.cumsum([len(s) for s in sources])[:-1]
    split = zip(np.split(kernel, ends, axis=1), sources, strict=True)
    parts = [near * s.population.weight for near, s in split]
    shape = (len(sources), len(interval.target), len(at))
    step = np.empty((*shape, at.shape[1]), dtype=np.float32)
    mass = np.empty(shape, dtype=np.float32)
    for i, a in enumerate(interval.source):
        for j, b in enumerate(interval.target):
            moves = course.moves(int(a), int(b))
            near = (parts[i] * moves.moved).astype(np.float32)
            step[i, j] = near @ (moves.step * scale).astype(np.float32)
            mass[i, j] = near.sum(axis=1)
    weight = [s.population.weight[p] for s, p in zip(sources, places, strict=True)]
    return Local(
        interval,
        step,
        mass,
        np.repeat(interval.source, [len(p) for p in places]),
        np.concatenate([s.population.index[p] for s, p in zip(sources, places, strict=True)]),
        np.concatenate([w / w.sum() for w in weight]),
    )


def _kernel(x: FloatArray, at: FloatArray, n_neighbors: int) -> FloatArray:
    """Weights of the cells `(n, d)` nearest to each position `(r, d)`, shape `(r, n)`.

    Gaussian, with half the distance of the farthest as standard deviation.
    """
    k = min(n_neighbors, max(1, round(_SHARE * len(x))))
    distance, rows = nearest(x, at, k)
    width = distance[:, -1:] / 2.0
    near = np.exp(-0.5 * (distance / np.where(width > 0, width, 1.0)) ** 2)
    found = np.zeros((len(at), len(x)))
    np.put_along_axis(found, rows, near, axis=1)
    return found


def speeds(local: Local, resampled: Resampling, groups: Groups) -> FloatArray:
    """Mean speed of the cells of a condition, in all and in each group, `(2, l, 1 + m, 1 + g)`.

    NaN for a group without cells.
    """
    code = groups.code[local.rows]
    member = code[:, None] == np.arange(len(groups.names))
    member = np.concatenate([np.ones((len(code), 1)), member], axis=1)
    counts, place = resampled.rows(local.blocks)
    found = np.empty((len(counts), member.shape[1]))
    n_a = len(local.interval.source)
    at = np.searchsorted(local.interval.source, local.block)
    for part in chunks(len(counts), local.step.shape[2] * local.step.shape[3]):
        velocity, mass = local.velocities(counts[part])
        speed = np.sqrt(np.einsum("urd,urd->ur", velocity, velocity))
        weight = normalised(counts[part, :n_a])[:, at] * local.weight * (mass > 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            found[part] = ((weight * speed) @ member) / (weight @ member)
    return np.asarray(found[place])
