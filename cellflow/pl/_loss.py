"""Loss of the training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.core._arguments import check_arguments
from cellflow.core._settings import guarded
from cellflow.core._text import drawable
from cellflow.pl._axes import INK, OBSERVED, PREDICTED, canvas, legend
from cellflow.pl._read import PlottedFit

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

__all__ = ["loss"]

#: Losses of single heads in the history.
_HEAD = "loss_"
#: Colours of heads (Okabe and Ito), and line styles, which differ in grey as well.
_SHADES = ("#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_LINES = ("--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)))


@guarded
def loss(adata: AnnData, *, key: str = "cellflow", ax: Axes | None = None) -> Axes:
    """Draw the training loss of each head, and the loss on held-out pairs.

    With several heads (velocity, score, growth) the total and the loss of each are drawn. The loss
    on held-out pairs is the total.

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
    >>> ax = cf.pl.loss(adata)
    """
    check_arguments(loss, locals())
    history = PlottedFit(adata, key).record["history"]
    heads = [name for name in sorted(history) if name.startswith(_HEAD)]
    with canvas(ax, width=6.4, height=3.6) as ax:
        step = np.asarray(history["step"])
        every = "training pairs, all heads" if len(heads) > 1 else "training pairs"
        ax.plot(step, history["loss"], color=OBSERVED, lw=1.4, label=every)
        for k, name in enumerate(heads if len(heads) > 1 else ()):
            style: dict[str, Any] = {
                "color": _SHADES[k % len(_SHADES)],
                "ls": _LINES[k % len(_LINES)],
                "lw": 1.1,
            }
            ax.plot(step, history[name], label=drawable(name.removeprefix(_HEAD)), **style)
        if "val_step" in history:
            step = np.asarray(history["val_step"])
            total = f"held-out pairs{', all heads' if len(heads) > 1 else ''}"
            dots: dict[str, Any] = {"color": PREDICTED, "lw": 1.4, "marker": "o", "ms": 3.5}
            ax.plot(step, history["val_loss"], label=total, **dots)
        ax.set_xlabel("training step", color=INK)
        ax.set_ylabel("loss (mean squared error, model units)", color=INK)
        ax.spines[["top", "right"]].set_visible(False)
        ax.margins(x=0.01)
        legend(ax)
    return ax
