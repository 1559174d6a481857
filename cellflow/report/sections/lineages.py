"""Mass that moves between cell types from snapshot to snapshot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from cellflow.analysis.celltypes import TypeMoves, on_types
from cellflow.core._text import drawable
from cellflow.core._typing import FloatArray
from cellflow.metrics import Transitions
from cellflow.report import pictures
from cellflow.report.contents import Contents
from cellflow.report.format import number
from cellflow.report.held import Held
from cellflow.report.markup import Markup, element, heading, table
from cellflow.report.moves import Moves, read_moves
from cellflow.report.pictures import FAINT, INK, SOFT, Letters

__all__ = ["lineages"]

#: Cell types in a picture, which shows pairs of them.
_TYPES = 16
#: Intervals side by side in one picture.
_ABREAST = 3
#: Characters of a name beside a narrow square.
_SHORT = 24
#: A smaller share of a type's mass is not written into its square.
_WRITTEN = 0.05


def lineages(contents: Contents) -> Iterator[Markup]:
    """Mass that moves between cell types from snapshot to snapshot."""
    if contents.cluster_key is None:
        return
    moves = read_moves(contents.adata, contents.held, contents.cluster_key, contents.fit_key)
    known = [found for found in moves.intervals if found is not None]
    yield heading("Cell types from snapshot to snapshot")
    yield element(
        "p",
        "A transport plan says which early cells become which late ones. A plan that conserves"
        " mass cannot let a type grow: where shares change, it turns cells of one type into"
        f" another. The shares of types at a hidden time do not show that. {moves.about}",
    )
    if moves.reason:
        yield element("p", moves.reason)
    for found, said in zip(known, on_types(known), strict=False):
        yield element("p", said, class_="interval worse" if found.is_excessive else "interval")
    if any(found.is_excessive for found in known):
        yield element("p", on_types(known)[-1])
    if len(known) < len(moves.intervals):
        yield element("p", "Intervals are missing where a snapshot has no cells with a type.")
    titles = [_title(contents.held, found) for found in known]
    yield from _pictures(dict(zip(titles, known, strict=True)), contents.cluster_key)
    if known:
        yield _table(dict(zip(titles, known, strict=True)), moves)


def _title(held: Held, found: TypeMoves) -> str:
    return f"{held.at(found.from_time)} to {held.at(found.time)}"


def _table(found: Mapping[str, TypeMoves], moves: Moves) -> Markup:
    kept = "in another type, %" if moves.lineage is None else "outside of its lineage, %"
    heads = ["by the plan", "forced by the shares", "without any motion", "pushed"]
    rows = []
    for title, move in found.items():
        shares = (move.by_plan, move.by_shares, move.by_staying, move.by_push)
        rows.append(("", [title, *(number(100 * share, 1) for share in shares)]))
    return table([f"mass that ends {kept}", *heads], rows)


def _pictures(found: Mapping[str, TypeMoves], cluster_key: str) -> Iterator[Markup]:
    mass: dict[str, float] = {}
    for plan in (move.plan for move in found.values()):
        for label, before, after in zip(plan.labels, plan.before, plan.after, strict=True):
            mass[label] = max(mass.get(label, 0.0), float(before), float(after))
    labels = sorted(sorted(mass, key=lambda label: -mass[label])[:_TYPES])
    some = f" The {_TYPES} largest of {len(mass)} types are drawn." if len(mass) > _TYPES else ""
    caption = (
        f"Where the plan takes the mass of each type ({cluster_key}), in percent of the row; rows"
        f" without colour: no such cells at the start.{some}"
    )
    panels = {title: _among(move.plan, labels) for title, move in found.items()}
    for part in pictures.groups(panels, _ABREAST):
        yield _drawn(part, labels, caption)


def _among(found: Transitions, labels: Sequence[str]) -> FloatArray:
    """Shares of each type's mass, `(k, k)`; NaN in rows of types that are absent at the start."""
    shares = np.full((len(labels), len(labels)), np.nan)
    place = {label: k for k, label in enumerate(found.labels)}
    for i, early in enumerate(labels):
        if early in place and found.before[place[early]] > 0:
            row = found.shares[place[early]]
            shares[i] = [row[place[late]] if late in place else 0.0 for late in labels]
    return shares


def _drawn(panels: Mapping[str, FloatArray], labels: Sequence[str], caption: str) -> Markup:
    """Draw matrices, early types down and late types across, one panel per interval."""
    side = 0.34 * len(labels)
    width = max(pictures.WIDTH, 2.2 + (side + 0.5) * len(panels))
    drawing = pictures.blank(width, 1.9 + side)
    letters = Letters.of(*labels, *panels)
    names = [letters(drawable(name, longest=_SHORT)) for name in labels]
    axes = pictures.axes_in_a_row(drawing, len(panels))
    for k, (ax, (title, shares)) in enumerate(zip(axes, panels.items(), strict=True)):
        ax.imshow(np.ma.masked_invalid(shares), cmap="Blues", vmin=0.0, vmax=1.0, aspect="equal")
        for i, j in zip(*np.nonzero(np.nan_to_num(shares) >= _WRITTEN), strict=True):
            text = {"ha": "center", "va": "center", "fontsize": 7.5}
            shade = "white" if shares[i, j] > 0.6 else INK
            ax.text(j, i, f"{100 * shares[i, j]:.0f}", color=shade, **text)
        early = names if k == 0 else [""] * len(labels)
        ax.set_xticks(range(len(labels)), names, fontsize=8, rotation=90, color=INK)
        ax.set_yticks(range(len(labels)), early, fontsize=8, color=INK)
        ax.tick_params(axis="both", length=0)
        pictures.titled(ax, letters(title))
        ax.set_xlabel("type at the end", fontsize=8.5, color=SOFT)
        if k == 0:
            ax.set_ylabel("type at the start", fontsize=8.5, color=SOFT)
        for spine in ax.spines.values():
            spine.set_color(FAINT)
    alt = "Mass from each early type to each late type"
    return pictures.finished(drawing, letters, caption, alt=alt)
