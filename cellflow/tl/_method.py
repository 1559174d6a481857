"""The recipe that `cf.tl.flow` fits: given, or selected on inner snapshots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cellflow.adapter.cells import Cells
from cellflow.core._deprecated import Moved
from cellflow.core._warn import warn
from cellflow.errors import InputError, InputWarning

if TYPE_CHECKING:
    from cellflow.model.recipes import Recipe

__all__ = ["recipe_of", "scale_of_recipe", "selected"]


def scale_of_recipe(default: str) -> Moved:
    """The old argument `scale=` of a call, which is a part of the recipe now.

    Parameters
    ----------
    default
        The method of a call without `method=`.
    """

    def move(scale: Any, arguments: dict[str, Any]) -> dict[str, Any]:
        from cellflow.model.recipes import by_name

        method = arguments.get("method", default)
        if method != "auto":
            return {**arguments, "method": by_name(method, scale=scale)}
        if scale != "joint":
            msg = (
                f"scale={scale!r} with method='auto', whose candidates have the scale 'joint'."
                " Expected the name of a method: method=cf.recipes.by_name(name, scale=...)."
            )
            raise InputError(msg)
        return arguments

    return Moved("method=cf.recipes.by_name(name, scale=...)", move)


def recipe_of(method: str | Recipe, mass_key: str | None, *, score: bool) -> Recipe:
    """The recipe that is meant, or with `"auto"` the default, as it can be fitted to an AnnData."""
    from cellflow.model import recipes

    recipe = recipes.by_name(recipes.DEFAULT if method == "auto" else method)
    _require_use_of_mass(mass_key, recipe)
    if score and recipe.generates:
        msg = (
            f"score=True with method={recipe.name!r}, which makes cells from noise; no call uses"
            " its score. Omit it."
        )
        raise InputError(msg)
    recipe = recipe.with_score() if score and "score" not in recipe.heads else recipe
    _require_known_networks(recipe)
    return recipe


def _require_use_of_mass(mass_key: str | None, recipe: Recipe) -> None:
    """Make sure that the method uses sizes of populations if these are given."""
    if mass_key is None or recipe.generates:
        return
    msg = (
        f"mass_key={mass_key!r} with method={recipe.name!r}, which would not use it: sizes of"
        " whole populations show how much cells grow between snapshots, and growth is not learned"
        " yet. Expected None; only method='fm' uses it, to draw each snapshot by its size. Omit"
        " mass_key=, or give weights of cells within a snapshot as weight_key=."
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


def selected(
    cells: Cells, default: Recipe, *, seed: int, progress: bool | None
) -> tuple[Recipe, dict[str, Any]]:
    """The method that predicts inner snapshots best, and the entry of the record about it.

    It has a score if the default has one.
    """
    from cellflow.evaluation.selection import curve, select

    snapshots = cells.snapshots()
    if len(snapshots) < 3:
        msg = (
            f"method='auto' with {len(snapshots)} snapshots: nothing can be held out, so nothing"
            f" can be chosen. It takes the default, {default.name!r}; name a method to say so"
            " yourself."
        )
        warn(msg, InputWarning)
        return default, {}
    found = select(snapshots, random_state=seed, progress=progress)
    best = found.best.recipe
    if "score" in default.heads and "score" not in best.heads:
        best = best.with_score()
    return best, {"selection": {"table": curve(found), "best": found.best.name}}
