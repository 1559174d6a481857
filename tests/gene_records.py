"""Results about genes as a fit stores them, with values that are known."""

from itertools import product

import numpy as np
import pandas as pd

#: Genes of the tables.
GENES = ["MYH3", "TNNT1"]
#: Snapshots, and times of the trends.
SNAPSHOTS, TIMES = np.array([0.0, 24.0, 48.0]), np.linspace(0.0, 48.0, 9)
NAMES = {"group": "all", "condition": "all"}


def gene_records():
    """Entries of the record of a fit of an ensemble."""
    return {
        "trends": trends(),
        "drivers": {"left": {"fate": "left", "table": drivers(), "words": "Drivers."}},
        "jacobian": {"table": jacobian(), "words": "A slope.", "of": "drift", "by": "regression"},
        "perturbations": {"MYH3=0": perturbation(0.0), "TNNT1=+1sd": perturbation(1.0)},
        "screen": {"table": screen(), "words": "A screen.", "to": "-1sd", "level": 0.9},
    }


def trends():
    """Of two fates; MYH3 peaks at the end, TNNT1 at the start; "left" has no support at the end."""
    rows, parts = [], []
    for gene, fate in product(GENES, ["left", "right"]):
        mean = TIMES / 48.0 if gene == "MYH3" else 1.0 - TIMES / 48.0
        mean = mean * (2.0 if fate == "left" else 1.0)
        supported = (TIMES < 48.0) | (fate == "right")
        shown = np.where(supported, mean, np.nan)
        measured = np.where(np.isin(TIMES, SNAPSHOTS), mean, np.nan)
        part = pd.DataFrame({"gene": gene, "fate": fate, **NAMES, "time": TIMES, "mean": shown})
        part["low"] = shown - 0.2
        part["high"] = shown + 0.2
        rows.append(part.assign(measured=measured, supported=supported))
    for gene in GENES:
        when = {"time": 12.0, "low": 6.0, "high": 18.0} if gene == "MYH3" else {}
        nothing = dict.fromkeys(("time", "low", "high"), np.nan)
        parts.append({"gene": gene, "by": "fate", "a": "left", "b": "right", **NAMES, "fate": ""})
        parts[-1] |= nothing | when
    table = pd.concat(rows, ignore_index=True)
    for name in ("gene", "fate", "group", "condition"):
        table[name] = table[name].astype("category")
    about = {"level": 0.9, "min_cells": 10, "words": "Trends."}
    about |= {name: np.array(["all"], dtype=object) for name in ("fates", "conditions")}
    return about | {"table": table, "parting": pd.DataFrame(parts)}


def drivers(n=12):
    """Effects that fall with the rank; the first three are significant, the first is matched."""
    rank = np.arange(1, n + 1)
    value = np.where(rank % 4 == 0, -1.0, 1.0) / rank
    q = np.where(rank <= 3, 0.05, 0.5)
    table = pd.DataFrame({"gene": [f"gene{k}" for k in rank], "rank": rank, "score": value})
    for name in ("", "association_", "sensitivity_", "velocity_"):
        table[f"{name}q"] = q
        table[f"{name}q_matched"] = np.where(rank == 1, 0.01, 1.0)
    for name in ("association", "sensitivity", "velocity"):
        table[name] = value
        table[f"{name}_se"] = 0.1
    table.loc[table["rank"] == 2, "sensitivity"] = np.nan
    return table.assign(response="covariance")


def jacobian():
    """Two blocks of genes, a and c, and b and d; one value is significant, one is unknown."""
    genes = ["a", "b", "c", "d"]
    rows = []
    for source, target in product(genes, genes):
        same = (source in "ac") == (target in "ac")
        value = 1.0 if same else -0.5
        q = 0.01 if (source, target) == ("a", "c") else 0.9
        rows.append({"group": "all", "regulator": source, "target": target, "value": value, "q": q})
    table = pd.DataFrame(rows).assign(response="covariance", n_cells=10)
    table.loc[(table["regulator"] == "d") & (table["target"] == "a"), "value"] = np.nan
    return table.assign(scaled=2.0 * table["value"])


def perturbation(shift):
    """Effects on two fates; the first is significant, and beyond random genes."""
    effect = np.array([20.0, -10.0, 3.0, np.log(2.0)]) * (1.0 - 0.5 * shift)
    table = pd.DataFrame(
        {
            "quantity": ["fate", "fate", "undecided", "mass"],
            "fate": ["left", "right", "undecided", ""],
            "effect": effect,
            "low": effect - 4.0,
            "high": effect + 4.0,
            "p": [0.001, 0.2, 0.6, 0.5],
            "p_matched": [0.01, 0.5, 0.6, 0.5],
            "null_low": [-6.0, -12.0, -5.0, -1.0],
            "null_high": [6.0, 12.0, 5.0, 1.0],
        }
    )
    genes = pd.DataFrame({"gene": ["MYH3"], "before": 2.0, "after": 0.5, "sd": 1.0, "r2": 0.8})
    last = 0.3 + 0.5 * shift
    support = {"time": SNAPSHOTS, "unperturbed": [0.9, 0.9, 0.8], "perturbed": [0.8, 0.7, last]}
    about = {"level": 0.9, "words": "An edit."}
    return about | {"table": table, "genes": genes, "support": pd.DataFrame(support)}


def screen():
    """Five genes; the first is significant and simulated, the last is an extrapolation."""
    k = np.arange(5)
    effect = np.array([12.0, -8.0, 6.0, 4.0, -2.0])
    table = pd.DataFrame({"gene": [f"gene{i}" for i in k], "fate": "left", "effect_pp": effect})
    table["low"] = effect - 3.0
    table["high"] = effect + 3.0
    table["q"] = np.where(k == 0, 0.02, 0.4)
    table["simulated"] = k < 2
    table["on_manifold"] = np.where(k < 2, 0.9, np.nan)
    return table.assign(change_sd=np.where(k == 4, 4.0, 1.0))
