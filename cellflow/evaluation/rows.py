"""One row of a hold-out's table: how one method did on one held-out snapshot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cellflow.evaluation.folds import Fold
from cellflow.evaluation.names import Kind
from cellflow.evaluation.scores import Scores

__all__ = ["Row", "plain_scores", "read_row"]


@dataclass(frozen=True, eq=False)
class Row:
    """How one method did on one held-out snapshot.

    Parameters
    ----------
    time, method, protocol, seed, kind, representation
        Columns of the table; a baseline has no protocol and no seed.
    scores
        What was measured.
    seconds
        Time to predict, training and plans included, scoring not.
    half_share
        Share of the held-out cells that are in a half; of the samples, where halves are of these.
    n_samples
        Samples that halves are made of; 0 where they are made of cells.
    """

    time: float
    method: str
    protocol: str
    seed: int | None
    kind: Kind
    scores: Scores
    seconds: float
    representation: str
    half_share: float = 0.5
    n_samples: int = 0

    @property
    def halves(self) -> str:
        """What halves are made of, and with it intervals and the noise floor."""
        return f"{self.n_samples} samples" if self.n_samples else "cells"


def plain_scores(scores: Scores) -> dict[str, Any]:
    """Scores as plain values, as JSON has them."""
    splits = {name: list(values) for name, values in scores.splits.items()}
    return {"values": dict(scores.values), "splits": splits, "notes": list(scores.notes)}


def read_row(fold: Fold, row: Mapping[str, Any]) -> Row:
    """Return a row from plain values; the label of the coordinates is that of the fold."""
    splits = {name: tuple(values) for name, values in row["splits"].items()}
    scores = Scores(row["values"], splits, tuple(row["notes"]))
    named = {key: row[key] for key in ("method", "protocol", "seed", "kind")}
    return Row(
        fold.time,
        scores=scores,
        seconds=row["seconds"],
        representation=fold.representation,
        half_share=fold.half_share,
        n_samples=0 if fold.replicates is None else len(fold.replicates),
        **named,
    )
