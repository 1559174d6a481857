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
#: Distances are to this neighbour: cells that are asked for may be among the known ones, which
#: should hardly matter.
_NEIGHBOR = 5


def noise_carried(flow: Flow, x: FloatArray, t: float, snapshots: Snapshots) -> float:
    r"""Estimate how far a population lies off the data: the standard deviation of the noise that it seems to carry.

    Cells that live at this time are halved. The noise is found under which one half lies as far
    from the other as the given cells do, by the median distance to the fifth nearest cell. (The
    size of a learned score says less: off the shell of noise on which a level was trained, a
    network is free.)

    Parameters
    ----------
    flow
        With a score.
    x
        The population in data coordinates, shape `(n, d)`.
    t
        Its time.
    snapshots
        Measured cells. Those of the snapshot at `t` are taken to live there; between snapshots,
        what the flow makes of the cells around, so that a prediction of the flow itself counts as
        clean.

    Returns
    -------
    Standard deviation per coordinate, in model coordinates; 0 for a population that lies on the data, to the smallest level
    of the ladder. It belongs to the population as a whole, whatever the order of its rows.
    """
    ladder = flow.score_network.ladder
    there = next((p for p in snapshots.populations if p.time == t), None) or predict(
        flow, snapshots, t
    )
    cells = _shuffled(flow.frame.to_model(there.x[there.weight > 0]))[: 2 * _REFERENCE]
    if len(cells) < 4:
        msg = (
            f"{len(cells)} cells live at time {t:g}; expected four or more to tell noise from data."
            " Pool snapshots."
        )
        raise InputError(msg)
    asked = _shuffled(flow.frame.to_model(x))[:_REFERENCE]
    splits = [
        (np.roll(cells, k * len(cells) // (2 * _SPLITS), axis=0), stream(1, k))
        for k in range(_SPLITS)
    ]
    halves = [
        (
            c[: len(c) // 2],
            c[len(c) // 2 :],
            rng.standard_normal((len(c) - len(c) // 2, c.shape[1])),
        )
        for c, rng in splits
    ]

    def distance(known: FloatArray, y: FloatArray) -> float:
        return float(np.median(nearest(known, y, _NEIGHBOR)[0][:, -1]))

    def excess(noise: float) -> float:
        """How much farther away half of the cells lie under this noise than the cells that are asked for."""
        return float(
            np.mean(
                [
                    distance(known, rest + noise * z) - distance(known, asked)
                    for known, rest, z in halves
                ]
            )
        )

    if excess(ladder.smallest) >= 0:
        return 0.0
    if excess(ladder.largest) <= 0:
        return ladder.largest
    ends = np.log([ladder.smallest, ladder.largest])
    return float(np.exp(brentq(lambda s: excess(float(np.exp(s))), *ends, xtol=1e-3)))


def _shuffled(x: FloatArray) -> FloatArray:
    """Rows in a random order that depends on what they are, not on how they came."""
    return x[np.lexsort(x.T)][stream(0).permutation(len(x))]


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
        clean = denoise(
            flow.at_level(t),
            flow.score_network.ladder,
            flow.frame.to_model(x),
            noise=noise,
            device=flow.device,
        )
    return flow.frame.to_data(clean)
