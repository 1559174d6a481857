"""Training and plans of the fit that is stored beside the benchmark."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from cellflow.adapter.keys import Keys
from cellflow.adapter.places import kind_of
from cellflow.adapter.record import record_of
from cellflow.core._typing import FloatArray
from cellflow.report import pictures
from cellflow.report.contents import Contents
from cellflow.report.format import plain
from cellflow.report.markup import Markup, definitions, element, heading, table
from cellflow.report.pictures import BLUE, INK, ORANGE, SOFT, Letters

__all__ = ["training"]

#: Columns of a plan, in this order; others follow.
_PLAN = ("coupling", "n_source", "n_target", "cost", "gap", "seconds")
_CAPTION = (
    "Training. The loss does not go to zero, because several cells pass one place at different"
    " velocities; what to look for is a flat end of the training curve. The held-out curve often"
    " rises while predictions get better, so a rise is no reason to train less; the numbers above"
    " measure predictions."
)


def training(contents: Contents) -> Iterator[Markup]:
    """Training and plans of the fit that is stored beside the benchmark."""
    fit_key = contents.fit_key
    if not isinstance(fit_key, str) or kind_of(contents.adata, fit_key) != "fit":
        return
    record = record_of(contents.adata, Keys(fit_key))
    yield heading("The fit to all snapshots")
    yield element(
        "p",
        f"In adata.uns[{fit_key!r}] there is a fit that has seen every snapshot, the hidden ones of"
        " this report included. The benchmark made fits of its own; this one is for predictions to"
        " come.",
    )
    if len(record["history"]["step"]) > 1:
        yield _curves(record["history"])
    if record["plans"]:
        yield from _plans(record["plans"])
    params = record["params"]
    if params:
        shown = definitions([(str(name), plain(value)) for name, value in sorted(params.items())])
        yield element("details", element("summary", "Parameters of this fit"), shown)


def _plans(plans: Mapping[str, Mapping[str, Any]]) -> Iterator[Markup]:
    there = {str(name) for plan in plans.values() for name in plan}
    columns = [*(name for name in _PLAN if name in there), *sorted(there - set(_PLAN))]
    rows = [
        ("", [str(name).replace("_", " "), *(plain(plan.get(column, "")) for column in columns)])
        for name, plan in sorted(plans.items(), key=_by_numbers)
    ]
    yield element("h3", "Transport plans")
    yield element(
        "p",
        "Which cells become which, solved once per interval. The cost is the mean squared distance"
        " that cells travel, in model units; the gap is a certified bound on how far the plan is"
        " from the best one, relative to the cost.",
    )
    yield table(["interval", *columns], rows)


def _by_numbers(named: tuple[str, Any]) -> tuple[list[float], str]:
    """Order of intervals such as `3.0_to_12.0`, whose text would be in another order."""
    return [float(found) for found in re.findall(r"-?\d+(?:\.\d+)?", named[0])], named[0]


def _curves(history: Mapping[str, FloatArray]) -> Markup:
    """Draw the loss over training steps."""
    drawing = pictures.blank(6.2, 2.6)
    ax = drawing.add_subplot()
    curves = [("step", "loss", BLUE, 1.3, "training pairs")]
    if "val_step" in history and "val_loss" in history:
        curves.append(("val_step", "val_loss", ORANGE, 1.8, "held-out pairs"))
    for step, loss, shade, width, label in curves:
        x = np.asarray(history[step])
        ax.plot(x, np.asarray(history[loss]), color=shade, lw=width, label=label)
    ax.set_xlabel("training step", fontsize=8.5, color=SOFT)
    ax.set_ylabel("loss", fontsize=8.5, color=SOFT)
    pictures.framed(ax, "bottom", "left", ticks=2)
    ax.margins(x=0.01)
    ax.legend(frameon=False, fontsize=8.5, labelcolor=INK)
    return pictures.finished(drawing, Letters.of(), _CAPTION, alt="Training loss over steps")
