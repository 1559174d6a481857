"""Predictions of held-out snapshots beside baselines and the noise floor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cellflow.adapter.benchmark import read_benchmark
from cellflow.adapter.read import require_anndata
from cellflow.core._arguments import check_arguments
from cellflow.core._numbers import shown
from cellflow.core._settings import guarded
from cellflow.errors import InputError, closest
from cellflow.pl._grid import panels, require_one
from cellflow.pl._held import MEASURES, draw_measure, held_rows
from cellflow.pl._words import headline, wrapped

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes

__all__ = ["holdout"]

#: Inches of a panel beside its times, and of each time.
_BESIDE = 2.2
_TIME = 1.1
#: Inches of a panel without its title.
_HEIGHT = 3.4
#: Size of the verdict in points, and inches of a line of it.
_SIZE = 8.5
_LINE = 0.15


@guarded
def holdout(
    adata: AnnData,
    *,
    metrics: str | Sequence[str] = ("w1_half", "energy_half"),
    protocols: str | Sequence[str] | None = None,
    title: str | None = None,
    key: str = "cf_holdout",
    ax: Axes | None = None,
) -> Axes | list[Axes]:
    """Draw how far predictions of held-out snapshots are from the hidden cells.

    Each held-out time has the model, the baselines without a model, and the noise floor: one half
    of the hidden cells against the other half, which no prediction can be expected to fall below.
    The title is the verdict, on a given Axes its first sentence.

    Parameters
    ----------
    adata
        With what `cf.bench.holdout` wrote.
    metrics
        One or several, a panel each. At equal numbers of cells, as the verdict compares them:
        `"w1_half"`, `"energy_half"`; the pale band behind a model is the 95 % interval of its
        difference from OT interpolation on the same halves, drawn around OT interpolation and cut
        at zero: a model outside of it differs from OT interpolation. `"skill"` with its interval: 0
        is OT interpolation, 1 the noise floor. At full size: `"w1"` with its interval, and all
        other metrics of the table. `"composition_error"` where cells have types.
    protocols
        Which predictions of the model; by default the two-sided one, which `cf.tl.predict` makes,
        or the first that there is.
    title
        Replaces the verdict; `""` for none.
    key
        `key_added` of `cf.bench.holdout`.
    ax
        See `cf.pl.stream`; for one metric.

    Returns
    -------
    The Axes; those of several metrics in a list.

    Raises
    ------
    MissingKeyError
        No held-out benchmark under this key.
    InputError
        Metrics or protocols that it does not have, or one Axes for several metrics. No figure is
        made then.

    Examples
    --------
    >>> table = cf.bench.holdout(adata, "hours", times=24, metrics="w1")
    >>> left, right = cf.pl.holdout(adata)
    """
    check_arguments(holdout, locals())
    require_anndata(adata)
    held = read_benchmark(adata, key)
    names = _metrics(held.table, metrics)
    rows = held_rows(held.table, _protocols(held.table, protocols))
    require_one(ax, len(names), "metrics")
    times = sorted(held.table["time"].unique())
    unit = str(held.params.get("time_unit", "") or "")
    time_key = str(held.params["time_key"])
    width = _BESIDE + max(_TIME * len(times), 3.6 if len(names) == 1 else 2.4)
    said = held.verdict if ax is None else _first_sentence(held.verdict)
    text = said if title is None else title
    lines = 1 + wrapped(text, 0.96 * width * min(len(names), 4), _SIZE).count("\n")
    with panels(ax, len(names), width=width, height=_HEIGHT + _LINE * lines) as every:
        for k, name in enumerate(names):
            last = k == len(names) - 1
            draw_measure(every[k], held, rows, name, with_legend=last)
            every[k].set_xlabel(f"held-out {time_key}{f' ({unit})' if unit else ''}", fontsize=9)
        if text:
            headline(every, text, own=ax is None, size=_SIZE)
    return every[0] if len(every) == 1 else every


def _first_sentence(text: str) -> str:
    """For an Axes among others, where there is no place for more."""
    first, *others = text.split(". ")
    return f"{first}." if others else first


def _metrics(table: pd.DataFrame, asked: str | Sequence[str]) -> list[str]:
    """Names of columns that are drawn, checked."""
    names = [asked] if isinstance(asked, str) else list(asked)
    known = [name for name in MEASURES if name in table and table[name].notna().any()]
    wrong = [name for name in names if name not in known]
    if wrong or not names:
        hint = closest(wrong[0], known) if wrong else ""
        msg = f"metrics={shown(asked)}; expected some of {known}, which the table has{hint}."
        raise InputError(msg)
    return list(dict.fromkeys(names))


def _protocols(table: pd.DataFrame, asked: str | Sequence[str] | None) -> list[str]:
    """Protocols that are drawn, checked; none where there is no model."""
    from cellflow.evaluation.names import DEFAULT_PROTOCOL

    models = table[table["kind"] == "model"]
    known = list(dict.fromkeys(models["protocol"]))
    if asked is None:
        return [DEFAULT_PROTOCOL] if DEFAULT_PROTOCOL in known else known[:1]
    names = [asked] if isinstance(asked, str) else list(asked)
    wrong = [name for name in names if name not in known]
    if wrong or not names:
        msg = f"protocols={shown(asked)}; expected some of {known}, which the table has."
        raise InputError(msg)
    return list(dict.fromkeys(names))
