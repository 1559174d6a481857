"""What was done, the verdict in colours, and the main numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator

from cellflow.adapter.representation import LEAKY, seen_by
from cellflow.evaluation.names import FLOOR, STRAIGHT
from cellflow.evaluation.words import headline, sentences
from cellflow.report.contents import Contents
from cellflow.report.held import Held
from cellflow.report.judging import verdicts
from cellflow.report.markup import Markup, element

__all__ = ["summary"]

_BY_W1 = (
    "This verdict was written by version {version}, which looked at W1 alone. W1 rewards a cloud"
    " that lost variance. Run cf.bench.holdout again for a verdict by all measures."
)


def summary(contents: Contents) -> Iterator[Markup]:
    """What was done, the verdict in colours, and the main numbers."""
    held = contents.held
    times = ", ".join(held.at(t) for t in held.times)
    yield element(
        "p",
        f"{contents.adata.n_obs:,} cells; hidden in turn: {times}. Each time the method was fitted"
        " to the other snapshots only, and its prediction compared with the cells that were"
        f" hidden, in {held.params['n_dims']} dimensions of {held.params['use_rep']}"
        f" ({held.representation}).",
        class_="soft",
    )
    yield from _verdict(contents)
    yield _tiles(held)


def _verdict(contents: Contents) -> Iterator[Markup]:
    """The lines about each method, in the colour of what they say."""
    held = contents.held
    if held.comparisons is None:
        for line in filter(None, map(str.strip, held.verdict.splitlines())):
            yield element("p", line, class_="verdict")
        yield element("p", _BY_W1.format(version=held.version), class_="soft")
        return
    for verdict in verdicts(contents.adata, held, contents.cluster_key):
        said = [element("p", part) for part in sentences(verdict)]
        head = element("b", headline(verdict))
        yield element("div", head, *said, class_=f"verdict {verdict.outcome}")
    if LEAKY in set(held.table["representation"]):
        yield element("p", seen_by(str(held.params["use_rep"])), class_="verdict")


def _tiles(held: Held) -> Markup:
    """The main numbers at equal numbers of cells, averaged over hidden times and seeds."""
    rows = held.table
    straight = rows[(rows["method"] == STRAIGHT) & (rows["kind"] == "baseline")]
    floor = rows[rows["kind"] == "floor"]
    shown = [
        (straight, "w1_half", f"W1 of {STRAIGHT}, no model"),
        (floor, "w1_half", f"W1 of the {FLOOR}: real cells against real cells"),
    ]
    if held.main is not None:
        method, protocol = held.main
        models = rows[rows["kind"] == "model"]
        own = models[(models["method"] == method) & (models["protocol"] == protocol)]
        shown.insert(0, (own, "w1_half", f"W1 of {method} ({protocol}) to the hidden cells"))
        meaning = "skill: 0 is no better than interpolation, 1 as good as real cells"
        shown.append((own, "skill", meaning))
    means = [(float(some[column].mean()), about) for some, column, about in shown if len(some)]
    tiles = [
        element("div", element("b", f"{value:.3f}"), element("span", about), class_="tile")
        for value, about in means
        if math.isfinite(value)
    ]
    return element("div", *tiles, class_="tiles")
