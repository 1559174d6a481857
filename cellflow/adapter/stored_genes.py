"""Tables about genes that a fit has stored: trends, drivers, regulation, edits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.keys import Keys
from cellflow.adapter.read import require_anndata
from cellflow.adapter.record import record_of
from cellflow.core._numbers import shown
from cellflow.errors import InputError, MissingKeyError, closest

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = [
    "perturbations",
    "read_drivers",
    "read_jacobian",
    "read_perturbations",
    "read_screen",
    "read_trends",
    "wide_jacobian",
]

#: Tables of `cf.tl.trends`, and their entries in the record.
_TRENDS = {"trends": "table", "differences": "differences", "parting": "parting"}
#: Tables of `cf.tl.perturb`, and their entries in the record.
_EDITS = {"effects": "table", "genes": "genes", "support": "support"}


def read_trends(adata: AnnData, key: str, table: str = "trends") -> pd.DataFrame:
    """Trends of genes, how they differ, or when they part; see `cf.get.trends`.

    Raises
    ------
    MissingKeyError
        No fit under this key, no trends, or one trend only, which differs from none.
    InputError
        No such table.
    """
    _require_table(table, _TRENDS)
    about = _entry(adata, key, "trends", "trends", "cf.tl.trends(adata, genes{})")
    if _TRENDS[table] not in about:
        msg = (
            f"table={table!r}, but adata.uns[{key!r}]['trends'] has one trend of each gene."
            " Expected several to compare: call cf.tl.trends with several fates, groups or"
            " conditions."
        )
        raise MissingKeyError(msg)
    found: pd.DataFrame = about[_TRENDS[table]].copy()
    found.attrs["words"] = str(about["words"])
    return found


def read_drivers(adata: AnnData, key: str, fate: str | None = None) -> pd.DataFrame:
    """Drivers of a fate, or of all that were asked for; see `cf.get.drivers`.

    Raises
    ------
    MissingKeyError
        No fit under this key, or no drivers.
    InputError
        A fate without drivers.
    """
    import pandas as pd

    call = "cf.tl.drivers(adata, fate{})"
    entries = _entry(adata, key, "drivers", "drivers", call)
    found = {str(entry["fate"]): entry for entry in entries.values()}
    if fate is not None and fate not in found:
        known = sorted(found)
        msg = (
            f"fate={fate!r} has no drivers in adata.uns[{key!r}]; expected one of"
            f" {known}{closest(fate, known)}, or call {call.format(Keys(key).argument)}."
        )
        raise InputError(msg)
    names = sorted(found) if fate is None else [fate]
    parts = []
    for name in names:
        part = _plain(found[name]["table"], ("gene", "response"))
        part.insert(0, "fate", np.full(len(part), name, dtype=object))
        parts.append(part)
    table = pd.concat(parts, ignore_index=True)
    table.attrs["words"] = {name: str(found[name]["words"]) for name in names}
    return table


def read_jacobian(adata: AnnData, key: str) -> pd.DataFrame:
    """How genes, or growth, depend on regulators; see `cf.get.jacobian`.

    Raises
    ------
    MissingKeyError
        No fit under this key, or no result of `cf.tl.jacobian`.
    """
    call = "cf.tl.jacobian(adata, regulators, targets{})"
    about = _entry(adata, key, "jacobian", "dependence of genes on genes", call)
    table = _plain(about["table"], ("group", "regulator", "target", "response"))
    table.attrs["words"] = str(about["words"])
    return table


def wide_jacobian(table: pd.DataFrame, column: str = "value") -> pd.DataFrame:
    """Values as a matrix of regulators, or groups and regulators, by targets, in their order."""
    rows = ["group", "regulator"] if table["group"].nunique() > 1 else ["regulator"]
    matrix = table.set_index([*rows, "target"])[column].unstack("target")
    matrix = matrix.loc[list(dict.fromkeys(table.set_index(rows).index))]
    wide = matrix[list(dict.fromkeys(table["target"]))]
    wide.attrs = dict(table.attrs)
    return wide


def read_perturbations(
    adata: AnnData, key: str, name: str | None = None, table: str = "effects"
) -> pd.DataFrame:
    """What edits of genes do, by name or of all of them; see `cf.get.perturbation`.

    Raises
    ------
    MissingKeyError
        No fit under this key, no perturbation, or none of this name.
    InputError
        No such table.
    """
    import pandas as pd

    _require_table(table, _EDITS)
    every = perturbations(adata, key)
    if name is not None and name not in every:
        names = list(every)
        msg = f"name={name!r}; expected one of {names}{closest(name, names)}."
        raise MissingKeyError(msg)
    chosen = list(every) if name is None else [name]
    parts = [every[one][_EDITS[table]].copy() for one in chosen]
    for one, part in zip(chosen, parts, strict=True):
        part.insert(0, "perturbation", one)
    found: pd.DataFrame = pd.concat(parts, ignore_index=True)
    found.attrs["words"] = {one: str(every[one]["words"]) for one in chosen}
    return found


def perturbations(adata: AnnData, key: str) -> dict[str, Any]:
    """What `cf.tl.perturb` stored, by name; at least one.

    Raises
    ------
    MissingKeyError
        No fit under this key, or no perturbation.
    """
    return _entry(adata, key, "perturbations", "perturbation", "cf.tl.perturb(adata, ...{})")


def read_screen(adata: AnnData, key: str, fate: str | None = None) -> pd.DataFrame:
    """What edits of single genes do to fates; see `cf.get.screen`.

    Raises
    ------
    MissingKeyError
        No fit under this key, or no screen.
    InputError
        A fate that was not asked for.
    """
    about = _entry(adata, key, "screen", "screen", "cf.tl.screen(adata{})")
    found: pd.DataFrame = about["table"].copy()
    if fate is not None:
        known = sorted(set(found["fate"].astype(str)))
        if fate not in known:
            msg = f"fate={fate!r}; expected one of {known}{closest(fate, known)}."
            raise InputError(msg)
        found = found[found["fate"] == fate].reset_index(drop=True)
    found.attrs["words"] = str(about["words"])
    return found


def _entry(adata: AnnData, key: str, entry: str, what: str, call: str) -> dict[str, Any]:
    """An entry of the record of a fit; `call` writes it, and has `{}` for its `key=`."""
    require_anndata(adata)
    keys = Keys(key)
    found: Mapping[str, Any] = record_of(adata, keys).get(entry, {})
    if not found:
        msg = f"adata.uns[{key!r}] has no {what}. Expected: call {call.format(keys.argument)}."
        raise MissingKeyError(msg)
    return dict(found)


def _require_table(table: object, known: Mapping[str, str]) -> None:
    if not isinstance(table, str) or table not in known:
        names = list(known)
        msg = f"table={shown(table)}; expected one of {names}{closest(table, names)}."
        raise InputError(msg)


def _plain(stored: pd.DataFrame, text: tuple[str, ...]) -> pd.DataFrame:
    """A table as it was before a file, which may change the index and the types of text."""
    table = stored.reset_index(drop=True)
    for name in text:
        table[name] = table[name].astype(object)
    return table
