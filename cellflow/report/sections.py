"""The sections of a report, each a run of paragraphs, pictures and tables."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.components import Plane, axis_name, plane_of
from cellflow.adapter.keys import Keys, kind_of
from cellflow.adapter.positions import read_positions
from cellflow.adapter.record import record_of
from cellflow.core._typing import FloatArray
from cellflow.evaluation.metric import METRICS
from cellflow.evaluation.names import FLOOR, NEXT, OBSERVED, PREVIOUS, STRAIGHT
from cellflow.evaluation.table import COMPOSITION
from cellflow.report import pictures
from cellflow.report.celltypes import typed
from cellflow.report.format import digits, number, plain, with_interval
from cellflow.report.held import Cloud, Held
from cellflow.report.lineages import moved
from cellflow.report.page import Markup, definitions, element, figure, table
from cellflow.report.pictures import Mark, Panel, Picture

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from cellflow.analysis.celltypes import TypeMoves
    from cellflow.metrics import Transitions

__all__ = ["calibrated", "composition", "distances", "fit", "lineages", "maps", "numbers"]

#: What is said of a plan, in this order; whatever else there is follows.
_PLAN = ("coupling", "n_source", "n_target", "cost", "gap", "seconds")
#: Rows with one note that are named.
_FEW = 3
_LEVELS = (0.5, 0.8, 0.95)
#: Hidden times side by side in one picture.
_ABREAST = 5
#: Predictions that are drawn.
_DRAWN = 2
#: Cell types in one picture; the table has all of them.
_TYPES = 30
#: Cell types in the picture of a plan, which shows pairs of them.
_DRAWN_TYPES = 16

#: Columns of the table beside those of the metrics: name, heading and meaning. Those of the first
#: group follow W1.
_BESIDE_W1 = (
    (
        "w1_half",
        "W1, equal n",
        "The same with one number of cells for all rows, at most half of the hidden ones. Distances"
        " compare at equal numbers only, because they are larger for small clouds.",
    ),
    (
        "skill",
        "skill",
        "Where W1 at equal numbers lies between interpolation without a model (0) and real cells"
        " (1); negative is worse than no model. In brackets its 95 % interval over splits of the"
        " hidden cells.",
    ),
)
_BESIDE = (
    (
        COMPOSITION,
        "wrong types",
        "Share of the predicted cells that would have to change their cell type for the shares of"
        " types to be right.",
    ),
    ("n_predicted", "cells", "Predicted cells."),
    ("seconds", "seconds", "Time to predict, training and plans included, scoring not."),
)
_METRICS = [(m.name, m.label, m.meaning) for m in METRICS.values() if m.listed]
#: Column, its heading, and its meaning.
_MEANING = (_METRICS[0], *_BESIDE_W1, *_METRICS[1:], *_BESIDE)
_MORE = (
    (
        "protocol",
        "P1 pushes the real cells of the last snapshot before the hidden one; P2 simulates the cells"
        " of the first snapshot; two-sided joins the neighbours before and after, weighted by"
        " closeness in time.",
    ),
    (
        FLOOR,
        "One half of the hidden cells against the other half: the least distance to be expected.",
    ),
    (
        STRAIGHT,
        "Cells on straight lines along the exact optimal transport between the two neighbouring"
        " snapshots, without any model; the reference of the verdict.",
    ),
)
_NO_REFERENCE = (
    "The benchmark was run in a representation made again without the hidden cells and does not say"
    " which cells it drew, so its predictions cannot be laid beside the cells here; run"
    " cf.bench.holdout again with this version."
)


def distances(held: Held) -> Iterator[Markup]:
    """The picture of distances at equal numbers of cells."""
    panels: dict[str, list[Mark]] = {}
    floor = {}
    straight = {}
    for time in held.times:
        rows = held.summary(time)
        label = held.at(time)
        floor[label] = held.half(time, FLOOR)
        straight[label] = held.half(time, STRAIGHT)
        panels[label] = [
            _mark(row, straight[label] - floor[label], straight[label])
            for _, row in rows.iterrows()
            if row["kind"] != "floor"
        ]
    yield element("h2", "How far from the hidden cells")
    yield element(
        "p",
        "Left is better. Every row has the same number of cells. The dashed line is interpolation"
        " without a model, the dotted one the noise floor: real cells against real cells.",
    )
    for part in _parts(panels):
        caption = (
            "W1 at equal numbers of cells, mean over seeds. Bars: 95 % interval of the difference"
            " to OT interpolation, over splits of the hidden cells. Orange: models. Black: no"
            " model."
        )
        picture = pictures.distances(part, floor=floor, straight=straight)
        yield _figure(
            picture, caption, alt="Distance of every method to the hidden cells, by hidden time"
        )


def _figure(picture: Picture, caption: str, *, alt: str) -> Markup:
    return figure(picture.png, caption, alt=alt, inches=picture.inches)


def _mark(row: pd.Series, unit: float, straight: float) -> Mark:
    """A row with its interval; `unit` is the W1 of one unit of skill."""
    name = f"{row['method']}, {row['protocol']}" if row["protocol"] else str(row["method"])
    low = straight - row["skill_high"] * unit
    high = straight - row["skill_low"] * unit
    return Mark(name, str(row["kind"]), float(row["w1_half"]), float(low), float(high))


def numbers(held: Held) -> Iterator[Markup]:
    """The table, averaged over seeds; each column explained; and all rows as they are."""
    summaries = {time: held.summary(time) for time in held.times}
    shown = [c for c in _MEANING if any(s[c[0]].notna().any() for s in summaries.values())]
    decimals = {
        column: digits([s[column] for s in summaries.values()]) for column, _, _ in shown
    } | {"seconds": 1}
    rows: list[tuple[str, list[str]]] = []
    for time, summary in summaries.items():
        n = int(summary["n_observed"].max())
        n_half = int(summary["n_half"].max())
        rows.append(("group", [f"Hidden: {held.at(time)} ({n:,} cells; equal n: {n_half:,})"]))
        for _, row in summary.iterrows():
            values = [with_interval(row, column, decimals[column]) for column, _, _ in shown]
            rows.append((str(row["kind"]), [row["method"], row["protocol"], *values]))
    yield element("h2", "The table")
    n_seeds = held.table["seed"].nunique()
    if n_seeds > 1:
        yield element("p", f"Means over {n_seeds} seeds; the single rows stand below.")
    yield table(["method", "protocol", *(heading for _, heading, _ in shown)], rows, text=(0, 1))
    yield element("h3", "What the numbers mean")
    yield definitions([*_MORE, *((heading, said) for _, heading, said in shown)])
    notes = list(_notes(held))
    if notes:
        yield element("h3", "Notes")
        yield definitions(notes)
    yield _every_row(held.table)


def _notes(held: Held) -> Iterator[tuple[str, str]]:
    """What went wrong, once, and in which rows."""
    found: dict[str, dict[str, None]] = {}
    for _, row in held.table[held.table["note"] != ""].iterrows():
        who = " ".join(filter(None, (row["method"], row["protocol"])))
        found.setdefault(row["note"], {})[f"{who}, {held.at(row['time'])}"] = None
    for note, rows in found.items():
        yield (
            ("; ".join(rows) if len(rows) <= _FEW else f"{len(rows)} of {len(held.table)} rows"),
            note,
        )


def _every_row(rows: pd.DataFrame) -> Markup:
    from pandas.api.types import is_numeric_dtype

    numeric = {name: is_numeric_dtype(rows[name]) for name in rows.columns}
    columns = [
        name
        for name in rows.columns
        if name != "note" and (not numeric[name] or rows[name].notna().any())
    ]
    decimals = {name: digits([rows[name]]) for name in columns if numeric[name]}
    cells = [
        (
            row["kind"],
            [
                number(row[name], decimals[name]) if name in decimals else row[name]
                for name in columns
            ],
        )
        for _, row in rows.iterrows()
    ]
    text = [k for k, name in enumerate(columns) if name not in decimals]
    said = element("summary", f"All {len(rows)} rows and columns")
    return element("details", said, table(columns, cells, text=text), class_="wide")


def maps(adata: AnnData, held: Held, embedding: str | None) -> Iterator[Markup]:
    """Real against predicted cells, in the first two dimensions and on an embedding."""
    yield element("h2", "Predicted and real cells")
    if not held.drawn(_DRAWN):
        yield element("p", "No method gave a prediction that could be drawn.")
        return
    yield element(
        "p",
        "Where blue and orange mix evenly, the prediction is right. The first picture of each row"
        " shows the hidden cells between the snapshots before and after, the nearest that the"
        " methods have seen.",
    )
    yield element("h3", "First two dimensions")
    caption = (
        f"First two of {held.params['n_dims']} dimensions, at one scale; as many cells of either"
        " colour."
    )
    plane = plane_of(str(held.params["use_rep"]), int(held.params["n_dims"]))
    yield from (part for time in held.times for part in _map(held, time, plane.of, plane, caption))
    if embedding is None:
        return
    positions = read_positions(adata, use_rep=embedding).astype(np.float64)
    known = np.asarray(np.isfinite(positions).all(axis=1))
    plane = plane_of(embedding, positions.shape[1])
    yield element("h3", f"On the embedding ({axis_name(embedding)})")
    caption = (
        "Every cell is placed at the mean of the real cells nearest to it, so this picture cannot"
        " show predictions that lie outside of the real cells."
    )
    drawn = []
    for time in held.times:
        reference = held.reference(adata, time, known)
        if reference is not None:
            place = _placing(reference.placed, plane.of(positions))
            drawn += list(_map(held, time, place, plane, caption))
    yield from drawn or [element("p", _NO_REFERENCE)]


def _placing(
    placed: Callable[[FloatArray, FloatArray], FloatArray], positions: FloatArray
) -> Callable[..., FloatArray]:
    return lambda x: placed(x, positions)


def _map(
    held: Held, time: float, place: Callable[[FloatArray], FloatArray], plane: Plane, caption: str
) -> Iterator[Markup]:
    """The hidden cells between their neighbours, then below each prediction."""
    observed = held.cloud(time, OBSERVED)
    if observed is None:
        return
    here = (OBSERVED, place(observed.x))
    around = [("before", PREVIOUS), ("after", NEXT)]
    neighbours = [
        (role, place(c.x)) for role, name in around if (c := held.cloud(time, name)) is not None
    ]
    panels = [Panel(held.at(time), [*neighbours, here])] if neighbours else []
    for name in (*held.drawn(_DRAWN), STRAIGHT):
        cloud = held.cloud(time, name)
        if cloud is not None:
            panels.append(Panel(name, [here, ("predicted", place(cloud.evenly()))]))
    picture = pictures.clouds(panels, axes=plane.axes)
    axes = " and ".join(filter(None, plane.axes))
    yield _figure(
        picture,
        f"{held.at(time)}. {caption}",
        alt=f"{axes}: cells of {held.at(time)}, real and predicted",
    )


def composition(adata: AnnData, held: Held, cluster_key: str | None) -> Iterator[Markup]:
    """Shares of cell types."""
    if cluster_key is None:
        return
    yield element("h2", "Cell types")
    names = held.drawn(1)
    if not names:
        yield element("p", "No method gave a prediction whose cell types could be told.")
        return
    panels = {}
    rows = []
    for time, found in typed(adata, held, cluster_key, [names[0], STRAIGHT]).items():
        if names[0] not in found.predicted:
            continue
        own = found.composition(names[0])
        between = None
        error = "–"
        if STRAIGHT in found.predicted:
            other = found.composition(STRAIGHT)
            shares = dict(zip(other.labels, other.x, strict=True))
            between = np.array([shares.get(name, 0.0) for name in own.labels])
            error = f"{100 * other.error:.1f}"
        panels[held.at(time)] = (own.labels, own.y, own.x, between)
        rows.append(("group", [f"Hidden: {held.at(time)}"]))
        for k, name in enumerate(own.labels):
            third = "–" if between is None else f"{100 * between[k]:.1f}"
            rows.append(("", [name, f"{100 * own.y[k]:.1f}", f"{100 * own.x[k]:.1f}", third]))
        rows.append(("floor", ["wrong in all", "", f"{100 * own.error:.1f}", error]))
    if not panels:
        yield element("p", _NO_REFERENCE)
        return
    yield element(
        "p",
        f"Every predicted cell takes the label ({cluster_key}) that most of the 15 hidden cells"
        " nearest to it have (a tenth of the hidden cells where these are fewer than 150). “Wrong"
        " in all” is the share of cells that would have to change their label for the shares to be"
        " right.",
    )
    panels, n_labels = _most_common(panels)
    drawn = "" if n_labels <= _TYPES else f" The {_TYPES} largest of {n_labels} are drawn."
    for part in _parts(panels):
        caption = (
            f"Shares of cell types: hidden cells, the prediction of {names[0]}, and OT"
            f" interpolation without a model.{drawn}"
        )
        yield _figure(
            pictures.composition_bars(part),
            caption,
            alt="Shares of cell types, real beside predicted",
        )
    yield table([cluster_key, "hidden, %", "predicted, %", f"{STRAIGHT}, %"], rows)


def _most_common(panels: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    """Panels of the labels with the largest shares at any time, observed or predicted; and how many labels there are."""
    largest: dict[str, float] = {}
    for labels, observed, predicted, _ in panels.values():
        for name, share in zip(labels, np.maximum(observed, predicted), strict=True):
            largest[name] = max(float(share), largest.get(name, 0.0))
    kept = set(sorted(largest, key=lambda name: -largest[name])[:_TYPES])
    made = {}
    for title, (labels, *shares) in panels.items():
        drawn = np.array([name in kept for name in labels])
        made[title] = (
            [name for name in labels if name in kept],
            *(None if s is None else s[drawn] for s in shares),
        )
    return made, len(largest)


def lineages(adata: AnnData, held: Held, cluster_key: str | None, fit_key: str) -> Iterator[Markup]:
    """Mass that moves between cell types from snapshot to snapshot."""
    if cluster_key is None:
        return
    from cellflow.analysis.celltypes import on_types

    moves = moved(adata, held, cluster_key, fit_key)
    known = [found for found in moves.intervals if found is not None]
    yield element("h2", "Cell types from snapshot to snapshot")
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
    mass: dict[str, float] = {}
    for found in known:
        for label, before, after in zip(
            found.plan.labels, found.plan.before, found.plan.after, strict=True
        ):
            mass[label] = max(mass.get(label, 0.0), float(before), float(after))
    labels = sorted(sorted(mass, key=lambda label: -mass[label])[:_DRAWN_TYPES])
    left = (
        f" The {_DRAWN_TYPES} largest of {len(mass)} types are drawn."
        if len(mass) > _DRAWN_TYPES
        else ""
    )
    panels = {
        f"{held.at(f.from_time)} to {held.at(f.time)}": (labels, _among(f.plan, labels))
        for f in known
    }
    for part in _parts(panels, _FEW):
        caption = (
            f"Where the plan takes the mass of each type ({cluster_key}), in percent of the row;"
            f" rows without colour: no such cells at the start.{left}"
        )
        yield _figure(
            pictures.transitions(part), caption, alt="Mass from each early type to each late type"
        )
    rows = [("", [where, *_shares_of(found)]) for where, found in zip(panels, known, strict=True)]
    kept = "in another type, %" if moves.lineage is None else "outside of its lineage, %"
    heads = ["by the plan", "forced by the shares", "without any motion", "pushed"]
    if rows:
        yield table([f"mass that ends {kept}", *heads], rows)


def _among(found: Transitions, labels: Sequence[str]) -> FloatArray:
    """Shares of each type's mass among some types, `(k, k)`; NaN in rows of types that are absent at the start."""
    shares = np.full((len(labels), len(labels)), np.nan)
    place = {label: k for k, label in enumerate(found.labels)}
    for i, early in enumerate(labels):
        if early in place and found.before[place[early]] > 0:
            row = found.shares[place[early]]
            shares[i] = [row[place[late]] if late in place else 0.0 for late in labels]
    return shares


