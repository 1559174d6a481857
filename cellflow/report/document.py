"""The page of a report: its sections in order, the verdict in colours, and the main numbers."""

from __future__ import annotations

import datetime as dt
import math
import platform
from collections.abc import Iterator
from importlib import metadata
from typing import TYPE_CHECKING

from cellflow.adapter.representation import LEAKY, seen_by
from cellflow.core._version import __version__
from cellflow.evaluation.names import FLOOR, STRAIGHT
from cellflow.evaluation.words import sentence
from cellflow.report import sections
from cellflow.report.format import plain
from cellflow.report.held import Held
from cellflow.report.judging import verdicts
from cellflow.report.page import Markup, definitions, document, element

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["page"]

_BY_W1 = (
    "This verdict was written by version {version}, which looked at W1 alone. W1 rewards a cloud"
    " that lost variance. Run cf.bench.holdout again for a verdict by all measures."
)
#: Packages whose versions are stated.
_PACKAGES = ("numpy", "scipy", "pandas", "anndata", "scanpy", "torch", "POT", "numba")


def page(
    adata: AnnData,
    held: Held,
    *,
    title: str,
    key: str,
    fit_key: str,
    embedding: str | None,
    cluster_key: str | None,
) -> str:
    """Return a benchmark as one HTML document.

    Parameters
    ----------
    adata
        The cells.
    held
        The benchmark, read from `adata.uns[key]`.
    title
        Title of the page.
    key, fit_key
        Where in `adata.uns` the benchmark is, and where a fit may be.
    embedding
        Key in `adata.obsm` of the embedding to draw on; None for no such picture.
    cluster_key
        Column of `adata.obs` with cell types, or None.
    """
    return document(
        title,
        element("h1", title),
        element("p", _about(adata, held), class_="soft"),
        *_verdict(adata, held, cluster_key),
        _tiles(held),
        *sections.distances(held),
        *sections.numbers(held),
        *sections.maps(adata, held, embedding),
        *sections.composition(adata, held, cluster_key),
        *sections.lineages(adata, held, cluster_key, fit_key),
        *sections.calibrated(held),
        *sections.fit(adata, fit_key),
        *_reproduce(held, key),
        element(
            "footer", f"Written by cellflow {__version__} on {dt.datetime.now(dt.UTC):%Y-%m-%d}."
        ),
    )


def _about(adata: AnnData, held: Held) -> str:
    times = ", ".join(held.at(t) for t in held.times)
    return (
        f"{adata.n_obs:,} cells; hidden in turn: {times}. Each time the method was fitted to the"
        " other snapshots only, and its prediction compared with the cells that were hidden, in"
        f" {held.params['n_dims']} dimensions of {held.params['use_rep']} ({held.representation})."
    )


def _verdict(adata: AnnData, held: Held, cluster_key: str | None) -> Iterator[Markup]:
    """The lines about each method, in the colour of what they say."""
    if held.comparisons is None:
        for line in filter(None, map(str.strip, held.verdict.splitlines())):
            yield element("p", line, class_="verdict")
        yield element("p", _BY_W1.format(version=held.version), class_="soft")
        return
    for verdict in verdicts(adata, held, cluster_key):
        yield element("p", sentence(verdict), class_=f"verdict {verdict.outcome}")
    if LEAKY in set(held.table["representation"]):
        yield element("p", seen_by(str(held.params["use_rep"])), class_="verdict")


def _tiles(held: Held) -> Markup:
    """The main numbers at equal numbers of cells, averaged over hidden times and seeds."""
    rows = held.table
    straight = rows[(rows["method"] == STRAIGHT) & (rows["kind"] == "baseline")]
    floor = rows[rows["kind"] == "floor"]
    asked = [
        (straight, "w1_half", f"W1 of {STRAIGHT}, no model"),
        (floor, "w1_half", f"W1 of the {FLOOR}: real cells against real cells"),
    ]
    if held.main is not None:
        method, protocol = held.main
        own = rows[
            (rows["kind"] == "model") & (rows["method"] == method) & (rows["protocol"] == protocol)
        ]
        asked.insert(0, (own, "w1_half", f"W1 of {method} ({protocol}) to the hidden cells"))
        asked.append(
            (own, "skill", "skill: 0 is no better than interpolation, 1 as good as real cells")
        )
    means = [(float(some[column].mean()), said) for some, column, said in asked if len(some)]
    tiles = [
        element("div", element("b", f"{value:.3f}"), element("span", said), class_="tile")
        for value, said in means
        if math.isfinite(value)
    ]
    return element("div", *tiles, class_="tiles")


def _reproduce(held: Held, key: str) -> Iterator[Markup]:
    """What is needed to do it again."""
    yield element("h2", "To do it again")
    yield element("h3", f"Parameters of the benchmark (adata.uns[{key!r}])")
    yield definitions([(name, plain(value)) for name, value in sorted(held.params.items())])
    versions = [
        ("cellflow", f"{held.version} (benchmark), {__version__} (report)"),
        ("python", platform.python_version()),
    ]
    for name in _PACKAGES:
        try:
            versions.append((name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            continue
    yield element("h3", "Versions")
    yield definitions(versions)
