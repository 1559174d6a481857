"""All findings about the data at once."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, TypeVar, cast

from cellflow.adapter.aligned import examine_alignment
from cellflow.adapter.decoding import examine_decoder
from cellflow.adapter.expression import examine_expression
from cellflow.adapter.findings import Examination, Finding, by_severity, settle
from cellflow.adapter.positions import examine_positions
from cellflow.adapter.read import examine
from cellflow.adapter.reading import Reading
from cellflow.core._settings import guarded

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["check"]

T = TypeVar("T")


@guarded
def check(
    adata: AnnData,
    time_key: str,
    *,
    use_rep: str = "X_pca",
    n_dims: int | None = None,
    weight_key: str | None = None,
    mass_key: str | None = None,
    growth_key: str | None = None,
    sample_key: str | None = None,
    align_samples: bool = True,
    lineage_key: str | None = None,
    force_rep: bool = False,
    layer: str | None = None,
) -> pd.DataFrame:
    """List the errors, warnings and notes that `cf.tl.flow` would give for the same arguments.

    Nothing is changed or raised. The table prints, and a notebook shows it, in full: its sentences
    are wrapped and not cut off.

    Parameters
    ----------
    adata, time_key, use_rep, n_dims, weight_key, mass_key, growth_key
        As for `cf.tl.flow`.
    sample_key, align_samples, lineage_key, force_rep, layer
        As for `cf.tl.flow`.

    Returns
    -------
    One row per finding, errors first, all columns text: `severity` (`"error"`, `"warning"` or
    `"note"`), `key` (the place in `adata`), `found`, `expected`, `remedy`. The table is empty where
    nothing was found.

    Examples
    --------
    >>> cf.pp.check(adata, "hours")
    No errors, warnings or notes.
    >>> cf.pp.check(adata, "hours", use_rep="X_umap")["severity"].tolist()
    ['error']
    """
    from cellflow.pp._findings import COLUMNS, Findings

    findings: list[Finding] = [] if mass_key is None else [_unused(mass_key)]
    reading = Reading(
        time_key,
        use_rep=use_rep,
        n_dims=n_dims,
        weight_key=weight_key,
        mass_key=mass_key,
        growth_key=growth_key,
        sample_key=sample_key,
        lineage_key=lineage_key,
        force_rep=force_rep,
        layer=layer,
    )
    cells = _listed(examine(adata, reading, apart=()), findings)
    if cells is not None and cells.sample is not None:
        _listed(examine_alignment(cells, align=align_samples), findings)
    named = {p.key for p in findings if p.severity == "error"}
    if "adata" not in named:  # else there are no cells to check
        # With use_rep="X" the expression has been checked as positions; each finding is given once.
        findings += [p for p in examine_expression(adata, layer) if p.key not in named]
    if not any(p.severity == "error" for p in findings):
        read = examine_positions(adata, use_rep=use_rep, n_dims=n_dims, force_rep=force_rep)
        name, x = settle(read, again=True)
        findings += examine_decoder(adata, x, name, layer)
    return Findings([asdict(p) for p in by_severity(findings)], columns=COLUMNS)


def _listed(examination: Examination[T], findings: list[Finding]) -> T:
    """Run a check, list what it finds, and return what it read."""
    while True:
        try:
            findings.append(next(examination))
        except StopIteration as end:
            return cast("T", end.value)


def _unused(mass_key: str) -> Finding:
    """Sizes of populations, which are used together with growth."""
    return Finding(
        f"mass_key={mass_key!r}",
        "names sizes of whole populations",
        "a fit that uses them: cf.tl.flow with growth='learn' or 'auto', or with method='fm'; it"
        " refuses them otherwise",
        "Pass growth= to cf.tl.flow too, or omit mass_key=.",
        "warning",
    )
