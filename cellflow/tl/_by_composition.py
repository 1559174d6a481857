"""Calibration of fates by the composition of the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.columns import column_of
from cellflow.adapter.findings import settle
from cellflow.analysis.calibration import Compared, compared, smoothed, wilson
from cellflow.core._typing import FloatArray, IntArray
from cellflow.errors import InputError
from cellflow.tl._calibration import Asked, Found, Source

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["by_composition"]


def by_composition(adata: AnnData, source: Source, asked: Asked) -> Found:
    """Calibrate by the shares of the labels at the end.

    Raises
    ------
    InputError
        No earlier cells with a fate, absorbing groups, or several conditions.
    """
    _require_one_population(adata, source)
    measured, n = _measured(source)
    mass = source.weight * np.nan_to_num(
        adata.obs[source.keys.fate_mass].to_numpy(dtype=np.float64)
    )
    mass *= source.probability[:, :-1].sum(axis=1)
    rows = _earlier(source, mass)
    raw = {time: source.given_a_fate(part) for time, part in rows.items()}
    logs = [np.log(smoothed(p, source.votes)) for p in raw.values()]
    weights = [mass[part] for part in rows.values()]
    found = compared(logs, weights, list(raw.values()), measured)
    table = _table(found, rows, measured, n, source.names, asked.level)
    entry: dict[str, Any] = {
        "method": "offsets",
        "offsets": found.scaling.offsets,
        "unit": "cell of the end",
        "n_cells": sum(map(len, rows.values())),
        "measured": measured,
        "table": table,
        "errors": _errors(found, rows, measured, n),
    }
    entry["words"] = _words(entry, found)
    return Found(found.scaling, None, entry)


def _require_one_population(adata: AnnData, source: Source) -> None:
    absorb = source.fates.about.get("absorb", {})
    if len(absorb):
        msg = (
            f"by='composition' with fates that {sorted(absorb)} absorb before the end: their cells"
            " are not among those measured at the end. Expected fates without absorb=, or"
            " by='clones'."
        )
        raise InputError(msg)
    timed = source.cells.timed
    for column in np.ravel(source.record["params"].get("condition_key", ())):
        values = settle(column_of(adata, str(column), "condition_key"))[timed].dropna().unique()
        if len(values) > 1:
            msg = (
                f"by='composition' with {len(values)} conditions in adata.obs[{str(column)!r}]:"
                " each has a composition of its own. Expected cells of one condition: pass"
                f" adata[adata.obs[{str(column)!r}] == ...].copy()."
            )
            raise InputError(msg)


def _measured(source: Source) -> tuple[FloatArray, float]:
    """Shares of the fates at the end, and the number of cells that they are worth."""
    there = np.flatnonzero((source.code >= 0) & (source.cells.time == source.end))
    weight = source.weight[there]
    share = np.bincount(source.code[there], weight, len(source.names))
    if not (share > 0).all():
        missing = [name for name, s in zip(source.names, share, strict=True) if s == 0]
        msg = (
            f"No cell measured at time {source.end:g} has the fates {missing}, by their weights."
            " Expected all fates at the end: call cf.tl.fates again with these cells."
        )
        raise InputError(msg)
    return share / share.sum(), float(weight.sum() ** 2 / (weight**2).sum())


def _earlier(source: Source, mass: FloatArray) -> dict[float, IntArray]:
    """Rows of the cells of each earlier snapshot."""
    time = source.cells.time
    early = (time < source.end) & (mass > 0)
    found: dict[float, IntArray] = {}
    found |= {float(t): np.flatnonzero(early & (time == t)) for t in np.unique(time[early])}
    if not found:
        msg = (
            f"No cell was measured before time {source.end:g}, or the mass of all is undecided."
            " Expected earlier cells with fates: pass cells of all snapshots."
        )
        raise InputError(msg)
    return found


def _table(
    found: Compared,
    rows: dict[float, IntArray],
    measured: FloatArray,
    n: float,
    names: list[str],
    level: float,
) -> pd.DataFrame:
    """One row for each stage, snapshot and fate."""
    import pandas as pd

    low, high = wilson(measured, np.full(len(measured), n), level)
    tables = []
    for stage, shares in _stages(found):
        for (time, part), share in zip(rows.items(), shares, strict=True):
            columns = {
                "stage": stage,
                "time": time,
                "fate": np.array(names, dtype=object),
                "n_cells": len(part),
                "predicted": share,
                "observed": measured,
                "low": low,
                "high": high,
            }
            tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)


def _errors(
    found: Compared, rows: dict[float, IntArray], measured: FloatArray, n: float
) -> pd.DataFrame:
    """Distance in total variation of the shares of each snapshot from those measured."""
    import pandas as pd

    variance = measured * (1.0 - measured) / n + found.variance
    chance = 0.5 * np.sqrt(2.0 / np.pi * variance).sum(axis=1)
    tables = [
        pd.DataFrame(
            {
                "stage": stage,
                "time": list(rows),
                "distance": 0.5 * np.abs(shares - measured).sum(axis=1),
                "chance": chance,
            }
        )
        for stage, shares in _stages(found)
    ]
    return pd.concat(tables, ignore_index=True)


def _stages(found: Compared) -> list[tuple[str, FloatArray]]:
    """Shares before and, where there are several snapshots, after."""
    after = [("after", found.after)] if len(found.before) > 1 else []
    return [("before", found.before), *after]


def _words(entry: dict[str, Any], found: Compared) -> str:
    """What was found, in sentences."""
    mean = entry["errors"].groupby("stage")["distance"].mean()
    chance = entry["errors"].query("stage == 'before'")["chance"].mean()
    words = (
        f"Shares that {len(found.before)} earlier snapshots predict differ from the measured ones"
        f" by {mean['before']:.3f} of the mass, {chance:.3f} by chance of the cells"
    )
    if "after" not in mean:
        words += ". With one earlier snapshot, offsets are not checked on another."
    elif mean["after"] < mean["before"]:
        words += f"; {mean['after']:.3f} with offsets by the other snapshots."
    else:
        words += (
            f", and no less, {mean['after']:.3f}, with offsets by the other snapshots: these"
            " disagree, and offsets are not to be trusted."
        )
    return words + (
        " On average they agree now; whether fates of single cells are right, and how certain they"
        " are, composition cannot tell."
    )
