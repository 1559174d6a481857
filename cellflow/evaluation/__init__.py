"""How good a prediction is: held-out snapshots beside baselines and the noise floor."""

from cellflow.core._warn import warn
from cellflow.evaluation.baselines import (
    mixture,
    next_snapshot,
    noise_floor,
    ot_interpolation,
    previous_snapshot,
    random_interpolation,
)
from cellflow.evaluation.folds import Fold
from cellflow.evaluation.holdout import HeldOut, hold_out
from cellflow.evaluation.interpolation import path_interpolation
from cellflow.evaluation.likelihood import Likelihood, held_out_nll
from cellflow.evaluation.methods import Predictor
from cellflow.evaluation.metric import METRICS, Metric
from cellflow.evaluation.names import BASELINES, PROTOCOLS
from cellflow.evaluation.refinement import RefinementScore, held_out_refinement, score_refinement
from cellflow.evaluation.short import Score, judge_held_out, leave_one_out, score_held_out

__all__ = [
    "BASELINES",
    "METRICS",
    "PROTOCOLS",
    "Fold",
    "HeldOut",
    "Likelihood",
    "Metric",
    "Predictor",
    "RefinementScore",
    "Score",
    "held_out_nll",
    "held_out_refinement",
    "hold_out",
    "judge_held_out",
    "leave_one_out",
    "mixture",
    "next_snapshot",
    "noise_floor",
    "ot_interpolation",
    "path_interpolation",
    "previous_snapshot",
    "random_interpolation",
    "score_held_out",
    "score_refinement",
]


def __dir__() -> list[str]:
    """Public names only."""
    return __all__


#: New names by the old ones.
_RENAMED = {"Method": "Predictor", "Problem": "Fold"}


def __getattr__(name: str) -> object:
    """Return a renamed member by its old name, with a FutureWarning."""
    if name not in _RENAMED:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    new = _RENAMED[name]
    warn(f"{__name__}.{name} is now {__name__}.{new}; the old name goes away.", FutureWarning)
    value: object = globals()[new]
    return value
