r"""Fates and growth of groups of cells, by plans that are chained over the times.

With :math:`m_{ab}(i, j)` the mass at target cell :math:`j` of sample :math:`b` for each unit of
mass of source cell :math:`i` of sample :math:`a`, and :math:`u` the shares of the samples in a
condition, the mass that ends in fate :math:`l` is, backward from the labels of the last time,

.. math::  F_t(i, l) = \sum_b u_b \sum_j m_{ab}(i, j) F_{t+1}(j, l)

and the probability of the fate, in a group of cells of the first time, is its share of the mass.
"""

from __future__ import annotations

import numpy as np

from cellflow.analysis.comparison.course import Course, Groups, Interval
from cellflow.analysis.comparison.plans import stacked
from cellflow.analysis.comparison.resampling import Resampling
from cellflow.analysis.comparison.velocity import chunks, normalised
from cellflow.core._typing import FloatArray

__all__ = ["fates", "rates"]

#: A group that lacks less than this share of the cells has all of them.
_ALL = 1e-9


def rates(course: Course, interval: Interval, resampled: Resampling, groups: Groups) -> FloatArray:
    """Growth rates of the groups in one interval, per unit of time, `(2, l, 1 + m, g)`.

    The logarithm of the mass of a group's descendants, relative to its own, by the length of the
    interval. NaN for a group without cells, and for one of all cells: rates are relative to it.
    """
    member = [groups.of(course.blocks[a]) for a in interval.source]
    weight = [course.blocks[a].population.weight for a in interval.source]
    before = np.stack([w @ m for w, m in zip(weight, member, strict=True)])
    after = np.empty((len(interval.source), len(interval.target), before.shape[1]))
    for i, a in enumerate(interval.source):
        for j, b in enumerate(interval.target):
            offspring = course.moves(int(a), int(b)).offspring
            after[i, j] = (weight[i] * np.asarray(offspring.sum(axis=1)).ravel()) @ member[i]
    before[:, (before > 1.0 - _ALL).all(axis=0)] = np.nan
    n_a = len(interval.source)
    counts, place = resampled.rows(np.concatenate([interval.source, interval.target]))
    source = normalised(counts[:, :n_a])
    target = normalised(counts[:, n_a:])
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.log(np.einsum("la,lb,abg->lg", source, target, after) / (source @ before))
    found = np.where(np.isfinite(found), found / interval.length, np.nan)
    return np.asarray(found[place])


def fates(course: Course, resampled: Resampling, groups: Groups, ends: Groups) -> FloatArray:
    """Probabilities of the fates of all cells of the first time, and of its groups.

    A sample that is measured at several times is left out at each, and the changes are added.

    Parameters
    ----------
    course
        The cells.
    resampled
        Labellings of the samples.
    groups
        Of cells of the first time.
    ends
        What cells of the last time are. Cells without a label have a column of their own, the last.

    Returns
    -------
    Shape `(2, l, 1 + m, (1 + g) * (f + 1))`; NaN for a group without cells.
    """
    counts, place = resampled.rows(np.arange(len(course.blocks)), whole=True)
    chain = _Chain(course, groups, ends)
    shape = (len(counts), 1 + len(resampled.left), chain.n_groups * chain.n_fates)
    found = np.empty(shape)
    cells = sum(len(block) for block in course.blocks)
    for part in chunks(len(counts), cells * (chain.n_fates + chain.n_groups)):
        mass = chain.mass(counts[part])
        whole = _shares(mass.sum(axis=1, where=chain.first[:, None, None]))
        found[part, 0] = whole
        for m, unit in enumerate(resampled.left):
            found[part, 1 + m] = whole
            for b in np.flatnonzero(resampled.design.unit == unit):
                same = course.design.time == course.design.time[b]
                others = mass.sum(axis=1, where=(same & (np.arange(len(same)) != b))[:, None, None])
                found[part, 1 + m] += _shares(others) - whole
    return np.asarray(found[place[:, :, 0]])


def _shares(mass: FloatArray) -> FloatArray:
    """Probabilities of fates by their masses `(l, g, f)`, as `(l, g * f)`."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((mass / mass.sum(axis=2, keepdims=True)).reshape(len(mass), -1))


class _Chain:
    """The plans of all intervals one after another."""

    def __init__(self, course: Course, groups: Groups, ends: Groups) -> None:
        self.course = course
        self.intervals = course.intervals
        self.first = course.design.time == 0
        self.n_groups = 1 + len(groups.names)
        self.n_fates = 1 + len(ends.names)
        self.starts = {int(a): self._start(int(a), groups) for a in self.intervals[0].source}
        self.ends = {int(b): self._end(int(b), ends) for b in self.intervals[-1].target}
        self.ways = {
            int(a): stacked([course.moves(int(a), int(b)).offspring for b in interval.target])
            for interval in self.intervals
            for a in interval.source
        }

    def _start(self, block: int, groups: Groups) -> FloatArray:
        """Mass of the cells of the first time in all cells and in each group."""
        cells = self.course.blocks[block]
        member = np.concatenate([np.ones((len(cells), 1)), groups.of(cells)], axis=1)
        return np.asarray(member * cells.population.weight[:, None], dtype=np.float32)

    def _end(self, block: int, ends: Groups) -> FloatArray:
        """Fates of the cells of the last time; the last column is of cells without a label."""
        member = ends.of(self.course.blocks[block])
        rest = 1.0 - member.sum(axis=1, keepdims=True)
        return np.concatenate([member, rest], axis=1).astype(np.float32)

    def mass(self, counts: FloatArray) -> FloatArray:
        """Mass that goes through each block from a group to a fate, `(l, k, g, f)`.

        The sum over the blocks of one time is the same for all times.
        """
        share = np.zeros(counts.shape, dtype=np.float32)
        for k in range(len(self.course.times)):
            blocks = self.course.design.at(k)
            share[:, blocks] = normalised(counts[:, blocks])
        ahead = self._backward(share)
        behind = self._forward(share)
        found = np.empty((*counts.shape, self.n_groups, self.n_fates))
        for b in range(counts.shape[1]):
            through = np.einsum("ilg,ilf->lgf", behind[b], ahead[b])
            found[:, b] = share[:, b, None, None] * through
        return found

    def _backward(self, share: FloatArray) -> dict[int, FloatArray]:
        """Mass by fate of the descendants of each cell, `(cells, l, f)`, by block."""
        ahead = {b: np.repeat(f[:, None], len(share), axis=1) for b, f in self.ends.items()}
        for interval in reversed(self.intervals):
            below = np.concatenate([ahead[b] * share[:, b, None] for b in interval.target.tolist()])
            for a in interval.source.tolist():
                flat = self.ways[a] @ below.reshape(len(below), -1)
                ahead[a] = flat.reshape(len(flat), *below.shape[1:])
        return ahead

    def _forward(self, share: FloatArray) -> dict[int, FloatArray]:
        """Mass from each group that arrives at each cell, `(cells, l, g)`, by block."""
        behind = {a: np.repeat(g[:, None], len(share), axis=1) for a, g in self.starts.items()}
        for interval in self.intervals:
            sizes = [len(self.course.blocks[b]) for b in interval.target]
            total = np.zeros((sum(sizes), len(share), self.n_groups), dtype=np.float32)
            for a in interval.source.tolist():
                above = behind[a] * share[:, a, None]
                total += (self.ways[a].T @ above.reshape(len(above), -1)).reshape(total.shape)
            parts = np.split(total, np.cumsum(sizes)[:-1])
            behind |= dict(zip(interval.target.tolist(), parts, strict=True))
        return behind