def _shares_of(found: TypeMoves) -> list[str]:
    values = (found.by_plan, found.by_shares, found.by_staying, found.by_push)
    return [number(100 * value, 1) for value in values]


def calibrated(held: Held) -> Iterator[Markup]:
    """Whether predictions are as wide as the cells are."""
    names = held.drawn(1)
    grid = np.linspace(0.0, 1.0, 51)
    panels = {}
    rows = []
    for time in held.times if names else ():
        observed, predicted, straight = (
            held.cloud(time, name) for name in (OBSERVED, names[0], STRAIGHT)
        )
        if observed is None or predicted is None:
            continue
        mean = None if straight is None else _coverage(straight, observed, grid).mean(axis=1)
        panels[held.at(time)] = (grid, _coverage(predicted, observed, grid), mean)
        shares = 100 * _coverage(predicted, observed, _LEVELS)
        rows.append(
            (
                "",
                [
                    held.at(time),
                    *(f"{row.mean():.0f} ({row.min():.0f} to {row.max():.0f})" for row in shares),
                ],
            )
        )
    if not panels:
        return
    yield element("h2", "Is the prediction as wide as the cells are?")
    yield element(
        "p",
        "The central half of the predicted cells should span the central half of the hidden ones,"
        " in every dimension. On the dashed diagonal it does; below it the prediction is too narrow"
        " or beside the cells, above it too wide.",
    )
    for part in _parts(panels):
        caption = (
            f"{names[0]}: hidden cells inside central intervals of the prediction. Thin lines:"
            " single dimensions."
        )
        yield _figure(
            pictures.calibration_curves(part),
            caption,
            alt="Coverage of central intervals over their level",
        )
    yield table(["hidden", *(f"inside the central {100 * level:.0f} %" for level in _LEVELS)], rows)
    yield element(
        "p",
        "Percent of the hidden cells, mean over dimensions, in brackets the least and the most.",
        class_="soft",
    )


