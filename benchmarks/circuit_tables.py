"""Tables of `circuits.py`, from its rows."""

from __future__ import annotations

import numpy as np
import pandas as pd

import records

#: Effects in percentage points that count as one, and below which there is none.
LEAST = 5.0
NONE = 1.0
#: Level of q.
Q = 0.1
#: Least mean support of a knock-out that counts as supported; chosen on development circuits.
SUPPORTED = 1 / 3
#: Genes at the top that are searched for confounders.
TOP = 3
#: Parts whose scores make the mean.
SCORED = ("velocity", "growth", "held-out", "terminal", "knock-out", "regulation")


def scores(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation over seeds of each score, and of the baseline."""
    of = rows[rows["part"].isin(SCORED)]
    table = {}
    for name in ("score", "baseline"):
        wide = of.pivot(index="seed", columns="part", values=name).reindex(columns=list(SCORED))
        wide["mean"] = wide.mean(axis=1).where(wide.notna().all(axis=1))
        table[name] = [f"{m:.3f} ± {s:.3f}" for m, s in zip(wide.mean(), wide.std(), strict=True)]
        index = wide.columns
    return pd.DataFrame(table, index=index).T


def knock_outs(rows: pd.DataFrame) -> pd.DataFrame:
    """Signs, coverage and false discoveries over all pairs of all circuits."""
    parts = [
        pd.DataFrame(pairs).assign(seed=seed)
        for seed, pairs in rows.loc[rows["part"] == "knock-out", ["seed", "pairs"]].to_numpy()
    ]
    pairs = pd.concat(parts)
    table = {}
    answered = pairs["effect"].notna()
    chosen = {
        "all": pairs,
        "answered": pairs[answered],
        "supported": pairs[answered & (pairs["support"] >= SUPPORTED)],
    }
    for name, of in chosen.items():
        strong = of[of["true"].abs() >= LEAST]
        held = ((of["low"] <= of["true"]) & (of["true"] <= of["high"])).astype(float)
        held = held.where(of["low"].notna())
        found = of[of["q"] <= Q]
        table[name] = {
            "pairs": len(of),
            "with an effect": len(strong),
            "right sign": (np.sign(strong["effect"]) == np.sign(strong["true"])).mean(),
            "intervals that hold": held.mean(),
            "of true effects": held[of["true"].abs() >= LEAST].mean(),
            "found": len(found),
            "of no effect": (found["true"].abs() < NONE).mean(),
            "right sign, found": (np.sign(found["effect"]) == np.sign(found["true"])).mean(),
        }
    return pd.DataFrame(table).T.round(3)


def report(rows: pd.DataFrame) -> None:
    """Print all tables in Markdown."""
    for name, of in rows.groupby("set", sort=False):
        print(f"\n{name}: {of['seed'].nunique()} circuits, mean ± sd over seeds")
        records.markdown(scores(of))
        for extra in ("r", "composition", "cells", "signs"):
            if extra in of and of[extra].notna().any():
                print(f"{extra}: {of[extra].mean():.3f} ± {of[extra].std():.3f}")
        if (of["part"] == "knock-out").any():
            print(f"\n{name}: knock-outs beside the circuit without the gene")
            records.markdown(knock_outs(of))
        counted = of[of["part"] == "drivers"]
        columns = ["top", "markers", "time", "chance", "significant", "confounders"]
        if len(counted) and set(columns) <= set(counted):
            print(f"\n{name}: confounders among the {TOP} first drivers")
            means = counted[columns].mean().round(2)
            records.markdown(means.to_frame("confounders").T)
