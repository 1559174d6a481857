"""Conditions and samples of the cells of a fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from cellflow.adapter.columns import column_of
from cellflow.adapter.findings import settle
from cellflow.adapter.fitted import Fitted
from cellflow.adapter.samples import samples_of
from cellflow.core._numbers import shown
from cellflow.core._random import stream
from cellflow.core._typing import BoolArray, IntArray
from cellflow.errors import InputError, MissingKeyError, closest

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["FEWEST_CELLS", "Kinds", "Units", "read_kinds", "read_units"]

#: Samples with fewer cells at a time are left out there: a plan of so few says nothing.
FEWEST_CELLS = 5
#: Parts into which the cells of each time and condition are divided where cells are the units; of
#: few cells there are fewer.
_PARTS = 5
#: Stream of that division.
_DIVIDE = 133


class Kinds(NamedTuple):
    """Conditions of the cells."""

    names: tuple[str, ...]  # the reference first
    code: IntArray  # number of the condition of each cell, `(n,)`; -1 for none
    shared: BoolArray  # whether each cell is of a time that precedes the conditions, `(n,)`


class Units(NamedTuple):
    """What is exchanged between conditions: samples, or parts of the cells."""

    names: tuple[str, ...]
    code: IntArray  # of each cell, `(n,)`; -1 for cells that take no part
    by: Literal["sample", "cell"]
    key: str  # column of the samples; empty for parts of the cells


def read_kinds(adata: AnnData, fitted: Fitted, condition_key: str, reference: object) -> Kinds:
    """Read the conditions of the cells, and which is the reference.

    Raises
    ------
    InputError
        A fit without this condition, fewer than two conditions, no such reference, or other
        conditions that vary too.
    """
    _require_condition(fitted, condition_key)
    column = settle(column_of(adata, condition_key, "condition_key"))
    until = fitted.cells.shared_until
    shared = np.zeros(adata.n_obs, dtype=bool)
    if until is not None:
        shared = fitted.cells.timed & (fitted.times <= until)
    compared = fitted.cells.timed & ~shared
    names, code = _categories(column, compared)
    if len(names) < 2:
        msg = (
            f"adata.obs[{condition_key!r}] has {len(names)} condition"
            f"{'' if len(names) == 1 else 's'} ({', '.join(names)}) among the cells that do not"
            " precede the conditions. Expected two at least."
        )
        raise InputError(msg)
    first = names[0] if reference is None else _name(reference)
    if first not in names:
        msg = (
            f"reference={shown(reference)}; expected one of the conditions in"
            f" adata.obs[{condition_key!r}], {list(names)}{closest(first, names)}."
        )
        raise InputError(msg)
    _require_one_of_the_others(fitted, condition_key, compared)
    order = [first, *(name for name in names if name != first)]
    number = np.array([order.index(name) for name in names])
    return Kinds(tuple(order), np.where(code >= 0, number[code], -1), shared)


def _require_condition(fitted: Fitted, condition_key: str) -> None:
    conditions = fitted.cells.conditions
    where = f"The fit in adata.uns[{fitted.keys.uns!r}]"
    if conditions is None:
        msg = (
            f"{where} was made without conditions, so its populations mix them. Expected one with"
            f" conditions: fit again with cf.tl.flow(condition_key={condition_key!r})."
        )
        raise InputError(msg)
    if condition_key not in conditions.names:
        hint = closest(condition_key, conditions.names)
        msg = (
            f"condition_key={condition_key!r}; {where[0].lower()}{where[1:]} was made with"
            f" {conditions.names}. Expected one of them{hint}, or a fit with"
            f" cf.tl.flow(condition_key={condition_key!r})."
        )
        raise MissingKeyError(msg)


def _require_one_of_the_others(fitted: Fitted, condition_key: str, compared: BoolArray) -> None:
    """Require that no other condition varies: its effect would be taken for that of this one."""
    conditions = fitted.cells.conditions
    if conditions is None or fitted.cells.context is None:
        return
    values = conditions.decode(fitted.cells.context[compared])
    for name in conditions.names:
        found = sorted({str(v) for v in values[name].tolist()})
        if name != condition_key and len(found) > 1:
            msg = (
                f"The fit has the condition {name!r} beside {condition_key!r}, and it varies among"
                f" the cells ({', '.join(found[:4])}). Expected cells with one value of it: compare"
                f" adata[adata.obs[{name!r}] == ...].copy()."
            )
            raise InputError(msg)


def _name(value: object) -> str:
    """A condition as text; 1 and 1.0 are the same."""
    if not isinstance(value, int | float | np.integer | np.floating) or isinstance(value, bool):
        return str(value)
    exact = float(value)
    return str(int(exact)) if exact.is_integer() else repr(exact)


def _categories(column: pd.Series, some: BoolArray) -> tuple[list[str], IntArray]:
    """Names of the conditions that some cells have, in their order, and the number of each cell."""
    import pandas as pd

    ordered = column.cat.categories if isinstance(column.dtype, pd.CategoricalDtype) else None
    known = column[some].dropna().unique().tolist()
    values = sorted(known) if ordered is None else [v for v in ordered if v in set(known)]
    number = {value: k for k, value in enumerate(values)}
    code = np.array([number.get(value, -1) for value in column.tolist()], dtype=np.int64)
    return [_name(value) for value in values], code


def read_units(
    adata: AnnData,
    fitted: Fitted,
    kinds: Kinds,
    sample_key: str | None,
    by: Literal["sample", "cell"],
    seed: int,
) -> Units:
    """Read the samples, or divide the cells of each time and condition at random.

    Raises
    ------
    InputError
        No samples, cells without one, a sample in two conditions, or one sample for all cells.
    """
    if by == "cell":
        if sample_key is not None:
            msg = (
                f"sample_key={sample_key!r} with by='cell', which takes no samples. Expected"
                " by='sample', or no sample_key."
            )
            raise InputError(msg)
        return _parts(fitted, kinds, seed)
    recorded = fitted.params.get("sample_key")
    key = sample_key if sample_key is not None else recorded
    if key is None:
        msg = (
            "sample_key=None, and the fit has none. Expected the column of adata.obs that says"
            " which sample (animal, dish, donor) each cell is of: effects are judged by how much"
            " samples differ, and cells of one sample are no replicates. Pass sample_key=, or"
            " by='cell' for p-values that are too small where samples differ."
        )
        raise InputError(msg)
    time = np.where(fitted.cells.timed, fitted.times, np.nan)
    code, names = settle(samples_of(adata, str(key), time))
    _require_samples(names, code, kinds, fitted, str(key))
    return Units(names, np.where(fitted.cells.timed, code, -1), "sample", str(key))


def _require_samples(
    names: tuple[str, ...], code: IntArray, kinds: Kinds, fitted: Fitted, key: str
) -> None:
    compared = np.flatnonzero(fitted.cells.timed & ~kinds.shared & (kinds.code >= 0))
    where = f"adata.obs[{key!r}]"
    if len(np.unique(code[compared])) == 1:
        msg = (
            f"{where} has one sample, {names[code[compared][0]]!r}, for all cells. Expected two"
            " samples of each condition at least: cells of one sample are no replicates. Pass"
            " another sample_key=, or by='cell' for p-values that are too small where samples"
            " differ."
        )
        raise InputError(msg)
    pairs = np.unique(np.stack([code[compared], kinds.code[compared]]), axis=1)
    units, count = np.unique(pairs[0], return_counts=True)
    if (count > 1).any():
        unit = units[count > 1][0]
        found = [kinds.names[c] for c in pairs[1][pairs[0] == unit]]
        msg = (
            f"{where}: sample {names[unit]!r} is in the conditions {found}. Expected each sample in"
            " one: where replicates are numbered within a condition, join both columns to one of"
            " distinct names."
        )
        raise InputError(msg)


def _parts(fitted: Fitted, kinds: Kinds, seed: int) -> Units:
    """Random parts of the cells of each time and condition, which do not depend on their order."""
    code = np.full(len(fitted.times), -1)
    rank = np.empty(len(fitted.times), dtype=np.int64)
    rank[np.argsort(fitted.noise_keys, kind="stable")] = np.arange(len(rank))
    names: list[str] = []
    for time in np.unique(fitted.times[fitted.cells.timed]):
        here = fitted.cells.timed & (fitted.times == time)
        groups = [here & kinds.shared]
        groups += [here & ~kinds.shared & (kinds.code == c) for c in range(len(kinds.names))]
        for number, group in enumerate(groups):
            rows = np.flatnonzero(group)
            rows = rows[np.argsort(rank[rows])]
            n_parts = min(_PARTS, max(2, len(rows) // FEWEST_CELLS))
            part = stream(seed, _DIVIDE, len(names), number).permutation(len(rows)) % n_parts
            code[rows] = len(names) + part
            names += [f"cells {len(names) + k}" for k in range(n_parts)]
    return Units(tuple(names), code, "cell", "")
