"""Genes of proliferation and apoptosis among the genes of an AnnData."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cellflow.core._numbers import shown
from cellflow.core._typing import IntArray
from cellflow.core._warn import warn
from cellflow.errors import InputError, InputWarning

if TYPE_CHECKING:
    from anndata import AnnData

    from cellflow.analysis.growth_prior import Gene

__all__ = ["columns_of", "lists_of", "require_varying"]

#: Smallest share of a list of genes that is accepted without a warning.
_FEW = 0.25


def lists_of(
    adata: AnnData, organism: str, birth: Sequence[str] | None, death: Sequence[str] | None
) -> tuple[dict[str, list[Gene]], str]:
    """Spellings of the genes of both lists, and the organism that they are taken from."""
    from cellflow.analysis.growth_prior import gene_lists, organism_of

    given: dict[str, list[Gene]] = {
        name: [(gene,) for gene in genes]
        for name, genes in {"birth": birth, "death": death}.items()
        if genes is not None
    }
    for name, genes in given.items():
        if not genes:
            msg = f"{name}=[]; expected names of genes, or None for the list of the package."
            raise InputError(msg)
    if len(given) == 2:
        return given, "given genes"
    if organism not in ("auto", "human", "mouse"):
        msg = f"organism={shown(organism)}; expected 'auto', 'human' or 'mouse'."
        raise InputError(msg)
    found = organism_of(adata.var_names) if organism == "auto" else organism
    if found is None:
        msg = (
            "adata.var_names holds no gene of proliferation or apoptosis by its human or mouse"
            f" symbol (first names: {list(adata.var_names[:3])}). {_symbols_remedy(adata)}"
        )
        raise InputError(msg)
    known = dict(zip(("birth", "death"), gene_lists(found), strict=True))  # type: ignore[arg-type]
    return {name: given.get(name, genes) for name, genes in known.items()}, found


def _symbols_remedy(adata: AnnData) -> str:
    """What to do about names that are no symbols."""
    if not any(str(name).upper().startswith("ENS") for name in adata.var_names[:100]):
        return "Expected gene symbols as names, or pass birth= and death=."
    column = next((c for c in adata.var.columns if "symbol" in str(c) or "name" in str(c)), None)
    held = "their symbols, a column of adata.var" if column is None else f"adata.var[{column!r}]"
    return (
        f"These are Ensembl ids; expected gene symbols: set adata.var_names to {held} and call"
        " adata.var_names_make_unique(), or pass birth= and death= as Ensembl ids."
    )


def columns_of(adata: AnnData, name: str, genes: list[Gene]) -> IntArray:
    """Columns of the genes of a list; at least one."""
    from cellflow.analysis.growth_prior import found_genes

    columns = found_genes(genes, list(map(str, adata.var_names)))
    if not len(columns):
        msg = (
            f"adata.var_names holds none of the {len(genes)} genes of {name}"
            f" ({', '.join(gene[0] for gene in genes[:3])}, ...). {_symbols_remedy(adata)}"
        )
        raise InputError(msg)
    return columns


def require_varying(adata: AnnData, name: str, varying: IntArray, n: int, where: str) -> None:
    """Require that some gene of a list varies among the cells; warn where few do."""
    if not len(varying):
        msg = (
            f"{where} is the same in all cells for every gene of {name}; expected cells that"
            " differ. Pass another layer=, or other genes."
        )
        raise InputError(msg)
    if len(varying) < _FEW * n:
        few = ", ".join(map(str, adata.var_names[varying[:5]]))
        msg = (
            f"{len(varying)} of {n} genes of {name} are in adata and vary ({few}"
            f"{', ...' if len(varying) > 5 else ''}). Expected a quarter of them at least, for the"
            " score of few genes is noisy. Compute it before genes are selected."
        )
        warn(msg, InputWarning)
