"""Places in an AnnData: which kind of record is there, what was written, what is free."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from cellflow.adapter.keys import DEFAULT, PREDICTED, Keys, Kind
from cellflow.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["is_ours", "kind_of", "listed", "require_free", "written"]

#: Kind of a record of cellflow 0.1.0, which has no `kind`, by the first of these entries it has.
_MARKS: dict[str, Kind] = {
    "model": "fit",
    "densities": "densities",
    "clouds": "benchmark",
    "recipe": "choice",
    "folds": "clones",
    "fingerprint": "fit",
    "table": "benchmark",
}

#: What messages call the kinds.
_CALLED: dict[str | None, str] = {
    "fit": "a fit",
    "densities": "densities of snapshots",
    "benchmark": "a held-out benchmark",
    "choice": "the choice of a method",
    "clones": "a benchmark by clones",
    None: "another result of cellflow",
}


def is_ours(adata: AnnData, key: str) -> bool:
    """Whether `uns[key]` is a record of this package."""
    record = adata.uns.get(key)
    return isinstance(record, Mapping) and "cellflow_version" in record


def kind_of(adata: AnnData, key: str) -> Kind | None:
    """Kind of the record `uns[key]`: its `kind`, or by its entries; None for anything else."""
    record = adata.uns.get(key)
    if not isinstance(record, Mapping):
        return None
    said = record.get("kind")
    for kind in _MARKS.values():
        if isinstance(said, str) and said == kind:
            return kind
    return next((kind for mark, kind in _MARKS.items() if mark in record), None)


def written(adata: AnnData, keys: Keys, *, kind: Kind = "fit") -> set[tuple[str, str]]:
    """(slot, key) of everything that was written under this `key_added`, by its record.

    A record may come from a file of unknown origin. So names on its list count only if this package
    can make them; anything else on it is left alone.

    A record is lost where cells are joined (`anndata.concat`) or `uns` is cleared. Then names that
    begin with `cf_` count in an AnnData of cells that were fitted before.
    """
    name = keys.record(kind)
    if kind == "fit" and name == DEFAULT and name not in adata.uns:
        return _left_behind(adata, keys)
    if not is_ours(adata, name) or kind_of(adata, name) != kind:
        return set()
    entries = np.ravel(np.asarray(adata.uns[name].get("written", ()), dtype=object))
    places = [entry.partition("/") for entry in entries if isinstance(entry, str)]
    return {(slot, key) for slot, _, key in places if keys.makes(slot, key)} | {("uns", name)}


def _left_behind(adata: AnnData, keys: Keys) -> set[tuple[str, str]]:
    """Results of a fit whose record is lost."""
    if PREDICTED not in adata.obs:
        return set()
    found = {
        (slot, str(name))
        for slot in ("obs", "var", "obsm")
        for name in getattr(adata, slot)
        if str(name).startswith("cf_") and keys.makes(slot, str(name))
    }
    return found - written(adata, keys, kind="densities")


def listed(keys: Keys, places: Iterable[tuple[str, str]]) -> np.ndarray:
    """The list of what was written as a record keeps it: `"slot/key"`, without the record itself.

    Raises
    ------
    ValueError
        A name that `Keys` does not know, which would never be removed again: a mistake of the
        calling code.
    """
    records = {("uns", keys.uns), ("uns", keys.densities)}
    unknown = [place for place in places if place not in records and not keys.makes(*place)]
    if unknown:
        msg = (
            f"{unknown} are no names that cellflow.adapter.keys.Keys makes; expected each in its"
            " list of places."
        )
        raise ValueError(msg)
    return np.array(sorted(f"{slot}/{key}" for slot, key in set(places) - records), dtype=object)


def require_free(
    adata: AnnData,
    keys: Keys,
    places: Collection[tuple[str, str]],
    *,
    overwrite: bool,
    kind: Kind = "fit",
) -> None:
    """Require that writing to these (slot, key) replaces only results of this package.

    A fit writes its record, `("uns", keys.uns)`, and may go to another key; what is computed from a
    fit goes where that is. A record replaces one of its own `kind` only.

    Raises
    ------
    InputError
        A place is taken by something that was not written under this `key_added`, and `overwrite`
        is False; or a view of an AnnData in a file, which nothing can be written to.
    """
    if adata.isbacked and adata.is_view:
        msg = (
            "adata is a view of an AnnData that is backed by a file. Expected one in memory: pass"
            " adata.to_memory()."
        )
        raise InputError(msg)
    ours = written(adata, keys, kind=kind)
    record = ("uns", keys.record(kind))
    if record in places:
        where = "key_added"
        remedy = "pass another key_added=, delete it, or pass overwrite=True to replace it."
    else:
        remedy = (
            "delete it, pass overwrite=True to replace it, or fit under another key (cf.tl.flow)"
            " and pass that as key=."
        )
        where = "key"
    for slot, key in places:
        if overwrite or key not in getattr(adata, slot) or (slot, key) in ours:
            continue
        if (slot, key) == record and is_ours(adata, key):
            found = f"holds {_CALLED[kind_of(adata, key)]}, and {_CALLED[kind]} would replace it"
        else:
            found = f"exists and was not written by cellflow under {where}={keys.uns!r}"
        msg = f"adata.{slot}[{key!r}] {found}. Expected a free name: {remedy}"
        raise InputError(msg)
