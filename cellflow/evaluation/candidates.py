"""Candidates for the choice of a method: recipes with their settings, and a time budget."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cellflow.core._numbers import as_count, as_number
from cellflow.errors import InputError
from cellflow.evaluation.arguments import several
from cellflow.model import recipes
from cellflow.model.recipes import DEFAULT, Recipe, by_name

__all__ = ["BUDGET", "METHODS", "Candidate", "as_seconds", "candidates"]

#: Recipes that are tried by default, the default method first.
METHODS: tuple[str | Recipe, ...] = tuple(
    dict.fromkeys((DEFAULT, "curved-cfm", "ot-cfm", "sb-cfm"))
)
#: Seconds that `method="auto"` may take.
BUDGET = 120.0
#: The width that a recipe's paths have: `smoothing` of constant width, `sigma` of bridges.
_WIDTHS = {
    **dict.fromkeys(("curved-cfm", "ot-cfm", "i-cfm", "vp-cfm"), "smoothing"),
    **dict.fromkeys(("sb-cfm", "sf2m"), "sigma"),
}
#: Seconds of each unit of a budget.
_UNITS = {"": 1.0, "s": 1.0, "sec": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Candidate:
    """A method that may be chosen.

    Parameters
    ----------
    recipe
        What is fitted.
    n_dims
        Number of leading dimensions of the representation in which it is fitted; None for all.
    settings
        Settings in which it differs from others of its name.
    """

    recipe: Recipe
    n_dims: int | None = None
    settings: Mapping[str, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of the recipe with its settings and dimensions."""
        parts = [f"{key}={value:g}" for key, value in self.settings.items()]
        parts += [] if self.n_dims is None else [f"{self.n_dims} dims"]
        return self.recipe.name + (f" ({', '.join(parts)})" if parts else "")


def candidates(
    methods: Sequence[str | Recipe] | str | Recipe | None = None,
    *,
    n_dims: int | Sequence[int] | None = None,
    smoothing: float | Sequence[float] | None = None,
    sigma: float | Sequence[float] | None = None,
) -> list[Candidate]:
    """Return all combinations of methods, numbers of dimensions and widths of paths.

    Parameters
    ----------
    methods
        Names of recipes, whose smoothing or sigma is set, or `Recipe`s, which are taken as they
        are; `METHODS`, if None.
    n_dims
        Numbers of leading dimensions; None for all.
    smoothing
        Constant widths of paths, in model coordinates; the recipe's own by default.
    sigma
        Diffusions of bridges per square root of time, in model coordinates; the recipe's own by
        default.

    Raises
    ------
    InputError
        A method, dimension or width that is not usable, or a combination twice.
    """
    widths = {"smoothing": _numbers("smoothing", smoothing), "sigma": _numbers("sigma", sigma)}
    sizes = [None] if n_dims is None else [as_count("n_dims", n) for n in several(n_dims)]
    named = several(METHODS if methods is None else methods)
    made = [pair for method in named for pair in _varied(method, widths)]
    _require_takers(widths, made)
    combined = [Candidate(recipe, size, settings) for size in sizes for recipe, settings in made]
    names = [candidate.name for candidate in combined]
    twice = sorted({name for name in names if names.count(name) > 1})
    if not combined or twice:
        found = f"{twice[0]!r} is there more than once" if twice else "there is none"
        msg = (
            f"Of the methods to choose from, {found}; expected at least one, each of a name of its"
            " own."
        )
        raise InputError(msg)
    return combined


def _varied(
    method: str | Recipe, widths: Mapping[str, list[float]]
) -> list[tuple[Recipe, dict[str, float]]]:
    """A recipe at every width that is asked for and that it takes, with these settings."""
    recipe = by_name(method)
    if recipe.generates:
        msg = (
            f"The method {recipe.name!r} makes cells from noise and moves none, so it cannot be"
            " chosen; omit it."
        )
        raise InputError(msg)
    key = _WIDTHS.get(recipe.name, "")
    values = widths.get(key, [])
    if not isinstance(method, str) or not values:
        return [(recipe, {})]
    make = getattr(recipes, recipe.name.replace("-", "_"))
    return [(make(**{key: width}), {key: width}) for width in values]


def _require_takers(
    widths: Mapping[str, list[float]], made: Sequence[tuple[Recipe, dict[str, float]]]
) -> None:
    """Raise an error for a width that no method takes."""
    for width, values in widths.items():
        if values and not any(width in settings for _, settings in made):
            takers = sorted(name for name, key in _WIDTHS.items() if key == width)
            msg = (
                f"{width}={values!r}, which none of the methods takes; expected one of {takers} by"
                " its name. Omit it."
            )
            raise InputError(msg)


def _numbers(name: str, values: object) -> list[float]:
    if values is None:
        return []
    widths = [as_number(name, value) for value in several(values)]
    if min(widths, default=0.0) < 0.0:
        msg = f"{name}={values!r}; expected widths of at least 0, in model coordinates."
        raise InputError(msg)
    return widths


def as_seconds(budget: object) -> float:
    """Return a span of time in seconds: a number of them, or `"90s"`, `"10min"`, `"1h"`.

    Raises
    ------
    InputError
        Anything else, and spans that are not positive.

    Examples
    --------
    >>> as_seconds("10min"), as_seconds("1.5h"), as_seconds(90)
    (600.0, 5400.0, 90.0)
    """
    value = budget
    if isinstance(budget, str):
        match = re.fullmatch(r"\s*([0-9]+\.?[0-9]*|\.[0-9]+)\s*([a-z]*)\s*", budget.casefold())
        unit = _UNITS.get(match[2]) if match else None
        value = float(match[1]) * unit if match and unit else budget
    return as_number(
        "budget", value, above=0.0, remedy=" of seconds, or a text such as '90s', '10min' or '1h'"
    )
