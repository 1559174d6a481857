"""Loss of the training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cellflow.core._arguments import check_arguments
from cellflow.core._settings import guarded
from cellflow.pl._axes import INK, OBSERVED, PREDICTED, canvas, legend
from cellflow.pl._read import PlottedFit

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

__all__ = ["loss"]


@guarded
def loss(adata: AnnData, *, key: str = "cellflow", ax: Axes | None = None) -> Axes:
    """Draw the training loss, and the loss on held-out pairs.

    A flow matching loss does not go to zero: several cells pass through the same place with
    different velocities, and their variance remains. Training is long enough where the end of the
    training curve is flat.

    The held-out curve often rises while predictions of populations improve, because it measures
    single pairs. A rise is no reason to train less; `cf.bench.holdout` measures how well snapshots
    are predicted.

    Parameters
    ----------
    adata
        Cells with a fit.
    key, ax
        See `cf.pl.stream`.

    Returns
    -------
    The Axes.

    Raises
    ------
    MissingKeyError
        No fit.

    References
    ----------
    Lipman et al., Flow matching for generative modeling, ICLR 2023 (the loss).

    Examples
    --------
    >>> cf.pl.loss(adata)  # doctest: +SKIP
    """
    check_arguments(loss, locals())
    history = PlottedFit(adata, key).record["history"]
    with canvas(ax, width=6.0, height=3.6) as ax:
        step = np.asarray(history["step"])
        ax.plot(step, history["loss"], color=OBSERVED, lw=1.2, label="training pairs")
        if "val_step" in history:
            step = np.asarray(history["val_step"])
            ax.plot(step, history["val_loss"], color=PREDICTED, lw=1.6, label="held-out pairs")
        ax.set_xlabel("training step", color=INK)
        ax.set_ylabel("loss (mean squared error, model units)", color=INK)
        ax.spines[["top", "right"]].set_visible(False)
        ax.margins(x=0.01)
        legend(ax)
    return ax
