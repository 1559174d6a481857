"""`cellflow perturb`: what becomes of cells of which genes are edited."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import click

from cellflow.cli import _options as shared
from cellflow.cli._cells import changed
from cellflow.cli._options import named, option, switch, to_time
from cellflow.cli._program import Command, Result

__all__ = ["EDITED", "perturb", "value_of"]

#: What `perturb` and `screen` share: cells, their time and end, and how genes are edited.
EDITED = [
    option("--cells", "Cells to edit, of one time; all of it by default.", "NAME", several=True),
    option("--time", "Time of the cells; the first by default.", "T", type=to_time),
    option("--until", "End, where labels are; that of the fates by default.", "T", type=to_time),
    click.Option(
        ["--hold/--no-hold"],
        help="Whether genes keep their values, or are edited at the start only.",
        default=True,
    ),
    option(
        "--response",
        "What changes with a gene: what varies together with it, or nothing else.",
        type=click.Choice(["auto", "covariance", "alone"]),
        default="auto",
    ),
    option("--level", "Of the intervals.", "L", type=float, default=0.9),
    shared.KEY,
]
#: Options of `cf.tl.perturb` that are passed on as they are.
_SAME = [
    *EDITED,
    switch("--refine", "Move edited cells back to where cells live, by the score."),
    option("--n-null", "Random genes to compare with.", "N", type=int, default=99),
    option("--max-cells", "Cells at most.", "N", type=int, default=1000),
    option("--name", "Of the result; made of the edits by default.", "NAME"),
]
#: Columns of the table that is printed.
_SHOWN = ["fate", "unperturbed", "perturbed", "effect", "unit", "low", "high", "p", "p_matched"]


def value_of(text: str) -> float | str:
    """A number, or text such as `+2sd`, which the call reads."""
    try:
        return float(text)
    except ValueError:
        return text


def _edits(texts: list[str]) -> dict[str, float | str]:
    found: dict[str, float | str] = {}
    for text in texts:
        gene, sign, value = text.rpartition("=")
        if not gene or not sign or not value:
            msg = f"--edits {text!r}; give GENE=VALUE, such as GATA1=0 or SPI1=+2sd"
            raise click.BadParameter(msg)
        if gene in found:
            msg = f"--edits names {gene!r} more than once; give each gene one value"
            raise click.BadParameter(msg)
        found[gene] = value_of(value)
    return found


def _run(options: Mapping[str, Any]) -> Result:
    from cellflow import get, tl

    edits = _edits(options["edits"])
    with changed(options) as adata:
        tl.perturb(adata, edits, **named(options, _SAME))
        every = get.perturbation(adata, key=options["key"])
    name = next(reversed(every.attrs["words"]))
    words = every.attrs["words"][name]
    table = every[every["perturbation"] == name]
    values = {
        "out": options["out"],
        "words": words,
        "table": json.loads(table.to_json(orient="records", double_precision=6)),
        "seed": options["seed"],
    }
    rows = table.assign(fate=table["fate"].where(table["quantity"] != "mass", "(mass)"))
    lines = rows[_SHOWN].to_string(index=False, na_rep="", float_format="{:.3g}".format)
    wrote = f"wrote {options['out']}: " if options["out"] else ""
    return Result(values, f"{wrote}{adata.n_obs:,} cells", f"{lines}\n\n{words}")


perturb = Command(
    "perturb",
    "Edit genes of cells that `cellflow fates` wrote, and print what becomes of the cells.",
    _run,
    [
        shared.FILE,
        option(
            "--edits",
            "Genes and their values: GATA1=0 for a knock-out, SPI1=+2sd for a shift.",
            "GENE=VALUE",
            required=True,
            several=True,
        ),
        *_SAME,
        option("--out", "Write the cells with the result; may be the input file.", "OUT.h5ad"),
    ],
)
