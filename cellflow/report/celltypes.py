"""Shares of cell types: of the hidden cells, and of those that were predicted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cellflow.adapter.labels import read_labels
from cellflow.core._neighbors import nearest
from cellflow.core._random import stream
from cellflow.core._typing import FloatArray
from cellflow.evaluation.comparison import Comparison, difference
from cellflow.evaluation.names import OBSERVED, STRAIGHT
from cellflow.metrics import Composition, composition_error
from cellflow.report.held import Cloud, Held

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["Typed", "compared", "typed", "voted"]

#: Random halves of the hidden cells that say how far a difference is from chance.
_SPLITS = 20
#: Hidden cells that say which type a predicted one is of.
_VOTERS = 15
#: First key of the random streams.
_SPLIT = 11


@dataclass(frozen=True, eq=False)
class Typed:
    """Cell types at one hidden time.

    Parameters
    ----------
    labels, weight
        Of the hidden cells that have a type, `(n,)`.
    predicted
        By name of the cloud: the type of each cell (see `voted`), and the cells' weights.
    """

    labels: np.ndarray
    weight: FloatArray
    predicted: Mapping[str, tuple[np.ndarray, FloatArray]]

    def composition(self, name: str) -> Composition:
        """Shares of types in one cloud (`x`) and among the hidden cells (`y`)."""
        found, weight = self.predicted[name]
        return composition_error(found, self.labels, x_weight=weight, y_weight=self.weight)

    def errors(self, name: str) -> FloatArray:
        """Share of cells in a wrong type, against random halves of the hidden cells, `(n_splits,)`."""
        found, weight = self.predicted[name]
        made = []
        for k in range(_SPLITS):
            seen = stream(0, _SPLIT, k).permutation(len(self.labels))[: self.n_half]
            half = composition_error(
                found, self.labels[seen], x_weight=weight, y_weight=self.weight[seen]
            )
            made.append(half.error)
        return np.array(made)

    @property
    def n_half(self) -> int:
        """Hidden cells in a half."""
        return max(1, len(self.labels) // 2)


def typed(adata: AnnData, held: Held, cluster_key: str, names: Sequence[str]) -> dict[float, Typed]:
    """Types by hidden time, of the clouds of these names.

    Times are left out where the hidden cells have no types, or where nothing says which cells they
    are.
    """
    labels = read_labels(adata, cluster_key)
    known = labels != None  # noqa: E711 (element by element)
    made = {}
    for time in held.times:
        observed = held.cloud(time, OBSERVED)
        reference = held.reference(adata, time, known)
        mine = None if observed is None or reference is None else reference.rows_of(observed)
        if observed is None or reference is None or mine is None or not known[mine].any():
            continue
        clouds: dict[str, Cloud] = {
            name: c for name in names if (c := held.cloud(time, name)) is not None
        }
        some = known[mine]
        x = observed.x[some]
        real = labels[mine][some]
        predicted = {name: (voted(c.x, x, real), c.weight) for name, c in clouds.items()}
        made[time] = Typed(real, observed.weight[some], predicted)
    return made


def voted(x: FloatArray, real: FloatArray, labels: np.ndarray) -> np.ndarray:
    """The type that most of the nearest hidden cells have, of as many the one of the nearest, `(m,)`.

    15 cells vote, or a tenth of the hidden ones where these are fewer than 150: more would be of
    all types. Only hidden cells vote, because cells of other times differ by their time, too; so no
    predicted cell is of a type that no hidden cell has.

    Parameters
    ----------
    x
        Predicted cells, shape `(m, d)`.
    real, labels
        Hidden cells, shape `(n, d)`, and their types, `(n,)`.
    """
    names, code = np.unique(labels.astype(str), return_inverse=True)
    _, near = nearest(real, x, max(1, min(_VOTERS, len(real) // 10)))
    votes = np.zeros((len(x), len(names)))
    for k in range(near.shape[1]):
        votes[np.arange(len(x)), code[near[:, k]]] += 1.0 + 1e-3 * 2.0**-k
    return np.asarray(names[votes.argmax(axis=1)])


def compared(
    adata: AnnData, held: Held, cluster_key: str
) -> tuple[list[Comparison], dict[tuple[float, str], float]]:
    """Compare the composition of every prediction with that of OT interpolation.

    Returns
    -------
    The comparisons, and the share of cells in a wrong type by time and name of the cloud (models by their first seed, whose
    cells are kept).
    """
    models = held.models()
    found = typed(adata, held, cluster_key, [*models, *held.without_model()])
    comparisons: list[Comparison] = []
    errors: dict[tuple[float, str], float] = {}
    for time, here in found.items():
        errors |= {(time, name): here.composition(name).error for name in here.predicted}
        straight = here.errors(STRAIGHT) if STRAIGHT in here.predicted else np.array([])
        share = here.n_half / len(here.labels)
        for name, (method, protocol) in models.items():
            own = [here.errors(name)] if name in here.predicted else []
            if share < 1:
                comparisons.append(
                    difference((method, protocol, time, "composition"), own, straight, share)
                )
    return comparisons, errors
