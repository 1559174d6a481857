"""Figures: functions that draw on an Axes and return it."""

from cellflow.pl._fates import fates
from cellflow.pl._growth import growth
from cellflow.pl._loss import loss
from cellflow.pl._population import population
from cellflow.pl._stream import stream
from cellflow.pl._trajectories import trajectories

__all__ = ["fates", "growth", "loss", "population", "stream", "trajectories"]
