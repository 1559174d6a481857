"""Recipes with growth, and with barcodes, as predictors of a hold-out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from cellflow.core.population import Population, Snapshots
from cellflow.couplings import Lineage
from cellflow.evaluation.arguments import several
from cellflow.evaluation.assumptions import Growth, as_growth
from cellflow.evaluation.growth import choose_growth
from cellflow.evaluation.methods import Trained
from cellflow.model.recipes import Recipe, by_name

__all__ = ["Growing", "grown", "informed"]


@dataclass(frozen=True)
class Growing:
    """A recipe as a predictor that chooses what it assumes about growth from what it may see.

    Parameters
    ----------
    recipe
        The method.
    growth
        See `choose_growth`.
    """

    recipe: Recipe
    growth: Growth = "auto"

    @property
    def name(self) -> str:
        """Name of the recipe, with what was asked for."""
        return f"{self.recipe.name}, growth={self.growth}"

    def __call__(
        self, rest: Snapshots, time: float, *, random_state: int
    ) -> Mapping[str, Population]:
        """Choose, fit, and predict by all protocols."""
        choice = choose_growth(
            rest, self.recipe, self.growth, random_state=random_state, progress=False
        )
        seen = choice.best.snapshots(rest)
        return Trained(choice.best.recipe)(seen, time, random_state=random_state)


def grown(methods: object, growth: object) -> list[Any]:
    """Every recipe among `methods` under each value of `growth`; other methods as they are.

    Raises
    ------
    InputError
        An unknown value.
    """
    values = [as_growth(value) for value in several(growth)]
    made: list[Any] = []
    for method in several(methods):
        recipe = by_name(method) if isinstance(method, str | Recipe) else None
        made += [
            method if recipe is None or value == "none" else Growing(recipe, value)
            for value in (values if recipe is not None else values[:1])
        ]
    return made


def informed(methods: object, lineage_key: str | None) -> list[Any]:
    """The methods, and after each recipe that moves cells the same with barcodes, if there are any.

    Examples
    --------
    >>> [getattr(method, "name", method) for method in informed("ot-cfm", "barcode")]
    ['ot-cfm', 'ot-cfm, barcodes']
    """
    made: list[Any] = []
    for method in several(methods):
        made.append(method)
        if lineage_key is None or not isinstance(method, str | Recipe):
            continue
        recipe = by_name(method)
        if not (recipe.generates or isinstance(recipe.coupling, Lineage)):
            made.append(replace(recipe.with_lineage(), name=f"{recipe.name}, barcodes"))
    return made
