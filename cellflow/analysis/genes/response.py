r"""How the state of a cell changes when the expression of a gene is changed.

A gene is decoded by :math:`y = m + w \cdot x`, and many changes of the state :math:`x` change it by
one unit. All that are used here have the form

.. math:: u = \frac{S w}{w^\top S w}, \qquad
    A = S W^\top (W S W^\top)^{-1} \quad \text{for several genes at once},

the smallest change in the metric :math:`S^{-1}`. They differ by :math:`S`.

- `"covariance"`: :math:`S` is the covariance of the cells. The result is the mean difference
  between cells that differ in the gene by one unit: other genes change with it. It is the most
  plausible change, and it does not separate a gene from what it varies together with.
- `"alone"`: :math:`S = (W_{all}^\top W_{all})^{-1}`. The other genes stay as they are as far as
  the representation can: their squared change is smallest. It is exact where genes are coordinates,
  or where all principal components are kept.
"""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

import numpy as np

from cellflow.core._typing import FloatArray
from cellflow.errors import InputError, closest

__all__ = [
    "RESOLVED",
    "Kind",
    "covariance_of",
    "joint_response",
    "kinds_of",
    "leverage",
    "responses",
]

#: What changes with a gene; `"auto"` is `"alone"` for genes that the representation resolves.
Kind: TypeAlias = Literal["auto", "covariance", "alone"]

#: Leverage from which the representation resolves a gene: changed alone, the others keep nine
#: tenths of the squared change that the gene itself makes.
RESOLVED = 0.9
#: Relative size of a variance that is rounding.
_ROUNDING = 1e-10


def covariance_of(x: FloatArray, weight: FloatArray | None = None) -> FloatArray:
    """Covariance of weighted cells, from positions `(n, d)` to `(d, d)`.

    Raises
    ------
    InputError
        Fewer than two cells with a weight.
    """
    x = np.asarray(x, dtype=np.float64)
    weight = np.ones(len(x)) if weight is None else np.asarray(weight, dtype=np.float64)
    if (weight > 0).sum() < 2:
        msg = f"The covariance of {(weight > 0).sum()} cells is unknown; expected at least two."
        raise InputError(msg)
    share = weight / weight.sum()
    centred = x - share @ x
    return np.asarray((centred * share[:, None]).T @ centred)


def leverage(loadings: FloatArray, all_loadings: FloatArray | None = None) -> FloatArray:
    r"""How much of a change of each gene alone the representation can express, `(g,)`.

    The diagonal of the projection :math:`W (W^\top W)^{-1} W^\top`, from 0 to 1: asked to change by
    one unit while all others stay, a gene changes by so much. It is one where the gene is a
    coordinate by itself.

    Parameters
    ----------
    loadings
        Of the genes, shape `(g, d)`.
    all_loadings
        Of all genes of the decoder, shape `(n_genes, d)`; these genes by default.

    References
    ----------
    Hoaglin and Welsch, The hat matrix in regression and ANOVA, The American Statistician 1978.
    """
    loadings = np.asarray(loadings, dtype=np.float64)
    precision = _precision(loadings if all_loadings is None else all_loadings)
    return np.asarray(np.einsum("gi,ij,gj->g", loadings, precision, loadings))


def kinds_of(loadings: FloatArray, all_loadings: FloatArray, kind: Kind) -> np.ndarray:
    """`"covariance"` or `"alone"` for each gene, shape `(g,)`.

    Raises
    ------
    InputError
        A kind that does not exist.
    """
    if not (isinstance(kind, str) and kind in get_args(Kind)):
        known = list(get_args(Kind))
        msg = f"response={kind!r}; expected one of {known}{closest(kind, known)}"
        raise InputError(msg)
    if kind != "auto":
        return np.full(len(loadings), kind)
    return np.where(leverage(loadings, all_loadings) >= RESOLVED, "alone", "covariance")


def responses(
    loadings: FloatArray,
    *,
    kind: Kind = "auto",
    covariance: FloatArray,
    all_loadings: FloatArray,
) -> FloatArray:
    """Change of the state for one unit of each gene by itself, shape `(g, d)`.

    Parameters
    ----------
    loadings
        Of the genes, shape `(g, d)`.
    kind
        See the module; the names are returned by `kinds_of`.
    covariance
        Of the cells, shape `(d, d)`; see `covariance_of`.
    all_loadings
        Of all genes of the decoder, shape `(n_genes, d)`.

    Returns
    -------
    NaN in the rows of genes that do not change with the state, or not among these cells.

    Examples
    --------
    >>> alone = responses(np.eye(2), covariance=np.ones((2, 2)), all_loadings=np.eye(2))
    >>> alone.tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    loadings = np.asarray(loadings, dtype=np.float64)
    kinds = kinds_of(loadings, all_loadings, kind)
    found = np.full(loadings.shape, np.nan)
    for name in np.unique(kinds):
        rows = kinds == name
        metric = _metric(name, covariance, all_loadings)
        change = loadings[rows] @ metric
        size = np.einsum("gi,gi->g", change, loadings[rows])
        largest = np.trace(metric) * (loadings[rows] ** 2).sum(axis=1)
        varies = size > _ROUNDING * largest
        found[rows] = np.where(
            varies[:, None], change / np.where(varies, size, 1.0)[:, None], np.nan
        )
    return found


def joint_response(
    loadings: FloatArray,
    *,
    kind: Kind = "auto",
    covariance: FloatArray,
    all_loadings: FloatArray,
) -> FloatArray:
    """Change of the state for one unit of each of several genes, the others of them unchanged.

    Parameters
    ----------
    loadings, covariance, all_loadings
        As of `responses`.
    kind
        Of all of these genes; with `"auto"`, `"covariance"` unless all are resolved.

    Returns
    -------
    Shape `(d, g)`; `loadings @ response` is the identity.

    Raises
    ------
    InputError
        Genes that cannot be set independently of each other: a gene that does not vary, more genes
        than dimensions, or genes that are decoded alike.
    """
    loadings = np.asarray(loadings, dtype=np.float64)
    resolved = (kinds_of(loadings, all_loadings, kind) == "alone").all()
    metric = _metric("alone" if resolved else "covariance", covariance, all_loadings)
    gram = loadings @ metric @ loadings.T
    size = np.sqrt(np.diag(gram))
    if not (size > 0).all() or np.linalg.cond(gram / np.outer(size, size)) > 1 / _ROUNDING:
        msg = (
            f"{len(loadings)} genes cannot be set independently of each other in {len(metric)}"
            " dimensions. Expected genes that are not decoded alike, and no more than there are"
            " dimensions."
        )
        raise InputError(msg)
    return np.asarray(np.linalg.solve(gram, loadings @ metric).T)


def _metric(kind: str, covariance: FloatArray, all_loadings: FloatArray) -> FloatArray:
    if kind == "alone":
        return _precision(all_loadings)
    return np.asarray(covariance, dtype=np.float64)


def _precision(loadings: FloatArray) -> FloatArray:
    """Inverse of `W'W`, shape `(d, d)`."""
    loadings = np.asarray(loadings, dtype=np.float64)
    return np.asarray(np.linalg.pinv(loadings.T @ loadings, hermitian=True))
