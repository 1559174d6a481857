"""What may be assumed about the growth of cells."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

from cellflow.analysis.growth import TAUS
from cellflow.core.population import Snapshots
from cellflow.couplings import Unbalanced
from cellflow.errors import InputError, closest
from cellflow.model.recipes import Recipe

__all__ = ["Assumption", "Growth", "as_growth", "assumptions"]

Growth = Literal["none", "prior", "learn", "auto"]


@dataclass(frozen=True)
class Assumption:
    """A recipe with what it assumes about growth.

    Parameters
    ----------
    name
        `"none"`, `"mass"` (balanced, populations of different sizes), `"prior"` or `"tau=..."`.
    recipe
        What is fitted.
    uses_prior
        Whether `Population.growth` weights the sources.
    """

    name: str
    recipe: Recipe
    uses_prior: bool = False

    def snapshots(self, given: Snapshots) -> Snapshots:
        """The snapshots as the assumption sees them: with the prior, or without."""
        if self.uses_prior:
            return given
        return Snapshots(tuple(replace(p, growth=None) for p in given.populations))


def as_growth(growth: object) -> Growth:
    """Return a value of the argument `growth`.

    Raises
    ------
    InputError
        None of the known values.
    """
    known: tuple[Growth, ...] = get_args(Growth)
    for value in known:
        if growth == value:
            return value
    msg = f"growth={growth!r}; expected one of {list(known)}{closest(str(growth), known)}"
    raise InputError(msg)


def assumptions(recipe: Recipe, snapshots: Snapshots, growth: Growth) -> list[Assumption]:
    """Return what is tried for a value of `growth`, the simplest first.

    Raises
    ------
    InputError
        `"prior"` without prior rates, a recipe that generates or that has growth itself, or an
        unknown value.
    """
    if growth == "none":
        return [Assumption("none", recipe)]
    if recipe.generates:
        msg = (
            f"growth={growth!r} with method={recipe.name!r}, which makes cells from noise and moves"
            " none. Expected growth='none'."
        )
        raise InputError(msg)
    if recipe.grows:
        msg = (
            f"growth={growth!r} with method={recipe.name!r}, which assumes something about growth"
            " itself. Expected growth='none', or a method without growth."
        )
        raise InputError(msg)
    has_prior = all(p.growth is not None for p in snapshots.populations[:-1])
    prior = Assumption("prior", recipe.with_growth(), uses_prior=True)
    if growth == "prior":
        if not has_prior:
            msg = (
                "growth='prior' without prior rates; expected a column of `adata.obs` as"
                " growth_key=, such as cf.pp.growth_scores writes."
            )
            raise InputError(msg)
        return [prior]
    learned = [
        Assumption(f"tau={tau:g}", recipe.with_growth(Unbalanced(tau=tau)))
        for tau in sorted(TAUS, reverse=True)
    ]
    if growth == "learn":
        return learned
    sizes = {p.mass for p in snapshots.populations}
    balanced = (
        Assumption("none", recipe) if len(sizes) == 1 else Assumption("mass", recipe.with_growth())
    )
    return [balanced, *([prior] if has_prior else []), *learned]
