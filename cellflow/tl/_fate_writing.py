"""Computes fates, and writes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.adapter.fitted import Fitted, read_fitted
from cellflow.adapter.hashes import rows_hash
from cellflow.adapter.keys import Keys
from cellflow.adapter.places import require_free, written
from cellflow.adapter.store import amended
from cellflow.adapter.units import Time
from cellflow.adapter.write import Staged, target_of, write
from cellflow.analysis.fates import FateCells, Fates, Targets, averaged, joined
from cellflow.analysis.fates import fates as find_fates
from cellflow.analysis.members import degrees_of
from cellflow.analysis.trajectories import Noise
from cellflow.core._numbers import as_count
from cellflow.core._progress import is_shown
from cellflow.core._random import as_seed
from cellflow.core._typing import FloatArray, RandomState
from cellflow.core._warn import warn
from cellflow.errors import InputWarning, naming_cells
from cellflow.tl._fate_targets import UNDECIDED, Absorb, fate_cells, other_fits, read_targets
from cellflow.tl._trends_asked import ALL

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["Asked", "write_fates"]

#: Share of undecided mass above which a warning is due.
_MUCH = 0.5
_GREY = "#d3d3d3"


@dataclass(frozen=True, eq=False)
class Asked:
    """Arguments of `cf.tl.fates` and `cf.tl.ancestors`; `n_rep` is None for the flow."""

    groupby: str
    at: Time
    absorb: Absorb | None
    n_rep: int | None
    ensemble: Sequence[str] | None
    random_state: RandomState
    threads: int
    _: KW_ONLY
    backward: bool

    @property
    def entry(self) -> str:
        """Entry of the record of the fit."""
        return "ancestors" if self.backward else "fates"


def write_fates(
    adata: AnnData,
    asked: Asked,
    key: str,
    *,
    overwrite: bool,
    progress: bool | None,
    copy: bool,
) -> AnnData | None:
    """Compute fates and write them; see `cf.tl.fates`."""
    fitted = read_fitted(adata, key)
    seed = as_seed(asked.random_state)
    threads = as_count("threads", asked.threads)
    n_rep = None if asked.n_rep is None else as_count("n_rep", asked.n_rep)
    targets = read_targets(
        adata, fitted, asked.groupby, asked.at, asked.absorb, backward=asked.backward
    )
    fits = [fitted, *other_fits(adata, fitted, asked.ensemble)]
    _require_scores(fits, n_rep)
    colours = _colours(adata, asked.groupby, targets.names)
    sure = _sure(fitted.keys, asked) if all(fit.flow.members for fit in fits) else []
    places = _places(fitted.keys, asked, with_colours=colours is not None) + sure
    require_free(adata, fitted.keys, places, overwrite=overwrite)
    target = target_of(adata, copy=copy)
    found = joined(
        [_found(fit, targets, n_rep, seed, threads, shown=is_shown(progress)) for fit in fits]
    )
    cells = fate_cells(fitted)
    about = _about(found, cells, targets, asked, fits, seed)
    if about["undecided"] > _MUCH:
        msg = (
            f"{about['undecided']:.0%} of the mass is undecided: it arrives where no cell with a"
            f" label in adata.obs[{asked.groupby!r}] was measured at time {targets.at:g}."
        )
        warn(msg, InputWarning)
    staged = _staged(found, cells, targets, fitted.keys, asked, about["names"], colours)
    name = fitted.keys.lineages(backward=asked.backward)
    stale = _stale(fitted.keys, asked) & written(adata, fitted.keys)
    made_for = {name: rows_hash(fitted.x)}
    record = amended(
        adata, fitted.keys, places, {asked.entry: about}, made_for=made_for, outdated=stale
    )
    if not asked.backward:
        _forget(record)
    staged["uns"] = staged.get("uns", {}) | {fitted.keys.uns: record}
    write(target, staged, remove=stale)
    return target if copy else None


def _forget(record: dict[str, Any]) -> None:
    """Remove what was computed of older fates from the record of the fit."""
    for entry in ("calibration", "drivers", "perturbations", "screen"):
        record.pop(entry, None)
    if "trends" in record and list(record["trends"]["fates"]) != [ALL]:
        del record["trends"]


def _found(
    fitted: Fitted,
    targets: Targets,
    n_rep: int | None,
    seed: int,
    threads: int,
    *,
    shown: bool,
) -> Fates:
    """Fates of all cells by one fit, or by each member of it and their mean."""
    from tqdm import tqdm

    def watch(parts: Iterable[Any], n: int) -> Iterable[Any]:
        bar: Iterable[Any] = tqdm(parts, total=n, desc="fates", unit="part", disable=not shown)
        return bar

    noise = None if n_rep is None else Noise(n_rep, seed, fitted.noise_keys)
    cells = fate_cells(fitted)
    with naming_cells(fitted.names):
        return averaged(
            [
                find_fates(flow, cells, targets, noise=noise, threads=threads, watch=watch)
                for flow in fitted.flow.members or (fitted.flow,)
            ]
        )


def _require_scores(fits: Sequence[Fitted], n_rep: int | None) -> None:
    for fitted in fits:
        if n_rep is not None and "score" not in fitted.flow.heads:
            raise fitted.flow.without_score()


def _places(keys: Keys, asked: Asked, *, with_colours: bool) -> list[tuple[str, str]]:
    """(slot, key) of what is written."""
    way = {"backward": asked.backward}
    places = [
        ("obsm", keys.lineages(**way)),
        ("obsm", keys.fates_sd(**way)),
        ("obs", keys.terminal_labels(**way)),
        ("obs", keys.fate_entropy(**way)),
    ]
    if not asked.backward:
        places += [("obs", keys.commitment_time), ("obs", keys.fate_mass)]
    return places + [_colour_place(keys, asked)] * with_colours


def _stale(keys: Keys, asked: Asked) -> set[tuple[str, str]]:
    """(slot, key) of what belongs to older fates."""
    calibrated = {("obsm", keys.fates_calibrated), ("obsm", keys.fate_sets)}
    older = {_colour_place(keys, asked), *_sure(keys, asked)}
    return older | (set() if asked.backward else calibrated)


def _sure(keys: Keys, asked: Asked) -> list[tuple[str, str]]:
    """(slot, key) of standard errors and of the members' answers."""
    names = [keys.se(asked.entry), keys.members(asked.entry)]
    return [("obsm", name) for name in names + [keys.members("fate_mass")] * (not asked.backward)]


