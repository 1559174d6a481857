"""The question that `cf.tl.fates` answered, so that other calls ask the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.fitted import Fitted
from cellflow.adapter.record import record_of
from cellflow.adapter.stored_fates import StoredFates, read_fates
from cellflow.analysis.fates import FateCells, Targets
from cellflow.analysis.trajectories import Noise
from cellflow.errors import InputError, closest
from cellflow.tl._fate_targets import UNDECIDED, fate_cells
from cellflow.tl._groups import Groups

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["FateQuestion", "fate_question"]


@dataclass(frozen=True, eq=False)
class FateQuestion:
    """What was asked, and what was answered.

    Parameters
    ----------
    cells, targets
        The cells, and what a fate is.
    noise
        Of diffusions; None where the flow was followed.
    stored
        Probabilities of all cells; the first columns are those of `targets.names`, in this order.
    """

    cells: FateCells
    targets: Targets
    noise: Noise | None
    stored: StoredFates

    def number(self, fate: str) -> int:
        """Column of a fate.

        Raises
        ------
        InputError
            No such fate, or one that no cell before the end has a probability of.
        """
        names = list(self.targets.names)
        if fate not in names:
            msg = f"fate={fate!r}; expected one of {names}{closest(fate, names)}."
            raise InputError(msg)
        column = names.index(fate)
        before = self.targets.ahead(self.cells.start) > 0
        if not (self.stored.probability[before, column] > 0).any():
            msg = (
                f"fate={fate!r}: no cell before the end, time {self.targets.at:g}, reaches it by"
                " this fit. Expected a fate with ancestors; see cf.get.fates."
            )
            raise InputError(msg)
        return column


def fate_question(adata: AnnData, fitted: Fitted) -> FateQuestion:
    """Read the fates of a fit, and what was asked.

    Raises
    ------
    MissingKeyError
        No fates of this fit, or no column of labels.
    InputError
        Fates of other cells, or labels that have changed.
    """
    record = record_of(adata, fitted.keys)
    stored = read_fates(adata, fitted.keys, record, fitted.cells)
    about = stored.about
    names = tuple(name for name in stored.names if name != UNDECIDED)
    labels = Groups.read(adata, str(about["groupby"])).of_cells
    missing = sorted(set(names) - set(labels))
    if missing:
        msg = (
            f"adata.obs[{about['groupby']!r}] has no cell of {missing} any more, which"
            f" cf.tl.fates has found. Call cf.tl.fates(adata, ...{fitted.keys.argument}) again."
        )
        raise InputError(msg)
    number = {name: k for k, name in enumerate(names)}
    targets = Targets(
        names,
        np.array([number.get(label, -1) for label in labels], dtype=np.int64),
        float(about["at"]),
        np.asarray(labels != "", dtype=bool),
        _absorbing(about, names),
    )
    cells = fate_cells(fitted)
    _require_same_labels(cells, targets, stored, fitted.keys.argument)
    noise = Noise(int(about["n_rep"]), int(about["random_state"]), fitted.noise_keys)
    return FateQuestion(cells, targets, noise if bool(about["stochastic"]) else None, stored)


def _require_same_labels(
    cells: FateCells, targets: Targets, stored: StoredFates, argument: str
) -> None:
    """Require that a labelled cell of the end has the fate of its label."""
    there = np.flatnonzero((cells.measured == targets.at) & (targets.code >= 0))
    other = there[stored.probability[there, targets.code[there]] < 1.0]
    if len(other):
        msg = (
            f"adata.obs[{stored.about['groupby']!r}] has changed since cf.tl.fates was called:"
            f" {len(other)} cells of the end have another label than then. Call"
            f" cf.tl.fates(adata, ...{argument}) again."
        )
        raise InputError(msg)


def _absorbing(about: Mapping[str, Any], names: tuple[str, ...]) -> dict[int, np.ndarray]:
    """Times at which regions absorb, by the number of the label."""
    known = {name.replace("/", "_"): k for k, name in enumerate(names)}
    return {
        known[name]: np.asarray(times, dtype=np.float64)
        for name, times in dict(about.get("absorb", {})).items()
    }
