"""What growth rates rest on, in words and as values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cellflow.adapter.fitted import Fitted
from cellflow.adapter.store import plain
from cellflow.analysis.members import degrees_of
from cellflow.core._typing import FloatArray

__all__ = ["assumptions"]


def assumptions(
    record: Mapping[str, Any],
    fitted: Fitted,
    rate: FloatArray,
    assumed: Mapping[str, FloatArray],
) -> dict[str, Any]:
    """What the rates rest on, in words and as values."""
    reading = fitted.cells.reading
    chosen = record.get("growth", {}).get("assumption", f"method {fitted.params['method']!r}")
    if reading.mass_key is None:
        sizes = "equal"
        words = (
            "No sizes of populations are known (mass_key): all count as equally large, and rates"
            " are relative to the growth of the whole."
        )
    else:
        sizes = f"adata.obs[{reading.mass_key!r}]"
        words = f"Sizes of populations are those of {sizes}, and rates are absolute."
    if fitted.cells.conditions is not None:
        words += " Each condition is taken to grow as the whole; rates are relative within it."
    words += f" The fit assumes {chosen}."
    relaxed = [name.removeprefix("tau=") for name in assumed if name != "prior"]
    others = [f"relaxed marginals with tau {', '.join(relaxed)}"] if relaxed else []
    others += (
        [f"the prior rates of adata.obs[{reading.growth_key!r}]"] if "prior" in assumed else []
    )
    if others:
        words += f" The interval also covers {' and '.join(others)}."
    means = {"fit": float(np.mean(rate))}
    means |= {name: float(np.nanmean(values)) for name, values in assumed.items()}
    found: dict[str, Any] = {
        "words": words,
        "sizes": sizes,
        "fit": str(chosen),
        "tried": list(assumed) or ["none"],
        "mean_rates": means,
        "unit": fitted.time_unit.words,
    }
    if fitted.flow.members:
        found |= {"n_members": len(fitted.flow.members), "degrees": degrees_of(fitted.flow)}
    return dict(plain(found))
