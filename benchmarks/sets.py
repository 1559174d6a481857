"""The benchmark sets, read from a folder of real data beside the repository; prints their sizes.

    python benchmarks/sets.py

`cellflow.evaluation.sets` lists them. Scripts skip absent sets, with a line that says so.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cellflow.bench._sets import principal_components, read_set, read_types
from cellflow.core.population import Snapshots
from cellflow.errors import MissingDataError
from cellflow.evaluation.sets import JUDGED, SETS

__all__ = ["DATA", "JUDGED", "SETS", "load", "load_types", "principal_components"]

#: Folder of the real data.
DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def load(name: str) -> Snapshots | None:
    """Return a set; None, with a line on the screen, if its file is absent."""
    try:
        return read_set(SETS[name], DATA)
    except MissingDataError as error:
        print(f"{name}: skipped, {error}")
        return None


def load_types(name: str) -> tuple[Snapshots, list[np.ndarray]] | None:
    """Return a set with the cell types, snapshot by snapshot; None as `load`."""
    try:
        return read_types(SETS[name], DATA)
    except MissingDataError as error:
        print(f"{name}: skipped, {error}")
        return None


def main() -> None:
    for name, data in SETS.items():
        snapshots = load(name)
        if snapshots is not None:
            sizes = ", ".join(f"{p.time:g}: {len(p)}" for p in snapshots.populations)
            print(f"{name:14s} {data.about}")
            print(f"{'':14s} {snapshots.n_dims} dimensions; cells at each time {sizes}")


if __name__ == "__main__":
    main()
