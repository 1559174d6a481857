"""What `cf.tl.trends` is asked: fates, groups, conditions, and the part of each cell in a trend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cellflow.adapter.fitted import Fitted
from cellflow.analysis.fates import fates as find_fates
from cellflow.core._numbers import shown
from cellflow.core._typing import FloatArray, IntArray
from cellflow.errors import InputError
from cellflow.tl._fate_question import FateQuestion, fate_question
from cellflow.tl._fate_targets import UNDECIDED
from cellflow.tl._groups import Groups

if TYPE_CHECKING:
    from anndata import AnnData

    from cellflow.core.conditions import Condition
    from cellflow.model.base import FittedDynamics

__all__ = ["ALL", "Kind", "Kinds", "kinds_of"]

#: What a table says where cells are not divided.
ALL = "all"


class Kind(NamedTuple):
    """One trend: of a fate, of a group of cells, in a condition; `"all"` where it is of all."""

    fate: str
    group: str
    condition: str


@dataclass(frozen=True, eq=False)
class Kinds:
    """The trends that are asked for.

    Parameters
    ----------
    fates, groups, conditions
        Their names, `["all"]` where cells are not divided by them.
    features
        Of each condition, `(c,)`; None for the cells' own.
    columns
        Column of each fate in the probabilities; empty without fates.
    codes
        Number of the group of each cell, -1 for none, `(n,)`.
    question
        What `cf.tl.fates` was asked, where fates are.
    context
        Features of the conditions of the cells, `(n, c)`, or None.
    """

    fates: list[str]
    groups: list[str]
    conditions: list[str]
    features: list[FloatArray | None]
    columns: list[int]
    codes: IntArray
    question: FateQuestion | None
    context: FloatArray | None

    @property
    def of_one(self) -> int:
        """Number of trends in each condition."""
        return len(self.fates) * len(self.groups)

    @property
    def each(self) -> list[Kind]:
        """All trends: by condition, then by fate, then by group."""
        every = product(self.conditions, self.fates, self.groups)
        return [Kind(fate, group, condition) for condition, fate, group in every]

    def parts(self, flow: FittedDynamics, stored: FloatArray | None) -> PartOf:
        """The part of each cell in the trends, by one flow; see `PartOf`."""
        return PartOf(self, flow, stored)


@dataclass(frozen=True, eq=False)
class PartOf:
    """The part of cells in each trend of a condition: `(rows, context) -> (n, c)`.

    It is the probability of the fate for the cells of the group.

    Parameters
    ----------
    kinds
        The trends.
    flow
        That probabilities are of.
    stored
        Probabilities of all cells in their own conditions, `(n, l)`; None where there are none of
        this flow.
    """

    kinds: Kinds
    flow: FittedDynamics
    stored: FloatArray | None
    _known: dict[bytes, FloatArray] = field(default_factory=dict)

    def __call__(self, rows: IntArray, context: FloatArray | None) -> FloatArray:
        kinds = self.kinds
        of_group = np.ones((len(rows), 1))
        if kinds.groups != [ALL]:
            of_group = 1.0 * (kinds.codes[rows, None] == np.arange(len(kinds.groups)))
        of_fate: FloatArray = np.ones((len(rows), 1))
        if kinds.columns:
            of_fate = self._probability(rows, context)[:, kinds.columns]
        return np.asarray((of_fate[:, :, None] * of_group[:, None, :]).reshape(len(rows), -1))

    def _probability(self, rows: IntArray, context: FloatArray | None) -> FloatArray:
        """Probabilities of cells that move as if they were of some condition, `(n, l)`."""
        question = self.kinds.question
        own = self.kinds.context
        assert question is not None, "there are fates"
        found = np.zeros((len(rows), len(question.targets.names) + 1))
        different = np.zeros(len(rows), dtype=bool)
        if context is not None and own is not None:
            different = (context != own[rows]).any(axis=1)
            for features in np.unique(context[different], axis=0):
                here = different & (context == features).all(axis=1)
                found[here] = self._answer(features)[rows[here]]
        if not different.all():
            known = self._answer(None) if self.stored is None else self.stored
            # Stored ones have a column of undecided mass only where there is any.
            found[~different, : known.shape[1]] = known[rows[~different]]
        return found

    def _answer(self, features: FloatArray | None) -> FloatArray:
        """Probabilities of all cells, in their own condition or another one, by all members."""
        name = b"" if features is None else features.tobytes()
        if name not in self._known:
            question = self.kinds.question
            assert question is not None, "there are fates"
            cells = question.cells
            if features is not None:
                cells = replace(cells, context=np.tile(features, (len(cells), 1)))
            members = self.flow.members or (self.flow,)
            self._known[name] = np.mean(
                [
                    find_fates(flow, cells, question.targets, noise=question.noise).probability
                    for flow in members
                ],
                axis=0,
            )
        return self._known[name]


def kinds_of(
    adata: AnnData,
    fitted: Fitted,
    fate: str | Sequence[str] | None,
    groupby: str | None,
    condition: Condition | Sequence[Condition] | None,
    start: float | None,
) -> Kinds:
    """Read fates, groups and conditions.

    Raises
    ------
    MissingKeyError
        No fates, or no column.
    InputError
        A fate that does not exist or that no cell reaches, one that is named twice, a column
        without labels, or a condition that cannot be asked of this fit.
    """
    fates, columns, question = _fates(adata, fitted, fate)
    groups, codes = _groups(adata, fitted, groupby, start)
    conditions, features = _conditions(fitted, condition)
    return Kinds(
        fates, groups, conditions, features, columns, codes, question, fitted.cells.context
    )


def _fates(
    adata: AnnData, fitted: Fitted, fate: str | Sequence[str] | None
) -> tuple[list[str], list[int], FateQuestion | None]:
    if fate is None:
        return [ALL], [], None
    names = _several("fate", [fate] if isinstance(fate, str) else fate)
    question = fate_question(adata, fitted)
    columns = []
    for name in names:
        known = name == UNDECIDED and UNDECIDED in question.stored.names
        columns.append(len(question.targets.names) if known else question.number(name))
    return names, columns, question


def _groups(
    adata: AnnData, fitted: Fitted, groupby: str | None, start: float | None
) -> tuple[list[str], IntArray]:
    """Names of the groups that have cells, and the number of the group of each cell."""
    if groupby is None:
        return [ALL], np.zeros(adata.n_obs, dtype=np.int64)
    labels = Groups.read(adata, groupby).of_cells
    time = fitted.cells.time
    there = ~np.isnan(time) if start is None else time == start
    column = adata.obs[groupby]
    order = column.cat.categories if hasattr(column, "cat") else sorted(set(labels))
    present = set(labels[there]) - {""}
    names = [name for name in map(Groups.name, order) if name in present]
    if not names:
        when = "with a time" if start is None else f"of time {start:g}"
        msg = (
            f"groupby={groupby!r}: no cell {when} has a label in adata.obs[{groupby!r}]. Expected"
            " labels: fill the column, or pass another one."
        )
        raise InputError(msg)
    number = {name: k for k, name in enumerate(names)}
    return names, np.array([number.get(label, -1) for label in labels], dtype=np.int64)


def _conditions(
    fitted: Fitted, condition: Condition | Sequence[Condition] | None
) -> tuple[list[str], list[FloatArray | None]]:
    if condition is None:
        return [ALL], [None]
    several = isinstance(condition, Sequence) and not isinstance(condition, str | Mapping)
    asked: Any = condition if several else [condition]
    if len(asked) == 0:
        msg = "condition=[] names none; expected one or several, or None for the cells' own."
        raise InputError(msg)
    features: list[FloatArray | None] = [fitted.asked(one) for one in asked]
    names = [_label(fitted, found) for found in features]
    _once("condition", names)
    return names, features


def _label(fitted: Fitted, features: FloatArray | None) -> str:
    """A condition in words: the value alone where there is one column."""
    values = fitted.values(np.asarray(features))
    texts = [Groups.name(value) for value in values.values()]
    if len(texts) == 1:
        return texts[0]
    return ", ".join(f"{name}={text}" for name, text in zip(values, texts, strict=True))


def _several(argument: str, names: object) -> list[str]:
    found = list(names) if isinstance(names, Sequence | np.ndarray) else []
    if not found or not all(isinstance(name, str) for name in found):
        msg = f"{argument}={shown(names)}; expected a name or a list of names."
        raise InputError(msg)
    _once(argument, found)
    return [str(name) for name in found]


def _once(argument: str, names: Sequence[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        msg = f"{argument}= names {twice} more than once; expected each once."
        raise InputError(msg)
