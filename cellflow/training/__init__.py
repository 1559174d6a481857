"""How a dynamics is learned from plans."""

from cellflow.training.batches import Stream
from cellflow.training.loop import Callback, History, Schedule, Training, train

__all__ = ["Callback", "History", "Schedule", "Stream", "Training", "train"]
