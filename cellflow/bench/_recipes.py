"""The old argument `scale=` of benchmarks, which is a part of each recipe now."""

from __future__ import annotations

from typing import Any

from cellflow.core._deprecated import Moved

__all__ = ["SCALE_OF_RECIPES", "SCALE_OF_TUNED"]


def _scaled(scale: Any, arguments: dict[str, Any], default: Any) -> dict[str, Any]:
    from cellflow.evaluation.arguments import several
    from cellflow.model.recipes import Recipe, by_name

    methods = arguments.get("methods")
    given = several(default if methods is None else methods)
    made = [by_name(m, scale=scale) if isinstance(m, str | Recipe) else m for m in given]
    return {**arguments, "methods": made}


def _of_recipes(scale: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    from cellflow.model.recipes import DEFAULT

    return _scaled(scale, arguments, DEFAULT)


def _of_tuned(scale: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    from cellflow.evaluation.candidates import METHODS

    return _scaled(scale, arguments, METHODS)


_NOW = "methods=[cf.recipes.by_name(name, scale=...)]"
#: Of a benchmark whose `methods` are the default method, if None.
SCALE_OF_RECIPES = Moved(_NOW, _of_recipes)
#: Of `cf.bench.tune`, whose `methods` are several, if None.
SCALE_OF_TUNED = Moved(_NOW, _of_tuned)
