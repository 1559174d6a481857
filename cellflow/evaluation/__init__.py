"""How good a prediction is: held-out snapshots beside baselines and the noise floor."""

from cellflow.evaluation.baselines import (
    mixture,
    next_snapshot,
    noise_floor,
    ot_interpolation,
    previous_snapshot,
    random_interpolation,
)
from cellflow.evaluation.holdout import HeldOut, hold_out
from cellflow.evaluation.interpolation import path_interpolation
from cellflow.evaluation.judging import BASELINES
from cellflow.evaluation.likelihood import Likelihood, held_out_nll
from cellflow.evaluation.methods import PROTOCOLS, Method
from cellflow.evaluation.problem import Problem
from cellflow.evaluation.refinement import RefinementScore, held_out_refinement, score_refinement
from cellflow.evaluation.scores import METRICS
from cellflow.evaluation.short import Score, judge_held_out, leave_one_out, score_held_out

__all__ = [
    "BASELINES",
    "METRICS",
    "PROTOCOLS",
    "HeldOut",
    "Likelihood",
    "Method",
    "Problem",
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
