"""The recipe that `cf.tl.flow` fits: given, or selected on inner snapshots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cellflow.adapter.cells import Cells
from cellflow.adapter.keys import PRIOR
from cellflow.core._deprecated import Moved
from cellflow.core._warn import warn
from cellflow.errors import InputError, InputWarning

if TYPE_CHECKING:
    from anndata import AnnData

    from cellflow.core.population import Snapshots
    from cellflow.evaluation.assumptions import Growth
    from cellflow.model.recipes import Recipe

__all__ = ["Problem", "chosen", "informed", "prior_key", "recipes_of", "scale_of_recipe"]


def scale_of_recipe(default: str) -> Moved:
    """The old argument `scale=` of a call, which is a part of the recipe now.

    Parameters
    ----------
    default
        The method of a call without `method=`.
    """

    def move(scale: Any, arguments: dict[str, Any]) -> dict[str, Any]:
        from cellflow.evaluation.arguments import several
        from cellflow.evaluation.candidates import METHODS
        from cellflow.model.recipes import Recipe, by_name

        method = arguments.get("method", default)
        if isinstance(method, str | Recipe) and method != "auto":
            return {**arguments, "method": by_name(method, scale=scale)}
        names = METHODS if method == "auto" else several(method)
        return {**arguments, "method": [by_name(name, scale=scale) for name in names]}

    return Moved("method=cf.recipes.by_name(name, scale=...)", move)


def recipes_of(
    method: str | Recipe | Sequence[str | Recipe],
    mass_key: str | None,
    *,
    score: bool,
    growth: str = "none",
) -> list[Recipe]:
    """The recipe of a call, or several to select from, as they can be fitted to an AnnData."""
    from cellflow.evaluation.arguments import several
    from cellflow.evaluation.candidates import METHODS
    from cellflow.model.recipes import by_name

    recipes = [by_name(name) for name in (METHODS if method == "auto" else several(method))]
    if not recipes:
        msg = "method=[]; expected at least one name or Recipe."
        raise InputError(msg)
    for recipe in recipes:
        _require_use_of_mass(mass_key, growth, recipe)
        _require_use_of_plans(growth, recipe)
        if score and recipe.generates:
            msg = (
                f"score=True with method={recipe.name!r}, which makes cells from noise; no call"
                " uses its score. Omit it."
            )
            raise InputError(msg)
        _require_known_networks(recipe)
    return recipes


def informed(recipes: list[Recipe], lineage_key: str | None, strength: float) -> list[Recipe]:
    """The recipes, with couplings informed by barcodes where there are any.

    Raises
    ------
    InputError
        A strength without barcodes or that is not positive, or barcodes for a method that couples
        nothing.
    """
    if lineage_key is not None:
        return [recipe.with_lineage(strength) for recipe in recipes]
    if strength != 1.0:
        msg = (
            f"lineage_strength={strength:g} without lineage_key=, which would not use it. Expected"
            " the barcodes beside it."
        )
        raise InputError(msg)
    return recipes


def _require_use_of_mass(mass_key: str | None, growth: str, recipe: Recipe) -> None:
    """Make sure that the method uses sizes of populations if these are given."""
    if mass_key is None or recipe.generates or recipe.grows or growth != "none":
        return
    msg = (
        f"mass_key={mass_key!r} with method={recipe.name!r} and growth='none', which would not use"
        " it: sizes of whole populations show how much cells grow between snapshots. Pass"
        " growth='auto' or 'learn', or omit mass_key=. Weights of cells within a snapshot are"
        " weight_key=."
    )
    raise InputError(msg)


def _require_use_of_plans(growth: str, recipe: Recipe) -> None:
    """Make sure that given plans are not replaced by others."""
    from cellflow.couplings import Given

    if growth == "none" or not isinstance(recipe.coupling, Given):
        return
    msg = (
        f"growth={growth!r} with the given plans of method={recipe.name!r}: it solves plans of its"
        " own in their place. Pass growth='none'; method=recipe.with_growth() learns growth from"
        " the given plans."
    )
    raise InputError(msg)


def _require_known_networks(recipe: Recipe) -> None:
    """Make sure that the networks can be made again from plain values and import paths."""
    from cellflow.model.description import unknown_networks

    unknown = unknown_networks(recipe)
    if unknown:
        msg = (
            f"method= has a network that cellflow does not have: {unknown[0]}. Expected networks of"
            " cellflow.fields, or torch.nn.Module classes at the top of a module, with options in"
            " functools.partial by name, as numbers or text: an AnnData holds the import path of a"
            " class and no code. Or fit this one on arrays: flow = cf.fit(snapshots, method), keep"
            " it with flow.save(folder), and read it with Flow.load(folder, fields={name: class})."
        )
        raise InputError(msg)


def prior_key(adata: AnnData, growth: Growth, growth_key: str | None) -> str | None:
    """The column of prior growth rates: that of the call, or the one of `cf.pp.growth_scores`.

    Raises
    ------
    InputError
        `"prior"` without a column, or a column that `growth` does not use.
    """
    if growth_key is not None and growth in {"none", "learn"}:
        msg = (
            f"growth_key={growth_key!r} with growth={growth!r}, which does not use it. Expected"
            " growth='prior' or 'auto'."
        )
        raise InputError(msg)
    if growth_key is None and growth in {"prior", "auto"} and PRIOR in adata.obs:
        return PRIOR
    if growth_key is None and growth == "prior":
        msg = (
            f"growth='prior' without growth_key=, and adata.obs has no column {PRIOR!r}. Call"
            " cf.pp.growth_scores(adata) before, or pass the column with your rates."
        )
        raise InputError(msg)
    return growth_key


class Problem(NamedTuple):
    """What is fitted, and the entries of the record about the choices."""

    snapshots: Snapshots
    recipe: Recipe
    entries: dict[str, Any]


def chosen(
    cells: Cells,
    recipes: list[Recipe],
    growth: Growth,
    *,
    score: bool,
    seed: int,
    progress: bool | None,
) -> Problem:
    """Choose one recipe, and what it assumes about growth."""
    from cellflow.evaluation.growth import choose_growth, table

    recipe, entries = _selected(cells, recipes, seed=seed, progress=progress)
    recipe = recipe.with_score() if score and "score" not in recipe.heads else recipe
    snapshots = cells.snapshots()
    if growth == "none":
        return Problem(snapshots, recipe, entries)
    choice = choose_growth(snapshots, recipe, growth, random_state=seed, progress=progress)
    about: dict[str, Any] = {
        "asked": growth,
        "assumption": choice.best.name,
        "reason": choice.reason,
        "tried": np.array([assumption.name for assumption in choice.tried], dtype=object),
    }
    entries["growth"] = about | ({"table": table(choice)} if choice.scores else {})
    return Problem(choice.best.snapshots(snapshots), choice.best.recipe, entries)


def _selected(
    cells: Cells, recipes: list[Recipe], *, seed: int, progress: bool | None
) -> tuple[Recipe, dict[str, Any]]:
    """The recipe that predicts inner snapshots best, and the entry of the record about it."""
    from cellflow.evaluation.candidates import candidates
    from cellflow.evaluation.selection import curve, select

    if len(recipes) == 1:
        return recipes[0], {}
    snapshots = cells.snapshots()
    if len(snapshots) < 3:
        msg = (
            f"{len(recipes)} methods to choose from with {len(snapshots)} snapshots: no inner"
            f" snapshot can be held out, so {recipes[0].name!r}, the first, is fitted. Name one"
            " method to avoid this warning."
        )
        warn(msg, InputWarning)
        return recipes[0], {}
    found = select(snapshots, candidates(recipes), random_state=seed, progress=progress)
    return found.best.recipe, {"selection": {"table": curve(found), "best": found.best.name}}
