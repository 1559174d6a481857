"""Names of representations and embeddings in `obsm`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellflow.errors import MissingKeyError, closest

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["basis_of", "find_basis", "spelled", "where_of"]


def basis_of(key: str) -> str:
    """Name of a basis as in `velocity_{basis}`: `"pca"` for `"X_pca"` and for `"pca"`."""
    return key.removeprefix("X_") or key


def where_of(use_rep: str) -> str:
    """What messages call a representation."""
    return "adata.X" if use_rep == "X" else f"adata.obsm[{use_rep!r}]"


def spelled(adata: AnnData, basis: object) -> str | None:
    """The `obsm` key of `basis`: itself, or the same with or without `X_`; None for none."""
    spellings = (basis, f"X_{basis}", basis.removeprefix("X_")) if isinstance(basis, str) else ()
    return next((key for key in spellings if key in adata.obsm), None)


def find_basis(adata: AnnData, basis: object) -> str:
    """The `obsm` key that is meant by `basis`; see `spelled`.

    Raises
    ------
    MissingKeyError
        There is none; the message lists the keys there are.
    """
    key = spelled(adata, basis)
    if key is None:
        known = sorted(map(str, adata.obsm))
        hint = closest(basis, [*known, *map(basis_of, known)])
        msg = (
            f"No {basis!r} in adata.obsm; found {known}{hint}. Compute it first, for example with"
            " sc.pp.pca or sc.tl.umap."
        )
        raise MissingKeyError(msg)
    return key
