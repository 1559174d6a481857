"""Make `progenitors.h5ad` by simulation. Usage: `python make.py`."""

from __future__ import annotations

import hashlib
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from cellflow.synthetic import Circuit
from cellflow.synthetic._circuit_parts import Parts

HERE = Path(__file__).parent
SEED = 0

DAYS = (0.0, 1.0, 2.0, 3.0, 4.0)
#: Cells that are taken from the culture on each day.
N_TAKEN = 300
#: Founders, each with a barcode of its own, and their cells on day 0.
N_CLONES = 300
CELLS_PER_CLONE = 10
#: Share of the variance of the states on day 0 that is between clones.
HERITABILITY = 0.95
#: Share of the cells in which the barcode is found.
FOUND = 0.8
#: Step of the simulation, in days.
DT = 0.02
#: Simulations of each cell for its true fate probabilities.
N_REP = 100

#: Genes that follow each gene of the circuit, and genes that follow none.
N_FOLLOWERS = 30
N_CONSTANT = 121
#: Median number of counts of a cell, and the standard deviation of its logarithm.
MEDIAN_COUNTS = 4000
LOG_SD_COUNTS = 0.3
#: Share of a gene of the circuit in all counts, where it is fully expressed.
CIRCUIT_SHARE = 0.004
#: Overdispersion of counts: their variance is mean + mean^2 / DISPERSION.
DISPERSION = 8.0

CIRCUIT = ("R1", "R2", "R3", "R4", "D1", "T1", "T2", "C1", "C2")
#: Mean expression on day 0: both switches are undecided, the other genes follow them.
START = (0.32, 0.3, 0.12, 0.12, 0.2, 0.05, 0.8, 0.15, 0.15)
ROLES = {"R": "regulator of fates", "D": "drives division", "T": "target", "C": "follows time"}
TYPES = ("progenitor", "A", "BC", "B", "C")
FATES = ("A", "B", "C")


def circuit() -> Circuit:
    """Two switches: R1 against R2, and, where R1 is on, R3 against R4."""
    weight = pd.DataFrame(0.0, CIRCUIT, CIRCUIT)  # of the column on the row
    basal = pd.Series(0.0, CIRCUIT)
    pace = pd.Series(0.0, CIRCUIT)
    for one, other in (("R1", "R2"), ("R3", "R4")):
        weight.loc[one, one] = weight.loc[other, other] = 3.0
        weight.loc[one, other] = weight.loc[other, one] = -6.0
    weight.loc[["R3", "R4"], "R1"] = 4.5
    basal[["R1", "R2", "R3", "R4"]] = 1.65, 1.5, -3.0, -3.0
    weight.loc["D1", "R2"] = weight.loc["T1", "R3"] = 8.0
    weight.loc["T2", "R1"] = -8.0
    basal[["D1", "T1", "T2"]] = -4.0, -4.0, 4.0
    pace[["C1", "C2"]] = 0.17, 0.15
    parts = Parts(
        CIRCUIT,
        tuple(tuple(row) for row in weight.to_numpy().tolist()),
        tuple(basal),
        START,
        tuple(pace),
        tuple(float(gene == "D1") for gene in CIRCUIT),
        ((0, 1, -1), (2, 3, 0)),
    )
    return Circuit(parts, rate=1.1, proliferation=0.7)


def grown(law: Circuit, rng: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray, float]]:
    """States, clones and size of the culture for the cells that are taken on each day.

    Cells move by Euler-Maruyama and divide into two equal cells with the rate of their state. Cells
    that are taken are gone.
    """
    clone = np.repeat(np.arange(N_CLONES), CELLS_PER_CLONE)
    shape = (len(CIRCUIT),)
    of_clone = rng.standard_normal((N_CLONES, *shape))[clone]
    of_cell = rng.standard_normal((len(clone), *shape))
    spread = np.sqrt(HERITABILITY) * of_clone + np.sqrt(1 - HERITABILITY) * of_cell
    x = np.array(law.parts.start) + law.start_sd * spread
    # Culture size as if no cell had been taken: cells stand for more of it after each sample.
    stands_for = 1.0 / len(clone)
    taken = []
    for k, day in enumerate(DAYS):
        for step in range(round((day - DAYS[k - 1]) / DT) if k else 0):
            t = DAYS[k - 1] + step * DT
            divides = rng.random(len(x)) < DT * law.growth(t, x)
            noise = law.sigma * np.sqrt(DT) * rng.standard_normal(x.shape)
            x = x + DT * law.drift(t, x) + noise
            x = np.concatenate([x, x[divides]])
            clone = np.concatenate([clone, clone[divides]])
        order = rng.permutation(len(x))
        now, later = order[:N_TAKEN], order[N_TAKEN:]
        taken.append((x[now], clone[now], len(x) * stands_for))
        stands_for *= len(x) / len(later)
        x, clone = x[later], clone[later]
    return taken


