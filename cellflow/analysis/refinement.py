"""Pull a population back to where cells live, by the score of that time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import brentq

from cellflow._neighbors import nearest
from cellflow._random import stream
from cellflow._threads import torch_threads
from cellflow._typing import FloatArray
from cellflow.analysis.prediction import predict
from cellflow.errors import InputError
from cellflow.population import Snapshots
from cellflow.simulation import denoise

if TYPE_CHECKING:
    from cellflow.flow import Flow

__all__ = ["noise_carried", "refine"]

#: Cells on either side of the comparison.
_REFERENCE = 1000


def noise_carried(flow: Flow, x: FloatArray, t: float, snapshots: Snapshots) -> float:
    r"""Estimate how far a population lies off the data: the standard deviation of the noise that it seems to carry.

    Cells that live at this time are halved. The noise is found under which one half lies as far from the other as the given
    cells do, by the median distance to the nearest cell. (The size of a learned score says less: off the shell of noise on
    which a level was trained, a network is free.)

    Parameters
    ----------
    flow
        With a score.
    x
        The population in data coordinates, shape `(n, d)`.
    t
        Its time.
    snapshots
        Measured cells. Those of the snapshot at `t` are taken to live there; between snapshots, what the flow makes of the
        cells around, so that a prediction of the flow itself counts as clean.

    Returns
    -------
    Standard deviation per coordinate, in model coordinates; 0 for a population that lies on the data, to the smallest level
    of the ladder.
    """
    ladder, rng = flow.score_network.ladder, stream(0)
    there = next((p for p in snapshots.populations if p.time == t), None) or predict(flow, snapshots, t)
    alive = np.flatnonzero(there.weight > 0)
    rows = rng.permutation(alive)[: 2 * _REFERENCE]
    cells = flow.frame.to_model(there.x[rows])
    known, others = cells[: len(cells) // 2], cells[len(cells) // 2 :]
    if len(known) < 2:
        msg = f"{len(alive)} cells live at time {t:g}; expected four or more to tell noise from data. Pool snapshots."
        raise InputError(msg)
    asked = flow.frame.to_model(x)
    asked = asked[rng.permutation(len(asked))[:_REFERENCE]]
    z = rng.standard_normal(others.shape)

    def distance(y: FloatArray) -> float:
        return float(np.median(nearest(known, y, 1)[0]))

    found = distance(asked)
    if found <= distance(others + ladder.smallest * z):
        return 0.0
    if found >= distance(others + ladder.largest * z):
        return ladder.largest
    ends = np.log([ladder.smallest, ladder.largest])
    return float(np.exp(brentq(lambda s: distance(others + np.exp(s) * z) - found, *ends, xtol=1e-3)))


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