def _coverage(predicted: Cloud, observed: Cloud, level: Sequence[float] | FloatArray) -> FloatArray:
    from cellflow.metrics import calibration

    return calibration(
        predicted.x,
        observed.x,
        level=level,
        predicted_weight=predicted.weight,
        observed_weight=observed.weight,
    ).coverage


def fit(adata: AnnData, fit_key: str) -> Iterator[Markup]:
    """Training and plans of the fit that is stored beside the benchmark."""
    if not isinstance(fit_key, str) or kind_of(adata, fit_key) != "fit":
        return
    record = record_of(adata, Keys(fit_key))
    yield element("h2", "The fit to all snapshots")
    yield element(
        "p",
        f"In adata.uns[{fit_key!r}] there is a fit that has seen every snapshot, the hidden ones of"
        " this report included. The benchmark made fits of its own; this one is for predictions to"
        " come.",
    )
    history = record["history"]
    if len(history["step"]) > 1:
        caption = (
            "Training. The loss does not go to zero, because several cells pass one place at"
            " different velocities; what to look for is a flat end of the training curve. The"
            " held-out curve often rises while predictions get better, so a rise is no reason to"
            " train less; the numbers above measure predictions."
        )
        yield _figure(pictures.training(history), caption, alt="Training loss over steps")
    plans = record["plans"]
    if plans:
        there = {str(name) for plan in plans.values() for name in plan}
        columns = [*(name for name in _PLAN if name in there), *sorted(there - set(_PLAN))]
        rows = [
            (
                "",
                [str(name).replace("_", " "), *(plain(plan.get(column, "")) for column in columns)],
            )
            for name, plan in sorted(plans.items(), key=_by_numbers)
        ]
        yield element("h3", "Transport plans")
        yield element(
            "p",
            "Which cells become which, solved once per interval. The cost is the mean squared"
            " distance that cells travel, in model units; the gap is a certified bound on how far"
            " the plan is from the best one, relative to the cost.",
        )
        yield table(["interval", *columns], rows)
    params = record["params"]
    if params:
        said = definitions([(str(name), plain(value)) for name, value in sorted(params.items())])
        yield element("details", element("summary", "Parameters of this fit"), said)


def _by_numbers(named: tuple[str, Any]) -> tuple[list[float], str]:
    """Order of intervals such as `3.0_to_12.0`, whose text would be in another order."""
    return [float(found) for found in re.findall(r"-?\d+(?:\.\d+)?", named[0])], named[0]


def _parts(panels: Mapping[str, Any], abreast: int = _ABREAST) -> Iterator[dict[str, Any]]:
    """Panels in groups that fit beside each other."""
    names = list(panels)
    for start in range(0, len(names), abreast):
        yield {name: panels[name] for name in names[start : start + abreast]}
