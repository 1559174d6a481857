"""Training points of several streams, for networks that are trained as one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any

import torch

from cellflow.paths.base import PathSample
from cellflow.training.batches import VALIDATION_POINTS, Source

__all__ = ["Several"]


class Several:
    """The points of `k` streams in one batch: row `r` is one of stream `r % k`.

    Parameters
    ----------
    streams
        With batches of one even size.
    """

    def __init__(self, streams: Sequence[Source]) -> None:
        self._streams = list(streams)

    def batches(self, first: int = 0) -> Iterator[PathSample]:
        """Batches without end, from number `first` on."""
        for batch in zip(*(stream.batches(first) for stream in self._streams), strict=True):
            yield _joined(batch)

    def validation(self) -> PathSample | None:
        """As many validation points as one stream has; None where one has none."""
        points = [stream.validation() for stream in self._streams]
        n = VALIDATION_POINTS // len(points) // 2 * 2
        kept = [found.rows(0, n) for found in points if found is not None]
        return _joined(kept) if len(kept) == len(points) else None


def _joined(samples: Sequence[PathSample]) -> PathSample:
    """Points row by row from each of several samples of one size."""
    values: dict[str, Any] = {}
    for field in fields(PathSample):
        found = [getattr(sample, field.name) for sample in samples]
        if field.name == "observed" and found[0] is not None:
            values[field.name] = _joined(found)
        elif all(value is not None for value in found):
            values[field.name] = torch.stack(found, dim=1).flatten(0, 1)
    return PathSample(**values)