def typed(x: np.ndarray) -> np.ndarray:
    """Cell type by the regulators that are on."""
    r1, r2, r3, r4 = (x[:, :4] > 0.5).T
    return np.select([r2 & ~r1, r3 & ~r4, r4 & ~r3, r1 & ~r2], ["A", "B", "C", "BC"], "progenitor")


def measured(x: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, pd.DataFrame]:
    """Counts of all genes, and what each gene is."""
    followed = np.repeat(np.arange(len(CIRCUIT)), N_FOLLOWERS)
    effect = rng.choice([-1.0, 1.0], len(followed)) * rng.uniform(1.5, 3.0, len(followed))
    mean = np.exp(rng.normal(-7.0, 0.8, len(followed) + N_CONSTANT))
    share = np.tile(mean, (len(x), 1))
    share[:, : len(followed)] *= np.exp(effect * (np.clip(x[:, followed], 0, None) - 0.5))
    own = CIRCUIT_SHARE * np.clip(x, 0, None)
    rest = share / share.sum(axis=1, keepdims=True) * (1 - own.sum(axis=1, keepdims=True))
    depth = MEDIAN_COUNTS * np.exp(LOG_SD_COUNTS * rng.standard_normal(len(x)))
    expected = depth[:, None] * np.concatenate([own, rest], axis=1)
    counts = rng.poisson(expected * rng.gamma(DISPERSION, 1 / DISPERSION, expected.shape))
    names = np.array(CIRCUIT)
    var = pd.DataFrame(
        {
            "role": [ROLES[gene[0]] for gene in CIRCUIT]
            + ["follower"] * len(followed)
            + ["constant"] * N_CONSTANT,
            "follows": [*CIRCUIT, *names[followed], *[""] * N_CONSTANT],
        },
        index=[*CIRCUIT, *(f"G{k + 1:03d}" for k in range(len(followed) + N_CONSTANT))],
    ).astype("category")
    return counts, var


def simulated() -> ad.AnnData:
    """The data set."""
    rng = np.random.default_rng(SEED)
    law = circuit()
    taken = grown(law, rng)
    x = np.concatenate([part[0] for part in taken])
    day = np.repeat(DAYS, N_TAKEN)
    counts, var = measured(x, rng)
    names = pd.Series([f"clone {k + 1}" for k in np.concatenate([part[1] for part in taken])])
    names = names.where(rng.random(len(names)) < FOUND)
    known = np.concatenate([law.fates(d, x[day == d], n_rep=N_REP, rng=rng) for d in DAYS])
    ends = np.concatenate([law.fates(d, x[day == d], n_rep=1, rng=rng) for d in DAYS])
    obs = pd.DataFrame(
        {
            "day": day,
            "cell_type": pd.Categorical(typed(x), TYPES),
            "clone": pd.Categorical(names),
            "culture_size": np.repeat([part[2] for part in taken], N_TAKEN),
            "fate_true": pd.Categorical.from_codes(ends.argmax(axis=1), FATES),
            "growth_true": law.growth(0.0, x),
        }
    )
    obs.index = [f"cell {k + 1}" for k in range(len(obs))]
    adata = ad.AnnData(csr_matrix(counts.astype(np.float32)), obs=obs, var=var)
    adata.obsm["fates_true"] = known.astype(np.float32)
    adata.obsm["state_true"] = x.astype(np.float32)
    adata.uns["simulation"] = {
        "system": "Circuit",
        "words": (
            "Simulated, not measured. R1 and R2 repress each other, and so do R3 and R4 where R1 is"
            " on; cells with R2, R3 and R4 become A, B and C. R2 switches on D1, which makes cells"
            " divide. T1, T2, C1 and C2 have no effect."
        ),
        "seed": SEED,
    }
    return adata


def write(adata: ad.AnnData, path: Path) -> None:
    """Write the h5ad and the checksum beside it."""
    adata.write_h5ad(path, compression="gzip", compression_opts=9)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_name("SHA256SUMS").write_text(f"{digest}  {path.name}\n", encoding="utf-8")


if __name__ == "__main__":
    write(simulated(), HERE / "progenitors.h5ad")
