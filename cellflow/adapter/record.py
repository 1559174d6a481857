"""What a record in `uns` holds, as one schema that every reader goes through."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.fingerprint import is_fingerprint
from cellflow.adapter.keys import DEFAULT, Keys, Kind, kind_of
from cellflow.adapter.problem import Problem
from cellflow.core._numbers import is_number
from cellflow.core.conditions import Conditions
from cellflow.errors import CellFlowError, InputError, MissingKeyError, ModelFileError, closest

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["conditions_of", "read_diagnosis", "read_record", "record_of"]


@dataclass(frozen=True)
class _Entry:
    """One entry of a record.

    Parameters
    ----------
    expected
        What it is, in words.
    accepts
        Whether a value is that.
    required
        Whether it must be there.
    entries
        What is in it, where it is a group.
    """

    expected: str
    accepts: Callable[[Any], bool]
    required: bool = True
    entries: Mapping[str, _Entry] = field(default_factory=dict)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_count(value: Any) -> bool:
    """Whether it is a whole number of at least 1; an h5ad may hold it as a float."""
    return is_number(value) and bool(np.isfinite(value)) and value == int(value) >= 1


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool | np.bool_)


def _is_flags(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype == np.bool_


def _is_group(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(name, str) for name in value)


def _is_group_of_groups(value: Any) -> bool:
    return _is_group(value) and all(_is_group(inner) for inner in value.values())


def _is_texts(value: Any) -> bool:
    if not isinstance(value, list | np.ndarray) and not hasattr(value, "to_numpy"):
        return False
    array = np.asarray(value, dtype=object)
    return array.ndim == 1 and all(isinstance(text, str) for text in array)


def _numbers(value: Any) -> np.ndarray | None:
    """An array of real numbers, or None."""
    try:
        array = np.asarray(value)
    except ValueError:  # rows of several lengths
        return None
    return array if array.dtype.kind in "iuf" else None


def _is_column(value: Any) -> bool:
    array = _numbers(value)
    return array is not None and array.ndim == 1


def _is_times(value: Any) -> bool:
    array = _numbers(value)
    return (
        array is not None and array.ndim == 1 and len(array) > 0 and bool(np.isfinite(array).all())
    )


def _is_counts(n: int) -> Callable[[Any], bool]:
    def accepts(value: Any) -> bool:
        return (
            _is_column(value) and len(value) == n and all(_is_count(v) for v in np.asarray(value))
        )

    return accepts


def _is_history(value: Any) -> bool:
    if (
        not _is_group(value)
        or not {"step", "loss"} <= set(value)
        or ("val_step" in value) != ("val_loss" in value)
    ):
        return False
    pairs = [("step", "loss"), ("val_step", "val_loss")]
    columns = all(_is_column(column) for column in value.values())
    return columns and all(len(value.get(a, ())) == len(value.get(b, ())) for a, b in pairs)


def _is_hashes(value: Any) -> bool:
    return _is_group(value) and all(
        np.asarray(v).dtype == np.uint32 and np.ndim(v) == 1 for v in value.values()
    )


def _is_any_table(value: Any) -> bool:
    return hasattr(value, "columns") and hasattr(value, "iloc")


def _is_table(value: Any) -> bool:
    return _is_any_table(value) and len(value) > 0


def _is_clouds(value: Any) -> bool:
    return _is_group_of_groups(value) and all(
        _is_cloud(cloud) for named in value.values() for cloud in named.values()
    )


def _is_cloud(value: Any) -> bool:
    if not _is_group(value):
        return False
    x = _numbers(value.get("x"))
    weight = _numbers(value.get("weight"))
    if x is None or weight is None or x.ndim != 2 or weight.shape != x.shape[:1]:
        return False
    rows = value.get("rows")
    if rows is None:
        return True
    found = _numbers(rows)
    return (
        found is not None
        and found.dtype.kind in "iu"
        and found.shape == weight.shape
        and bool((found >= 0).all())
    )


def _is_diagnosis_table(value: Any) -> bool:
    return _is_group(value) and len({np.shape(column) for column in value.values()}) <= 1


_TEXT = _Entry("text", _is_text)
_COUNT = _Entry("a whole number of at least 1", _is_count)
_FLAG = _Entry("true or false", _is_flag)
_GROUP = _Entry("a group", _is_group)
_TIMES = _Entry("finite times", _is_times)


def _optional(entry: _Entry) -> _Entry:
    return _Entry(entry.expected, entry.accepts, required=False, entries=entry.entries)


_OPTIONAL_TEXT = ("scale", "layer", "weight_key", "mass_key", "device", "decoder", "time_zero")
_ABOUT = {
    "cellflow_version": _TEXT,
    "kind": _optional(_TEXT),
    "written": _optional(_Entry("a list of 'slot/key'", _is_texts)),
}
_FIT = {
    **_ABOUT,
    "written": _Entry("a list of 'slot/key'", _is_texts),
    "params": _Entry(
        "a group",
        _is_group,
        entries={
            **dict.fromkeys(("time_key", "time_unit", "use_rep", "method"), _TEXT),
            "n_dims": _COUNT,
            **{
                name: _optional(_TEXT)
                for name in (
                    "scale",
                    "layer",
                    "weight_key",
                    "mass_key",
                    "device",
                    "decoder",
                    "time_zero",
                )
            },
            **{
                name: _Entry("a number", is_number, required=False)
                for name in (
                    "n_obs",
                    "n_untimed",
                    "random_state",
                    "threads",
                    "seconds",
                    "decoder_r2",
                    "shared_until",
                )
            },
            "score": _optional(_FLAG),
            "condition_key": _Entry("a list of names", _is_texts, required=False),
        },
    ),
    "model": _GROUP,
    "history": _Entry(
        "a group of columns, 'step' and 'loss' of one length among them", _is_history
    ),
    "plans": _Entry("a group of groups", _is_group_of_groups),
    "fingerprint": _Entry("hashes of cells that belong together", is_fingerprint),
    "conditions": _optional(_TEXT),
    "trajectory_times": _optional(_TIMES),
    "trajectory_shape": _Entry(
        "two whole numbers, times and dimensions", _is_counts(2), required=False
    ),
    "trajectory_extrapolated": _Entry("true or false for each time", _is_flags, required=False),
    "trajectory_samples_times": _optional(_TIMES),
    "trajectory_samples_shape": _Entry(
        "three whole numbers: replicates, times, dimensions", _is_counts(3), required=False
    ),
    "trajectory_samples_extrapolated": _Entry(
        "true or false for each time", _is_flags, required=False
    ),
    "source_density": _optional(_GROUP),
    "reference": _optional(_GROUP),
    "ood": _optional(_GROUP),
    "selection": _optional(_GROUP),
    "made_for": _Entry("a group of hashes", _is_hashes, required=False),
}
_DENSITIES = {
    **_ABOUT,
    "params": _Entry(
        "a group",
        _is_group,
        entries={"time_key": _TEXT, "use_rep": _TEXT, "n_dims": _COUNT, "pooled": _FLAG},
    ),
    "times": _TIMES,
    "densities": _Entry("a group of groups", _is_group_of_groups),
}
_BENCHMARK = {
    "cellflow_version": _optional(_TEXT),
    "kind": _optional(_TEXT),
    "params": _Entry(
        "a group", _is_group, entries={"time_key": _TEXT, "use_rep": _TEXT, "n_dims": _COUNT}
    ),
    "verdict": _TEXT,
    "table": _Entry("a table with rows", _is_table),
    "comparisons": _Entry("a table", _is_any_table, required=False),
    "clouds": _Entry(
        "groups by time of clouds, with 'x' and a 'weight' for each of its rows", _is_clouds
    ),
    "order": _optional(_TEXT),
}
_DIAGNOSIS = {
    "columns": _Entry("a list of names", _is_texts),
    "table": _Entry("columns of one length", _is_diagnosis_table),
    "verdict": _TEXT,
}

#: Of each kind that is read: its entries, the call that writes it, and what a damaged one is raised
#: as.
_SCHEMAS: dict[Kind, tuple[Mapping[str, _Entry], str, type[CellFlowError]]] = {
    "fit": (_FIT, "cf.tl.flow", ModelFileError),
    "densities": (_DENSITIES, "cf.tl.density", ModelFileError),
    "benchmark": (_BENCHMARK, "cf.bench.holdout", InputError),
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
    found = _checked(record["diagnosis"], _DIAGNOSIS, where, "cf.tl.diagnose", ModelFileError)
    missing = [name for name in found["columns"] if str(name) not in found["table"]]
    if missing:
        problem = Problem(
            f"{where}['table']",
            f"lacks {missing}",
            "every one of 'columns'",
            _remedy("cf.tl.diagnose"),
        )
        raise ModelFileError(problem.message)
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
            problem = Problem(
                place, f"cannot be read ({cause})", "what was written", _remedy("cf.tl.flow")
            )
            raise ModelFileError(problem.message) from cause
    if found is not None and not found.columns:
        found = None
    width = 0 if found is None else sum(column.width for column in found.columns)
    if width != n_context:
        problem = Problem(
            place,
            f"stands for {width} features",
            f"the {n_context} of the model",
            _remedy("cf.tl.flow"),
        )
        raise ModelFileError(problem.message)
    return found


def _checked(
    record: Any, entries: Mapping[str, _Entry], where: str, call: str, error: type[CellFlowError]
) -> dict[str, Any]:
    if not _is_group(record):
        problem = Problem(where, f"is {_shown(record)}", "a group", _remedy(call))
        raise error(problem.message)
    for problem in _examined(record, entries, where, call):
        raise error(problem.message)
    return dict(record)


def _examined(
    group: Mapping[str, Any], entries: Mapping[str, _Entry], where: str, call: str
) -> Iterator[Problem]:
    for name, entry in entries.items():
        place = f"{where}[{name!r}]"
        if name not in group:
            if entry.required:
                yield Problem(
                    place, "is missing", f"{entry.expected}, which {call} wrote", _remedy(call)
                )
        elif not entry.accepts(group[name]):
            yield Problem(
                place,
                f"is {_shown(group[name])}",
                f"{entry.expected}, which {call} wrote",
                _remedy(call),
            )
        else:
            yield from _examined(group[name], entry.entries, place, call)


def _shown(value: Any) -> str:
    """A value as a message can hold it."""
    if value is None or isinstance(value, str | int | float | np.number):
        return repr(value) if len(repr(value)) <= 60 else f"{repr(value)[:57]}..."
    shape = f" of shape {value.shape}" if hasattr(value, "shape") else ""
    return f"a {type(value).__name__}{shape} with other content"


def _remedy(call: str) -> str:
    return f"Restore it from a copy, or make it again with {call}."
