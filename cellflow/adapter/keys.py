"""The names of everything written into an AnnData, in one place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from cellflow.core._numbers import shown
from cellflow.errors import InputError

__all__ = ["DEFAULT", "PREDICTED", "PRIOR", "Keys", "Kind"]

#: The `uns` key of the model, and with it the default of every `key_added`.
DEFAULT = "cellflow"
#: The column of growth rates that `cf.pp.growth_scores` writes by default.
PRIOR = "cf_growth_prior"
#: The column of `obs` that says which cells are computed, whatever the key of the fit.
PREDICTED = "cf_predicted"
_MAX_LENGTH = 100
#: What a record in `uns` may be.
Kind: TypeAlias = Literal["fit", "densities", "benchmark", "choice", "clones"]

#: Where an ensemble says how sure it is, beside its answers.
_SURE = {
    *(("obsm", f"{of}_se") for of in ("fates", "ancestors", "velocity", "state")),
    *(("obsm", f"{of}_members") for of in ("fates", "fate_mass", "ancestors", "growth")),
    *(("obs", f"{of}_se") for of in ("growth", "potential", "divergence")),
    ("obs", "velocity_confidence"),
}
#: What describes the field at each cell.
_FIELD = {("obs", "divergence"), ("obs", "curl")}


@dataclass(frozen=True)
class Keys:
    """Names derived from `key_added`.

    With the default, per-cell results start with `cf_` and the names that other tools read
    (`velocity`, `Ms`, ...) are bare. With any other `key_added`, every name starts with it, so that
    two fits do not overwrite each other.

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

    def se(self, name: str) -> str:
        """Standard errors of an answer of an ensemble: `cf_<name>_se`."""
        return self.own(f"{name}_se")

    def members(self, name: str) -> str:
        """`obsm`: the answers of its members: `cf_<name>_members`."""
        return self.own(f"{name}_members")

    @property
    def velocity_confidence(self) -> str:
        """`obs`: how well the direction of each velocity is known, by an ensemble."""
        return self.own("velocity_confidence")

    def shared(self, name: str) -> str:
        """Name of a result that other tools look for: bare by default."""
        return name if self.uns == DEFAULT else f"{self.uns}_{name}"

    @property
    def argument(self) -> str:
        """The argument of a call, after others: `", key='mine'"`; empty for the default."""
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
    def pseudotimes(self) -> tuple[str, ...]:
        """`obs`: rank of the time of each cell; most likely time, its interval, uniqueness."""
        parts = ("", "_mode", "_low", "_high", "_unique")
        return tuple(self.own(f"pseudotime{part}") for part in parts)

    @property
    def potential(self) -> str:
        """`obs`: potential of the velocity at each cell."""
        return self.own("potential")

    @property
    def growth(self) -> str:
        """`obs`: growth rate of each cell at its own time."""
        return self.own("growth")

    @property
    def growth_low(self) -> str:
        """`obs`: the smallest growth rate under the assumptions that were tried."""
        return self.own("growth_low")

    @property
    def growth_high(self) -> str:
        """`obs`: the largest of these."""
        return self.own("growth_high")

    @property
    def gene_r2(self) -> str:
        """`var`: share of each gene's variance that is decoded, on cells kept out."""
        return self.own("gene_r2")

    def lineages(self, *, backward: bool = False) -> str:
        """`obsm`: probabilities of fates, or of origins, where CellRank looks for them."""
        return self.shared("lineages_bwd" if backward else "lineages_fwd")

    def terminal_labels(self, *, backward: bool = False) -> str:
        """`obs`: labels of the cells that the probabilities are of, as CellRank reads them."""
        return self.shared("term_states_bwd" if backward else "term_states_fwd")

    def fates_sd(self, *, backward: bool = False) -> str:
        """`obsm`: standard deviations of these probabilities."""
        return self.own("ancestors_sd" if backward else "fates_sd")

    def fate_entropy(self, *, backward: bool = False) -> str:
        """`obs`: entropy of these probabilities."""
        return self.own("ancestor_entropy" if backward else "fate_entropy")

    @property
    def fate_mass(self) -> str:
        """`obs`: mass of each cell's descendants at the end."""
        return self.own("fate_mass")

    @property
    def fates_calibrated(self) -> str:
        """`obsm`: probabilities of fates after calibration."""
        return self.own("fates_calibrated")

    @property
    def fate_sets(self) -> str:
        """`obsm`: which fates are in the set of each cell."""
        return self.own("fate_sets")

    def compared(self, what: Literal["difference", "p", "q"]) -> str:
        """`obsm`: how velocities of two conditions differ, its p-value, the adjusted one."""
        return self.own(f"compare_{what}")

    @property
    def commitment_time(self) -> str:
        """`obs`: expected time until each cell is committed to a fate."""
        return self.own("commitment_time")

    @property
    def terminal(self) -> str:
        """`obs`: terminal states found by the field."""
        return self.own("terminal")

    @property
    def transitions(self) -> str:
        """`obsp`: transition probabilities between cells, where CellRank looks for them."""
        return self.shared("T_fwd")

    @property
    def timepoint(self) -> str:
        """`obs`: the time of each cell as a categorical, which CellRank wants."""
        return self.own("timepoint")

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
        if (slot, key) in {(where, self.own(name)) for where, name in _SURE | _FIELD}:
            return True
        return (slot, key) in {
            *(("obs", name) for name in (self.time, self.time_inferred, self.timepoint)),
            ("obs", self.log_density),
            ("obs", self.out_of_distribution),
            ("obs", self.out_of_distribution_p),
            *(("obs", name) for name in (self.age, self.potential, *self.pseudotimes)),
            *(("obs", name) for name in (self.growth, self.growth_low, self.growth_high)),
            ("obs", self.snapshot_log_density),
            ("obsm", self.trajectory),
            ("obsm", self.trajectory_samples),
            *(("obsm", self.own(f"compare_{what}")) for what in ("difference", "p", "q")),
            ("layers", self.velocity()),
            ("layers", self.expression),
            ("var", self.velocity_genes),
            ("var", self.gene_r2),
            ("uns", self.velocity_params),
            ("obs", self.terminal),
            ("obs", self.commitment_time),
            ("obs", self.fate_mass),
            ("obsm", self.fates_calibrated),
            ("obsm", self.fate_sets),
            ("obsp", self.transitions),
            *(
                place
                for backward in (False, True)
                for place in (
                    ("obsm", self.lineages(backward=backward)),
                    ("obsm", self.fates_sd(backward=backward)),
                    ("obs", self.terminal_labels(backward=backward)),
                    ("obs", self.fate_entropy(backward=backward)),
                    ("uns", f"{self.terminal_labels(backward=backward)}_colors"),
                )
            ),
        }

    def velocity(self, basis: str | None = None) -> str:
        """`obsm`: velocity in a basis, `velocity_pca`; `layers`: velocity of genes, `velocity`."""
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
