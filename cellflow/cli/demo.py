"""`cellflow demo`: the main job on cells that come with the package."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cellflow.cli._options import option
from cellflow.cli._program import Command, Result

__all__ = ["demo"]


def _run(options: Mapping[str, Any]) -> Result:
    from cellflow.cli._demo import demo

    found = demo(Path(options["out"]), seed=options["seed"])
    message = f"wrote {options['out']}: {', '.join(found.files)}"
    return Result(found.values(), message, found.report())


demo = Command(
    "demo",
    "Run the main job on real cells: human myoblasts over 72 hours, with held-out snapshots.",
    _run,
    [option("--out", "Where to write.", "FOLDER", default="demo")],
)
