"""The names of everything written into an AnnData, in one place."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cellflow._numbers import shown
from cellflow.errors import InputError, MissingKeyError, closest

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["DEFAULT", "Keys", "basis_of", "find_basis", "is_ours", "require_free", "spelled", "written"]

#: The `uns` key of the model, and with it the default of every `key_added`.
DEFAULT = "cellflow"
_MAX_LENGTH = 100


@dataclass(frozen=True)
class Keys:
    """Names derived from `key_added`.

    With the default, per-cell results start with `cf_` and the names that other tools read (`velocity`, `Ms`, ...) are bare.
    With any other `key_added`, every name starts with it, so that two fits never meet.

    Parameters
    ----------
    uns
        `key_added`: the `uns` key that holds the model, its parameters and the list of what was written.

    Examples
    --------
    >>> Keys("cellflow").time, Keys("cellflow").velocity("pca"), Keys("mine").velocity("pca")
    ('cf_time', 'velocity_pca', 'mine_velocity_pca')
    """

    uns: str = DEFAULT

    def __post_init__(self) -> None:
        name = self.uns
        if not isinstance(name, str):
            msg = f"The key {shown(name)} of a fit is no name; pass a string such as {DEFAULT!r}."
            raise InputError(msg)
        if not name.strip(". ") or "/" in name or not name.isprintable() or len(name) > _MAX_LENGTH:
            long = f" ({len(name)} characters)" if len(name) > _MAX_LENGTH else ""
            msg = (
                f"The key {shown(name)}{long} of a fit cannot name a group in an h5ad file; "
                f"pass 1 to {_MAX_LENGTH} printable characters without '/', such as {DEFAULT!r}."
            )
            raise InputError(msg)

    def own(self, name: str) -> str:
        """Name of a result of ours: `cf_<name>`."""
        return f"cf_{name}" if self.uns == DEFAULT else f"{self.uns}_{name}"

    def shared(self, name: str) -> str:
        """Name of a result that other tools look for: bare by default."""
        return name if self.uns == DEFAULT else f"{self.uns}_{name}"

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
        """`obs`: whether a cell is less likely at its time than nearly all that the model draws."""
        return self.own("ood")

    @property
    def age(self) -> str:
        """`obs`: the time at which a cell is most likely."""
        return self.own("age")

    @property
    def densities(self) -> str:
        """`uns`: densities of the snapshots, without a dynamics."""
        return self.own("densities")

    @property
    def snapshot_log_density(self) -> str:
        """`obs`: log-density of each cell under that of its snapshot."""
        return self.own("snapshot_log_density")

    def velocity(self, basis: str | None = None) -> str:
        """`obsm`: velocity in a basis (`velocity_pca`); `layers`: velocity of the genes (`velocity`)."""
        return self.shared("velocity" if basis is None else f"velocity_{basis}")

    @property
    def expression(self) -> str:
        """`layers`: expression decoded from the representation, where scVelo looks for it."""
        return self.shared("Ms")

    @property
    def velocity_genes(self) -> str:
        """`var`: whether the representation can decode the gene."""
        return self.shared("velocity_genes")

    @property
    def velocity_params(self) -> str:
        """`uns`: how the velocities were made."""
        return self.shared("velocity_params")


def basis_of(key: str) -> str:
    """Name of a basis as in `velocity_{basis}`: `"pca"` for `"X_pca"` and for `"pca"`."""
    return key.removeprefix("X_") or key


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
        msg = f"No {basis!r} in adata.obsm; found {known}{hint}. Compute it first, for example with sc.pp.pca or sc.tl.umap."
        raise MissingKeyError(msg)
    return key


def is_ours(adata: AnnData, key: str) -> bool:
    """Whether `uns[key]` is a record of this package."""
    record = adata.uns.get(key)
    return isinstance(record, dict) and "cellflow_version" in record


def written(adata: AnnData, keys: Keys) -> set[tuple[str, str]]:
    """(slot, key) of everything that was written under this `key_added`, as its record says."""
    if not is_ours(adata, keys.uns):
        return set()
    entries: Iterable[Any] = adata.uns[keys.uns].get("written", ())
    return {(slot, key) for slot, _, key in (str(entry).partition("/") for entry in entries)} | {("uns", keys.uns)}


def require_free(adata: AnnData, keys: Keys, places: Collection[tuple[str, str]], *, overwrite: bool) -> None:
    """Make sure that writing to these (slot, key) replaces nobody else's data.

    A fit writes its record, `("uns", keys.uns)`, and may go to another key; what is computed from a fit goes where that is.

    Raises
    ------
    InputError
        A place is taken by something that was not written under this `key_added`, and `overwrite` is False; or a view of an
        AnnData in a file, which nothing can be written to.
    """
    if adata.isbacked and adata.is_view:
        msg = "adata is a view of an AnnData that is backed by a file. Expected one in memory: pass adata.to_memory()."
        raise InputError(msg)
    ours = written(adata, keys)
    if ("uns", keys.uns) in places:
        where, remedy = "key_added", "pass another key_added=, delete it, or pass overwrite=True to replace it."
    else:
        remedy = "delete it, pass overwrite=True to replace it, or fit under another key (cf.tl.flow) and pass that as key=."
        where = "key"
    for slot, key in places:
        if not overwrite and key in getattr(adata, slot) and (slot, key) not in ours:
            msg = (
                f"adata.{slot}[{key!r}] exists and was not written by cellflow under {where}={keys.uns!r}. "
                f"Expected a free name: {remedy}"
            )
            raise InputError(msg)
