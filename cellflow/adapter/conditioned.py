"""The conditions of cells, out of the columns of an AnnData."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.barcodes import require_shared_clones
from cellflow.adapter.cells import Cells
from cellflow.adapter.read import read
from cellflow.adapter.reading import Reading
from cellflow.adapter.units import Time
from cellflow.core._numbers import shown
from cellflow.core.conditions import Conditions, shared_conditions
from cellflow.errors import InputError, InputTypeError

if TYPE_CHECKING:
    from anndata import AnnData

logger = logging.getLogger("cellflow")

__all__ = [
    "named_plans",
    "read_conditioned",
    "read_conditions",
    "require_partners",
    "with_conditions",
]


def read_conditioned(
    adata: AnnData,
    reading: Reading,
    condition_key: str | Sequence[str] | None,
    shared_until: Time | None = None,
) -> Cells:
    """Read the cells of an AnnData with their conditions; see `read` and `read_conditions`."""
    apart = [condition_key] if isinstance(condition_key, str) else condition_key or ()
    cells = read(adata, reading, apart=apart)
    return read_conditions(adata, cells, condition_key, shared_until)


def read_conditions(
    adata: AnnData,
    cells: Cells,
    condition_key: str | Sequence[str] | None,
    shared_until: Time | None = None,
) -> Cells:
    """Return the cells with the conditions in columns of `obs`; without columns, as they are.

    Parameters
    ----------
    adata, cells
        The same cells.
    condition_key
        Names of columns.
    shared_until
        Last time at which cells precede all conditions; see `Cells`.

    Raises
    ------
    InputError
        No names of columns, a column that is missing or unusable, or a cell without a value; see
        `Conditions.fitted`. Or a `shared_until` without conditions, outside the times, or with a
        condition that no later cell has.
    """
    if condition_key is None:
        if shared_until is not None:
            msg = (
                f"shared_until={shown(shared_until)} without conditions; expected condition_key="
                " beside it."
            )
            raise InputError(msg)
        return cells
    names = [condition_key] if isinstance(condition_key, str) else condition_key
    if not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        msg = (
            f"condition_key={condition_key!r}; expected the name of a column of adata.obs, or a"
            " list of names."
        )
        raise InputTypeError(msg)
    found = with_conditions(adata, cells, Conditions.fitted(adata.obs, names, where="adata.obs"))
    if shared_until is None:
        return found
    return _shared(adata, found, cells.time_unit.number("shared_until", shared_until))


def _shared(adata: AnnData, cells: Cells, until: float) -> Cells:
    """Return the cells with the last time at which they precede all conditions."""
    first = np.nanmin(cells.time)
    last = np.nanmax(cells.time)
    if not first <= until < last:
        msg = (
            f"shared_until={until:g}; expected a time from the first snapshot on and before the"
            f" last, {first:g} to {last:g}."
        )
        raise InputError(msg)
    found = replace(cells, shared_until=until)
    later, _ = found.later_conditions
    early = np.flatnonzero(cells.time <= until)
    known = (found.context[early, None] == later).all(axis=2).any(axis=1)  # type: ignore[index]
    if not known.all():
        row = early[~known][0]
        label = cells.conditions.label  # type: ignore[union-attr] # has conditions
        own = label(found.context[row])  # type: ignore[index]
        msg = (
            f"shared_until={until:g}: cell {adata.obs_names[row]!r} has {own}, which"
            " no cell after that time has. Expected one of the later conditions, "
            f"{'; '.join(sorted(map(label, later)))}: it says in which of them the cell's own"
            " velocity is shown."
        )
        raise InputError(msg)
    said = "%d cells up to time %g are shared: they are coupled in each of %d conditions."
    logger.info(said, (cells.time <= until).sum(), until, len(later))
    return found


def with_conditions(adata: AnnData, cells: Cells, conditions: Conditions) -> Cells:
    """Return the cells with conditions that a fit knows; see `Conditions.encode`."""
    context = conditions.encode(adata.obs, where="adata.obs")
    return replace(cells, conditions=conditions, context=context)


def require_partners(cells: Cells) -> None:
    """Require that every condition has cells at both ends of every interval, for the coupling.

    Where there are barcodes, that some clone has, too.

    Raises
    ------
    InputError
        Names the condition and the times, or says that there is no such clone.
    """
    if cells.conditions is not None:
        for k, (source, target) in enumerate(cells.snapshots().intervals):
            try:
                shared_conditions(source, target, label=cells.conditions.label)
            except InputError as cause:
                if k > 0 or cells.shared_until is not None:
                    raise
                msg = (
                    f"{cause} If the cells of time {source.time:g} precede all conditions, pass"
                    f" shared_until={source.time:g}."
                )
                raise InputError(msg) from cause
    require_shared_clones(cells)


def named_plans(plans: Mapping[str, Mapping[str, Any]], cells: Cells) -> dict[str, dict[str, Any]]:
    """Return the summaries of a fit's plans, with the values of each condition."""
    named = {key: dict(summary) for key, summary in plans.items()}
    if cells.conditions is None:
        return named
    for (source, target), summary in zip(cells.snapshots().intervals, named.values(), strict=False):
        shared = [
            cells.conditions.label(features) for features, _, _ in shared_conditions(source, target)
        ]
        parts = summary.get("conditions", {}).items()
        summary["conditions"] = {
            k: {"condition": name, **part} for name, (k, part) in zip(shared, parts, strict=True)
        }
    return named
