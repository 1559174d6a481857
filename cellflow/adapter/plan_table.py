"""Mass that goes from label to label over the snapshots of a fit, as a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.columns import read_labels
from cellflow.adapter.conditioned import require_partners
from cellflow.adapter.fitted import Fitted, read_fitted
from cellflow.adapter.units import Time
from cellflow.core._numbers import shown
from cellflow.core._typing import FloatArray
from cellflow.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from cellflow.analysis.label_flows import LabelFlow

__all__ = ["NOT_GIVEN", "UNPAIRED", "plan_table"]

#: Name of cells without a label, as in legends.
NOT_GIVEN = "not given"
#: In place of a label: mass of cells that have no partner in the plan.
UNPAIRED = "no partner"
#: Mass below this share of the step is rounding.
_ROUNDING = 1e-9


def plan_table(
    adata: AnnData, groupby: str, times: Sequence[Time] | None, key: str
) -> pd.DataFrame:
    """Return the mass from label to label between consecutive `times`; see `cf.get.plan`.

    Raises
    ------
    InputError
        No fit that moves cells, no such column, times that are none of the snapshots, or a coupling
        that is not part of cellflow.
    CouplingError
        A plan that cannot be solved.
    """
    from cellflow.analysis.label_flows import label_flows

    labels = read_labels(adata, groupby, "groupby")
    fitted = read_fitted(adata, key)
    names = _names(adata, groupby, labels)
    _require_snapshots(fitted)
    snapshots = fitted.cells.snapshots()
    asked = _times(fitted, snapshots.times, times)
    place = {name: k for k, name in enumerate(names)}
    codes = np.array([place[NOT_GIVEN if label is None else label] for label in labels])
    try:
        found = label_flows(fitted.flow, snapshots, codes, len(names), asked)
    except InputError as cause:
        msg = (
            f"The plans of this fit cannot be solved again. {cause} Expected a fit whose coupling"
            " is part of cellflow."
        )
        raise InputError(msg) from cause
    return _table(found, names, fitted)


def _names(adata: AnnData, groupby: str, labels: np.ndarray) -> list[str]:
    """Labels in the order of the categories, else sorted; without a label comes last."""
    column = adata.obs[groupby]
    present = {label for label in labels if label is not None}
    if hasattr(column, "cat"):
        names = [str(name) for name in column.cat.categories if str(name) in present]
    else:
        names = [str(name) for name in sorted(column.dropna().unique().tolist(), key=_order)]
    if NOT_GIVEN in names or UNPAIRED in names:
        msg = (
            f"adata.obs[{groupby!r}] has a label {NOT_GIVEN!r} or {UNPAIRED!r}, which the table"
            " uses for cells without one. Expected other names: rename it."
        )
        raise InputError(msg)
    complete = all(label is not None for label in labels)
    return names if complete else [*names, NOT_GIVEN]


def _order(value: Any) -> tuple[bool, Any]:
    return (isinstance(value, str), value)


def _require_snapshots(fitted: Fitted) -> None:
    """Make sure that the measured cells can be coupled."""
    times = np.unique(fitted.cells.time[fitted.cells.timed])
    if len(times) < 2:
        msg = (
            f"These cells were measured at {times.tolist()}; mass goes from label to label between"
            " two times at least. Expected cells of all snapshots of the fit."
        )
        raise InputError(msg)
    require_partners(fitted.cells)


def _times(fitted: Fitted, known: FloatArray, asked: Sequence[Time] | None) -> FloatArray:
    """Times of snapshots, increasing; all by default."""
    if asked is None:
        return known
    if isinstance(asked, str) or not hasattr(asked, "__len__") or len(asked) < 2:
        msg = f"times={shown(asked)}; expected at least two of {known.tolist()}, or None for all."
        raise InputError(msg)
    found = np.array([fitted.time(time, "times") for time in asked])
    wrong = [time for time in found.tolist() if time not in known]
    if wrong or (np.diff(found) <= 0).any():
        why = f"no cells were measured at {wrong}" if wrong else "they do not increase"
        msg = f"times={shown(asked)}, but {why}. Expected some of {known.tolist()}, increasing."
        raise InputError(msg)
    return found


def _table(found: Sequence[LabelFlow], names: Sequence[str], fitted: Fitted) -> pd.DataFrame:
    """One row for each interval and pair of labels with mass."""
    import pandas as pd

    columns = ["from_time", "time", "source", "target", "mass_before", "mass_after"]
    table = pd.DataFrame([row for flow in found for row in _rows(flow, names)], columns=columns)
    table["to_share"] = table["mass_before"] / _sum(table, "source", "mass_before")
    table["from_share"] = table["mass_after"] / _sum(table, "target", "mass_after")
    for name in ("source", "target"):
        order = [label for label in (*names, UNPAIRED) if label in set(table[name])]
        table[name] = pd.Categorical(table[name], order)
    table.attrs["words"] = _words(found, fitted)
    return table


def _sum(table: pd.DataFrame, side: str, mass: str) -> pd.Series:
    """Mass of the label on one side of each row; that of no label is NaN."""
    sums = table.groupby(["from_time", side])[mass].transform("sum")
    return sums.where((table[side] != UNPAIRED) & (sums > 0))


def _rows(flow: LabelFlow, names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    times = (flow.from_time, flow.time)
    least = _ROUNDING * max(flow.source.sum(), flow.target.sum())
    for i, source in enumerate(names):
        for j, target in enumerate(names):
            before = float(flow.before[i, j])
            after = float(flow.after[i, j])
            if max(before, after) > least:
                yield (*times, source, target, before, after)
        lost = float(flow.source[i] - flow.before[i].sum())
        if lost > least:
            yield (*times, source, UNPAIRED, lost, 0.0)
    for j, target in enumerate(names):
        new = float(flow.target[j] - flow.after[:, j].sum())
        if new > least:
            yield (*times, UNPAIRED, target, 0.0, new)


def _words(found: Sequence[LabelFlow], fitted: Fitted) -> str:
    """What the masses are."""
    coupling = dict(fitted.flow.recipe).get("coupling", {})
    grows = any(
        not np.allclose(flow.before, flow.after, rtol=0, atol=1e-6 * flow.source.sum())
        for flow in found
    )
    same = (
        "Masses before and after an interval differ where cells grow, and where the plan does not"
        " keep the measured weights."
        if grows
        else "The plans conserve mass."
    )
    kind = dict(coupling).get("type", "unknown")
    return f"Plans between snapshots, solved again by the coupling of the fit ({kind}). {same}"
