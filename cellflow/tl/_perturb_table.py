"""What an edit of genes does, as tables and in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cellflow.analysis.genes.effects import Effects
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

    share = found.share
    low, high = share.interval(level)
    odds_low, odds_high = found.log_odds.interval(level)
    fates = pd.DataFrame(
        {
            "quantity": ["fate"] * len(names) + [UNDECIDED],
            "fate": [*names, UNDECIDED],
            "unperturbed": found.before,
            "perturbed": found.after,
            "effect": 100.0 * share.value,
            "unit": "pp",
            "se": 100.0 * share.se,
            "low": 100.0 * low,
            "high": 100.0 * high,
            "p": share.p,
            "p_matched": null.share,
            "log_odds": found.log_odds.value,
            "log_odds_low": odds_low,
            "log_odds_high": odds_high,
        }
    )
    mass = found.log_mass
    low, high = mass.interval(level)
    row = {
        "quantity": "mass",
        "fate": "",
        "unperturbed": found.mass[0],
        "perturbed": found.mass[1],
        "effect": mass.value[0],
        "unit": "log",
        "se": mass.se[0],
        "low": low[0],
        "high": high[0],
        "p": mass.p[0],
        "p_matched": null.mass,
    }
    nothing = dict.fromkeys(("log_odds", "log_odds_low", "log_odds_high"), np.nan)
    return pd.concat([fates, pd.DataFrame([row | nothing])], ignore_index=True)


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
