"""Modules renamed after 0.1.0: old names still import, with a FutureWarning."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from cellflow.core._warn import warn

__all__ = ["MOVED", "find_moved"]

#: New name of each module by its old one, both below `cellflow`.
MOVED = {
    "_demo": "cli._demo",
    "benchmark": "evaluation",
    "benchmark.problem": "evaluation.folds",
    "chain": "paths.chain",
    "conditions": "core.conditions",
    "decoder": "core.decoder",
    "dynamics": "fields.dynamics",
    "fields.conditioned": "fields.fixed",
    "fitting": "model.fitting",
    "flow": "model.flow",
    "frame": "core.frame",
    "ladder": "fields.ladder",
    "metrics.sliced": "metrics.transport",
    "plan": "core.plans",
    "population": "core.population",
    "recipes": "model.recipes",
    "scoring": "model.scoring",
}
#: Old names that stay: they are public, as attributes of the package.
_KEPT = {"recipes"}


class _Renamed(MetaPathFinder, Loader):
    """Finder and loader that return the module of the new name for an old name."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,  # noqa: ARG002 (the protocol's)
        target: ModuleType | None = None,  # noqa: ARG002 (the protocol's)
    ) -> ModuleSpec | None:
        package, _, rest = fullname.partition(".")
        old, _, below = (rest, "", "") if rest in MOVED else rest.partition(".")
        if package != "cellflow" or old not in MOVED:
            return None
        name = ".".join(filter(None, [package, MOVED[old], below]))
        if old not in _KEPT and not below:
            warn(f"The module {fullname} is now {name}; the old name goes away.", FutureWarning)
        return ModuleSpec(fullname, self, loader_state=name)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = import_module(str(spec.loader_state))
        # The import system writes the old name's specification into the module; `exec_module`
        # undoes that.
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        spec: Any = module.__spec__
        module.__spec__ = spec.loader_state


def find_moved() -> None:
    """Install the finder for old module names."""
    sys.meta_path.insert(0, _Renamed())
