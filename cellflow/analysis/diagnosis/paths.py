"""Paths over an interval: whether they are reversible, short, and end where cells are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cellflow.analysis.diagnosis.mass import mass_balance
from cellflow.analysis.diagnosis.sample import Sample, matched, simulated
from cellflow.analysis.verdict import FEW
from cellflow.core._random import stream
from cellflow.core._typing import FloatArray
from cellflow.core.conditions import shared_conditions
from cellflow.core.population import Population
from cellflow.couplings import Auto
from cellflow.errors import naming_cells
from cellflow.metrics import wasserstein

if TYPE_CHECKING:
    from cellflow.model.base import FittedDynamics

__all__ = ["interval", "is_informed", "path_energy", "round_trip"]

#: Squared distances below this share of the largest are rounding, in single precision.
_ROUNDING = 1e-12
#: Stream of the seed that draws halves of a snapshot.
_END = 6


def round_trip(start: FloatArray, back: FloatArray, *, weight: FloatArray | None = None) -> float:
    r"""Root mean square distance between cells and where they come back to, over their spread.

    .. math:: \Big(\frac{\mathbb E \|x - \hat x\|^2}{\mathbb E \|x - \mathbb E x\|^2}\Big)^{1/2}

    An ordinary differential equation returns every cell; what is left is the error of the solver,
    which grows where the field is steep.

    Parameters
    ----------
    start, back
        Shape `(n, d)`.
    weight
        Shape `(n,)`; uniform by default.
    """
    share = np.full(len(start), 1.0 / len(start)) if weight is None else weight / weight.sum()
    spread = share @ ((start - share @ start) ** 2).sum(axis=1)
    if not spread > 0:
        return float("nan")
    return float(np.sqrt(share @ ((start - back) ** 2).sum(axis=1) / spread))


def path_energy(
    velocity: FloatArray, times: FloatArray, *, weight: FloatArray | None = None
) -> float:
    r"""Energy of paths over an interval, times its length.

    .. math:: (t_1 - t_0)\, \mathbb E \int_{t_0}^{t_1} \|v_t(x_t)\|^2\, dt
              \;\ge\; W_2^2(p_{t_0}, p_{t_1})

    It does not depend on the unit of time, and equals the squared distance for optimal paths
    (Benamou and Brenier 2000).

    Parameters
    ----------
    velocity
        Along the paths, shape `(T, n, d)`.
    times
        Shape `(T,)`, increasing; Simpson's rule.
    weight
        Of the paths, shape `(n,)`; uniform by default.
    """
    from scipy.integrate import simpson

    square = (velocity**2).sum(axis=2)
    mean = np.average(square, axis=1, weights=weight)
    return float((times[-1] - times[0]) * simpson(mean, x=times))


def interval(sample: Sample, k: int) -> dict[str, float]:
    """What the paths from snapshot `k - 1` to snapshot `k` show."""
    flow = sample.flow
    source = sample.some[k - 1]
    target = sample.some[k]
    pushed = sample.states[k - 1].x[k]
    weight = sample.states[k - 1].weights(source.weight)[k]
    with naming_cells(source.index):
        back = flow.simulate(pushed, target.time, [source.time], context=source.context).x[0]
    start = flow.frame.to_model(source.x)
    row = {
        "from_time": source.time,
        "round_trip": round_trip(start, flow.frame.to_model(back), weight=source.weight),
    }
    energy = _energy(flow, source, target.time)
    distances = {
        "energy_ratio": _squared_distance(flow, *sample.snapshots.populations[k - 1 : k + 1]),
        "detour": _optimal(
            flow, source, replace(source, x=pushed, weight=weight, time=target.time)
        ),
    }
    # Of cells that move by rounding only, no path is straight or bent.
    rounding = _ROUNDING * max(distances.values())
    row |= {name: energy / square for name, square in distances.items() if square > rounding}
    return row if len(target) < FEW or len(source) < FEW else row | _ends(sample, k)


def _ends(sample: Sample, k: int) -> dict[str, float]:
    """Pushed cells against those of snapshot `k`."""
    source = sample.some[k - 1]
    target = sample.some[k]
    moved = sample.states[k - 1]
    end = sample.flow.frame.to_model(moved.x[k])
    pushed_weight = moved.weights(source.weight)[k]
    z = sample.flow.frame.to_model(target.x)
    weight = matched(source, target)
    rng = stream(sample.seed, _END, k)
    size = min(len(target) // 2, len(source))
    order = rng.permutation(len(target))
    chosen = rng.permutation(len(source))[:size]
    half = order[:size]
    other = order[size:]
    distance = wasserstein(
        end[chosen], z[other], x_weight=pushed_weight[chosen], y_weight=weight[other]
    )
    expected = wasserstein(z[half], z[other], x_weight=weight[half], y_weight=weight[other])
    found = mass_balance(
        end,
        z,
        pushed_weight=pushed_weight,
        observed_weight=weight,
        random_state=int(rng.integers(2**63)),
    )
    return {
        "end_distance": distance,
        "end_distance_expected": expected,
        "imbalance": found.imbalance,
        "imbalance_expected": found.expected,
        "imbalance_limit": found.limit,
        "region_cell": int(target.index[found.cell]),
        "region_pushed": found.pushed,
        "region_observed": found.observed,
    }


def _energy(flow: FittedDynamics, source: Population, stop: float) -> float:
    """Energy of the paths of one snapshot to the next, in model coordinates."""
    n_steps = 2 * max(5, int(np.ceil((stop - source.time) / flow.step / 2.0)))
    times = np.linspace(source.time, stop, n_steps + 1)
    along = simulated(flow, source, times)
    velocity = [
        flow.velocity(x, t, context=source.context) / flow.frame.scale
        for t, x in zip(times.tolist(), along.x, strict=True)
    ]
    return path_energy(np.stack(velocity), times, weight=source.weight)


def is_informed(described: Mapping[str, Any]) -> bool:
    """Whether barcodes inform the coupling of a recipe, or of the summary of a plan."""
    return bool(described.get("coupling", {}).get("type") == "Lineage")


def _squared_distance(flow: FittedDynamics, source: Population, target: Population) -> float:
    """Squared distance W2 between two snapshots in model coordinates.

    It is the cost of the fit's plan where that is certified and of these cells. A plan that
    barcodes inform costs more.
    """
    known = flow.plans.get(f"{source.time}_to_{target.time}", {})
    sizes = (len(source), len(target))
    same = known.get("gap") is not None and (known["n_source"], known["n_target"]) == sizes
    if same and not is_informed(known):
        return float(known["cost"])
    return _optimal(flow, source, target)


def _optimal(flow: FittedDynamics, source: Population, target: Population) -> float:
    """Cost of optimal transport in model coordinates, inside conditions where there are some."""
    total = 0.0
    for _, here, there in shared_conditions(source, target):
        parts = [
            Population(flow.frame.to_model(p.x[rows]), p.time, p.weight[rows])
            for p, rows in ((source, here), (target, there))
        ]
        coupling, _ = Auto().choose(len(here), len(there), flow.n_dims)
        total += source.weight[here].sum() * coupling(*parts).cost
    return total
