"""cellflow: from time-labelled single-cell snapshots to a continuous dynamics on AnnData.

`cf.pp` prepare, `cf.tl` compute and write, `cf.pl` draw, `cf.datasets` load, `cf.get` read out,
`cf.bench` compare with cells that were held out, `cf.interop` hand over to other tools. For people
who write methods: `cf.fit` with `cf.recipes`, `cf.fit_score`, `cf.simulation`, and the families
`couplings`, `paths`, `fields`, `objectives`, `densities`, `metrics`. `cf.selftest()` compares the
installed package with closed forms.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from cellflow.core._moved import MOVED, find_moved
from cellflow.core._namesake import refuse_namesake
from cellflow.core._version import __version__

if TYPE_CHECKING:
    from cellflow import (
        bench,
        couplings,
        datasets,
        densities,
        errors,
        evaluation,
        fields,
        get,
        interop,
        metrics,
        objectives,
        paths,
        pl,
        pp,
        simulation,
        synthetic,
        tl,
    )
    from cellflow.core.population import Population, Snapshots
    from cellflow.evaluation.selftest import selftest
    from cellflow.fields.ladder import Ladder
    from cellflow.model import recipes
    from cellflow.model.fitting import fit
    from cellflow.model.flow import Ensemble, Flow
    from cellflow.model.scoring import fit_score

__all__ = [
    "Ensemble",
    "Flow",
    "Ladder",
    "Population",
    "Snapshots",
    "__version__",
    "bench",
    "couplings",
    "datasets",
    "densities",
    "errors",
    "evaluation",
    "fields",
    "fit",
    "fit_score",
    "get",
    "interop",
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

#: Names that live in a module of another name; all others are modules themselves.
_HOMES = {
    "Ensemble": "cellflow.model.flow",
    "Flow": "cellflow.model.flow",
    "Ladder": "cellflow.fields.ladder",
    "Population": "cellflow.core.population",
    "Snapshots": "cellflow.core.population",
    "fit": "cellflow.model.fitting",
    "fit_score": "cellflow.model.scoring",
    "selftest": "cellflow.evaluation.selftest",
}


def __getattr__(name: str) -> object:
    """Load a name when it is first asked for, so that `import cellflow` stays light."""
    if name not in __all__ and name not in MOVED:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    if name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
    else:
        value = import_module(f"{__name__}.{name}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__


find_moved()
refuse_namesake(Path(__file__).parents[1], sys.path)
