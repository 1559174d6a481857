"""What an edit of genes does, as tables and in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.analysis.genes.effects import Effects, Estimate
from cellflow.analysis.genes.perturbation import Null, Support
from cellflow.analysis.genes.seen import Seen
from cellflow.core._typing import FloatArray
from cellflow.tl._edits import Wanted
from cellflow.tl._fate_targets import UNDECIDED

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["effects_table", "genes_table", "support_table", "words_of"]

#: Share of the states of a time on the manifold, below which an effect is an extrapolation.
_SUPPORTED = 0.5


def effects_table(found: Effects, null: Null, names: Sequence[str], level: float) -> pd.DataFrame:
    """One row for each fate, one for undecided mass, and one for the mass."""
    import pandas as pd

    null_low, null_high = null.interval(level)
    odds_low, odds_high = found.log_odds.interval(level)
    labels: dict[str, Any] = {
        "quantity": ["fate"] * len(names) + [UNDECIDED],
        "fate": [*names, UNDECIDED],
    }
    labels |= {"unperturbed": found.before, "perturbed": found.after}
    odds = {"log_odds": found.log_odds.value, "log_odds_low": odds_low, "log_odds_high": odds_high}
    ends = (null_low[:-1], null_high[:-1])
    fates = _values(found.share, level, 100.0, "pp", null.share, ends)
    mass = {"quantity": "mass", "fate": "", "unperturbed": found.mass[0]}
    mass |= {"perturbed": found.mass[1]}
    ends = (null_low[-1:], null_high[-1:])
    mass |= _values(found.log_mass, level, 1.0, "log", np.array([null.mass]), ends)
    rows = [pd.DataFrame(labels | fates | odds), pd.DataFrame(mass | dict.fromkeys(odds, np.nan))]
    return pd.concat(rows, ignore_index=True)


def _values(
    found: Estimate,
    level: float,
    factor: float,
    unit: str,
    p_matched: FloatArray,
    null: tuple[FloatArray, FloatArray],
) -> dict[str, Any]:
    """Columns of an effect, in a unit; `null` are the ends of the effects of random genes."""
    low, high = found.interval(level)
    return {
        "effect": factor * found.value,
        "unit": unit,
        "se": factor * found.se,
        "low": factor * low,
        "high": factor * high,
        "p": found.p,
        "p_matched": p_matched,
        "null_low": factor * null[0],
        "null_high": factor * null[1],
    }


def genes_table(
    seen: Seen, wanted: Sequence[Wanted], before: FloatArray, after: FloatArray
) -> pd.DataFrame:
    """One row for each edited gene; `before` and `after` are its means, `(k,)`."""
    import pandas as pd

    kinds = seen.kinds
    # Genes that are edited together respond together.
    used = "alone" if (kinds == "alone").all() else "covariance"
    return pd.DataFrame(
        {
            "gene": seen.decoder.genes.astype(object),
            "asked": [str(value) for value in wanted],
            "before": before,
            "after": after,
            "sd": seen.sd,
            "change_sd": (after - before) / seen.sd,
            "r2": seen.r2,
            "leverage": seen.leverage,
            "response": used,
        }
    )


def support_table(support: Support) -> pd.DataFrame:
    """One row for each time of the paths."""
    import pandas as pd

    columns = {"unperturbed": support.before, "perturbed": support.after}
    return pd.DataFrame({"time": support.times} | columns)


def words_of(
    genes: pd.DataFrame,
    support: Support,
    null: Null,
    *,
    hold: bool,
    n: int,
    time: float,
    end: float,
    sure: bool,
    refined: bool,
) -> str:
    """What was done, and what to keep in mind, in sentences."""
    edits = ", ".join(
        f"{row.gene}={row.asked} (mean {row.before:.3g} to {row.after:.3g}, {row.change_sd:+.2g}"
        f" sd, R2 {row.r2:.2f})"
        for row in genes.itertuples()
    )
    kept = "held until" if hold else "edited at the start only, followed until"
    words = [f"{edits}; {kept} time {end:g}; {n:,} cells of time {time:g}."]
    if genes["response"].iloc[0] == "alone":
        words.append("Other genes stay as they are at the edit, as far as the representation can.")
    else:
        words.append("Other genes change at the edit as they vary together among these cells.")
    if refined:
        words.append("Edited cells were moved back to where cells live, by the score.")
    first = support.after[0]
    least = int(np.argmin(support.after))
    words.append(
        f"{first:.0%} of the edited cells lie where cells were measured at that time"
        f" ({support.before[0]:.0%} unedited)."
    )
    if support.after[least] < _SUPPORTED:
        words.append(
            f"At time {support.times[least]:g} only {support.after[least]:.0%} of the states do"
            f" ({support.before[least]:.0%} unedited): the effect is an extrapolation."
        )
    if not sure:
        words.append("A single flow gives no intervals; fit with n_members= for them.")
    if null.n:
        words.append(f"Compared with {null.n} sets of genes alike in expression, R2 and leverage.")
    return " ".join(words)
