"""The held-out benchmark as one page that explains itself."""

from __future__ import annotations

import datetime as dt
import math
import os
import platform
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from cellflow.adapter.keys import DEFAULT, find_basis
from cellflow.adapter.labels import read_labels
from cellflow.adapter.read import require_anndata
from cellflow.adapter.representation import LEAKY, seen_by
from cellflow.core._arguments import check_arguments
from cellflow.core._files import check_writable, write_text
from cellflow.core._settings import guarded
from cellflow.core._version import __version__
from cellflow.report import sections
from cellflow.report.format import plain
from cellflow.report.held import STRAIGHT, Held
from cellflow.report.judging import verdicts
from cellflow.report.page import Markup, definitions, document, element

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["report"]

#: Embeddings that are looked for, in this order.
_EMBEDDINGS = ("X_umap", "X_tsne", "X_phate", "X_draw_graph_fa", "X_draw_graph_fr")
_BY_W1 = (
    "This verdict was written by version {version}, which looked at W1 alone. W1 rewards a cloud"
    " that lost variance. Run cf.bench.holdout again for a verdict by all measures."
)
#: Whose versions are stated.
_PACKAGES = ("numpy", "scipy", "pandas", "anndata", "scanpy", "torch", "POT", "numba")


@guarded
def report(
    adata: AnnData,
    path: str | os.PathLike[str] = "cellflow-report.html",
    *,
    key: str = "cf_holdout",
    fit_key: str = DEFAULT,
    basis: str | None = None,
    cluster_key: str | None = None,
    title: str = "Held-out report",
) -> Path:
    """Write what `cf.bench.holdout` found as one HTML file that explains every number, to be read, printed or sent.

    The verdict in words; distances of all methods to the hidden cells, as a picture and as the
    table with its intervals; predicted beside real cells in the first two dimensions and on an
    embedding; shares of cell types; whether the prediction is as wide as the cells are; how the fit
    that is stored beside it was trained; parameters, seeds and versions. The file needs no network
    and no other file.

    Parameters
    ----------
    adata
        The cells, after `cf.bench.holdout`. It is only read.
    path
        An `.html` file; an older one is replaced as a whole.
    key
        Where in `adata.uns` the benchmark is.
    fit_key
        Where in `adata.uns` a fit of all snapshots may be; its training is shown where there is
        one.
    basis
        Embedding to draw on, where predicted cells lie at the mean of the real cells nearest to
        them. By default UMAP or another common one, where there is one.
    cluster_key
        Column of `adata.obs` with cell types: predicted cells take the label that most of the 15
        nearest hidden cells have. The verdict counts them, and the page shows the mass that moves
        between types. By default the one of the benchmark.
    title
        Of the page.

    Returns
    -------
    The path that was written, resolved.

    Raises
    ------
    MissingKeyError
        No benchmark under this key, no such embedding, no such column.
    InputError
        A record that is not complete, or belongs to other cells.
    OutputError
        The file cannot be written.

    Examples
    --------
    >>> cf.bench.report(adata, "report.html", cluster_key="cell_type")  # doctest: +SKIP
    """
    check_arguments(report, locals())
    require_anndata(adata)
    held = Held.of(adata, key)
    target = check_writable(path, suffix=".html")
    if cluster_key is None:
        kept = held.params.get("cluster_key")
        cluster_key = str(kept) if kept in adata.obs else None
    else:
        read_labels(adata, cluster_key)
    if basis is None:
        embedding = next(
            (name for name in _EMBEDDINGS if name in adata.obsm and name != held.params["use_rep"]),
            None,
        )
    else:
        embedding = find_basis(adata, basis)
    page = document(
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
    return write_text(page, target, suffix=".html")


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
    from cellflow.evaluation.words import sentence

    for verdict in verdicts(adata, held, cluster_key):
        yield element("p", sentence(verdict), class_=f"verdict {verdict.outcome}")
    if LEAKY in set(held.table["representation"]):
        yield element("p", seen_by(str(held.params["use_rep"])), class_="verdict")


def _tiles(held: Held) -> Markup:
    """The main numbers at equal numbers of cells, averaged over hidden times and seeds."""
    rows = held.table
    asked = [
        (
            rows[(rows["method"] == STRAIGHT) & (rows["kind"] == "baseline")],
            "w1_half",
            "W1 of OT interpolation, no model",
        ),
        (
            rows[rows["kind"] == "floor"],
            "w1_half",
            "W1 of the noise floor: real cells against real cells",
        ),
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
