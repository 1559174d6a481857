"""How good a prediction is: held-out snapshots beside baselines and the noise floor."""

from cellflow.benchmark.baselines import noise_floor, ot_interpolation, previous_snapshot
from cellflow.benchmark.holdout import Score, leave_one_out
from cellflow.benchmark.likelihood import Likelihood, held_out_nll

__all__ = ["Likelihood", "Score", "held_out_nll", "leave_one_out", "noise_floor", "ot_interpolation", "previous_snapshot"]
