"""Effects of all genes as a table, and in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit, logit

from cellflow.analysis.comparison.resampling import adjusted
from cellflow.analysis.genes.first_order import FirstOrder
from cellflow.analysis.genes.matching import Alike
from cellflow.analysis.genes.seen import Seen
from cellflow.analysis.genes.simulated import Simulated
from cellflow.core._typing import FloatArray, IntArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FAR", "screen_table", "words_of"]

#: Genes that each is compared with.
_ALIKE = 99
#: Change of a gene, in its standard deviations, that few cells show.
FAR = 3.0
#: Level of false discoveries that the words count by.
_ALPHA = 0.1


def screen_table(
    found: FirstOrder,
    seen: Seen,
    fates: IntArray,
    names: Sequence[str],
    largest: IntArray,
    results: Sequence[Simulated],
    level: float,
) -> pd.DataFrame:
    """One row for each gene and fate, the smallest p-values first."""
    import pandas as pd

    shape = (len(fates), len(seen.decoder.genes))
    columns = _of_first_order(found, shape, level)
    supported = np.full(shape, np.nan)
    simulated = np.zeros(shape, dtype=bool)
    for gene, result in zip(largest.tolist(), results, strict=True):
        share = result.effects.share
        low, high = share.interval(level)
        values = {"effect_pp": 100 * share.value, "se": 100 * share.se}
        values |= {"low": 100 * low, "high": 100 * high, "p": share.p}
        values |= {"log_odds": result.effects.log_odds.value}
        for name, each in values.items():
            columns[name][:, gene] = each[fates]
        supported[:, gene] = result.support
        simulated[:, gene] = True
    change = np.where(found.size > 0, found.size, np.nan)
    relative = np.abs(found.log_odds.value.reshape(shape)) / change
    columns["p_matched"] = Alike(seen.traits).ranks_of(relative, _ALIKE)
    is_sure = not np.isnan(columns["p"]).all()
    columns["q"] = np.full(shape, np.nan)
    if is_sure:
        columns["q"] = adjusted(columns["p"].ravel()).reshape(shape)
    columns |= {"simulated": simulated, "on_manifold": supported}
    of_genes = {"change_sd": found.size, "r2": seen.r2, "leverage": seen.leverage}
    of_genes |= {"response": seen.kinds.astype(object)}
    columns |= {name: np.broadcast_to(each, shape) for name, each in of_genes.items()}
    genes = np.broadcast_to(seen.decoder.genes.astype(object), shape)
    labels = np.broadcast_to(np.array(names, dtype=object)[:, None], shape)
    table = pd.DataFrame({"gene": genes.ravel(), "fate": labels.ravel()})
    order = ["effect_pp", "se", "low", "high", "log_odds", "p", "p_matched", "q"]
    for name in [*order, *(name for name in columns if name not in order)]:
        table[name] = columns[name].ravel()
    size = -table["effect_pp"].abs().to_numpy()
    rows = np.lexsort((size, table["p" if is_sure else "p_matched"].to_numpy()))
    return table.iloc[rows].reset_index(drop=True)


def _of_first_order(
    found: FirstOrder, shape: tuple[int, int], level: float
) -> dict[str, FloatArray]:
    """Effects in percentage points by the change of the log-odds, each `(l, g)`."""
    odds = found.log_odds
    start = logit(found.share)[:, None]

    def moved(change: FloatArray) -> FloatArray:
        points = 100.0 * (expit(start + change.reshape(shape)) - found.share[:, None])
        return np.asarray(points)

    low, high = odds.interval(level)
    # The slope of the share at what it has become.
    after = expit(start + odds.value.reshape(shape))
    slope = after * (1.0 - after)
    return {
        "effect_pp": moved(odds.value),
        "se": 100.0 * slope * odds.se.reshape(shape),
        "low": moved(low),
        "high": moved(high),
        "log_odds": odds.value.reshape(shape).copy(),
        "p": odds.p.reshape(shape).copy(),
    }


def words_of(table: pd.DataFrame, given: Mapping[str, Any], *, sure: bool) -> str:
    """What was done, and what was found, in sentences."""
    n = table["gene"].nunique()
    kept = "held" if given["hold"] else "at the start only"
    words = [
        f"{n:,} genes edited to {given['to']} one by one, {kept}, in {given['n_cells']:,} cells of"
        f" time {given['time']:g}, followed until time {given['until']:g}."
    ]
    simulated = table[table["simulated"]]["gene"].nunique()
    words.append(f"{simulated} were simulated; of the others, effects are those of first order.")
    if sure:
        found = table[table["q"] <= _ALPHA]
        words.append(f"{found['gene'].nunique()} genes have a q-value of at most {_ALPHA:g}.")
    else:
        words.append(
            "A single flow gives no intervals and no q-values; p_matched ranks genes among genes"
            " alike. Fit with n_members= for more."
        )
    large = table[table["change_sd"] > FAR]["gene"].nunique()
    if large:
        words.append(
            f"{large:,} genes are changed by more than {FAR:g} of their standard deviations, where"
            " there are few cells or none: to='-1sd' asks within the data."
        )
    far = table[table["simulated"] & (table["on_manifold"] < 0.5)]["gene"].nunique()
    if far:
        words.append(
            f"Of the simulated genes, {far} bring most states away from the measured cells; their"
            " effects are extrapolations."
        )
    return " ".join(words)
