"""Which cells are unlike those of a fit at their time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cellflow.analysis.conformal import Reference, as_level, too_many
from cellflow.analysis.prediction import predict
from cellflow.core._typing import FloatArray
from cellflow.core._warn import warn
from cellflow.errors import InputWarning

if TYPE_CHECKING:
    from cellflow.core.population import Snapshots
    from cellflow.model.base import FittedDynamics

__all__ = ["Judged", "judge"]


@dataclass(frozen=True, eq=False)
class Judged:
    """How like the cells of a fit other cells are.

    Parameters
    ----------
    p_value
        Of each cell, shape `(n,)`; see `cellflow.analysis.conformal.Reference`.
    flagged
        Whether that is at most `alpha`, shape `(n,)`.
    alpha
        The level.
    times
        Distinct times of the cells, shape `(T,)`; the last one is NaN where some have none.
    n_reference
        Cells that those of each time were compared with, shape `(T,)`.
    measured
        Whether these were measured at that time, shape `(T,)`, or predicted by the fit, for which
        `alpha` does not hold.
    n_cells, n_flagged
        Cells of each time, and how many were flagged, shape `(T,)`.
    n_unseen, n_unseen_flagged
        The same of cells that are not of the reference.
    can_flag
        Whether the reference is large enough for any cell to be flagged, shape `(T,)`: `1 / alpha -
        1` cells.
    """

    p_value: FloatArray
    flagged: np.ndarray
    alpha: float
    times: FloatArray
    n_reference: np.ndarray
    measured: np.ndarray
    n_cells: np.ndarray
    n_flagged: np.ndarray
    n_unseen: np.ndarray
    n_unseen_flagged: np.ndarray
    can_flag: np.ndarray

    def warn(self) -> None:
        """Say of which times many more cells are flagged than `alpha`, and chance, account for."""
        for k, time in enumerate(self.times):
            found = int(self.n_unseen_flagged[k])
            asked = int(self.n_unseen[k])
            if too_many(found, asked, int(self.n_reference[k]), self.alpha):
                cells = "without a time" if np.isnan(time) else f"at time {time:g}"
                reason = (
                    "as a group they are unlike the cells of the fit (another batch, population or"
                    " preprocessing)"
                    if self.measured[k]
                    else "the fit has no snapshot there, and these cells are unlike its prediction"
                )
                msg = (
                    f"{found} of {asked} cells {cells} are flagged in cf_ood at"
                    f" alpha={self.alpha:g}, {found / asked:.0%}: {reason}. Expected about"
                    f" {self.alpha:.1%}. Compare the populations before you read the flags of"
                    " single cells."
                )
                warn(msg, InputWarning)


def judge(
    flow: FittedDynamics,
    reference: Snapshots,
    x: FloatArray,
    times: FloatArray,
    *,
    alpha: float = 0.01,
) -> Judged:
    """Compare cells with those of a fit at their time.

    Cells of a snapshot's time are compared with those of the reference at that time. Cells of a
    time in between are compared with the population that the fit predicts there, so they are only
    as ordinary as the prediction is good. Cells without a time are compared with every snapshot,
    and take the largest p-value.

    Parameters
    ----------
    flow
        The fitted dynamics.
    reference
        Cells of the fit.
    x
        Positions, shape `(n, d)`.
    times
        Shape `(n,)`, inside the times of the fit; NaN for none.
    alpha
        Share of ordinary cells that may be flagged.

    Raises
    ------
    InputError
        A level that is none.
    IntegrationError
        A predicted state that is not finite.
    """
    level = as_level(alpha)
    known = {p.time: Reference(p.x.astype(np.float32)) for p in reference.populations}
    x = np.asarray(x, dtype=np.float32)
    p_value = np.ones(len(x))
    distinct = np.unique(times[~np.isnan(times)]).tolist() + [np.nan] * bool(np.isnan(times).any())
    columns: list[tuple[int, bool, int, int, int, int, bool]] = []
    for time in distinct:
        rows = np.flatnonzero(np.isnan(times) if np.isnan(time) else times == time)
        measured = bool(np.isnan(time)) or time in known
        if np.isnan(time):
            compared = list(known.values())
        elif measured:
            compared = [known[time]]
        else:
            compared = [Reference(predict(flow, reference, time).x.astype(np.float32))]
        p_value[rows] = np.max([c.p_values(x[rows]) for c in compared], axis=0)
        unseen = ~np.any([c.holds(x[rows]) for c in compared], axis=0)
        flagged = p_value[rows] <= level
        smallest = min(len(c) for c in compared)
        can_flag = all(c.can_flag(level) for c in compared)
        counts = (len(rows), int(flagged.sum()), int(unseen.sum()), int(flagged[unseen].sum()))
        columns.append((smallest, measured, *counts, can_flag))
    table = [np.array(column) for column in zip(*columns, strict=True)]
    return Judged(p_value, p_value <= level, level, np.array(distinct), *table)
