"""How training went."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cellflow.core._arguments import check_arguments
from cellflow.core._settings import guarded
from cellflow.pl._axes import INK, OBSERVED, PREDICTED, canvas, legend
from cellflow.pl._read import Fitted

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

__all__ = ["loss"]


@guarded
def loss(adata: AnnData, *, key: str = "cellflow", ax: Axes | None = None) -> Axes:
    """Draw the training loss, and the loss on pairs that were held out.

    A flow matching loss does not go to zero: several cells pass through the same place with
    different velocities, and their variance remains. What to look for is a flat end of the training
    curve.

    The held-out curve often rises while training makes predictions better, because it is about
    single pairs and not about populations. So a rise is no reason to train less; `cf.bench.holdout`
    measures how well snapshots are predicted.

    Parameters
    ----------
    adata
        With a fit.
    key
        Where the fit was stored.
    ax
        Where to draw; a new figure by default.

    Returns
    -------
    The Axes.

    Raises
    ------
    MissingKeyError
        No fit.
    """
    check_arguments(loss, locals())
    history = Fitted(adata, key).record["history"]
    with canvas(ax, width=6.0, height=3.6) as ax:
        ax.plot(
            np.asarray(history["step"]),
            np.asarray(history["loss"]),
            color=OBSERVED,
            lw=1.2,
            label="training pairs",
        )
        if "val_step" in history:
            step = np.asarray(history["val_step"])
            held_out = np.asarray(history["val_loss"])
            ax.plot(step, held_out, color=PREDICTED, lw=1.6, label="held-out pairs")
        ax.set_xlabel("training step", color=INK)
        ax.set_ylabel("loss (mean squared error, model units)", color=INK)
        ax.spines[["top", "right"]].set_visible(False)
        ax.margins(x=0.01)
        legend(ax)
    return ax
