"""What the calls about genes find in real data: most parts of `genes.py`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

import gene_data
import records
from cellflow.analysis.members import spread_of

N_MEMBERS = 5
#: Of the worm, where errors of five members left no power to the p-values of two parts together.
N_WORM_MEMBERS = 10
LEVEL = 0.9
N_TOP = 10
#: Strength of the marginals for the worm. Numbers of sequenced cells of sisters differ threefold
#: there, which are not births; with .1 plans stay in their lineage (see `growth.py --parts worm`).
TAU = 0.1
#: The bin of the worm that is held out, number and types whose means are predicted.
HELD_OUT = 4
BRANCH = "AWA"
SISTER = "ASG"
#: Genes whose trends are compared with the means of the bin, with the branch they are known of.
PREDICTED = {"odr-7": BRANCH, "lin-11": BRANCH, "ets-5": SISTER}


def fitted_worm(seed: int, without: int | None = None) -> Any | None:
    """The worm with an ensemble and fates."""
    import cellflow as cf
    from cellflow.couplings import Unbalanced

    adata = gene_data.worm(without)
    if adata is None:
        return None
    recipe = cf.recipes.curved_cfm().with_growth(Unbalanced(TAU))
    how = {"method": recipe, "n_members": N_WORM_MEMBERS, "random_state": seed, "progress": False}
    cf.tl.flow(adata, "minutes", **how)
    cf.tl.fates(adata, "cell_type", progress=False)
    return adata


def worm(seed: int) -> None:
    """Print what is known of the worm beside what is found."""
    begun = time.perf_counter()
    adata = fitted_worm(seed)
    if adata is None:
        return
    print(f"\nWorm: {adata.n_obs} cells of {', '.join(gene_data.LINEAGE)}, {adata.n_vars} genes")
    shares = fates_by_type(adata)
    print("\nFates by type (a mother ASG_AWA has one daughter of each)\n")
    records.markdown(shares.round(2).astype(object))
    print("\nVelocity of late genes at the last bin before half of the largest mean\n")
    records.markdown(late_genes(adata))
    for fate in (BRANCH, SISTER):
        print(f"\nKnown genes among the drivers of {fate}\n")
        records.markdown(known_drivers(adata, fate, gene_data.WORM_GENES))
        top(adata, fate, gene_data.WORM_GENES)
    held = fitted_worm(seed, without=HELD_OUT)
    assert held is not None
    print(f"\nTrends of a fit without bin {HELD_OUT}, beside the means of its cells\n")
    records.markdown(held_out(held))
    print(f"\n{time.perf_counter() - begun:.0f} s")


def fates_by_type(adata: Any) -> pd.DataFrame:
    """Mean fates of the cells of each type."""
    names = list(adata.uns["cellflow"]["fates"]["names"])
    table = pd.DataFrame(adata.obsm["lineages_fwd"], columns=names)
    return table.groupby(adata.obs["cell_type"].to_numpy(), observed=True).mean()


def late_genes(adata: Any) -> pd.DataFrame:
    """Mean velocity of late genes in the branch before they rise, with its interval."""
    import cellflow as cf

    decoder = cf.get.flow(adata).decoder
    names = list(decoder.genes)
    minutes = adata.obs["minutes"].to_numpy()
    fates = list(adata.uns["cellflow"]["fates"]["names"])
    rows = []
    for gene, (fate, reference) in gene_data.WORM_LATE.items():
        r2 = float(decoder.gene_r2[names.index(gene)])
        row: dict[str, Any] = {"gene": gene, "branch": fate, "R2": round(r2, 2)}
        rows.append(row)
        share = adata.obsm["lineages_fwd"][:, fates.index(fate)]
        expression = adata[:, gene].X.toarray().ravel()
        means = by_time(expression, share, minutes)
        row["means by bin"] = " ".join(f"{value:.2f}" for value in means)
        k = before_rise(means)
        at = minutes == means.index[k]
        spread = mean_velocity(adata, gene, at, share[at])
        low, high = spread.interval(LEVEL)
        rise = (means.iloc[k + 1] - means.iloc[k]) / (means.index[k + 1] - means.index[k])
        row["before rise, min"] = f"{means.index[k]:g}"
        row["velocity, per hour"] = f"{60 * spread.mean[0]:.3f}"
        row["interval"] = f"[{60 * low[0]:.3f}, {60 * high[0]:.3f}]"
        row["measured to the next bin"] = f"{60 * rise:.3f}"
        row["reference"] = reference
    return pd.DataFrame(rows).set_index("gene")


def mean_velocity(adata: Any, gene: str, at: np.ndarray, weight: np.ndarray) -> Any:
    """Mean velocity of a gene over some cells, with its standard error by the ensemble."""
    import cellflow as cf

    flow = cf.get.flow(adata)
    loadings = flow.decoder.loadings[list(flow.decoder.genes).index(gene)]
    place = adata.obsm["X_pca"][at].astype(float)
    minutes = adata.obs["minutes"].to_numpy()[at]

    def ask(one: Any) -> np.ndarray:
        velocity = one.velocity(place, minutes) @ loadings
        return np.atleast_1d(np.average(velocity, weights=weight))

    return spread_of(flow, ask)


def by_time(values: np.ndarray, weight: np.ndarray, minutes: np.ndarray) -> pd.Series:
    """Weighted means at each time."""
    times = np.unique(minutes)
    means = [np.average(values[minutes == t], weights=weight[minutes == t]) for t in times]
    return pd.Series(means, index=times)


def before_rise(means: pd.Series) -> int:
    """Number of the last time before the mean first reaches half of its largest value."""
    return max(int(np.flatnonzero(means.to_numpy() >= means.max() / 2)[0]) - 1, 0)


def found_drivers(adata: Any, fate: str) -> pd.DataFrame:
    """Drivers of a fate by their rank."""
    import cellflow as cf

    cf.tl.drivers(adata, fate)
    return cf.get.drivers(adata, fate).set_index("gene")


def known_drivers(adata: Any, fate: str, known: Mapping[str, str]) -> pd.DataFrame:
    """Ranks of known genes among the drivers of a fate."""
    table = found_drivers(adata, fate)
    rows = {gene: shown_row(table, gene) for gene in known if gene in table.index}
    made = pd.DataFrame(rows).T
    made["known of"] = [known[gene] for gene in made.index]
    return made


def shown_row(table: pd.DataFrame, gene: str) -> dict[str, Any]:
    """What is printed of a gene."""
    row = table.loc[gene]
    seen = row["sensitivity"] == row["sensitivity"]
    ranks = {
        "rank": f"{row['rank']:.0f} of {len(table)}",
        "q": f"{row['q']:.3f}",
        "q beside like genes": f"{row['q_matched']:.2f}",
        "score": f"{row['score']:+.1f}",
        "sensitivity": f"{row['sensitivity']:+.2f} ({row['sensitivity_q']:.3f})",
        "velocity": f"{row['velocity']:+.4f} ({row['velocity_q']:.3f})",
    }
    own = f"{row['association']:+.2f} ({row['association_q']:.3f})"
    return {
        **(ranks if seen else dict.fromkeys(ranks, "")),
        "association": own,
        "R2": f"{row['r2']:.2f}",
        "rank by the label of the end": f"{row['marker_rank']:.0f}",
    }


def top(adata: Any, fate: str, known: Mapping[str, str]) -> None:
    """Print the drivers of first rank, and how many the label of the end finds alone."""
    table = found_drivers(adata, fate)
    first = table.index[:N_TOP]
    made = pd.DataFrame({gene: shown_row(table, gene) for gene in first}).T
    made["reference"] = [known.get(gene, "") for gene in first]
    print(f"\nTen first drivers of {fate}\n")
    records.markdown(made)
    also = [gene for gene in first if table.loc[gene, "marker_rank"] <= N_TOP]
    print(
        f"\nAn association with the label of the end alone has {len(also)} of them in its first"
        f" ten: {', '.join(also) or 'none'}. Genes with q < 0.1: {(table['q'] < 0.1).sum()} of"
        f" {table['q'].notna().sum()} that can be decoded; beside like genes:"
        f" {(table['q_matched'] < 0.1).sum()}."
    )


def held_out(adata: Any) -> pd.DataFrame:
    """Trends at the time of the bin that the fit has not seen, beside its means."""
    import cellflow as cf

    full = gene_data.worm()
    at = float(full.obs.loc[full.obs["time_bin"] == HELD_OUT, "minutes"].iloc[0])
    cf.tl.trends(adata, list(PREDICTED), fate=[BRANCH, SISTER], times=[at], level=LEVEL)
    trends = cf.get.trends(adata).set_index(["gene", "fate"])
    means = gene_data.worm_means(HELD_OUT, list(PREDICTED))
    rows = {}
    for gene in PREDICTED:
        for fate in (BRANCH, SISTER):
            found = trends.loc[(gene, fate)]
            measured = means["mean"].loc[fate, gene]
            se = means["se"].loc[fate, gene]
            difference = found["mean"] - measured
            sides = neighbouring(adata, gene, fate, at)
            rows[f"{gene} in {fate}"] = {
                "predicted": f"{found['mean']:.2f} [{found['low']:.2f}, {found['high']:.2f}]",
                "measured": f"{measured:.2f} ± {se:.2f}",
                "inside": "yes" if found["low"] <= measured <= found["high"] else "no",
                "difference / se of both": f"{difference / np.hypot(found['se'], se):+.1f}",
                "bins before and after": ", ".join(f"{value:.2f}" for value in sides),
                "line between them": f"{np.interp(at, sides.index, sides):.2f}",
                "effective cells": f"{found['n_eff']:.0f}",
                "R2": f"{found['r2']:.2f}",
            }
    return pd.DataFrame(rows).T


def neighbouring(adata: Any, gene: str, fate: str, at: float) -> pd.Series:
    """Measured means of a gene in a type in the bins beside a time, by their times."""
    minutes = adata.obs["minutes"].to_numpy()
    own = (adata.obs["cell_type"] == fate).to_numpy()
    values = adata[:, gene].X.toarray().ravel()
    sides = (minutes[minutes < at].max(), minutes[minutes > at].min())
    return pd.Series({t: values[own & (minutes == t)].mean() for t in sides})


def myoblasts(seed: int) -> None:
    """Print the drivers of muscle among myoblasts."""
    import cellflow as cf

    adata = gene_data.myoblasts()
    cf.tl.flow(adata, "hours", n_members=N_MEMBERS, random_state=seed, progress=False)
    cf.tl.fates(adata, "state", progress=False)
    print(f"\nMyoblasts: {adata.n_obs} cells, {adata.n_vars} genes")
    top(adata, "muscle", gene_data.MYOBLAST_GENES)


def larry(seed: int) -> None:
    """Print the drivers of neutrophils and monocytes among blood progenitors."""
    import cellflow as cf

    adata = gene_data.larry()
    if adata is None:
        return
    cf.tl.flow(adata, "day", n_members=N_MEMBERS, random_state=seed, progress=False)
    cf.tl.fates(adata, "type", progress=False)
    print(f"\nLARRY subset: {adata.n_obs} cells, {adata.n_vars} genes")
    for fate in ("Neutrophil", "Monocyte"):
        top(adata, fate, gene_data.LARRY_GENES)


#: Parts by name; each takes a seed.
PARTS: dict[str, Callable[[int], None]] = {"worm": worm, "myoblasts": myoblasts, "larry": larry}
