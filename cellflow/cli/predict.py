"""`cellflow predict`: the population at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cellflow.cli import _options as shared
from cellflow.cli._cells import of_a_time
from cellflow.cli._options import option
from cellflow.cli._program import Command, Result

__all__ = ["predict"]


def _run(options: Mapping[str, Any]) -> Result:
    from cellflow import tl

    return of_a_time(options, tl.predict)


predict = Command(
    "predict",
    "Predict the population at a time, measured or not, from cells that `cellflow fit` wrote.",
    _run,
    [
        shared.FILE,
        shared.TIME,
        option(
            "--n-obs", "Cells to predict; as many as the snapshots hold by default.", "N", type=int
        ),
        *shared.OF_A_TIME,
    ],
)
