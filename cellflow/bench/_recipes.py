"""Old arguments of benchmarks: `scale=`, which is a part of each recipe now, and `copy=`."""

from __future__ import annotations

from typing import Any

from cellflow.core._deprecated import Moved

__all__ = ["COPY", "SCALE_OF_RECIPES", "SCALE_OF_TUNED"]


def _scaled(scale: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    from cellflow.evaluation.arguments import several
    from cellflow.model.recipes import DEFAULT, Recipe, by_name

    methods = arguments.get("methods")
    given = several(DEFAULT if methods is None else methods)
    made = [by_name(m, scale=scale) if isinstance(m, str | Recipe) else m for m in given]
    return {**arguments, "methods": made}


def _tuned(scale: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    from cellflow.evaluation.candidates import METHODS

    given = arguments.get("methods")
    return _scaled(scale, {**arguments, "methods": METHODS if given is None else given})


COPY = Moved("write=False", lambda copy, given: {**given, "write": not copy})
_NOW = "methods=[cf.recipes.by_name(name, scale=...)]"
#: Of a benchmark whose `methods` are the default method, if None.
SCALE_OF_RECIPES = Moved(_NOW, _scaled)
#: Of `cf.bench.tune`, whose `methods` are several, if None.
SCALE_OF_TUNED = Moved(_NOW, _tuned)
