"""Entries of each kind of record in `uns`: what they are, and whether a value is that."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from cellflow.adapter.fingerprint import is_fingerprint
from cellflow.core._numbers import is_number

__all__ = ["BENCHMARK", "CHOICE", "DENSITIES", "DIAGNOSIS", "FIT", "Entry", "is_group"]


@dataclass(frozen=True)
class Entry:
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
    entries: Mapping[str, Entry] = field(default_factory=dict)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_count(value: Any) -> bool:
    """Whether it is a whole number of at least 1; an h5ad may hold it as a float."""
    return is_number(value) and bool(np.isfinite(value)) and value == int(value) >= 1


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool | np.bool_)


def _is_flags(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype == np.bool_


def is_group(value: Any) -> bool:
    """Whether it is a mapping of names."""
    return isinstance(value, Mapping) and all(isinstance(name, str) for name in value)


def _is_group_of_groups(value: Any) -> bool:
    return is_group(value) and all(is_group(inner) for inner in value.values())


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


def _is_matrix(value: Any) -> bool:
    array = _numbers(value)
    return array is not None and array.ndim == 2


def _is_times(value: Any) -> bool:
    return _is_column(value) and len(value) > 0 and bool(np.isfinite(np.asarray(value)).all())


def _is_counts(n: int) -> Callable[[Any], bool]:
    def accepts(value: Any) -> bool:
        return (
            _is_column(value) and len(value) == n and all(_is_count(v) for v in np.asarray(value))
        )

    return accepts


def _is_history(value: Any) -> bool:
    if (
        not is_group(value)
        or not {"step", "loss"} <= set(value)
        or ("val_step" in value) != ("val_loss" in value)
    ):
        return False
    pairs = [("step", "loss"), ("val_step", "val_loss")]
    columns = all(_is_column(column) for column in value.values())
    return columns and all(len(value.get(a, ())) == len(value.get(b, ())) for a, b in pairs)


def _is_hashes(value: Any) -> bool:
    return is_group(value) and all(
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
    if not is_group(value):
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
    return is_group(value) and len({np.shape(column) for column in value.values()}) <= 1


def _is_drivers(value: Any) -> bool:
    return _is_group_of_groups(value) and all(
        {"fate", "words", "table"} <= set(entry) and _is_table(entry["table"])
        for entry in value.values()
    )


_TEXT = Entry("text", _is_text)
_COUNT = Entry("a whole number of at least 1", _is_count)
_NUMBER = Entry("a number", is_number)
_FLAG = Entry("true or false", _is_flag)
_FLAGS = Entry("true or false for each time", _is_flags)
_GROUP = Entry("a group", is_group)
_GROUPS = Entry("a group of groups", _is_group_of_groups)
_NAMES = Entry("a list of names", _is_texts)
_PLACES = Entry("a list of 'slot/key'", _is_texts)
_TIMES = Entry("finite times", _is_times)
_TABLE = Entry("a table with rows", _is_table)


def _optional(entry: Entry) -> Entry:
    return replace(entry, required=False)


def _group(**entries: Entry) -> Entry:
    return Entry("a group", is_group, entries=entries)


_ABOUT = {"cellflow_version": _TEXT, "kind": _optional(_TEXT), "written": _optional(_PLACES)}

_OPTIONAL_TEXT = (
    *("scale", "layer", "weight_key", "mass_key", "growth_key"),
    *("sample_key", "lineage_key"),
    *("device", "decoder", "time_zero"),
)
_OPTIONAL_NUMBERS = (
    *("n_obs", "n_untimed", "random_state", "threads", "n_members"),
    *("seconds", "decoder_r2", "shared_until"),
)

_COLUMN = Entry("a number for each time", _is_column)
_MATRIX = Entry("a row of numbers for each time", _is_matrix)

SAMPLES = _group(
    names=_NAMES,
    offsets=Entry("a row of numbers for each sample", _is_matrix),
    is_reference=Entry("true or false for each sample", _is_flags),
    times=_TIMES,
    **dict.fromkeys(("n_samples", "n_cells", "between", "step", "share"), _COLUMN),
    **dict.fromkeys(("between_aligned", "step_aligned"), _COLUMN),
    words=_TEXT,
)

FIT = {
    **_ABOUT,
    "written": _PLACES,
    "params": _group(
        **dict.fromkeys(("time_key", "time_unit", "use_rep", "method"), _TEXT),
        n_dims=_COUNT,
        **dict.fromkeys(_OPTIONAL_TEXT, _optional(_TEXT)),
        **dict.fromkeys(_OPTIONAL_NUMBERS, _optional(_NUMBER)),
        score=_optional(_FLAG),
        growth=_optional(_FLAG),
        condition_key=_optional(_NAMES),
    ),
    "model": _GROUP,
    "history": Entry("a group of columns, 'step' and 'loss' of one length among them", _is_history),
    "plans": _GROUPS,
    "fingerprint": Entry("hashes of cells that belong together", is_fingerprint),
    "conditions": _optional(_TEXT),
    "growth_assumptions": _optional(_GROUP),
    "trajectory_times": _optional(_TIMES),
    "trajectory_shape": _optional(Entry("two whole numbers, times and dimensions", _is_counts(2))),
    "trajectory_extrapolated": _optional(_FLAGS),
    "trajectory_samples_times": _optional(_TIMES),
    "trajectory_samples_shape": _optional(
        Entry("three whole numbers: replicates, times, dimensions", _is_counts(3))
    ),
    "trajectory_samples_extrapolated": _optional(_FLAGS),
    **dict.fromkeys(
        (
            *("source_density", "reference", "ood", "selection", "growth"),
            *("fates", "ancestors", "transitions"),
        ),
        _optional(_GROUP),
    ),
    "calibration": _optional(_group(by=_TEXT, names=_NAMES, words=_TEXT, table=_TABLE)),
    "comparison": _optional(
        _group(table=_TABLE, words=_TEXT, conditions=_NAMES, reference=_TEXT, condition_key=_TEXT)
    ),
    "jacobian": _optional(_group(table=_TABLE, words=_TEXT, of=_TEXT, by=_TEXT)),
    "curl": _optional(_group(share=_NUMBER, words=_TEXT)),
    "least_action": _optional(_group(times=_TIMES, path=_MATRIX, action=_COLUMN, words=_TEXT)),
    "potential": _optional(_group(table=_TABLE, words=_TEXT, unexplained=_NUMBER)),
    "drivers": _optional(Entry("groups by fate, with a table and words", _is_drivers)),
    "trends": _optional(
        _group(
            table=_TABLE,
            words=_TEXT,
            differences=_optional(_TABLE),
            parting=_optional(_TABLE),
            fates=_NAMES,
            conditions=_NAMES,
        )
    ),
    "made_for": _optional(Entry("a group of hashes", _is_hashes)),
    "samples": _optional(SAMPLES),
}

DENSITIES = {
    **_ABOUT,
    "params": _group(time_key=_TEXT, use_rep=_TEXT, n_dims=_COUNT, pooled=_FLAG),
    "times": _TIMES,
    "densities": _GROUPS,
}

BENCHMARK = {
    "cellflow_version": _optional(_TEXT),
    "kind": _optional(_TEXT),
    "params": _group(time_key=_TEXT, use_rep=_TEXT, n_dims=_COUNT),
    "verdict": _TEXT,
    "table": _TABLE,
    "comparisons": _optional(Entry("a table", _is_any_table)),
    "clouds": Entry(
        "groups by time of clouds, with 'x' and a 'weight' for each of its rows", _is_clouds
    ),
    "order": _optional(_TEXT),
}

CHOICE = {
    **_ABOUT,
    "params": BENCHMARK["params"],
    "recipe": _TEXT,
    "best": _TEXT,
    "table": _TABLE,
}

DIAGNOSIS = {
    "columns": _NAMES,
    "table": Entry("columns of one length", _is_diagnosis_table),
    "verdict": _TEXT,
}
