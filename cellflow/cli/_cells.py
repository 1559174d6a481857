"""Cells in files, for the commands that read and write them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

from cellflow.cli._program import Result
from cellflow.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData

    from cellflow.adapter.fitted import Fitted

__all__ = [
    "Call",
    "as_conditions",
    "as_genes",
    "changed",
    "of_a_time",
    "read_storable",
    "wrote",
]

#: `cf.tl.predict` or `cf.tl.generate`.
Call: TypeAlias = "Callable[..., AnnData]"


def read_storable(options: Mapping[str, Any]) -> AnnData:
    """Read the input, after checks of everything that would prevent writing `--out`."""
    from cellflow.adapter.h5ad import check_storable
    from cellflow.adapter.read import read_h5ad
    from cellflow.core._paths import check_writable

    if options["out"] is not None:
        check_writable(options["out"])
    adata = read_h5ad(options["file"])
    if options["out"] is not None:
        check_storable(adata)
    return adata


@contextmanager
def changed(options: Mapping[str, Any]) -> Iterator[AnnData]:
    """Read the input, let the block change it, and write it to `--out`, where that is given."""
    from cellflow.adapter.h5ad import write_h5ad

    adata = read_storable(options)
    yield adata
    if options["out"] is not None:
        write_h5ad(adata, options["out"])


def of_a_time(options: Mapping[str, Any], call: Call, *, generating: bool = False) -> Result:
    """Write what `call` returns for the fitted cells of the input: cells of the time `--time`."""
    from cellflow.adapter.fitted import read_fitted
    from cellflow.adapter.h5ad import write_h5ad

    adata = read_storable(options)
    fitted = read_fitted(adata, options["key"], generating=generating)
    if not options["extrapolate"]:
        _require_measured(fitted, options["time"])
    made = call(
        adata,
        time=options["time"],
        n_obs=options["n_obs"],
        condition=_as_condition(options["condition"], fitted),
        extrapolate=options["extrapolate"],
        genes=as_genes(options["genes"], adata, options["key"]),
        cluster_key=options["cluster_key"],
        random_state=options["seed"],
        key=options["key"],
    )
    write_h5ad(made, options["out"])
    return wrote(options, made, time=fitted.time(options["time"], "--time"))


def wrote(options: Mapping[str, Any], adata: AnnData, **more: Any) -> Result:
    """What there is to say of cells that were written to `--out`."""
    values = {"out": options["out"], "n_obs": adata.n_obs, **more, "seed": options["seed"]}
    return Result(values, f"wrote {options['out']}: {adata.n_obs:,} cells")


def as_genes(names: list[str] | None, adata: AnnData, key: str | None = None) -> Any:
    """Genes as `cf.tl` takes them: names, a mask, `"all"`, none, or None for the default.

    `key` is that of the fit whose representation says which genes are decodable.
    """
    if names == ["all"]:
        return "all"
    if names == ["none"] and "none" not in adata.var_names:
        return []
    if names == ["decodable"] and "decodable" not in adata.var_names and key is not None:
        from cellflow import get

        decoder = get.flow(adata, key=key).decoder
        return [] if decoder is None else adata.var_names.isin(decoder.genes[decoder.decodable])
    return names


def as_conditions(words: list[str] | None, adata: AnnData, key: str) -> Any:
    """Conditions as `cf.tl.trends` takes them: a list of values of one column, or one condition."""
    from cellflow.adapter.fitted import read_fitted

    if words is None:
        return None
    fitted = read_fitted(adata, key)
    if any("=" in word for word in words):
        return _as_condition(words, fitted)
    return [_as_condition([word], fitted) for word in words]


def _as_condition(words: list[str] | None, fitted: Fitted) -> Any:
    """The condition as `cf.tl` takes it: one value, a value for each column, or None."""
    from cellflow.core.conditions import Measure

    if words is None:
        return None
    columns = fitted.cells.conditions.columns if fitted.cells.conditions else ()
    measures = {column.name for column in columns if isinstance(column, Measure)}
    if len(words) == 1 and "=" not in words[0]:
        return _number(words[0]) if measures else words[0]
    values = {}
    for word in words:
        name, sign, value = word.partition("=")
        if not sign:
            msg = f"--condition {word!r} names no column. Expected COLUMN=VALUE."
            raise InputError(msg)
        values[name] = _number(value) if name in measures else value
    return values


def _number(text: str) -> float | str:
    """The number that a text says; the text where it says none, which the call refuses."""
    try:
        return float(text)
    except ValueError:
        return text


def _require_measured(fitted: Fitted, time: float | str) -> None:
    """Make sure that a time lies within the measured ones.

    A script reads exit codes, not warnings, so that every extrapolation has to be asked for here.
    """
    at = fitted.time(time, "--time")
    observed = fitted.observed.narrowed(fitted.cells.snapshots())
    if len(observed.outside(at)):
        msg = (
            f"--time {at:g} lies outside the measured times, {observed.first:g} to"
            f" {observed.last:g}. Expected one of them or between them; --extrapolate goes beyond."
        )
        raise InputError(msg)
