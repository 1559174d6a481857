"""The names of everything written into an AnnData, in one place."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from cellflow.core._numbers import shown
from cellflow.errors import InputError, MissingKeyError, closest

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = [
    "DEFAULT",
    "Keys",
    "Kind",
    "basis_of",
    "find_basis",
    "is_ours",
    "kind_of",
    "listed",
    "require_free",
    "spelled",
    "where_of",
    "written",
]

#: The `uns` key of the model, and with it the default of every `key_added`.
DEFAULT = "cellflow"
_MAX_LENGTH = 100
#: What a record in `uns` may be.
Kind: TypeAlias = Literal["fit", "densities", "benchmark", "choice"]
#: Entries by which records of cellflow 0.1.0, which do not say their kind, are told apart: the
#: first that is there.
_MARKS: dict[str, Kind] = {
    "model": "fit",
    "densities": "densities",
    "clouds": "benchmark",
    "recipe": "choice",
    "fingerprint": "fit",
    "table": "benchmark",
}
#: What messages call them.
_CALLED: dict[str | None, str] = {
    "fit": "a fit",
    "densities": "densities of snapshots",
    "benchmark": "a held-out benchmark",
    "choice": "the choice of a method",
    None: "another result of cellflow",
}


@dataclass(frozen=True)
class Keys:
    """Names derived from `key_added`.

    With the default, per-cell results start with `cf_` and the names that other tools read
    (`velocity`, `Ms`, ...) are bare. With any other `key_added`, every name starts with it, so that
    two fits never meet.

    Parameters
    ----------
    uns
        `key_added`: the `uns` key that holds the model, its parameters and the list of what was
        written.

    Examples
    --------
    >>> Keys("cellflow").time, Keys("cellflow").velocity("pca"), Keys("mine").velocity("pca")
    ('cf_time', 'velocity_pca', 'mine_velocity_pca')
    """

    uns: str = DEFAULT

    def __post_init__(self) -> None:
        name = self.uns
        if not isinstance(name, str):
            msg = (
                f"{shown(name)} cannot be a key_added: it is no name. Expected a string such as"
                f" {DEFAULT!r}."
            )
            raise InputError(msg)
        if not name.strip(". ") or "/" in name or not name.isprintable() or len(name) > _MAX_LENGTH:
            long = f" ({len(name)} characters)" if len(name) > _MAX_LENGTH else ""
            msg = (
                f"{shown(name)}{long} cannot be a key_added: it names a group in an h5ad file."
                f" Expected 1 to {_MAX_LENGTH} printable characters without '/', such as"
                f" {DEFAULT!r}."
            )
            raise InputError(msg)

    def own(self, name: str) -> str:
        """Name of a result of ours: `cf_<name>`."""
        return f"cf_{name}" if self.uns == DEFAULT else f"{self.uns}_{name}"

    def shared(self, name: str) -> str:
        """Name of a result that other tools look for: bare by default."""
        return name if self.uns == DEFAULT else f"{self.uns}_{name}"

    @property
    def argument(self) -> str:
        """How a call names it, after its other arguments: `", key='mine'"`; empty for the default."""
        return "" if self.uns == DEFAULT else f", key={self.uns!r}"

    @property
    def time(self) -> str:
        """`obs`: the time of each cell as a number."""
        return self.own("time")

    @property
    def time_inferred(self) -> str:
        """`obs`: whether that time was inferred from the cell's neighbours."""
        return self.own("time_inferred")

    @property
    def trajectory(self) -> str:
        """`obsm`: the states of each cell along the grid of times."""
        return self.own("trajectory")

    @property
    def trajectory_samples(self) -> str:
        """`obsm`: the states of each cell along several diffusions."""
        return self.own("trajectory_samples")

    @property
    def log_density(self) -> str:
        """`obs`: log-density of each cell at its own time, under the dynamics."""
        return self.own("log_density")

    @property
    def out_of_distribution(self) -> str:
        """`obs`: whether a cell is unlike those of the fit at its time."""
        return self.own("ood")

    @property
    def out_of_distribution_p(self) -> str:
        """`obs`: the p-value of that."""
        return self.own("ood_p")

    @property
    def age(self) -> str:
        """`obs`: the time at which a cell would be typical."""
        return self.own("age")

    @property
    def gene_r2(self) -> str:
        """`var`: share of each gene's variance that the representation decodes, on cells kept out."""
        return self.own("gene_r2")

    @property
    def densities(self) -> str:
        """`uns`: densities of the snapshots, without a dynamics."""
        return self.own("densities")

    @property
    def snapshot_log_density(self) -> str:
        """`obs`: log-density of each cell under that of its snapshot."""
        return self.own("snapshot_log_density")

    def record(self, kind: Kind) -> str:
        """`uns`: the record of a kind."""
        return self.densities if kind == "densities" else self.uns

    def makes(self, slot: str, key: str) -> bool:
        """Whether `(slot, key)` is a place that results are written to under this `key_added`."""
        arrows = self.velocity("")
        if slot == "obsm" and key.startswith(arrows):
            return len(key) > len(arrows)
        return (slot, key) in {
            ("obs", self.time),
            ("obs", self.time_inferred),
            ("obs", self.log_density),
            ("obs", self.out_of_distribution),
            ("obs", self.out_of_distribution_p),
            ("obs", self.age),
            ("obs", self.snapshot_log_density),
            ("obsm", self.trajectory),
            ("obsm", self.trajectory_samples),
            ("layers", self.velocity()),
            ("layers", self.expression),
            ("var", self.velocity_genes),
            ("var", self.gene_r2),
            ("uns", self.velocity_params),
        }

    def velocity(self, basis: str | None = None) -> str:
        """`obsm`: velocity in a basis (`velocity_pca`); `layers`: velocity of the genes (`velocity`)."""
        return self.shared("velocity" if basis is None else f"velocity_{basis}")

    @property
    def expression(self) -> str:
        """`layers`: expression decoded from the representation, where scVelo looks for it."""
        return self.shared("Ms")

    @property
    def velocity_genes(self) -> str:
        """`var`: whether the representation can decode the gene: a held-out R2 of at least 0.1."""
        return self.shared("velocity_genes")

    @property
    def velocity_params(self) -> str:
        """`uns`: how the velocities were made."""
        return self.shared("velocity_params")


