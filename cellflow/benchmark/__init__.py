"""How good a prediction is: held-out snapshots beside baselines and the noise floor."""

from cellflow.benchmark.baselines import noise_floor, ot_interpolation, previous_snapshot
from cellflow.benchmark.holdout import Score, leave_one_out, score_held_out
from cellflow.benchmark.interpolation import path_interpolation
from cellflow.benchmark.likelihood import Likelihood, held_out_nll
from cellflow.benchmark.refinement import RefinementScore, held_out_refinement, score_refinement

__all__ = [
    "Likelihood",
    "RefinementScore",
    "Score",
    "held_out_nll",
    "held_out_refinement",
    "leave_one_out",
    "noise_floor",
    "ot_interpolation",
    "path_interpolation",
    "previous_snapshot",
    "score_held_out",
    "score_refinement",
]
