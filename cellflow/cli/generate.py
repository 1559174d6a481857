"""`cellflow generate`: new cells from noise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cellflow.cli import _options as shared
from cellflow.cli._cells import of_a_time
from cellflow.cli._options import option
from cellflow.cli._program import Command, Result

__all__ = ["generate"]


def _run(options: Mapping[str, Any]) -> Result:
    from cellflow import tl

    return of_a_time(options, tl.generate, generating=True)


generate = Command(
    "generate",
    "Generate cells of a time from noise, with a fit of `cellflow fit --method fm`.",
    _run,
    [
        shared.FILE,
        shared.TIME,
        option("--n-obs", "Cells to generate.", "N", type=int, required=True),
        *shared.OF_A_TIME,
    ],
)
