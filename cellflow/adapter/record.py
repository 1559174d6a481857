"""What a record in `uns` holds, as one schema that every reader goes through."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.findings import Finding
from cellflow.adapter.keys import DEFAULT, Keys, Kind
from cellflow.adapter.places import kind_of
from cellflow.adapter.schema import BENCHMARK, CHOICE, DENSITIES, DIAGNOSIS, FIT, Entry, is_group
from cellflow.core.conditions import Conditions
from cellflow.errors import CellFlowError, InputError, MissingKeyError, ModelFileError, closest

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["conditions_of", "read_diagnosis", "read_record", "record_of"]

#: Of each kind that is read: its entries, the call that writes it, and what a damaged one is raised
#: as.
_SCHEMAS: dict[Kind, tuple[Mapping[str, Entry], str, type[CellFlowError]]] = {
    "fit": (FIT, "cf.tl.flow", ModelFileError),
    "densities": (DENSITIES, "cf.tl.density", ModelFileError),
    "benchmark": (BENCHMARK, "cf.bench.holdout", InputError),
    "choice": (CHOICE, "cf.bench.tune", InputError),
}


def record_of(adata: AnnData, keys: Keys) -> dict[str, Any]:
    """Return `uns[key]` of a fit, checked; see `read_record`.

    Raises
    ------
    MissingKeyError
        There is no fit under this key; the message lists those there are.
    ModelFileError
        One that is damaged; the message names the entry.
    """
    if kind_of(adata, keys.uns) != "fit" or "cellflow_version" not in adata.uns[keys.uns]:
        fits = [
            name
            for name in adata.uns
            if isinstance(name, str) and kind_of(adata, name) == "fit" and name != keys.uns
        ]
        known = (
            f"Fits are at {fits}{closest(keys.uns, fits)}; pass key=."
            if fits
            else "There is none at all."
        )
        added = "" if keys.uns == DEFAULT else f", key_added={keys.uns!r}"
        msg = (
            f"adata.uns[{keys.uns!r}] holds no fit. {known} Fit first: cf.tl.flow(adata,"
            f" time_key=..., use_rep=...{added})."
        )
        raise MissingKeyError(msg)
    return read_record(adata, keys.uns, "fit")


def read_record(adata: AnnData, name: str, kind: Kind) -> dict[str, Any]:
    """Return the record `uns[name]`, all of whose entries are what they should be.

    Parameters
    ----------
    adata
        With such a record.
    name
        Where it is.
    kind
        What it is.

    Raises
    ------
    ModelFileError, InputError
        An entry is missing, or is not what was written; by kind.
    """
    entries, call, error = _SCHEMAS[kind]
    return _checked(adata.uns[name], entries, f"adata.uns[{name!r}]", call, error)


def read_diagnosis(record: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return the diagnosis of a fit's record, checked.

    Raises
    ------
    ModelFileError
        An entry is missing, or is not what was written.
    """
    found = _checked(record["diagnosis"], DIAGNOSIS, where, "cf.tl.diagnose", ModelFileError)
    missing = [name for name in found["columns"] if str(name) not in found["table"]]
    if missing:
        place = f"{where}['table']"
        msg = _damaged(place, f"lacks {missing}", "every one of 'columns'", "cf.tl.diagnose")
        raise ModelFileError(msg)
    return found


def conditions_of(record: Mapping[str, Any], where: str, n_context: int) -> Conditions | None:
    """Return the conditions that a fit's record tells of, or None for a fit without.

    Parameters
    ----------
    record
        Of a fit.
    where
        What messages call it.
    n_context
        Number of features that the model expects.

    Raises
    ------
    ModelFileError
        They are unreadable, or not those of the model.
    """
    place = f"{where}['conditions']"
    found = None
    if "conditions" in record:
        try:
            found = Conditions.from_state(json.loads(str(record["conditions"])))
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as cause:
            msg = _damaged(place, f"cannot be read ({cause})", "what was written", "cf.tl.flow")
            raise ModelFileError(msg) from cause
    if found is not None and not found.columns:
        found = None
    width = 0 if found is None else sum(column.width for column in found.columns)
    if width != n_context:
        stored = f"stands for {width} features"
        raise ModelFileError(_damaged(place, stored, f"the {n_context} of the model", "cf.tl.flow"))
    return found


def _checked(
    record: Any, entries: Mapping[str, Entry], where: str, call: str, error: type[CellFlowError]
) -> dict[str, Any]:
    if not is_group(record):
        raise error(_damaged(where, f"is {_shown(record)}", "a group", call))
    for msg in _examined(record, entries, where, call):
        raise error(msg)
    return dict(record)


def _examined(
    group: Mapping[str, Any], entries: Mapping[str, Entry], where: str, call: str
) -> Iterator[str]:
    """A message about each entry that is not what was written."""
    for name, entry in entries.items():
        place = f"{where}[{name!r}]"
        expected = f"{entry.expected}, which {call} wrote"
        if name not in group:
            if entry.required:
                yield _damaged(place, "is missing", expected, call)
        elif not entry.accepts(group[name]):
            yield _damaged(place, f"is {_shown(group[name])}", expected, call)
        else:
            yield from _examined(group[name], entry.entries, place, call)


def _shown(value: Any) -> str:
    """A value as a message can hold it."""
    if value is None or isinstance(value, str | int | float | np.number):
        return repr(value) if len(repr(value)) <= 60 else f"{repr(value)[:57]}..."
    shape = f" of shape {value.shape}" if hasattr(value, "shape") else ""
    return f"a {type(value).__name__}{shape} with other content"


def _damaged(place: str, found: str, expected: str, call: str) -> str:
    """The message about an entry that `call` wrote otherwise."""
    remedy = f"Restore it from a copy, or make it again with {call}."
    return Finding(place, found, expected, remedy).message
