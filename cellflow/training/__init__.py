"""How a dynamics is learned from plans."""

from cellflow.training.batches import PopulationStream, Source, Stream
from cellflow.training.loop import Callback, History, Schedule, Training, train

__all__ = [
    "Callback",
    "History",
    "PopulationStream",
    "Schedule",
    "Source",
    "Stream",
    "Training",
    "train",
]
