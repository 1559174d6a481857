"""The genes of a circuit, and how a circuit is drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Parts", "drawn"]

#: The pairs of regulators of 2, 3 and 4 fates; see `Parts.splits`.
_TREE = ((0, 1, -1), (2, 3, 0), (4, 5, 1))
#: Activation of a regulator by itself, and repression by the other one of the pair.
_SELF = 3.0
_OTHER = 6.0
#: Input of a regulator that is balanced: both genes of the pair are at one half then.
_BALANCED = 1.5
#: Activation of a pair by the gene above it.
_ABOVE = 4.5
#: Activation of a target, which is half on at half of the expression of its regulator.
_TARGET = 8.0
#: Largest relative change of a strength, and largest change of a threshold, in a drawn circuit.
_VARIED = 0.15
_SHIFTED = 0.15


@dataclass(frozen=True)
class Parts:
    """Constants of the genes of a circuit: one value, or one row, a gene.

    Parameters
    ----------
    genes
        Names.
    regulation, basal
        Effects of the genes (columns) on each gene (rows), and its input without them.
    start, pace
        Mean at time 0, and the speed of a gene that follows the time alone, 0 for others.
    division
        Share in the rate of division.
    splits
        Rows of three numbers of genes: two that repress each other, and the one that has to be on
        before, -1 for none. A pair comes after the pair of the gene above it.
    """

    genes: tuple[str, ...]
    regulation: tuple[tuple[float, ...], ...]
    basal: tuple[float, ...]
    start: tuple[float, ...]
    pace: tuple[float, ...]
    division: tuple[float, ...]
    splits: tuple[tuple[int, int, int], ...]

    @property
    def leaves(self) -> list[int]:
        """Genes that are on in one fate only, one a fate."""
        above = {parent for _, _, parent in self.splits}
        return [g for *pair, _ in self.splits for g in pair if g not in above]


def drawn(n_genes: int, n_fates: int, rng: np.random.Generator) -> Parts:
    """Draw the constants of a circuit."""
    names = _names(n_genes, n_fates)
    splits = _TREE[: n_fates - 1]
    weight = np.zeros((n_genes, n_genes))
    basal = np.zeros(n_genes)
    start = np.full(n_genes, 0.15)
    pace = np.zeros(n_genes)
    division = np.zeros(n_genes)
    for a, b, parent in splits:
        weight[[a, b], [a, b]] = _SELF
        weight[[a, b], [b, a]] = -_OTHER
        basal[[a, b]] = _BALANCED + rng.uniform(-_SHIFTED, _SHIFTED, 2)
        if parent >= 0:
            weight[[a, b], parent] = _ABOVE
            basal[[a, b]] -= _ABOVE
    n_regulators = 2 * len(splits)
    for g in range(n_regulators, n_genes):
        if names[g].startswith("C"):
            pace[g] = rng.uniform(0.15, 0.2)
            continue
        sign = 1.0 if names[g].startswith("D") else rng.choice([-1.0, 1.0])
        weight[g, rng.integers(n_regulators)] = sign * _TARGET
        basal[g] = -sign * _TARGET / 2
    dividing = [g for g in range(n_genes) if names[g].startswith("D")] or [int(rng.integers(2))]
    division[dividing] = 1.0
    weight *= rng.uniform(1 - _VARIED, 1 + _VARIED, weight.shape)
    return Parts(
        names,
        tuple(tuple(row) for row in weight.tolist()),
        tuple(basal.tolist()),
        tuple(start.tolist()),
        tuple(pace.tolist()),
        tuple(division.tolist()),
        splits,
    )


def _names(n_genes: int, n_fates: int) -> tuple[str, ...]:
    """Names of the genes by what they do."""
    n_regulators = 2 * (n_fates - 1)
    further = n_genes - n_regulators
    n_confounders = (further + 1) // 2
    n_dividing = min(further - n_confounders, 1)
    n_of = {
        "R": n_regulators,
        "D": n_dividing,
        "T": further - n_confounders - n_dividing,
        "C": n_confounders,
    }
    return tuple(f"{kind}{k + 1}" for kind, n in n_of.items() for k in range(n))