def basis_of(key: str) -> str:
    """Name of a basis as in `velocity_{basis}`: `"pca"` for `"X_pca"` and for `"pca"`."""
    return key.removeprefix("X_") or key


def where_of(use_rep: str) -> str:
    """What messages call a representation."""
    return "adata.X" if use_rep == "X" else f"adata.obsm[{use_rep!r}]"


def spelled(adata: AnnData, basis: object) -> str | None:
    """The `obsm` key that is meant by `basis`: itself, or the same with or without `X_` in front; None where there is none."""
    spellings = (basis, f"X_{basis}", basis.removeprefix("X_")) if isinstance(basis, str) else ()
    return next((key for key in spellings if key in adata.obsm), None)


def find_basis(adata: AnnData, basis: object) -> str:
    """The `obsm` key that is meant by `basis`; see `spelled`.

    Raises
    ------
    MissingKeyError
        There is none; the message lists the keys there are.
    """
    key = spelled(adata, basis)
    if key is None:
        known = sorted(map(str, adata.obsm))
        hint = closest(basis, [*known, *map(basis_of, known)])
        msg = (
            f"No {basis!r} in adata.obsm; found {known}{hint}. Compute it first, for example with"
            " sc.pp.pca or sc.tl.umap."
        )
        raise MissingKeyError(msg)
    return key


def is_ours(adata: AnnData, key: str) -> bool:
    """Whether `uns[key]` is a record of this package."""
    record = adata.uns.get(key)
    return isinstance(record, Mapping) and "cellflow_version" in record


def kind_of(adata: AnnData, key: str) -> Kind | None:
    """What the record `uns[key]` is: what it says, or, of cellflow 0.1.0, what it holds; None for anything else."""
    record = adata.uns.get(key)
    if not isinstance(record, Mapping):
        return None
    said = record.get("kind")
    for kind in _MARKS.values():
        if isinstance(said, str) and said == kind:
            return kind
    return next((kind for mark, kind in _MARKS.items() if mark in record), None)


def written(adata: AnnData, keys: Keys, *, kind: Kind = "fit") -> set[tuple[str, str]]:
    """(slot, key) of everything that was written under this `key_added`, as its record says.

    A record may come from anybody's file. So names on its list count only if this package can make
    them; anything else on it is left alone.
    """
    name = keys.record(kind)
    if not is_ours(adata, name) or kind_of(adata, name) != kind:
        return set()
    entries = np.ravel(np.asarray(adata.uns[name].get("written", ()), dtype=object))
    places = [entry.partition("/") for entry in entries if isinstance(entry, str)]
    return {(slot, key) for slot, _, key in places if keys.makes(slot, key)} | {("uns", name)}


def listed(keys: Keys, places: Iterable[tuple[str, str]]) -> np.ndarray:
    """The list of what was written as a record keeps it: `"slot/key"`, without the record itself.

    Raises
    ------
    ValueError
        A name that `Keys` does not know, which would never be removed again: a mistake of the
        calling code.
    """
    records = {("uns", keys.uns), ("uns", keys.densities)}
    unknown = [place for place in places if place not in records and not keys.makes(*place)]
    if unknown:
        msg = (
            f"{unknown} are no names that cellflow.adapter.keys.Keys makes; expected each in its"
            " list of places."
        )
        raise ValueError(msg)
    return np.array(sorted(f"{slot}/{key}" for slot, key in set(places) - records), dtype=object)


def require_free(
    adata: AnnData,
    keys: Keys,
    places: Collection[tuple[str, str]],
    *,
    overwrite: bool,
    kind: Kind = "fit",
) -> None:
    """Make sure that writing to these (slot, key) replaces nobody else's data.

    A fit writes its record, `("uns", keys.uns)`, and may go to another key; what is computed from a
    fit goes where that is. A record replaces one of its own `kind` only.

    Raises
    ------
    InputError
        A place is taken by something that was not written under this `key_added`, and `overwrite`
        is False; or a view of an AnnData in a file, which nothing can be written to.
    """
    if adata.isbacked and adata.is_view:
        msg = (
            "adata is a view of an AnnData that is backed by a file. Expected one in memory: pass"
            " adata.to_memory()."
        )
        raise InputError(msg)
    ours = written(adata, keys, kind=kind)
    record = ("uns", keys.record(kind))
    if record in places:
        where = "key_added"
        remedy = "pass another key_added=, delete it, or pass overwrite=True to replace it."
    else:
        remedy = (
            "delete it, pass overwrite=True to replace it, or fit under another key (cf.tl.flow)"
            " and pass that as key=."
        )
        where = "key"
    for slot, key in places:
        if overwrite or key not in getattr(adata, slot) or (slot, key) in ours:
            continue
        if (slot, key) == record and is_ours(adata, key):
            found = f"holds {_CALLED[kind_of(adata, key)]}, and {_CALLED[kind]} would replace it"
        else:
            found = f"exists and was not written by cellflow under {where}={keys.uns!r}"
        msg = f"adata.{slot}[{key!r}] {found}. Expected a free name: {remedy}"
        raise InputError(msg)
