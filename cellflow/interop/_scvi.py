"""The latent space of a model of scvi-tools as a representation, with its decoder."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.read import require_anndata
from cellflow.core._arguments import check_arguments
from cellflow.core._settings import guarded
from cellflow.core._typing import FloatArray
from cellflow.core.decoder import require_room
from cellflow.errors import InputError, InputTypeError

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["from_scvi"]

logger = logging.getLogger("cellflow")

#: Expression is normalised to this sum before its logarithm, as `sc.pp.normalize_total` is used.
_TARGET_SUM = 1e4
#: Cells that are decoded together.
_CHUNK = 1024
#: What a model may be trained with beside batches; a decoder would need a value of each.
_FURTHER = ("extra_categorical_covs", "extra_continuous_covs")


@guarded
def from_scvi(
    adata: AnnData,
    model: Any,
    *,
    key_added: str = "X_scVI",
    layer: str = "scvi",
    batch: str | int | None = None,
    overwrite: bool = False,
) -> Callable[[FloatArray], pd.DataFrame]:
    r"""Write the latent space of a scVI model and the expression that it decodes to.

    Then `cf.tl.flow(adata, time_key, use_rep="X_scVI", layer="scvi")` fits in the latent space, and
    everything about genes follows: the fit has a linear decoder from the latent space to the layer
    (ridge regression), with its held-out R2 for each gene in `adata.var["cf_gene_r2"]`. The layer
    is a function of the latent position, :math:`\log(1 + 10^4 \rho(z))`, so that this R2 says how
    linear the model's decoder is. That of a `LinearSCVI` is linear before its normalisation.

    What is returned is the model's own decoder, for positions that are predicted.

    Parameters
    ----------
    adata
        Cells that the model was set up with, or that can be transferred to it.
    model
        A trained `scvi.model.SCVI` or `LinearSCVI`.
    key_added
        Key of `adata.obsm` for the latent positions.
    layer
        Name of the layer.
    batch
        The batch that every position is decoded for; by default the first one.
    overwrite
        Replace what is under these names.

    Returns
    -------
    A function of positions, shape `(n, d)`, that returns a table of the same expression, float32,
    shape `(n, n_genes)`. Written are

    - `obsm["X_scVI"]`: float32, shape (n_obs, d). Means of the latent positions.
    - `layers["scvi"]`: float32, shape (n_obs, n_vars). Decoded expression, zero for genes that are
      not in the model.

    Raises
    ------
    InputTypeError
        A model that is none of scVI.
    InputError
        A model that was trained with covariates beside batches, an unknown batch, names that are
        taken, genes of the model that are not in `adata`, or a layer above 2 GB; `adata` is
        unchanged.

    References
    ----------
    Lopez et al., Deep generative modeling for single-cell transcriptomics, Nature Methods 2018;
    Svensson et al., Interpretable factor models of single-cell RNA-seq via variational
    autoencoders, Bioinformatics 2020 (LinearSCVI).

    Examples
    --------
    >>> # Needs a trained model of scvi-tools.
    >>> decode = cf.interop.from_scvi(adata, model)  # doctest: +SKIP
    >>> cf.tl.flow(adata, "hours", use_rep="X_scVI", layer="scvi")  # doctest: +SKIP
    >>> later = cf.tl.predict(adata, time=3.0)  # doctest: +SKIP
    >>> decode(later.obsm["X_scVI"])  # doctest: +SKIP
    """
    check_arguments(from_scvi, locals())
    require_anndata(adata)
    decode = _decoder(model, batch)
    genes = model.adata.var_names
    columns = adata.var_names.get_indexer(genes)
    if (columns < 0).any():
        first = str(genes[columns < 0][0])
        msg = (
            f"{int((columns < 0).sum()):,} of {len(genes):,} genes of the model are not in"
            f" adata.var_names (first: {first!r}). Expected the genes that it was trained on."
        )
        raise InputError(msg)
    for slot, name in (("obsm", key_added), ("layers", layer)):
        if name in getattr(adata, slot) and not overwrite:
            msg = f"adata.{slot}[{name!r}] exists. Pass overwrite=True to replace it."
            raise InputError(msg)
    require_room(adata.n_obs, adata.n_vars, "Choose highly variable genes before.")
    latent = np.asarray(model.get_latent_representation(adata), dtype=np.float32)
    values = np.zeros(adata.shape, dtype=np.float32)
    values[:, columns] = decode(latent).to_numpy()
    adata.obsm[key_added] = latent
    adata.layers[layer] = values
    logger.info(
        "latent space of %s in adata.obsm[%r]; fit with cf.tl.flow(..., use_rep=%r, layer=%r)",
        type(model).__name__, key_added, key_added, layer,
    )  # fmt: skip
    return decode


def _decoder(model: Any, batch: str | int | None) -> Callable[[FloatArray], pd.DataFrame]:
    """The model's own decoder, to normalised expression for one batch."""
    if not all(hasattr(model, name) for name in ("module", "get_latent_representation")):
        msg = (
            f"model is of type {type(model).__name__}; expected a trained scvi.model.SCVI or"
            " LinearSCVI."
        )
        raise InputTypeError(msg)
    if not getattr(model, "is_trained", False):
        msg = f"The {type(model).__name__} is not trained. Expected one after model.train()."
        raise InputError(msg)
    registry = model.adata_manager
    further = [name for name in _FURTHER if name in registry.data_registry]
    if further:
        msg = (
            f"The model was trained with {further}, of which a decoder would need a value for"
            " every position. Expected a model of batches only."
        )
        raise InputError(msg)
    number = _batch(registry, batch)
    names = model.adata.var_names

    def decode(z: FloatArray) -> pd.DataFrame:
        """Decode latent positions `(n, d)` to log-normalised expression `(n, n_genes)`."""
        import pandas as pd

        positions = np.asarray(z, dtype=np.float32)
        parts = [
            _scales(model.module, positions[start : start + _CHUNK], number)
            for start in range(0, len(positions), _CHUNK)
        ]
        return pd.DataFrame(np.log1p(_TARGET_SUM * np.concatenate(parts)), columns=names)

    return decode


def _batch(registry: Any, batch: str | int | None) -> int:
    """Number of a batch among those of the model."""
    known = [str(name) for name in registry.get_state_registry("batch").categorical_mapping]
    if batch is None:
        return 0
    if str(batch) not in known:
        msg = f"batch={batch!r}; expected one of {known[:10]}, the batches of the model."
        raise InputError(msg)
    return known.index(str(batch))


def _scales(module: Any, z: FloatArray, batch: int) -> FloatArray:
    """Share of every gene in the expression of latent positions, shape `(n, n_genes)`."""
    import torch

    training = module.training
    module.eval()
    with torch.inference_mode():
        latent = torch.as_tensor(z, device=module.device)
        library = torch.zeros(len(latent), 1, device=module.device)
        number = torch.full((len(latent), 1), batch, device=module.device)
        found = module.generative(latent, library, number)
    module.train(training)
    shares: FloatArray = found["px"].scale.cpu().numpy()
    return shares
