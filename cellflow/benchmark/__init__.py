"""How good a prediction is: held-out snapshots beside baselines and the noise floor."""

from cellflow.benchmark.baselines import noise_floor, ot_interpolation, previous_snapshot
from cellflow.benchmark.holdout import Score, leave_one_out, score_held_out

__all__ = ["Score", "leave_one_out", "noise_floor", "ot_interpolation", "previous_snapshot", "score_held_out"]
