"""Dynamics with known paths, and cells of them."""

import numpy as np

from cellflow.analysis.fates import FateCells, Targets
from cellflow.core.population import Clock
from cellflow.simulation import Trajectories


class Known:
    """`path(x, t0, t) -> x`, and the mass gained, `grown(x, t0, t) -> (n,)`."""

    n_context = 0

    def __init__(self, path, grown=None, noise=None, span=(0.0, 1.0)):
        self.path, self.grown, self.noise = path, grown, noise
        self.clock = Clock(*span, span[1] - span[0], span[1] - span[0])

    def simulate(self, x, t0, times, *, step=None, context=None):
        return self._moved(x, t0, times, self.path)

    def diffuse(self, x, t0, times, *, random_state, step, keys, replicate, context=None):
        # The same noise for the same key and replicate, at every time.
        z = np.array(
            [
                np.random.default_rng([random_state, int(k), int(r)]).standard_normal(2)
                for k, r in zip(keys, replicate, strict=True)
            ]
        )
        return self._moved(x, t0, times, lambda x, t0, t: self.noise(x, t0, t, z))

    def _moved(self, x, t0, times, path):
        x = np.asarray(x, dtype=float)
        moved = np.stack([path(x, t0, t) for t in times])
        along = {}
        if self.grown is not None:
            along = {"log_weight": np.stack([self.grown(x, t0, t) for t in times])}
        return Trajectories(np.asarray(times), moved, along, np.arange(len(x)))


def cells_of(x, time, labels=None, *, at=None, absorb=None, backward=False, weight=None):
    """Cells and targets; labels are text, or None for none."""
    x, time = np.asarray(x, dtype=float), np.asarray(time, dtype=float)
    labels = np.full(len(x), None) if labels is None else np.asarray(labels, dtype=object)
    end = (time.min() if backward else time.max()) if at is None else at
    ends = {name for name, t in zip(labels, time, strict=True) if name is not None and t == end}
    names = tuple(sorted(ends | set(absorb or {})))
    code = np.array([names.index(name) if name in names else -1 for name in labels])
    made = FateCells(
        x, time, time, np.ones(len(x)) if weight is None else weight, np.arange(len(x))
    )
    absorbing = {names.index(n): np.asarray(t, dtype=float) for n, t in (absorb or {}).items()}
    labelled = np.array([name is not None for name in labels])
    return made, Targets(names, code, end, labelled, absorbing, backward)
