"""First cell of a tutorial that is run as a short test: moments of training, long steps, few cells.

Its text is executed in the notebook's kernel, so that the notebook itself has nothing for it.
"""

import functools
from dataclasses import replace

import cellflow as cf
from cellflow.training.loop import Loop

#: Most steps of every training.
STEPS = 30
#: Steps of a solver per mean interval; 20 otherwise.
STEPS_PER_UNIT = 4
#: Most cells of each time in a simulated set.
CELLS = 1000

_loop = Loop.__init__
_simulate = cf.datasets.simulate


def _short_loop(loop, module, losses, training, **kwargs):
    _loop(loop, module, losses, replace(training, steps=min(training.steps, STEPS)), **kwargs)


@functools.wraps(_simulate)
def _small_simulate(name, *, n_obs=500, **kwargs):
    return _simulate(name, n_obs=min(n_obs, CELLS), **kwargs)


Loop.__init__ = _short_loop
cf.Flow.step = property(lambda flow: flow.clock.unit / STEPS_PER_UNIT)
cf.datasets.simulate = _small_simulate
