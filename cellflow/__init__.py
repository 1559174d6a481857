"""cellflow: from time-labelled single-cell snapshots to a continuous dynamics, and back into the AnnData.

`cf.pp` prepare, `cf.tl` compute and write, `cf.pl` draw, `cf.datasets` load, `cf.get` read out, `cf.bench`
compare with cells that were held out. For people who write methods: `cf.fit` with `cf.recipes`, `cf.fit_score`,
`cf.simulation`, and the families `couplings`, `paths`, `fields`, `objectives`, `densities`, `metrics`. `cf.selftest()`
compares the installed package with closed forms.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from cellflow._namesake import refuse_namesake

if TYPE_CHECKING:
    from cellflow import (
        bench,
        benchmark,
        couplings,
        datasets,
        densities,
        errors,
        fields,
        get,
        metrics,
        objectives,
        paths,
        pl,
        pp,
        recipes,
        simulation,
        synthetic,
        tl,
    )
    from cellflow._selftest import selftest
    from cellflow.fitting import fit
    from cellflow.flow import Flow
    from cellflow.ladder import Ladder
    from cellflow.population import Population, Snapshots
    from cellflow.scoring import fit_score

__all__ = [
    "Flow",
    "Ladder",
    "Population",
    "Snapshots",
    "__version__",
    "bench",
    "benchmark",
    "couplings",
    "datasets",
    "densities",
    "errors",
    "fields",
    "fit",
    "fit_score",
    "get",
    "metrics",
    "objectives",
    "paths",
    "pl",
    "pp",
    "recipes",
    "selftest",
    "simulation",
    "synthetic",
    "tl",
]

__version__ = "0.1.0"

#: Names of this face that live in a module of another name; all others are modules themselves.
_HOMES = {
    "Flow": "cellflow.flow",
    "Population": "cellflow.population",
    "Snapshots": "cellflow.population",
    "Ladder": "cellflow.ladder",
    "fit": "cellflow.fitting",
    "fit_score": "cellflow.scoring",
    "selftest": "cellflow._selftest",
}


def __getattr__(name: str) -> object:
    """Load a name when it is first asked for, so that `import cellflow` stays light."""
    if name not in __all__:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(import_module(_HOMES[name]), name) if name in _HOMES else import_module(f"{__name__}.{name}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__


refuse_namesake(Path(__file__).parents[1], sys.path)
