"""Results into an AnnData: all of them, or none."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from cellflow.adapter.commit import commit
from cellflow.core._notes import note
from cellflow.core._settings import running
from cellflow.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["Staged", "target_of", "write"]

logger = logging.getLogger("cellflow")

#: Entries of the record of a fit that only the package reads.
_BOOKKEEPING = {"made_for", "written"}
#: Names in the line that says what was removed.
_SHOWN = 8

Slot: TypeAlias = Literal["obs", "var", "obsm", "obsp", "layers", "uns"]
#: Values by slot and key.
Staged: TypeAlias = dict[Slot, dict[str, Any]]


def write(adata: AnnData, staged: Staged, *, remove: Iterable[tuple[str, str]] = ()) -> None:
    """Write results into an AnnData; on any exception, it is left as it was, key for key.

    Parameters
    ----------
    adata
        What is changed; a view becomes a copy, which is logged.
    staged
        Values by slot and key.
    remove
        (slot, key) of results that are out of date; those that are not there are passed over.

    Raises
    ------
    InputError
        A value of a shape or type that does not belong there, or that an h5ad could not hold.
        Nothing is written then.
    """
    for slot, values in staged.items():
        for key, value in values.items():
            _check(adata, slot, key, value)
    said = _said(adata, staged)
    call = running() or "cellflow"
    fresh = {(slot, key) for slot, values in staged.items() for key in values}
    if adata.is_view:
        logger.info(
            "The AnnData was a view of another one; it is now a copy of its own, which holds the"
            " results."
        )
    removed = set(remove) - fresh
    gone = _gone(adata, staged, removed)
    commit(adata, staged, removed)
    if gone:
        note(f"{call} removed {gone}.")
    note(f"{call} wrote {said}.")


def _said(adata: AnnData, staged: Staged) -> str:
    """Names of what is written, by slot; of the record of a fit, the entries that change."""
    parts = []
    for slot, values in staged.items():
        names = [f"[{key!r}]" for key in values]
        if slot == "uns":
            found = [_entries(key, value, adata.uns.get(key)) for key, value in values.items()]
            names = [name for entries in found for name in entries]
        parts += [f"{slot}{name}" for name in names]
    return ", ".join(parts)


def _entries(key: str, value: Any, before: Any) -> list[str]:
    """The name of a record, or of the entries that a call changes in it."""
    if not (isinstance(value, Mapping) and isinstance(before, Mapping)):
        return [f"[{key!r}]"]
    if not set(before) <= set(value):  # another record
        return [f"[{key!r}]"]
    new = [name for name in value if name not in before or value[name] is not before[name]]
    return [f"[{key!r}][{name!r}]" for name in new if name not in _BOOKKEEPING]


def _gone(adata: AnnData, staged: Staged, removed: set[tuple[str, str]]) -> str:
    """Names of what is removed, and of the entries of a record that another one replaces."""
    names = []
    is_refit = False
    for key, value in staged.get("uns", {}).items():
        before = adata.uns.get(key)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            lost = [name for name in before if name not in value and name not in _BOOKKEEPING]
            is_refit |= "model" in before and value.get("model") is not before["model"]
            names += [f"uns[{key!r}][{name!r}]" for name in lost]
    for slot in ("obsm", "obs", "layers", "var", "obsp", "uns"):
        keys = map(str, getattr(adata, slot))
        names += [f"{slot}[{key!r}]" for key in keys if (slot, key) in removed]
    if not names:
        return ""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    what = "results of the former fit" if is_refit else "what is out of date"
    return f"{what}: {', '.join(names[:_SHOWN])}{more}"


def target_of(adata: AnnData, *, copy: bool) -> AnnData:
    """Return the AnnData that results go to: the given one, or a copy of it.

    Raises
    ------
    InputError
        A copy of an AnnData that lives in a file, or a view of one, which cannot hold results.
    """
    if adata.isbacked and (copy or adata.is_view):
        what = "copy=True of an AnnData that is" if copy else "The AnnData is a view of one that is"
        msg = f"{what} backed by a file. Expected one in memory: pass adata.to_memory() instead."
        raise InputError(msg)
    return adata.copy() if copy else adata


def _check(adata: AnnData, slot: str, key: str, value: Any) -> None:
    """Make sure that a value fits its slot and an h5ad."""
    where = f"adata.{slot}[{key!r}]"
    if slot == "uns":
        _check_plain(key, value, "adata.uns")
        return
    n = adata.n_vars if slot == "var" else adata.n_obs
    shape = np.shape(value)
    known = {"obs": (n,), "var": (n,), "layers": adata.shape, "obsp": (n, n)}
    wanted = known.get(slot, (n, *shape[1:]))
    # Readers in R and anndata.concat take matrices only.
    if shape != wanted or (slot == "obsm" and len(shape) != 2):
        expected = wanted if slot != "obsm" else f"({n}, d)"
        msg = f"{where} would get shape {shape}; expected {expected}."
        raise InputError(msg)
    # Of a sparse matrix, what is stored.
    values = value.data if hasattr(value, "nnz") else np.asarray(value)
    if values.dtype.kind not in ("biufUOS" if slot in {"obs", "var"} else "biuf"):
        msg = f"{where} would get values of dtype {values.dtype}, which an h5ad cannot hold there."
        raise InputError(msg)
    if "velocity" in key and values.dtype.kind == "f" and not np.isfinite(values).all():
        n_bad = int((~np.isfinite(values)).sum())
        msg = (
            f"{where} would get {n_bad} values that are not finite, and other tools drop every gene"
            " then."
        )
        raise InputError(msg)


def _check_plain(key: object, value: Any, parent: str) -> None:
    """Require that a file can hold a value: text, numbers, arrays, tables, or a group of those."""
    import pandas as pd

    where = f"{parent}[{key!r}]"
    if not isinstance(key, str) or not key or "/" in key:
        msg = f"{where} has a key that an h5ad cannot hold; expected text without '/'."
        raise InputError(msg)
    if isinstance(value, Mapping):
        for name, inner in value.items():
            _check_plain(name, inner, where)
    elif isinstance(value, pd.DataFrame):
        for name in value.columns:
            if pd.api.types.is_object_dtype(value[name]):
                _check_plain(name, value[name].to_numpy(), where)
    elif isinstance(value, np.ndarray):
        if value.dtype.kind not in "biufU" and not all(
            isinstance(v, str) for v in value.ravel().tolist()
        ):
            msg = f"{where} is an array of dtype {value.dtype}, which an h5ad cannot hold."
            raise InputError(msg)
    elif not isinstance(value, str | bool | int | float | np.bool_ | np.integer | np.floating):
        msg = (
            f"{where} is a {type(value).__name__}; expected text, a number, an array, a table or a"
            " dictionary of those."
        )
        raise InputError(msg)
