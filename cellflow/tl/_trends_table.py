"""Trends, their differences, and when they part, as tables and in words."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.fitted import Fitted
from cellflow.analysis.trends import parting
from cellflow.core._spread import Spread
from cellflow.core._typing import FloatArray
from cellflow.core.decoder import require_room
from cellflow.tl._trends_asked import ALL, Kind, Kinds
from cellflow.tl._trends_found import Asked, Found

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["differences", "partings", "require_small", "table_of", "words_of"]

#: Columns of the largest table, and bytes of a value.
_COLUMNS = 16
_BYTES = 8


def require_small(kinds: Kinds, n_times: int, n_genes: int) -> None:
    """Require that the tables stay within 2 GB.

    Raises
    ------
    InputError
        They do not.
    """
    n = max(len(kinds.each), len(_pairs(kinds)))
    remedy = "Ask for fewer genes, fates, groups or conditions."
    require_room(n * n_times, n_genes, remedy, bytes_per_value=_COLUMNS * _BYTES)


def table_of(found: Found, kinds: Kinds, asked: Asked) -> pd.DataFrame:
    """One row for each gene, trend and time."""
    import pandas as pd

    names = asked.decoder.genes
    ok = found.supported[:, :, None]
    sure = found.sure()
    wide = (len(kinds.each), len(asked.grid), len(names))
    columns = {"mean": np.where(ok, found.trends.mean, np.nan)}
    columns |= {k: np.where(ok, v, np.nan) for k, v in _intervals(sure, asked, wide).items()}
    columns["sd"] = np.where(ok, np.asarray(found.trends.sd), np.nan)
    columns["decoded"] = np.where(ok, found.trends.decoded, np.nan)
    columns["measured"] = found.measured
    beside = {"share": found.trends.share, "n_eff": found.trends.n_eff}
    beside |= {"off_data": found.trends.off, "supported": found.supported}
    columns |= {name: np.broadcast_to(v[:, :, None], wide) for name, v in beside.items()}
    table = pd.DataFrame({name: _tall(values) for name, values in columns.items()})
    for place, name in enumerate(("gene", *Kind._fields, "time")):
        table.insert(place, name, _labels(name, kinds, asked, wide))
    r2 = asked.decoder.gene_r2
    known = np.full(len(names), np.nan) if r2 is None else r2
    return table.assign(r2=_tall(np.broadcast_to(known, wide)))


def _tall(values: np.ndarray) -> np.ndarray:
    """Values `(K, T, g)` as a column: by gene, then by trend, then by time."""
    return np.moveaxis(np.asarray(values), -1, 0).ravel()


def _labels(name: str, kinds: Kinds, asked: Asked, wide: tuple[int, ...]) -> Any:
    """A column that says what each row is of."""
    if name == "time":
        return _tall(np.broadcast_to(asked.grid[None, :, None], wide))
    if name == "gene":
        return _category(asked.decoder.genes, _tall(np.broadcast_to(np.arange(wide[2]), wide)))
    known = list(dict.fromkeys(getattr(kind, name) for kind in kinds.each))
    codes = np.array([known.index(getattr(kind, name)) for kind in kinds.each])
    return _category(known, _tall(np.broadcast_to(codes[:, None, None], wide)))


def _category(names: Any, codes: np.ndarray) -> pd.Categorical[str]:
    import pandas as pd

    # Names of genes may repeat, categories may not.
    distinct = list(dict.fromkeys(map(str, names)))
    place = np.array([distinct.index(str(name)) for name in names])
    return pd.Categorical.from_codes(place[codes], pd.Index(distinct, dtype=object))


def _intervals(sure: Spread | None, asked: Asked, wide: tuple[int, ...]) -> dict[str, FloatArray]:
    """Standard error and ends of the interval; NaN of a single flow."""
    if sure is None:
        return {name: np.full(wide, np.nan) for name in ("se", "low", "high")}
    low, high = sure.interval(asked.level)
    return {"se": sure.se, "low": low, "high": high}


def _pairs(kinds: Kinds) -> list[tuple[str, int, int]]:
    """Pairs of trends that differ in one thing: what it is, and their numbers."""
    each = kinds.each
    found = []
    for a, b in combinations(range(len(each)), 2):
        differ = [name for name in Kind._fields if getattr(each[a], name) != getattr(each[b], name)]
        if len(differ) == 1:
            found.append((differ[0], a, b))
    return found


def _named(by: str, a: Kind, b: Kind) -> dict[str, str]:
    """What is compared, and what both have in common."""
    return {"by": by, "a": getattr(a, by), "b": getattr(b, by)} | {
        name: getattr(a, name) if name != by else "" for name in Kind._fields
    }


def differences(found: Found, kinds: Kinds, asked: Asked) -> pd.DataFrame:
    """One row for each pair of trends, gene and time; no rows where there is one trend only."""
    import pandas as pd

    names = asked.decoder.genes
    n_times = len(asked.grid)
    parts = []
    for by, a, b in _pairs(kinds):
        mean, sure, _ = found.difference(a, b)
        ok = (found.supported[a] & found.supported[b])[:, None]
        columns = {"difference": mean} | _intervals(sure, asked, mean.shape)
        part = {name: np.where(ok, values, np.nan).T.ravel() for name, values in columns.items()}
        part["supported"] = np.broadcast_to(ok, mean.shape).T.ravel()
        start = {"gene": np.repeat(names, n_times)} | _named(by, kinds.each[a], kinds.each[b])
        parts.append(pd.DataFrame(start | {"time": np.tile(asked.grid, len(names))} | part))
    if not parts:
        return pd.DataFrame()
    return _with_categories(pd.concat(parts, ignore_index=True))


def partings(found: Found, kinds: Kinds, asked: Asked) -> pd.DataFrame:
    """One row for each pair of trends and gene: from when they differ."""
    import pandas as pd

    rows = [
        pd.DataFrame(
            {"gene": asked.decoder.genes} | _named(by, kinds.each[a], kinds.each[b]) | part
        )
        for by, a, b in _pairs(kinds)
        for part in [_parting(found, asked, a, b)]
    ]
    return _with_categories(pd.concat(rows, ignore_index=True)) if rows else pd.DataFrame()


def _parting(found: Found, asked: Asked, a: int, b: int) -> dict[str, Any]:
    """When two trends part, and their difference at the last time with support."""
    mean, sure, each = found.difference(a, b)
    ok = found.supported[a] & found.supported[b]
    if each is not None:
        ok &= np.isfinite(each).all(axis=(0, 2))
    nothing = np.full(mean.shape[1], np.nan)
    columns: dict[str, Any] = dict.fromkeys(("time", "low", "high"), nothing)
    if ok.any() and sure is not None and each is not None:
        there = Spread(sure.mean[ok], sure.se[ok], sure.degrees)
        when = parting(there, each[:, ok], asked.grid[ok], asked.level)
        columns = {"time": when.time, "low": when.low, "high": when.high}
    last = np.flatnonzero(ok)[-1:]
    columns["last_time"] = asked.grid[last][0] if len(last) else np.nan
    columns["last_difference"] = mean[last[0]] if len(last) else nothing
    return columns


def _with_categories(table: pd.DataFrame) -> pd.DataFrame:
    for name in ("gene", "by", "a", "b", *Kind._fields):
        table[name] = table[name].astype(str).astype("category")
    return table


def words_of(found: Found, kinds: Kinds, asked: Asked, fitted: Fitted) -> str:
    """What was computed, in words."""
    return " ".join(_sentences(found, kinds, asked, fitted))


def _sentences(found: Found, kinds: Kinds, asked: Asked, fitted: Fitted) -> Iterator[str]:
    grid = asked.grid
    what = [
        f"by {name} ({', '.join(dict.fromkeys(getattr(kind, name) for kind in kinds.each))})"
        for name in Kind._fields
        if any(getattr(kind, name) != ALL for kind in kinds.each)
    ]
    n_genes = len(asked.decoder.genes)
    span = f"{len(grid)} times, {grid[0]:g} to {grid[-1]:g} ({fitted.time_unit.words})"
    of = " and ".join(what) or "of all cells"
    yield f"Mean expression of {n_genes} genes {of} at {span}."
    if asked.start is None:
        yield "Cells of every snapshot are moved to the times up to the next snapshots."
    else:
        yield f"Cells of time {asked.start:g} are followed."
    masked = int((~found.supported).sum())
    if masked:
        yield (
            f"{masked} of {found.supported.size} times have no support: fewer than"
            f" {asked.min_cells} effective cells, paths that lead to where no cell was measured, or"
            " times after the end of the fates."
        )
    if found.members is None:
        yield "A single flow has no standard errors, and no time of parting."
    else:
        yield (
            f"Intervals of {asked.level:.0%} by {len(found.members)} members, each with the half of"
            f" the cells that it was fitted on ({found.degrees:g} degrees of freedom)."
        )
