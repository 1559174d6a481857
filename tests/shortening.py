"""First cell of a tutorial that is run as a short test: moments of training, long steps, few cells.

Its text is executed in the notebook's kernel, so that the notebook itself has nothing for it.
"""

import functools
import inspect
from dataclasses import replace

import cellflow as cf
from cellflow.training.loop import Loop

#: Most steps of every training.
STEPS = 30
#: Steps of a solver per mean interval; 20 otherwise.
STEPS_PER_UNIT = 4
#: Largest values of arguments that set the length of a call.
MOST = {
    (cf.datasets, "simulate"): {"n_obs": 1000},
    (cf.bench, "holdout"): {"n_splits": 2},
    (cf.bench, "lineage"): {"n_splits": 2, "n_bootstrap": 100},
    (cf.tl, "compare"): {"n_perm": 49, "max_cells": 60},
    (cf.tl, "drivers"): {"max_cells": 100},
    (cf.tl, "perturb"): {"n_null": 2, "max_cells": 100},
}


def _short_loop(loop, module, losses, training, **kwargs):
    _whole_loop(loop, module, losses, replace(training, steps=min(training.steps, STEPS)), **kwargs)


def _limited(call, most):
    """The call with some of its arguments at most so large."""
    defaults = {name: inspect.signature(call).parameters[name].default for name in most}

    @functools.wraps(call)
    def limited(*args, **kwargs):
        asked = {name: kwargs.get(name, defaults[name]) for name in most}
        return call(*args, **kwargs | {name: min(asked[name], most[name]) for name in most})

    return limited


_whole_loop = Loop.__init__
# The tests import every module for its docstrings; their trainings stay whole.
if __name__ == "__main__":
    Loop.__init__ = _short_loop
    cf.Flow.step = property(lambda flow: flow.clock.unit / STEPS_PER_UNIT)
    for (_module, _name), _most in MOST.items():
        setattr(_module, _name, _limited(getattr(_module, _name), _most))
