"""Folds of a hold-out: a snapshot that is held out, and those that are left."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cellflow.analysis.sample_offsets import sample_offsets
from cellflow.core._display import Compact
from cellflow.core._numbers import as_number
from cellflow.core.population import Population, Snapshots
from cellflow.errors import InputError
from cellflow.evaluation.arguments import several
from cellflow.evaluation.baselines import around
from cellflow.evaluation.halves import Halves, Replicates, halves, replicates_of
from cellflow.evaluation.tasks import digest

__all__ = ["Fold", "aligned_around", "inner_times"]


@dataclass(frozen=True, eq=False, repr=False)
class Fold(Compact):
    """A snapshot to be predicted from the others.

    Parameters
    ----------
    snapshots
        All populations, in the coordinates that this snapshot is judged in.
    time
        Of the snapshot that is held out; an inner one.
    representation
        What these coordinates are and whether they have seen the held-out cells; a column of the
        table.

    Raises
    ------
    InputError
        No snapshot at this time, or none on one of its sides.

    Examples
    --------
    >>> snapshots = cf.synthetic.Rotation().sample(60, [0.0, 1.0, 2.0], np.random.default_rng(0))
    >>> fold = cf.evaluation.Fold(snapshots, 1.0)
    >>> fold.time
    1.0
    """

    snapshots: Snapshots
    time: float
    representation: str = "as given"

    def __post_init__(self) -> None:
        around(self.rest, self.time)

    @cached_property
    def rest(self) -> Snapshots:
        """The snapshots that a method may see."""
        return self.snapshots.without(self.time)

    @property
    def held_out(self) -> Population:
        """The snapshot that it may not see."""
        return self.snapshots.at(self.time)

    @cached_property
    def replicates(self) -> Replicates | None:
        """The samples of the held-out cells; None where there are fewer than two."""
        return replicates_of(self.held_out.sample, self.held_out.weight)

    @property
    def n_half(self) -> int:
        """The half size: half of the held-out cells, and no more than either neighbour has.

        Where the held-out snapshot has several samples, the cells of half of them.
        """
        smallest = min(int(np.count_nonzero(p.weight)) for p in around(self.rest, self.time))
        if self.replicates is not None:
            return min(self.replicates.n_half, smallest)
        return min(int(np.count_nonzero(self.held_out.weight)) // 2, smallest)

    @property
    def half_share(self) -> float:
        """Share of the held-out cells in a half, or of the samples."""
        if self.replicates is not None:
            return self.replicates.n_seen / len(self.replicates)
        return self.n_half / max(1, int(np.count_nonzero(self.held_out.weight)))

    @cached_property
    def fingerprint(self) -> str:
        """Hash of all cells and of their rows of origin, which stored clouds name."""
        clones = [p.lineage for p in self.snapshots.populations if p.lineage is not None]
        arrays = [
            a
            for p in self.snapshots.populations
            for a in (p.x, p.weight, p.index, p.context, p.sample)
            if a is not None
        ] + [a for matrix in clones for a in (matrix.indptr, matrix.indices)]
        return digest(self.snapshots.times, self.time, *arrays)

    def halves(self, n_splits: int) -> list[Halves]:
        """Splits of the held-out cells, the same for all methods."""
        return halves(self.held_out, self.n_half, n_splits=n_splits)


def aligned_around(snapshots: Snapshots, time: float, n_samples: int) -> Snapshots:
    """Remove offsets of samples, which the snapshot at `time` has no part in.

    Its cells lose the offsets of samples that are at other times too; see `sample_offsets`.
    """
    return sample_offsets(snapshots.without(time), n_samples).removed(snapshots)


def inner_times(snapshots: Snapshots, times: object = None) -> list[float]:
    """Return the times to hold out: those asked for, or all but the first and the last.

    Raises
    ------
    InputError
        Fewer than three snapshots, or a time that is none of the inner ones; the message lists
        these.
    """
    known: list[float] = snapshots.times.tolist()
    inner = known[1:-1]
    if not inner:
        found = (
            f"{len(known)} snapshot{'s' * (len(known) > 1)} only, at"
            f" {', '.join(f'{t:g}' for t in known)}"
        )
        msg = (
            f"There {'are' if len(known) > 1 else 'is'} {found}: nothing can be held out. Expected"
            " at least three, since one before and one after the held-out snapshot must remain."
            " Add a snapshot, or split the times more finely."
        )
        raise InputError(msg)
    if times is None:
        return inner
    chosen = [as_number("times", t, remedy=f", of {inner}") for t in several(times)]
    for t in chosen:
        if t not in inner:
            place = "is an end, with no snapshot beyond" if t in known else "has no snapshot"
            msg = f"times={times!r}: {t:g} {place}. Expected some of the inner times {inner}."
            raise InputError(msg)
    if not chosen:
        msg = f"times is empty; expected some of the inner times {inner}, or None for all."
        raise InputError(msg)
    return sorted(set(chosen))
