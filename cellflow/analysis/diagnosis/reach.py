"""Cells that no path comes near."""

from __future__ import annotations

import numpy as np

from cellflow.analysis.celltypes import same_condition
from cellflow.analysis.diagnosis.sample import Sample
from cellflow.analysis.verdict import FEW
from cellflow.core._neighbors import nearest
from cellflow.core._random import as_seed, stream
from cellflow.core._typing import FloatArray, RandomState

__all__ = ["missed_share", "unreached"]

#: Random halves that show how far apart cells of one population are.
_HALVES = 5
#: Quantile of those distances that counts as near.
_NEAR = 0.99
#: Stream of the seed that draws the halves.
_UNREACHED = 3


def unreached(cells: FloatArray, paths: FloatArray, *, random_state: RandomState = 0) -> np.ndarray:
    """Which cells no path comes near.

    Near is the 99 % quantile of the distance from a cell to the nearest one of another random part
    of its own population. The part is half of the cells, or as many as there are paths where these
    are fewer; so one cell in a hundred is expected to be missed by chance, or fewer where paths are
    more.

    Parameters
    ----------
    cells
        Of one snapshot, shape `(n, d)`, at least ten.
    paths
        Where paths are at its time, shape `(m, d)`.
    random_state
        Seed of the halves.

    Returns
    -------
    Booleans, shape `(n,)`.
    """
    seed = as_seed(random_state)
    size = min(len(cells) // 2, len(paths))
    apart = []
    for k in range(_HALVES):
        order = stream(seed, k).permutation(len(cells))
        apart.append(nearest(cells[order[:size]], cells[order[size:]], 1)[0][:, 0])
    near = np.quantile(np.concatenate(apart), _NEAR)
    return np.asarray(nearest(paths, cells, 1)[0][:, 0] > near)


def missed_share(sample: Sample, k: int) -> float:
    """Share of the cells of snapshot `k` that no path of their condition comes near."""
    others = [j for j in range(len(sample.some)) if j != k]
    if not others:
        return float("nan")
    some = sample.some[k]
    seed = int(stream(sample.seed, _UNREACHED, k).integers(2**63))
    z = sample.flow.frame.to_model(some.x)
    paths = sample.flow.frame.to_model(np.concatenate([sample.states[j].x[k] for j in others]))
    context = None
    if some.context is not None:
        context = np.concatenate([sample.some[j].context for j in others])
    missed = np.zeros(len(z), dtype=bool)
    judged = np.zeros(len(z), dtype=bool)
    for here, there in same_condition(some.context, len(z), context, len(paths)):
        if len(here) >= FEW:
            judged[here] = True
            missed[here] = (
                unreached(z[here], paths[there], random_state=seed) if len(there) else True
            )
    if not judged.any():
        return float("nan")
    return float(np.average(missed[judged], weights=some.weight[judged]))
