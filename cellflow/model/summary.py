"""What a flow shows of itself, in a screenful."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.core._display import Card

if TYPE_CHECKING:
    from cellflow.model.flow import Flow

__all__ = ["summary"]

#: Times that are listed; of more, the first and the last.
_TIMES = 12


def summary(flow: Flow) -> Card:
    """How a flow was made, and what it can be asked.

    Examples
    --------
    >>> flow = cf.get.flow(adata)
    >>> summary(flow).title
    "Flow of 'curved-cfm': velocity, score"
    """
    kind = "Flow" if not flow.members else f"Ensemble of {len(flow.members)} flows"
    rows = [
        ("data", _data(flow)),
        ("coupling", _coupling(flow)),
        ("path", _described(flow.recipe.get("path"))),
        ("training", _training(flow)),
        ("genes", _genes(flow)),
        ("conditions", f"{flow.n_context} features" if flow.n_context else ""),
        ("made by", f"cellflow {flow.version}, seed {flow.seed}, on {flow.device}"),
    ]
    name = flow.recipe["name"]
    title = f"{kind} of {name!r}: {', '.join(flow.heads)}"
    return Card(title, [(key, said) for key, said in rows if said], _queries(flow))


def _data(flow: Flow) -> str:
    times = [f"{time:g}" for time in flow.times]
    if len(times) > _TIMES:
        times = [*times[:3], "...", *times[-2:]]
    plural = "s" * (len(flow.times) > 1)
    return f"{len(flow.times)} snapshot{plural} at {', '.join(times)}; {flow.n_dims} dimensions"


def _coupling(flow: Flow) -> str:
    """The coupling, with the sizes and the gaps of its plans."""
    if not flow.plans:
        return "" if flow.generates else _described(flow.recipe.get("coupling"))
    plans = list(flow.plans.values())
    names = dict.fromkeys(str(plan.get("coupling", {}).get("type", "")) for plan in plans)
    sizes = [f"{plan['n_source']:,} x {plan['n_target']:,}" for plan in plans]
    span = sizes[0] if len(set(sizes)) == 1 else f"{sizes[0]} to {sizes[-1]}"
    parts = [f"{', '.join(names)}, {len(plans)} plan{'s' * (len(plans) > 1)} of {span} cells"]
    gaps = [float(plan["gap"]) for plan in plans if plan.get("gap") is not None]
    if gaps:
        worst = max(gaps)
        parts.append(
            "optimal" if worst == 0 else f"cost at most {100 * worst:.1g} % above the optimum"
        )
    return ", ".join(parts)


def _described(part: Any) -> str:
    """A described path or coupling: its type and numbers, then the types of what wraps it."""
    if not isinstance(part, Mapping) or "type" not in part:
        return ""
    inner = [value for value in part.values() if isinstance(value, Mapping) and "type" in value]
    if inner:
        return f"{_described(inner[0])}, {part['type']}"
    numbers = ", ".join(
        f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in part.items()
        if name not in {"type", "class"} and value is not None
    )
    return f"{part['type']}({numbers})" if numbers else str(part["type"])


def _training(flow: Flow) -> str:
    history = flow.history
    if not len(history.get("step", ())):
        return f"{flow.seconds:.3g} s"
    said = f"{int(history['step'][-1]):,} steps, {flow.seconds:.3g} s with the plans"
    said += f"; loss {history['loss'][-1]:.3g}"
    if len(history.get("val_loss", ())):
        said += f", validation {history['val_loss'][-1]:.3g}"
    return said


def _genes(flow: Flow) -> str:
    decoder = flow.decoder
    if decoder is None:
        return ""
    said = f"{len(decoder.mean):,} decoded"
    if decoder.gene_r2 is not None:
        good = int((np.nan_to_num(decoder.gene_r2, nan=-1.0) >= 0.1).sum())
        said += f", {good:,} of them with a held-out R2 of at least 0.1"
    return said


def _queries(flow: Flow) -> str:
    """Calls that answer for this flow."""
    if flow.generates:
        return "Ask cf.tl.generate(adata, time=..., n_obs=...); keep it with .save(folder)."
    score = ", .score(x, t)" if "score" in flow.heads else ""
    return f"Ask .velocity(x, t){score}, .simulate(x, t0, times); keep it with .save(folder)."