def _colour_place(keys: Keys, asked: Asked) -> tuple[str, str]:
    return "uns", f"{keys.terminal_labels(backward=asked.backward)}_colors"


def _staged(
    found: Fates,
    cells: FateCells,
    targets: Targets,
    keys: Keys,
    asked: Asked,
    names: np.ndarray,
    colours: np.ndarray | None,
) -> Staged:
    """Values by slot and key."""
    way = {"backward": asked.backward}
    obs: dict[str, Any] = {
        keys.terminal_labels(**way): _terminal(cells, targets, names),
        keys.fate_entropy(**way): found.entropy,
    }
    if not asked.backward:
        obs[keys.commitment_time] = found.commitment
        obs[keys.fate_mass] = found.mass * found.reached
    n = len(cells)
    width = len(names)
    staged: Staged = {
        "obsm": {
            keys.lineages(**way): found.probability[:, :width],
            keys.fates_sd(**way): found.sd[:, :width],
        },
        "obs": obs,
    }
    if found.members is not None and found.se is not None:
        staged["obsm"] |= {
            keys.se(asked.entry): found.se[:, :width],
            keys.members(asked.entry): found.members.probability[:, :, :width].reshape(n, -1),
        }
        if not asked.backward:
            reached = found.reached[:, None]
            staged["obsm"][keys.members("fate_mass")] = found.members.mass * reached
    if colours is not None:
        shades = np.append(colours, _GREY).astype(object)[:width]
        staged["uns"] = {f"{keys.terminal_labels(**way)}_colors": shades}
    return staged


def _terminal(cells: FateCells, targets: Targets, names: np.ndarray) -> pd.Categorical[str]:
    """Labels of the cells of the end and of absorbing groups."""
    import pandas as pd

    there = cells.measured == targets.at
    for code, times in targets.absorb.items():
        there |= (targets.code == code) & np.isin(cells.measured, times)
    codes = np.where(there, targets.code, -1).astype(np.int64)
    return pd.Categorical.from_codes(codes, pd.Index([str(name) for name in names]))


def _about(
    found: Fates,
    cells: FateCells,
    targets: Targets,
    asked: Asked,
    fits: Sequence[Fitted],
    seed: int,
) -> dict[str, Any]:
    """How fates were computed, and how much is undecided, as plain values."""
    mass = cells.weight * found.mass * found.reached
    lost = found.probability[:, -1]
    names = [*targets.names, *[UNDECIDED] * bool((lost > 0).any())]
    absorb = {targets.names[code]: times for code, times in targets.absorb.items()}
    return {
        "groupby": asked.groupby,
        "names": np.array(names, dtype=object),
        "at": targets.at,
        "absorb": _by_text(absorb),
        "stochastic": asked.n_rep is not None,
        "n_rep": 1 if asked.n_rep is None else int(asked.n_rep),
        "ensemble": np.array([fit.keys.uns for fit in fits], dtype=object),
        **_about_members(found, fits),
        "random_state": seed,
        "neighbors": {f"{time:g}": k for time, k in found.neighbors.items()},
        "undecided": float(mass @ lost / mass.sum()) if mass.sum() > 0 else 1.0,
        "n_beyond": int((~found.reached).sum()),
        "n_uncommitted": int((found.reached & np.isnan(found.commitment)).sum()),
    }


def _about_members(found: Fates, fits: Sequence[Fitted]) -> dict[str, Any]:
    """Number of the members, and the degrees of freedom between them."""
    if found.members is None:
        return {"n_members": 1}
    # Ensembles of the same cells, or samples, are not independent of each other.
    degrees = max(degrees_of(fit.flow) for fit in fits)
    return {"n_members": found.members.probability.shape[1], "degrees": degrees}


def _by_text(absorb: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """Entries under names that a file can hold."""
    return {name.replace("/", "_"): times for name, times in absorb.items()}


def _colours(adata: AnnData, groupby: str, names: Sequence[str]) -> np.ndarray | None:
    """Colours of the fates, where the column has one for each category; None elsewhere."""
    given = adata.uns.get(f"{groupby}_colors")
    column = adata.obs[groupby]
    if given is None or isinstance(given, str | Mapping) or not hasattr(column, "cat"):
        return None
    categories = [str(name) for name in column.cat.categories]
    if len(given) < len(categories):
        return None
    by_name = dict(zip(categories, map(str, given), strict=False))
    if not set(names) <= set(by_name):
        return None
    return np.array([by_name[name] for name in names], dtype=object)
