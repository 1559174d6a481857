"""Fates of cells: where they go, when that is decided, and where the field comes to rest."""

from cellflow.analysis.fates.cells import FateCells, Targets
from cellflow.analysis.fates.fates import Fates, fates
from cellflow.analysis.fates.members import averaged, joined
from cellflow.analysis.fates.terminal import terminal_states
from cellflow.analysis.fates.votes import Votes

__all__ = [
    "FateCells",
    "Fates",
    "Targets",
    "Votes",
    "averaged",
    "fates",
    "joined",
    "terminal_states",
]
