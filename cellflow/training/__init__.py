"""How a dynamics is learned from plans."""

from cellflow.training.batches import Source, Stream
from cellflow.training.cells import PopulationStream
from cellflow.training.dynamics import train
from cellflow.training.loop import Callback
from cellflow.training.settings import Schedule, Training
from cellflow.training.several import Several
from cellflow.training.state import History, State

__all__ = [
    "Callback",
    "History",
    "PopulationStream",
    "Schedule",
    "Several",
    "Source",
    "State",
    "Stream",
    "Training",
    "train",
]
