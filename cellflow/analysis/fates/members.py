"""Fates of cells by several flows: the members of an ensemble, or several fits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cellflow.analysis.fates.fates import Fates, Members
from cellflow.core._typing import FloatArray

__all__ = ["averaged", "joined"]

#: Share of the flows in which a cell has to be committed.
_MOST = 0.5


def averaged(members: Sequence[Fates]) -> Fates:
    r"""Mean over the members of an ensemble; that of one is itself.

    Between members differ the fields only: they ask the same cells for votes, and a cell has the
    same noise in all. So the variance of a probability is the sum of two,
    :math:`s^2 + \tfrac1k \sum_l \mathrm{sd}_l^2`: the squared standard error between members (see
    `cellflow.core._spread`), and that of the votes or of the noise within one. The noise of a cell
    is its own, and averages out in a mean over many cells; the first does not.
    """
    if len(members) == 1:
        return members[0]
    first = members[0]
    return Fates(
        np.mean([member.probability for member in members], axis=0),
        _within(members),
        np.mean([member.mass for member in members], axis=0),
        _commitment(members),
        first.reached,
        first.neighbors,
        Members(
            np.stack([member.probability for member in members], axis=1).astype(np.float32),
            np.stack([member.mass for member in members], axis=1).astype(np.float32),
        ),
    )


def joined(fits: Sequence[Fates]) -> Fates:
    """Mean over several fits, with the standard deviation between them.

    Several ensembles are one of all their members.
    """
    if len(fits) == 1:
        return fits[0]
    probability = np.stack([fit.probability for fit in fits])
    known = [fit.members for fit in fits if fit.members is not None]
    members = None
    if len(known) == len(fits):
        members = Members(
            np.concatenate([found.probability for found in known], axis=1),
            np.concatenate([found.mass for found in known], axis=1),
        )
    return Fates(
        probability.mean(axis=0),
        probability.std(axis=0, ddof=1) if members is None else _within(fits),
        np.mean([fit.mass for fit in fits], axis=0),
        _commitment(fits),
        fits[0].reached,
        fits[0].neighbors,
        members,
    )


def _within(fits: Sequence[Fates]) -> FloatArray:
    """Root mean square of the standard deviations of each."""
    return np.asarray(np.sqrt(np.mean([fit.sd**2 for fit in fits], axis=0)))


def _commitment(fits: Sequence[Fates]) -> FloatArray:
    """Mean time until commitment, of cells that are committed in more than half of the fits."""
    times = np.stack([fit.commitment for fit in fits])
    known = ~np.isnan(times)
    count = known.sum(axis=0)
    total = np.where(known, times, 0.0).sum(axis=0)
    mean = np.full(len(count), np.nan)
    np.divide(total, count, where=count > _MOST * len(fits), out=mean)
    return mean
