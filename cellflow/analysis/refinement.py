"""Pull a population back to where cells live, by the score of that time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import brentq

from cellflow.analysis.prediction import predict
from cellflow.core._neighbors import nearest
from cellflow.core._random import stream
from cellflow.core._threads import torch_threads
from cellflow.core._typing import FloatArray
from cellflow.core.population import Snapshots
from cellflow.errors import InputError
from cellflow.simulation import denoise

if TYPE_CHECKING:
    from cellflow.model.flow import Flow

__all__ = ["noise_carried", "refine"]

#: Cells on either side of the comparison, and ways to halve them.
_REFERENCE = 1000
_SPLITS = 4
#: Distances are to this neighbour: judged cells may be among the known ones, and that should
#: hardly change a distance.
_NEIGHBOR = 5


def noise_carried(flow: Flow, x: FloatArray, t: float, snapshots: Snapshots) -> float:
    r"""Estimate the noise of a population: its distance from the data as a standard deviation.

    The cells of this time are halved. The estimate is the noise at which one half is as far from
    the other as the given cells are, by the median distance to the fifth nearest cell. (The size of
    a learned score is a worse measure: where a level of noise was not trained, nothing constrains
    the network.)

    Parameters
    ----------
    flow
        With a score.
    x
        The population in data coordinates, shape `(n, d)`.
    t
        Its time.
    snapshots
        Measured cells. The reference are those of the snapshot at `t`; between snapshots, the
        prediction of the flow from the cells around, which has no noise by this measure.

    Returns
    -------
    Standard deviation per coordinate, in model coordinates; 0 for a population that is within the
    smallest level of the ladder of the data. It does not depend on the order of the rows.
    """
    ladder = flow.ladder
    measured = [p for p in snapshots.populations if p.time == t]
    reference = measured[0] if measured else predict(flow, snapshots, t)
    cells = _shuffled(flow.frame.to_model(reference.x[reference.weight > 0]))[: 2 * _REFERENCE]
    if len(cells) < 4:
        msg = (
            f"There are {len(cells)} cells at time {t:g}; expected four or more to estimate noise."
            " Pool snapshots."
        )
        raise InputError(msg)
    judged = _shuffled(flow.frame.to_model(x))[:_REFERENCE]
    halves = [_halved(cells, k) for k in range(_SPLITS)]

    def excess(noise: float) -> float:
        """Median distance of cells under this noise, less that of the judged cells."""
        differences = [
            _distance(known, rest + noise * z) - _distance(known, judged)
            for known, rest, z in halves
        ]
        return float(np.mean(differences))

    if excess(ladder.smallest) >= 0:
        return 0.0
    if excess(ladder.largest) <= 0:
        return ladder.largest
    ends = np.log([ladder.smallest, ladder.largest])
    return float(np.exp(brentq(lambda s: excess(float(np.exp(s))), *ends, xtol=1e-3)))


def _halved(cells: FloatArray, k: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Split number `k` of cells into two halves, with noise for the second."""
    rolled = np.roll(cells, k * len(cells) // (2 * _SPLITS), axis=0)
    n = len(cells) // 2
    noise = stream(1, k).standard_normal((len(cells) - n, cells.shape[1]))
    return rolled[:n], rolled[n:], noise


def _distance(known: FloatArray, x: FloatArray) -> float:
    """Median distance to the fifth nearest of the known cells."""
    return float(np.median(nearest(known, x, _NEIGHBOR)[0][:, -1]))


def _shuffled(x: FloatArray) -> FloatArray:
    """Rows in a random order that depends on their values, not on their order."""
    return x[np.lexsort(x.T)][stream(0).permutation(len(x))]


def refine(flow: Flow, x: FloatArray, t: float, *, noise: float) -> FloatArray:
    """Remove noise from a population along the score of its time: `cellflow.simulation.denoise`.

    Parameters
    ----------
    flow
        With a score.
    x
        In data coordinates, shape `(n, d)`.
    t
        Its time.
    noise
        Of the cells, in model coordinates (see `noise_carried`); 0 leaves them as they are.

    Returns
    -------
    Shape `(n, d)`; a cell does not depend on the others.
    """
    if noise == 0.0:
        return np.asarray(x, dtype=np.float64)
    with torch_threads(flow.threads):
        clean = denoise(
            flow.at_level(t), flow.ladder, flow.frame.to_model(x), noise=noise, device=flow.device
        )
    return flow.frame.to_data(clean)
