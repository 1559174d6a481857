"""Velocity and expression of genes, decoded into matrices of cells by genes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cellflow.core._typing import FloatArray, IntArray
from cellflow.core.decoder import Decoder

__all__ = ["dense_layers", "sparse_layers"]

#: Rows that are decoded together, so that the result is not in memory twice.
_BLOCK = 512


def dense_layers(
    decoder: Decoder,
    velocity: FloatArray,
    states: FloatArray | None,
    columns: IntArray,
    shape: tuple[int, int],
) -> list[np.ndarray]:
    """Decode to dense matrices, which are zero in all other columns.

    Parameters
    ----------
    decoder
        Of the genes.
    velocity
        Velocities in the representation, shape `(n_obs, d)`.
    states
        Positions in the representation, shape `(n_obs, d)`; None for no matrix of expression.
    columns
        Column of each gene of the decoder, shape `(n_genes,)`.
    shape
        `(n_obs, n_vars)`.

    Returns
    -------
    The velocity of the genes, and with `states` their expression: float32, shape `(n_obs, n_vars)`.
    """

    def layer(decode: Callable[[FloatArray], FloatArray], latent: FloatArray) -> np.ndarray:
        if len(columns) == shape[1]:
            return decode(latent)
        values = np.zeros(shape, dtype=np.float32)
        for start in range(0, len(latent), _BLOCK):
            values[start : start + _BLOCK, columns] = decode(latent[start : start + _BLOCK])
        return values

    return [layer(decoder.velocities, velocity)] + (
        [] if states is None else [layer(decoder.positions, states)]
    )


def sparse_layers(
    decoder: Decoder,
    velocity: FloatArray,
    states: FloatArray | None,
    columns: IntArray,
    shape: tuple[int, int],
) -> list[Any]:
    """Decode to matrices in CSR format, whose other columns are empty; see `dense_layers`.

    Velocities of genes with loadings of zero, which are zero, are not stored.
    """
    import scipy.sparse as sp

    moving = np.flatnonzero((decoder.loadings != 0).any(axis=1))
    width = np.int64 if shape[0] * len(columns) > np.iinfo(np.int32).max else np.int32

    def pattern(stored: IntArray) -> tuple[np.ndarray, np.ndarray]:
        starts = np.arange(shape[0] + 1) * len(stored)
        return np.tile(stored.astype(width), shape[0]), starts.astype(width)

    def layer(values: FloatArray, indices: tuple[np.ndarray, np.ndarray]) -> Any:
        return sp.csr_matrix((values.reshape(-1), *indices), shape=shape)

    shared = pattern(columns[moving])
    layers = [layer(decoder.only(moving).velocities(velocity), shared)]
    if states is not None:
        everywhere = shared if len(moving) == len(columns) else pattern(columns)
        layers.append(layer(decoder.positions(states), everywhere))
    return layers
