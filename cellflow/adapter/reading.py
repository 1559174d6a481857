"""Parts of an AnnData that a call reads: arguments of `tl.flow`, `bench.holdout` and others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, asdict, dataclass
from typing import Any, Self

__all__ = ["Reading"]


@dataclass(frozen=True)
class Reading:
    """The keys of an AnnData that are read.

    Parameters
    ----------
    time_key
        Column of `obs` with the times; see `cellflow.adapter.times.parse_times`.
    use_rep
        Key of `obsm`, with or without `X_`; or `"X"` where there are few genes.
    n_dims
        Number of leading dimensions to use; all by default.
    weight_key
        Column of `obs` with non-negative weights of the cells within their snapshot.
    mass_key
        Column of `obs` with the size of the whole population, one positive number per snapshot.
    growth_key
        Column of `obs` with the net growth rate of each cell that is known beforehand, per unit of
        time.
    sample_key
        Column of `obs` with the sample (an animal, a dish, a donor) that each cell is of.
    lineage_key
        Column of `obs` with one barcode per cell, or key of `obsm` with cells by clones.
    force_rep
        Accept an embedding for drawing (UMAP, t-SNE, ...) as representation.
    layer
        Expression that positions are decoded to; `X` by default.
    """

    time_key: str
    _: KW_ONLY
    use_rep: str = "X_pca"
    n_dims: int | None = None
    weight_key: str | None = None
    mass_key: str | None = None
    growth_key: str | None = None
    sample_key: str | None = None
    lineage_key: str | None = None
    force_rep: bool = False
    layer: str | None = None

    @property
    def params(self) -> dict[str, Any]:
        """The entries of `params` in a record that `of_params` reads."""
        values = asdict(self)
        del values["force_rep"]
        return values

    @classmethod
    def of_params(cls, params: Mapping[str, Any]) -> Self:
        """Return what a recorded call read, from the `params` of its record."""
        names = (
            "weight_key", "mass_key", "growth_key", "sample_key", "lineage_key", "layer"
        )  # fmt: skip
        columns = {name: str(params[name]) for name in names if params.get(name) is not None}
        return cls(
            time_key=str(params["time_key"]),
            use_rep=str(params["use_rep"]),
            n_dims=int(params["n_dims"]),
            force_rep=True,  # The recorded call accepted the representation.
            **columns,
        )
