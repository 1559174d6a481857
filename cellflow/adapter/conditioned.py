"""The conditions of cells, out of the columns of an AnnData."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cellflow.adapter.read import Cells
from cellflow.conditions import Conditions, shared_conditions
from cellflow.errors import InputTypeError

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["named_plans", "read_conditions", "require_partners", "with_conditions"]


def read_conditions(adata: AnnData, cells: Cells, condition_key: str | Sequence[str] | None) -> Cells:
    """Return the cells with the conditions that columns of `adata.obs` name; without columns, as they are.

    Raises
    ------
    InputError
        No names of columns, a column that is missing or unusable, or a cell without a value; see `Conditions.fitted`.
    """
    if condition_key is None:
        return cells
    names = [condition_key] if isinstance(condition_key, str) else condition_key
    if not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        msg = f"condition_key={condition_key!r}; expected the name of a column of adata.obs, or a list of names."
        raise InputTypeError(msg)
    return with_conditions(adata, cells, Conditions.fitted(adata.obs, names, where="adata.obs"))


def with_conditions(adata: AnnData, cells: Cells, conditions: Conditions) -> Cells:
    """Return the cells with conditions that a fit knows; see `Conditions.encode`."""
    return replace(cells, conditions=conditions, context=conditions.encode(adata.obs, where="adata.obs"))


def require_partners(cells: Cells) -> None:
    """Make sure that every condition is there at both ends of every interval, so that it can be coupled.

    Raises
    ------
    InputError
        Names the condition and the times.
    """
    if cells.conditions is not None:
        for source, target in cells.snapshots().intervals:
            shared_conditions(source, target, label=cells.conditions.label)


def named_plans(plans: Mapping[str, Mapping[str, Any]], cells: Cells) -> dict[str, dict[str, Any]]:
    """Return the summaries of a fit's plans, those inside conditions with the values of each condition."""
    named = {key: dict(summary) for key, summary in plans.items()}
    if cells.conditions is None:
        return named
    for (source, target), summary in zip(cells.snapshots().intervals, named.values(), strict=False):
        shared = [cells.conditions.label(features) for features, _, _ in shared_conditions(source, target)]
        parts = summary.get("conditions", {}).items()
        summary["conditions"] = {k: {"condition": name, **part} for name, (k, part) in zip(shared, parts, strict=True)}
    return named
