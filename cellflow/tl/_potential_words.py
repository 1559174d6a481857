"""What potentials explain, as a table and in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.fitted import Fitted
from cellflow.analysis.landscape import Landscape
from cellflow.core._typing import FloatArray, IntArray
from cellflow.core._warn import warn
from cellflow.errors import InputWarning

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Group", "record_of", "warn_of_rotation"]

#: Unexplained share above which a potential does not show how cells move.
_MUCH = 0.5


@dataclass(frozen=True, eq=False)
class Group:
    """Cells of one population.

    Parameters
    ----------
    rows
        Shape `(m,)`.
    time
        Of the velocity.
    context
        Features of their condition, shape `(c,)`, or None.
    """

    rows: IntArray
    time: float
    context: FloatArray | None


def record_of(
    fitted: Fitted, groups: Sequence[Group], found: Sequence[Landscape]
) -> dict[str, Any]:
    """What the potentials explain, as a table and in words."""
    import pandas as pd

    conditions = fitted.cells.conditions
    table = pd.DataFrame(
        {
            "time": [group.time for group in groups],
            "condition": [
                "" if conditions is None or group.context is None
                else conditions.label(group.context)
                for group in groups
            ],
            "n_cells": [len(group.rows) for group in groups],
            "n_components": [one.n_components for one in found],
            "unexplained": [one.unexplained for one in found],
        }
    )  # fmt: skip
    known = table.dropna(subset=["unexplained"])
    share = float("nan")
    if len(known):
        share = float(np.average(known["unexplained"], weights=known["n_cells"]))
    known_share = (
        f"{share:.2f} of the squared velocity is no gradient, as a mean over cells"
        if len(known)
        else "the share of the velocity that is no gradient is not known, of so few cells"
    )
    words = f"Potential of {len(table)} populations by themselves: {known_share}."
    parted = int((table["n_components"] > 1).sum())
    if parted:
        words += (
            f" In {parted} of them the graph of neighbours falls apart; each component has a zero"
            " of its own."
        )
    return {"table": table, "unexplained": share, "words": words}


def warn_of_rotation(table: pd.DataFrame) -> None:
    """Warn of populations whose velocity is mostly no gradient."""
    much = table[table["unexplained"] > _MUCH]
    if len(much) == 0:
        return
    first = [f"{share:.2f} at {time:g}" for time, share in
             zip(much["time"][:5], much["unexplained"][:5], strict=True)]  # fmt: skip
    msg = (
        f"More than half of the squared velocity is no gradient in {len(much)} of {len(table)}"
        f" populations ({', '.join(first)}): a landscape does not show how these cells move."
        " Draw the velocity instead: cf.pl.stream."
    )
    warn(msg, InputWarning)
