"""A diagnosis in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from cellflow.analysis.celltypes import TypeMoves, on_types
from cellflow.core._typing import FloatArray

__all__ = ["FEW", "verdict"]

#: Fewer cells than this have no usable neighbourhoods; results that need them are NaN.
FEW = 10
#: Largest error of a round trip that counts as reversible, as a share of the cells' spread.
_REVERSIBLE = 0.02
#: Smallest energy of the paths, over the squared distance of the snapshots, that is not too little.
_SHORT = 0.75
#: Largest energy of the paths, over the squared distance of cells and their ends: more is a detour.
_LONG = 1.5
#: Largest distance of the ends of the paths from the cells, over the distance between halves of
#: these.
_REACHED = 1.5
#: Largest share of cells that no path comes near; by chance it is 0.01.
_MISSED = 0.05
#: Limits of a mean velocity over the displacement of the means per unit of time.
_SLOW = 0.8
_FAST = 1.25
#: Smallest cosine between the two.
_ALONG = 0.8
#: Smallest share of the possible cosine at which two gradients agree.
_AGREES = 0.5
#: Possible cosines below this do not allow a comparison.
_BLURRED = 0.3
#: Smallest effective number of samples of a gradient that is judged.
_WORTH = 5.0
#: The three comparisons of gradients: column, what is compared, with what, and the remedy.
_SCORE_SHIFT = (
    "cosine_score_shift",
    "The score head",
    "the mean shift of the cells",
    "Train longer",
)
_DENSITY_SHIFT = (
    "cosine_density_shift",
    "The density of the dynamics",
    "the mean shift of the cells",
    "Look at cf.tl.log_density and the mass balance, and learn the density of the first snapshot"
    " by another source=",
)
_SCORE_DENSITY = (
    "cosine_score_density",
    "The score head",
    "the density of the dynamics",
    "One of the two is wrong: see which agrees with the mean shift",
)


def verdict(
    table: Mapping[str, np.ndarray],
    *,
    has_score: bool,
    has_density: bool,
    informed: bool = False,
    types: Sequence[TypeMoves | None] = (),
) -> tuple[str, ...]:
    """The table in sentences: each with its number, and with a remedy where something is wrong.

    `informed`: whether barcodes inform the plans.
    """
    said = [_on_return(table), *_on_energy(table, informed=informed)]
    said += [*_on_speed(table), _on_ends(table)]
    said += [*_on_mass(table), _on_reach(table), *on_types(types)]
    said += [*_on_gradients(table, has_score=has_score, has_density=has_density)]
    few = table["time"][table["n_cells"] < FEW]
    if len(few):
        said.append(
            f"Snapshots of fewer than {FEW} cells are not judged by their neighbourhoods:"
            f" {', '.join(f'time {t:g}' for t in few.tolist())}."
        )
    return tuple(sentence for sentence in said if sentence)


def _on_return(table: Mapping[str, np.ndarray]) -> str:
    found = table["round_trip"]
    if np.isnan(found).all():
        return ""
    worst = int(np.nanargmax(found))
    if found[worst] <= _REVERSIBLE:
        within = _percent(found[worst])
        return (
            f"Velocities are reversible: going forward and back returns cells to within {within} of"
            " their spread."
        )
    return (
        f"Velocities are too steep for the solver between {_span(table, worst)}: going forward and"
        f" back misses by {_percent(found[worst])} of the cells' spread. Train longer or with more"
        " cells, or simulate with a smaller step."
    )


def _on_energy(table: Mapping[str, np.ndarray], *, informed: bool) -> list[str]:
    detour = table["detour"]
    ratio = table["energy_ratio"]
    said = []
    if (detour > _LONG).any():
        worst = int(np.nanargmax(detour))
        remedy = (
            "Barcodes lead cells there; fit without lineage_key= to see what they change."
            if informed
            else "Use a method with optimal couplings (ot-cfm, sf2m), or train longer; cells that"
            " really turn need another snapshot there."
        )
        said.append(
            f"Paths take detours between {_span(table, worst)}: they use {detour[worst]:.2f} times"
            f" the energy that takes cells to where they go. {remedy}"
        )
    elif np.isfinite(detour).any():
        said.append(
            f"Paths are close to optimal: {_range(detour)} times the energy that takes cells to"
            " where they go."
        )
    if (ratio < _SHORT).any():
        low = int(np.nanargmin(ratio))
        found = f"{ratio[low]:.2f} times the squared distance"
        # A cell of one finite sample is as far from another sample of the same population as cells
        # are from each other.
        misses = table["end_distance"][low] > _REACHED * table["end_distance_expected"][low]
        scatter = (
            "Nothing shows that paths stop short; the rest is the scatter of two samples, which no"
            " path follows."
        )
        why = "Paths do not arrive there: train longer." if misses else scatter
        said.append(
            f"Cells move less than measured ones are apart between {_span(table, low)}: {found}."
            f" {why}"
        )
    return said


def _on_speed(table: Mapping[str, np.ndarray]) -> list[str]:
    times = table["time"]
    middles = (table["from_time"] + times) / 2.0
    when = np.concatenate([times, middles])
    ratio = np.concatenate([table["speed_ratio"], table["middle_ratio"]])
    cosine = np.concatenate([table["speed_cosine"], table["middle_cosine"]])
    judged = np.isfinite(ratio)
    if not judged.any():
        return []
    wrong = judged & ~((ratio >= _SLOW) & (ratio <= _FAST) & (cosine >= _ALONG))
    if not wrong.any():
        return [
            "Velocities agree with how the means of the snapshots move: mean velocities are"
            f" {_range(ratio)} times the displacement per unit of time, at cosines of"
            f" {np.nanmin(cosine):.2f} or more."
        ]
    order = np.flatnonzero(wrong)[np.argsort(when[wrong], kind="stable")]
    cosines = [f" (cosine {cosine[k]:.2f})" if np.isfinite(cosine[k]) else "" for k in order]
    listed = ", ".join(
        f"{ratio[k]:.2f} times at time {when[k]:g}{c}" for k, c in zip(order, cosines, strict=True)
    )
    return [
        "Mean velocities disagree with how the means of the snapshots move: of the displacement"
        f" per unit of time they are {listed}; expected {_SLOW:g} to {_FAST:g} times, at cosines of"
        f" {_ALONG:g} or more. Do not read speeds there: train longer, or compare with"
        " method='ot-cfm'."
    ]


def _on_ends(table: Mapping[str, np.ndarray]) -> str:
    ratio = table["end_distance"] / table["end_distance_expected"]
    if np.isnan(ratio).all():
        return ""
    worst = int(np.nanargmax(ratio))
    if ratio[worst] <= _REACHED:
        return (
            f"Paths arrive: pushed cells are {_range(ratio)} times as far from measured ones as"
            " these are from each other."
        )
    return (
        f"Paths do not arrive at time {table['time'][worst]:g}: pushed cells are {ratio[worst]:.1f}"
        " times as far from the measured ones as these are from each other. Train longer, or see"
        " the mass balance for a population that grows or is missing."
    )


def _on_mass(table: Mapping[str, np.ndarray]) -> list[str]:
    found = table["imbalance"]
    limit = table["imbalance_limit"]
    if np.isnan(found).all():
        return []
    wrong = np.flatnonzero(found > limit)
    if len(wrong) == 0:
        expected = float(np.nanmax(table["imbalance_expected"]))
        return [
            f"Pushed cells have the densities of the measured ones: {np.nanmax(found):.1%} of the"
            f" mass is in a wrong region, {expected:.1%} by chance alone. A plan that conserves"
            " mass arrives so whether or not its cells are of the right type; cluster_key= shows"
            " that."
        ]
    said = []
    for k in wrong.tolist():
        pushed = table["region_pushed"][k]
        observed = table["region_observed"][k]
        cause = (
            "a population that grows or is not foreseen"
            if pushed < observed
            else "a population that dies or is missing"
        )
        said.append(
            f"Mass is out of balance at time {table['time'][k]:g}: {found[k]:.1%} is in a wrong"
            f" region, where chance makes {table['imbalance_expected'][k]:.1%}; a region with"
            f" {observed:.1%} of the cells is sent {pushed:.1%} ({pushed / observed:.2f} times):"
            f" {cause}. Give cells weights or growth rates, or check the sampling."
        )
    return said


def _on_reach(table: Mapping[str, np.ndarray]) -> str:
    found = table["unreached"]
    if np.isnan(found).all():
        return ""
    missed = np.flatnonzero(found > _MISSED)
    if len(missed) == 0:
        return (
            f"Paths cover the cells: at most {np.nanmax(found):.1%} of a snapshot lie where no path"
            " comes near."
        )
    listed = ", ".join(f"{found[k]:.1%} at time {table['time'][k]:g}" for k in missed.tolist())
    return (
        f"No path comes near some cells: {listed} (1 % by chance). They may be a lineage that other"
        " snapshots lack, doublets or a batch: look at them before you believe their velocities."
    )


def _on_gradients(
    table: Mapping[str, np.ndarray], *, has_score: bool, has_density: bool
) -> Iterator[str]:
    """Whether the three estimates of the gradient agree."""
    if has_score:
        yield _on_agreement(table, *_SCORE_SHIFT)
    else:
        yield "There is no score to compare with: fit with score=True, or method='sf2m'."
    if not has_density:
        yield (
            "The density of the dynamics was not compared: cf.tl.log_density learns it, of fits"
            " without conditions."
        )
        return
    yield _on_agreement(table, *_DENSITY_SHIFT)
    if has_score:
        yield _on_agreement(table, *_SCORE_DENSITY)


def _on_agreement(
    table: Mapping[str, np.ndarray], column: str, one: str, other: str, remedy: str
) -> str:
    limit = table["cosine_limit"]
    times = table["time"]
    usable = np.isfinite(table[column]) & np.isfinite(limit) & (limit >= _BLURRED)
    if "density" in column:
        usable &= table["effective_samples"] >= _WORTH
    if not usable.any():
        return (
            f"{one} and {other} cannot be compared: cells are too few, or dimensions too many, at"
            " every time."
        )
    # The kernel limits comparisons with the mean shift only.
    allowed = np.where(usable, limit if column.endswith("_shift") else 1.0, np.nan)
    share = np.where(usable, table[column], np.nan) / allowed
    worst = int(np.nanargmin(share))
    found = f"cosine {table[column][worst]:.2f}" + (
        f" of {allowed[worst]:.2f} possible" if column.endswith("_shift") else ""
    )
    if share[worst] >= _AGREES:
        when = (
            "every time"
            if usable.all()
            else f"the {usable.sum()} times of {len(usable)} that can be judged"
        )
        return (
            f"{one} and {other} agree at {when}: {found} where they agree least, at time"
            f" {times[worst]:g}."
        )
    return f"{one} and {other} disagree at time {times[worst]:g}: {found}. {remedy}."


def _span(table: Mapping[str, np.ndarray], k: int) -> str:
    return f"times {table['from_time'][k]:g} and {table['time'][k]:g}"


def _range(values: FloatArray) -> str:
    low = f"{np.nanmin(values):.2f}"
    high = f"{np.nanmax(values):.2f}"
    return low if low == high else f"{low} to {high}"


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"
