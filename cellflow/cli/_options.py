"""Arguments and options that several commands share, named as the calls of `cellflow` name them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

__all__ = ["named", "option", "switch", "to_seed", "to_time"]


def option(
    name: str,
    about: str,
    metavar: str | None = None,
    *,
    type: Any = None,
    default: Any = None,
    required: bool = False,
    several: bool = False,
) -> click.Option:
    """An option with one value, or, if `several`, a list of at least one, or None.

    `name` may be followed by the name of the value, and `type` is one of click.
    """
    # click takes a default of None for a value, so that nothing required would be missing.
    given: dict[str, Any] = {} if default is None else {"default": default}
    return click.Option(
        name.split(),
        help=about,
        metavar=f"{metavar}..." if several else metavar,
        type=type,
        required=required,
        **given,
        multiple=several,
        callback=(lambda _, __, value: list(value) or None) if several else None,
    )


def switch(name: str, about: str) -> click.Option:
    """An option without a value."""
    return click.Option([name], is_flag=True, help=about)


def named(options: Mapping[str, Any], params: Sequence[click.Parameter]) -> dict[str, Any]:
    """Values of some parameters, as keyword arguments."""
    return {str(param.name): options[str(param.name)] for param in params}


def to_seed(value: object) -> int:
    """A seed. A type of click."""
    if not str(value).isdecimal():
        msg = f"{value!r} is no seed; give a non-negative integer"
        raise click.BadParameter(msg)
    return int(str(value))


def to_time(value: object) -> float | str:
    """A number, or a label with a unit, which is read in the unit of the fit. A type of click."""
    from cellflow.adapter.units import is_label

    text = str(value)
    try:
        return float(text)
    except ValueError:
        if is_label(text):
            return text
    msg = f"{text!r} is no time; give a number, or a label such as 'day 5' or '48h'"
    raise click.BadParameter(msg)


FILE = click.Argument(["file"], metavar="IN.h5ad")
OUT = option("--out", "Where to write; may be the input file.", "OUT.h5ad", required=True)
SEED = option("--seed", "Seed of everything that is random.", "N", type=to_seed, default=0)
JSON = switch("--json", "Print the result as JSON.")

TIME_KEY = option("--time-key", "Column of obs with the times.", "COLUMN", required=True)
USE_REP = option("--use-rep", "Representation in obsm, or X.", "KEY", default="X_pca")
N_DIMS = option("--n-dims", "Leading dimensions to use; all by default.", "N", type=int)
WEIGHT_KEY = option("--weight-key", "Column of obs with weights of the cells.", "COLUMN")
MASS_KEY = option("--mass-key", "Column of obs with sizes of the populations.", "COLUMN")
GROWTH_KEY = option("--growth-key", "Column of obs with prior growth rates.", "COLUMN")
SAMPLE_KEY = option("--sample-key", "Column of obs with samples (animal, dish).", "COLUMN")
LINEAGE_KEY = option("--lineage-key", "Column of obs or key of obsm with barcodes.", "KEY")
LAYER = option("--layer", "Expression that positions are decoded to; X by default.", "NAME")
FORCE_REP = switch("--force-rep", "Accept an embedding for drawing as representation.")

METHOD = option("--method", "Recipe.", "NAME", default="curved-cfm")
DEVICE = option("--device", "cpu, cuda, cuda:1 or auto.", "NAME", default="cpu")
KEY = option("--key", "Key of the fit in uns.", "NAME", default="cellflow")
KEY_ADDED = option("--key key_added", "Key in uns to write to.", "NAME", default="cellflow")
OVERWRITE = switch("--overwrite", "Replace results of other programs under the same keys.")

TIME = option(
    "--time", "In the unit of the fit, or as in 'day 5'.", "T", type=to_time, required=True
)
CONDITION = option(
    "--condition",
    "Condition: its value, or COLUMN=VALUE for each of several columns.",
    "VALUE",
    several=True,
)
GENES = option(
    "--genes",
    "Genes to write: names, `decodable` for those that the representation can decode, `all` or"
    " `none`; all by default.",
    "NAME",
    several=True,
)
EXTRAPOLATE = switch(
    "--extrapolate", "Answer before the first or after the last measured time, too."
)
CLUSTER_KEY = option("--cluster-key", "Column of obs with cell types.", "COLUMN")

#: What `predict` and `generate` share.
OF_A_TIME = [CONDITION, EXTRAPOLATE, GENES, CLUSTER_KEY, KEY, OUT]
