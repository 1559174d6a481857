r"""Growth rates of cells from the expression of genes of proliferation and apoptosis.

The score of a list of genes in a cell is the mean of their z-scores over all cells, each cut off at
5. A logistic function maps it to a rate between two bounds, as Waddington-OT does (Schiebinger et
al., Optimal-transport analysis of single-cell gene expression identifies developmental
trajectories in reprogramming, Cell 2019):

.. math::  \beta(s) = \beta_{min} + \frac{\beta_{max} - \beta_{min}}{1 + e^{-4 (s - c) / w}}
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from importlib.resources import files
from typing import Literal, NamedTuple, TypeAlias, get_args

import numpy as np
import scipy.sparse as sp

from cellflow.core._moments import Expression
from cellflow.core._typing import FloatArray, IntArray

__all__ = [
    "BIRTH",
    "DEATH",
    "Curve",
    "Gene",
    "Organism",
    "found_genes",
    "gene_lists",
    "mean_z_score",
    "organism_of",
]

Organism = Literal["human", "mouse"]
#: Spellings of one gene, the current symbol first.
Gene: TypeAlias = tuple[str, ...]
#: z-scores are cut off here, so that no gene decides the score of a cell alone.
_LARGEST_Z = 5.0
#: Rows of expression that are read together.
_BLOCK = 4096


class Curve(NamedTuple):
    """The logistic function from a score to a rate: where it is half way, and how wide it is."""

    centre: float
    width: float

    def rate(self, score: FloatArray, bounds: tuple[float, float]) -> FloatArray:
        """Rates `(n,)` between two bounds, in their unit."""
        low, high = bounds
        steps = np.clip(4.0 * (score - self.centre) / self.width, -500.0, 500.0)
        rates: FloatArray = low + (high - low) / (1.0 + np.exp(-steps))
        return rates


#: Curves of Waddington-OT, for scores that are mean z-scores.
BIRTH = Curve(centre=0.25, width=0.5)
DEATH = Curve(centre=0.1, width=0.2)


def gene_lists(organism: Organism) -> tuple[list[Gene], list[Gene]]:
    """Genes of proliferation and of apoptosis.

    The sources are at the top of `growth_genes.csv`. Genes of both lists (TOP2A, HMGB2) are taken
    for proliferation only.
    """
    with files("cellflow.analysis").joinpath("growth_genes.csv").open(encoding="utf-8") as file:
        table = list(csv.DictReader(line for line in file if not line.startswith("#")))
    birth: list[Gene] = []
    death: list[Gene] = []
    for row in table:
        spellings = tuple(filter(None, (row[organism], row[f"{organism}_former"])))
        (death if row["set"] == "apoptosis" else birth).append(spellings)
    return birth, [gene for gene in death if gene not in birth]


def organism_of(names: Iterable[str]) -> Organism | None:
    """Organism whose genes these are, by the spelling of the listed ones; None where none is."""
    present = set(names)
    counts: dict[Organism, int] = {
        organism: sum(1 for genes in gene_lists(organism) for g in genes if present & set(g))
        for organism in get_args(Organism)
    }
    best = max(counts, key=lambda organism: counts[organism])
    return best if counts[best] else None


def found_genes(genes: Iterable[Gene], names: Sequence[str]) -> IntArray:
    """Columns of the genes that there are, each gene by its first spelling that is a name."""
    column: dict[str, int] = {}
    for position, name in enumerate(names):
        column.setdefault(name, position)
    spelled = (next((name for name in gene if name in column), None) for gene in genes)
    return np.array(sorted({column[name] for name in spelled if name is not None}), dtype=np.int64)


def mean_z_score(expression: Expression, genes: IntArray) -> tuple[FloatArray, IntArray]:
    """Mean of the z-scores of some genes in every cell, and the genes that vary.

    Parameters
    ----------
    expression
        Shape `(n, genes)`, finite.
    genes
        Columns.

    Returns
    -------
    Scores `(n,)`, zero where no gene varies, and the columns that they are means of.
    """
    n = expression.shape[0]
    parts = [slice(start, min(start + _BLOCK, n)) for start in range(0, n, _BLOCK)]
    # Sums are taken about the first cell, so that a large offset costs no digits.
    origin = _dense(expression, slice(0, 1), genes)[0]
    total = np.zeros(len(genes))
    square = np.zeros(len(genes))
    varies = np.zeros(len(genes), dtype=bool)
    for rows in parts:
        block = _dense(expression, rows, genes) - origin
        total += block.sum(axis=0)
        square += (block**2).sum(axis=0)
        varies |= (block != 0).any(axis=0)
    mean = origin + total / n
    sd = np.sqrt(np.maximum(square / n - (total / n) ** 2, 0.0))
    score = np.zeros(n)
    if varies.any():
        for rows in parts:
            z = (_dense(expression, rows, genes[varies]) - mean[varies]) / sd[varies]
            score[rows] = np.clip(z, -_LARGEST_Z, _LARGEST_Z).mean(axis=1)
    return score, genes[varies]


def _dense(expression: Expression, rows: slice, genes: IntArray) -> FloatArray:
    block = expression[rows]
    if sp.issparse(block):
        return np.asarray(block.tocsc()[:, genes].toarray(), dtype=np.float64)
    return np.asarray(block[:, genes], dtype=np.float64)
